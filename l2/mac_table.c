// The main thread's side of the MAC table: learning, ageing and fair eviction.
//
// Each port has a list of its entries, oldest first as far as the main thread knows. Workers
// refresh ages without telling: an entry that turns out younger than its place goes to the end
// when it is looked at. Ports are kept in lists by their number of entries, so the fullest is
// known at once.
#include "l2/mac_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "l2/mac_table_internal.h"

#define MIN_SIZE 8
#define MAX_SIZE (1u << 22)
#define NONE UINT32_MAX
// How many refreshed entries an eviction steps over before it takes what comes.
#define EVICT_MAX_TRIES 16
// A tick goes over one part in TICK_PARTS of the table, and at most so many buckets. Lookups
// check ages themselves, so a late tick does no harm.
#define TICK_PARTS 8
#define TICK_MAX_BUCKETS 8192
#define PORT_BUCKETS 256

struct slot_links {
	uint32_t next; // in the port's list
	uint32_t prev;
	uint32_t port; // index into ports; NONE: the entry is static, in a list of its own
	uint32_t listed_s; // the age that the place in the list is due to
};

// How often an entry moved.
struct slot_moves {
	uint32_t second; // the last one in which it did
	uint32_t n; // in that second
	uint32_t held_until_s; // it stays; the time of the entry, if that has begun
	bool is_held;
};

struct port {
	uint32_t ofport;
	uint32_t n_entries;
	uint32_t first; // oldest slot
	uint32_t last;
	uint32_t hash_next; // ports with the same hash; or the next free one
	uint32_t count_next; // ports with as many entries
	uint32_t count_prev;
};

struct mac_table_lists {
	struct slot_links *slots;
	struct slot_moves *moves;
	uint32_t first_static;
	struct port *ports; // only ports with entries are in use, so there are at most `size`
	uint32_t n_ports; // high-water mark
	uint32_t free_port;
	uint32_t by_hash[PORT_BUCKETS];
	uint32_t max_count; // most entries of any port
	uint32_t *by_count; // first port with so many entries
};

static void lists_free(struct mac_table_lists *lists)
{
	if (!lists)
		return;
	free(lists->slots);
	free(lists->moves);
	free(lists->ports);
	free(lists->by_count);
	free(lists);
}

static struct mac_table_lists *lists_create(uint32_t size, uint32_t n_slots)
{
	struct mac_table_lists *lists = calloc(1, sizeof(*lists));

	if (!lists)
		return NULL;
	lists->slots = calloc(n_slots, sizeof(lists->slots[0]));
	lists->moves = calloc(n_slots, sizeof(lists->moves[0]));
	// One more than entries: an entry that moves enters its new port before another leaves.
	lists->ports = calloc(size + 1, sizeof(lists->ports[0]));
	lists->by_count = malloc((size + 2) * sizeof(lists->by_count[0]));
	if (!lists->slots || !lists->moves || !lists->ports || !lists->by_count) {
		lists_free(lists);
		return NULL;
	}
	lists->free_port = NONE;
	lists->first_static = NONE;
	memset(lists->by_hash, 0xff, sizeof(lists->by_hash));
	memset(lists->by_count, 0xff, (size + 2) * sizeof(lists->by_count[0]));
	return lists;
}

struct mac_table *mac_table_create(uint32_t size, unsigned int aging_s)
{
	static uint64_t n_created;
	struct mac_table *table = aligned_alloc(64, sizeof(*table));
	uint32_t n_buckets = 2;

