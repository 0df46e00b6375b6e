#!/bin/bash
# Single flow tables: limits, eviction, names, misses, their counters; ports told what not to do.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start tables

a=$(space a) b=$(space b)
spaces=("$a" "$b")
bridge=br$$ pa=a$$ pb=b$$ pc=c$$

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24

# The taps come back where the switch is.
into_space() { # PORT NAMESPACE ADDRESS MAC
	ip link set "$1" netns "$2" && ip -n "$2" addr add "$3" dev "$1" &&
		ip -n "$2" link set "$1" address "$4" up
}

restart() {
	# shellcheck disable=SC2119
	stop_switch && start_switch && into_space "$pa" "$a" 10.0.0.1/24 02:00:00:00:00:0a &&
		into_space "$pb" "$b" 10.0.0.2/24 02:00:00:00:00:0b &&
		ip -n "$a" neighbor replace 10.0.0.2 dev "$pa" lladdr 02:00:00:00:00:0b &&
		ip -n "$b" neighbor replace 10.0.0.1 dev "$pb" lladdr 02:00:00:00:00:0a
}

flows_of() { # TABLE
	vsctl dump-aggregate "$bridge" "table=$1" --json | jq .flow_count
}

has_flow() { # FLOW
	[[ $(vsctl dump-aggregate "$bridge" "$1" --json | jq .flow_count) == 1 ]]
}

# ---- A limit that refuses -----------------------------------------------------------------------

must "a row for table 5" vsctl --id=@t create Flow_Table name=acl flow_limit=3 -- \
	set Bridge "$bridge" flow_tables:5=@t
check "the limit lets flows in" vsctl add-flows "$bridge" - \
	<<<$'table=5,tcp,tp_dst=1,actions=drop\ntable=5,tcp,tp_dst=2,actions=drop\ntable=5,tcp,tp_dst=3,actions=drop'
check "one more is refused, with the table and its limit" refused \
	"table 5 (acl) of bridge '$bridge' is full: its flow_limit is 3" \
	add-flow "$bridge" "table=5,tcp,tp_dst=4,actions=drop"
check "one that takes another's place is not" \
	vsctl add-flow "$bridge" "table=5,tcp,tp_dst=3,actions=$pb"
check "a list that leads beyond it changes nothing" refused "<stdin>:2: table 5" add-flows "$bridge" - \
	<<<$'table=6,actions=drop\ntable=5,tcp,tp_dst=4,actions=drop'
check "... nothing at all" equal "$(flows_of 6)" 0
check "a list that makes room first is fine" vsctl add-flows "$bridge" - \
	<<<$'delete table=5,tcp,tp_dst=1\nadd table=5,tcp,tp_dst=4,actions=drop'
check "one that makes too little is undone" refused "flow_limit" add-flows "$bridge" - \
	<<<$'delete table=5,tcp,tp_dst=2\nadd table=5,tcp,tp_dst=5,actions=drop\nadd table=5,tcp,tp_dst=6,actions=drop'
check "... as a whole" has_flow table=5,tcp,tp_dst=2
check "... really" fails has_flow table=5,tcp,tp_dst=5
check "a flow that mod-flows would add is refused" refused "flow_limit" \
	mod-flows "$bridge" "table=5,tcp,tp_dst=9,actions=drop"
check "a wrong group is refused" refused "NXM_OF_NOWHERE" set Flow_Table acl 'groups=NXM_OF_NOWHERE[]'
check "a wrong prefix is refused" refused "prefixes: 'tcp_src'" set Flow_Table acl prefixes=tcp_src
check "prefixes are accepted" vsctl set Flow_Table acl prefixes=ip_src,ip_dst
check "a limit of 0 refuses all" vsctl set Flow_Table acl flow_limit=0
check "... but leaves what is there" equal "$(flows_of 5)" 3

# ---- Names --------------------------------------------------------------------------------------

