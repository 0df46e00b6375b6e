#!/bin/bash
# Conjunctive matches: what trace says of them, flows that get and lose conjunctions, restarts.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start conjunction

a=$(space a) b=$(space b)
spaces=("$a" "$b")
bridge=cj$$ pa=a$$ pb=b$$

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
vsctl del-flows "$bridge"
cat >"$dir/flows" <<-END
	priority=0,actions=drop
	priority=5,arp,actions=NORMAL
	priority=7,ip,nw_src=10.0.0.1,actions=conjunction(12,1/2)
	priority=7,ip,nw_src=10.0.0.2,actions=conjunction(12,1/2)
	priority=7,ip,nw_dst=10.0.0.1,actions=conjunction(12,2/2)
	priority=7,ip,nw_dst=10.0.0.2,actions=conjunction(12,2/2),note:01
	priority=7,conj_id=12,ip,actions=NORMAL
END
must "flows of a conjunction" vsctl add-flows "$bridge" "$dir/flows"
n_packets() { # FLOW
	vsctl dump-flows "$bridge" "$1" | sed -n 's/.*n_packets=\([0-9]*\).*/\1/p' | head -1
}
trace() {
	vsctl trace "$bridge" "in_port=$pa,ip,nw_src=10.0.0.1,nw_dst=$1"
}

check "packets of all dimensions pass" within 5 pings "$a" 10.0.0.2
check "... and are counted by the flow with conj_id" at_least "$(n_packets conj_id=12)" 3
check "... and not by those with conjunctions" equal "$(n_packets ip,nw_src=10.0.0.1)" 0
check "trace tells of it" grep "each dimension of conjunction 12 matches" <(trace 10.0.0.2)
check "trace does not where a dimension is missing" equal \
	"$(trace 10.0.0.3 | grep -c 'conjunction 12 matches')" 0
check "a flow loses its conjunctions" vsctl mod-flows "$bridge" "ip,nw_dst=10.0.0.2,actions=drop"
check "... and works as what it is now" equal \
	"$(trace 10.0.0.2 | grep -c 'conjunction 12 matches')" 0
check "... and gets them back" vsctl mod-flows "$bridge" \
	"ip,nw_dst=10.0.0.2,actions=conjunction(12,2/2)"
check "... and counts" within 5 pings "$a" 10.0.0.2
check "adding the same match replaces" vsctl add-flow "$bridge" \
	"priority=7,ip,nw_dst=10.0.0.2,actions=drop"
check "... one flow by another" equal "$(vsctl dump-flows "$bridge" | wc -l)" 7
check "... and back" vsctl add-flow "$bridge" \
	"priority=7,ip,nw_dst=10.0.0.2,actions=conjunction(12,2/2)"
check "mixed actions are refused" refused "output beside conjunction" add-flow "$bridge" \
	"ip,actions=conjunction(12,1/2),output:1"
vsctl dump-flows "$bridge" --no-stats >"$dir/before"
must "vswitchd stops" stop_switch
must "vswitchd starts again" start_switch
check "the flows are as before" equal "$(vsctl dump-flows "$bridge" --no-stats)" "$(cat "$dir/before")"
check "... and work" grep "each dimension of conjunction 12 matches" <(trace 10.0.0.2)
check "packets are conserved" within 5 is_conserved
