#!/bin/bash
# How fast flows are loaded, printed and deleted, beside ovs-ofctl and Open vSwitch in the same run
# where those are installed.
#
#   bench/flows.sh        COUNTS="100000 1000000" ROUNDS=3
#
# Each time is that of the whole command, medians of the rounds, the two switches in turns. The
# switch keeps flows on the disk before it answers; Open vSwitch forgets them when it ends.
set -u -o pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
PATH=$here/${BUILD:-build}:$PATH:/usr/sbin
rounds=${ROUNDS:-3} counts=${COUNTS:-100000 1000000}
dir=$(mktemp -d /tmp/vswitch-bench.XXXXXX)
export VSWITCH_RUN_DIR=$dir
switch="" ovs_processes=()
# Open vSwitch leaves the interface of its bridge behind: what it is called is no name for our own.
bridge=br$$ ovs_bridge=ov$$

stop_all() {
	local pid
	for pid in $switch "${ovs_processes[@]}"; do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	switch="" ovs_processes=()
}

finish() {
	stop_all
	[[ ! -e /sys/class/net/$ovs_bridge ]] || ip link delete "$ovs_bridge"
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

start_switch() {
	vswitchd --run-dir "$dir" --db "$dir/db" --log-file "$dir/log" --memory 64 \
		>/dev/null 2>&1 &
	switch=$!
	vsctl --timeout 10 add-br "$bridge" && vsctl del-flows "$bridge"
}

has_ovs() {
	command -v ovs-vswitchd ovsdb-server ovsdb-tool ovs-ofctl ovs-vsctl >/dev/null &&
		[[ -f /usr/share/openvswitch/vswitch.ovsschema ]]
}

# In a directory of its own, with a datapath in user space: nothing else on the machine sees it.
start_ovs() {
	export OVS_RUNDIR=$dir/ovs OVS_DBDIR=$dir/ovs OVS_LOGDIR=$dir/ovs OVS_SYSCONFDIR=$dir/ovs
	mkdir -p "$dir/ovs"
	rm -f "$dir/ovs/conf.db"
	ovsdb-tool create "$dir/ovs/conf.db" /usr/share/openvswitch/vswitch.ovsschema
	ovsdb-server "$dir/ovs/conf.db" --remote="punix:$dir/ovs/db.sock" \
		--pidfile="$dir/ovs/db.pid" >/dev/null 2>&1 &
	ovs_processes=($!)
	ovs-vswitchd "unix:$dir/ovs/db.sock" --pidfile="$dir/ovs/switch.pid" --disable-system \
		>/dev/null 2>&1 &
	ovs_processes=($! "${ovs_processes[@]}")
	while [[ ! -S $dir/ovs/db.sock ]]; do sleep 0.05; done
	ovs-vsctl --timeout 20 "--db=unix:$dir/ovs/db.sock" --no-wait init
	ovs-vsctl --timeout 20 "--db=unix:$dir/ovs/db.sock" add-br "$ovs_bridge" -- \
		set bridge "$ovs_bridge" datapath_type=netdev fail-mode=secure
}

resident_kib() { # PID
	awk '/^RssAnon/ { print $2 }' "/proc/$1/status"
}

timed() { # COMMAND... : its time in microseconds
	local start=$EPOCHREALTIME
	"$@" >/dev/null || echo "failed: $*" >&2
	echo $((${EPOCHREALTIME/./} - ${start/./}))
}

note() { # STEP WHO VALUE
	echo "$3" >>"$dir/$count.$1.$2"
}

first_flow="udp,in_port=1,nw_src=10.0.0.0,nw_dst=172.16.0.0,tp_src=1024,tp_dst=53"

steps() { # WHO BRIDGE PID COMMAND-FOR-FLOWS...
	local who=$1 bridge=$2 pid=$3 before after
	shift 3
	before=$(resident_kib "$pid")
	note load "$who" "$(timed "$@" add-flows "$bridge" "$dir/flows.$count")"
	after=$(resident_kib "$pid")
	note memory "$who" $(((after - before) * 1024 / count))
	note dump "$who" "$(timed "$@" dump-flows "$bridge")"
	note cookie "$who" "$(timed "$@" del-flows "$bridge" cookie=5/-1)"
	note out_port "$who" "$(timed "$@" del-flows "$bridge" out_port=7)"
	note strict "$who" "$(timed "$@" --strict del-flows "$bridge" "priority=100,$first_flow")"
	note all "$who" "$(timed "$@" del-flows "$bridge")"
}

median() { # FILE
	sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

report() {
	local step ours theirs
	for step in load memory dump cookie out_port strict all; do
		ours=$(median "$dir/$count.$step.switch") theirs=0
		[[ ! -f $dir/$count.$step.ovs ]] || theirs=$(median "$dir/$count.$step.ovs")
		awk -v step="$step" -v n="$count" -v a="$ours" -v b="$theirs" '
			function show(v) {
				if (step == "load") return sprintf("%9.0f flows/s", n / v * 1e6)
				if (step == "memory") return sprintf("%9d bytes/flow", v)
				return sprintf("%9.1f ms", v / 1000)
			}
			BEGIN {
				printf "%8d %-9s switch %s", n, step, show(a)
				if (b) printf "   OVS %s   ratio %.1f", show(b), b / a
				print ""
			}'
	done
}

for count in $counts; do
	python3 "$here/bench/make_flows.py" "$count" >"$dir/flows.$count"
	for ((i = 0; i < rounds; i++)); do
		start_switch && steps switch "$bridge" "$switch" vsctl --timeout 600
		stop_all
		rm -f "$dir"/db*
		has_ovs || continue
		start_ovs && steps ovs "$ovs_bridge" "${ovs_processes[0]}" ovs-ofctl --timeout 600 --verbose=off
		stop_all
	done
	report
done
has_ovs || echo "ovs-ofctl is not installed: no comparison (apt-get install openvswitch-switch)"