check "a flow names its table" vsctl set Flow_Table acl flow_limit=4 -- \
	add-flow "$bridge" "table=acl,udp,actions=drop"
check "jumps do" vsctl add-flow "$bridge" "table=1,actions=resubmit(,acl),goto_table:acl"
check "learn does" vsctl add-flow "$bridge" "table=2,actions=learn(table=acl,NXM_OF_ETH_DST[])"
check "they are printed" equal "$(vsctl dump-flows "$bridge" table=1 --no-stats)" \
	" table=1, actions=resubmit(,acl),goto_table:acl"
check "... and selected by" equal "$(vsctl dump-flows "$bridge" table=acl,udp --no-stats)" \
	" table=acl, udp actions=drop"
check "... by number with --no-names" equal \
	"$(vsctl dump-flows "$bridge" table=1 --no-stats --no-names)" \
	" table=1, actions=resubmit(,5),goto_table:5"
check "goto_table goes forward by name, too" refused "only goes forward" \
	add-flow "$bridge" "table=7,actions=goto_table:acl"
check "an unknown name is told" refused "there is no table 'nat'" \
	add-flow "$bridge" "table=nat,actions=drop"
check "mod-table names a table" vsctl mod-table "$bridge" 6 name:nat
check "... which flows know" vsctl add-flow "$bridge" "table=nat,actions=drop"
check "two tables of one name are refused" refused "both named 'nat'" mod-table "$bridge" 7 name:nat
check "a name that reads as a number is, too" refused "begins with a digit" \
	mod-table "$bridge" 7 name:7up
check "mod-table takes the name away" vsctl mod-table "$bridge" nat name:
check "... really" refused "there is no table 'nat'" add-flow "$bridge" "table=nat,actions=drop"

check "the state of an interface in another namespace is set there" \
	refused "do that with ip -n NAMESPACE link set $pa down" mod-port "$bridge" "$pa" down

# ---- Eviction -----------------------------------------------------------------------------------

must "table 5 evicts" vsctl del-flows "$bridge" table=5 -- set Flow_Table acl flow_limit=3 \
	overflow_policy=evict
vsctl add-flow "$bridge" "table=5,tcp,tp_dst=1,hard_timeout=100,importance=2,actions=drop"
vsctl add-flow "$bridge" "table=5,tcp,tp_dst=2,hard_timeout=900,importance=1,actions=drop"
vsctl add-flow "$bridge" "table=5,tcp,tp_dst=3,actions=drop"
check "a full table takes another flow" vsctl add-flow "$bridge" \
	"table=5,tcp,tp_dst=4,idle_timeout=500,importance=2,actions=drop"
check "... in place of the least important" fails has_flow table=5,tcp,tp_dst=2
check "of equals the one that expires first goes" vsctl add-flow "$bridge" \
	"table=5,tcp,tp_dst=5,actions=drop"
check "... that is" fails has_flow table=5,tcp,tp_dst=1
check "the last with a timeout goes" vsctl add-flow "$bridge" "table=5,tcp,tp_dst=6,actions=drop"
check "a table of permanent flows refuses" refused "no flow can be evicted" \
	add-flow "$bridge" "table=5,tcp,tp_dst=7,actions=drop"
must "three flows, two with a timeout" vsctl --bundle replace-flows "$bridge" - <<-END
	table=5,tcp,tp_dst=1,hard_timeout=100,importance=2,actions=drop
	table=5,tcp,tp_dst=2,hard_timeout=900,importance=1,actions=drop
	table=5,tcp,tp_dst=3,actions=drop
END
before=$(vsctl dump-flows "$bridge" table=5 --no-stats)
check "a bundle for which too few give way fails" refused "no flow can be evicted" \
	--bundle add-flows "$bridge" - <<-END
		table=5,tcp,tp_dst=4,hard_timeout=5,actions=drop
		table=5,tcp,tp_dst=5,actions=drop
		table=5,tcp,tp_dst=6,actions=drop
		table=5,tcp,tp_dst=7,actions=drop
	END
