#!/bin/bash
# Two real guests on one switch: rules, VLANs, counters, and what happens when the switch or a
# guest is killed. Needs root. No result depends on a time; times are only printed.
set -u -o pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
build=$here/${BUILD:-build}
PATH=$build:$PATH
passed=0 failed=0 switch=""

skip() {
	echo "SKIP $*"
	echo "0 passed, 0 failed"
	exit 77
}

# check TEXT COMMAND...: one test; the command's output is shown when it fails.
check() {
	local text=$1
	shift
	if "$@" >"$test_dir/output" 2>&1; then
		echo "ok - $text"
		passed=$((passed + 1))
	else
		echo "not ok - $text"
		{ echo "$*" && tail -n 30 "$test_dir/output"; } | sed 's/^/    /'
		failed=$((failed + 1))
		return 1
	fi
}

note() {
	echo "# $*"
}

# The rest makes no sense without this one.
must() {
	check "$@" || exit 1
}

fails() {
	! "$@"
}

equal() {
	[[ $1 == "$2" ]] || { echo "got '$1', want '$2'" && return 1; }
}

at_least() {
	(($1 >= $2)) || { echo "got $1, want at least $2" && return 1; }
}

# within SECONDS COMMAND...: try until it succeeds; the time is only there to end at all.
within() {
	local end=$((SECONDS + $1)) output
	shift
	until output=$("$@" 2>&1); do
		((SECONDS < end)) || { echo "$output" && return 1; }
		sleep 0.05
	done
}

milliseconds() { # since $1, a value of EPOCHREALTIME
	echo $(((${EPOCHREALTIME/./} - ${1/./}) / 1000))
}

# A switch that hangs is to fail a test, not to hang it.
vsctl() {
	timeout 30 "$build/vsctl" "$@"
}

# ---- The switch ---------------------------------------------------------------------------------

start_switch() {
	local tries
	setsid ip netns exec "$namespace" vswitchd --run-dir "$test_dir/run" \
		--db "$test_dir/vswitch.db" --log-file "$test_dir/vswitchd.log" \
		</dev/null >>"$test_dir/output.log" 2>&1 &
	switch=$!
	for ((tries = 0; tries < 20; tries++)); do
		vsctl --timeout 1 list-br >/dev/null && return
		kill -0 "$switch" 2>/dev/null || break
	done
	tail -n 5 "$test_dir/output.log"
	return 1
}

flow_count() { # COOKIE FIELD: n_packets or n_bytes of the flow with this cookie
	vsctl dump-flows br0 | sed -n "s/.*cookie=$1,.* $2=\([0-9]*\).*/\1/p"
}

no_match_drops() {
	vsctl drops --json | jq '[.. | objects | select(.reason? == "no-match") | .packets] | add // 0'
}

is_conserved() {
	local drops
	drops=$(vsctl drops --json) || return 1
	jq -e '.totals.conserved == true' <<<"$drops" >/dev/null || { echo "$drops" && return 1; }
}

link_is() { # PORT STATE
	equal "$(vsctl get Interface "$1" link_state | tr -d '"')" "$2"
}

# All that must survive a restart: flows and configuration, without what counts or measures.
snapshot() {
	local table
	vsctl dump-flows br0 | sed -E 's/(duration|n_packets|n_bytes|idle_age|hard_age)=[^ ,]*,? ?//g'
	for table in Open_vSwitch Bridge Port Interface; do
		vsctl list "$table" | grep -vE '^(statistics|link_resets|status|cur_cfg|ifindex) *:'
	done
}

same_snapshot() { # FILE FILE
	diff -u "$1" "$2"
}

# ---- The guests ---------------------------------------------------------------------------------

pings() { # GUEST ADDRESS [COUNT]: all answered
	local output
	output=$(guest_exec "$1" "ping -c ${3:-3} -i 0.05 -W 5 $2") || { echo "$output" && return 1; }
	grep ' 0% packet loss' <<<"$output"
}

ping_blocked() { # GUEST ADDRESS [COUNT]: sent, and none answered
	local output
	output=$(guest_exec "$1" "ping -c ${3:-3} -i 0.05 -W 1 $2")
	grep '100% packet loss' <<<"$output" || { echo "$output" && return 1; }
}

# Bytes that a TCP connection from GUEST to ADDRESS carried in two seconds.
tcp_bytes() { # GUEST ADDRESS [IPERF ARGUMENT...]
	local guest=$1 address=$2 output
	shift 2
	output=$(guest_exec "$guest" "iperf3 -J -c $address -t 2 $*") ||
		{ echo "$output" >&2 && return 1; }
	jq '.end.sum_received.bytes // 0' <<<"$output"
}

