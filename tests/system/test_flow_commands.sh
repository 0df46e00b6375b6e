#!/bin/bash
# Commands on many flows: files, sorting, comparing, replacing, deleting by cookie and port.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start flow_commands

bridge=fc$$
must "vswitchd starts" start_switch
must "a bridge without flows" vsctl add-br "$bridge" -- set-fail-mode "$bridge" secure
count() { # [SELECTOR...]
	vsctl dump-aggregate "$bridge" "$@" | sed 's/.*flow_count=//'
}
lines() {
	vsctl dump-flows "$bridge" --no-stats "$@"
}
status_of() {
	"$@" >"$dir/said" 2>&1
	echo $?
}

for i in $(seq 1 3000); do
	echo "table=$((i % 3)),cookie=$((i % 10)),priority=$i,tcp,tp_dst=$i,actions=output:$((i % 7 + 1))"
done >"$dir/flows"
check "3000 flows in a bundle" vsctl add-flows --bundle "$bridge" "$dir/flows"
check "... are there" equal "$(count)" 3000
check "by cookie" equal "$(count cookie=3/-1)" 300
check "by cookie and table" equal "$(count cookie=3/-1,table=1)" 100
check "by part of a cookie" equal "$(count cookie=1/1)" 1500
check "by port" equal "$(count out_port=1)" 428
check "some are changed" vsctl mod-flows "$bridge" "cookie=3/-1,actions=output:1,output:9"
check "... and found by their new ports" equal "$(count out_port=9)" 300
check "a new cookie" vsctl mod-flows "$bridge" "cookie=77,tcp,tp_dst=10,actions=output:9"
check "... and found by it" equal "$(lines cookie=77/-1 | wc -l)" 1
check "deleting by cookie" vsctl del-flows "$bridge" cookie=3/-1
check "deleting by port" vsctl del-flows "$bridge" out_port=9
check "... leaves the others" equal "$(count)" 2699
check "... none of which go there" equal "$(count out_port=9)" 0

check "rising order" equal "$(lines --sort=tcp_dst | sed -n '1s/.*tp_dst=\([0-9]*\).*/\1/p')" 1
check "falling order" equal "$(lines --rsort=priority | sed -n '1s/.*priority=\([0-9]*\).*/\1/p')" 3000
sorted() { # OPTION...
	vsctl dump-flows "$bridge" --no-stats "$@" table=77 | sed 's/.*tp_dst=\([0-9]*\).*metadata=\(0x[0-9]*\).*/\1:\2/; s/.*metadata=0x\([0-9]*\).*tp_dst=\([0-9]*\).*/\2:\1/' | tr '\n' ' '
}
for i in 1:2 2:1 1:1 2:2; do
	echo "table=77,tcp,tp_dst=${i%:*},metadata=${i#*:},actions=drop"
done >"$dir/four"
vsctl add-flows "$bridge" "$dir/four"
check "by two fields" equal "$(sorted --sort=tcp_dst --sort=metadata)" "1:1 1:2 2:1 2:2 "
check "... the other way around" equal "$(sorted --sort=metadata,tcp_dst)" "1:1 2:1 1:2 2:2 "
check "... falling" equal "$(sorted --rsort=tcp_dst,metadata)" "2:2 2:1 1:2 1:1 "
check "... one rising, one falling" equal "$(sorted --sort=tcp_dst --rsort=metadata)" "1:2 1:1 2:2 2:1 "
check "... equal ones keep their order" equal "$(sorted --rsort=tcp_dst)" "2:1 2:2 1:2 1:1 "
vsctl del-flows "$bridge" table=77
check "no such field" refused "no field 'nonsense'" dump-flows "$bridge" --sort=nonsense
check "text and JSON agree" equal "$(vsctl --json dump-flows "$bridge" | jq length)" 2699

lines >"$dir/a"
check "a bridge does not differ from its dump" equal "$(status_of vsctl diff-flows "$dir/a" "$bridge")" 0
{ sed 1d "$dir/a" && echo "table=9,priority=1,actions=drop"; } >"$dir/b"
check "one flow more and one less differ" equal "$(status_of vsctl diff-flows "$dir/a" "$dir/b")" 2
check "... in two lines" equal "$(cut -c1 "$dir/said" | sort | tr -d '\n')" "+-"
check "neither file nor bridge" refused "neither a file nor a bridge" diff-flows "$dir/a" nothing$$
check "the flows are replaced" vsctl replace-flows "$bridge" "$dir/b"
check "... by those of the file" vsctl diff-flows "$bridge" "$dir/b"
echo "table=1,actions=nonsense" >>"$dir/a"
check "a mistake in the file is told" refused "$dir/a:2700" replace-flows "$bridge" "$dir/a"
check "... and nothing is replaced" vsctl diff-flows "$bridge" "$dir/b"

check "versions of OpenFlow may be named" equal "$(vsctl -O OpenFlow10,openflow13 parse-flow "actions=1")" \
	" actions=output:1"
check "... in one word" equal "$(vsctl -OOpenFlow15 parse-flow "actions=1")" " actions=output:1"
check "... if they are some" refused "no version of OpenFlow" --protocols=OpenFlow99 parse-flow "actions=1"
check "a flow in canonical form" equal "$(vsctl parse-flow "tcp,nw_dst=10.0.0.0/255.0.0.0,actions=2")" \
	" tcp,nw_dst=10.0.0.0/8 actions=output:2"
check "flows of a file" equal "$(vsctl parse-flows "$dir/b" | wc -l)" 2699
cat >"$dir/changes" <<'END'
modify cookie=1/0xff,cookie=7,table=2,tcp,actions=output:3
delete_strict priority=5,tcp,tp_dst=4
delete out_port=4
add ip,actions=drop
END
vsctl parse-flows "$dir/changes" >"$dir/printed"
check "changes of flows are printed" equal "$(cat "$dir/printed")" \
	" modify cookie=0x1/0xff,cookie=0x7,table=2,tcp actions=output:3
 delete_strict priority=5,tcp,tp_dst=4
 delete out_port=4
 ip actions=drop"
check "... and read again" equal "$(vsctl parse-flows "$dir/printed")" "$(cat "$dir/printed")"
check "a mistake in one is told" refused "has no actions" parse-flows - < <(
	echo "modify ip"
)
{ printf 'actions=output:1' && head -c 3000000 /dev/zero | tr '\0' ','; } >"$dir/long"
check "a text without end is refused" refused "longer than" add-flows "$bridge" "$dir/long"

check "overlap is refused" refused "overlaps" add-flow "$bridge" "table=9,priority=1,check_overlap,ip,actions=drop"
check "a port is switched off" vsctl mod-port "$bridge" LOCAL down
check "... and says so" grep -q PORT_DOWN <(vsctl dump-ports-desc "$bridge" LOCAL)
check "... and on" vsctl mod-port "$bridge" LOCAL up
check "what ports cannot do is refused" refused "can be told: up, down" mod-port "$bridge" LOCAL sideways
vsctl diff-flows "$bridge" "$dir/b" >/dev/null
lines >"$dir/before"
stop_switch KILL
must "it starts again" start_switch
lines >"$dir/after"
check "... with the same flows" diff -u "$dir/before" "$dir/after"
