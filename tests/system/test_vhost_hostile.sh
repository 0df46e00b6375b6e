#!/bin/bash
# Some two hundred guests that break the vhost-user protocol or lie in their rings, each on a port of
# its own, while others keep talking: nobody else loses a packet, commands are answered at once, what
# a guest was cut off for is told, and nothing is left behind.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start vhost-hostile

guest=$lib_root/tests/system/hostile_guest.py
python3 -c 'import os, socket; os.eventfd, os.memfd_create, socket.send_fds' 2>/dev/null ||
	skip "python3 (3.10 or later) is missing (scripts/install-deps.sh test)"
export PYTHONDONTWRITEBYTECODE=1

a=$(space a) b=$(space b)
spaces=("$a" "$b")
must "vswitchd starts" start_switch
must "a bridge for those who behave" vsctl add-br "ba$$"
must "... port a" port_in_space "ba$$" "a$$" "$a" 10.0.0.1/24
must "... port b" port_in_space "ba$$" "b$$" "$b" 10.0.0.2/24
must "... and traffic" within 10 pings "$a" 10.0.0.2

mapfile -t cases < <(python3 "$guest" --list)
commands=(add-br "bh$$" -- add-port "bh$$" "h$$" type=tap)
for name in "${cases[@]}"; do
	commands+=(-- add-port "bh$$" "$name" type=vhost-user-server)
done
must "${#cases[@]} ports for those who do not" vsctl "${commands[@]}"
ip link set "h$$" up

count_fds() {
	find "/proc/$switch/fd" -mindepth 1 -maxdepth 1 | wc -l
}

resident() { # in KiB
	awk '/^VmRSS/ { print $2 }' "/proc/$switch/status"
}

# All that a guest can have, once: what is made on first use is there before counting.
must "a guest that behaves is served" python3 "$guest" "$switch" "$dir/run" "h$$" "$dir/none" byte_by_byte
sleep 2.5
fds=$(count_fds) memory=$(resident)

ip netns exec "$a" ping -q -i 0.005 -W 5 10.0.0.2 >"$dir/ping" &
ping_process=$!
children+=("$ping_process")
(
	while [[ ! -e $dir/finished ]]; do
		start=$EPOCHREALTIME
		vsctl list-ports "ba$$" >/dev/null || echo "failed" >>"$dir/commands"
		milliseconds "$start" >>"$dir/commands"
		sleep 0.2
	done
	echo "finished" >>"$dir/commands"
) &
children+=("$!")

start=$EPOCHREALTIME
python3 "$guest" "$switch" "$dir/run" "h$$" "$dir/expected" >"$dir/cases"
note "$(tail -n 1 "$dir/cases" | tr -d '#') in $(milliseconds "$start") ms"
touch "$dir/finished"
grep '^#' "$dir/cases" | sed '$d'
while read -r line; do
	case $line in
	ok*) passed=$((passed + 1)) ;;
	not*) failed=$((failed + 1)) && echo "$line" ;;
	esac
done <"$dir/cases"
at_least_cases() {
	at_least "$(grep -c '^\(not \)\?ok' "$dir/cases")" "${#cases[@]}"
}
check "all cases were run" at_least_cases
check "vswitchd runs" kill -0 "$switch"

# --- the others ---

kill -INT "$ping_process" && wait "$ping_process" 2>/dev/null
note "$(grep 'packets transmitted' "$dir/ping"), $(grep rtt "$dir/ping")"
lost_packets() {
	local sent received
	read -r sent _ _ received _ < <(grep 'packets transmitted' "$dir/ping")
	# The last one may be under way when ping is ended.
	at_least "$((received + 1))" "${sent:-99}"
}
check "no other port lost a packet" lost_packets
within 35 grep -q finished "$dir/commands"
check "no command failed meanwhile" fails grep -q failed "$dir/commands"
# On a busy machine anything may be slow once.
command_time() { # PERCENT
	grep '^[0-9]' "$dir/commands" | sort -n | awk -v p="$1" '{ t[NR] = $1 } END { print t[int((NR - 1) * p / 100) + 1] }'
}
note "commands: median $(command_time 50) ms, 90 % within $(command_time 90) ms, slowest $(command_time 100) ms"
check "... or took long" at_least 250 "$(command_time 50)"
check "packets are conserved" within 5 is_conserved

# --- what is told ---

vsctl list Interface --json >"$dir/interfaces.json"
jq -r '.. | objects | select(.name? and .error?) | "\(.name) \(.error)"' "$dir/interfaces.json" >"$dir/errors"
reasons_told() {
	local name reason told wrong=0
	while read -r name reason; do
		told=$(grep -m 1 "^$name " "$dir/errors")
		[[ $told == *"guest was cut off"*"$reason"* ]] || { echo "$name: '$told', not '$reason'" && wrong=1; }
	done <"$dir/expected"
	((wrong == 0))
}
note "$(wc -l <"$dir/expected") reasons"
check "each reason is told in the port's error column" reasons_told
counted() {
	jq -e '[.. | objects | select(.name? == "version") | .status.refused_connections? | tonumber] | max == 1' \
		"$dir/interfaces.json"
}
check "... and cut off connections are counted" counted
check "... and logged" grep -q "port 'version': the guest was cut off: protocol version" "$dir/vswitchd.log"
calm() {
	! grep -iE 'sanitizer|runtime error|assert' "$dir/vswitchd-output.log"
}
check "no sanitizer spoke" calm

# --- a guest that listens ---

vsctl add-port "bh$$" "client$$" type=vhost-user "path=$dir/client.sock"
refuses_listener() {
	timeout 20 python3 - "$dir/client.sock" <<'END'
import os, socket, struct, sys, time
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen(4)
times = []
for _ in range(4):
    peer, _ = listener.accept()
    peer.sendall(struct.pack("<III", 1, 99, 0))
    peer.settimeout(5)
    assert peer.recv(1) == b""
    times.append(time.monotonic())
    peer.close()
waits = [b - a for a, b in zip(times, times[1:])]
print(waits)
assert waits[0] > 0.08 and waits[2] > waits[0] * 2, waits
listener.close()
os.unlink(sys.argv[1])
END
}
check "who listens and misbehaves is left alone ever longer" refuses_listener
vsctl del-port "bh$$" "client$$"

# --- what is left behind ---

no_more_fds() {
	at_least "$((fds + 2))" "$(count_fds)"
}
check "no descriptor is left behind" within 10 no_more_fds
note "descriptors: $fds before, $(count_fds) after; memory: $memory KiB before, $(resident) after"
little_more_memory() {
	at_least "$((memory + 65536))" "$(resident)"
}
check "memory is bounded" little_more_memory
check "the sockets of the library are out of reach" equal "$(stat -c %a "$dir/run/.vhost")" 700
must "vswitchd ends" stop_switch
