#!/bin/bash
# What a port knows of its guest and tells it: port-guest, queues, MTU, link state, a guest that
# takes nothing, memory that is not shared, and how soon both sides find each other again. Needs
# root. No result depends on a time; times are only printed.
# What eval gets is evaluated there.
# shellcheck disable=SC2016
set -u -o pipefail

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start guest-port
export GUEST_RUN_DIR=$dir/guests
# shellcheck source=tests/vm/guest.sh disable=SC2154
. "$lib_root/tests/vm/guest.sh"
bridge=gbr$$

# shellcheck disable=SC2329
finish() {
	local status=$?
	guest_stop
	(exit "$status")
	lib_finish
}
trap finish EXIT

guest_field() { # PORT JQ-EXPRESSION
	vsctl port-guest "$1" --json | jq -r "$2"
}

field_is() { # PORT JQ-EXPRESSION WANTED
	equal "$(guest_field "$1" "$2")" "$3"
}

has_feature() { # PORT NAME
	guest_field "$1" '.features[].name' | grep -qx "$2"
}

guest_pings() { # GUEST ADDRESS [PING ARGUMENT...]: all answered
	local guest=$1 address=$2 output
	shift 2
	output=$(guest_exec "$guest" "ping -c 3 -W 5 $* $address") || { echo "$output" && return 1; }
	grep ' 0% packet loss' <<<"$output"
}

carrier_is() { # GUEST STATE
	equal "$(guest_exec "$1" cat /sys/class/net/eth0/carrier)" "$2"
}

drops_at() { # PORT REASON
	vsctl drops "$1" --json |
		jq --arg reason "$2" '[.reasons[] | select(.reason == $reason) | .packets] | add // 0'
}

command -v qemu-system-x86_64 >/dev/null || skip "qemu-system-x86_64 is missing"
guest_build || skip "no guest can be built here"
export GUEST_PROGRAMS=ethtool
command -v ethtool >/dev/null || skip "ethtool is missing"

must "vswitchd starts" start_switch
must "a bridge is added" vsctl add-br "$bridge"
must "ports are added" vsctl \
	add-port "$bridge" vm1 type=vhost-user "path=$dir/vm1.sock" n_rxq=2 mtu_request=9000 -- \
	set Interface vm1 external_ids:attached-mac=52:54:00:00:00:01 -- \
	add-port "$bridge" vm2 type=vhost-user-server "path=$dir/vm2.sock" mtu_request=9000 -- \
	add-port "$bridge" vm3 type=vhost-user "path=$dir/vm3.sock" n_rxq=2

# ---- No guest yet, and how to attach one --------------------------------------------------------

check "port-guest says that there is no guest" field_is vm1 .state no-guest
check "... in words" grep -q "none is connected" <(vsctl port-guest vm1)
check "a port that is not vhost-user has none" refused "has no guest" port-guest "$bridge"
check "nor has a port that does not exist" refused "does not exist" port-guest nobody
check "--qemu and --libvirt exclude each other" refused "exclude" port-guest vm1 --qemu --libvirt
check "libvirt's XML is well formed" python3 -c '
import sys, xml.dom.minidom
xml.dom.minidom.parseString("<d>" + sys.stdin.read() + "</d>")' < <(vsctl port-guest vm1 --libvirt)
check "... and names socket, mode, address, queues and MTU" equal "$(vsctl port-guest vm1 --libvirt |
	grep -cE "path='$dir/vm1.sock' mode='server'|52:54:00:00:00:01|queues='2'|mtu size='9000'")" 4
check "for the other direction it says client" grep -q "mode='client'" <(vsctl port-guest vm2 --libvirt)

