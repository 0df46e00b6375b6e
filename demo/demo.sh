#!/bin/bash
# The demonstration: two virtual machines talk through flow rules. "sudo make demo" builds all it
# needs and runs it.
#
# Everything happens in a private folder below /tmp and a private network namespace: no interface,
# address or setting of this machine is touched, and several demonstrations may run at the same
# time. On success the folder goes away; on failure it stays, with all logs.
set -eu -o pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
build=$here/${BUILD:-build}
PATH=$build:$PATH
started=$EPOCHREALTIME
step="getting ready"
command=""
switch=

bold="" dim="" red="" normal=""
if [[ -t 1 && ! ${NO_COLOR:-} ]]; then
	bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' normal=$'\e[0m'
fi

say() {
	local elapsed=$((${EPOCHREALTIME/./} - ${started/./}))
	step=$1 command=""
	printf '\n%s[%4d.%d s] %s%s\n' "$bold" $((elapsed / 1000000)) $((elapsed / 100000 % 10)) "$1" \
		"$normal"
}

# Run a command of the host, shown as it is typed.
run() {
	command=$*
	printf '$ %s\n' "$*"
	"$@" | sed -u "s/^/    $dim/; s/\$/$normal/"
}

# Run a command in a guest, shown with the guest's prompt.
run_in() {
	local guest=$1
	shift
	command="$* (in $guest)"
	printf '%s# %s\n' "$guest" "$*"
	guest_exec "$guest" "$*" | sed -u "s/^/    $dim/; s/\$/$normal/"
}

# A failure that the story wants: anything else than "no answer" is a real one.
must_not_ping() {
	local status=0
	run_in vm1 ping -c 3 -i 0.3 -W 1 10.0.0.2 || status=$?
	((status == 1)) && return
	((status)) || echo "vm2 answered, though no rule lets the ping pass." >&2
	return 1
}

stop_all() {
	guest_stop || true
	if [[ $switch ]] && kill "$switch" 2>/dev/null; then
		guest_reap "$switch" || kill -KILL "$switch" 2>/dev/null
	fi
	switch=
}

# shellcheck disable=SC2329
finish() {
	local status=$? last_words
	trap - EXIT TERM HUP
	trap '' INT
	last_words=$(tail -n 8 "$demo_dir/vswitchd.log" 2>/dev/null | sed 's/^/    /') || true
	stop_all
	if ((status == 0)); then
		rm -rf "$demo_dir"
		return
	elif ((status > 128)); then
		printf '\nInterrupted; everything is stopped.\n' >&2
		rm -rf "$demo_dir"
		exit $status
	fi
	{
		printf '\n%sThe demonstration failed in the step "%s".%s\n' "$red" "$step" "$normal"
		[[ ! $command ]] || printf 'The last command was: %s\n' "$command"
		[[ ! $last_words ]] || printf 'The last lines of the log of vswitchd:\n%s\n' "$last_words"
		printf 'All logs are in %s:\n' "$demo_dir"
		(cd "$demo_dir" && find . -name '*.log' | sort | sed 's/^\.\//    /')
	} >&2
	exit 1
}

if [[ ! -x $build/vswitchd || ! -x $build/vsctl ]]; then
	echo "There is no $build/vswitchd yet: run \"make\" first, or \"sudo make demo\" for all." >&2
	exit 1
fi
if ((EUID)); then
	echo "The demonstration needs root: sudo make demo" >&2
	exit 1
fi

# Not just "dir": a trap runs amid functions that have a local variable of that name.
demo_dir=$(mktemp -d /tmp/vswitch-demo.XXXXXX)
export VSWITCH_RUN_DIR=$demo_dir GUEST_RUN_DIR=$demo_dir/guests
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# shellcheck source=tests/vm/guest.sh
. "$here/tests/vm/guest.sh"

printf '%sTwo virtual machines on a virtual switch%s\n' "$bold" "$normal"

if [[ -e $GUEST_BUILD_DIR/accel ]]; then
	say "Preparing the virtual machines (their kernel is there from last time)"
else
	say "Preparing the virtual machines (downloads a Linux kernel of Debian's, 30 MB, once)"
fi
guest_build
acceleration=${GUEST_ACCEL:-$(<"$GUEST_BUILD_DIR/accel")}

say "Starting the switch"
printf '$ export VSWITCH_RUN_DIR=%s\n' "$demo_dir"
printf '$ unshare --net vswitchd --db %s/vswitch.db --log-file %s/vswitchd.log &\n' \
	"$demo_dir" "$demo_dir"
# A network namespace of its own, because a bridge is a network interface of its host as well.
setsid unshare --net vswitchd --db "$demo_dir/vswitch.db" --log-file "$demo_dir/vswitchd.log" </dev/null \
	>"$demo_dir/vswitchd-output.log" 2>&1 &
switch=$!
for ((tries = 0; tries < 10; tries++)); do
	vsctl --timeout 1 list-br >/dev/null 2>&1 && break
	kill -0 "$switch" 2>/dev/null || break
done
if ! vsctl --timeout 1 list-br >/dev/null; then
	cat "$demo_dir/vswitchd-output.log" >&2
	exit 1
fi
grep -s -i -m 1 hugepage "$demo_dir/vswitchd.log" | sed 's/^/    /' || true

say "Starting two virtual machines, vm1 and vm2, each with a vhost-user interface"
guest_start vm1 "$demo_dir/vm1.sock" 52:54:00:00:00:01 10.0.0.1/24
guest_start vm2 "$demo_dir/vm2.sock" 52:54:00:00:00:02 10.0.0.2/24
case $acceleration in
kvm) echo "    QEMU runs them with KVM." ;;
*) echo "    QEMU runs them by emulation (TCG): KVM does not serve on this machine." ;;
esac

say "Attaching both to a bridge"
run vsctl add-br br0
run vsctl add-port br0 vm1 type=vhost-user "path=$demo_dir/vm1.sock"
run vsctl add-port br0 vm2 type=vhost-user "path=$demo_dir/vm2.sock"
run vsctl show

say "Waiting until both have booted"
guest_wait vm1
guest_wait vm2

say "A new bridge has one rule, the learning switch. Without it nothing passes"
run vsctl dump-flows br0
run vsctl del-flows br0
must_not_ping
run vsctl drops

say "One rule for each direction, and the ping passes"
run vsctl add-flow br0 in_port=vm1,actions=output:vm2
run vsctl add-flow br0 in_port=vm2,actions=output:vm1
run_in vm1 ping -c 3 -i 0.3 10.0.0.2

say "As fast as they can: TCP between them for 3 seconds"
guest_spawn vm2 /tmp/iperf3 iperf3 -s >/dev/null
guest_exec vm2 'until netstat -ltn | grep -q :5201; do sleep 0.1; done'
run_in vm1 iperf3 -c 10.0.0.2 -t 3 -f m

say "The rules have counted it all"
run vsctl dump-flows br0

say "One rule less, and the ping stops"
run vsctl del-flows br0 in_port=vm1
must_not_ping
run vsctl dump-flows br0

say "Stopping the virtual machines and the switch"
stop_all
say "Done. Nothing is left behind."
