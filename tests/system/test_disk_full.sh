#!/bin/bash
# A full disk: a change that cannot be kept is refused, whole, and all is well when there is room.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"

# A file system of 1 MiB that only this test sees.
if [[ ${1:-} != inside ]]; then
	((EUID == 0)) || skip "this test needs root"
	unshare -m true 2>/dev/null || skip "no mount namespaces here"
	exec unshare -m "$0" inside
fi
lib_start disk_full
mkdir "$dir/disk"
mount -t tmpfs -o size=1m,mode=0700 tmpfs "$dir/disk" || skip "cannot mount a tmpfs"

start_small() {
	setsid vswitchd --run-dir "$dir/run" --db "$dir/disk/vswitch.db" \
		--log-file "$dir/vswitchd.log" </dev/null >>"$dir/vswitchd-output.log" 2>&1 &
	switch=$!
	vsctl --timeout 20 list-br >/dev/null || { tail -n 5 "$dir/vswitchd-output.log" && return 1; }
}

flows() { # [BRIDGE] as they are now
	vsctl dump-flows "$bridge" --no-stats
}

same_flows() {
	flows >"$dir/after" && diff -u "$dir/before" "$dir/after"
}

bridge=df$$
must "vswitchd starts on a small disk" start_small
must "a bridge" vsctl add-br "$bridge"
must "a flow" vsctl add-flow "$bridge" "cookie=7,priority=9,ip,actions=output:1"
for i in $(seq 1 20000); do
	echo "table=1,priority=$i,tcp,nw_dst=10.0.$((i / 256)).$((i % 256)),actions=output:1"
done >"$dir/flows"
flows >"$dir/before"
check "flows that do not fit are refused" refused "the disk is full" add-flows "$bridge" "$dir/flows"
check "... and none of them is there" same_flows
head -c 2000000 /dev/zero >"$dir/disk/filler" 2>/dev/null
# What is left in the database's own files is used up too, within a few hundred flows.
full=0
for i in $(seq 1 400); do
	vsctl add-flow "$bridge" "table=2,priority=$i,udp,tp_dst=$i,actions=output:2" \
		>/dev/null 2>"$dir/said" || { full=1 && break; }
done
check "sooner or later one flow is refused" equal "$full" 1
check "... with the reason" grep -F "the disk is full" "$dir/said"
flows >"$dir/before"
check "a change of a flow is refused" refused "the disk is full" \
	mod-flows "$bridge" "ip,actions=drop"
check "... and not half made" same_flows
check "a replacement is refused" refused "the disk is full" \
	add-flow "$bridge" "cookie=8,priority=9,ip,actions=drop"
check "... and not half made" same_flows
rm "$dir/disk/filler"
check "with room again a flow is added" vsctl add-flow "$bridge" "table=3,actions=drop"
check "... and changed" vsctl mod-flows "$bridge" "ip,actions=drop"
flows >"$dir/before"
stop_switch KILL
must "it starts again" start_small
check "... with everything that was acknowledged, and nothing else" same_flows
stop_switch TERM
umount "$dir/disk"