check "... and no flow is gone" equal "$(vsctl dump-flows "$bridge" table=5 --no-stats)" "$before"
check "a bundle evicts, its own flows as well" vsctl --bundle add-flows "$bridge" - <<-END
	table=5,tcp,tp_dst=4,hard_timeout=5,actions=drop
	table=5,tcp,tp_dst=5,actions=drop
	table=5,tcp,tp_dst=6,actions=drop
END
check "... those with a timeout" equal "$(vsctl dump-flows "$bridge" table=5 --no-stats)" \
	" table=acl, tcp,tp_dst=3 actions=drop
 table=acl, tcp,tp_dst=5 actions=drop
 table=acl, tcp,tp_dst=6 actions=drop"
must "groups by source address" vsctl del-flows "$bridge" table=5 -- \
	set Flow_Table acl flow_limit=4 'groups=NXM_OF_IP_SRC[]'
for i in 1 2 3; do
	vsctl add-flow "$bridge" "table=5,tcp,nw_src=10.0.0.1,tp_dst=$i,hard_timeout=$((500 + i)),actions=drop"
done
vsctl add-flow "$bridge" "table=5,tcp,nw_src=10.0.0.2,tp_dst=1,hard_timeout=50,actions=drop"
vsctl add-flow "$bridge" "table=5,tcp,nw_src=10.0.0.3,tp_dst=1,hard_timeout=50,actions=drop"
check "the largest group loses a flow" fails has_flow table=5,tcp,nw_src=10.0.0.1,tp_dst=1
check "... and no other" has_flow table=5,tcp,nw_src=10.0.0.2,tp_dst=1
check "a lower limit evicts at once" vsctl set Flow_Table acl flow_limit=3
check "... the surplus" equal "$(flows_of 5)" 3
check "mod-table evict does without the policy" vsctl clear Flow_Table acl overflow_policy -- \
	mod-table "$bridge" acl evict
check "... so" vsctl add-flow "$bridge" "table=5,tcp,nw_src=10.0.0.4,hard_timeout=9,actions=drop"
check "noevict ends it" vsctl mod-table "$bridge" acl noevict
check "... so" refused "is full" add-flow "$bridge" "table=5,tcp,nw_src=10.0.0.5,actions=drop"
left=$(vsctl dump-flows "$bridge" table=5 --no-stats)
must "it starts anew" restart
check "evicted flows stay away" equal "$(vsctl dump-flows "$bridge" table=5 --no-stats)" "$left"
check "the limit is kept" refused "is full" \
	add-flow "$bridge" "table=5,tcp,nw_src=10.0.0.5,actions=drop"

# ---- What packets meet --------------------------------------------------------------------------

table_counts() { # TABLE: lookup and matched
	vsctl dump-tables "$bridge" --json | jq -r ".[] | select(.table == $1) | \"\(.lookup) \(.matched)\""
}

check "dump-tables counts" equal "$(vsctl dump-tables "$bridge" --json |
	jq -c '.[5] | [.name, .active, .max_entries]')" '["acl",3,3]'
check "... in words" grep -q "active=3, lookup=0, matched=0" <<<"$(vsctl dump-tables "$bridge")"
check "... and what searching costs" grep -q "template\|hash" \
	<<<"$(vsctl dump-tables "$bridge" --cost; vsctl dump-tables "$bridge" --cost --json)"
check "... in cycles" grep -q "at most [0-9]* cycles.*cycles=[0-9]" \
	<<<"$(vsctl dump-tables "$bridge" --cost | tr '\n' ' ')"
check "... also as JSON" equal "$(vsctl dump-tables "$bridge" --cost --json |
	jq '[.[] | select(.cycles != ([.parts[].cycles] | add // 0))] | length')" 0
routes=$(mktemp)
for i in {0..99}; do
	echo "table=9,ip,nw_dst=10.$i.128.0/$((17 + i % 8)),actions=drop"
