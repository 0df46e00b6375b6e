#!/bin/bash
# vsctl trace: packets from flows, digits, files and captures; what it tells; everything mistyped.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start trace

bridge=br$$ other=bs$$ pa=a$$ pb=b$$ pc=c$$

must "vswitchd starts" start_switch
must "two bridges" vsctl add-br "$bridge" -- add-br "$other"
must "... with ports" vsctl add-port "$bridge" "$pa" type=tap -- add-port "$bridge" "$pb" type=tap -- \
	add-port "$other" "$pc" type=tap
must "... joined by a patch" vsctl add-port "$bridge" "p$$" type=patch options:peer="q$$" -- \
	add-port "$other" "q$$" type=patch options:peer="p$$"
ip link set "$pa" up && ip link set "$pb" up && ip link set "$pc" up
vsctl del-flows "$bridge"
must "flows" vsctl add-flows "$bridge" - <<FLOWS
priority=200,cookie=0x7,ip,nw_dst=10.1.0.0/16,actions=drop
priority=150,udp,tp_dst=53,actions=drop
priority=100,cookie=0x9,ip,nw_dst=10.0.0.0/8,actions=dec_ttl,set_field:0x12->reg3,resubmit(,1),$pb
priority=90,arp,actions=NORMAL
priority=80,ipv6,actions=p$$
table=1,reg3=0x12,actions=learn(table=9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),output(port=$pb,max_len=60)
FLOWS

says() { # TEXT ARG...: trace succeeds and says TEXT
	local text=$1
	shift
	vsctl trace "$@" >"$dir/trace" || return 1
	grep -qF -- "$text" "$dir/trace" || { cat "$dir/trace" && return 1; }
}

flow=in_port=$pa,tcp,nw_dst=10.0.0.1,tp_dst=53

# ---- What it tells ------------------------------------------------------------------------------

vsctl mod-table "$bridge" 0 name:first
for ((table = 20; table < 253; table++)); do
	echo "table=$table,actions=resubmit(,$((table + 1))),note:01"
done >"$dir/forward"
vsctl add-flows "$bridge" "$dir/forward"
vsctl add-flow "$bridge" "table=253,actions=output:$pb"
vsctl add-flow "$bridge" "priority=500,in_port=$pa,dl_type=0x9999,actions=resubmit(,20),note:01"
check "233 resubmits to later tables are not too deep" says "sent: port $pb" "$bridge" "in_port=$pa,dl_type=0x9999"
for table in $(seq 20 253); do echo "delete table=$table"; done >"$dir/forward"
echo "delete dl_type=0x9999" >>"$dir/forward"
vsctl add-flows "$bridge" "$dir/forward"
check "a table's name" says "table 0 (first): priority=100" "$bridge" "$flow"
check "... for programs" equal "$(vsctl --json trace "$bridge" "$flow" | jq -r '[.. | .table_name? // empty][0]')" first
vsctl mod-table "$bridge" 0 name:
check "the flow that matched" says "table 0: priority=100 cookie=0x9 ip,nw_dst=10.0.0.0/8" "$bridge" "$flow"
check "why another did not" says "priority=200 cookie=0x7 ip,nw_dst=10.1.0.0/16 did not match: nw_dst is 10.0.0.1, flow wants 10.1.0.0/16" \
	"$bridge" "$flow"
check "... and another" says "nw_proto is 6, flow wants 17" "$bridge" "$flow"
check "fields before and after" says "nw_ttl: 64 -> 63" "$bridge" "$flow"
check "registers" says "reg3: 0 -> 0x12" "$bridge" "$flow"
check "an inner table" says "            table 1: priority=32768 reg3=0x12" "$bridge" "$flow"
check "what would be learned" says "learn: would learn table=9," "$bridge" "$flow"
check "a cut output" says "cut to 60 of 118 bytes" "$bridge" "$flow"
check "the port by name and number" says "-> port $pb (2), 118 bytes" "$bridge" "$flow"
check "the packet that leaves" says "nw_ttl=63," "$bridge" "$flow"
check "the budget" says "budget: 2 of 4096" "$bridge" "$flow"
check "in_port by number" says "from port $pa (1)" "$bridge" "in_port=1,tcp"
check "a table miss, with flows of any priority" says "priority=200 cookie=0x7 ip,nw_dst=10.1.0.0/16 did not match: nw_dst" \
	"$bridge" "in_port=$pa,ip,nw_dst=11.0.0.1"
check "a drop, with its help" says "dropped: no-match: no flow of the table matched" \
	"$bridge" "in_port=$pa,ip,nw_dst=11.0.0.1"
check "NORMAL" says "NORMAL: VLAN 0, ff:ff:ff:ff:ff:ff is multicast: flood" \
	"$bridge" "in_port=$pa,arp,dl_dst=ff:ff:ff:ff:ff:ff"
check "a patch port" says "which leads to port q$$ of bridge $other" "$bridge" "in_port=$pa,ipv6"
check "... and the bridge behind it" says "bridge $other: 138 bytes from port q$$ (2), 1 patch port passed" \
	"$bridge" "in_port=$pa,tcp6"