	if (!table)
		return NULL;
	memset(table, 0, sizeof(*table));
	size = size < MIN_SIZE ? MIN_SIZE : size > MAX_SIZE ? MAX_SIZE : size;
	while (n_buckets * MAC_BUCKET_SLOTS < size * 2)
		n_buckets *= 2;
	table->stats.size = size;
	table->bucket_mask = n_buckets - 1;
	for (unsigned int i = 0; i < 2; i++) {
		n_created++;
		table->seeds[i] = hash_words(&n_created, 1) | i;
	}
	table->buckets = aligned_alloc(64, n_buckets * sizeof(struct mac_bucket));
	table->lists = lists_create(size, n_buckets * MAC_BUCKET_SLOTS);
	if (!table->buckets || !table->lists) {
		mac_table_destroy(table);
		return NULL;
	}
	memset(table->buckets, 0, n_buckets * sizeof(struct mac_bucket));
	mac_table_set_aging(table, aging_s);
	mac_table_set_damping(table, MAC_TABLE_DEFAULT_MOVES, MAC_TABLE_DEFAULT_HOLD_S);
	return table;
}

void mac_table_destroy(void *object)
{
	struct mac_table *table = object;

	if (!table)
		return;
	lists_free(table->lists);
	free(table->buckets);
	free(table);
}

void mac_table_set_aging(struct mac_table *table, unsigned int aging_s)
{
	__atomic_store_n(&table->aging_s, aging_s ? aging_s : 1, __ATOMIC_RELAXED);
}

void mac_table_set_damping(struct mac_table *table, unsigned int moves, unsigned int hold_s)
{
	table->max_moves = moves;
	table->hold_s = hold_s;
}

static uint32_t *port_bucket(struct mac_table_lists *lists, uint32_t ofport)
{
	return &lists->by_hash[(ofport ^ ofport >> 8) % PORT_BUCKETS];
}

static uint32_t port_find(struct mac_table_lists *lists, uint32_t ofport)
{
	uint32_t port = *port_bucket(lists, ofport);

	while (port != NONE && lists->ports[port].ofport != ofport)
		port = lists->ports[port].hash_next;
	return port;
}

static uint32_t port_get(struct mac_table_lists *lists, uint32_t ofport)
{
	uint32_t *bucket = port_bucket(lists, ofport);
	uint32_t index = port_find(lists, ofport);

	if (index != NONE)
		return index;
	index = lists->free_port;
	if (index != NONE)
		lists->free_port = lists->ports[index].hash_next;
	else
		index = lists->n_ports++;
	lists->ports[index] = (struct port){
		.ofport = ofport,
		.first = NONE,
		.last = NONE,
		.hash_next = *bucket,
		.count_next = NONE,
		.count_prev = NONE,
	};
	*bucket = index;
	return index;
}

static void port_put(struct mac_table_lists *lists, uint32_t index)
{
	uint32_t *link = port_bucket(lists, lists->ports[index].ofport);

	while (*link != index)
		link = &lists->ports[*link].hash_next;
	*link = lists->ports[index].hash_next;
	lists->ports[index].hash_next = lists->free_port;
	lists->free_port = index;
}

// Ports without entries are in no list of counts.
static void port_unlist(struct mac_table_lists *lists, uint32_t index)
{
	struct port *port = &lists->ports[index];

	if (port->n_entries == 0)
		return;
	if (port->count_next != NONE)
		lists->ports[port->count_next].count_prev = port->count_prev;
	if (port->count_prev != NONE)
		lists->ports[port->count_prev].count_next = port->count_next;
	else
		lists->by_count[port->n_entries] = port->count_next;
}

static void port_set_count(struct mac_table_lists *lists, uint32_t index, uint32_t n_entries)
{
	struct port *port = &lists->ports[index];
	uint32_t *first = &lists->by_count[n_entries];

	port_unlist(lists, index);
	port->n_entries = n_entries;
	if (n_entries > 0) {
		port->count_prev = NONE;
		port->count_next = *first;
		if (*first != NONE)
			lists->ports[*first].count_prev = index;
		*first = index;
	}
	// Counts change by one, so the fullest is never far.
	if (n_entries > lists->max_count)
		lists->max_count = n_entries;
	while (lists->max_count > 0 && lists->by_count[lists->max_count] == NONE)
		lists->max_count--;
}

static uint32_t slot_seen_s(const struct mac_table *table, uint32_t slot)
{
	return __atomic_load_n(&mac_slot_data(table, slot)->seen_s, __ATOMIC_RELAXED);
}

