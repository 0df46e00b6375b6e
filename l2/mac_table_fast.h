// Looking addresses up, many at a time: for hot code that has a vector of packets.
#ifndef L2_MAC_TABLE_FAST_H
#define L2_MAC_TABLE_FAST_H

#include "flowtable/classifier/lanes.h"
#include "l2/mac_table_internal.h"

// mac_bucket_find() for all places at once. Keys change beside us, so what is found is a hint where
// to look; the word is read again.
static inline uint32_t mac_bucket_look(const struct mac_table *table, uint32_t bucket, uint64_t key,
				       uint64_t *word)
{
	const uint64_t *keys = table->buckets[bucket].keys;

	for (unsigned int i = 0; i < MAC_BUCKET_SLOTS; i += LANES) {
		const lanes words = *(const volatile lanes *)&keys[i];
		const uint64_t hits = lanes_zero((words & ~(uint64_t)MAC_KEY_GENERATION) ^ key);

		if (!hits)
			continue;
		i += (unsigned int)__builtin_ctzll(hits);
		*word = __atomic_load_n(&keys[i], __ATOMIC_ACQUIRE);
		return (*word & ~(uint64_t)MAC_KEY_GENERATION) == key
			       ? bucket * MAC_BUCKET_SLOTS + i
			       : MAC_SLOT_NONE;
	}
	return MAC_SLOT_NONE;
}

static inline uint32_t mac_query_find(const struct mac_table *table, const struct mac_query *query,
				      uint64_t *word)
{
	const uint32_t slot =
		mac_bucket_look(table, mac_key_bucket(table, query->hash), query->key, word);

	return slot != MAC_SLOT_NONE
		       ? slot
		       : mac_bucket_look(table, mac_key_other_bucket(table, query->hash),
					 query->key, word);
}

// Ask for many addresses first, which fetches what the answers need.
static inline void mac_table_ask(const struct mac_table *table, uint16_t vlan, const uint8_t mac[6],
				 struct mac_query *query)
{
	query->key = mac_key(vlan, mac);
	query->hash = mac_key_hash(table, query->key);
	__builtin_prefetch(table->buckets[mac_key_bucket(table, query->hash)].keys);
	__builtin_prefetch(table->buckets[mac_key_bucket(table, query->hash)].data);
}

// What is known about a key, read consistently while the main thread may change it.
static inline bool mac_entry_read(const struct mac_table *table, const struct mac_query *query,
				  uint32_t *slot, struct mac_slot_data *seen)
{
	const struct mac_slot_data *data;
	uint64_t word;
	uint32_t now_s = __atomic_load_n(&table->now_s, __ATOMIC_RELAXED);

	*slot = mac_query_find(table, query, &word);
	if (*slot == MAC_SLOT_NONE)
		return false;
	data = mac_slot_data(table, *slot);
	seen->ofport = __atomic_load_n(&data->ofport, __ATOMIC_ACQUIRE);
	seen->seen_s = __atomic_load_n(&data->seen_s, __ATOMIC_ACQUIRE);
	// Not the entry any more that was found: as good as not found.
	if (__atomic_load_n(mac_slot_key(table, *slot), __ATOMIC_RELAXED) != word)
		return false;
	return mac_age_s(now_s, seen->seen_s) <= __atomic_load_n(&table->aging_s, __ATOMIC_RELAXED);
}

static inline uint32_t mac_table_answer(const struct mac_table *table,
					const struct mac_query *query)
{
	struct mac_slot_data seen;
	uint32_t slot;

	return mac_entry_read(table, query, &slot, &seen) ? seen.ofport : MAC_TABLE_NONE;
}

// Is it known at `ofport`? Then it is as young as can be.
static inline bool mac_table_answer_refresh(struct mac_table *table, const struct mac_query *query,
					    uint32_t ofport)
{
	uint32_t now_s = __atomic_load_n(&table->now_s, __ATOMIC_RELAXED);
	struct mac_slot_data seen;
	uint32_t slot;

	if (!mac_entry_read(table, query, &slot, &seen) || seen.ofport != ofport)
		return false;
	// Only when the second has changed: otherwise every frame would take the cache line away
	// from the other workers. Should the slot change hands right now, its new owner is young
	// anyway.
	if (seen.seen_s != now_s)
		__atomic_store_n(&mac_slot_data(table, slot)->seen_s, now_s, __ATOMIC_RELAXED);
	return true;
}

#endif
