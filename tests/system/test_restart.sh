#!/bin/bash
# The configuration outlives the daemon: clean stop, kill -9 under traffic, second instance, damage.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start restart

bridge=br$$
must "vswitchd starts" start_switch
must "a bridge with four ports" vsctl add-br "$bridge" \
	-- add-port "$bridge" "n1$$" type=dpdk "options:dpdk-devargs=net_null1$$,no-rx=1" ofport_request=17 \
	-- add-port "$bridge" "n2$$" type=dpdk "options:dpdk-devargs=net_null2$$,no-rx=1" tag=10 \
	-- add-port "$bridge" "t1$$" type=tap \
	-- add-port "$bridge" "v1$$" type=vhost-user "path=$dir/v1.sock"
for i in $(seq 1 2000); do
	echo "table=$((i % 5)),priority=$i,tcp,nw_dst=10.$((i / 256)).$((i % 256)).0/24,tp_dst=$i,actions=load:$i->NXM_NX_REG3[],output:17"
done >"$dir/flows"
must "2000 flows from a file" vsctl add-flows "$bridge" "$dir/flows"
must "a flow by port name" vsctl add-flow "$bridge" "cookie=0x77,in_port=t1$$,actions=mod_vlan_vid:9,output:n2$$"
must "one flow less" vsctl del-flows "$bridge" --strict "table=0,priority=5,tcp,nw_dst=10.0.5.0/24,tp_dst=5"

same_after() {
	snapshot "$bridge" >"$dir/after" && diff -u "$dir/before" "$dir/after"
}
snapshot "$bridge" >"$dir/before"
check "2001 flows are there" equal "$(grep -c actions= "$dir/before")" 2001
check "it stops on TERM" stop_switch TERM
check "its sockets are gone" fails test -e "$dir/run/vswitchd.sock"
check "it starts again" start_switch
check "... with everything as it was" same_after
for round in 1 2 3; do
	(while vsctl add-flow "$bridge" "table=200,priority=$RANDOM,actions=drop" &&
		vsctl del-flows "$bridge" table=200; do :; done >/dev/null 2>&1) &
	writer=$!
	sleep "0.$((RANDOM % 5))"
	kill -KILL "$switch"
	wait "$switch" 2>/dev/null
	wait "$writer"
	started=$EPOCHREALTIME
	check "kill -9 while flows change, start ($round)" start_switch
	note "ready after $(milliseconds "$started") ms"
	vsctl del-flows "$bridge" table=200
	check "... everything acknowledged is there ($round)" same_after
done

check "a second instance refuses" fails timeout 20 vswitchd --run-dir "$dir/run" --db "$dir/other.db"
check "... and leaves the first alone" vsctl list-br
check "INT stops it too" stop_switch INT

echo 1 >"$dir/run/vswitchd.pid"
check "a stale pid file does not hinder a start" start_switch
check "... with everything as it was" same_after
stop_switch TERM

cp "$dir/vswitch.db" "$dir/good.db"
rm -f "$dir"/vswitch.db-*
printf 'this is no database at all, but long enough to be read as one' >"$dir/vswitch.db"
says() { # TEXT: vswitchd refuses to start and says it
	local output
	output=$(timeout 20 vswitchd --run-dir "$dir/run" --db "$dir/vswitch.db" 2>&1) && return 1
	grep -F -- "$1" <<<"$output" || { echo "$output" && return 1; }
}
check "a damaged database is named" says "$dir/vswitch.db"
cp "$dir/good.db" "$dir/vswitch.db"
dd if=/dev/urandom of="$dir/vswitch.db" bs=1 seek=5000 count=3000 conv=notrunc status=none
check "a half-damaged one too" says "$dir/vswitch.db"
cp "$dir/good.db" "$dir/vswitch.db"
check "a repaired one serves" start_switch
check "... with everything as it was" same_after