static void list_append(struct mac_table *table, uint32_t slot, uint32_t index)
{
	struct mac_table_lists *lists = table->lists;
	struct port *port = &lists->ports[index];

	lists->slots[slot] = (struct slot_links){
		.next = NONE,
		.prev = port->last,
		.port = index,
		.listed_s = slot_seen_s(table, slot),
	};
	if (port->last != NONE)
		lists->slots[port->last].next = slot;
	else
		port->first = slot;
	port->last = slot;
}

static void list_unlink(struct mac_table_lists *lists, uint32_t slot)
{
	const struct slot_links *links = &lists->slots[slot];
	struct port *port = &lists->ports[links->port];

	if (links->next != NONE)
		lists->slots[links->next].prev = links->prev;
	else
		port->last = links->prev;
	if (links->prev != NONE)
		lists->slots[links->prev].next = links->next;
	else
		port->first = links->next;
}

static void port_add_slot(struct mac_table *table, uint32_t slot, uint32_t ofport)
{
	struct mac_table_lists *lists = table->lists;
	uint32_t index = port_get(lists, ofport);

	list_append(table, slot, index);
	port_set_count(lists, index, lists->ports[index].n_entries + 1);
}

static void port_remove_slot(struct mac_table *table, uint32_t slot)
{
	struct mac_table_lists *lists = table->lists;
	uint32_t index = lists->slots[slot].port;

	list_unlink(lists, slot);
	port_set_count(lists, index, lists->ports[index].n_entries - 1);
	if (lists->ports[index].n_entries == 0)
		port_put(lists, index);
}

static bool slot_is_static(const struct mac_table *table, uint32_t slot)
{
	return table->lists->slots[slot].port == NONE;
}

static void static_link(struct mac_table *table, uint32_t slot)
{
	struct mac_table_lists *lists = table->lists;

	lists->slots[slot] = (struct slot_links){
		.next = lists->first_static,
		.prev = NONE,
		.port = NONE,
	};
	if (lists->first_static != NONE)
		lists->slots[lists->first_static].prev = slot;
	lists->first_static = slot;
	table->stats.n_static++;
}

static void static_unlink(struct mac_table *table, uint32_t slot)
{
	struct mac_table_lists *lists = table->lists;
	const struct slot_links *links = &lists->slots[slot];

	if (links->next != NONE)
		lists->slots[links->next].prev = links->prev;
	if (links->prev != NONE)
		lists->slots[links->prev].next = links->next;
	else
		lists->first_static = links->next;
	table->stats.n_static--;
}

static void slot_clear(struct mac_table *table, uint32_t slot)
{
	uint64_t *key = mac_slot_key(table, slot);

	// The generation stays behind for the next user of the slot.
	__atomic_store_n(key, *key & MAC_KEY_GENERATION, __ATOMIC_RELEASE);
	if (slot_is_static(table, slot))
		static_unlink(table, slot);
	else
		port_remove_slot(table, slot);
	table->stats.n_entries--;
}

static bool slot_is_used(const struct mac_table *table, uint32_t slot)
{
	return *mac_slot_key(table, slot) & MAC_KEY_VALID;
}

static void slot_set_seen(struct mac_table *table, uint32_t slot)
{
	__atomic_store_n(&mac_slot_data(table, slot)->seen_s, table->now_s, __ATOMIC_RELEASE);
}

static void slot_fill(struct mac_table *table, uint32_t slot, uint64_t key, uint32_t ofport,
		      bool is_static)
{
	uint64_t *word = mac_slot_key(table, slot);
	uint64_t generation = (*word + 2) & MAC_KEY_GENERATION;

	slot_set_seen(table, slot);
	__atomic_store_n(&mac_slot_data(table, slot)->ofport, ofport, __ATOMIC_RELEASE);
	__atomic_store_n(word, key | generation, __ATOMIC_RELEASE);
	table->lists->moves[slot] = (struct slot_moves){ 0 };
	if (is_static)
		static_link(table, slot);
	else
		port_add_slot(table, slot, ofport);
	table->stats.n_entries++;
}

