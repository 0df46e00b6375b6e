#!/bin/bash
# vsctl port-guest where no guest is: what it says, prints and refuses. With guests it is tested by
# tests/vm/test_guest_port.sh.
# What eval gets is evaluated there.
# shellcheck disable=SC2016
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start port-guest
bridge=pgu$$

field_is() { # PORT JQ-EXPRESSION WANTED
	equal "$(vsctl port-guest "$1" --json | jq -r "$2")" "$3"
}

says() { # TEXT COMMAND...: vsctl succeeds and prints it, or warns of it
	local text=$1 output
	shift
	output=$(vsctl "$@" 2>&1) || { echo "$output" && return 1; }
	grep -qF -- "$text" <<<"$output" || { echo "said: $output" && return 1; }
}

must "vswitchd starts" start_switch
must "ports without guests are added" vsctl add-br "$bridge" -- \
	add-port "$bridge" vm1 type=vhost-user "path=$dir/a,b&'c.sock" n_rxq=4 mtu_request=9000 -- \
	add-port "$bridge" vm2 type=vhost-user-server "path=$dir/vm2.sock" -- \
	set Interface vm2 external_ids:attached-mac=52:54:00:12:34:56

check "no guest: the state" field_is vm1 .state no-guest
check "no guest: no process" field_is vm1 .peer null
check "no guest: no rings, memory or features" field_is vm1 '.rings + .memory + .features' '[]'
check "no guest: no problems" field_is vm1 '.problems | length' 0
check "the mode is told: client" field_is vm1 .mode client
check "the mode is told: server" field_is vm2 .mode server
check "queues offered are n_rxq" field_is vm1 .queues_offered 4
check "or as many as there can be" field_is vm2 .queues_offered 16
check "as text" says "none is connected" port-guest vm1

check "--qemu: QEMU listens, and a comma is doubled" says \
	"socket,id=char-vm1,path=$dir/a,,b&'\\''c.sock,server=on,wait=off" port-guest vm1 --qemu
check "--qemu: queues" says "chardev=char-vm1,queues=4" port-guest vm1 --qemu
check "--qemu: vectors for all rings, and the MTU" says "mq=on,vectors=10,host_mtu=9000" \
	port-guest vm1 --qemu
check "--qemu: shared memory" says "share=on" port-guest vm1 --qemu
check "--qemu: QEMU connects" says "reconnect=1" port-guest vm2 --qemu
check "--qemu: the address that is configured" says "mac=52:54:00:12:34:56" port-guest vm2 --qemu
check "--qemu: nothing of queues or MTU when they are the usual ones" \
	equal "$(vsctl port-guest vm2 --qemu | grep -cE 'queues|mq=|mtu')" 0
check "--qemu: another port has another address, always the same" eval \
	'equal "$(vsctl port-guest vm1 --qemu | grep -o mac=[^,]*)" \
		"$(vsctl port-guest vm1 --qemu | grep -o mac=[^,]*)"'
check "--qemu: a shell reads the arguments back" eval '
	eval "words=($(vsctl port-guest vm1 --qemu | sed "s/\\\\\$//"))"
	equal "$(printf "%s\n" "${words[@]}")" \
		"$(vsctl port-guest vm1 --qemu --json | jq -r ".arguments[]")"'
check "--libvirt: the path is escaped" says "a,b&amp;&apos;c.sock' mode='server'" \
	port-guest vm1 --libvirt
check "--libvirt: queues" says "<driver queues='4'/>" port-guest vm1 --libvirt
check "--libvirt: MTU" says "<mtu size='9000'/>" port-guest vm1 --libvirt
check "--libvirt: reconnect" says "<reconnect enabled='yes' timeout='1'/>" \
	port-guest vm2 --libvirt
check "--libvirt as JSON" eval \
	'vsctl port-guest vm2 --libvirt --json | jq -e ".xml | length > 100"'

check "a port that does not exist" refused "does not exist" port-guest vm9
check "a port of another type" refused "has no guest" port-guest "$bridge"
check "both forms at once" refused "exclude each other" port-guest vm1 --qemu --libvirt
check "no port at all" refused "port-guest" port-guest
check "queue numbers out of range: 0" refused "1 to 16" set Interface vm1 options:n_rxq=0
check "queue numbers out of range: 17" refused "1 to 16" set Interface vm1 options:n_rxq=17
check "an interrupt delay out of range" refused "0 to 1000" \
	set Interface vm1 options:interrupt-delay=1001
check "an MTU below what IPv4 needs" refused "68" set Interface vm1 mtu_request=67
check "an MTU below what IPv6 needs is warned of" says "carries no IPv6" \
	set Interface vm1 mtu_request=1279
check "and told as a problem" says "carries no IPv6" port-guest vm1
check "1280 is enough" fails says "IPv6" set Interface vm1 mtu_request=1280

socat -u "UNIX-LISTEN:$dir/taken.sock" "CREATE:$dir/got" &
children+=("$!")
check "a program listens" within 10 test -S "$dir/taken.sock"
check "its socket is not taken away" refused "in use by another process" \
	add-port "$bridge" vm3 type=vhost-user-server "path=$dir/taken.sock"
check "two ports do not share a socket" refused "is used by port 'vm2'" \
	add-port "$bridge" vm4 type=vhost-user "path=$dir/vm2.sock"
# shellcheck disable=SC2034
before=$(drops_for no-peer)
check "a packet to a port without guest is dropped as no-peer" eval '
	vsctl packet-out "$bridge" NONE output:vm2 \
		0200000000010200000000020800000000000000000000000000000000 &&
		at_least "$(drops_for no-peer)" "$((before + 1))"'

check "mod-port down and up without a guest" eval \
	'vsctl mod-port "$bridge" vm2 down && fails test -e "$dir/vm2.sock" &&
		vsctl mod-port "$bridge" vm2 up && test -S "$dir/vm2.sock"'
check "vswitchd ends cleanly" stop_switch
