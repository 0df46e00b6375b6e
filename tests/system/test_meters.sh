#!/bin/bash
# Meters between namespaces: commands, counters that add up, rates on the wire, restarts.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start meters

a=$(space a) b=$(space b)
spaces=("$a" "$b")
bridge=br$$ pa=a$$ pb=b$$

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
# Nothing but what the test sends: addresses are known, nobody asks.
ip -n "$a" neigh add 10.0.0.2 lladdr "$(ip -n "$b" -j link show "$pb" | jq -r '.[0].address')" dev "$pa"
ip -n "$b" neigh add 10.0.0.1 lladdr "$(ip -n "$a" -j link show "$pa" | jq -r '.[0].address')" dev "$pb"

stat_of() { # METER JQ-FILTER
	vsctl meter-stats "$bridge" "$1" --json | jq ".[0]$2"
}

equal_stat() { # METER JQ-FILTER VALUE
	equal "$(stat_of "$1" "$2")" "$3"
}

# send_udp N SECONDS SIZE: so many datagrams, and as many more as fit into the time, with so many
# bytes of payload, from a to port 9 of b. Prints how many milliseconds it took.
send_udp() {
	ip netns exec "$a" python3 - "$@" <<'PYTHON'
import socket
import sys
import time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
begun = time.monotonic()
n = 0
while n < int(sys.argv[1]) or time.monotonic() < begun + float(sys.argv[2]):
    try:
        n += 1
        s.sendto(bytes(int(sys.argv[3])), ("10.0.0.2", 9))
    except OSError:
        pass
print(int((time.monotonic() - begun) * 1000))
PYTHON
}

# ---- Commands -----------------------------------------------------------------------------------

must "a meter in packets" vsctl add-meter "$bridge" \
	meter=1,pktps,burst,stats,bands=type=drop,rate=1,burst_size=10
must "a meter in kilobits" vsctl add-meter "$bridge" \
	"meter=2 kbps burst stats bands=type=drop rate=8000 burst_size=800 type=dscp_remark rate=5 prec_level=1"
must "a meter that drops all" vsctl add-meter "$bridge" meter=3,kbps,bands=type=drop,rate=0
check "dump-meters prints them" equal "$(vsctl dump-meters "$bridge")" \
	"meter=1 pktps burst stats bands=
type=drop rate=1 burst_size=10
meter=2 kbps burst stats bands=
type=drop rate=8000 burst_size=800
type=dscp_remark rate=5 prec_level=1
meter=3 kbps bands=
type=drop rate=0"
check "dump-meter prints one" equal "$(vsctl dump-meter "$bridge" meter=3)" \
	"meter=3 kbps bands=
type=drop rate=0"
check "meter-features tells the limits" grep -q "^max_meter:65535 max_bands:8" \
	<(vsctl meter-features "$bridge")
check "a meter twice" refused "exists already" add-meter "$bridge" \
	meter=1,kbps,bands=type=drop,rate=1
check "a change of none" refused "no meter 9" mod-meter "$bridge" \
	meter=9,kbps,bands=type=drop,rate=1
check "a mistake, with its column" refused "column 25" add-meter "$bridge" \
	meter=4,kbps,bands=type=mark,rate=1
check "the controller's meter" refused "controller" add-meter "$bridge" \
	meter=controller,pktps,bands=type=drop,rate=1
check "a flow without its meter" refused "no meter 9" add-flow "$bridge" actions=meter:9,NORMAL
check "statistics of none" refused "no meter 9" meter-stats "$bridge" 9

# ---- Packets ------------------------------------------------------------------------------------

vsctl del-flows "$bridge"
must "flows are added" vsctl add-flows "$bridge" - <<FLOWS
priority=2,cookie=1,udp,in_port=$pa,tp_dst=9,actions=meter:1,resubmit(,1)
table=1,cookie=2,actions=output:$pb
table=1,priority=40000,cookie=3,ip,nw_tos=0x30,actions=output:$pb
FLOWS
check "the flow is printed" grep -q "actions=meter:1,resubmit(,1)" <(vsctl dump-flows "$bridge")
check "it counts" equal "$(stat_of 1 .flow_count)" 1
before=$(drops_for meter)
send_udp 200 0 100 >"$dir/took"
check "... all of them" within 5 equal_stat 1 .packet_in_count 200
check "bytes are those of the frames" equal "$(stat_of 1 .byte_in_count)" $((200 * 142))
passed_on=$(flow_count 0x2 n_packets "$bridge")
check "the burst passed" at_least "$passed_on" 10
check "... and not much more" at_least 20 "$passed_on"
check "the band has the rest" equal "$(stat_of 1 '.bands[0].packet_count')" $((200 - passed_on))
check "... and so has the drop reason" equal "$(($(drops_for meter) - before))" $((200 - passed_on))
check "packets are conserved" within 5 is_conserved
check "a trace tells of it" grep -q "meter 1: " <(vsctl trace "$bridge" "in_port=$pa,udp,tp_dst=9")
check "... and counts nothing" equal "$(stat_of 1 .packet_in_count)" 200

