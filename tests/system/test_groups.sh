#!/bin/bash
# Groups between namespaces: copies, failover, selection, changes that are refused, restarts.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start groups

a=$(space a) b=$(space b) c=$(space c)
spaces=("$a" "$b" "$c")
bridge=br$$ pa=a$$ pb=b$$ pc=c$$

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
must "port c is attached" port_in_space "$bridge" "$pc" "$c" 10.0.0.2/24
# The two have the same addresses: whichever is reached answers.
ip -n "$b" link set "$pb" address 02:00:00:00:00:02
ip -n "$c" link set "$pc" address 02:00:00:00:00:02

group_count() { # GROUP [BUCKET]: packets
	vsctl dump-group-stats "$bridge" "$1" --json |
		jq ".[0]${2:+.buckets[$2]}.packet_count"
}

# ---- Fast failover ------------------------------------------------------------------------------

must "a failover group" vsctl add-group "$bridge" \
	"group_id=1,type=ff,bucket=watch_port:$pb,output:$pb,bucket=watch_port:$pc,output:$pc"
vsctl del-flows "$bridge"
must "... that flows go to" vsctl add-flow "$bridge" "in_port=$pa,actions=group:1"
must "... and the way back" vsctl add-flow "$bridge" "priority=1,actions=$pa"
check "it passes packets" within 5 pings "$a" 10.0.0.2
check "... through its first bucket" at_least "$(group_count 1 0)" 3
check "... and no other" equal "$(group_count 1 1)" 0
check "dump-groups prints it" equal "$(vsctl dump-groups "$bridge" --no-names)" \
	" group_id=1,type=ff,bucket=bucket_id:0,watch_port:2,actions=output:2,bucket=bucket_id:1,watch_port:3,actions=output:3"
must "the watched port goes away" vsctl del-port "$bridge" "$pb"
check "packets take the other one" within 5 pings "$a" 10.0.0.2
check "... through the second bucket" at_least "$(group_count 1 1)" 3
must "the other goes too" vsctl del-port "$bridge" "$pc"
ip netns exec "$a" ping -q -c 2 -i 0.05 -W 1 10.0.0.2 >/dev/null
check "packets end as group-no-live-bucket" at_least "$(drops_for group-no-live-bucket)" 1
must "port b is back" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
ip -n "$b" link set "$pb" address 02:00:00:00:00:02
check "... and taken at once" within 5 pings "$a" 10.0.0.2
must "port c is back" port_in_space "$bridge" "$pc" "$c" 10.0.0.3/24
check "packets are conserved" within 5 is_conserved

# ---- All: every bucket has a packet of its own --------------------------------------------------

must "a group of type all" vsctl add-group "$bridge" \
	"group_id=2,type=all,bucket=mod_vlan_vid:9,output:$pc,bucket=output:$pb"
must "... instead" vsctl mod-flows "$bridge" "in_port=$pa,actions=group:2"
check "what one bucket changes the other does not see" within 5 pings "$a" 10.0.0.2
check "both were used" at_least "$(group_count 2 0)" 3
check "... the second too" at_least "$(group_count 2 1)" 3
check "out_group selects" equal "$(vsctl dump-flows "$bridge" out_group=2 | wc -l)" 1
check "packets are conserved" within 5 is_conserved

# ---- Select -------------------------------------------------------------------------------------

must "a select group" vsctl add-group "$bridge" \
	"group_id=3,type=select,bucket=output:$pb,bucket=output:$pc"
must "... instead" vsctl mod-flows "$bridge" "in_port=$pa,actions=group:3"
bucket_of() { # FLOW
	vsctl trace "$bridge" "in_port=$pa,$1" | sed -n 's/.*group 3, .*: bucket \([0-9]*\)$/\1/p'
}
for port in $(seq 1 30); do
	forth=$(bucket_of "tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=$port,tp_dst=80")
	back=$(bucket_of "tcp,nw_src=10.0.0.2,nw_dst=10.0.0.1,tp_src=80,tp_dst=$port")
	echo "$forth" "$back"
done >"$dir/buckets"
check "connections use both buckets" equal \
	"$(cut -d' ' -f1 "$dir/buckets" | sort -u | tr '\n' ' ')" "0 1 "
check "... the same in both directions" equal "$(awk '$1 != $2' "$dir/buckets")" ""
# A namespace may have sent something of its own, but not so much.
check "tracing counts nothing" at_least 20 "$(group_count 3)"

# ---- Refused ------------------------------------------------------------------------------------

check "a flow to no group" refused "no group 99" add-flow "$bridge" actions=group:99
check "a group twice" refused "exists already" add-group "$bridge" group_id=1,type=all
check "a loop, with its chain" refused "1 -> 1" mod-group "$bridge" \
	"group_id=1,type=all,bucket=group:1"
check "the third of three lines" refused ":3:" add-groups "$bridge" - <<GROUPS
group_id=21,type=all
# a comment
group_id=22,type=none
GROUPS
check "... and the first is not there" refused "no group 21" dump-groups "$bridge" 21
check "a request that fails later" refused "no group 99" \
	mod-group "$bridge" group_id=2,type=all -- add-group "$bridge" group_id=23,type=all -- \
	del-groups "$bridge" 3 -- add-flow "$bridge" table=9,actions=group:23 -- \
	add-flow "$bridge" actions=group:99
check "... leaves the groups" equal "$(vsctl dump-groups "$bridge" | cut -d, -f1 | tr -d '\n')" \
	" group_id=1 group_id=2 group_id=3"
check "... with their buckets" equal "$(vsctl dump-groups "$bridge" 2 | grep -o bucket= | wc -l)" 2
check "... and the flow to the deleted one" equal \
	"$(vsctl dump-flows "$bridge" out_group=3 | wc -l)" 1
check "... and no other" equal "$(vsctl dump-flows "$bridge" | wc -l)" 2

# ---- Kept ---------------------------------------------------------------------------------------

check "buckets are inserted" vsctl insert-buckets "$bridge" \
	"group_id=2,command_bucket_id=first,bucket=output:$pa"
check "... and removed" vsctl remove-buckets "$bridge" "group_id=2,command_bucket_id=1"
check "a group that leads to a higher one" vsctl mod-group "$bridge" --may-create \
	"group_id=0,type=indirect,bucket=group:3"
vsctl dump-groups "$bridge" >"$dir/groups"
snapshot "$bridge" >"$dir/before"
kill -KILL "$switch"
wait "$switch" 2>/dev/null
check "after kill -9 it starts" start_switch
check "... with its groups" equal "$(vsctl dump-groups "$bridge" --no-names)" \
	"$(sed "s/$pa/1/g; s/$pb/2/g; s/$pc/3/g; s/\"//g" "$dir/groups")"
snapshot "$bridge" >"$dir/after"
check "... and flows" diff -u "$dir/before" "$dir/after"
check "deleting a group in use is refused" refused "group 0 goes to it" del-groups "$bridge" 3
check "deleting all" vsctl del-groups "$bridge"
check "... takes the flows that go to them" equal "$(vsctl dump-flows "$bridge" | wc -l)" 1
check "... and prints nothing" equal "$(vsctl dump-groups "$bridge")" ""
check "it stops cleanly" stop_switch
check "and starts without groups" start_switch
check "... or their flows" equal "$(vsctl dump-flows "$bridge" | wc -l)" 1
