#!/bin/bash
# Quality of service between namespaces: rates on the wire, changed and taken away in use, and what can
# be mistyped.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start qos

a=$(space a) b=$(space b)
spaces=("$a" "$b")
bridge=br$$ pa=a$$ pb=b$$

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
ip -n "$a" neigh add 10.0.0.2 lladdr "$(ip -n "$b" -j link show "$pb" | jq -r '.[0].address')" dev "$pa"
ip -n "$b" neigh add 10.0.0.1 lladdr "$(ip -n "$a" -j link show "$pa" | jq -r '.[0].address')" dev "$pb"

# send_udp SECONDS MBITS [TOS [PORT]]: datagrams with 1400 bytes of payload from a to b, at this rate.
send_udp() {
	ip netns exec "$a" python3 - "$@" <<'PYTHON'
import socket
import sys
import time
seconds, mbits = float(sys.argv[1]), float(sys.argv[2])
port = int(sys.argv[3]) if len(sys.argv) > 3 else 9
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
begun = time.monotonic()
n = 0
while (passed := time.monotonic() - begun) < seconds:
    while n < passed * mbits * 1e6 / 8 / 1442:
        try:
            s.sendto(bytes(1400), ("10.0.0.2", port))
        except OSError:
            pass
        n += 1
    time.sleep(0.001)
PYTHON
}

show() { # JQ-FILTER [PORT]
	vsctl qos-show "${2:-$pb}" --json | jq "$1"
}

sent_bytes() { # QUEUE
	show "[.shaper.queues[] | select(.queue == $1) | .bytes] | add"
}

# rate_is QUEUE BITS PERCENT SECONDS: what a queue sends meanwhile.
rate_is() {
	local bytes begun ms bits
	bytes=$(sent_bytes "$1") begun=$EPOCHREALTIME
	sleep "$4"
	bits=$((($(sent_bytes "$1") - bytes) * 8)) ms=$(milliseconds "$begun")
	echo "$((bits / ms)) kbit/s, want $(($2 / 1000))"
	((bits * 1000 / ms >= $2 * (100 - $3) / 100 && bits * 1000 / ms <= $2 * (100 + $3) / 100))
}

# ---- Ingress policing ---------------------------------------------------------------------------

check "a port has none at first" grep -q "no quality of service" <(vsctl qos-show "$pa")
must "a rate is set" vsctl set Interface "$pa" ingress_policing_rate=10000 ingress_policing_burst=4000
check "it is told in words" grep -q "accepts 10 Mbit/s and 4 Mbit at once" <(vsctl qos-show "$pa")
before=$(flow_count 0x0 n_bytes "$bridge") begun=$EPOCHREALTIME
send_udp 3 40
check "packets are conserved" within 5 is_conserved
bits=$((($(flow_count 0x0 n_bytes "$bridge") - before) * 8)) took=$(milliseconds "$begun")
note "$bits bits in $took ms"
check "no more passes than rate and burst" at_least $((10000 * took * 103 / 100 + 4000000)) "$bits"
check "... and no less" at_least "$bits" $((10000 * 3000 * 90 / 100))
check "the rest is counted" at_least "$(drops_for ingress-policed)" 1000
must "packets per second instead" vsctl set Interface "$pa" ingress_policing_rate=0 \
	ingress_policing_kpkts_rate=1 ingress_policing_kpkts_burst=1
check "... are told" grep -q "1000 packets/s and 1000 packets at once" <(vsctl qos-show "$pa")
dropped=$(drops_for ingress-policed)
send_udp 2 100
check "... are held" at_least "$(drops_for ingress-policed)" $((dropped + 5000))
check "packets are conserved" within 5 is_conserved
must "none again" vsctl set Interface "$pa" ingress_policing_kpkts_rate=0
dropped=$(drops_for ingress-policed)
send_udp 0.5 40
check "... drops nothing" equal "$(drops_for ingress-policed)" "$dropped"

# ---- Shaping ------------------------------------------------------------------------------------

must "a port gets queues" vsctl set Port "$pb" qos=@qos -- \
	--id=@qos create QoS type=linux-htb other_config:max-rate=20000000 \
	queues:0=@q0 queues:1=@q1 queues:7=@q7 -- \
	--id=@q0 create Queue other_config:min-rate=2000000 other_config:priority=1 -- \
	--id=@q1 create Queue other_config:min-rate=8000000 other_config:priority=2 -- \
	--id=@q7 create Queue other_config:max-rate=5000000 dscp=46