tcp_passes() {
	local bytes
	bytes=$(tcp_bytes "$@") && at_least "$bytes" 100000
}

boot_id() {
	guest_exec "$1" cat /proc/sys/kernel/random/boot_id
}

uptime_of() {
	guest_exec "$1" cut -d. -f1 /proc/uptime
}

replies() { # GUEST FILE: how many answers a ping in the background has had
	guest_exec "$1" grep -c "time=" "$2"
}

more_replies() { # GUEST FILE COUNT
	at_least "$(replies "$1" "$2")" "$3"
}

# The longest time between two answers, in ms, from a ping's output on standard input. An answer's
# time is when the question was sent plus how long it took: a switch that comes back also delivers
# what waited in the guest's ring.
longest_gap() { # INTERVAL in ms
	sed -n 's/.*seq=\([0-9]*\).*time=\([0-9.]*\) ms.*/\1 \2/p' |
		awk -v interval="$1" '{ print $1 * interval + $2 }' | sort -n |
		awk 'NR > 1 && $1 - last > gap { gap = $1 - last } { last = $1 } END { printf "%d\n", gap }'
}

# ---- Getting ready ------------------------------------------------------------------------------

((EUID == 0)) || skip "this test needs root"
for program in qemu-system-x86_64 iperf3 jq ip; do
	command -v "$program" >/dev/null || skip "$program is missing (scripts/install-deps.sh test)"
done
[[ -x $build/vswitchd && -x $build/vsctl ]] || skip "vswitchd and vsctl are not built"

