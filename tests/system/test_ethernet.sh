#!/bin/bash
# Ethernet switching between namespaces: addresses, limits, who may send; and what people mistype.
# (VLAN modes: test_switching, by crafted frames.)
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start ethernet

a=$(space a) b=$(space b) c=$(space c)
spaces=("$a" "$b" "$c")
bridge=eb$$ pa=ea$$ pb=ec$$ pc=ed$$
frames=$lib_root/tests/system/ethernet_frames.py

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
must "port c is attached" port_in_space "$bridge" "$pc" "$c" 10.0.0.3/24
check "a ping passes" within 10 pings "$a" 10.0.0.2

address_of() { ip netns exec "$1" cat "/sys/class/net/$2/address"; }
mac_a=$(address_of "$a" "$pa") mac_b=$(address_of "$b" "$pb")
fdb() { vsctl --json fdb-show "$bridge" | jq -c "[.. | objects | select(.mac? == \"$1\")]"; }
stat_of() { vsctl --json fdb-stats "$bridge" | jq "[.. | objects | .$1? // empty][0]"; }

# ---- Addresses ----------------------------------------------------------------------------------

check "a static entry" vsctl fdb-add "$bridge" "$pc" 0 "$mac_b"
check "... is shown so" equal "$(fdb "$mac_b" | jq -c '.[0] | [.name, .static]')" "[\"$pc\",true]"
check "... leads where it says" ping_blocked "$a" 10.0.0.2
vsctl fdb-flush "$bridge"
check "... stays when the others go" equal "$(stat_of entries)-$(stat_of static)" 1-1
check "... until it is deleted" vsctl fdb/del "$bridge" 0 "$mac_b"
check "... and the host is found again" within 10 pings "$a" 10.0.0.2
check "a port's entries are flushed" vsctl fdb-flush "$bridge" "$pa"
check "all bridges' are" vsctl fdb/flush
check "counts start anew" vsctl fdb/stats-clear "$bridge"
check "... at nothing" equal "$(stat_of moved)" 0

check "a limit of addresses" vsctl set Port "$pc" other_config:mac-limit=5
check "... counts refusals" python3 "$frames" flood "$c" "$pc" 100
check "... and holds" equal "$(vsctl --json fdb-show "$bridge" |
	jq "[.. | objects | select(.name? == \"$pc\")] | length <= 5")" true
check "... and forwards what it does not learn" at_least "$(stat_of refused)" 90
vsctl clear Port "$pc" other_config

vsctl fdb-flush "$bridge" && vsctl fdb-stats-clear "$bridge"
check "an address that flaps" python3 "$frames" flap "$a" "$pa" "$c" "$pc" 200
held() { at_least "$(stat_of held)" 1; }
check "... is held" within 5 held
check "... after the moves that it may" equal "$(($(stat_of moved) <= 40))" 1
check "... which is said once" equal "$(grep -c "moves between ports too often" "$dir/vswitchd.log")" 1

# A victim's frames must not be flooded while somebody makes up addresses as fast as he can.
must "a small table" vsctl set Bridge "$bridge" other_config:mac-table-size=1000
must "a ping" within 10 pings "$a" 10.0.0.2
before=$(ip netns exec "$c" cat "/sys/class/net/$pc/statistics/rx_packets")
ip netns exec "$a" ping -q -i 0.005 -c 1000 10.0.0.2 >"$dir/ping" &
ping_process=$!
sleep 0.2
check "200000 made-up addresses" python3 "$frames" flood "$c" "$pc" 200000
wait "$ping_process"
check "... make the victim lose nothing" grep ' 0% packet loss' "$dir/ping"
evicted() { at_least "$(stat_of evicted)" 1000; }
check "... fill the table and push each other out" evicted
# ARP and IPv6's own noise reach everybody; 2000 requests and answers must not.
flooded=$(($(ip netns exec "$c" cat "/sys/class/net/$pc/statistics/rx_packets") - before))
note "frames that the attacker saw meanwhile: $flooded"
check "... and show the attacker nothing" at_least 100 "$flooded"
vsctl clear Bridge "$bridge" other_config
check "packets are conserved" within 10 is_conserved

# ---- Protected ports, storm control --------------------------------------------------------------

