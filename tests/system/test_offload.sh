#!/bin/bash
# Offloads with the kernel's own TCP and UDP at both ends: large packets and undone checksums between
# tap, internal and veth ports, through rewrites, to ports that take them and to ports that do not.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start offload
for program in tcpdump python3 nstat; do
	command -v "$program" >/dev/null || skip "$program is missing (scripts/install-deps.sh test)"
done

a=$(space a) b=$(space b) c=$(space c)
spaces=("$a" "$b" "$c")
bridge=br$$ pa=a$$ pb=b$$ pc=c$$

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
ip link add "$pc" type veth peer name peer netns "$c" && ip link set "$pc" up
ip -n "$c" addr add 10.0.0.3/24 dev peer && ip -n "$c" link set peer up
must "a veth is attached" vsctl add-port "$bridge" "$pc"
ip addr add 10.0.0.254/24 dev "$bridge" && ip link set "$bridge" up
ip -n "$a" addr add fd00::1/64 dev "$pa" nodad
ip -n "$b" addr add fd00::2/64 dev "$pb" nodad
python=$lib_root/tests/system/offload_traffic.py

status() { # PORT KEY
	vsctl get Interface "$1" "status:$2" | tr -d '"'
}
shows() { # PORT KEY TEXT
	equal "$(status "$1" "$2")" "$3"
}
tso_of() { # true or false: of ports a and b
	vsctl set Interface "$pa" "other_config:tso=$1" "other_config:checksum=$1" \
		-- set Interface "$pb" "other_config:tso=$1" "other_config:checksum=$1"
}

# ---- Settings -----------------------------------------------------------------------------------

check "offloads are on" bash -c "$build/vsctl get Interface $pa status:rx_offloads | grep 'checksum tso4 tso6 ecn'"
check "... of the veth too" bash -c "$build/vsctl get Interface $pc status:tx_offloads | grep 'checksum tso4 tso6 ecn'"
check "tso is switched off" vsctl set Interface "$pa" other_config:tso=false other_config:uso=false
check "... at once" shows "$pa" tx_offloads checksum
check "... in the kernel too" bash -c "ip netns exec $a ethtool -k $pa | grep 'tcp-segmentation-offload: off'"
check "checksum=false takes the others with it" vsctl set Interface "$pa" other_config:checksum=false \
	other_config:tso=true
check "... at once" shows "$pa" rx_offloads none
check "mistyped values are refused" refused \
	"interface '$pa': other_config:tso=yes: true (the default) or false is wanted" \
	set Interface "$pa" other_config:tso=yes
check "OVS's key is accepted" vsctl set Open_vSwitch . other_config:userspace-tso-enable=false
check "... for ports that say nothing" shows "$pb" rx_offloads checksum
check "... and refused when mistyped" refused "userspace-tso-enable=1: true" \
	set Open_vSwitch . other_config:userspace-tso-enable=1
check "all is on again" vsctl remove Open_vSwitch . other_config userspace-tso-enable \
	-- clear Interface "$pa" other_config
check "... at once" bash -c "$build/vsctl get Interface $pa status:rx_offloads | grep tso4"

# ---- Throughput, with and without -----------------------------------------------------------------

check "a reaches b" within 10 pings "$a" 10.0.0.2
check "a reaches c" within 10 pings "$a" 10.0.0.3
for space in "$b" "$c"; do
	ip netns exec "$space" iperf3 -s -D --pidfile "$dir/iperf.$space" >/dev/null 2>&1
	within 5 test -s "$dir/iperf.$space" && children+=("$(tr -d '\0' <"$dir/iperf.$space")")
done
iperf3 -s -B 10.0.0.254 -D --pidfile "$dir/iperf.host" >/dev/null 2>&1
within 5 test -s "$dir/iperf.host" && children+=("$(tr -d '\0' <"$dir/iperf.host")")
exec 3>&1
tcp_passes() { # WHAT ADDRESS [OPTION...]
	local bytes what=$1
	bytes=$(ip netns exec "$a" iperf3 -J -c "$2" -t 2 "${@:3}" | jq '.end.sum_received.bytes // 0') &&
		note "$what: $((bytes * 8 / 2000000)) Mbit/s" >&3 && at_least "$bytes" 1000000
}
check "TCP from tap to tap" tcp_passes "tap to tap" 10.0.0.2
check "TCP over IPv6" tcp_passes "tap to tap, IPv6" fd00::2
check "TCP from tap to veth" tcp_passes "tap to veth" 10.0.0.3
check "TCP from veth to tap" tcp_passes "veth to tap" 10.0.0.3 -R
check "TCP from tap to the host" tcp_passes "tap to internal" 10.0.0.254
check "TCP from the host to tap" tcp_passes "internal to tap" 10.0.0.254 -R
tso_of false
check "TCP without offloads" tcp_passes "tap to tap, no offloads" 10.0.0.2
vsctl set Interface "$pa" other_config:tso=true other_config:checksum=true
check "TCP from a port with them to one without" tcp_passes "tap to tap, cut by us" 10.0.0.2
check "... and back" tcp_passes "back" 10.0.0.2 -R
packets_per_megabyte() {
	local packets bytes
	packets=$(vsctl get Interface "$pa" statistics:rx_packets)
	bytes=$(vsctl get Interface "$pa" statistics:rx_bytes)
	((packets * 1520 > bytes)) || { echo "$packets packets with $bytes bytes" && return 1; }
}
check "counters say what is on the wire" packets_per_megabyte
check "packets are conserved" within 5 is_conserved