# ---- A rate on the wire -------------------------------------------------------------------------

must "the kilobit meter takes over" vsctl mod-flows "$bridge" \
	"udp,in_port=$pa,tp_dst=9,actions=meter:2,resubmit(,1)"
check "the other is without flows" equal "$(stat_of 1 .flow_count)" 0
bytes_before=$(flow_count 0x2 n_bytes "$bridge")
took=$(send_udp 1 3 1000)
check "all that was sent is judged" within 5 is_conserved
bits=$((($(flow_count 0x2 n_bytes "$bridge") - bytes_before) * 8))
note "$bits bits in $took ms"
# 8000 bits a millisecond and the burst, and some for what a loaded machine handles late.
check "no more passes than the rate and the burst" at_least $((8000 * took * 105 / 100 + 800000)) "$bits"
if (($(stat_of 2 .byte_in_count) * 8 > 3 * 8000 * took)); then
	check "... and no less" at_least "$bits" $((8000 * took * 9 / 10))
fi
check "what came is what passed and what was dropped" equal "$(stat_of 2 .byte_in_count)" \
	$((bits / 8 + $(stat_of 2 '.bands[0].byte_count')))
check "packets are conserved" within 5 is_conserved

# ---- Drop precedence ----------------------------------------------------------------------------

must "a meter that only marks" vsctl mod-meter "$bridge" \
	meter=2,pktps,bands=type=dscp_remark,rate=0,prec_level=1
check "... its counters went on" at_least "$(stat_of 2 .packet_in_count)" 1000
ip netns exec "$a" ping -q -c 3 -i 0.05 -W 1 -Q 0x28 10.0.0.2 >/dev/null
must "it is for ICMP now" vsctl add-flow "$bridge" \
	"priority=3,icmp,in_port=$pa,actions=meter:2,resubmit(,1)"
must "... and the way back" vsctl add-flow "$bridge" "in_port=$pb,actions=output:$pa"
check "packets pass" within 5 pings "$a" 10.0.0.2
check "AF11 becomes AF12" ip netns exec "$a" ping -q -c 3 -i 0.05 -W 3 -Q 0x28 10.0.0.2
check "... and is matched so" equal "$(flow_count 0x3 n_packets "$bridge")" 3

# ---- Failed requests, restarts, deletion --------------------------------------------------------

vsctl dump-meters "$bridge" >"$dir/meters"
check "a request that fails later" refused "no meter 99" \
	mod-meter "$bridge" meter=3,pktps,bands=type=drop,rate=7 -- \
	add-meter "$bridge" meter=23,kbps,bands=type=drop,rate=1 -- \
	del-meter "$bridge" 2 -- add-flow "$bridge" table=9,actions=meter:23 -- \
	add-flow "$bridge" actions=meter:99
check "... leaves the meters" diff -u "$dir/meters" <(vsctl dump-meters "$bridge")
check "... and the flows" equal "$(vsctl dump-flows "$bridge" | grep -c meter:2)" 2
check "... and adds none" equal "$(vsctl dump-flows "$bridge" | grep -c meter:23)" 0
snapshot "$bridge" >"$dir/before"
kill -KILL "$switch"
wait "$switch" 2>/dev/null
check "after kill -9 it starts" start_switch
check "... with its meters" diff -u "$dir/meters" <(vsctl dump-meters "$bridge")
snapshot "$bridge" >"$dir/after"
check "... and flows" diff -u "$dir/before" "$dir/after"
check "a meter is deleted" vsctl del-meter "$bridge" meter=2
check "... with the flows that use it" equal "$(vsctl dump-flows "$bridge" | grep -c meter:2)" 0
check "... and no others" equal "$(vsctl dump-flows "$bridge" | wc -l)" 3
check "all are deleted" vsctl del-meters "$bridge"
check "... and nothing is printed" equal "$(vsctl dump-meters "$bridge")" ""
must "one more" vsctl add-meter "$bridge" meter=1,kbps,bands=type=drop,rate=1
must "the bridge goes" vsctl del-br "$bridge"
must "... and comes" vsctl add-br "$bridge"
check "it has no meters" equal "$(vsctl dump-meters "$bridge")" ""
check "it stops cleanly" stop_switch
check "and starts without meters" start_switch
check "... there are none" equal "$(vsctl dump-meters "$bridge")" ""
