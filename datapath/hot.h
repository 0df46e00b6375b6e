// The functions that exist in several builds, one per x86-64 level, chosen once at start.
//
// Hot files (see HOT_SOURCES in the Makefile) are compiled for each level and linked into one
// object per level, in which everything is local but this table. Code outside of the hot files
// reaches them only through `hot`.
#ifndef DATAPATH_HOT_H
#define DATAPATH_HOT_H

#include "datapath/worker.h"
#include "flowtable/classifier/classifier.h"

struct hot {
	const char *level; // "x86-64-v3"

	// Carry a burst received on `port` to its end: parse, tables, actions, output, sending.
	// Takes the packets.
	void (*forward)(struct worker *worker, struct forwarding *forwarding,
			struct forwarding_port *port, struct rte_mbuf **packets, uint16_t n);

	// Parse one packet into a whole key, all lines. False if it is too short to forward.
	bool (*parse_key)(struct rte_mbuf *packet, uint32_t in_port, struct key *key);

	void (*table_lookup)(const struct table *table, const struct key_vector *keys,
			     uint64_t packets, const struct flow *results[VECTOR_SIZE]);
	void (*table_lookup_explained)(const struct table *table, const struct key_vector *keys,
				       uint64_t packets, const struct flow *results[VECTOR_SIZE],
				       struct table_conjunction *conjunction);
	uint32_t (*mac_table_lookup)(const struct mac_table *table, uint16_t vlan,
				     const uint8_t mac[6]);
	bool (*mac_table_refresh)(struct mac_table *table, uint16_t vlan, const uint8_t mac[6],
				  uint32_t ofport);

	// Give the counts of so many entries of the traversal cache to the flows (cache.h).
	void (*cache_fold)(struct worker *worker, uint32_t n);

	// Send what shaped ports have due (qos.h). Returns how many packets.
	uint32_t (*run_shapers)(struct worker *worker);

	// One sub-classifier alone, and a table in a view: for tests.
	classifier_lookup_function *classifier_lookup;
	classifier_view_function *classifier_lookup_view;
	void (*table_lookup_view)(const struct table *table, const struct key_vector *keys,
				  uint64_t packets, const struct flow *results[VECTOR_SIZE],
				  enum flow_view view);
};

// The chosen build; hot_select() must have been called.
extern const struct hot *hot;

// Choose by CPUID the best level that this machine can run, or the one named. Returns 0, or
// -errno with a sentence (unknown level, or one that the machine lacks). Main thread, once.
int hot_select(const char *level, struct error *error);

#endif
