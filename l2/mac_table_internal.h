// How the MAC table is held: buckets that workers read, and lists that only the main thread has.
//
// A bucket has eight keys in one cache line and their ports and ages in the next. A key may be in
// either of two buckets and never moves; the table has twice as many slots as entries, so both
// being full practically does not happen (if it does, an entry of the two buckets is evicted).
// A key word holds MAC, VLAN, a generation and a valid bit and is published by one store. Before
// a slot is reused its key is cleared, and a lookup reads the key again after the port: a slot
// that changed hands in between has another key or at least another generation.
#ifndef L2_MAC_TABLE_INTERNAL_H
#define L2_MAC_TABLE_INTERNAL_H

#include "common/hash.h"
#include "l2/mac_table.h"

#include <rte_byteorder.h>
#include <string.h>

#define MAC_BUCKET_SLOTS 8
#define MAC_KEY_VALID 1
#define MAC_KEY_GENERATION 0xe // three bits, counted up at each use of the slot
#define MAC_SLOT_NONE UINT32_MAX

struct mac_slot_data {
	uint32_t ofport;
	uint32_t seen_s; // workers write it: when the address last sent a frame
};

struct mac_bucket {
	_Alignas(64) uint64_t keys[MAC_BUCKET_SLOTS]; // 0: empty
	struct mac_slot_data data[MAC_BUCKET_SLOTS];
};

struct mac_table {
	// What workers read.
	struct mac_bucket *buckets;
	uint64_t seeds[2]; // secret; the second one is odd
	uint32_t bucket_mask;
	uint32_t aging_s;
	uint32_t now_s;

	// Main thread. On a line of its own: workers read the one above for every packet.
	_Alignas(64) struct mac_table_lists *lists;
	struct mac_table_stats stats;
	uint32_t tick_position; // next bucket to age
	bool has_ticked;
	unsigned int max_moves; // within a second; 0: any number
	unsigned int hold_s;
};

static inline uint64_t mac_key(uint16_t vlan, const uint8_t mac[6])
{
	uint16_t high;
	uint32_t low;
	uint64_t address;

	memcpy(&high, mac, sizeof(high));
	memcpy(&low, mac + 2, sizeof(low));
	address = (uint64_t)rte_be_to_cpu_16(high) << 32 | rte_be_to_cpu_32(low);
	return address << 16 | (uint64_t)(vlan & 0xfff) << 4 | MAC_KEY_VALID;
}

static inline uint64_t mac_key_hash(const struct mac_table *table, uint64_t key)
{
	return hash_fold(key ^ table->seeds[0], table->seeds[1]);
}

// The two buckets of a key; they differ, as there are at least two.
static inline uint32_t mac_key_bucket(const struct mac_table *table, uint64_t hash)
{
	return (uint32_t)hash & table->bucket_mask;
}

static inline uint32_t mac_key_other_bucket(const struct mac_table *table, uint64_t hash)
{
	const uint32_t step = (uint32_t)(hash >> 32) & table->bucket_mask;

	return ((uint32_t)hash + (step ? step : 1)) & table->bucket_mask;
}

static inline void mac_key_buckets(const struct mac_table *table, uint64_t key, uint32_t index[2])
{
	const uint64_t hash = mac_key_hash(table, key);

	index[0] = mac_key_bucket(table, hash);
	index[1] = mac_key_other_bucket(table, hash);
}

// The slot of a key in one of its buckets (bucket * MAC_BUCKET_SLOTS + place), or MAC_SLOT_NONE.
// `word` gets the key word as it was there.
static inline uint32_t mac_bucket_find(const struct mac_table *table, uint32_t bucket, uint64_t key,
				       uint64_t *word)
{
	const uint64_t *keys = table->buckets[bucket].keys;

	for (unsigned int i = 0; i < MAC_BUCKET_SLOTS; i++) {
		*word = __atomic_load_n(&keys[i], __ATOMIC_ACQUIRE);
		if ((*word & ~(uint64_t)MAC_KEY_GENERATION) == key)
			return bucket * MAC_BUCKET_SLOTS + i;
	}
	return MAC_SLOT_NONE;
}

static inline uint32_t mac_table_find(const struct mac_table *table, uint64_t key, uint64_t *word)
{
	uint32_t index[2], slot;

	mac_key_buckets(table, key, index);
	slot = mac_bucket_find(table, index[0], key, word);
	return slot != MAC_SLOT_NONE ? slot : mac_bucket_find(table, index[1], key, word);
}

static inline uint64_t *mac_slot_key(const struct mac_table *table, uint32_t slot)
{
	return &table->buckets[slot / MAC_BUCKET_SLOTS].keys[slot % MAC_BUCKET_SLOTS];
}

static inline struct mac_slot_data *mac_slot_data(const struct mac_table *table, uint32_t slot)
{
	return &table->buckets[slot / MAC_BUCKET_SLOTS].data[slot % MAC_BUCKET_SLOTS];
}

// Seconds since the entry was seen. Never negative: a worker's clock may lag behind.
static inline uint32_t mac_age_s(uint32_t now_s, uint32_t seen_s)
{
	int32_t age_s = (int32_t)(now_s - seen_s);

	return age_s > 0 ? (uint32_t)age_s : 0;
}

#endif
