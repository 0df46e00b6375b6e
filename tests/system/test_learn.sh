#!/bin/bash
# learn: the MAC learning pipeline between namespaces, limits, timeouts, deleting, many sources.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start learn

a=$(space a) b=$(space b) c=$(space c)
spaces=("$a" "$b" "$c")
bridge=br$$ pa=a$$ pb=b$$ pc=c$$

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
must "port c is attached" port_in_space "$bridge" "$pc" "$c" 10.0.0.3/24

n_flows() { # TABLE
	vsctl dump-flows "$bridge" "table=$1" | grep -c actions= || true
}
taught() { # COUNT: flows for the sources of learn_frames.py; others speak too
	equal "$(vsctl dump-flows "$bridge" table=10 | grep -c dl_dst=02:1d: || true)" "$1"
}
flows_are() { # TABLE COUNT
	equal "$(n_flows "$1")" "$2"
}
frames() { # NAMESPACE PORT COUNT [PREFIX]: frames with COUNT distinct sources
	ip netns exec "$1" python3 "$lib_root/tests/system/learn_frames.py" sources "$2" "$3" "${4:-02}"
}

# ---- MAC learning in a pipeline -----------------------------------------------------------------

pipeline() {
	vsctl del-flows "$bridge" && vsctl add-flows "$bridge" - <<FLOWS
cookie=0x1,table=0,actions=learn(table=10,hard_timeout=${1:-0},NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,10)
cookie=0x2,table=10,priority=0,actions=flood
FLOWS
}
must "the MAC learning pipeline is loaded" pipeline
check "... and passes a ping" within 10 pings "$a" 10.0.0.2
mac_b=$(ip -n "$b" -j link show "$pb" | jq -r '.[0].address')
check "what b sent made a flow to b" grep "dl_dst=$mac_b.*actions=output:.*$pb" \
	<(vsctl dump-flows "$bridge" table=10)
flooded=$(flow_count 0x2 n_packets "$bridge")
ip netns exec "$a" ping -q -c 50 -i 0.01 10.0.0.2 >/dev/null
check "known addresses are not flooded" at_least 20 "$(($(flow_count 0x2 n_packets "$bridge") - flooded))"
learned=$(n_flows 10)
check "trace says what would be learned" grep "would learn table=10,.*dl_dst=02:00:00:00:00:77" \
	<(vsctl trace "$bridge" "in_port=$pa,dl_src=02:00:00:00:00:77,dl_dst=$mac_b")
check "... and learns nothing" flows_are 10 "$learned"
check "the pipeline prints as it was written" grep -F \
	"learn(table=10,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,10)" \
	<(vsctl dump-flows "$bridge" table=0)

# An address that moves to another port takes its flow with it.
ip netns exec "$a" python3 "$lib_root/tests/system/learn_frames.py" one "$pa" 02:00:00:00:99:01
moved_to() { vsctl dump-flows "$bridge" "table=10,dl_dst=02:00:00:00:99:01" | grep "actions=output:.*$1"; }
check "an address is learned at a" within 5 moved_to "$pa"
ip netns exec "$b" python3 "$lib_root/tests/system/learn_frames.py" one "$pb" 02:00:00:00:99:01
check "... and moves to b" within 5 moved_to "$pb"

# ---- Time ---------------------------------------------------------------------------------------

latency() {
	ip netns exec "$a" python3 "$lib_root/tests/system/learn_frames.py" latency "$pa" 200
}
vsctl del-flows "$bridge"
vsctl add-flows "$bridge" - <<FLOWS
table=0,actions=learn(table=10,NXM_OF_ETH_SRC[],load:1->NXM_NX_REG0[]),resubmit(,10),resubmit(,20)
table=10,priority=0,actions=drop
table=20,reg0=1,actions=in_port
table=20,priority=0,actions=drop
FLOWS
exec 3>&1
show_latency() {
	local told
	told=$(latency)
	echo "$told" >&3
	grep "^# ok" <<<"$told"
}
check "a new flow is there for packets that follow" show_latency

pipeline 4
frames "$a" "$pa" 20
check "sources are learned" within 5 taught 20
check "a hard timeout is learned with the flow" grep "hard_timeout=4" <(vsctl dump-flows "$bridge" table=10)
check "... and ends it" within 10 taught 0
ip netns exec "$a" ping -q -c 60 -i 0.1 10.0.0.2 >/dev/null
check "... but not while it is learned again" grep "dl_dst=$mac_b" <(vsctl dump-flows "$bridge" table=10)

# ---- Limits -------------------------------------------------------------------------------------