done >"$routes"
must "a hundred routes" vsctl add-flows "$bridge" "$routes"
rm -f "$routes"
check "... are one part" equal "$(vsctl dump-tables "$bridge" --cost --json |
	jq -r '.[] | select(.table == 9).parts[] | "\(.template) \(.flows) \(.masks)"')" "lpm 100 8"
must "... and gone" vsctl del-flows "$bridge" table=9
routes=$(mktemp)
for i in {100..299}; do
	echo "table=9,ipv6,ipv6_dst=2$i:db8::/$((30 + i % 19)),actions=drop"
done >"$routes"
must "IPv6 routes" vsctl add-flows "$bridge" "$routes"
check "... are one part" grep -q "^lpm6" <<<"$(vsctl dump-tables "$bridge" --cost --json |
	jq -r '.[] | select(.table == 9).parts[] | "\(.template) \(.flows) \(.masks)"')"
must "... and gone" vsctl del-flows "$bridge" table=9
for i in {0..399}; do
	echo "table=9,priority=$i,metadata=$((i % 20)),tcp,tcp_src=$((i % 7)),nw_src=10.$((i % 250)).0.0/$((17 + i % 8)),actions=drop"
	echo "table=9,priority=$i,metadata=$((i % 20)),udp,udp_dst=$((i % 9)),nw_dst=10.$((i % 250)).0.0/$((17 + i % 8)),actions=drop"
done >"$routes"
must "rules of twenty switches" vsctl add-flows "$bridge" "$routes"
rm -f "$routes"
check "... have tables of their own" equal "$(vsctl dump-tables "$bridge" --cost --json |
	jq -r '.[] | select(.table == 9).parts[] | "\(.template) \(.flows) \(.field) \(.values)"')" \
	"split 800 metadata 20"
check "... in words" grep -q "split .*flows=800.*, by metadata with 20 values" \
	<<<"$(vsctl dump-tables "$bridge" --cost)"
must "... and gone" vsctl del-flows "$bridge" table=9

# ---- A limit for what lookups cost --------------------------------------------------------------

rules=$(mktemp)
for i in {0..79}; do
	echo "table=11,priority=$i,tcp,nw_src=10.$i.0.0/$((10 + i % 20)),tcp_dst=$i/$((0xff00 + i)),actions=drop"
done >"$rules"
must "a limit" vsctl --id=@t create Flow_Table name=cheap max_lookup_cycles=30 -- \
	set Bridge "$bridge" flow_tables:11=@t
check "many masks cost too much" refused "max_lookup_cycles is 30" \
	add-flows "$bridge" "$rules"
check "... none is there" equal "$(flows_of 11)" 0
check "... in a bundle as well" refused "table 11 (cheap) of bridge" \
	add-flows --bundle "$bridge" "$rules"
check "... none is there" equal "$(flows_of 11)" 0
for i in {0..79}; do
	echo "table=11,tcp,tcp_dst=$i,actions=drop"
done >"$rules"
check "one mask does not" vsctl add-flows "$bridge" "$rules"
check "the limit is shown" grep -q "max_lookup_cycles=30" <<<"$(vsctl dump-table-desc "$bridge")"
check "a limit of 0 is refused" refused "max_lookup_cycles" set Flow_Table cheap max_lookup_cycles=0
must "without the limit" vsctl clear Flow_Table cheap max_lookup_cycles
rm -f "$rules"
check "dump-table-desc" vsctl mod-table "$bridge" acl vacancy:20,80
check "... tells of the vacancy" grep -q "vacancy=on vacancy_down=20% vacancy_up=80% vacancy=0%" \
	<<<"$(vsctl dump-table-desc "$bridge")"