# A QEMU with just these arguments; it has nothing to boot. Its socket's time is when it listened.
mapfile -t arguments < <(vsctl port-guest vm1 --qemu --json | jq -r '.arguments[]')
times=""
for round in 1 2 3 4 5; do
	qemu-system-x86_64 -accel tcg -m 1G -S -nodefaults -display none "${arguments[@]}" \
		>"$dir/qemu.log" 2>&1 &
	bare=$!
	children+=("$bare")
	check "QEMU takes the arguments of --qemu and connects (round $round)" within 20 \
		field_is vm1 .state connected
	times+=" $(($(guest_field vm1 .connected_since) - $(date -d "$(stat -c %y "$dir/vm1.sock")" +%s%3N)))"
	check "port-guest names the process" field_is vm1 '"\(.peer.pid) \(.peer.command)"' \
		"$bare $(cat /proc/$bare/comm)"
	kill "$bare"
	wait "$bare" 2>/dev/null
	check "and sees it go" within 20 field_is vm1 .state no-guest
	rm -f "$dir/vm1.sock"
done
note "from a QEMU's listening to our connection, in ms:$times"
qemu-system-x86_64 -accel tcg -m 64 -S -nodefaults -display none \
	-object memory-backend-memfd,id=m,size=64M,share=on -machine memory-backend=m \
	-chardev "socket,id=c,path=$dir/vm3.sock,server=on,wait=off" \
	-netdev vhost-user,id=n,chardev=c,queues=3 -device virtio-net-pci,netdev=n,mq=on \
	>"$dir/many.log" 2>&1 &
children+=($!)
check "QEMU with more queues than offered is told so" within 20 \
	grep -q "more queues than supported: 2" "$dir/many.log"
kill "${children[-1]}" 2>/dev/null
wait "${children[-1]}" 2>/dev/null
rm -f "$dir/vm3.sock"

# ---- Guests -------------------------------------------------------------------------------------

must "vm1 starts: two queues, split rings, QEMU listens" env GUEST_QUEUES=2 GUEST_CPUS=2 \
	GUEST_NIC=host_mtu=9000 GUEST_APPEND=vsw.mtu=9000 "$lib_root/tests/vm/guest.sh" \
	start vm1 "$dir/vm1.sock" 52:54:00:00:00:01 10.0.0.1/24
must "vm2 starts: packed ring, the switch listens" env GUEST_MODE=client \
	GUEST_NIC=packed=on,host_mtu=9000 GUEST_APPEND=vsw.mtu=9000 "$lib_root/tests/vm/guest.sh" \
	start vm2 "$dir/vm2.sock" 52:54:00:00:00:02 10.0.0.2/24
must "vm1 boots" guest_wait vm1
must "vm2 boots" guest_wait vm2
check "they reach each other" within 20 guest_pings vm1 10.0.0.2
check "with packets of 8000 bytes in one piece" guest_pings vm1 10.0.0.2 -s 8000
check "... and back" guest_pings vm2 10.0.0.1 -s 8000

check "vm1 is running" field_is vm1 .state running
check "its process is QEMU's" field_is vm1 .peer.pid "$(guest_pid vm1)"
check "and so is vm2's, which connected to us" field_is vm2 .peer.pid "$(guest_pid vm2)"
check "vm1's rings are split" field_is vm1 .layout split
check "vm2's rings are packed" field_is vm2 .layout packed
check "features are told by name" has_feature vm1 VIRTIO_NET_F_MRG_RXBUF
check "among them EVENT_IDX" has_feature vm1 VIRTIO_RING_F_EVENT_IDX
check "vm2 has the packed ring" has_feature vm2 VIRTIO_F_RING_PACKED
check "the guest was told its MTU" field_is vm1 .guest_mtu 9000
check "memory is told by regions" at_least "$(guest_field vm1 '[.memory[].size] | add')" 200000000
check "vm1 uses two queues" within 20 field_is vm1 .queues 2
check "and the port has two" equal "$(vsctl get Interface vm1 status:n_rxq | tr -d '"')" 2
check "with four rings" field_is vm1 '.rings | length' 4
must "vm1 uses one queue only" guest_exec vm1 ethtool -L eth0 combined 1
check "the port follows" within 20 field_is vm1 .queues 1
check "pings pass" guest_pings vm2 10.0.0.1
must "vm1 uses two again" guest_exec vm1 ethtool -L eth0 combined 2
check "the port follows as well" within 20 field_is vm1 .queues 2
check "pings pass again" guest_pings vm2 10.0.0.1
interrupts=$(guest_field vm1 '[.rings[] | select(.direction == "to-guest") | .interrupts] | add')
kicks=$(guest_field vm1 '[.rings[] | select(.direction == "from-guest") | .kicks] | add')
check "interrupts are counted" at_least "$interrupts" 1
check "and kicks" at_least "$kicks" 1
vsctl port-guest vm1 | sed 's/^/# /'

