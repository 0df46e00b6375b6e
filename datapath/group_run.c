#include "datapath/group.h"

#include "common/rcu.h"
#include "datapath/cache.h"
#include "datapath/saved.h"

#include <string.h>

#define IS_PORTS(proto) ((proto) == 6 || (proto) == 17 || (proto) == 132)

// --- Saving and restoring (ovs-actions(7), group) ---

// As many packets are saved at a time: enough to share the work, and little stack, for groups that
// go to groups.
#define CHUNK 8

// The packet's bytes are brought up to date first, so that not every bucket does it in a copy.
static bool save(struct forward *forward, unsigned int packet, struct saved *saved)
{
	if (!output_commit(forward, packet))
		return false;
	saved_take(saved, forward->vector, packet);
	return true;
}

static void restore(struct forward *forward, unsigned int packet, const struct saved *saved)
{
	// An output of the same bytes may wait on; one of a copy leaves as it is now.
	if (forward->vector->packets[packet] != saved->mbuf)
		output_pending(forward, packet);
	saved_restore(saved, forward->vector, packet);
}

static void run_chunk(struct forward *forward, const struct group_bucket *bucket, uint8_t table_id,
		      uint64_t packets, unsigned int depth)
{
	struct saved saved[CHUNK];
	unsigned int n = 0;
	uint64_t ready = 0;

	for_each_packet(i, packets) if (save(forward, (unsigned int)i, &saved[n]))
	{
		ready |= 1ULL << i;
		n++;
	}
	if (ready)
		actions_run_bucket(forward, bucket->program, table_id, ready, depth + 1);
	n = 0;
	for_each_packet(i, ready) restore(forward, (unsigned int)i, &saved[n++]);
	// What ended in the bucket goes on behind it, unless its budget is used up.
	forward->finished &= ~ready | forward->exhausted;
	forward->metered &= ~ready;
}

// --- Buckets ---

static void count(struct forward *forward, uint32_t counter, uint64_t packets)
{
	uint64_t bytes = 0;

	if (unlikely(forward->trace))
		return;
	for_each_packet(i, packets) bytes += forward->vector->length[i];
	counter_add(forward->worker->counters, counter, (uint64_t)__builtin_popcountll(packets),
		    bytes);
}

static void run_bucket(struct forward *forward, const struct group_bucket *bucket, uint8_t table_id,
		       uint64_t packets, unsigned int depth, bool last)
{
	packets = pipeline_charge(forward, packets & ~forward->finished);
	if (!packets)
		return;
	count(forward, bucket->counter, packets);
	if (unlikely(forward->trace))
		forward->trace->scope_begin(forward->trace->context, TRACE_BUCKET, bucket->id);
	// Nothing comes behind the last bucket: what it changes may stay. But an earlier bucket may
	// have left something in the action set, and that comes.
	if (last && bucket->simple && !(forward->vector->has_action_set & packets)) {
		actions_run_bucket(forward, bucket->program, table_id, packets, depth + 1);
		packets = 0;
	}
	while (packets) {
		uint64_t chunk = packets;

		for (unsigned int i = 0; i < CHUNK; i++)
			packets &= packets - 1;
		chunk &= ~packets;
		run_chunk(forward, bucket, table_id, chunk, depth);
	}
	if (unlikely(forward->trace))
		forward->trace->scope_end(forward->trace->context);
}

// --- Choosing ---

// Two ends of a connection, so that both directions give the same if that is asked for.
static uint64_t hash_ends(const struct group *group, uint64_t hash, uint64_t from, uint64_t to)
{
	if (group->symmetric)
		return hash_word(hash_word(hash, from ^ to), from + to);
	return hash_word(hash_word(hash, from), to);
}

static uint64_t fold6(const uint8_t mac[6])
{
	uint64_t word = 0;

	memcpy(&word, mac, 6);
	return word;
}

static uint64_t fold16(const uint8_t address[16])
{
	uint64_t words[2];

	memcpy(words, address, sizeof(words));
	return hash_fold(words[0] ^ hash_key[0], words[1] ^ hash_key[1]);
}

// Addresses, protocol and ports; Ethernet as well for selection_method=hash and for what is not IP.
// Fragments have no ports that all of them know.
static uint64_t hash_packet(struct forward *forward, const struct group *group, unsigned int packet)
{
	const struct key_core *core = vector_core(forward->vector, packet);
	const struct key_ipv6 *ipv6 = vector_ipv6(forward->vector, packet);
	const bool is_ipv4 = core->eth_type == RTE_BE16(0x0800);
	const bool is_ipv6 = core->eth_type == RTE_BE16(0x86dd);
	uint64_t hash = hash_key[0] ^ group->basis;

	if (group->method == GROUP_METHOD_HASH || (!is_ipv4 && !is_ipv6)) {
		hash = hash_ends(group, hash, fold6(core->eth_src), fold6(core->eth_dst));
		hash = hash_word(hash, (uint64_t)core->eth_type << 32 |
					       (uint64_t)core->vlan_tci0 << 16 | core->vlan_tci1);
	}
	if (is_ipv4)
		hash = hash_ends(group, hash, core->ip_src, core->ip_dst);
	else if (is_ipv6)
		hash = hash_ends(group, hash, fold16(ipv6->ipv6_src), fold16(ipv6->ipv6_dst));
	else
		return hash_finish(hash);
	hash = hash_word(hash, core->ip_proto);
	if (IS_PORTS(core->ip_proto) && !core->ip_frag)
		hash = hash_ends(group, hash, core->tp_src, core->tp_dst);
	return hash_finish(hash);
}

