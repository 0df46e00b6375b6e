#!/bin/bash
# Connection tracking actions while there is no connection tracker: nothing passes ct. Also fields
# that only a trace can set, and actset_output.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start ct

a=$(space a) b=$(space b)
spaces=("$a" "$b")
bridge=ct$$ pa=a$$ pb=b$$

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
vsctl del-flows "$bridge"
cat >"$dir/flows" <<-END
	priority=5,arp,actions=NORMAL
	priority=4,ip,actions=ct(commit,zone=5,exec(set_field:0x1->ct_mark)),NORMAL
END
must "flows with ct" vsctl add-flows "$bridge" "$dir/flows"
check "they print as written" equal "$(vsctl dump-flows "$bridge" --no-stats ip)" \
	" priority=4,ip actions=ct(commit,zone=5,exec(set_field:0x1->ct_mark)),NORMAL"
ip netns exec "$a" ping -q -c 2 -i 0.05 -W 1 10.0.0.2 >/dev/null
check "packets end there" at_least "$(drops_for no-conntrack)" 2
check "packets are conserved" within 5 is_conserved

leads_to() { # FLOW: the ports that a traced packet leaves by
	vsctl --json trace "$bridge" "in_port=$pa,$1" | jq -r '[.outputs[].port] | join(" ")'
}
vsctl del-flows "$bridge"
cat >"$dir/flows" <<-END
	ct_state=+trk,ip,ct_mark=7,actions=ct_clear,resubmit(,1)
	table=1,ct_state=-trk,ct_mark=0,ip,actions=$pb
	ct_state=+trk-inv,ip,ct_mark=8,actions=resubmit(,2,ct),resubmit(,3)
	table=2,ip,nw_src=1.2.3.4,nw_dst=10.0.0.9,actions=load:1->reg0
	table=3,ip,reg0=1,nw_src=10.0.0.1,actions=$pb
	priority=9,udp,actions=write_actions($pb),goto_table:4
	table=4,actset_output=$pb,actions=goto_table:5
	table=5,actions=clear_actions,goto_table:6
	table=6,actset_output=unset,actions=$pb
END
must "flows that match what is tracked" vsctl add-flows "$bridge" "$dir/flows"
check "ct_clear clears" equal "$(leads_to ip,ct_state=trk,ct_mark=7)" "$pb"
check "resubmit with ct looks up by the original direction" equal \
	"$(leads_to ip,ct_state=trk,ct_mark=8,nw_src=10.0.0.1,ct_nw_src=1.2.3.4,ct_nw_dst=10.0.0.9)" "$pb"
check "... and by nothing else" equal \
	"$(leads_to ip,ct_state=trk,ct_mark=8,nw_src=10.0.0.1,ct_nw_src=1.2.3.5,ct_nw_dst=10.0.0.9)" ""
check "actset_output follows the action set" equal "$(leads_to udp)" "$pb"
