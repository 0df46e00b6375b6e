#!/bin/bash
# The traversal cache, asked for every packet: what tables decide, and every change of it, in force at
# once; flows that count every packet.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start cache

a=$(space a) b=$(space b)
spaces=("$a" "$b")
bridge=br$$ pa=a$$ pb=b$$

check "a mode that is none is refused" grep -q "auto, always or never" <<<"$(vswitchd --cache often 2>&1)"

must "vswitchd starts" start_switch --cache always
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
ip -n "$a" neighbor replace 10.0.0.2 dev "$pa" lladdr "$(ip netns exec "$b" cat "/sys/class/net/$pb/address")"
ip -n "$b" neighbor replace 10.0.0.1 dev "$pb" lladdr "$(ip netns exec "$a" cat "/sys/class/net/$pa/address")"

flows() { # ACTIONS OF THE LAST TABLE
	vsctl del-flows "$bridge" && vsctl add-flows "$bridge" - <<-END
		table=0,priority=10,ip,in_port=$pa,nw_dst=10.0.0.2,actions=load:7->NXM_NX_REG0[],resubmit(,1)
		table=0,priority=10,ip,in_port=$pb,nw_dst=10.0.0.1,actions=output:$pa
		table=1,reg0=7,icmp,actions=set_field:9->reg1,goto_table:5
		table=5,reg1=9,actions=$1
	END
}

ping_b() { # COUNT
	ip netns exec "$a" ping -q -n -c "$1" -i 0.005 -W 1 10.0.0.2 >/dev/null
}

count_of() { # FLOW
	vsctl dump-aggregate "$bridge" "$1" --json | jq .packet_count
}

hits() {
	vsctl cache-show --json | jq '[.workers[].hits] | add'
}

must "flows in three tables" flows "output:$pb"
check "pings pass" ping_b 100
check "... most of them known to the cache" test "$(hits)" -gt 150
for flow in "table=0,ip,in_port=$pa" "table=1,icmp" "table=5,reg1=9"; do
	check "... counted in $flow" equal "$(count_of "$flow")" 100
done
check "the tables count them, too" equal \
	"$(vsctl dump-tables "$bridge" --json | jq '.[] | select(.table == 5) | .lookup')" 100

check "a flow that drops is added" vsctl add-flow "$bridge" "table=5,priority=40000,icmp,actions=drop"
check "... and in force at once" fails ping_b 2
check "it is deleted" vsctl --strict del-flows "$bridge" "table=5,priority=40000,icmp"
check "... and that is in force at once" ping_b 2
check "the last table's actions change" vsctl mod-flows "$bridge" "table=5,reg1=9,actions=drop"
check "... in force at once" fails ping_b 2
check "they change again, in a bundle" vsctl --bundle mod-flows "$bridge" "table=5,reg1=9,actions=$pb"
check "... in force at once" ping_b 2
check "what a table does with misses is changed" vsctl del-flows "$bridge" table=1 -- \
	mod-table "$bridge" 1 drop
check "... in force at once" fails ping_b 2
group() { # COMMAND BUCKETS
	vsctl "$1" "$bridge" "group_id=1,type=select,selection_method=hash,fields(ip_src),$2"
}
check "a group is added" group add-group "bucket=weight=1,actions=output:$pb"
check "... and used" flows "group:1"
check "... by pings" ping_b 20
check "... that it counts" equal \
	"$(vsctl dump-group-stats "$bridge" group_id=1 --json | jq '[.. | .packet_count? // empty] | max')" 20
check "its bucket changes" group mod-group "bucket=weight=1,actions=drop"
check "... in force at once" fails ping_b 2
check "it changes back" group mod-group "bucket=weight=1,actions=output:$pb"
check "... in force at once" ping_b 2
check "every packet is accounted for" \
	test "$(vsctl drops --json | jq .totals.conserved)" = true

# Counts of flows that are gone do not come back in those that follow.
for ((round = 0; round < 20; round++)); do
	flows "output:$pb" && ping_b 3
done
check "flows that come and go count their own packets alone" equal "$(count_of table=5)" 3

must "the switch stops" stop_switch
must "vswitchd starts with the cache on trial" start_switch
check "cache-show tells the mode" grep -q "^mode=auto" <<<"$(vsctl cache-show)"