# ---- MTU and link state while they live ---------------------------------------------------------

must "the MTU is lowered" vsctl set Interface vm1 mtu_request=1000
check "what is longer is dropped" fails guest_pings vm2 10.0.0.1 -s 2000 -W 1
check "for that reason" at_least "$(drops_at vm1 tx-mtu)" 3
check "port-guest says that the guest was told more" grep -q "was told an MTU of 9000" \
	<(vsctl port-guest vm1)
check "and that IPv6 needs 1280" grep -q "carries no IPv6" <(vsctl port-guest vm1)
must "the MTU is raised" vsctl set Interface vm1 mtu_request=9000
check "and large packets pass" guest_pings vm2 10.0.0.1 -s 8000
must "vm1's port is switched off" vsctl mod-port "$bridge" vm1 down
check "its guest sees the link go" within 20 carrier_is vm1 0
must "and on" vsctl mod-port "$bridge" vm1 up
check "its guest sees the link come" within 20 carrier_is vm1 1
must "vm2's port is switched off, where the switch listens" vsctl mod-port "$bridge" vm2 down
check "its guest sees the link go as well" within 20 carrier_is vm2 0
must "and on again" vsctl mod-port "$bridge" vm2 up
check "its guest sees the link come as well" within 20 carrier_is vm2 1
check "pings pass after that" within 30 guest_pings vm1 10.0.0.2

# ---- A guest that stops --------------------------------------------------------------------------

namespace=$(space host)
spaces+=("$namespace")
must "a tap port joins" port_in_space "$bridge" "gtap$$" "$namespace" 10.0.0.9/24
check "it reaches vm1" within 20 pings "$namespace" 10.0.0.1
check "and vm2" within 20 pings "$namespace" 10.0.0.2
kill -STOP "$(guest_pid vm2)"
ip netns exec "$namespace" ping -q -f -c 2000 -W 1 10.0.0.2 >"$dir/flood" 2>&1 &
children+=($!)
check "vm2 is found to be stopped" within 30 field_is vm2 .state stopped
check "vm1 is not" field_is vm1 .state running
ip netns exec "$namespace" ping -i 0.05 -c 40 10.0.0.1 >"$dir/beside" 2>&1
check "while packets to vm2 are dropped, all those to vm1 arrive" grep " 0% packet loss" "$dir/beside"
note "beside a stopped guest: $(sed -n 's/^rtt //p' "$dir/beside")"
check "packets to vm2 were dropped for a reason of their own" within 20 \
	eval 'at_least "$(drops_at vm2 guest-stopped)" 1'
check "port-guest says for how long" within 20 eval \
	'at_least "$(guest_field vm2 "[.rings[].not_taken_ms] | max")" 200'
wait "${children[-1]}"
kill -CONT "$(guest_pid vm2)"
check "when it goes on, it is served again" within 30 pings "$namespace" 10.0.0.2
check "and running" within 20 field_is vm2 .state running

# ---- Interrupts that wait ------------------------------------------------------------------------

interrupts() {
	guest_field vm1 '[.rings[] | select(.direction == "to-guest") | .interrupts] | add'
}

# Small packets to vm1 for two seconds, and the interrupts that they cost.
stream() { # WHAT
	local packets out
	packets=$(guest_field vm1 .sent_to_guest) out=$(interrupts)
	ip netns exec "$namespace" iperf3 -c 10.0.0.1 -u -b 3M -l 64 -t 2 || return 1
	packets=$(($(guest_field vm1 .sent_to_guest) - packets)) out=$(($(interrupts) - out))
	echo "$1: $out interrupts for $packets packets to the guest" >"$dir/stream"
	((packets && out))
}
guest_spawn vm1 /dev/null "iperf3 -s" >/dev/null
check "a stream of small packets" within 20 stream "without delay"
note "$(<"$dir/stream")"
check "a delay that is no number is refused" refused "interrupt-delay" \
	set Interface vm1 options:interrupt-delay=soon