// The oldest entry of the port with the most entries. There is one: at most half of all are static.
static void evict_oldest(struct mac_table *table)
{
	struct mac_table_lists *lists = table->lists;
	uint32_t index = lists->by_count[lists->max_count];
	struct port *port = &lists->ports[index];

	for (unsigned int i = 0; i < EVICT_MAX_TRIES && port->first != port->last; i++) {
		uint32_t slot = port->first;

		if (slot_seen_s(table, slot) == lists->slots[slot].listed_s)
			break;
		list_unlink(lists, slot);
		list_append(table, slot, index);
	}
	slot_clear(table, port->first);
	table->stats.evicted++;
}

// Of sixteen entries the oldest of the port with the most entries; MAC_SLOT_NONE if all are static.
static uint32_t evict_from(struct mac_table *table, const uint32_t buckets[2])
{
	const struct mac_table_lists *lists = table->lists;
	uint32_t victim = MAC_SLOT_NONE, most = 0;

	for (unsigned int i = 0; i < 2 * MAC_BUCKET_SLOTS; i++) {
		uint32_t slot =
			buckets[i / MAC_BUCKET_SLOTS] * MAC_BUCKET_SLOTS + i % MAC_BUCKET_SLOTS;
		uint32_t n;

		if (slot_is_static(table, slot))
			continue;
		n = lists->ports[lists->slots[slot].port].n_entries;
		if (victim == MAC_SLOT_NONE || n > most ||
		    (n == most && slot_seen_s(table, slot) < slot_seen_s(table, victim))) {
			victim = slot;
			most = n;
		}
	}
	if (victim == MAC_SLOT_NONE)
		return MAC_SLOT_NONE;
	slot_clear(table, victim);
	table->stats.evicted++;
	return victim;
}

// A free slot in the emptier of the two buckets; MAC_SLOT_NONE if both are full.
static uint32_t find_free(const struct mac_table *table, const uint32_t buckets[2])
{
	uint32_t free_slot[2] = { MAC_SLOT_NONE, MAC_SLOT_NONE };
	unsigned int n_free[2] = { 0, 0 };

	for (unsigned int b = 0; b < 2; b++)
		for (unsigned int i = 0; i < MAC_BUCKET_SLOTS; i++) {
			uint32_t slot = buckets[b] * MAC_BUCKET_SLOTS + i;

			if (slot_is_used(table, slot))
				continue;
			free_slot[b] = slot;
			n_free[b]++;
		}
	return n_free[0] >= n_free[1] ? free_slot[0] : free_slot[1];
}

// False: all places that it could have are static entries'.
static bool insert(struct mac_table *table, uint64_t key, uint32_t ofport, bool is_static)
{
	uint32_t buckets[2];
	uint32_t slot;

	if (table->stats.n_entries >= table->stats.size)
		evict_oldest(table);
	mac_key_buckets(table, key, buckets);
	slot = find_free(table, buckets);
	if (slot == MAC_SLOT_NONE)
		slot = evict_from(table, buckets);
	if (slot == MAC_SLOT_NONE)
		return false;
	slot_fill(table, slot, key, ofport, is_static);
	return true;
}

// Does the entry have to stay where it is?
static enum mac_learned hold(struct mac_table *table, uint32_t slot)
{
	struct slot_moves *moves = &table->lists->moves[slot];

	if (!table->max_moves)
		return MAC_LEARNED;
	if (moves->is_held && (int32_t)(moves->held_until_s - table->now_s) > 0)
		return MAC_HELD;
	if (moves->is_held || moves->second != table->now_s)
		*moves = (struct slot_moves){ .second = table->now_s };
	if (++moves->n <= table->max_moves)
		return MAC_LEARNED;
	moves->is_held = true;
	moves->held_until_s = table->now_s + table->hold_s;
	return MAC_HOLD_BEGINS;
}

static enum mac_learned move(struct mac_table *table, uint32_t slot, uint32_t ofport)
{
	const enum mac_learned held = hold(table, slot);

