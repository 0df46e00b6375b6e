#!/bin/bash
# A guest moves from one vhost-user port to another while it is being pinged and sends itself: from
# QEMU to QEMU on this machine. Shown are QEMU's own downtime and what the traffic saw. Needs root.
# No result depends on a time.
# What eval gets is evaluated there.
# shellcheck disable=SC2016
set -u -o pipefail

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start migration
export GUEST_RUN_DIR=$dir/guests
# shellcheck source=tests/vm/guest.sh disable=SC2154
. "$lib_root/tests/vm/guest.sh"
bridge=gmi$$

# shellcheck disable=SC2329
finish() {
	local status=$?
	guest_stop
	(exit "$status")
	lib_finish
}
trap finish EXIT

field_is() { # PORT JQ-EXPRESSION WANTED
	equal "$(vsctl port-guest "$1" --json | jq -r "$2")" "$3"
}

# qmp SOCKET JSON: the result of one command of QEMU's monitor.
qmp() {
	{ printf '{"execute":"qmp_capabilities"}\n%s\n' "$2" && sleep 0.3; } |
		socat -t 5 - "UNIX-CONNECT:$1" | tail -n 1
}

migration_is() { # SOCKET STATE
	equal "$(qmp "$1" '{"execute":"query-migrate"}' | jq -r .return.status)" "$2"
}

guest_reaches() { # GUEST ADDRESS
	guest_exec "$1" "ping -c 2 -W 5 $2" | grep ' 0% packet loss'
}

# The longest time between two answers, in ms, of a ping -D.
longest_gap() { # FILE
	sed -n 's/^\[\([0-9.]*\)\].*time=.*/\1/p' "$1" |
		awk 'NR > 1 && $1 - last > gap { gap = $1 - last } { last = $1 }
			END { printf "%d\n", gap * 1000 }'
}

# The port that the switch has learned an address on.
port_of() { # MAC
	vsctl fdb-show "$bridge" | awk -v mac="$1" '$3 == mac { print $1 }'
}

# What the guest computes from all of its memory that the test wrote: damaged if a write was lost.
guest_sum() {
	guest_exec "$1" "sha256sum /tmp/data | cut -c1-16"
}

# Start the guest that comes or the one that goes, alike but for the sockets.
start() { # NAME SOCKET MONITOR [QEMU ARGUMENT...]
	local name=$1 socket=$2 monitor=$3
	shift 3
	GUEST_NIC=${nic:-} guest_start "$name" "$socket" 52:54:00:00:00:01 10.0.0.1/24 \
		-qmp "unix:$monitor,server=on,wait=off" "$@"
}

# migrate FROM TO: from port and guest FROM to TO.
migrate() {
	local from=$1 to=$2 total
	must "a QEMU waits for it" start "$to" "$dir/$to.sock" "$dir/$to.qmp" \
		-incoming "unix:$dir/$to.migrate"
	check "its port is connected" within 20 field_is "$to" .state connected
	ip netns exec "$namespace" ping -D -i 0.01 -c 100000 10.0.0.1 >"$dir/ping" 2>&1 &
	children+=($!)
	guest_spawn "$from" /tmp/fromguest "ping -i 0.02 10.0.0.9" >/dev/null
	# Written while it moves, by the network: the switch's own writes are what must be logged.
	guest_spawn "$from" /dev/null "nc -l -p 5000 >/tmp/data" >/dev/null
	head -c 60000000 /dev/urandom >"$dir/data"
	sleep 1
	ip netns exec "$namespace" socat -u "OPEN:$dir/data" TCP:10.0.0.1:5000 >"$dir/socat" 2>&1 &
	sender=$!
	children+=("$sender")
	sleep 0.2
	must "the migration begins" grep return < <(qmp "$dir/$from.qmp" \
		"{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"unix:$dir/$to.migrate\"}}")
	must "it completes" within 120 migration_is "$dir/$from.qmp" completed
	total=$(qmp "$dir/$from.qmp" '{"execute":"query-migrate"}')
	check "the new port has the guest" within 20 field_is "$to" .state running
	check "pings reach it" within 30 pings "$namespace" 10.0.0.1
	check "the switch has learned where it is" within 20 eval \
		'equal "$(port_of 52:54:00:00:00:01)" "$to"'
	check "it reaches others" within 30 guest_reaches "$to" 10.0.0.9
	check "a TCP transfer goes on to its end" within 60 fails kill -0 "$sender"
	check "and no byte is damaged" within 30 eval \
		'equal "$(guest_sum "$to")" "$(sha256sum <"$dir/data" | cut -c1-16)"'
	kill "${children[-2]}"
	wait "${children[-2]}" 2>/dev/null
	note "migration of $(jq -r '.return.ram.total / 1048576 | floor' <<<"$total") MiB:" \
		"$(jq -r '.return["total-time"]' <<<"$total") ms in all," \
		"QEMU's downtime $(jq -r .return.downtime <<<"$total") ms," \
		"longest time without an answer $(longest_gap "$dir/ping") ms"
	note "answers: $(grep 'packet loss' "$dir/ping" || grep -c time= "$dir/ping")"
	must "the old QEMU ends" guest_stop "$from"
	check "its port is free" within 20 field_is "$from" .state no-guest
}

command -v qemu-system-x86_64 >/dev/null || skip "qemu-system-x86_64 is missing"
guest_build || skip "no guest can be built here"
must "vswitchd starts" start_switch
must "a bridge and two ports" vsctl add-br "$bridge" -- \
	add-port "$bridge" vm1 type=vhost-user "path=$dir/vm1.sock" -- \
	add-port "$bridge" vm2 type=vhost-user "path=$dir/vm2.sock"
namespace=$(space host)
spaces+=("$namespace")
must "a peer" port_in_space "$bridge" "gmt$$" "$namespace" 10.0.0.9/24
must "a guest starts" start vm1 "$dir/vm1.sock" "$dir/vm1.qmp"
must "it boots" guest_wait vm1
check "it is reached" within 20 pings "$namespace" 10.0.0.1
check "it can announce itself" grep -q GUEST_ANNOUNCE <(vsctl port-guest vm1)
check "writes to its memory can be logged" grep -q LOG_SHMFD <(vsctl port-guest vm1)
migrate vm1 vm2

note "a guest that cannot announce itself: the switch is asked to (RARP)"
must "the moved guest ends" guest_stop vm2
nic=guest_announce=off
must "a guest without announcements starts" start vm1 "$dir/vm1.sock" "$dir/vm1.qmp"
must "it boots" guest_wait vm1
check "it is reached" within 20 pings "$namespace" 10.0.0.1
check "it cannot announce itself" fails grep -q GUEST_ANNOUNCE <(vsctl port-guest vm1)
migrate vm1 vm2
check "the switch announced it" at_least \
	"$(vsctl port-guest vm2 --json | jq .announces)" 1
check "every packet received was sent, consumed or dropped for a reason" within 10 is_conserved
check "vswitchd ends cleanly" stop_switch
