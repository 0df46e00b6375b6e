# shellcheck shell=bash
# What test scripts share: checks, a private switch, network namespaces. Source it after `set -u`.
#
# Every name is made unique by the process id, so that tests can run beside each other, and
# everything a test started is ended by process id when the test ends. A script calls
# `lib_start NAME` first; results are printed as "ok - TEXT" and "not ok - TEXT", and the last line
# is "N passed, N failed".

lib_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$lib_root/${BUILD:-build}
PATH=$build:$PATH:/usr/sbin:/sbin
passed=0 failed=0 switch="" dir="" spaces=() children=()

skip() {
	echo "SKIP $*"
	echo "0 passed, 0 failed"
	trap - EXIT
	exit 77
}

# check TEXT COMMAND...: one test; the command's output is shown when it fails.
check() {
	local text=$1
	shift
	if "$@" >"$dir/output" 2>&1; then
		echo "ok - $text"
		passed=$((passed + 1))
	else
		echo "not ok - $text"
		{ echo "$*" && tail -n 30 "$dir/output"; } | sed 's/^/    /'
		failed=$((failed + 1))
		return 1
	fi
}

# The rest makes no sense without this one.
must() {
	check "$@" || exit 1
}

note() {
	echo "# $*"
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

# refused TEXT COMMAND...: vsctl fails with status 1 (2 for usage) and says TEXT.
refused() {
	local text=$1 output status
	shift
	output=$(vsctl "$@" 2>&1)
	status=$?
	((status == 1 || status == 2)) || { echo "status $status: $output" && return 1; }
	grep -qF -- "$text" <<<"$output" || { echo "said: $output" && return 1; }
}

# SWITCH_OPTIONS are more options for every start, as words.
start_switch() { # [OPTION...]
	# shellcheck disable=SC2086
	setsid vswitchd --run-dir "$dir/run" --db "$dir/vswitch.db" --log-file "$dir/vswitchd.log" \
		${SWITCH_OPTIONS:-} "$@" </dev/null >>"$dir/vswitchd-output.log" 2>&1 &
	switch=$!
	vsctl --timeout 20 list-br >/dev/null || { tail -n 5 "$dir/vswitchd-output.log" && return 1; }
}

# wait_gone PID: not a child's status, just that it is not there any more.
wait_gone() {
	local tries
	for ((tries = 0; tries < 200; tries++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.05
	done
	return 1
}

stop_switch() { # [SIGNAL]
	[[ $switch ]] || return 0
	kill "-${1:-TERM}" "$switch" 2>/dev/null
	wait_gone "$switch" || { kill -KILL "$switch" && return 1; }
	wait "$switch" 2>/dev/null
	switch=""
}

flow_count() { # COOKIE FIELD [BRIDGE]: n_packets or n_bytes of the flow with this cookie
	vsctl dump-flows "${3:-br0}" | sed -n "s/.*cookie=$1,.* $2=\([0-9]*\).*/\1/p"
}

drops_for() { # REASON
	vsctl drops --json |
		jq --arg reason "$1" '[.. | objects | select(.reason? == $reason) | .packets] | add // 0'
}

# Received and copied equal sent and dropped, as soon as nothing is under way.
is_conserved() {
	local drops
	drops=$(vsctl drops --json) || return 1
	jq -e '.totals.conserved == true' <<<"$drops" >/dev/null || { echo "$drops" && return 1; }
}

# space NAME: make a network namespace for this test and print its full name.
space() {
	local name=vsw$$-$1
	ip netns add "$name" || return 1
	ip -n "$name" link set lo up
	echo "$name"
}

# port_in_space BRIDGE PORT NAMESPACE ADDRESS: a tap port of the switch, moved into a namespace.
port_in_space() {
	vsctl add-port "$1" "$2" type=tap || return 1
	ip link set "$2" netns "$3" && ip -n "$3" addr add "$4" dev "$2" &&
		ip -n "$3" link set "$2" up
}

pings() { # NAMESPACE ADDRESS [COUNT]
	ip netns exec "$1" ping -q -c "${3:-3}" -i 0.05 -W 3 "$2" | grep ' 0% packet loss'
}

ping_blocked() { # NAMESPACE ADDRESS
	{ ip netns exec "$1" ping -q -c 2 -i 0.05 -W 1 "$2" || true; } | grep "100% packet loss"
}

# All that must survive a restart: flows and configuration, without what counts or measures.
snapshot() { # BRIDGE
	local table
	vsctl dump-flows "$1" | sed -E 's/(duration|n_packets|n_bytes|idle_age|hard_age)=[^ ,]*,? ?//g'
	for table in Open_vSwitch Bridge Port Interface; do
		vsctl list "$table" |
			grep -vE '^(statistics|link_resets|status|cur_cfg|ifindex|mac_in_use|link_state|datapath_id) *:'
	done
}

lib_finish() {
	local status=$? name
	trap '' INT
	for child in "${children[@]:-}"; do
		[[ ! $child ]] || kill "$child" 2>/dev/null
	done
	stop_switch TERM >/dev/null 2>&1 || true
	for name in "${spaces[@]:-}"; do
		[[ ! $name ]] || ip netns del "$name" 2>/dev/null
	done
	if ((failed || passed == 0 || status)); then
		note "logs are kept in $dir"
	else
		rm -rf "$dir"
	fi
	# Interrupted, or stopped before the end: that is no success.
	((failed || (passed && status == 0))) || failed=$((failed + 1))
	echo "$passed passed, $failed failed"
	((failed == 0)) || exit 1
}

lib_start() { # NAME
	local program
	((EUID == 0)) || skip "this test needs root"
	for program in ip jq iperf3 ping socat; do
		command -v "$program" >/dev/null ||
			skip "$program is missing (scripts/install-deps.sh test)"
	done
	[[ -x $build/vswitchd && -x $build/vsctl ]] || skip "vswitchd and vsctl are not built"
	dir=$(mktemp -d "/tmp/vswitch-$1.XXXXXX")
	mkdir -p "$dir/run"
	export VSWITCH_RUN_DIR=$dir/run
	trap lib_finish EXIT
	trap 'exit 130' INT TERM HUP
}
