#!/bin/bash
# Joining: a sender whose kernel cuts its TCP itself, and a receiver that takes large packets. With
# joining off and on in turns: what arrives is right, counted alike, and how fast it is.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start gro
for program in iperf3 ethtool nstat jq; do
	command -v "$program" >/dev/null || skip "$program is missing (scripts/install-deps.sh test)"
done

a=$(space a) b=$(space b)
spaces=("$a" "$b")
bridge=br$$ pa=a$$ pb=b$$
must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
ip link add "$pa" type veth peer name peer netns "$a" && ip link set "$pa" up
ip -n "$a" addr add 10.0.0.1/24 dev peer && ip -n "$a" link set peer up
ip -n "$a" addr add fd00::1/64 dev peer nodad
must "the sender's kernel cuts" ip netns exec "$a" ethtool -K peer tso off gso off tx off
must "a veth is attached" vsctl add-port "$bridge" "$pa"
must "a tap is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
ip -n "$b" addr add fd00::2/64 dev "$pb" nodad
ip netns exec "$b" iperf3 -s -D --pidfile "$dir/iperf" >/dev/null 2>&1
within 5 test -s "$dir/iperf" && children+=("$(tr -d '\0' <"$dir/iperf")")

joined() {
	vsctl get Interface "$pb" statistics:tx_joined
}
gro() { # true or false
	vsctl set Interface "$pb" "other_config:gro=$1"
}
exec 3>&1
tcp() { # WHAT ADDRESS
	local bytes
	bytes=$(ip netns exec "$a" iperf3 -J -c "$2" -t 2 | jq '.end.sum_received.bytes // 0') &&
		note "$1: $((bytes * 8 / 2000000)) Mbit/s" >&3 && at_least "$bytes" 1000000
}

check "joining is on" equal "$(vsctl get Interface "$pb" status:gro | tr -d '"')" on
check "a mistyped value is refused" refused "other_config:gro=yes: true" \
	set Interface "$pb" other_config:gro=yes
check "it needs what it makes" vsctl set Interface "$pb" other_config:tso=false
check "... and says so" equal "$(vsctl get Interface "$pb" status:gro | tr -d '"')" off
vsctl clear Interface "$pb" other_config
check "a reaches b" within 10 pings "$a" 10.0.0.2
for address in 10.0.0.2 fd00::2 10.0.0.2; do
	check "joining is switched off" gro false
	before=$(joined)
	check "TCP to $address" tcp "not joined, $address" "$address"
	check "... is not joined" equal "$(joined)" "$before"
	check "joining is switched on" gro true
	check "TCP to $address" tcp "joined, $address" "$address"
	check "... is joined" at_least "$(($(joined) - before))" 100
done
packets_of_frames() {
	local packets bytes
	packets=$(vsctl get Interface "$pb" statistics:tx_packets)
	bytes=$(vsctl get Interface "$pb" statistics:tx_bytes)
	((packets * 1520 > bytes)) || { echo "$packets packets with $bytes bytes" && return 1; }
}
check "counters say what is on the wire" packets_of_frames
check "packets are conserved" within 5 is_conserved
no_errors() {
	ip netns exec "$b" nstat -az TcpInCsumErrors | awk '/CsumErrors/ && $2 > 0 { exit 1 }'
}
check "nobody has seen a wrong checksum" no_errors
check "nothing was refused" equal "$(vsctl get Interface "$pb" statistics:tx_errors)" 0
check "it stops cleanly" stop_switch