check "a wrong vacancy is told" refused "two percentages" mod-table "$bridge" acl vacancy:80,20
check "dump-table-features" grep -q "set_field:.* eth_src" <<<"$(vsctl dump-table-features "$bridge")"
check "dump-group-features" grep -q "fast failover group:" <<<"$(vsctl dump-group-features "$bridge")"
check "dump-desc" grep -q "DP Description: $bridge" <<<"$(vsctl dump-desc "$bridge")"
must "an empty switch" vsctl del-flows "$bridge"
vsctl add-flow "$bridge" "table=1,priority=1,in_port=$pa,actions=$pb"
vsctl add-flow "$bridge" "table=1,priority=1,in_port=$pb,actions=$pa"
check "without a flow packets are dropped" ping_blocked "$a" 10.0.0.2
check "mod-table continue" vsctl mod-table "$bridge" 0 continue
check "... sends them on to the next table" within 5 pings "$a" 10.0.0.2
must "it starts anew" restart
check "... also after it" within 5 pings "$a" 10.0.0.2
before=$(drops_for no-controller)
check "mod-table controller" vsctl mod-table "$bridge" 0 controller
check "... counts them under no-controller" ping_blocked "$a" 10.0.0.2
check "... really" at_least "$(drops_for no-controller)" $((before + 1))
check "mod-port no-packet-in" vsctl mod-port "$bridge" "$pa" no-packet-in
before=$(drops_for no-packet-in)
check "... spares the controller" ping_blocked "$a" 10.0.0.2
check "... under its own name" at_least "$(drops_for no-packet-in)" $((before + 1))
check "mod-port packet-in" vsctl mod-port "$bridge" "$pa" packet-in
check "lookups are counted" at_least "$(table_counts 1 | cut -d" " -f2)" 3
check "mod-table drop" vsctl mod-table "$bridge" 0 drop
check "... drops them" ping_blocked "$a" 10.0.0.2
check "an unknown setting is told" refused "is no setting of a table" mod-table "$bridge" 0 burn
check "a table that cannot be is told" refused "tables are 0 to 254" mod-table "$bridge" 255 drop
check "packets are conserved" within 5 is_conserved

# ---- Ports told what not to do ------------------------------------------------------------------

must "a switch as usual" vsctl mod-table "$bridge" 0 continue
check "packets pass" within 5 pings "$a" 10.0.0.2
for word in no-receive no-forward; do
	check "mod-port $word" vsctl mod-port "$bridge" "$pb" "$word"
	check "... stops them" ping_blocked "$a" 10.0.0.2
	check "... by name" at_least "$(($(drops_for rx-no-receive) + $(drops_for no-forward)))" 1
	check "... is kept" restart
	check "... really" ping_blocked "$a" 10.0.0.2
	vsctl mod-port "$bridge" "$pb" "${word#no-}"
	check "... and ends" within 5 pings "$a" 10.0.0.2
done
check "mod-port no-receive-stp" vsctl mod-port "$bridge" "$pb" no-receive-stp
check "... is for spanning tree packets alone" within 5 pings "$a" 10.0.0.2
check "dump-ports-desc says so" grep -q "config: *NO_RECV_STP$" \
	<<<"$(vsctl dump-ports-desc "$bridge" "$pb")"
check "... no more" vsctl mod-port "$bridge" "$pb" receive-stp
check "... now" grep -q "config: *0$" <<<"$(vsctl dump-ports-desc "$bridge" "$pb")"
must "port c is attached" vsctl add-port "$bridge" "$pc" type=tap
check "mod-port down" vsctl mod-port "$bridge" "$pc" down
check "... puts its device down" fails grep -q "[<,]UP[,>]" <<<"$(ip link show "$pc")"
must "it starts anew" restart
check "... also when it is opened again" fails grep -q "[<,]UP[,>]" <<<"$(ip link show "$pc")"
check "... and says so" grep -q "config: *PORT_DOWN$" <<<"$(vsctl dump-ports-desc "$bridge" "$pc")"
check "mod-port up" vsctl mod-port "$bridge" "$pc" up
check "... puts it up" grep -q "[<,]UP[,>]" <<<"$(ip link show "$pc")"
check "a word that is none is told" refused "nothing that a port can be told" \
	mod-port "$bridge" "$pb" sideways
