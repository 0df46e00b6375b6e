#!/bin/bash
# Receive queues on two workers: where they are placed, that they move without loss and in order, that
# the measured load moves them, pinning, and workers that come and go under traffic.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start workers
(($(nproc) >= 2)) || skip "two workers need two cores"

a=$(space a) b=$(space b)
spaces=("$a" "$b")
bridge=br$$ pa=a$$ pb=b$$

workers() { # JQ-FILTER
	vsctl workers --json | jq -r "[.. | objects | select(has(\"workers\"))][0] | $1"
}
core_of() { # PORT
	workers ".workers[] | select(any(.queues[]; .port == \"$1\")) | .core"
}
why() { # PORT
	workers ".workers[].queues[] | select(.port == \"$1\") | .why"
}
is_on() { # PORT CORE
	equal "$(core_of "$1")" "$2"
}
says_why() { # PORT TEXT
	grep -qF -- "$2" <<<"$(why "$1")" || { why "$1" && return 1; }
}
cores() {
	workers '[.workers[].core | tostring] | sort | join(" ")'
}
set_switch() { # KEY=VALUE...
	vsctl set Open_vSwitch . "${@/#/other_config:}"
}

# ---- Placement ----------------------------------------------------------------------------------

must "vswitchd starts with two workers" start_switch --workers 0,1 --memory 128
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
apart() { # each port's queue on one core, and not all on the same
	[[ $(core_of "$pa") =~ ^[01]$ && $(core_of "$pb") =~ ^[01]$ ]] &&
		equal "$(workers '[.workers[].queues | length] | sort | join(" ")')" "1 2"
}
check "queues are spread over the workers" apart
check "... and say why" says_why "$pa" "the least loaded worker when it was added"
check "each queue is there once" equal \
	"$(workers '[.workers[].queues[] | .port] | sort | unique | length')" 3
check "the text has a line for each worker and queue" bash -c \
	"timeout 30 '$build/vsctl' workers | grep -cE '^(worker-[01]: core=[01], load=|    .*/0: load=)' | grep -qx 5"
check "the names of ovs-appctl(8) work" bash -c \
	"timeout 30 '$build/vsctl' dpif-netdev/pmd-rxq-show | grep -q '^worker-1: core=1'"

# ---- Pinning ------------------------------------------------------------------------------------

pin() { # PORT CORE
	vsctl set Interface "$1" "other_config:pmd-rxq-affinity=0:$2"
}
must "frames pass" within 10 pings "$a" 10.0.0.2
check "a queue is pinned" pin "$pa" 1
check "... and is there" is_on "$pa" 1
check "... because it was pinned" says_why "$pa" "pinned to core 1 by pmd-rxq-affinity"
check "a worker with a pinned queue polls no others" is_on "$pb" 0
check "... and is called isolated" equal "$(workers '.workers[] | select(.core == 1) | .isolated')" true
check "both pinned to one core" pin "$pb" 1
check "... are both there" is_on "$pb" 1
check "... and the bridge's own is not" is_on "$bridge" 0
check "frames pass" within 10 pings "$a" 10.0.0.2
check "isolation can be switched off" set_switch pmd-rxq-isolate=false
check "... and nobody is isolated" equal "$(workers 'any(.workers[]; .isolated)')" false
check "pinned to a core without a worker is placed by load" pin "$pb" 63
check "... and says so" says_why "$pb" "pinned to core 63, which has no worker"
check "pins are kept over a restart" bash -c \
	"timeout 30 '$build/vsctl' get Interface $pa other_config:pmd-rxq-affinity | grep -q 0:1"
vsctl remove Interface "$pb" other_config pmd-rxq-affinity
check "a pin is taken back" vsctl remove Interface "$pa" other_config pmd-rxq-affinity
check "... and the queue stays" is_on "$pa" 1
check "... and says why" says_why "$pa" "not moved since it was pinned here"

