// The traversal cache of one worker: what tables decided for a packet, kept for packets that no rule
// can tell from it.
//
// A key is all header bits that any flow of the bridge looks at (struct cache_key, which grows with
// the flows and not with the traffic), and the packet's structure. An entry has what the traversal
// came to: either a rewrite of the core line with one output, or the list of ops that are left when
// jumps, lookups and overwritten values are taken out. Ops whose effect depends on more than the key
// (groups, clones, learning, NORMAL) stay ops and run for each packet; a traversal that goes on
// behind what is not known beforehand (connection tracking, multipath, a new header) is not kept,
// and an entry remembers that, too.
//
// Entries are valid for one generation of the bridge: whoever changes what packets meet counts it up
// afterwards, in O(1), and a burst uses the generation that it found at its beginning. Memory is
// fixed; keys are hashed with a key of the worker's own; a key is kept when it comes for the second
// time. Counts wait in the entries and are given to flows a few entries per burst, all of them when
// the worker has nothing to do. Whether a bridge's packets ask the cache at all is decided by
// measurement (cache_gauge). Belongs to the worker's thread. Files: cache_lookup.c finds,
// cache_compose.c makes entries, cache_run.c carries them out and decides, cache.c is memory.
#ifndef DATAPATH_CACHE_H
#define DATAPATH_CACHE_H

#include "datapath/forward.h"
#include "flowtable/classifier/lanes.h"

#define CACHE_WAYS 4
#define CACHE_SETS (1u << 14)
#define CACHE_ENTRIES (CACHE_SETS * CACHE_WAYS)
#define CACHE_CHUNKS (CACHE_ENTRIES * 2)
#define CACHE_DOORS (1u << 15)
#define CACHE_MAX_PATH 62 // lookups of one traversal
#define CACHE_MAX_OPS 48
#define CACHE_REWRITE_WORDS 4
#define CACHE_MAX_RECORDS 16 // traversals noted in one burst, unless forced

enum cache_kind {
	CACHE_DIRECT, // the tables have to decide
	CACHE_SIMPLE, // tag off, rewrite, time to live, one output or none
	CACHE_LIST, // ops
};

struct learn_entry;

struct cache_entry {
	// One line: what it is, and counts that wait.
	_Alignas(64) uint64_t generation;
	uint64_t bytes;
	uint32_t packets; // not given to the flows yet
	uint32_t path; // chunks: pairs of counters, a flow's and a table's
	uint32_t list; // chunks: ops
	uint32_t out_port; // OFPP_ANY: none
	uint64_t list_hash; // entries with the same have the same list
	uint16_t dirty;
	uint8_t kind; // enum cache_kind
	uint8_t n_dec_ttl; // packets with so little time to live go the direct way
	uint8_t n_lookups;
	uint8_t n_words; // of the rewrite
	bool pop_vlan;
	bool missed; // the last lookup found nothing
	bool queued; // in the queue of those with counts; stays with the place
	uint8_t words[CACHE_REWRITE_WORDS]; // of the core line
	struct learn_entry
		*learned; // what the packet teaches is known: it goes on being so. Or NULL

	uint64_t key[CACHE_KEY_WORDS / 2]; // on a line of its own
	uint64_t mask[CACHE_REWRITE_WORDS]; // bits that change
	uint64_t value[CACHE_REWRITE_WORDS];
	uint64_t key_more[CACHE_KEY_WORDS / 2]; // of wide keys
};

// Counters and ops of entries, in chained lines. 0 is no chunk.
#define CACHE_CHUNK_ITEMS 7
struct cache_chunk {
	uint32_t next;
	uint32_t n;
	uint64_t items[CACHE_CHUNK_ITEMS];
};

// Does it pay to ask the cache on this bridge? Costs are in 1/16 TSC cycles per packet.
enum cache_state { CACHE_OFF, CACHE_TRIAL, CACHE_ON };
struct cache_gauge {
	uint8_t state; // enum cache_state
	uint8_t backoff; // trials in vain: the next one waits longer
	uint16_t countdown; // vectors until the other way is measured
	uint32_t n_tried; // vectors of the trial
	uint32_t direct; // mean
	uint32_t cached;
	uint32_t window; // sum of the trial's last vectors
	uint64_t next_trial; // TSC
};

// A table's verdict on a packet, noted on the way.
struct cache_step {
	const struct flow *flow; // NULL: no match
	uint8_t table_id;
};

struct cache_record {
	uint8_t n; // CACHE_MAX_PATH + 1: too long
	uint8_t n_vlans; // of the packet as it came
	uint8_t n_groups; // that chose a bucket; more than one is too many
	uint8_t n_learns; // more than one is too many
	struct learn_entry *learned; // that the packet's learn action found; NULL: it was new
	uint16_t bucket; // index of what the first one chose
	uint32_t group_id;
	struct cache_step steps[CACHE_MAX_PATH];
};