# ---- What leaves is right: b takes nothing undone, so every frame there is finished -----------------

capture() { # SECONDS COMMAND...: what b gets from a meanwhile
	ip netns exec "$b" tcpdump -i "$pb" -w "$dir/b.pcap" -s 0 -B 16384 -Q in --immediate-mode \
		2>"$dir/tcpdump" &
	local pid=$!
	within 5 grep -q listening "$dir/tcpdump"
	"$@"
	local result=$?
	sleep 0.3
	kill "$pid" && wait "$pid"
	return "$result"
}
frames_right() { # LEAST NUMBER, LONGEST
	tcpdump -r "$dir/b.pcap" -nn -vv -e 2>/dev/null >"$dir/b.txt"
	at_least "$(grep -c 'length' "$dir/b.txt")" "$1" || return 1
	! grep -E 'incorrect|bad cksum|bad udp cksum|truncated' "$dir/b.txt" | head -n 5 | grep . || return 1
	awk -v longest="$2" '{ for (i = 1; i < NF; i++) if ($i == "length" && $(i + 1) + 0 > longest + 0) bad = bad $0 "\n" }
		/ethertype/ { exit } END { printf "%s", bad; exit bad != "" }' "$dir/b.txt"
}
for address in 10.0.0.2 fd00::2; do
	check "a stream to $address arrives" capture ip netns exec "$a" iperf3 -c "$address" -n 3M
	check "... in frames that are right" frames_right 500 1514
done
in_space() {
	ip netns exec "$@"
}
check "datagrams cut by the kernel's sender arrive" capture in_space "$a" \
	python3 "$python" "$dir" datagrams "$b" 10.0.0.2
check "... right" frames_right 20 1514

# ---- Rewritten on the way -------------------------------------------------------------------------

mac_of() { # NAMESPACE DEVICE
	ip -n "$1" -j link show "$2" | jq -r '.[0].address'
}
must "a router's and a translator's flows" vsctl add-flows "$bridge" - <<FLOWS
table=0,priority=9,ip,in_port=$pa,nw_dst=10.0.0.9,actions=set_field:10.0.0.8->nw_src,set_field:10.0.0.2->nw_dst,dec_ttl,output:$pb
table=0,priority=9,ip,in_port=$pb,nw_dst=10.0.0.8,actions=set_field:10.0.0.9->nw_src,set_field:10.0.0.1->nw_dst,dec_ttl,output:$pa
FLOWS
ip -n "$a" neigh add 10.0.0.9 lladdr "$(mac_of "$b" "$pb")" dev "$pa"
ip -n "$b" neigh add 10.0.0.8 lladdr "$(mac_of "$a" "$pa")" dev "$pb"
check "a stream through them arrives" capture ip netns exec "$a" iperf3 -c 10.0.0.9 -n 3M
check "... in frames that are right" frames_right 500 1514
tso_of true
check "... and whole where b takes it" tcp_passes "rewritten" 10.0.0.9
check "... and back" tcp_passes "rewritten, back" 10.0.0.9 -R

# ---- Tags, MTU ------------------------------------------------------------------------------------

vsctl del-flows "$bridge"
must "c gets a tagged copy of what b gets" vsctl add-flows "$bridge" - <<FLOWS
table=0,priority=8,in_port=$pa,actions=push_vlan:0x8100,set_field:4103->vlan_vid,output:$pc,pop_vlan,output:$pb
table=0,priority=7,in_port=$pb,actions=push_vlan:0x88a8,push_vlan:0x8100,output:$pc,pop_vlan,pop_vlan,output:$pa
FLOWS
check "TCP between them" tcp_passes "tagged for another" 10.0.0.2
check "... and back" tcp_passes "tagged for another, back" 10.0.0.2 -R
vsctl del-flows "$bridge" && vsctl add-flow "$bridge" actions=NORMAL
before=$(drops_for tx-mtu)
vsctl set Interface "$pc" mtu_request=1300
ip netns exec "$a" ping -q -c 3 -i 0.05 -W 1 -s 1400 10.0.0.3 >/dev/null
check "a frame longer than the MTU is dropped" at_least "$(($(drops_for tx-mtu) - before))" 1
ip netns exec "$a" ip tcp_metrics flush all 2>/dev/null
before=$(drops_for tx-mtu)
check "TCP whose segments fit passes in large packets" tcp_passes "segments of 1200" 10.0.0.3 -M 1200
check "... and is not counted against the MTU" equal "$(drops_for tx-mtu)" "$before"

check "packets are conserved" within 5 is_conserved
no_errors() {
	local space
	for space in "$a" "$b" "$c"; do
		ip netns exec "$space" nstat -az TcpInCsumErrors UdpInCsumErrors Udp6InCsumErrors \
			IcmpInCsumErrors | awk -v space="$space" \
			'/CsumErrors/ && $2 > 0 { print space, $0; bad = 1 } END { exit bad }' || return 1
	done
}
check "nobody has seen a wrong checksum" no_errors
errors=$(vsctl get Interface "$pa" statistics:rx_errors)$(vsctl get Interface "$pb" statistics:tx_errors)$(vsctl get Interface "$pc" statistics:rx_errors)
check "nothing was refused by a port" equal "$errors" 000
check "the daemon is well" vsctl list-br
check "it stops cleanly" stop_switch