affinity() { # VALUE
	printf '%s\n' "other_config:pmd-rxq-affinity=$1"
}
check "a queue twice is refused" refused "a queue is there twice" set Interface "$pa" "$(affinity '"0:1,0:0"')"
check "nonsense is refused" refused "QUEUE:CORE is wanted" set Interface "$pa" "$(affinity 1)"
check "a comma too many is refused" refused "ends with a comma" set Interface "$pa" "$(affinity '"0:1,"')"
check "a missing comma is refused" refused "a comma is missing" set Interface "$pa" "$(affinity '"0:1 1:1"')"
check "a queue that no port has is refused" refused "queues 0 to" set Interface "$pa" "$(affinity 99:1)"
check "a core that no machine has is refused" refused "cores are 0 to" set Interface "$pa" "$(affinity 0:9999)"
check "... and nothing was changed" is_on "$pa" 1

# ---- Moving under traffic -----------------------------------------------------------------------

ip -n "$a" link set "$pa" txqueuelen 10000
ip -n "$b" link set "$pb" txqueuelen 10000
cat >"$dir/move" <<SCRIPT
#!/bin/bash
exec timeout 30 "$build/vsctl" set Interface $pa other_config:pmd-rxq-affinity=0:\$((\$1 % 2))
SCRIPT
cat >"$dir/replace" <<SCRIPT
#!/bin/bash
masks=(1 2 3 2 1 3)
exec timeout 30 "$build/vsctl" set Open_vSwitch . other_config:pmd-cpu-mask=\${masks[\$1 % 6]}
SCRIPT
chmod +x "$dir/move" "$dir/replace"
sequence() { # PER-SECOND SECONDS COMMAND
	local said
	said=$("$(dirname "$0")/sequence.py" "$a" "$b" 10.0.0.2 9999 "$@")
	local status=$?
	note "${3##*/}: $said" >&3
	echo "$said"
	return $status
}
exec 3>&1
check "a queue moves under traffic: nothing lost, nothing overtaken" sequence 20000 6 "$dir/move"
check "packets are conserved" within 5 is_conserved
vsctl remove Interface "$pa" other_config pmd-rxq-affinity
check "workers come and go under traffic: the same" sequence 10000 8 "$dir/replace"
check "packets are conserved" within 5 is_conserved

# ---- pmd-cpu-mask -------------------------------------------------------------------------------

received() {
	vsctl workers --json | jq '[.. | objects | select(has("received"))][0].received'
}
check "one worker is left" set_switch pmd-cpu-mask=2
check "... on core 1" equal "$(cores)" 1
check "... with all queues" equal "$(workers '[.workers[].queues[]] | length')" 3
before=$(received)
check "a second one comes" set_switch pmd-cpu-mask=0x3
check "... on core 0" equal "$(cores)" "0 1"
check "... and gets queues" at_least "$(workers '[.workers[] | select(.core == 0) | .queues[]] | length')" 1
check "... and counts go on" at_least "$(received)" "$before"
check "frames pass" within 10 pings "$a" 10.0.0.2
check "no core is refused" refused "names no core" set Open_vSwitch . other_config:pmd-cpu-mask=0
check "letters are refused" refused "hexadecimal digits" set Open_vSwitch . other_config:pmd-cpu-mask=xyz
check "a core that does not exist is refused" refused "no worker can run on core" \
	set Open_vSwitch . other_config:pmd-cpu-mask=8000000000000000000000000000
check "too many are refused" refused "more than 32 cores" \
	set Open_vSwitch . other_config:pmd-cpu-mask=fffffffff
check "... and both workers are still there" equal "$(cores)" "0 1"
check "... and frames pass" within 10 pings "$a" 10.0.0.2
for setting in pmd-rxq-assign=none pmd-rxq-isolate=yes pmd-auto-lb=1 \
	pmd-auto-lb-load-threshold=101 pmd-auto-lb-improvement-threshold=x \
	pmd-auto-lb-rebal-interval=20001; do
	check "$setting is refused" refused "other_config:$setting: " \
		set Open_vSwitch . "other_config:$setting"
done

warned_of() { # KEY
	timeout 30 "$build/vsctl" set Open_vSwitch . "other_config:$1=true" 2>&1 |
		grep -F "other_config:$1 of table Open_vSwitch is kept, but no such setting"
}
check "a mistyped setting does not go unnoticed" warned_of pmd-auto-bl
check "... but one that is there does" fails warned_of pmd-auto-lb

