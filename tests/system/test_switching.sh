#!/bin/bash
# A bridge between three namespaces: learning, rules, VLANs, conservation, ports that come and go.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start switching

a=$(space a) b=$(space b) c=$(space c)
spaces=("$a" "$b" "$c")
bridge=br$$ pa=a$$ pb=b$$ pc=c$$

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
must "port c is attached" port_in_space "$bridge" "$pc" "$c" 10.0.0.3/24

# ---- Learning switch ----------------------------------------------------------------------------

check "a new bridge switches by learning" within 10 pings "$a" 10.0.0.2
check "... to the third port too" within 10 pings "$a" 10.0.0.3
check "IPv6 neighbours find each other" within 10 ip netns exec "$a" \
	ping -q -c 1 -W 2 "ff02::1%$pa"
learned() {
	at_least "$(vsctl fdb-show "$bridge" --json | jq '[.. | objects | select(has("mac"))] | length')" 3
}
check "fdb-show lists what was learned" within 5 learned
check "the host reaches the bridge by its internal port" bash -c \
	"ip addr add 10.0.0.254/24 dev $bridge && ip link set $bridge up &&
	 for i in 1 2 3 4 5; do ip netns exec $a ping -q -c 1 -W 1 10.0.0.254 && exit 0; done; exit 1"

ip netns exec "$b" iperf3 -s -D --pidfile "$dir/iperf.pid" >/dev/null 2>&1
within 5 test -s "$dir/iperf.pid" && children+=("$(tr -d '\0' <"$dir/iperf.pid")")
tcp_passes() {
	local bytes
	bytes=$(ip netns exec "$a" iperf3 -J -c 10.0.0.2 -t 2 "$@" | jq '.end.sum_received.bytes // 0') &&
		note "iperf3 $*: $((bytes * 8 / 2000000)) Mbit/s" >&3 && at_least "$bytes" 100000
}
exec 3>&1
check "iperf3 TCP passes" tcp_passes
check "iperf3 TCP passes the other way" tcp_passes -R
check "packets are conserved" within 5 is_conserved

# ---- Rules --------------------------------------------------------------------------------------

vsctl del-flows "$bridge"
before=$(drops_for no-match)
check "an empty table passes nothing" ping_blocked "$a" 10.0.0.2
check "... and says so under no-match" at_least "$(($(drops_for no-match) - before))" 2
must "a file of flows is added" vsctl add-flows "$bridge" - <<FLOWS
# Requests and answers apart, by table.
cookie=0x1,table=0,in_port=$pa,actions=load:1->NXM_NX_REG0[0..7],resubmit(,10)
cookie=0x2,table=0,in_port=$pb,actions=set_field:2->reg0,goto_table:10
cookie=0x3,table=10,priority=5,reg0=1,actions=$pb
cookie=0x4,table=10,priority=5,reg0=0x2/0xff,actions=output:$pa
FLOWS
check "... and the pipeline passes a ping" within 5 pings "$a" 10.0.0.2
sent=$(flow_count 0x3 n_packets "$bridge")
ip netns exec "$a" ping -q -c 20 -i 0.01 10.0.0.2 >/dev/null
check "counters grow by what was sent" at_least "$(($(flow_count 0x3 n_packets "$bridge") - sent))" 20
check "the third port sees nothing" ping_blocked "$a" 10.0.0.3
check "mod-flows changes actions" vsctl mod-flows "$bridge" table=10,reg0=1,actions=drop
check "... at once" ping_blocked "$a" 10.0.0.2
check "... counted as action-drop" at_least "$(drops_for action-drop)" 2
check "an idle timeout ends a flow" vsctl add-flow "$bridge" idle_timeout=1,table=99,actions=drop
no_flow_in_99() { equal "$(vsctl dump-flows "$bridge" table=99 | grep -c actions=)" 0; }
check "... within a few seconds" within 10 no_flow_in_99
check "a hard timeout ends a flow" vsctl add-flow "$bridge" hard_timeout=1,table=99,actions=drop
check "... within a few seconds" within 10 no_flow_in_99

vsctl del-flows "$bridge"
vsctl add-flow "$bridge" "table=0,priority=0,actions=normal"
check "fin_timeout is accepted" vsctl add-flow "$bridge" \
	"cookie=0x99,table=0,priority=9,tcp,actions=fin_timeout(idle_timeout=1),normal"
tcp_flow_is_there() { equal "$(vsctl dump-flows "$bridge" table=0,tcp | grep -c fin_timeout)" "$1"; }
check "... and does nothing by itself" fails within 3 tcp_flow_is_there 0
ip netns exec "$a" timeout 2 bash -c ': </dev/tcp/10.0.0.2/9' 2>/dev/null
check "... but ends the flow when a connection is reset" within 10 tcp_flow_is_there 0

# ---- VLANs: crafted frames ----------------------------------------------------------------------

vsctl del-flows "$bridge"
vsctl add-flow "$bridge" priority=0,actions=NORMAL
check "VLAN forms are as the rules say" python3 "$lib_root/tests/system/vlan_frames.py" \
	"$bridge" "$a" "$pa" "$b" "$pb" "$c" "$pc"
check "packets are conserved" within 5 is_conserved

# ---- Ports come and go under traffic ------------------------------------------------------------

vsctl del-flows "$bridge" && vsctl add-flow "$bridge" priority=0,actions=NORMAL
ip netns exec "$a" ping -i 0.01 -c 600 -q 10.0.0.2 >"$dir/ping" &
ping_process=$!
come_and_go() {
	for _ in $(seq 1 40); do
		vsctl add-port "$bridge" "x$$" type=tap || return 1
		vsctl add-port "$bridge" "n$$" type=dpdk "options:dpdk-devargs=net_null$$,no-rx=1" ||
			return 1
		vsctl del-port "$bridge" "x$$" -- del-port "$bridge" "n$$" || return 1
	done
}
check "ports are added and removed 40 times under traffic" come_and_go
wait "$ping_process"
check "... which lost nothing" grep ' 0% packet loss' "$dir/ping"
check "port numbers stay" equal "$(vsctl get Interface "$pb" ofport)" 2

# ---- Patch ports --------------------------------------------------------------------------------

must "a second bridge" vsctl add-br "bq$$"
must "joined by patch ports" vsctl add-port "$bridge" "pp$$" type=patch "options:peer=pq$$" \
	-- add-port "bq$$" "pq$$" type=patch "options:peer=pp$$"
d=$(space d)
spaces+=("$d")
must "port d on the second bridge" port_in_space "bq$$" "d$$" "$d" 10.0.0.4/24
check "a ping crosses the patch" within 5 pings "$a" 10.0.0.4
check "a loop of patches ends" vsctl add-port "$bridge" "pr$$" type=patch "options:peer=ps$$" \
	-- add-port "bq$$" "ps$$" type=patch "options:peer=pr$$"
ip netns exec "$a" ping -q -c 3 -i 0.05 -W 1 10.0.0.99 >/dev/null
check "... and is counted as patch-loop" at_least "$(drops_for patch-loop)" 1
check "packets are conserved" within 5 is_conserved
check "the daemon is well" vsctl list-br
check "it stops cleanly" stop_switch
