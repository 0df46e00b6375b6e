#!/bin/bash
# Bundles under traffic: no packet meets half of one, none is lost; mistakes, counters, crashes.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start bundle

a=$(space a) b=$(space b)
spaces=("$a" "$b")
bridge=br$$ pa=a$$ pb=b$$

must "vswitchd starts" start_switch
must "a bridge" vsctl add-br "$bridge" -- set-fail-mode "$bridge" secure
must "port a is attached" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b is attached" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
count() { # [SELECTOR...]
	vsctl dump-aggregate "$bridge" "$@" | sed 's/.*flow_count=//'
}
dump() {
	vsctl dump-flows "$bridge" --no-stats && vsctl dump-groups "$bridge"
}

# ---- Policies: each table marks packets with the version, the next takes only its own -----------

# A packet that meets tables or groups of two versions hits a flow with cookie 9999.
policy() { # VERSION
	local table to
	echo "group add_or_mod group_id=1,type=all,bucket=load:$1->NXM_NX_REG8[],resubmit(,9)"
	for table in 0 1 2 3 4 5 6 7; do
		to="load:$1->NXM_NX_REG${table}[],goto_table:$((table + 1))"
		((table < 7)) || to="load:$1->NXM_NX_REG7[],group:1"
		# By turns changed in place, and deleted and made anew with other matches.
		if (($1 % 2)); then
			echo "flow delete table=$table,cookie=$(($1 - 1))/-1"
			echo "flow table=$table,cookie=$1,priority=5,$(seen "$table" "$1")actions=$to"
		else
			echo "flow table=$table,cookie=$1,priority=6,in_port=$pa,$(seen "$table" "$1")actions=$to"
			echo "flow table=$table,cookie=$1,priority=6,in_port=$pb,$(seen "$table" "$1")actions=$to"
			echo "flow delete table=$table,cookie=$(($1 - 1))/-1"
		fi
		(($1 > 1)) || echo "flow table=$table,cookie=9999,priority=0,actions=drop"
	done
	echo "flow delete table=9,cookie=$(($1 - 1))/-1"
	echo "flow table=9,cookie=$1,priority=5,$(seen 9 "$1")in_port=$pa,actions=output:$pb"
	echo "flow table=9,cookie=$1,priority=5,$(seen 9 "$1")in_port=$pb,actions=output:$pa"
	(($1 > 1)) || echo "flow table=9,cookie=9999,priority=0,actions=drop"
}
seen() { # TABLE VERSION: the marks of the tables before
	local table
	for ((table = 0; table < $1; table++)); do
		echo -n "reg$table=$2,"
	done
}

# What the host sends by itself is no matter.
echo "flow cookie=9998,priority=100,in_port=LOCAL,actions=drop" >"$dir/policy"
policy 1 >>"$dir/policy"
must "the first policy" vsctl bundle "$bridge" "$dir/policy"
must "... lets packets pass" within 10 pings "$a" 10.0.0.2
lost() {
	sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 - \2/p' "$1" | bc
}
dropped() {
	{ vsctl drops "$pa" --json && vsctl drops "$pb" --json; } |
		jq -s '[.. | objects | .packets? // empty] | add // 0'
}
dropped_before=$(dropped)
ip netns exec "$a" ping -q -f -W 3 10.0.0.2 >"$dir/ping-a" 2>&1 &
children+=($!)
ip netns exec "$b" ping -q -i 0.002 -W 3 10.0.0.1 >"$dir/ping-b" 2>&1 &
children+=($!)
refusals=0
for ((version = 2; version <= 120; version++)); do
	policy "$version" >"$dir/policy"
	vsctl bundle "$bridge" "$dir/policy" >>"$dir/said" 2>&1 || refusals=$((refusals + 1))
