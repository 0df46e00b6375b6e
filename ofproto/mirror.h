// Mirrors of a bridge: the whole list is set at once. Main thread.
#ifndef OFPROTO_MIRROR_H
#define OFPROTO_MIRROR_H

#include "common/counters.h"
#include "datapath/mirror.h"
#include "flowtable/match.h"
#include "ofproto/bridge.h"

// A port, and whether what it receives or sends is wanted.
struct mirror_select {
	uint32_t ofport;
	bool source, destination;
};

struct mirror_config {
	const char *id; // counts are kept for the same one
	const char *name;
	bool select_all;
	bool any_vlan;
	uint64_t vlans[64];
	unsigned int n_selects;
	struct mirror_select *selects; // in any order; a port may come twice
	uint32_t output_port; // OFPP_ANY: none
	uint16_t output_vlan; // 0: none
	uint32_t snaplen; // 0: whole packets
	struct match filter; // match_init(): everything
};

// Put these mirrors in force, at most MIRRORS_MAX, and no others: ports that they are sent to are
// reserved for them. Nothing has changed after an error (-ENOMEM, with a sentence).
int bridge_set_mirrors(struct bridge *bridge, const struct mirror_config *configs, unsigned int n,
		       struct error *error);

// Packets and bytes copied since the mirror was made. False: it is not in force.
bool bridge_mirror_counts(const struct bridge *bridge, const char *id, struct counter *counts);

#endif