check "a port that is none is told" refused "does not exist on bridge" mod-port "$bridge" nil up
check "LOCAL is a port" vsctl mod-port "$bridge" LOCAL no-flood
check "numbers are ports" vsctl mod-port "$bridge" 1 no-stp
check "packets are conserved" within 5 is_conserved

# ---- packet-out ---------------------------------------------------------------------------------

frame=02000000000b02000000000a88b5$(printf '00%.0s' {1..50})
tx_of() { # PORT
	vsctl dump-ports "$bridge" "$1" --json | jq '.[0].tx_packets'
}
before=$(tx_of "$pc")
check "packet-out sends a packet" vsctl packet-out "$bridge" \
	"in_port=controller,packet=$frame,actions=$pc"
check "... one" equal "$(tx_of "$pc")" $((before + 1))
check "the old form sends several" vsctl packet-out "$bridge" none "mod_vlan_vid:5,$pc" \
	"$frame" "$frame"
check "... two" equal "$(tx_of "$pc")" $((before + 3))
vsctl add-flow "$bridge" "table=1,priority=5,in_port=$pb,dl_type=0x88b5,actions=$pc"
check "through the tables" vsctl packet-out "$bridge" "in_port=$pb packet=$frame actions=table"
check "... one" equal "$(tx_of "$pc")" $((before + 4))
check "by resubmit, with a register" vsctl add-flow "$bridge" \
	"table=9,reg3=7,actions=$pc" -- packet-out "$bridge" \
	"in_port=none,reg3=7,packet=$frame,actions=resubmit(,9)"
check "... one" equal "$(tx_of "$pc")" $((before + 5))
check "NORMAL floods it" vsctl packet-out "$bridge" "in_port=NONE,packet=$frame,actions=normal"
check "without actions it is dropped" vsctl packet-out "$bridge" "in_port=$pa,packet=$frame"
check "learn learns" vsctl packet-out "$bridge" \
	"in_port=$pa,packet=$frame,actions=learn(table=8,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"
check "... the flow" has_flow "table=8,dl_dst=02:00:00:00:00:0a"
learn_from() { # LAST-DIGIT...: packets from these addresses, learned into table 12
	local digit frames=()
	for digit; do frames+=("02000000000b02000000000${digit}88b5${frame:28}"); done
	vsctl packet-out "$bridge" "$pa" \
		"learn(table=12,idle_timeout=100,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])" "${frames[@]}"
}
must "a limit for what is learned" vsctl --id=@t create Flow_Table flow_limit=2 -- \
	set Bridge "$bridge" flow_tables:12=@t
check "three teach" learn_from 1 2 3
check "... two flows" equal "$(flows_of 12)" 2
check "... and the third is counted" equal \
	"$(vsctl dump-tables "$bridge" --json | jq '.[12].refused')" 1
check "where flows give way" vsctl mod-table "$bridge" 12 evict
check "a fourth" learn_from 4
check "... is learned" has_flow "table=12,dl_dst=02:00:00:00:00:04"
check "... in place of another" equal "$(flows_of 12)" 2
check "a packet with an odd digit is told" refused "pairs of hexadecimal digits" packet-out \
	"$bridge" "in_port=$pa,packet=123,actions=$pb"
check "one that is too short, too" refused "Ethernet header" packet-out "$bridge" \
	"in_port=$pa,packet=1234,actions=$pb"
check "one that is not there" refused "packet=HEX is missing" packet-out "$bridge" "in_port=$pa"
check "no port" refused "in_port=PORT is missing" packet-out "$bridge" "packet=$frame"
check "a wrong port" refused "has no port number 77" packet-out "$bridge" \
	"in_port=77,packet=$frame,actions=$pb"
check "a field of the bytes" refused "what the packet's bytes say" packet-out "$bridge" \
	"in_port=$pa,ip,packet=$frame,actions=$pb"
