#!/bin/bash
# Flow files as users write them (tests/flows): each loads unchanged, prints back in a form that loads
# to the same, and where ovs-ofctl is installed, it reads what we print as it reads the original.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start flow_files
must "vswitchd starts" start_switch

versions=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15

# A peer's reading of a file, one flow a line.
peer() { # FILE
	timeout 20 ovs-ofctl -O "$versions" parse-flows "$1" 2>&1 |
		sed -n 's/.*): ADD \(table:255 \)*//p; /^ovs-ofctl:/p'
}

same_to_peer() { # FILE PRINTED
	local theirs
	theirs=$(peer "$1")
	[[ $theirs != *ovs-ofctl:* && $theirs ]] || { echo "$theirs" && return 1; }
	diff <(echo "$theirs") <(peer "$2")
}

dump() { # BRIDGE
	vsctl dump-flows "$1" --no-stats --no-names | sort
}

for file in "$lib_root"/tests/flows/*.flows; do
	name=$(basename "$file" .flows)
	bridge=${name:0:6}$$
	must "$name: a bridge" vsctl add-br "$bridge"
	vsctl del-flows "$bridge"
	check "$name: loads" vsctl add-flows "$bridge" "$file" || continue
	check "$name: no difference to the file" vsctl diff-flows "$file" "$bridge"
	dump "$bridge" >"$dir/first"
	check "$name: every flow is there" \
		equal "$(wc -l <"$dir/first")" "$(grep -cv '^#' "$file")"
	check "$name: what is printed loads" vsctl replace-flows "$bridge" "$dir/first"
	check "$name: and is the same" diff "$dir/first" <(dump "$bridge")
	vsctl parse-flows "$file" >"$dir/printed"
	if command -v ovs-ofctl >/dev/null; then
		check "$name: ovs-ofctl reads what we print as it reads the original" \
			same_to_peer "$file" "$dir/printed"
	fi
	vsctl del-br "$bridge"
done