check "it is told" grep -q "of 20 Mbit/s" <(vsctl qos-show "$pb")
check "... by the other name, too" vsctl qos/show "$pb"
check "queue-stats lists them" grep -q "queue 7: bytes=0" <(vsctl queue-stats "$bridge" "$pb")
check "queue-get-config does" grep -q "queue 1: min_rate:8000000" <(vsctl queue-get-config "$bridge")
check "... one" equal "$(vsctl queue-stats "$bridge" "$pb" 7 | wc -l)" 2
vsctl del-flows "$bridge"
must "flows choose queues" vsctl add-flows "$bridge" - <<FLOWS
priority=1,cookie=1,in_port=$pa,actions=output:$pb
priority=1,in_port=$pb,actions=output:$pa
priority=2,cookie=2,udp,in_port=$pa,tp_dst=11,actions=set_queue:1,output:$pb
priority=2,cookie=3,udp,in_port=$pa,tp_dst=17,actions=enqueue:$pb:7
priority=2,cookie=4,udp,in_port=$pa,tp_dst=19,actions=set_queue:99,output:$pb
FLOWS
check "packets pass" within 5 pings "$a" 10.0.0.2
send_udp 14 60 &
sender=$!
children+=("$sender")
sleep 1
check "the default queue gets all of the rate" rate_is 0 20000000 4 3
check "qos-show says so" equal "$(show '.shaper.rate > 18000000 and .shaper.rate < 22000000')" true
qos=$(vsctl get Port "$pb" qos)
must "the rate is halved while packets flow" vsctl set QoS "$qos" other_config:max-rate=10000000
sleep 0.5
check "... at once" rate_is 0 10000000 4 3
must "and raised" vsctl set QoS "$qos" other_config:max-rate=30000000
sleep 0.5
check "... at once" rate_is 0 30000000 4 3
wait "$sender"
check "drops are counted" at_least "$(($(drops_for egress-queue-full) + $(drops_for egress-queue-delay)))" 1000
check "packets are conserved" within 10 is_conserved

must "20 Mbit/s again" vsctl set QoS "$qos" other_config:max-rate=20000000
send_udp 8 40 &
children+=($!)
first=$!
send_udp 8 40 11 &
children+=($!)
second=$!
sleep 1
# One gets more while the other's sender is not running.
check "a greedy queue leaves another its minimum" rate_is 1 8000000 15 2
check "... and takes what is left" rate_is 0 12000000 15 2
wait "$first" "$second"
send_udp 2 30 17
check "a maximum is held" at_least $((5000000 * 25 / 80 + 20000)) "$(sent_bytes 7)"
check "... and reached" at_least "$(sent_bytes 7)" $((5000000 * 18 / 80))
unknown=$(show .shaper.unknown_queue)
send_udp 0.2 10 19
check "a queue that does not exist is the default queue, counted" at_least \
	"$(show .shaper.unknown_queue)" $((unknown + 50))
check "packets are conserved" within 10 is_conserved

# DSCP, looked at on the way back in by a flow.
ip netns exec "$b" timeout 20 tcpdump -c 1 -n -v -l -i "$pb" udp dst port 17 >"$dir/dscp" 2>/dev/null &
children+=($!)
dump=$!
sleep 1
send_udp 0.3 5 17
wait "$dump"
check "DSCP is written" grep -q "tos 0xb8" "$dir/dscp"

# ---- Latency beside greedy TCP ------------------------------------------------------------------

ip netns exec "$b" iperf3 -s -1 -p 5999 >/dev/null 2>&1 &
children+=($!)
sleep 0.3
ip netns exec "$a" iperf3 -c 10.0.0.2 -p 5999 -t 5 -J >"$dir/iperf" 2>&1 &
children+=($!)
client=$!
sleep 1.5
ip netns exec "$a" ping -q -c 50 -i 0.04 10.0.0.2 >"$dir/ping" 2>&1
wait "$client"
bits=$(jq '.end.sum_received.bits_per_second | floor' "$dir/iperf")
note "TCP: $bits bit/s; $(grep rtt "$dir/ping")"
# A loaded machine delays its acknowledgements.
check "TCP gets the rate" at_least "$bits" 14000000
check "... and no more" at_least 20500000 "$bits"
check "pings beside it are not late" at_least 40 \
	"$(sed -n 's|^rtt.*= [0-9.]*/\([0-9]*\).*|\1|p' "$dir/ping")"

# ---- An egress policer --------------------------------------------------------------------------

must "an egress policer" vsctl set Port "$pb" qos=@q -- --id=@q create QoS type=egress-policer \
	other_config:cir=1000000 other_config:cbs=20000
check "it is told in words" grep -q "sends 1 Mbyte/s of IP packets and 20 kbyte at once" \
	<(vsctl qos-show "$pb")
before=$(drops_for egress-policed)
send_udp 3 40
check "it drops what is too much" at_least "$(drops_for egress-policed)" $((before + 5000))
check "packets are conserved" within 5 is_conserved

must "the queues again" vsctl set Port "$pb" qos="$qos"

# ---- Taken away in use, restarts ----------------------------------------------------------------

