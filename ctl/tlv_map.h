// Bridge column tlv_map: the tunnel options that a bridge maps to tun_metadata fields. Main thread.
#ifndef CTL_TLV_MAP_H
#define CTL_TLV_MAP_H

#include "ctl/config.h"
#include "flowtable/tun_map.h"

// Read the column; refuses what does not fit together.
int tlv_map_read(const json_t *bridge, struct tun_map *map, struct error *error);

#endif
