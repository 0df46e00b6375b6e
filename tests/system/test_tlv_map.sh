#!/bin/bash
# Tunnel options as fields of flows: the map, who may change it, and restarts.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start tlv_map

bridge=br$$

map_of() { # the rows of the table
	vsctl dump-tlv-map "$bridge" | tail -n +7
}
flows_of() {
	vsctl dump-flows "$bridge" --no-stats | grep tun_metadata
}

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
check "a field that is not mapped is refused" fails vsctl add-flow "$bridge" \
	tun_metadata0=1234,actions=drop
must "an option is mapped" vsctl add-tlv-map "$bridge" "{class=0xffff,type=0,len=4}->tun_metadata0"
must "two more are" vsctl add-tlv-map "$bridge" \
	"{class=0x1,type=0x12,len=124}->tun_metadata63,{class=0x1,type=0x13,len=8}->tun_metadata1"
check "the map prints" equal "$(vsctl dump-tlv-map "$bridge")" \
	" max option space=252 max fields=64
 allocated option space=136

 mapping table:
  class  type  length  match field
 ------  ----  ------  --------------
 0xffff     0       4  tun_metadata0
    0x1  0x13       8  tun_metadata1
    0x1  0x12     124  tun_metadata63"
check "... as JSON too" equal \
	"$(vsctl dump-tlv-map "$bridge" --json | jq -c '.mappings[1]')" \
	'{"class":1,"type":19,"length":8,"field":1}'
check "a field that is mapped is refused" fails vsctl add-tlv-map "$bridge" \
	"{class=2,type=0,len=4}->tun_metadata1"
check "an option that is mapped is refused" fails vsctl add-tlv-map "$bridge" \
	"{class=1,type=0x12,len=4}->tun_metadata2"
check "a mistake is refused" fails vsctl add-tlv-map "$bridge" "{class=2,len=4}->tun_metadata2"
check "a mistake in the column is, too" fails vsctl set Bridge "$bridge" tlv_map=tun_metadata2
must "flows match and write them" vsctl add-flow "$bridge" tun_metadata0=1234,actions=drop
must "... all of them" vsctl add-flow "$bridge" \
	"tun_metadata63=0x10000000000000000000000000000000000000000/0xf0000000000000000000000000000000000000000,actions=set_field:0x55->tun_metadata1,delete_field:tun_metadata0"
must "a group does" vsctl add-group "$bridge" \
	"group_id=1,type=all,bucket=set_field:7->tun_metadata1,LOCAL"
before=$(flows_of)
check "a mapping in use is kept" fails vsctl del-tlv-map "$bridge" \
	"{class=0xffff,type=0,len=4}->tun_metadata0"
check "... and the flow is named" equal \
	"$(vsctl del-tlv-map "$bridge" "{class=0xffff,type=0,len=4}->tun_metadata0" 2>&1 |
		grep -c "in use: delete .*tun_metadata0")" 1
check "a failed command line leaves the map alone" fails vsctl add-tlv-map "$bridge" \
	"{class=9,type=0,len=4}->tun_metadata9" -- add-flow "$bridge" tun_metadata9,actions=drop -- \
	add-flow "$bridge" tun_metadata10,actions=drop
check "... as it was" equal "$(map_of | wc -l)" 3
must "map and flow in one command line" vsctl add-tlv-map "$bridge" \
	"{class=9,type=0,len=4}->tun_metadata9" -- add-flow "$bridge" \
	"table=3,tun_metadata9,actions=drop"
vsctl del-flows "$bridge" table=3
must "a mapping is deleted" vsctl del-tlv-map "$bridge" "{class=9,type=0,len=4}->tun_metadata9"
must "one that is not there is ignored" vsctl del-tlv-map "$bridge" \
	"{class=9,type=0,len=4}->tun_metadata9"
check "trace knows them" equal \
	"$(vsctl trace "$bridge" in_port=LOCAL,tun_metadata0=1234 | grep -c tun_metadata0=0x4d2)" 1

check "it stops cleanly" stop_switch
must "and starts again" start_switch
check "the map is as it was" equal "$(map_of | wc -l)" 3
check "the flows are" equal "$(flows_of)" "$before"
vsctl del-flows "$bridge"
check "a group still uses one" fails vsctl del-tlv-map "$bridge"
vsctl del-groups "$bridge"
must "now all are deleted" vsctl del-tlv-map "$bridge"
check "... and gone" equal "$(map_of)" ""