send_udp 4 60 &
children+=($!)
sender=$!
sleep 0.5
check "a QoS in use is not destroyed" refused "does not exist" destroy QoS "$qos"
check "it is taken away while packets flow" vsctl clear Port "$pb" qos
check "... and is gone" grep -q "no quality of service" <(vsctl qos-show "$pb")
check "... and comes back" vsctl set Port "$pb" qos="$qos"
for _ in 1 2 3 4 5; do
	vsctl clear Port "$pb" qos -- set Port "$pb" qos="$qos" || break
	vsctl clear Port "$pb" qos
	vsctl set Port "$pb" qos="$qos"
done
check "... again and again" grep -q "of 20 Mbit/s" <(vsctl qos-show "$pb")
wait "$sender"
check "packets are conserved" within 10 is_conserved

# ---- A scheduler belongs to one worker, packets come to others, and workers come and go --------------

if (($(nproc) > 1)); then
	must "two workers" vsctl set Open_vSwitch . other_config:pmd-cpu-mask=3
	send_udp 9 40 &
	children+=($!)
	sender=$!
	for core in 0 1; do
		must "packets come to core $core" vsctl set Interface "$pa" \
			other_config:pmd-rxq-affinity="0:$core"
		sleep 0.3
		check "... the rate is held" rate_is 0 20000000 6 2
	done
	must "only the second worker stays" vsctl set Open_vSwitch . other_config:pmd-cpu-mask=2
	must "... only the first" vsctl set Open_vSwitch . other_config:pmd-cpu-mask=1
	check "... the rate is held" rate_is 0 20000000 6 2
	wait "$sender"
	check "packets are conserved" within 10 is_conserved
	vsctl remove Open_vSwitch . other_config pmd-cpu-mask -- \
		remove Interface "$pa" other_config pmd-rxq-affinity
fi

kill -KILL "$switch"
wait "$switch" 2>/dev/null
check "after kill -9 it starts" start_switch
check "... with its queues" equal "$(show '.shaper.queues | length')" 3
must "the port goes with its QoS" vsctl del-port "$bridge" "$pb"
must "... and comes without one" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
check "... is plain" grep -q "no quality of service" <(vsctl qos-show "$pb")
check "the QoS can be destroyed now" vsctl destroy QoS "$qos"

# ---- What can be mistyped -----------------------------------------------------------------------

must "one more policer" vsctl set Port "$pb" qos=@q -- --id=@q create QoS type=egress-policer \
	other_config:cir=1000000 other_config:cbs=20000
qos=$(vsctl get Port "$pb" qos)
check "no rate" refused "needs other_config:cir" remove QoS "$qos" other_config cir
check "a key of another type" refused "max-rate is not known; cir, cbs are" \
	set QoS "$qos" other_config:max-rate=1
must "it becomes a shaper" vsctl clear QoS "$qos" other_config -- set QoS "$qos" type=shaper
for bad in 0 -1 fast 10M 18446744073709551616 99999999999999999999999; do
	check "max-rate=$bad" refused "max-rate=$bad: a whole number from 1" \
		set QoS "$qos" other_config:max-rate="$bad"
	check "min-rate=$bad" refused "queue 3: other_config:min-rate=$bad" \
		set QoS "$qos" queues:3=@q -- --id=@q create Queue other_config:min-rate="$bad"
done
check "a type that there is not" refused "type 'htb' is not supported" set QoS "$qos" type=htb
check "a key that there is not" refused "max_rate is not known; max-rate, burst are" \
	set QoS "$qos" other_config:max_rate=1
check "a minimum above the maximum" refused "above max-rate" set QoS "$qos" queues:3=@q -- \
	--id=@q create Queue other_config:min-rate=2000 other_config:max-rate=1000
check "a queue with too high a number" refused "0 to 61439" set QoS "$qos" queues:61440=@q -- \
	--id=@q create Queue
check "an AQM that there is not" refused "fq_codel" set QoS "$qos" queues:3=@q -- \
	--id=@q create Queue other_config:aqm=red
check "flows that are no power of two" refused "power of two" set QoS "$qos" queues:3=@q -- \
	--id=@q create Queue other_config:flows=100
check "a negative policing rate" refused "ingress_policing_rate" \
	set Interface "$pa" ingress_policing_rate=-1
check "a policing rate beyond 64 bits" refused "ingress_policing_rate" \
	set Interface "$pa" ingress_policing_rate=18446744073709551616
check "a policing rate that is too much" refused "at most" \
	set Interface "$pa" ingress_policing_rate=9000000000000000000
check "none of it changed anything" equal "$(show '.shaper.queues | length')" 1
check "qos-show of no port" refused "does not exist" qos-show nowhere
check "queue-stats of no queue" refused "has no queue 5" queue-stats "$bridge" "$pb" 5
must "minimums beyond the rate" vsctl set QoS "$qos" other_config:max-rate=1000000 queues:3=@q -- \
	--id=@q create Queue other_config:min-rate=4000000
check "... are cut, and it is told" grep -q "at least 1 Mbit/s (of 4 Mbit/s" <(vsctl qos-show "$pb")
check "it stops cleanly" stop_switch
