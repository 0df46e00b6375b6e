// What entries say, carried out; and whether the cache is asked at all.
#include "datapath/actions.h"
#include "datapath/cache.h"
#include "datapath/learn.h"

#include <rte_cycles.h>

// --- Entries ---

static void rewrite(struct vector *vector, unsigned int packet, const struct cache_entry *entry)
{
	uint64_t *line = vector->lines[KEY_LINE_CORE][packet];

	for (unsigned int w = 0; w < entry->n_words; w++)
		line[entry->words[w]] = (line[entry->words[w]] & ~entry->mask[w]) | entry->value[w];
	vector->dirty[packet] |= entry->dirty;
}

// Tag off, rewrite, time to live: what may come before the one output.
static bool run_simple(struct forward *forward, unsigned int packet,
		       const struct cache_entry *entry)
{
	struct vector *vector = forward->vector;

	if (entry->pop_vlan) {
		actions_pop_vlan(forward, packet);
		if (unlikely(forward->finished >> packet & 1))
			return false;
	}
	rewrite(vector, packet, entry);
	if (entry->learned && !__atomic_load_n(&entry->learned->touched, __ATOMIC_RELAXED))
		__atomic_store_n(&entry->learned->touched, 1, __ATOMIC_RELAXED);
	if (entry->n_dec_ttl) {
		vector_core(vector, packet)->ip_ttl -= entry->n_dec_ttl;
		vector->dirty[packet] |= DIRTY_IP;
	}
	return entry->out_port != OFPP_ANY;
}

// All packets have the same list.
static void run_list(struct forward *forward, uint32_t list, uint64_t packets)
{
	const struct cache *cache = forward->worker->cache;
	const uint64_t all = packets;

	for (; list && packets; list = cache->chunks[list].next) {
		const struct cache_chunk *chunk = &cache->chunks[list];

		for (uint32_t k = 0; k < chunk->n && packets; k++) {
			const uint64_t item = chunk->items[k];
			const struct op *op =
				(const struct op *)(uintptr_t)(item & ((UINT64_C(1)
									<< CACHE_OP_TABLE_SHIFT) -
								       1));

			actions_run_op(forward, op, (uint8_t)(item >> CACHE_OP_TABLE_SHIFT),
				       packets, (unsigned int)(item >> CACHE_OP_DEPTH_SHIFT), false,
				       NULL);
			packets &= ~(forward->finished | forward->exited | forward->stopped);
		}
	}
	forward->stopped &= ~all;
}

static void run_lists(struct forward *forward, const struct cache_probe *probe, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		const uint16_t n = probe->entries[i]->n_lookups;

		forward->vector->n_lookups[i] = (uint16_t)(forward->vector->n_lookups[i] + n);
		forward->n_lookups += n;
	}
	while (packets) {
		const struct cache_entry *first = probe->entries[__builtin_ctzll(packets)];
		uint64_t same = 0;

		for_each_packet(i, packets) if (probe->entries[i]->list_hash == first->list_hash)
			same |= 1ULL << i;
		packets &= ~same;
		run_list(forward, first->list, same);
	}
}

static inline void count(struct forward *forward, unsigned int packet, struct cache_entry *entry)
{
	if (!entry->queued)
		cache_queue(forward->worker, entry);
	entry->packets += (uint32_t)vector_wire_count(forward->vector, 1ULL << packet);
	entry->bytes += forward->vector->length[packet];
}

// Carry out what is known. Returns the packets for which the tables have to decide.
static uint64_t run_known(struct forward *forward, const struct cache_probe *probe,
			  uint64_t packets)
{
	struct vector *vector = forward->vector;
	uint64_t direct = 0, lists = 0, outputs = 0;
	uint32_t ports[VECTOR_SIZE];

	PROFILE_ENTER(forward->worker, ACTIONS);
	for_each_packet(i, packets)
	{
		struct cache_entry *entry = probe->entries[i];
		const uint64_t bit = 1ULL << i;

		if (unlikely(entry->kind == CACHE_DIRECT ||
			     (entry->n_dec_ttl &&
			      vector_core(vector, (unsigned int)i)->ip_ttl <= entry->n_dec_ttl))) {
			direct |= bit;
			continue;
		}
		count(forward, (unsigned int)i, entry);
		if (entry->missed)
			vector->missed |= bit;
		if (entry->kind == CACHE_LIST) {
			lists |= bit;
		} else if (run_simple(forward, (unsigned int)i, entry)) {
			ports[i] = entry->out_port;
			outputs |= bit;
		}
	}
	if (outputs)
		output_each_to(forward, outputs, ports);
	if (lists)
		run_lists(forward, probe, lists);
	PROFILE_LEAVE(forward->worker, ACTIONS);
	return direct;
}

// --- New entries ---

// A key comes for the second time: only then it is worth an entry.
static bool knock(struct cache *cache, uint64_t hash)
{
	uint16_t *door = &cache->doors[hash >> 16 & (CACHE_DOORS - 1)];
	const uint16_t tag = cache_tag_of(hash);

	if (*door == tag)
		return true;
	*door = tag;
	return false;
}

static uint64_t choose_recorded(struct cache *cache, const struct cache_probe *probe,
				const struct vector *vector, bool forced)
{
	uint64_t recorded = 0;
	unsigned int n = 0;

	for_each_packet(i, probe->unknown)
	{
		if (!forced && (n == CACHE_MAX_RECORDS || !knock(cache, probe->hash[i])))
			continue;
		cache->records[i].n = 0;
		cache->records[i].n_groups = 0;
		cache->records[i].n_learns = 0;
		cache->records[i].n_vlans = vector->layout[i].n_vlans;
		recorded |= 1ULL << i;
		n++;
	}
	return recorded;
}