done
# A moment without changes: what is under way arrives.
sleep 0.3
kill -INT "${children[@]}"
wait "${children[@]}"
children=()
note "$(grep transmitted "$dir/ping-a"), $(grep transmitted "$dir/ping-b")"
check "119 policies were accepted" equal "$refusals" 0
check "pings were sent meanwhile" at_least "$(sed -n 's/^\([0-9]*\) packets.*/\1/p' "$dir/ping-a")" 500
# Interrupted, a ping may have one on its way.
check "no ping was lost" at_least 1 "$(lost "$dir/ping-a")"
check "... nor one the other way" at_least 1 "$(lost "$dir/ping-b")"
check "no packet met two versions" equal \
	"$(vsctl dump-flows "$bridge" cookie=9999/-1 --json | jq '[.. | .n_packets? // empty] | add')" 0
check "the switch dropped none" equal "$(dropped)" "$dropped_before"
check "packets are conserved" within 5 is_conserved

# ---- Mistakes -----------------------------------------------------------------------------------

dump >"$dir/before"
for i in $(seq 1 1000); do
	((i != 900)) || echo "flow table=3,priority=900,actions=group:77"
	echo "flow table=$((i % 5)),cookie=500,priority=$i,tcp,tp_dst=$i,actions=drop"
	((i % 100)) || echo "flow delete table=$((i % 5)),reg0=120"
	((i % 100)) || echo "group add group_id=$i,type=all,bucket=output:$pa"
done >"$dir/wrong"
line=$(grep -n group:77 "$dir/wrong" | cut -d: -f1)
check "a mistake in the 900th is told" refused "$dir/wrong:$line" bundle "$bridge" "$dir/wrong"
check "... and what is wrong" refused "has no group 77" bundle "$bridge" "$dir/wrong"
check "nothing has changed" equal "$(dump)" "$(<"$dir/before")"
check "packets pass as before" within 5 pings "$a" 10.0.0.2
grep -v group:77 "$dir/wrong" >"$dir/right"
check "without it all is done" vsctl bundle "$bridge" "$dir/right"
check "... flows" equal "$(count cookie=500/-1)" 1000
check "... and groups" equal "$(vsctl dump-groups "$bridge" | wc -l)" 11
printf 'flow actions=drop\npacket-out in_port=1,actions=drop\n' >"$dir/out"
check "a packet-out without a packet" refused "$dir/out:2: packet=HEX is missing" bundle "$bridge" "$dir/out"
check "meters: unknown" refused "no meter 9" bundle "$bridge" - <<<"meter modify meter=9,kbps,bands=type=drop,rate=1"
check "... by a flow" refused "no meter 9" bundle "$bridge" - <<<"flow actions=meter:9"
check "... no band" refused ":1:23: a meter needs a band" bundle "$bridge" - <<<"meter add meter=9,kbps"
check "nothing has changed" equal "$(vsctl dump-meters "$bridge")" ""
check "what is none of these" refused "flow, group, meter or packet-out" bundle "$bridge" - <<<"meters 3"
check "no such file" refused "nothing-$$" bundle "$bridge" "nothing-$$"
check "no such bridge" refused "nothing-$$" bundle "nothing-$$" "$dir/out"
check "an empty bundle" vsctl bundle "$bridge" /dev/null

# ---- --bundle -----------------------------------------------------------------------------------

vsctl del-flows --bundle "$bridge"
check "all flows deleted at once" equal "$(count)" 0
check "all groups" vsctl del-groups --bundle "$bridge"
check "add-flow" vsctl add-flow --bundle "$bridge" "cookie=5,actions=flood"
must "... is in force" within 5 pings "$a" 10.0.0.2
check "mod-flows" vsctl mod-flows --bundle "$bridge" "actions=NORMAL"
must "... is in force" within 5 pings "$a" 10.0.0.2
check "... and counts go on" at_least "$(flow_count 0x5 n_packets "$bridge")" 6
check "add-group" vsctl add-group --bundle "$bridge" "group_id=1,type=indirect,bucket=NORMAL"
check "mod-group" vsctl mod-group --bundle "$bridge" "group_id=1,type=all,bucket=NORMAL"
check "insert-buckets" vsctl insert-buckets --bundle "$bridge" \
	"group_id=1,command_bucket_id=last,bucket=bucket_id:7,drop"