vsctl fdb-flush
check "protected ports" vsctl set Port "$pa" protected=true -- set Port "$pb" protected=true
check "... do not meet" ping_blocked "$a" 10.0.0.2
check "... but others" within 10 pings "$a" 10.0.0.3
vsctl set Port "$pa" protected=false -- set Port "$pb" protected=false
check "a port may broadcast so much" vsctl set Port "$pc" other_config:storm-broadcast=50pps
check "a storm" python3 "$frames" storm "$c" "$pc" 2000
storm() { at_least "$(drops_for storm-control)" 1000; }
check "... is dropped" within 5 storm
check "... not the ping beside it" within 10 pings "$a" 10.0.0.2
vsctl clear Port "$pc" other_config
check "packets are conserved" within 10 is_conserved

# ---- Who may send --------------------------------------------------------------------------------

check "addresses are allowed" vsctl set Interface "$pa" \
	"allowed_addresses=$mac_a,10.0.0.1,10.0.10.0/24,fe80::/10"
check "... and may be used" within 10 pings "$a" 10.0.0.2
ip -n "$a" addr add 10.0.0.99/24 dev "$pa"
check "another IPv4 address may not" fails ip netns exec "$a" \
	ping -q -c 2 -i 0.1 -W 1 -I 10.0.0.99 10.0.0.2
spoofed() { at_least "$(($(drops_for spoofed-ip) + $(drops_for spoofed-arp)))" 1; }
check "... and is counted" within 5 spoofed
ip -n "$a" link set "$pa" address 02:00:00:00:00:99
check "another Ethernet address may not" ping_blocked "$a" 10.0.0.2
spoofed_mac() { at_least "$(drops_for spoofed-mac)" 1; }
check "... and is counted" within 5 spoofed_mac
ip -n "$a" link set "$pa" address "$mac_a"
check "no flow lets it through" vsctl add-flow "$bridge" "priority=9,in_port=$pa,actions=$pb"
check "... as it comes first" fails ip netns exec "$a" \
	ping -q -c 2 -i 0.1 -W 1 -I 10.0.0.99 10.0.0.2
vsctl del-flows "$bridge" "in_port=$pa"
check "anybody again" vsctl clear Interface "$pa" allowed_addresses
check "... may send" within 10 ip netns exec "$a" ping -q -c 2 -i 0.1 -W 1 -I 10.0.0.99 10.0.0.2
check "packets are conserved" within 10 is_conserved

# ---- Mistakes ------------------------------------------------------------------------------------

check "VLAN 4095" refused "reserved" set Port "$pa" tag=4095
check "... in a list" refused "reserved" set Port "$pa" trunks=1,4095
check "a tunnel of no VLAN" refused "needs a tag" set Port "$pa" vlan_mode=dot1q-tunnel
check "priority tags" refused "if-nonzero" set Port "$pa" other_config:priority-tags=yes
check "a type of tag" refused "802.1ad" set Port "$pa" other_config:qinq-ethtype=0x9100
check "a rate without unit" refused "unit" set Port "$pa" other_config:storm-broadcast=100
check "a negative rate" refused "unit" set Port "$pa" other_config:storm-unknown=-5pps
check "a rate beyond 32 bits" refused "unit" set Port "$pa" other_config:storm-multicast=5000gbps
check "a limit of none" refused "1 to" set Port "$pa" other_config:mac-limit=0
check "a limit of moves" refused "0 to" set Bridge "$bridge" other_config:mac-move-limit=x
check "forward-bpdu" refused "true or false" set Bridge "$bridge" other_config:forward-bpdu=1
check "no address" refused "no address" set Interface "$pa" allowed_addresses=10.0.0.300
check "a prefix" refused "behind the prefix" set Interface "$pa" allowed_addresses=10.0.0.1/24
check "... with a new port" refused "no address" add-port "$bridge" "ex$$" type=tap \
	allowed_addresses=vm1
check "a VLAN that is none" refused "no VLAN" fdb-add "$bridge" "$pa" 4096 "$mac_a"
check "an address that is none" refused "no MAC" fdb-add "$bridge" "$pa" 0 02:00
check "a group address" refused "group" fdb-add "$bridge" "$pa" 0 01:00:5e:00:00:01
check "a port that is not there" refused "does not exist" fdb-add "$bridge" nobody 0 "$mac_a"
check "an entry that is not there" refused "does not know" fdb-del "$bridge" 9 "$mac_a"
check "nothing was half applied" equal "$(vsctl get Port "$pa" tag trunks other_config | tr -d '\n')" \
	"[][]{}"
check "the daemon is well" within 10 pings "$a" 10.0.0.2
check "it stops cleanly" stop_switch