static void run_cached(struct forward *forward, uint64_t packets, bool forced)
{
	struct cache *cache = forward->worker->cache;
	struct cache_probe probe;
	uint64_t direct, recorded = 0;

	PROFILE_ENTER(forward->worker, CACHE);
	cache_find(cache, forward, packets, &probe);
	direct = probe.unknown;
	cache->stats.n_hits += (uint64_t)__builtin_popcountll(packets & ~direct);
	cache->stats.n_misses += (uint64_t)__builtin_popcountll(direct);
	if (unlikely(direct))
		recorded = choose_recorded(cache, &probe, forward->vector, forced);
	direct |= run_known(forward, &probe, packets & ~direct);
	if (unlikely(direct)) {
		forward->recorded = recorded;
		pipeline_run(forward, 0, direct, 0);
		forward->recorded = 0;
		for_each_packet(i, recorded) cache_insert(forward, &probe, (unsigned int)i);
	}
	PROFILE_LEAVE(forward->worker, CACHE);
}

// --- Whether ---

// Vectors with fewer packets say little about costs, and lose little.
#define MEASURED_PACKETS 16
#define MEASURE_EVERY 64 // vectors
#define LEAST_COST (25 * 16) // of the direct way, below which there is nothing to win
#define TRIAL_VECTORS 8192
#define TRIAL_WINDOW 256
#define FIRST_WAIT_MS 64
#define MAX_BACKOFF 6 // 4 s

// A vector during which something else had the core says nothing: none counts for more than twice
// the mean.
static void mean_add(uint32_t *mean, uint64_t cost)
{
	const uint64_t most = *mean ? 2 * (uint64_t)*mean : 1 << 20;
	const uint32_t value = (uint32_t)(cost > most ? most : cost);

	*mean = *mean ? *mean - *mean / 16 + value / 16 : value;
}

static void wait_for_trial(struct cache_gauge *gauge, uint64_t now)
{
	gauge->state = CACHE_OFF;
	gauge->countdown = MEASURE_EVERY;
	gauge->next_trial = now + (rte_get_tsc_hz() / 1000 * FIRST_WAIT_MS << gauge->backoff);
}

// A vector went the direct way at this cost.
static void gauge_direct(struct cache *cache, struct cache_gauge *gauge, uint64_t cost,
			 uint64_t now)
{
	mean_add(&gauge->direct, cost);
	gauge->countdown = MEASURE_EVERY;
	if (gauge->state == CACHE_OFF && now >= gauge->next_trial && gauge->direct > LEAST_COST) {
		gauge->state = CACHE_TRIAL;
		gauge->n_tried = 0;
		gauge->window = 0;
		gauge->cached = 0;
		cache->stats.n_trials++;
	}
}

// A trial ends well as soon as a window of it was cheap, and badly when its time is over.
static void gauge_trial(struct cache_gauge *gauge, uint64_t cost, uint64_t now)
{
	gauge->window += (uint32_t)(cost > 1 << 16 ? 1 << 16 : cost);
	if (++gauge->n_tried % TRIAL_WINDOW)
		return;
	gauge->cached = gauge->window / TRIAL_WINDOW;
	gauge->window = 0;
	if (gauge->cached < gauge->direct / 20 * 17) {
		gauge->state = CACHE_ON;
		gauge->backoff = 0;
	} else if (gauge->n_tried >= TRIAL_VECTORS) {
		gauge->backoff += gauge->backoff < MAX_BACKOFF;
		wait_for_trial(gauge, now);
	}
}

static void gauge_cached(struct cache_gauge *gauge, uint64_t cost, uint64_t now)
{
	if (gauge->state == CACHE_TRIAL) {
		gauge_trial(gauge, cost, now);
		return;
	}
	mean_add(&gauge->cached, cost);
	gauge->countdown -= gauge->countdown > 0;
	if (gauge->cached > gauge->direct / 20 * 19)
		wait_for_trial(gauge, now);
}

static void run_adaptive(struct forward *forward, uint64_t packets)
{
	struct cache *cache = forward->worker->cache;
	struct cache_gauge *gauge = &cache->gauges[forward->forwarding->index];
	const unsigned int n = (unsigned int)__builtin_popcountll(packets);
	const bool direct =
		gauge->state == CACHE_OFF || (gauge->state == CACHE_ON && !gauge->countdown);
	uint64_t before, now, cost;

	if (n < MEASURED_PACKETS || (gauge->state == CACHE_OFF && gauge->countdown)) {
		gauge->countdown -= gauge->countdown > 0;
		if (gauge->state == CACHE_OFF)
			pipeline_run(forward, 0, packets, 0);
		else
			run_cached(forward, packets, false);
		return;
	}
	before = rte_rdtsc();
	if (direct)
		pipeline_run(forward, 0, packets, 0);
	else
		run_cached(forward, packets, false);
	now = rte_rdtsc();
	cost = (now - before) * 16 / n;
	if (direct)
		gauge_direct(cache, gauge, cost, now);
	else
		gauge_cached(gauge, cost, now);
}

void cache_run(struct forward *forward, uint64_t packets)
{
	if (likely(rcu_read(&cache_mode) == CACHE_ADAPTIVE))
		run_adaptive(forward, packets);
	else
		run_cached(forward, packets, true);
}