check "and one that is too long" refused "from 0 to 1000" \
	set Interface vm1 options:interrupt-delay=5000
must "interrupts wait for a millisecond" vsctl set Interface vm1 options:interrupt-delay=1000
check "the guest is attached again" within 20 field_is vm1 .state running
check "it is reached" within 30 pings "$namespace" 10.0.0.1
check "the same stream" within 20 stream "delay of 1000 us"
note "$(<"$dir/stream")"
check "no interrupt is lost when a quiet guest gets one packet at a time" \
	pings "$namespace" 10.0.0.1 50
must "without delay again" vsctl remove Interface vm1 options interrupt-delay
check "the guest is attached once more" within 20 field_is vm1 .state running
check "it is reached" within 30 pings "$namespace" 10.0.0.1

# ---- The switch ends and comes back -----------------------------------------------------------------

attached_again() {
	within 20 field_is vm1 .state running && within 20 field_is vm2 .state running
}

# Milliseconds from the last line of the log with $1 to the first one after it with $2.
log_time() {
	local from to
	from=$(grep -- "$1" "$dir/vswitchd.log" | tail -n 1 | cut -d' ' -f1)
	to=$(sed "0,/^$from/d" "$dir/vswitchd.log" | grep -m 1 -- "$2" | cut -d' ' -f1)
	[[ $from && $to ]] && echo $(($(date -d "$to" +%s%3N) - $(date -d "$from" +%s%3N)))
}

for signal in KILL TERM KILL; do
	stop_switch $signal
	must "the switch starts again after SIG$signal" start_switch
	check "the guests are attached again" attached_again
	check "pings pass" within 30 guest_pings vm1 10.0.0.2
	note "from the switch's being ready: $(log_time "is ready" "'vm1': guest connected") ms to the" \
		"guest whose QEMU listens, $(log_time "is ready" "'vm2': guest connected") ms to the" \
		"one whose QEMU tries once in a second"
done
must "vm1's QEMU is killed" guest_kill vm1
check "port-guest sees it" within 20 field_is vm1 .state no-guest
must "a program listens on its socket" eval 'rm -f "$dir/vm1.sock"
	socat -u "UNIX-LISTEN:$dir/vm1.sock" "CREATE:$dir/got" & children+=($!)'
check "which is found not to be a guest" within 20 eval \
	'grep -q "sends no vhost-user messages" <(vsctl port-guest vm1)'
kill "${children[-1]}"
rm -f "$dir/vm1.sock"

# ---- Memory that is not shared --------------------------------------------------------------------

qemu-system-x86_64 -accel tcg -m 128 -nodefaults -display none -no-reboot \
	-object memory-backend-memfd,id=m,size=128M,share=off -machine memory-backend=m \
	-chardev "socket,id=c,path=$dir/vm1.sock,server=on,wait=off" \
	-netdev vhost-user,id=n,chardev=c -device virtio-net-pci,netdev=n,romfile=,vectors=0 \
	-serial "file:$dir/private.console" -kernel "$GUEST_BUILD_DIR"/linux/boot/vmlinuz-* \
	-initrd "$(guest_build_base)" -append "console=ttyS0 quiet panic=-1 vsw.ip=10.0.0.5/24" \
	>"$dir/private.log" 2>&1 &
children+=($!)
check "memory that is not shared is found out, and the option named" within 60 eval \
	'grep -q "share=on" <(vsctl port-guest vm1)'
check "... also in column error" grep -q "share=on" <(vsctl get Interface vm1 error)
kill "${children[-1]}"

check "every packet received was sent, consumed or dropped for a reason" within 5 is_conserved
check "vswitchd ends cleanly" stop_switch
