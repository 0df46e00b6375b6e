#!/bin/bash
# Offloads of real guests: a large packet stays whole from guest to guest, and is cut and finished
# for whoever takes it otherwise. Needs root. Rates are printed, and no result depends on them.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
command -v qemu-system-x86_64 >/dev/null || {
	echo "SKIP qemu-system-x86_64 is missing (scripts/install-deps.sh test)" && exit 77
}
lib_start offload-vms
export GUEST_RUN_DIR=$dir/guests
# shellcheck source=tests/vm/guest.sh
. "$lib_root/tests/vm/guest.sh"
trap 'guest_stop; lib_finish' EXIT
guest_build || skip "no guest can be built here"

tap=t$$ bridge=br$$
host=$(space host)
spaces=("$host")
must "vswitchd starts" start_switch
must "vm1's QEMU starts" guest_start vm1 "$dir/vm1.sock" 52:54:00:00:00:01 10.0.0.1/24
must "vm2's QEMU starts" guest_start vm2 "$dir/vm2.sock" 52:54:00:00:00:02 10.0.0.2/24
must "a bridge is added" vsctl add-br "$bridge"
must "vm1 is attached" vsctl add-port "$bridge" vm1 type=vhost-user "path=$dir/vm1.sock"
must "vm2 is attached" vsctl add-port "$bridge" vm2 type=vhost-user "path=$dir/vm2.sock"
must "a tap is attached" port_in_space "$bridge" "$tap" "$host" 10.0.0.3/24
must "vm1 boots" guest_wait vm1
must "vm2 boots" guest_wait vm2

guest_pings() { # GUEST ADDRESS
	guest_exec "$1" ping -q -c 2 -W 2 "$2"
}
check "vm1 reaches vm2" within 20 guest_pings vm1 10.0.0.2
check "vm1 reaches the tap" within 20 guest_pings vm1 10.0.0.3

offloads() { # PORT KEY WORD...
	local word have
	have=" $(vsctl get Interface "$1" "status:$2" | tr -d '"') "
	for word in "${@:3}"; do
		[[ $have == *" $word "* ]] || { echo "$1 $2:$have" && return 1; }
	done
}
check "vm1 may leave checksums and cutting to us" offloads vm1 rx_offloads checksum tso4 tso6 ecn
check "... and we to vm2" offloads vm2 tx_offloads checksum tso4 tso6

guest_exec vm2 "iperf3 -s -D" >/dev/null
ip netns exec "$host" iperf3 -s -D --pidfile "$dir/iperf" >/dev/null 2>&1
within 5 test -s "$dir/iperf" && children+=("$(tr -d '\0' <"$dir/iperf")")

exec 3>&1
tcp_passes() { # WHAT GUEST ADDRESS [OPTION...]
	local bytes
	bytes=$(guest_exec "$2" iperf3 -J -c "$3" -t 3 "${@:4}" | jq '.end.sum_received.bytes // 0') &&
		note "$1: $((bytes * 8 / 3000000)) Mbit/s" >&3 && at_least "$bytes" 100000
}
received() { # GUEST packets|bytes
	guest_exec "$1" cat "/sys/class/net/eth0/statistics/rx_$2"
}
# Bytes in each packet that vm2 got while a command ran.
mean_size() {
	local packets bytes
	packets=$(received vm2 packets) bytes=$(received vm2 bytes)
	"$@" >&3 || return 1
	packets=$(($(received vm2 packets) - packets)) bytes=$(($(received vm2 bytes) - bytes))
	echo $((bytes / (packets + 1)))
}
whole() {
	at_least "$(mean_size tcp_passes "guest to guest, whole" vm1 10.0.0.2)" 4000
}
cut_for() {
	local size
	size=$(mean_size tcp_passes "guest to guest, cut for the receiver" vm1 10.0.0.2) &&
		at_least 1514 "$size" && at_least "$size" 1000
}
check "large packets stay whole from vm1 to vm2" whole
check "... and back" tcp_passes "guest to guest, back" vm1 10.0.0.2 -R
check "TCP from vm1 to the tap" tcp_passes "guest to tap" vm1 10.0.0.3
check "TCP from the tap to vm1" tcp_passes "tap to guest" vm1 10.0.0.3 -R

# What was negotiated stays so; what goes to the guest follows at once.
must "vm2's offloads are switched off while it runs" vsctl set Interface vm2 \
	other_config:checksum=false
check "... at once" offloads vm2 tx_offloads none
check "large packets of vm1 are cut for vm2" cut_for
check "... and TCP goes back" tcp_passes "guest without to guest" vm1 10.0.0.2 -R
must "they are switched on" vsctl set Interface vm2 other_config:checksum=true
check "... at once" offloads vm2 tx_offloads checksum tso4
must "tap's are switched off" vsctl set Interface "$tap" other_config:checksum=false
check "TCP from vm1 to the tap, finished by us" tcp_passes "guest to tap, cut by us" vm1 10.0.0.3
check "UDP from vm1 to the tap, finished by us" tcp_passes "UDP" vm1 10.0.0.3 -u -b 20M

no_errors() {
	local guest
	for guest in vm1 vm2; do
		guest_exec "$guest" cat /proc/net/snmp | awk -v guest="$guest" '
			/^(Tcp|Udp):/ { if (names[$1] == "") { names[$1] = $0; next }
				n = split(names[$1], name)
				for (i = 2; i <= n; i++)
					if (name[i] == "InCsumErrors" && $i > 0) { print guest, $1, $i; bad = 1 } }
			END { exit bad }' || return 1
	done
	ip netns exec "$host" nstat -az TcpInCsumErrors UdpInCsumErrors |
		awk '/CsumErrors/ && $2 > 0 { print; bad = 1 } END { exit bad }'
}
check "nobody has seen a wrong checksum" no_errors
check "packets are conserved" within 5 is_conserved
check "the daemon is well" vsctl list-br
check "it stops cleanly" stop_switch
