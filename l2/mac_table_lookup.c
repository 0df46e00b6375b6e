#include "flowtable/classifier/lanes.h"
#include "l2/mac_table_internal.h"

// mac_bucket_find() for all places at once. Keys change beside us, so what is found is a hint where
// to look; the word is read again.
static inline uint32_t bucket_find(const struct mac_table *table, uint32_t bucket, uint64_t key,
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

static uint32_t find(const struct mac_table *table, const struct mac_query *query, uint64_t *word)
{
	const uint32_t slot = bucket_find(table, query->buckets[0], query->key, word);

	return slot != MAC_SLOT_NONE ? slot
				     : bucket_find(table, query->buckets[1], query->key, word);
}

void mac_table_ask(const struct mac_table *table, uint16_t vlan, const uint8_t mac[6],
		   struct mac_query *query)
{
	query->key = mac_key(vlan, mac);
	mac_key_buckets(table, query->key, query->buckets);
	__builtin_prefetch(table->buckets[query->buckets[0]].keys);
	__builtin_prefetch(table->buckets[query->buckets[0]].data);
}

// What is known about a key, read consistently while the main thread may change it.
static bool read_entry(const struct mac_table *table, const struct mac_query *query, uint32_t *slot,
		       struct mac_slot_data *seen)
{
	const struct mac_slot_data *data;
	uint64_t word;
	uint32_t now_s = __atomic_load_n(&table->now_s, __ATOMIC_RELAXED);

	*slot = find(table, query, &word);
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

uint32_t mac_table_answer(const struct mac_table *table, const struct mac_query *query)
{
	struct mac_slot_data seen;
	uint32_t slot;

	return read_entry(table, query, &slot, &seen) ? seen.ofport : MAC_TABLE_NONE;
}

uint32_t mac_table_lookup(const struct mac_table *table, uint16_t vlan, const uint8_t mac[6])
{
	struct mac_query query;

	mac_table_ask(table, vlan, mac, &query);
	return mac_table_answer(table, &query);
}

bool mac_table_answer_refresh(struct mac_table *table, const struct mac_query *query,
			      uint32_t ofport)
{
	uint32_t now_s = __atomic_load_n(&table->now_s, __ATOMIC_RELAXED);
	struct mac_slot_data seen;
	uint32_t slot;

	if (!read_entry(table, query, &slot, &seen) || seen.ofport != ofport)
		return false;
	// Only when the second has changed: otherwise every frame would take the cache line away
	// from the other workers. Should the slot change hands right now, its new owner is young
	// anyway.
	if (seen.seen_s != now_s)
		__atomic_store_n(&mac_slot_data(table, slot)->seen_s, now_s, __ATOMIC_RELAXED);
	return true;
}

bool mac_table_refresh(struct mac_table *table, uint16_t vlan, const uint8_t mac[6],
		       uint32_t ofport)
{
	struct mac_query query;

	mac_table_ask(table, vlan, mac, &query);
	return mac_table_answer_refresh(table, &query, ofport);
}
