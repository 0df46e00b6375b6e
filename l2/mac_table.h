// The MAC learning table of a bridge (IEEE 802.1Q clause 8.8; ovs-actions(7) NORMAL).
//
// Workers look up and report; the main thread inserts, moves, ages and evicts. A lookup never
// waits and never writes but an entry's age, and that only when the age changes. The table has a
// fixed capacity; when it is full the port with the most entries loses its oldest. Keys are
// peer-chosen: the hash is keyed (common/hash.h) and probes are bounded.
#ifndef L2_MAC_TABLE_H
#define L2_MAC_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define MAC_TABLE_DEFAULT_SIZE 8192
#define MAC_TABLE_DEFAULT_AGING_S 300

struct mac_table;

// Main thread.
struct mac_table *mac_table_create(uint32_t size, unsigned int aging_s);
void mac_table_destroy(void *table); // rcu_defer() it
void mac_table_set_aging(struct mac_table *table, unsigned int aging_s);
void mac_table_flush(struct mac_table *table);
void mac_table_flush_port(struct mac_table *table, uint32_t ofport);

// Worker. The port behind (vlan, mac), or MAC_TABLE_NONE. `vlan` is 0 to 4095.
#define MAC_TABLE_NONE UINT32_MAX
uint32_t mac_table_lookup(const struct mac_table *table, uint16_t vlan, const uint8_t mac[6]);

// Worker. Is (vlan, mac) known at `ofport`? Then its age is refreshed and this returns true. If
// not, the caller reports it to the main thread, which calls mac_table_learn().
bool mac_table_refresh(struct mac_table *table, uint16_t vlan, const uint8_t mac[6],
		       uint32_t ofport);

// A question to the table: mac_table_fast.h.
struct mac_query {
	uint64_t key;
	uint64_t hash;
};

// Main thread. Learn or move. Multicast sources are ignored.
void mac_table_learn(struct mac_table *table, uint16_t vlan, const uint8_t mac[6], uint32_t ofport);

// Main thread, once a second: age out a bounded part of the table. `now_s` is monotonic.
void mac_table_tick(struct mac_table *table, uint32_t now_s);

// Main thread: walk all entries (fdb-show).
struct mac_entry {
	uint8_t mac[6];
	uint16_t vlan;
	uint32_t ofport;
	uint32_t age_s;
};
void mac_table_walk(const struct mac_table *table,
		    void (*visit)(void *context, const struct mac_entry *entry), void *context);

struct mac_table_stats {
	uint32_t n_entries;
	uint32_t size;
	uint64_t learned;
	uint64_t moved;
	uint64_t expired;
	uint64_t evicted;
};
void mac_table_get_stats(const struct mac_table *table, struct mac_table_stats *stats);

#endif
