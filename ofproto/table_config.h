// What is configured for single flow tables: names, limits, eviction, and what a miss does.
//
// The settings come from rows of Flow_Table (ovs-vswitchd.conf.db(5)) and are in force as soon as
// bridge_set_table_config() returns. Main thread.
#ifndef OFPROTO_TABLE_CONFIG_H
#define OFPROTO_TABLE_CONFIG_H

#include "ofproto/bridge.h"
#include "ofproto/eviction.h"

#define TABLE_NAME_SIZE 32 // OFP_MAX_TABLE_NAME_LEN of OpenFlow 1.3
// Flows that one table can have without a limit: that many have counters.
#define TABLE_MOST_FLOWS (1u << 24)

struct flow_change;

struct table_config {
	char name[TABLE_NAME_SIZE]; // "": none
	bool has_limit;
	bool evicts; // else a flow beyond the limit is refused
	uint8_t miss; // enum table_miss
	uint32_t limit;
	uint32_t max_cycles; // that a lookup may be expected to cost; 0: any
	unsigned int n_groups;
	struct subfield groups[EVICTION_MAX_FIELDS];
	// Of OpenFlow 1.4: shown, and told to nobody while there is no controller.
	bool has_vacancy;
	uint8_t vacancy_low, vacancy_high; // percent
};

// Put settings in force; NULL: those of a table that nobody configured. A table that evicts and has
// more flows than its limit loses some at once. 0 or -ENOMEM.
int bridge_set_table_config(struct bridge *bridge, uint8_t table_id,
			    const struct table_config *config);
// Never NULL.
const struct table_config *bridge_table_config(const struct bridge *bridge, uint8_t table_id);

// How often packets were looked up in the table, and a flow matched, since the bridge was made.
struct table_counts {
	uint64_t lookups, matches;
	uint64_t evicted, refused; // flows
};
void bridge_table_counts(const struct bridge *bridge, uint8_t table_id,
			 struct table_counts *counts);

// The number of the table with this name; -1 if there is none.
int bridge_table_by_name(const struct bridge *bridge, const char *name);

// --- For the other files of ofproto/ ---

// Would a list of changes lead beyond a limit where flows are refused? error->line says which
// change. Lists that also delete are looked at again when they are carried out.
int table_limits_check(const struct bridge *bridge, const struct flow_change *changes,
		       unsigned int n, struct error *error);
// One more flow is to come into the table, and takes no other's place: evict one, or say why it
// cannot come. 0 or -ENOSPC.
int table_limits_make_room(struct bridge *bridge, uint8_t table_id, struct error *error);
// A flow that had to make room in a bundle is out for good.
void table_count_evicted(struct bridge *bridge, uint8_t table_id);
// Would lookups in the table cost more than they may with this flow, which is new? 0 or -ENOSPC.
int table_limits_check_cost(const struct bridge *bridge, const struct flow *flow,
			    struct error *error);
// Is there room for one more flow, `pending` others being on their way?
bool table_limits_have_room(const struct bridge *bridge, uint8_t table_id, uint32_t pending);
// Does the table have a limit at all?
bool table_limits_apply(const struct bridge *bridge, uint8_t table_id);

// What is brought back from the store was within the limits when it was kept.
void table_limits_pause(bool pause);

void bridge_tables_exit(struct bridge *bridge);

#endif