check "wrong actions" refused "actions" packet-out "$bridge" \
	"in_port=$pa,packet=$frame,actions=outpt:1"
check "instructions" refused "goto_table is for flows" packet-out "$bridge" \
	"in_port=$pa,packet=$frame,actions=goto_table:1"
check "a word too few" refused "packet-out takes" packet-out "$bridge" none "$frame"
check "packets are conserved" within 5 is_conserved

# ---- Counters and durations ---------------------------------------------------------------------

counted() {
	vsctl dump-flows "$bridge" table=10 --json | jq -c '.[0] | [.n_packets, .n_bytes]'
}
must "a flow whose counts nobody needs" vsctl add-flow "$bridge" \
	"table=10,no_packet_counts,no_byte_counts,actions=drop" -- \
	packet-out "$bridge" none "resubmit(,10)" "$frame" "$frame"
check "... is counted all the same" equal "$(counted)" "[2,$((${#frame} / 2 * 2))]"
check "... and says so" grep -q "no_packet_counts no_byte_counts" \
	<<<"$(vsctl dump-flows "$bridge" table=10)"
check "mod-flows keeps the counts" vsctl mod-flows "$bridge" "table=10,actions=$pb"
check "... really" equal "$(counted)" "[2,$((${#frame} / 2 * 2))]"
check "reset_counts resets them" vsctl mod-flows "$bridge" "table=10,reset_counts,actions=drop"
check "... really" equal "$(counted)" "[0,0]"
check "durations have few digits" grep -Eq '"duration": [0-9]+(\.[0-9]{1,3})?,' \
	<<<"$(vsctl dump-flows "$bridge" --json table=10)"
vsctl add-flow "$bridge" "table=10,priority=9,ip,actions=drop"
check "--sort alone sorts by priority" equal \
	"$(vsctl dump-flows "$bridge" table=10 --sort --no-stats | head -n 1)" \
	" table=10, priority=9,ip actions=drop"
check "--rsort alone, too" equal \
	"$(vsctl --rsort dump-flows "$bridge" table=10 --no-stats | tail -n 1)" \
	" table=10, priority=9,ip actions=drop"
syn=0200000000020200000000010800450000280000000040060000
syn+=0a0000010a000002000a001400000000000000005001ffff00000000
must "a flow that ends with its connection" vsctl add-flow "$bridge" \
	"table=11,tcp,idle_timeout=900,actions=fin_timeout(idle_timeout=300)" -- \
	packet-out "$bridge" none "resubmit(,11)" "$syn"
is_shortened() {
	vsctl dump-flows "$bridge" table=11 | grep -q idle_timeout=300
}
check "has a shorter timeout" within 5 is_shortened
check "... also after a restart" restart
check "... really" is_shortened

# ---- sample -------------------------------------------------------------------------------------

sampled() { # SET
	vsctl dump-ipfix-flow "$bridge" --json |
		jq "[.[] | select(.collector_set_id == $1) | .packets] | add // 0"
}
many=()
for ((i = 0; i < 400; i++)); do many+=("$frame"); done
must "a flow samples" vsctl add-flow "$bridge" \
	"table=9,actions=sample(probability=65535,collector_set_id=3),sample(probability=16384,collector_set_id=9)"
check "packets meet it" vsctl packet-out "$bridge" none "resubmit(,9)" "${many[@]}"
check "all are sampled" equal "$(sampled 3)" 400
check "a quarter is" at_least "$(sampled 9)" 50
check "... not more" at_least 150 "$(sampled 9)"
vsctl add-flow "$bridge" "table=1,priority=9,dl_type=0x88b5,actions=resubmit(,9)"
check "trace tells" grep -q "sampled for collector set 3" \
	<<<"$(vsctl trace "$bridge" "in_port=$pa,dl_type=0x88b5")"
check "... and counts nothing" equal "$(sampled 3)" 400
check "packets are conserved" within 5 is_conserved
