#include "l2/mac_table_internal.h"

// What is known about a key, read consistently while the main thread may change it.
static bool mac_table_read(const struct mac_table *table, uint64_t key, uint32_t *slot,
			   struct mac_slot_data *seen)
{
	const struct mac_slot_data *data;
	uint64_t word;
	uint32_t now_s = __atomic_load_n(&table->now_s, __ATOMIC_RELAXED);

	*slot = mac_table_find(table, key, &word);
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

uint32_t mac_table_lookup(const struct mac_table *table, uint16_t vlan, const uint8_t mac[6])
{
	struct mac_slot_data seen;
	uint32_t slot;

	return mac_table_read(table, mac_key(vlan, mac), &slot, &seen) ? seen.ofport
								       : MAC_TABLE_NONE;
}

bool mac_table_refresh(struct mac_table *table, uint16_t vlan, const uint8_t mac[6],
		       uint32_t ofport)
{
	uint32_t now_s = __atomic_load_n(&table->now_s, __ATOMIC_RELAXED);
	struct mac_slot_data seen;
	uint32_t slot;

	if (!mac_table_read(table, mac_key(vlan, mac), &slot, &seen) || seen.ofport != ofport)
		return false;
	// Only when the second has changed: otherwise every frame would take the cache line away
	// from the other workers. Should the slot change hands right now, its new owner is young
	// anyway.
	if (seen.seen_s != now_s)
		__atomic_store_n(&mac_slot_data(table, slot)->seen_s, now_s, __ATOMIC_RELAXED);
	return true;
}