	if (held != MAC_LEARNED) {
		table->stats.held++;
		return held;
	}
	port_remove_slot(table, slot);
	slot_set_seen(table, slot);
	__atomic_store_n(&mac_slot_data(table, slot)->ofport, ofport, __ATOMIC_RELEASE);
	port_add_slot(table, slot, ofport);
	table->stats.moved++;
	return MAC_LEARNED;
}

static bool is_learnable(const uint8_t mac[6], uint32_t ofport)
{
	static const uint8_t zero[6];

	return !(mac[0] & 1) && memcmp(mac, zero, sizeof(zero)) != 0 && ofport != MAC_TABLE_NONE;
}

static bool is_at_limit(struct mac_table *table, uint32_t ofport, uint32_t limit)
{
	const uint32_t port = limit ? port_find(table->lists, ofport) : NONE;

	if (port == NONE || table->lists->ports[port].n_entries < limit)
		return false;
	table->stats.refused++;
	return true;
}

enum mac_learned mac_table_learn_limited(struct mac_table *table, uint16_t vlan,
					 const uint8_t mac[6], uint32_t ofport, uint32_t limit)
{
	uint64_t key = mac_key(vlan, mac);
	uint64_t word;
	uint32_t slot;

	if (!is_learnable(mac, ofport))
		return MAC_IGNORED;
	slot = mac_table_find(table, key, &word);
	if (slot != MAC_SLOT_NONE && slot_is_static(table, slot))
		return MAC_IGNORED;
	if (slot != MAC_SLOT_NONE && mac_slot_data(table, slot)->ofport == ofport) {
		slot_set_seen(table, slot);
		return MAC_LEARNED;
	}
	if (is_at_limit(table, ofport, limit))
		return MAC_REFUSED;
	if (slot != MAC_SLOT_NONE)
		return move(table, slot, ofport);
	if (!insert(table, key, ofport, false))
		return MAC_IGNORED;
	table->stats.learned++;
	return MAC_LEARNED;
}

void mac_table_learn(struct mac_table *table, uint16_t vlan, const uint8_t mac[6], uint32_t ofport)
{
	mac_table_learn_limited(table, vlan, mac, ofport, 0);
}

int mac_table_add_static(struct mac_table *table, uint16_t vlan, const uint8_t mac[6],
			 uint32_t ofport)
{
	uint64_t key = mac_key(vlan, mac);
	uint64_t word;
	uint32_t slot;

	if (!is_learnable(mac, ofport))
		return -EINVAL;
	slot = mac_table_find(table, key, &word);
	if (slot != MAC_SLOT_NONE && slot_is_static(table, slot)) {
		__atomic_store_n(&mac_slot_data(table, slot)->ofport, ofport, __ATOMIC_RELEASE);
		return 0;
	}
	if (table->stats.n_static >= table->stats.size / 2)
		return -ENOSPC;
	if (slot != MAC_SLOT_NONE)
		slot_clear(table, slot);
	return insert(table, key, ofport, true) ? 0 : -ENOSPC;
}

bool mac_table_remove(struct mac_table *table, uint16_t vlan, const uint8_t mac[6])
{
	uint64_t word;
	const uint32_t slot = mac_table_find(table, mac_key(vlan, mac), &word);

	if (slot == MAC_SLOT_NONE)
		return false;
	slot_clear(table, slot);
	return true;
}

static uint32_t n_slots(const struct mac_table *table)
{
	return (table->bucket_mask + 1) * MAC_BUCKET_SLOTS;
}

void mac_table_flush(struct mac_table *table)
{
	for (uint32_t slot = 0; slot < n_slots(table); slot++)
		if (slot_is_used(table, slot) && !slot_is_static(table, slot))
			slot_clear(table, slot);
}

void mac_table_flush_vlan(struct mac_table *table, uint16_t vlan)
{
	for (uint32_t slot = 0; slot < n_slots(table); slot++)
		if (slot_is_used(table, slot) && !slot_is_static(table, slot) &&
		    (*mac_slot_key(table, slot) >> 4 & 0xfff) == vlan)
			slot_clear(table, slot);
}

