// Bundles: lists of changes to flows, groups and meters that packets see all at once.
//
// Every vector of packets, on its whole way through tables, groups and bridges, meets all of a
// bundle or none of it, and no packet is lost because of it. Nothing is changed if any change of the
// list is wrong. What the list leads to is what its changes lead to one by one, each checked against
// what those before it left.
//
// While a bundle is prepared, workers look up in the view before, in which nothing of it shows: new
// flows lie invisibly beside those whose place they take, and groups and meters in tables of their
// own. One
// store moves workers to the view after (datapath/view.h). So no packet waits for a bundle, however
// long; the main thread does nothing else meanwhile: timeouts, learned flows and port events wait.
// Packets that the list sends (packet-out) go when it is in force, in their order.
// Flows that a deleted learn action leaves behind (delete_learned) go right after the bundle. Main
// thread only.
#ifndef OFPROTO_BUNDLE_H
#define OFPROTO_BUNDLE_H

#include "ofproto/flow_mod.h"
#include "ofproto/group.h"
#include "ofproto/meter.h"
#include "ofproto/packet_out.h"

// One of these, the others NULL.
struct bundle_change {
	struct flow_change *flow;
	struct group_mod *group;
	struct meter_mod *meter;
	struct packet_out_request *packet_out;
};

// Apply n changes in order. On an error nothing has changed and error->line is the 1-based index of
// the wrong change; what the changes held may have been taken over, so that they cannot be applied
// again.
int bundle_apply(struct bridge *bridge, const struct bundle_change *changes, unsigned int n,
		 struct error *error);
int bundle_apply_flows(struct bridge *bridge, struct flow_change *changes, unsigned int n,
		       struct error *error);
int bundle_apply_groups(struct bridge *bridge, struct group_mod *mods, unsigned int n,
			struct error *error);
int bundle_apply_meters(struct bridge *bridge, struct meter_mod *mods, unsigned int n,
			struct error *error);

#endif