// Whether the cache is asked.
extern uint8_t cache_mode; // published

// Entries whose counts go to the flows: per burst, and per look in vain for packets.
#define CACHE_FOLD 4
#define CACHE_IDLE_FOLD 256

struct cache_stats {
	uint64_t n_hits, n_misses, n_inserted, n_evicted, n_trials;
};

struct cache {
	uint64_t hash_key[CACHE_KEY_WORDS];
	struct cache_entry *entries;
	struct cache_chunk *chunks;
	uint32_t n_chunks_used; // ever
	uint32_t free_chunk;
	uint32_t n_pending; // entries in the queue
	uint32_t queue_head;
	uint32_t turn_left; // entries until all that waited when the turn began are done
	uint64_t turn; // the last one that began
	uint32_t *queue; // CACHE_ENTRIES
	uint16_t (*tags)[CACHE_WAYS];
	uint16_t *doors;
	struct cache_gauge *gauges; // by the bridge's index
	struct cache_record *records; // VECTOR_SIZE
	struct cache_stats stats;
	uint32_t random;
};

// Non-hot. Control thread: something that decides on packets' ways has changed.
void forwarding_changed(struct forwarding *forwarding);
// Packets that differ in these bits may go different ways: a flow matches them, or copies them to where
// others do. True: some of them are new.
bool cache_bits_add(uint64_t bits[KEY_WORDS], unsigned int word, uint64_t more);
bool cache_bits_add_sources(uint64_t bits[KEY_WORDS], const struct program *program);
bool cache_bits_add_flow(uint64_t bits[KEY_WORDS], const struct flow *flow);
// What the group's choice of a bucket looks at decides on a packet's way, too.
struct group;
bool cache_bits_add_choice(uint64_t bits[KEY_WORDS], const struct group *group);
// The flows look at these bits of the key: makes and publishes what to tell packets apart by. The
// caller waits for a grace period before they do. 0 or -ENOMEM.
int cache_key_publish(struct forwarding *forwarding, const uint64_t bits[KEY_WORDS]);

// NULL without memory.
struct cache *cache_create(void);
void cache_destroy(struct cache *cache);

// --- Hot ---

// A burst under way.
struct cache_probe {
	unsigned int stride; // words of a key: 8 or 16
	uint64_t unknown; // packets without an entry
	_Alignas(64) uint64_t keys[VECTOR_SIZE * CACHE_KEY_WORDS];
	uint64_t hash[VECTOR_SIZE];
	struct cache_entry *entries[VECTOR_SIZE];
};

void cache_find(struct cache *cache, const struct forward *forward, uint64_t packets,
		struct cache_probe *probe);
// A place for the key of packet `i`, empty but for the key. NULL: there is an entry by now, or no room.
struct cache_entry *cache_place(struct cache *cache, struct forward *forward,
				struct cache_probe *probe, unsigned int i);
// Make the entry of packet `i` from what was noted of it.
void cache_insert(struct forward *forward, struct cache_probe *probe, unsigned int i);
// All of pipeline_run() for packets fresh from a port.
void cache_run(struct forward *forward, uint64_t packets);
// The entry has counts to give.
void cache_queue(struct worker *worker, struct cache_entry *entry);
// Give the counts of so many entries to the flows.
void cache_fold(struct worker *worker, uint32_t n);

static inline void cache_note(struct forward *forward, uint8_t table_id,
			      const struct flow *const *results, uint64_t packets)
{
	for_each_packet(i, packets & forward->recorded)
	{
		struct cache_record *record = &forward->worker->cache->records[i];

		if (likely(record->n < CACHE_MAX_PATH))
			record->steps[record->n++] = (struct cache_step){ results[i], table_id };
		else
			record->n = CACHE_MAX_PATH + 1;
	}
}

static inline void cache_note_bucket(struct forward *forward, uint32_t group_id, uint16_t bucket,
				     uint64_t packets)
{
	for_each_packet(i, packets & forward->choosing)
	{
		struct cache_record *record = &forward->worker->cache->records[i];

		record->n_groups += record->n_groups < 2;
		record->group_id = group_id;
		record->bucket = bucket;
	}
}

static inline void cache_note_learned(struct forward *forward, struct learn_entry *learned,
				      unsigned int packet)
{
	struct cache_record *record = &forward->worker->cache->records[packet];

	if (!(forward->recorded >> packet & 1))
		return;
	record->n_learns += record->n_learns < 2;
	record->learned = learned;
}

// An op of a list, with the table and the nesting that it runs in.
#define CACHE_OP_TABLE_SHIFT 48
#define CACHE_OP_DEPTH_SHIFT 56

static inline unsigned int cache_set_of(uint64_t hash)
{
	return (unsigned int)hash & (CACHE_SETS - 1);
}

// 0 is no entry's.
static inline uint16_t cache_tag_of(uint64_t hash)
{
	return (uint16_t)(hash >> 48 | 1);
}

#endif
