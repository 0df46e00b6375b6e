// Which tunnel options a bridge knows as tun_metadata fields (flowtable/tun_map.h). Main thread.
#ifndef OFPROTO_TUN_OPTION_H
#define OFPROTO_TUN_OPTION_H

#include "flowtable/tun_map.h"
#include "ofproto/bridge.h"

// Make the bridge's map what `wanted` says, by number of the field; length 0: not mapped. Refused,
// with nothing changed, where a flow or group uses a field that would change, unless `force`: then
// whoever uses it is about to be taken away.
int bridge_set_tun_options(struct bridge *bridge, const struct tun_option wanted[TUN_MAP_FIELDS],
			   bool force, struct error *error);

#endif