check "... and its port" says "sent: port $pc (1) of bridge $other" "$bridge" "in_port=$pa,tcp6"
check "metadata to start with" says "table 0: no match" "$bridge" "in_port=$pa,reg5=7,metadata=9"
check "the old name" vsctl ofproto/trace "$bridge" "$flow"
vsctl --json trace "$bridge" "$flow" >"$dir/json"
check "JSON: the change" equal "$(jq -r '.steps[0].steps[0].steps[0].changes[0] | "\(.field) \(.before) \(.after)"' "$dir/json")" \
	"nw_ttl 64 63"
check "JSON: why not" equal "$(jq -r '.steps[0].steps[0].why_not[0] | "\(.cookie) \(.field) \(.fields)"' "$dir/json")" \
	"0x7 nw_dst 1"
check "JSON: the outputs" equal "$(jq -c '[.outputs[] | [.ofport, .length, .count]]' "$dir/json")" "[[2,60,1],[2,118,1]]"
check "JSON: the bytes" equal "$(jq -r '.outputs[1] | .hex | length' "$dir/json")" 236
check "nothing was counted" equal "$(flow_count 0x9 n_packets "$bridge")" 0
check "nothing was learned" equal "$(vsctl dump-flows "$bridge" table=9 | wc -l)" 0

# ---- Packets as digits --------------------------------------------------------------------------

