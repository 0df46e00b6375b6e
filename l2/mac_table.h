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
// What was learned goes; static entries stay, but for those of a port that is closed.
void mac_table_flush(struct mac_table *table);
void mac_table_flush_port(struct mac_table *table, uint32_t ofport);
void mac_table_flush_vlan(struct mac_table *table, uint16_t vlan);
void mac_table_remove_port(struct mac_table *table, uint32_t ofport); // static entries, too

// Main thread. An entry that neither ages, moves nor gives way, until it is removed. Half of the
// table can be static. 0, -EINVAL (a multicast address, or none) or -ENOSPC.
int mac_table_add_static(struct mac_table *table, uint16_t vlan, const uint8_t mac[6],
			 uint32_t ofport);
// Learned or static. False: there is none.
bool mac_table_remove(struct mac_table *table, uint16_t vlan, const uint8_t mac[6]);

// Main thread. An address that moves more than so many times within a second stays where it is for
// hold_s: it flaps, mostly because of a loop. 0: it may move as it likes.
#define MAC_TABLE_DEFAULT_MOVES 5
#define MAC_TABLE_DEFAULT_HOLD_S 10
void mac_table_set_damping(struct mac_table *table, unsigned int moves, unsigned int hold_s);

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

// The same with at most `limit` learned addresses at the port (0: no limit).
enum mac_learned {
	MAC_LEARNED, // or known
	MAC_IGNORED, // no address to learn, or a static one
	MAC_REFUSED, // beyond the limit
	MAC_HOLD_BEGINS, // it moved too often
	MAC_HELD, // it did, and moves no more for now
};
enum mac_learned mac_table_learn_limited(struct mac_table *table, uint16_t vlan,
					 const uint8_t mac[6], uint32_t ofport, uint32_t limit);

// Main thread, once a second: age out a bounded part of the table. `now_s` is monotonic.
void mac_table_tick(struct mac_table *table, uint32_t now_s);

// Main thread: walk all entries (fdb-show).
struct mac_entry {
	uint8_t mac[6];
	uint16_t vlan;
	uint32_t ofport;
	uint32_t age_s;
	bool is_static;
	bool is_held;
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
	uint32_t n_static;
	uint64_t refused; // beyond a port's limit
	uint64_t held; // moves that did not take place
};
void mac_table_get_stats(const struct mac_table *table, struct mac_table_stats *stats);
void mac_table_clear_stats(struct mac_table *table); // all but what is there

#endif