# Not just "dir": a trap runs amid functions that have a local variable of that name.
test_dir=$(mktemp -d /tmp/vswitch-two-vms.XXXXXX)
export GUEST_RUN_DIR=$test_dir/guests VSWITCH_RUN_DIR=$test_dir/run
# shellcheck source=tests/vm/guest.sh
. "$here/tests/vm/guest.sh"
mkdir "$test_dir/run"
# A bridge is a network interface of the host as well: not of ours, and other tests have a br0 too.
namespace=${test_dir##*/}

# shellcheck disable=SC2329
finish() {
	local status=$?
	trap '' INT
	guest_stop
	[[ ! $switch ]] || ! kill "$switch" 2>/dev/null || guest_reap "$switch" ||
		kill -KILL "$switch"
	ip netns del "$namespace"
	if ((failed || passed == 0)); then
		note "logs are kept in $test_dir"
	else
		rm -rf "$test_dir"
	fi
	# Interrupted, or stopped before the end: that is no success.
	((failed || (passed && status == 0))) || failed=$((failed + 1))
	echo "$passed passed, $failed failed"
	((failed == 0)) || exit 1
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

guest_build || { trap - EXIT && rm -rf "$test_dir" && skip "no guest can be built here"; }
ip netns add "$namespace" || exit 1
must "vswitchd starts" start_switch
export GUEST_MODULES=8021q
must "vm1's QEMU starts" guest_start vm1 "$test_dir/vm1.sock" 52:54:00:00:00:01 10.0.0.1/24
must "vm2's QEMU starts" guest_start vm2 "$test_dir/vm2.sock" 52:54:00:00:00:02 10.0.0.2/24
must "a bridge is added" vsctl add-br br0
must "vm1 is attached" vsctl add-port br0 vm1 type=vhost-user "path=$test_dir/vm1.sock"
must "vm2 is attached" vsctl add-port br0 vm2 -- set Interface vm2 type=dpdkvhostuserclient \
	"options:vhost-server-path=$test_dir/vm2.sock"
must "vm1 boots" guest_wait vm1
must "vm2 boots" guest_wait vm2
check "vm1's link is up" within 20 link_is vm1 up
check "vm2's link is up" within 20 link_is vm2 up
guest_exec vm2 "iperf3 -s >/dev/null 2>&1 </dev/null &"

# ---- Rules --------------------------------------------------------------------------------------

check "a new bridge switches by learning" within 20 pings vm1 10.0.0.2
check "... both ways" pings vm2 10.0.0.1

vsctl del-flows br0
check "del-flows empties the table" equal "$(vsctl dump-flows br0 | grep -c actions=)" 0
before=$(no_match_drops)
check "nothing passes an empty table" ping_blocked vm1 10.0.0.2 5
check "and drops says so: 5 packets and more under no-match" \
	at_least "$(($(no_match_drops) - before))" 5

must "rules by type are added" vsctl \
	add-flow br0 cookie=0x11,in_port=vm1,icmp,icmp_type=8,actions=output:vm2 \
	-- add-flow br0 cookie=0x12,in_port=vm2,icmp,icmp_type=0,actions=output:vm1 \
	-- add-flow br0 cookie=0x13,in_port=vm1,arp,actions=output:vm2 \
	-- add-flow br0 cookie=0x14,in_port=vm2,arp,actions=output:vm1
check "the rules let a ping pass" within 20 pings vm1 10.0.0.2
requests=$(flow_count 0x11 n_packets) replies=$(flow_count 0x12 n_packets)
request_bytes=$(flow_count 0x11 n_bytes) reply_bytes=$(flow_count 0x12 n_bytes)
check "20 pings pass" pings vm1 10.0.0.2 20
check "20 packets more on the rule for requests" \
	equal "$(($(flow_count 0x11 n_packets) - requests))" 20
check "20 packets more on the rule for replies" \
	equal "$(($(flow_count 0x12 n_packets) - replies))" 20
# 14 bytes of Ethernet, 20 of IP, 8 of ICMP, 56 of data.
check "with 98 bytes each" equal "$(($(flow_count 0x11 n_bytes) - request_bytes)) $((\
	$(flow_count 0x12 n_bytes) - reply_bytes))" "1960 1960"
check "ping from vm2 is not what the rules allow" ping_blocked vm2 10.0.0.1
check "and TCP neither" fails guest_exec vm1 "timeout 3 nc -w 2 10.0.0.2 5201 </dev/null"

must "rules for all are added" vsctl \
	add-flow br0 priority=10,cookie=0x21,in_port=vm1,actions=output:vm2 \
	-- add-flow br0 priority=10,cookie=0x22,in_port=vm2,actions=output:vm1
bytes=$(tcp_bytes vm1 10.0.0.2)
check "TCP passes from vm1 to vm2" at_least "${bytes:-0}" 100000
note "TCP from vm1 to vm2: $((${bytes:-0} * 8 / 2000000)) Mbit/s"
check "the rule counts at least what TCP delivered" \
	at_least "$(flow_count 0x21 n_bytes)" "${bytes:-0}"
check "TCP passes from vm2 to vm1" tcp_passes vm1 10.0.0.2 -R

# ---- VLAN: vm1 knows of none, vm2 speaks only tagged ---------------------------------------------

must "vm1 has an address for it" guest_exec vm1 ip addr add 10.0.1.1/24 dev eth0
must "vm2 has VLAN 100" guest_exec vm2 "ip link add link eth0 name eth0.100 type vlan id 100 &&
	ip link set eth0.100 up && ip addr add 10.0.1.2/24 dev eth0.100"
check "untagged packets do not reach VLAN 100" ping_blocked vm1 10.0.1.2
untagged="cookie=0x31,in_port=vm1,vlan_tci=0,actions=push_vlan:0x8100"
must "rules push and pop a tag" vsctl del-flows br0 \
	-- add-flow br0 "$untagged,set_field:4196->vlan_vid,output:vm2" \
	-- add-flow br0 "cookie=0x32,in_port=vm2,dl_vlan=100,actions=pop_vlan,output:vm1"
check "vm1 reaches vm2's VLAN 100" within 20 pings vm1 10.0.1.2
check "the untagged network is cut off" ping_blocked vm1 10.0.0.2
before=$(flow_count 0x32 n_bytes)
check "10 pings through the VLAN" pings vm1 10.0.1.2 10
check "the rule for tagged packets counts their tag's 4 bytes" \
	at_least "$(($(flow_count 0x32 n_bytes) - before))" 1020
check "TCP passes into the VLAN" tcp_passes vm1 10.0.1.2
check "TCP passes out of the VLAN" tcp_passes vm1 10.0.1.2 -R
must "the rule's tag becomes 200" vsctl add-flow br0 \
	"$untagged,set_field:4296->vlan_vid,output:vm2"
check "VLAN 200 is not VLAN 100" ping_blocked vm1 10.0.1.2

# ---- Deleting a rule ----------------------------------------------------------------------------

must "one rule for each direction" vsctl del-flows br0 \
	-- add-flow br0 cookie=0x41,in_port=vm1,actions=output:vm2 \
	-- add-flow br0 cookie=0x42,in_port=vm2,actions=output:vm1
check "ping passes" within 20 pings vm1 10.0.0.2
must "a rule is deleted" vsctl del-flows br0 in_port=vm1
check "the ping stops" ping_blocked vm1 10.0.0.2
check "that rule is gone" equal "$(vsctl dump-flows br0 | grep -c cookie=0x41)" 0
check "the other is not" equal "$(vsctl dump-flows br0 | grep -c cookie=0x42)" 1

# ---- The switch is killed -----------------------------------------------------------------------

must "rules of many kinds" vsctl add-flow br0 cookie=0x41,in_port=vm1,actions=output:vm2 \
	-- add-flow br0 "table=3,priority=7,cookie=0x51,tcp,nw_src=10.1.0.0/16,tp_dst=80,actions=drop" \
	-- add-flow br0 "table=4,dl_src=02:00:00:00:00:00/02:00:00:00:00:00,actions=resubmit(,3)" \
	-- add-flow br0 "table=5,ipv6,ipv6_dst=fe80::/10,actions=NORMAL" \
	-- set Bridge br0 external_ids:owner=test
check "ping passes again" within 20 pings vm1 10.0.0.2
snapshot >"$test_dir/before"
check "the snapshot holds all rules" equal "$(grep -c actions= "$test_dir/before")" 5
pids="$(guest_pid vm1) $(guest_pid vm2)"
boots="$(boot_id vm1) $(boot_id vm2)"
uptime=$(uptime_of vm1)
# With the link a guest's kernel loses its ARP entries, and asks again only after a second: fixed
# ones, or this would measure the guest.
guest_exec vm1 arp -s 10.0.0.2 52:54:00:00:00:02
guest_exec vm2 arp -s 10.0.0.1 52:54:00:00:00:01
guest_spawn vm1 /tmp/ping ping -i 0.02 10.0.0.2 >"$test_dir/ping.pid"
check "a ping runs" within 20 more_replies vm1 /tmp/ping 20

kill -KILL "$switch"
killed=$EPOCHREALTIME
wait "$switch" 2>/dev/null
answered=$(replies vm1 /tmp/ping)
must "after kill -9 it starts again with the same database" start_switch
note "commands were answered $(milliseconds "$killed") ms after the kill"
check "traffic resumes by itself" within 60 more_replies vm1 /tmp/ping $((answered + 50))
guest_exec vm1 kill "$(<"$test_dir/ping.pid")"
guest_exec vm1 arp -d 10.0.0.2
guest_exec vm2 arp -d 10.0.0.1
guest_exec vm1 cat /tmp/ping >"$test_dir/ping"
note "kill -9 and restart: longest time without an answer $(longest_gap 20 <"$test_dir/ping") ms"
check "vm1's link is up again" within 20 link_is vm1 up
check "vm2's link is up again" within 20 link_is vm2 up
snapshot >"$test_dir/after"
check "flows and configuration are the same" same_snapshot "$test_dir/before" "$test_dir/after"
check "the guests' QEMU are the same" equal "$(guest_pid vm1) $(guest_pid vm2)" "$pids"
check "the guests have not booted again" equal "$(boot_id vm1) $(boot_id vm2)" "$boots"
check "vm1's uptime has grown" at_least "$(uptime_of vm1)" "$((uptime + 1))"
check "pings pass" pings vm1 10.0.0.2 20
check "TCP passes" tcp_passes vm1 10.0.0.2

# Unless interrupts get lost as well: a quiet guest is woken by the first packet.
sleep 2
check "pings pass after silence" pings vm2 10.0.0.1

# ---- A guest is killed --------------------------------------------------------------------------

must "vm2's QEMU is killed" guest_kill vm2
check "its link goes down" within 20 link_is vm2 down
check "vm1 gets no answer" ping_blocked vm1 10.0.0.2
started=$EPOCHREALTIME
must "vm2's QEMU starts again on the same socket" \
	guest_start vm2 "$test_dir/vm2.sock" 52:54:00:00:00:02 10.0.0.2/24
listening=$EPOCHREALTIME
check "the switch connects by itself: vm2 boots" guest_wait vm2
note "vm2 was up $(milliseconds "$started") ms after its QEMU started (a boot included," \
	"which waits for the switch; $(((${listening/./} - ${started/./}) / 1000)) ms until it listened)"
check "its link is up" within 20 link_is vm2 up
check "pings pass once more" within 20 pings vm1 10.0.0.2
check "vm1 was not touched" equal "$(guest_pid vm1) $(boot_id vm1)" "${pids% *} ${boots% *}"

# ---- The end ------------------------------------------------------------------------------------

check "every packet received was sent, consumed or dropped for a reason" within 5 is_conserved
kill "$switch"
wait "$switch"
check "vswitchd ends cleanly" equal $? 0
switch=""
check "its socket is gone" fails test -e "$test_dir/run/vswitchd.sock"