static uint64_t hash_fields(struct forward *forward, const struct group *group, unsigned int packet)
{
	uint64_t hash = hash_key[0] ^ group->basis;

	for (unsigned int i = 0; i < group->n_words; i++) {
		const struct group_word *word = &group->words[i];

		hash = hash_word(hash, key_vector_word(&forward->vector->keys, packet, word->word) &
					       word->mask);
	}
	return hash_finish(hash);
}

static bool is_live(const struct group_bucket *bucket)
{
	return __atomic_load_n(&bucket->live, __ATOMIC_RELAXED);
}

// The bucket of a select group for one packet, or GROUP_NO_BUCKET.
static uint16_t select_bucket(struct forward *forward, const struct group *group,
			      unsigned int packet)
{
	const uint64_t hash = group->n_words ? hash_fields(forward, group, packet)
					     : hash_packet(forward, group, packet);
	const unsigned int slot = (unsigned int)(hash >> 32) % GROUP_SLOTS;
	uint16_t chosen = group->slots[slot];

	if (unlikely(chosen != GROUP_NO_BUCKET && !is_live(&group->buckets[chosen])))
		chosen = group_choose(group, slot, true);
	if (unlikely(forward->trace)) {
		const struct trace_choice choice = { true, hash, slot, group->slots[slot], chosen };

		forward->trace->group(forward->trace->context, group, &choice);
	}
	return chosen;
}

static void drop(struct forward *forward, uint64_t packets, enum drop_reason reason)
{
	for_each_packet(i, packets) output_drop(forward, (unsigned int)i, reason);
}

static void run_select(struct forward *forward, const struct group *group, uint8_t table_id,
		       uint64_t packets, unsigned int depth, bool last)
{
	uint16_t chosen[VECTOR_SIZE] = { 0 };

	for_each_packet(i, packets) chosen[i] = select_bucket(forward, group, (unsigned int)i);
	while (packets) {
		const uint16_t bucket = chosen[__builtin_ctzll(packets)];
		uint64_t same = 0;

		for_each_packet(i, packets) same |= (uint64_t)(chosen[i] == bucket) << i;
		packets &= ~same;
		if (bucket == GROUP_NO_BUCKET) {
			drop(forward, same, DROP_NO_BUCKET);
			continue;
		}
		if (unlikely(forward->choosing))
			cache_note_bucket(forward, group->id, bucket, same);
		run_bucket(forward, &group->buckets[bucket], table_id, same, depth, last);
	}
}

static void trace_choice(struct forward *forward, const struct group *group, unsigned int bucket)
{
	const struct trace_choice choice = { .bucket = bucket };

	if (unlikely(forward->trace))
		forward->trace->group(forward->trace->context, group, &choice);
}

static void run_first_live(struct forward *forward, const struct group *group, uint8_t table_id,
			   uint64_t packets, unsigned int depth, bool last)
{
	for (unsigned int i = 0; i < group->n_buckets; i++)
		if (group->type == GROUP_INDIRECT || is_live(&group->buckets[i])) {
			trace_choice(forward, group, i);
			if (unlikely(forward->choosing))
				cache_note_bucket(forward, group->id, (uint16_t)i, packets);
			run_bucket(forward, &group->buckets[i], table_id, packets, depth, last);
			return;
		}
	trace_choice(forward, group, GROUP_NO_BUCKET);
	drop(forward, packets, DROP_NO_BUCKET);
}

static const struct group_table *groups_of(const struct forwarding *forwarding, enum flow_view view)
{
	const struct group_table *after =
		likely(view != VIEW_AFTER) ? NULL : rcu_read(&forwarding->groups_after);

	return after ? after : rcu_read(&forwarding->groups);
}

void group_run(struct forward *forward, uint32_t group_id, uint8_t table_id, uint64_t packets,
	       unsigned int depth, bool last)
{
	const struct group *group =
		group_find(groups_of(forward->forwarding, forward->view), group_id);

	if (unlikely(!group || depth >= NESTING_MAX_DEPTH ||
		     forward->n_backward >= RESUBMIT_MAX_DEPTH)) {
		drop(forward, packets, group ? DROP_DEPTH : DROP_NO_GROUP);
		return;
	}
	count(forward, group->counter, packets);
	forward->n_backward++;
	switch (group->type) {
	case GROUP_SELECT:
		run_select(forward, group, table_id, packets, depth, last);
		break;
	case GROUP_ALL:
		trace_choice(forward, group, GROUP_NO_BUCKET);
		for (unsigned int i = 0; i < group->n_buckets; i++)
			run_bucket(forward, &group->buckets[i], table_id, packets, depth,
				   last && i + 1 == group->n_buckets);
		break;
	default:
		run_first_live(forward, group, table_id, packets, depth, last);
		break;
	}
	forward->n_backward--;
}