# ---- By measured load ---------------------------------------------------------------------------

python3 "$lib_root/bench/traffic.py" trace "$dir/pcap" plain packets=2048 flows=100
check "no automatic moves for now" set_switch pmd-auto-lb=false pmd-rxq-isolate=false
vsctl add-flow "$bridge" priority=9,in_port=101,actions=output:103
vsctl add-flow "$bridge" priority=9,in_port=102,actions=output:103
must "a sink is added" vsctl add-port "$bridge" "n$$" type=dpdk ofport_request=103 \
	options:dpdk-devargs=net_null1,no-rx=1
for i in 1 2; do
	must "busy port $i is added, pinned to core 1" vsctl add-port "$bridge" "i$i$$" type=dpdk \
		"ofport_request=$((100 + i))" \
		"options:dpdk-devargs=net_pcap$i,rx_pcap=$dir/pcap,infinite_rx=1" -- \
		set Interface "i$i$$" other_config:pmd-rxq-affinity=0:1
done
vsctl remove Interface "i1$$" other_config pmd-rxq-affinity -- \
	remove Interface "i2$$" other_config pmd-rxq-affinity
busy() { # CORE LOAD
	at_least "$(workers ".workers[] | select(.core == $1) | .load | floor")" "$2"
}
check "a worker with two busy queues is fully loaded" within 30 busy 1 80
check "... half by each" within 20 bash -c "[[ \$(timeout 30 '$build/vsctl' workers --json |
	jq '[.. | objects | select(.port? == \"i1$$\")][0].load | floor') -ge 30 ]]"
plan() {
	vsctl rebalance-workers --dry-run | grep -E '^i[12]'"$$"'/0: worker [01] -> [01]$'
}
check "a dry run tells what would be moved" plan
check "... and moves nothing" equal "$(core_of "i1$$") $(core_of "i2$$")" "1 1"
parted() {
	[[ $(core_of "i1$$") != "$(core_of "i2$$")" ]]
}
check "rebalancing by hand moves one" vsctl rebalance-workers
check "... to the other worker" parted
check "packets are conserved with both busy" at_least "$(received)" 100000
for i in 1 2; do pin "i$i$$" 1; done
check "both are on one worker again" fails parted
set_switch pmd-auto-lb=true
for i in 1 2; do vsctl remove Interface "i$i$$" other_config pmd-rxq-affinity; done
check "the load moves one by itself" within 60 parted
moved_text() {
	vsctl workers | grep -E "i[12]$$/0: .*moved for its load \(worker [01]: [0-9]+ % -> [0-9]+ %\)"
}
check "... and says why" moved_text
placed=$(core_of "i1$$")
sleep 8
check "... and nothing moves back" equal "$(core_of "i1$$")" "$placed"
many_changes() {
	local mask pinned
	for ((turn = 0; turn < 10; turn++)); do
		for mask in 1 3 2 3; do
			set_switch "pmd-cpu-mask=$mask" || return 1
			pinned="other_config:pmd-rxq-affinity=0:$((turn % 2))"
			vsctl set Interface "i1$$" "$pinned" -- set Interface "i2$$" "$pinned" || return 1
		done
	done
}
check "queues and workers change at full speed" many_changes
check "... and both ports go on" within 20 busy "$(core_of "i1$$")" 50
for i in 1 2; do vsctl remove Interface "i$i$$" other_config pmd-rxq-affinity; done
check "in turn: no load moves anything" set_switch pmd-rxq-assign=roundrobin
for i in 1 2; do check "busy port $i is deleted" vsctl del-port "$bridge" "i$i$$"; done
check "packets are conserved" within 10 is_conserved
check "one worker again, and its counts stay" set_switch pmd-cpu-mask=1
check "packets are conserved" within 10 is_conserved

# ---- Kept ---------------------------------------------------------------------------------------

stop_switch
must "a restart takes the kept cores, not those of the command line" start_switch --workers 1
check "... core 0" within 5 bash -c "timeout 30 '$build/vsctl' workers | grep -q 'core=0'"
vsctl remove Open_vSwitch . other_config pmd-cpu-mask
check "without a mask the command line's cores are used" equal "$(cores)" 1
check "stops cleanly" stop_switch
