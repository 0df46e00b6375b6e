#!/bin/bash
# How fast one worker forwards 64-byte packets, against testpmd's bare forwarding on the same
# devices, taken in turns in one run: FLOOR, switch, FLOOR, switch, ... Medians of the ratios.
#
#   bench/run.sh [WORKLOAD...]      default: all; ROUNDS=5 SECONDS_EACH=2
#
# Packets are replayed from memory (net_pcap infinite_rx) and sent to nowhere (net_null). "net" is
# what the switch costs beyond the floor, in TSC cycles per packet.
set -u -o pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
PATH=$here/${BUILD:-build}:$PATH
rounds=${ROUNDS:-5} each=${SECONDS_EACH:-2}
core=$(($(nproc) - 1))
dir=$(mktemp -d /tmp/vswitch-bench.XXXXXX)
export VSWITCH_RUN_DIR=$dir
switch="" floor_process=""

finish() {
	[[ ! $switch ]] || kill "$switch" 2>/dev/null
	[[ ! $floor_process ]] || kill "$floor_process" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

# The kernel knows the TSC's rate; /proc/cpuinfo's is good enough for cycles per packet.
mhz=$(awk '/^cpu MHz/ { print $4; exit }' /proc/cpuinfo)

trace() { # FLOWS
	[[ -f $dir/$1.pcap ]] || python3 "$here/bench/make_trace.py" "$dir/$1.pcap" 4096 "$1"
	echo "$dir/$1.pcap"
}

# Packets per second of the floor.
floor() { # PCAP
	local output
	# testpmd forwards until its input ends.
	output=$(sleep $((each + 1)) | timeout $((each + 20)) dpdk-testpmd --no-huge --no-shconf \
		-m 512 --no-pci --no-telemetry "--file-prefix=vsw-bench-$$" -l "0,$core" \
		--vdev "net_pcap0,rx_pcap=$1,infinite_rx=1" --vdev net_null0,no-rx=1 -- \
		--total-num-mbufs=32768 --forward-mode=io --burst=32 --auto-start \
		--stats-period 0 --no-lsc-interrupt 2>&1)
	awk -v seconds="$((each + 1))" '/Accumulated forward statistics/ { all = 1 }
		all && /TX-packets/ { print int($4 / seconds); exit }' \
		<<<"${output//TX-packets: /TX-packets: x x }" | head -1
}

transmitted() {
	vsctl get Interface "out$$" statistics:tx_packets
}

measure() { # packets per second of the running switch
	local before after start
	before=$(transmitted) start=$EPOCHREALTIME
	sleep "$each"
	after=$(transmitted)
	echo $(((after - before) * 1000000 / (${EPOCHREALTIME/./} - ${start/./})))
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

run() { # NAME FLOWS (rules on standard input)
	command -v dpdk-testpmd >/dev/null || {
		echo "dpdk-testpmd is missing: apt-get install dpdk-dev" >&2
		return 1
	}
	local pcap f s i floors=() speeds=() ratios=()
	pcap=$(trace "$2")
	cat >"$dir/rules"
	for ((i = 0; i < rounds; i++)); do
		f=$(floor "$pcap")
		start_switch "$pcap" "$dir/rules" || { tail -3 "$dir/log" && return 1; }
		sleep 0.5
		s=$(measure)
		stop_switch
		floors+=("$f") speeds+=("$s")
		ratios+=("$(awk -v f="$f" -v s="$s" 'BEGIN { printf "%.3f", f ? s / f : 0 }')")
	done
	f=$(printf '%s\n' "${floors[@]}" | median) s=$(printf '%s\n' "${speeds[@]}" | median)
	awk -v name="$1" -v f="$f" -v s="$s" -v mhz="$mhz" \
		-v r="$(printf '%s\n' "${ratios[@]}" | median)" 'BEGIN {
		printf "%-28s floor %6.2f Mpps  switch %6.2f Mpps  share %5.1f %%  net %6.1f cycles\n",
			name, f / 1e6, s / 1e6, r * 100, mhz * 1e6 / s - mhz * 1e6 / f }'
}

workload_port() { # port to port
	run "port to port" 1000 <<<"in_port=1,actions=output:2"
}

workload_l4() { # 1000 exact rules on the 5-tuple
	python3 - <<'PY' | run "5-tuple, 1000 rules" 1000
for flow in range(1000):
    print("udp,in_port=1,nw_src=10.%d.%d.%d,nw_dst=10.%d.%d.%d,tp_src=%d,tp_dst=%d,actions=output:2" % (
        flow >> 16 & 255, flow >> 8 & 255, flow & 255,
        *(lambda d: (d >> 16 & 255, d >> 8 & 255, d & 255))(0x800000 + flow * 7919 % 0x800000),
        1024 + flow % 60000, 53 + flow % 8))
PY
}

workload_acl() { # 16 rules with different masks
	{
		for i in $(seq 1 15); do
			echo "priority=$((100 + i)),udp,nw_src=10.$i.0.0/16,tp_dst=$((5000 + i)),actions=drop"
		done
		echo "priority=1,actions=output:2"
	} | run "16 rules of many masks" 1000
}

workload_pipeline() { # four tables: register, MAC, rewrite, output
	{
		echo "table=0,in_port=1,actions=load:5->NXM_NX_REG0[],resubmit(,1)"
		for i in $(seq 0 999); do
			printf 'table=1,reg0=5,dl_dst=02:00:00:01:%02x:%02x,actions=load:2->NXM_NX_REG1[],resubmit(,2)\n' \
				$((i / 256)) $((i % 256))
		done
		echo "table=2,ip,actions=mod_dl_src:02:00:00:00:00:99,mod_dl_dst:02:00:00:00:00:98,dec_ttl,resubmit(,3)"
		echo "table=3,reg1=2,actions=output:2"
	} | run "4 tables, rewrite, dec_ttl" 1000
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

# What changes of flows that no packet hits take from the traffic beside them.
workload_flowmods() {
	local pcap i quiet busy changes ratios=() rates=()
	pcap=$(trace 1000)
	python3 "$here/bench/make_flows.py" 10000 >"$dir/rules"
	echo "priority=1,in_port=1,actions=output:2" >>"$dir/rules"
	start_switch "$pcap" "$dir/rules" || { tail -3 "$dir/log" && return 1; }
	for ((i = 0; i < rounds; i++)); do
		quiet=$(measure_work)
		python3 "$here/bench/change_flows.py" "$dir/vswitchd.sock" "br$$" 50000 \
			$((each + 1)) >"$dir/changes" &
		changes=$!
		sleep 0.5
		busy=$(measure_work)
		wait "$changes" || return 1
		rates+=("$(cat "$dir/changes")")
		ratios+=("$(awk -v q="$quiet" -v b="$busy" 'BEGIN { printf "%.3f", b / q }')")
	done
	stop_switch
	awk -v q="$quiet" -v n="$(printf '%s\n' "${rates[@]}" | median)" \
		-v r="$(printf '%s\n' "${ratios[@]}" | median)" 'BEGIN {
		printf "%-28s alone %6.2f Mpps  with %d changes/s  throughput %5.1f %%\n",
			"changes beside traffic", q / 1e6, n, r * 100 }'
}

workload_flows() { # loading, printing and deleting
	"$here/bench/flows.sh"
}

all=(port l4 acl pipeline flowmods flows)
for name in "${@:-${all[@]}}"; do
	declare -F "workload_$name" >/dev/null || {
		echo "no workload '$name'; there are: ${all[*]}" >&2
		exit 2
	}
	"workload_$name"
done
