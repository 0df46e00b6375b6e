#!/bin/bash
# Files of many flows: what is kept of them, whatever they replace, and when they fail at the end.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start many-flows

bridge=br$$
must "vswitchd starts" start_switch
must "a bridge" vsctl add-br "$bridge"
must "... without flows" vsctl del-flows "$bridge"

make_flows() { # COUNT ACTIONS
	python3 - "$1" "$2" <<'PY'
import sys
for i in range(int(sys.argv[1])):
    print("priority=%d,udp,nw_src=10.%d.%d.%d,tp_src=%d,cookie=%#x,actions=%s" % (
        1 + i % 3, i >> 16, i >> 8 & 255, i & 255, 1 + i, 1 + i % 50, sys.argv[2]))
PY
}

same_after() {
	snapshot "$bridge" >"$dir/after" && diff -u "$dir/before" "$dir/after" | head -20 &&
		cmp -s "$dir/before" "$dir/after"
}

# As many rows as flows: nothing is left behind, nothing is there twice.
rows_are() { # COUNT
	equal "$(python3 -c 'import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM flow").fetchone()[0])' \
		"$dir/vswitch.db")" "$1"
}

restarts_with() { # COUNT
	snapshot "$bridge" >"$dir/before"
	check "... $1 flows" equal "$(grep -c actions= "$dir/before")" "$1"
	stop_switch TERM
	check "... and as many rows" rows_are "$1"
	check "... and again after a start" start_switch
	check "... the same ones" same_after
}

make_flows 20000 output:1 >"$dir/flows"
must "20000 flows from a file" vsctl add-flows "$bridge" "$dir/flows"
restarts_with 20000

{ make_flows 30000 output:2 && make_flows 3000 output:3; } >"$dir/more"
check "30000 of which 20000 replace others, and 3000 of these once more" \
	vsctl add-flows "$bridge" "$dir/more"
check "... all of them do the new thing" equal "$(vsctl dump-flows "$bridge" | grep -c output:2)" 27000
restarts_with 30000

{
	make_flows 5000 drop
	echo "delete priority=1,udp,nw_src=10.0.0.0,tp_src=1"
	echo "delete cookie=2/-1"
	echo "modify cookie=3/-1,udp,actions=output:9"
	make_flows 30100 output:4 | tail -100
} >"$dir/mixed"
check "adding, deleting and modifying in one file" vsctl add-flows "$bridge" "$dir/mixed"
left=$(vsctl dump-flows "$bridge" | grep -c actions=)
restarts_with "$left"

{ make_flows 40000 drop && echo "priority=7,actions=output:nowhere"; } >"$dir/wrong"
check "a mistake in the last line is told with its line" \
	grep -q "wrong:40001:" <(vsctl add-flows "$bridge" "$dir/wrong" 2>&1)
check "... and nothing has changed" same_after
{ make_flows 40000 drop && echo "table=3,priority=7,actions=goto_table:2"; } >"$dir/wrong"
check "so is one that is found when all lines are read" \
	grep -q "wrong:40001:" <(vsctl add-flows "$bridge" "$dir/wrong" 2>&1)
check "... and nothing has changed" same_after
check "two files in one call, of which the second is wrong" \
	fails vsctl add-flows "$bridge" "$dir/flows" -- add-flows "$bridge" "$dir/wrong"
check "... and nothing has changed" same_after
restarts_with "$left"

must "all flows deleted" vsctl del-flows "$bridge"
restarts_with 0