vsctl del-flows "$bridge"
vsctl add-flows "$bridge" - <<FLOWS
table=0,dl_type=0x88b5,actions=learn(table=10,cookie=0x77,limit=50,result_dst=NXM_NX_REG5[3],NXM_OF_ETH_SRC[]),resubmit(,20)
cookie=0x21,table=20,reg5=8,actions=drop
cookie=0x22,table=20,reg5=0,actions=drop
FLOWS
frames "$a" "$pa" 200
check "limit= ends learning" within 5 flows_are 10 50
check "... and result_dst says so" at_least "$(flow_count 0x22 n_packets "$bridge")" 150
check "... also what was learned" at_least "$(flow_count 0x21 n_packets "$bridge")" 50
vsctl del-flows "$bridge" table=10
frames "$a" "$pa" 10
check "deleted flows make room" within 5 flows_are 10 10

# ---- Deleting -----------------------------------------------------------------------------------

vsctl del-flows "$bridge"
vsctl add-flows "$bridge" - <<FLOWS
table=0,priority=2,dl_type=0x88b5,in_port=$pa,actions=learn(table=10,cookie=0x78,delete_learned,NXM_OF_ETH_SRC[])
table=0,priority=1,dl_type=0x88b5,actions=learn(table=10,cookie=0x78,delete_learned,NXM_OF_ETH_SRC[])
table=10,cookie=0x79,priority=0,actions=drop
FLOWS
frames "$a" "$pa" 10
check "flows are learned" within 5 flows_are 10 11
vsctl del-flows "$bridge" --strict "table=0,priority=2,dl_type=0x88b5,in_port=$pa"
check "delete_learned waits for the last action" flows_are 10 11
vsctl del-flows "$bridge" --strict table=0,priority=1,dl_type=0x88b5
check "... and deletes what was learned" flows_are 10 1

must "a group is added" vsctl add-group "$bridge" "group_id=1,type=all,bucket=output:$pb"
vsctl del-flows "$bridge"
vsctl add-flow "$bridge" "table=0,dl_type=0x88b5,actions=learn(table=10,cookie=0x78,delete_learned,NXM_OF_ETH_SRC[]),group:1"
frames "$a" "$pa" 10
check "flows are learned on the way to a group" within 5 flows_are 10 10
vsctl del-groups "$bridge"
check "deleting the group deletes what was learned" flows_are 10 0

# ---- FIN ----------------------------------------------------------------------------------------

vsctl del-flows "$bridge"
vsctl add-flows "$bridge" - <<FLOWS
table=0,priority=2,tcp,in_port=$pa,actions=learn(table=1,idle_timeout=600,fin_idle_timeout=1,eth_type=0x800,nw_proto=6,NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],NXM_OF_TCP_SRC[]=NXM_OF_TCP_DST[],NXM_OF_TCP_DST[]=NXM_OF_TCP_SRC[],output:NXM_OF_IN_PORT[]),output:$pb
table=0,priority=2,tcp,in_port=$pb,actions=resubmit(,1)
table=0,priority=1,arp,actions=normal
FLOWS
ip netns exec "$b" iperf3 -s -D --pidfile "$dir/iperf.pid" >/dev/null 2>&1
within 5 test -s "$dir/iperf.pid" && children+=("$(tr -d '\0' <"$dir/iperf.pid")")
check "a connection out opens the way back" ip netns exec "$a" iperf3 -c 10.0.0.2 -t 1
check "... which closes behind the FIN" within 15 flows_are 1 0

# ---- Many sources -------------------------------------------------------------------------------

must "the pipeline again" pipeline
start=$EPOCHREALTIME
frames "$a" "$pa" 100000
note "after one frame each: $(n_flows 10) flows"
# A source that the ring had no room for is learned from its next frame.
many() { at_least "$(n_flows 10)" 100000 || { frames "$a" "$pa" 100000 && false; }; }
check "100,000 sources are learned" within 60 many
note "after $(milliseconds "$start") ms: $(n_flows 10) flows"
check "the others are not cut off" within 5 pings "$b" 10.0.0.3
check "packets are conserved" within 5 is_conserved
check "learned flows are deleted" vsctl del-flows "$bridge" table=10
check "... all of them" taught 0

# ---- Restart ------------------------------------------------------------------------------------

must "the pipeline again" pipeline
frames "$a" "$pa" 20
check "flows are learned" within 5 taught 20
must "the switch is killed" stop_switch KILL
must "... and started again" start_switch
check "learned flows are not kept" taught 0
check "... the action is" grep "learn(table=10" <(vsctl dump-flows "$bridge" table=0)
check "it stops cleanly" stop_switch