head=ffffffffffff0200000000010806
arp=$head$(printf '0001080006040001020000000001%08x000000000000%08x' 0x0a000001 0x0a000002)
apart() { # BETWEEN: the frame, byte by byte
	local i
	for ((i = 0; i < ${#arp}; i += 2)); do printf '%s%s' "${arp:i:2}" "$1"; done
}
check "digits" says "arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_op=1" "$bridge" "in_port=$pa" "$arp"
check "digits with 0x" says "arp_spa=10.0.0.1" "$bridge" "in_port=$pa" "0x$arp"
check "digits with colons" says "arp_spa=10.0.0.1" "$bridge" "in_port=$pa" "$(apart :)"
check "digits with blanks" says "arp_spa=10.0.0.1" "$bridge" "in_port=$pa" "$(apart ' ')"
fold -w 16 <<<"$arp" >"$dir/frame"
check "digits from a file" says "arp_spa=10.0.0.1" "$bridge" "in_port=$pa" "$dir/frame"
check "digits from standard input" says "arp_spa=10.0.0.1" "$bridge" "in_port=$pa" - <"$dir/frame"
check "a jumbo frame" says "9014 bytes from" "$bridge" "in_port=$pa" "$(printf '%s%018000d' "$head" 0)"
printf '%s%0131040d' "$head" 0 >"$dir/large"
check "the largest frame" says "65534 bytes from" "$bridge" "in_port=$pa" "$dir/large"
check "... which is too long for a port" says "longer" "$bridge" "in_port=$pa" "$dir/large"

check "an odd digit" refused "this one is alone" trace "$bridge" "in_port=$pa" "${arp}0"
check "... with its column" refused "column 85:" trace "$bridge" "in_port=$pa" "${arp}0"
check "digits broken by a blank" refused "column 3:" trace "$bridge" "in_port=$pa" "ffa bb"
check "no digit" refused "neither a packet in hexadecimal digits nor a file" trace "$bridge" "in_port=$pa" "zz$arp"
check "a file without digits" refused "is none" trace "$bridge" "in_port=$pa" "$0"
check "... with line and name" refused "column 1:" trace "$bridge" "in_port=$pa" "$0"
check "a directory" refused "directory" trace "$bridge" "in_port=$pa" "$dir"
check "no bytes" refused "14 to 65535 bytes, its Ethernet header included, not 0" trace "$bridge" "in_port=$pa" ""
check "13 bytes" refused "not 13" trace "$bridge" "in_port=$pa" "${arp:0:26}"
printf '%0140000d' 0 >"$dir/long"
check "70000 bytes" refused "longer than 65535" trace "$bridge" "in_port=$pa" "$dir/long"
check "fields that contradict the packet" refused "the packet's dl_type is 0x0806, not 0x0800" \
	trace "$bridge" "in_port=$pa,ip" "$arp"

# ---- Flows --------------------------------------------------------------------------------------

check "no port" refused "say in_port=PORT" trace "$bridge" tcp
check "a port that is not there" refused "x$$" trace "$bridge" "in_port=x$$"
check "a port number that is not there" refused "no port number 77" trace "$bridge" in_port=77
check "a bridge that is not there" refused "bx$$" trace "bx$$" in_port=1
check "a field that is not there" refused "nw_sorc" trace "$bridge" "in_port=1,nw_sorc=1"
check "a packet that cannot be composed" refused "nsh_spi=0x3 cannot be composed" \
	trace "$bridge" "in_port=1,dl_type=0x894f,nsh_spi=3"
check "too many arguments" refused "takes" trace "$bridge" in_port=1 00 11

# ---- Captures -----------------------------------------------------------------------------------

le32() { printf '%02x%02x%02x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }
capture() { # LINKTYPE HEX...: a pcap file
	local frame
	printf d4c3b2a10200040000000000000000000000040000000000 | sed "s/........\$/$(le32 "$1")/"
	shift
	for frame; do
		printf '%s%s%s%s%s' "$(le32 0)" "$(le32 0)" "$(le32 $((${#frame} / 2)))" \
			"$(le32 $((${#frame} / 2)))" "$frame"
	done
}
bytes() { xxd -r -p; }
ip4=ffffffffffff02000000000108004500001400000000400000000a0000020b000001
capture 1 "$arp" "$ip4" "$arp" "$ip4" "$arp" | bytes >"$dir/file.pcap"
check "all packets of a capture, by result" says "5 packets traced" --pcap="$dir/file.pcap" "$bridge" "in_port=$pa"
check "... three fared alike" grep -qxF "3 packets, the first is number 1" "$dir/trace"
check "... and two" grep -qxF "2 packets, the first is number 2" "$dir/trace"
check "one of them" says "arp_spa=10.0.0.1" --pcap "$dir/file.pcap" --packet=3 "$bridge" "in_port=$pa"
check "... another" says "nw_dst=11.0.0.1" --packet 4 --pcap "$dir/file.pcap" "$bridge" "in_port=$pa"
check "... in JSON" equal "$(vsctl --json trace --pcap="$dir/file.pcap" "$bridge" "in_port=$pa" | jq -c '[.results[].packets]')" "[3,2]"
check "a capture from standard input" says "5 packets traced" --pcap=- "$bridge" "in_port=$pa" <"$dir/file.pcap"
head -c -9 "$dir/file.pcap" >"$dir/cut.pcap"
check "a capture that breaks off" says "4 packets traced; the capture breaks off there" \
	--pcap="$dir/cut.pcap" "$bridge" "in_port=$pa"
check "... and the packet that is missing" refused "breaks off behind packet 4" \
	trace --pcap="$dir/cut.pcap" --packet=5 "$bridge" "in_port=$pa"
check "a packet behind the last" refused "the capture has 5" trace --pcap="$dir/file.pcap" --packet=6 "$bridge" "in_port=$pa"
check "packet 0" refused "from 1, not '0'" trace --pcap="$dir/file.pcap" --packet=0 "$bridge" "in_port=$pa"
check "packet x" refused "not 'x'" trace --pcap="$dir/file.pcap" --packet=x "$bridge" "in_port=$pa"
check "a packet number without a capture" refused "--packet goes with --pcap" trace --packet=1 "$bridge" "in_port=$pa"
check "a capture and a packet" refused "not both" trace --pcap="$dir/file.pcap" "$bridge" "in_port=$pa" 00
check "a capture that is not there" refused "cannot read" trace --pcap="$dir/none" "$bridge" "in_port=$pa"
check "no capture" refused "no pcap or pcapng file" trace --pcap="$0" "$bridge" "in_port=$pa"
: >"$dir/empty"
check "an empty file" refused "1 byte to 16 MiB" trace --pcap="$dir/empty" "$bridge" "in_port=$pa"
capture 1 | bytes >"$dir/none.pcap"
check "a capture without packets" refused "no packets" trace --pcap="$dir/none.pcap" "$bridge" "in_port=$pa"
capture 105 "$arp" | bytes >"$dir/wifi.pcap"
check "another link type" refused "802.11" trace --pcap="$dir/wifi.pcap" "$bridge" "in_port=$pa"
capture 1 "${arp:0:20}" "$arp" | bytes >"$dir/short.pcap"
check "a packet of 10 bytes" says "2 packets traced" --pcap="$dir/short.pcap" "$bridge" "in_port=$pa"
check "... is dropped" grep -qF "dropped: rx-invalid" "$dir/trace"
capture 1 "$arp" "$(cat "$dir/long")" | bytes >"$dir/long.pcap"
check "a packet of 70000 bytes" refused "packet 2: a packet has 14 to 65535 bytes" trace --pcap="$dir/long.pcap" "$bridge" "in_port=$pa"
truncate -s 17M "$dir/huge.pcap"
check "a capture that is too long" refused "longer than 16 MiB" trace --pcap="$dir/huge.pcap" "$bridge" "in_port=$pa"

# ---- The limits of a large table ----------------------------------------------------------------

seq 0 119999 | awk '{ printf "table=7,priority=9,ip,nw_src=10.%d.%d.%d,actions=drop\n", $1 / 65536, $1 / 256 % 256, $1 % 256 }' \
	>"$dir/many"
must "120,000 flows" vsctl add-flows "$bridge" "$dir/many"
vsctl add-flow "$bridge" "priority=300,tcp,tp_dst=7,actions=goto_table:7"
start=$EPOCHREALTIME
check "not all of them are compared" says "not every flow was compared" "$bridge" "in_port=$pa,tcp,nw_src=11.0.0.1,tp_dst=7"
took=$(milliseconds "$start")
note "that took $took ms"
check "... which takes no time" at_least 2000 "$took"

check "help has an example" grep -qF "Example: vsctl trace br0 in_port=vm1," <(vsctl help trace | tr '\n' ' ')
check "vswitchd is there" vsctl list-br
