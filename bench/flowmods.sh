#!/bin/bash
# What changes of flows that no packet hits take from the traffic beside them: 64-byte packets on one
# worker, alone and with changes, in turns.
#
#   bench/flowmods.sh       ROUNDS=5 SECONDS_EACH=2 RATE=50000 (changes per second)
set -u -o pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
PATH=$here/${BUILD:-build}:$PATH
rounds=${ROUNDS:-5} each=${SECONDS_EACH:-2} rate=${RATE:-50000}
core=$(($(nproc) - 1))
dir=$(mktemp -d /tmp/vswitch-bench.XXXXXX)
export VSWITCH_RUN_DIR=$dir
switch="" ratios=() rates=()

finish() {
	[[ ! $switch ]] || kill "$switch" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

transmitted() {
	vsctl get Interface "out$$" statistics:tx_packets
}

start_switch() { # PCAP FLOWS-FILE
	vswitchd --run-dir "$dir" --db "$dir/db" --log-file "$dir/log" --workers "$core" \
		--memory 256 >/dev/null 2>&1 &
	switch=$!
	vsctl --timeout 10 add-br "br$$" && vsctl del-flows "br$$" &&
		vsctl add-flows "br$$" "$2" &&
		vsctl add-port "br$$" "out$$" type=dpdk "options:dpdk-devargs=net_null1,no-rx=1" ofport_request=2 &&
		vsctl add-port "br$$" "in$$" type=dpdk ofport_request=1 \
			"options:dpdk-devargs=net_pcap1,rx_pcap=$1,infinite_rx=1"
}

stop_switch() {
	kill "$switch" && wait "$switch"
	switch=""
	rm -f "$dir"/db*
}

median() {
	sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

worker_ticks() { # time that the worker had its core
	awk '$2 == "(worker-0)" { print $14 + $15 }' "/proc/$switch/task/"*/stat
}

# Packets for each second that the worker had its core: the same beside other work on the machine.
measure_work() {
	local before ticks
	before=$(transmitted) ticks=$(worker_ticks)
	sleep "$each"
	echo $((($(transmitted) - before) * $(getconf CLK_TCK) / ($(worker_ticks) - ticks)))
}

python3 "$here/bench/traffic.py" trace "$dir/pcap" plain packets=4096 flows=1000
python3 "$here/bench/make_flows.py" 10000 >"$dir/rules"
echo "priority=1,in_port=1,actions=output:2" >>"$dir/rules"
start_switch "$dir/pcap" "$dir/rules" || { tail -3 "$dir/log" && exit 1; }
for ((i = 0; i < rounds; i++)); do
	quiet=$(measure_work)
	python3 "$here/bench/change_flows.py" "$dir/vswitchd.sock" "br$$" "$rate" \
		$((each + 1)) >"$dir/changes" &
	changes=$!
	sleep 0.5
	busy=$(measure_work)
	wait "$changes" || exit 1
	rates+=("$(cat "$dir/changes")")
	ratios+=("$(awk -v q="$quiet" -v b="$busy" 'BEGIN { printf "%.3f", b / q }')")
done
stop_switch
awk -v q="$quiet" -v n="$(printf '%s\n' "${rates[@]}" | median)" \
	-v r="$(printf '%s\n' "${ratios[@]}" | median)" 'BEGIN {
	printf "%-28s alone %6.2f Mpps  with %d changes/s  throughput %5.1f %%\n",
		"changes beside traffic", q / 1e6, n, r * 100 }'