void mac_table_flush_port(struct mac_table *table, uint32_t ofport)
{
	struct mac_table_lists *lists = table->lists;
	uint32_t index = port_find(lists, ofport);

	// The port's record is given back with its last entry.
	for (uint32_t n = index == NONE ? 0 : lists->ports[index].n_entries; n > 0; n--)
		slot_clear(table, lists->ports[index].first);
}

void mac_table_remove_port(struct mac_table *table, uint32_t ofport)
{
	uint32_t slot = table->lists->first_static, next;

	mac_table_flush_port(table, ofport);
	for (; slot != NONE; slot = next) {
		next = table->lists->slots[slot].next;
		if (mac_slot_data(table, slot)->ofport == ofport)
			slot_clear(table, slot);
	}
}

// Static entries are always young.
static void refresh_static(struct mac_table *table)
{
	for (uint32_t slot = table->lists->first_static; slot != NONE;
	     slot = table->lists->slots[slot].next)
		slot_set_seen(table, slot);
}

// Entries that were learned before the first tick have no age yet.
static void start_ages(struct mac_table *table, uint32_t now_s)
{
	table->has_ticked = true;
	for (uint32_t slot = 0; slot < n_slots(table); slot++)
		if (slot_is_used(table, slot)) {
			__atomic_store_n(&mac_slot_data(table, slot)->seen_s, now_s,
					 __ATOMIC_RELAXED);
			table->lists->slots[slot].listed_s = now_s;
		}
}

static void age_bucket(struct mac_table *table, uint32_t bucket)
{
	for (unsigned int i = 0; i < MAC_BUCKET_SLOTS; i++) {
		uint32_t slot = bucket * MAC_BUCKET_SLOTS + i;

		if (!slot_is_used(table, slot) || slot_is_static(table, slot) ||
		    mac_age_s(table->now_s, slot_seen_s(table, slot)) <= table->aging_s)
			continue;
		slot_clear(table, slot);
		table->stats.expired++;
	}
}

void mac_table_tick(struct mac_table *table, uint32_t now_s)
{
	uint32_t n = (table->bucket_mask + TICK_PARTS) / TICK_PARTS;

	if (!table->has_ticked)
		start_ages(table, now_s);
	__atomic_store_n(&table->now_s, now_s, __ATOMIC_RELEASE);
	refresh_static(table);
	if (n > TICK_MAX_BUCKETS)
		n = TICK_MAX_BUCKETS;
	for (; n > 0; n--) {
		age_bucket(table, table->tick_position);
		table->tick_position = (table->tick_position + 1) & table->bucket_mask;
	}
}

void mac_table_walk(const struct mac_table *table,
		    void (*visit)(void *context, const struct mac_entry *entry), void *context)
{
	for (uint32_t slot = 0; slot < n_slots(table); slot++) {
		uint64_t key = *mac_slot_key(table, slot);
		struct mac_entry entry = { .vlan = (uint16_t)(key >> 4 & 0xfff) };

		if (!(key & MAC_KEY_VALID))
			continue;
		for (unsigned int i = 0; i < 6; i++)
			entry.mac[i] = (uint8_t)(key >> (56 - 8 * i));
		entry.ofport = mac_slot_data(table, slot)->ofport;
		entry.age_s = mac_age_s(table->now_s, slot_seen_s(table, slot));
		entry.is_static = slot_is_static(table, slot);
		entry.is_held =
			table->lists->moves[slot].is_held &&
			(int32_t)(table->lists->moves[slot].held_until_s - table->now_s) > 0;
		if (entry.age_s <= table->aging_s)
			visit(context, &entry);
	}
}

void mac_table_get_stats(const struct mac_table *table, struct mac_table_stats *stats)
{
	*stats = table->stats;
}

void mac_table_clear_stats(struct mac_table *table)
{
	table->stats = (struct mac_table_stats){
		.n_entries = table->stats.n_entries,
		.n_static = table->stats.n_static,
		.size = table->stats.size,
	};
}
