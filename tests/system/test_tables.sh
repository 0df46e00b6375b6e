#!/bin/bash
# Single flow tables: limits, eviction, names, misses, their counters; ports told what not to do.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start tables

a=$(space a) b=$(space b)
spaces=("$a" "$b")
bridge=br$$ pa=a$$ pb=b$$

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24

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
must "a restart" stop_switch && must "... starts" start_switch
check "evicted flows stay away" equal "$(vsctl dump-flows "$bridge" table=5 --no-stats)" "$left"
check "the limit is kept" refused "is full" \
	add-flow "$bridge" "table=5,tcp,nw_src=10.0.0.5,actions=drop"