check "remove-buckets" vsctl remove-buckets --bundle "$bridge" "group_id=1,command_bucket_id=7"
check "a flow to the group" vsctl mod-flows --bundle "$bridge" "actions=group:1"
must "... is in force" within 5 pings "$a" 10.0.0.2
printf 'table=0,actions=group:1\ntable=1,actions=drop\n' >"$dir/two"
check "replace-flows" vsctl replace-flows --bundle "$bridge" "$dir/two"
check "... did" equal "$(count)" 2
check "del-groups" vsctl del-groups --bundle "$bridge" 1
check "... takes the flow with it" equal "$(count)" 1

# ---- Meters and packets -------------------------------------------------------------------------

vsctl del-flows "$bridge"
frame=ffffffffffff02000000000108060001080006040001020000000001c0000201000000000000c0000202
printf '%s\n' "meter add meter=3,pktps,burst,bands=type=drop,rate=1000,burst_size=10" \
	"flow cookie=3,actions=meter:3,output:$pb" \
	"packet-out in_port=$pa,packet=$frame,actions=table" \
	"group add group_id=9,type=all,bucket=output:$pb" \
	"packet-out in_port=$pa packet=$frame actions=group:9" >"$dir/meters"
check "a meter, its flow and packets" vsctl bundle "$bridge" "$dir/meters"
check "... the packet met the flow" equal "$(flow_count 0x3 n_packets "$bridge")" 1
check "... and the group" equal "$(vsctl dump-group-stats "$bridge" 9 --json | jq '.[0].packet_count')" 1
check "a packet-out to no group is told" refused ":1: bridge '$bridge' has no group 8" bundle "$bridge" - \
	<<<"packet-out in_port=$pa,packet=$frame,actions=group:8"
check "mod-meter" vsctl mod-meter --bundle "$bridge" meter=3,pktps,bands=type=drop,rate=2000
check "add-meter" vsctl add-meter --bundle "$bridge" meter=4,pktps,bands=type=drop,rate=2000
check "del-meters takes its flows with it" vsctl del-meters --bundle "$bridge" 3
check "... did" equal "$(count)" 0
check "the other meter stays" equal "$(vsctl dump-meters "$bridge" | grep -c 'meter=')" 1
stop_switch KILL
must "vswitchd starts after a crash" start_switch
check "the meter was kept" equal "$(vsctl dump-meters "$bridge" | grep -c 'meter=4')" 1
check "... the other one's end, too" refused "no meter 3" dump-meters "$bridge" 3
check "a bundle that is refused later" fails vsctl bundle "$bridge" "$dir/meters" -- del-br "nothing-$$"
check "... leaves no meter behind" refused "no meter 3" dump-meters "$bridge" 3
check "all meters" vsctl del-meters --bundle "$bridge"
check "... are gone" equal "$(vsctl dump-meters "$bridge")" ""

# ---- Kept: all or nothing -----------------------------------------------------------------------

vsctl del-flows "$bridge"
for i in $(seq 1 30000); do
	echo "flow table=$((i % 8)),cookie=7,priority=$((i % 1000)),tcp,tp_src=$i,actions=output:$pa"
done >"$dir/many"
kept=()
for delay in 0.2 0.5 0.9; do
	vsctl bundle "$bridge" "$dir/many" >"$dir/output-of-bundle" 2>&1 &
	bundle=$!
	sleep "$delay"
	stop_switch KILL
	wait "$bundle" 2>/dev/null
	must "vswitchd starts again" start_switch
	kept+=("$(count)")
	vsctl del-flows "$bridge"
done
note "flows after a crash: ${kept[*]}"
for n in "${kept[@]}"; do
	check "all or nothing is kept" test "$n" -eq 0 -o "$n" -eq 30000
done
check "a bundle that was answered" vsctl bundle "$bridge" "$dir/many"
stop_switch KILL
must "vswitchd starts once more" start_switch
check "... is kept" equal "$(count)" 30000
