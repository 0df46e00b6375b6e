#!/bin/bash
# Virtual machines for tests and the demo: small Linux guests in QEMU with vhost-user interfaces.
#
# Source this file for the functions below, or run it as a command for the same by hand:
#
#     tests/vm/guest.sh start vm1 /tmp/vm1.sock 52:54:00:00:00:01 10.0.0.1/24
#     tests/vm/guest.sh wait vm1; tests/vm/guest.sh exec vm1 ip addr; tests/vm/guest.sh stop vm1
#
#   guest_build                        make what guests boot from, in GUEST_BUILD_DIR (cached)
#   guest_start NAME SOCKET MAC IP [QEMU ARGUMENT...]
#                                      start a guest; does not wait. Lists with commas give several
#                                      interfaces: a.sock,b.sock MAC,MAC 10.0.0.1/24,-
#   guest_wait NAME [SECONDS]          wait until it runs commands (default 60 s)
#   guest_exec NAME COMMAND...         run a shell command in it: its output, its exit code.
#                                      124: it took longer than GUEST_TIMEOUT (default 30 s);
#                                      125: the guest cannot be talked to
#   guest_spawn NAME FILE COMMAND...   the same in the background, output to FILE in the guest;
#                                      prints the process id
#   guest_pid NAME                     QEMU's process id, fails when it is not running
#   guest_kill NAME                    kill -9 its QEMU
#   guest_stop [NAME...]               end guests (default: all of GUEST_RUN_DIR); keeps their logs
#
# Settings, as variables (each may differ from guest to guest):
#   GUEST_BUILD_DIR   build/guest of this repository
#   GUEST_RUN_DIR     one folder per guest: pid, exec.in and exec.out, console.log (kernel), qemu.log
#   GUEST_MODE        server: QEMU listens on SOCKET and the switch connects (default);
#                     client: QEMU connects, and again after 1 s when the switch went away
#   GUEST_MEMORY      MiB (256)            GUEST_CPUS     number of CPUs (1)
#   GUEST_QUEUES      queue pairs (1)      GUEST_NIC      more properties of virtio-net-pci
#   GUEST_MODULES     more kernel modules, with what they depend on ("8021q vxlan bonding")
#   GUEST_PROGRAMS    more programs of this machine, with their libraries ("ip ethtool tcpdump")
#   GUEST_APPEND      more kernel arguments, see guest-init ("vsw.vlan=100 vsw.ipv6=1")
#   GUEST_ACCEL       tcg or kvm; default: what guest_build found to work
#
# In server mode QEMU 7.2 does not start the guest before the switch has connected once.

guest_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${GUEST_BUILD_DIR:=$(cd "$guest_here/../.." && pwd)/build/guest}"
: "${GUEST_RUN_DIR:=${TMPDIR:-/tmp}/vswitch-guests.$UID}"

# kmod and friends are in sbin, which an ordinary user's PATH lacks.
PATH=$PATH:/usr/sbin:/sbin

guest_fail() {
	echo "guest: $*" >&2
	return 1
}

# ---- Building -----------------------------------------------------------------------------------

# Download PACKAGE into the current folder and unpack it into DIR. Nothing is installed.
guest_unpack() {
	local package=$1 dir=$2
	if ! apt-get -qq download "$package" 2>download.log; then
		# The package list may be older than the archive, or missing.
		apt-get -qq update >>download.log 2>&1
		apt-get -qq download "$package" 2>>download.log || {
			guest_fail "cannot download $package: $(tail -n 1 download.log)"
			return 1
		}
	fi
	dpkg-deb -x "${package}"_*.deb "$dir"
}

# Unpack kernel, modules and busybox from Debian's packages into "linux", once.
guest_build_linux() {
	local dir=$GUEST_BUILD_DIR/linux work kernel
	[[ ! -e $dir/complete ]] || return 0
	work=$(mktemp -d "$GUEST_BUILD_DIR/unpack.XXXXXX") || return 1
	(
		cd "$work" || exit 1
		# The metapackage only depends on the kernel that is current.
		apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1 || apt-get -qq update >&2
		kernel=$(apt-cache depends --important linux-image-cloud-amd64 |
			awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
		[[ $kernel ]] || guest_fail "no linux-image-cloud-amd64 in the package lists" || exit 1
		guest_unpack "$kernel" root && guest_unpack busybox-static root || exit 1
		ls root/lib/modules >root/version
		depmod -b "$work/root" "$(<root/version)" || exit 1
		touch root/complete
	) && rm -rf "$dir" && mv "$work/root" "$dir"
	local result=$?
	rm -rf "$work"
	return $result
}

# Copy the programs $2... and the libraries they need below folder $1.
guest_copy_programs() {
	local root=$1 program path library
	shift
	for program in "$@"; do
		path=$(type -P "$program") || guest_fail "no program $program" || return 1
		mkdir -p "$root/usr/local/bin"
		cp -L "$path" "$root/usr/local/bin/" || return 1
		for library in $(ldd "$path" 2>/dev/null | grep -o '/[^ ]*'); do
			mkdir -p "$root$(dirname "$library")"
			cp -L "$library" "$root$library" || return 1
		done
	done
}

# Copy the modules $3..., with all they need, below folder $1; list the load order in file $2.
guest_copy_modules() {
	local root=$1 list=$2 linux=$GUEST_BUILD_DIR/linux paths path name
	shift 2
	paths=$(modprobe -C /dev/null -d "$linux" -S "$(<"$linux/version")" --show-depends -a "$@" |
		awk '$1 == "insmod" { print $2 }')
	[[ $paths ]] || guest_fail "no such kernel module among: $*" || return 1
	mkdir -p "$root/modules" "$(dirname "$list")"
	for path in $paths; do
		name=$(basename "$path" .ko)
		grep -qsx "$name" "$list" && continue
		cp "$path" "$root/modules/" || return 1
		echo "$name" >>"$list"
	done
}

guest_pack() { # FOLDER FILE
	(cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc | gzip -1) >"$2.new" &&
		mv "$2.new" "$2"
}

# Print the name of the initramfs that every guest has, making it when its ingredients changed.
guest_build_base() {
	local linux=$GUEST_BUILD_DIR/linux file work applet
	file=$GUEST_BUILD_DIR/base-$(cat "$guest_here/guest.sh" "$guest_here/guest-init" \
		"$linux/version" "$(type -P iperf3)" | sha256sum | cut -c1-16).gz
	echo "$file"
	[[ ! -e $file ]] || return 0
	work=$(mktemp -d "$GUEST_BUILD_DIR/base.XXXXXX") || return 1
	mkdir -p "$work"/{bin,dev,etc,proc,sys,tmp}
	cp "$linux/bin/busybox" "$work/bin/" && cp "$guest_here/guest-init" "$work/init" &&
		for applet in $("$linux/bin/busybox" --list); do
			[[ $applet == busybox ]] || ln -s busybox "$work/bin/$applet"
		done &&
		guest_copy_programs "$work" iperf3 &&
		guest_copy_modules "$work" "$work/etc/modules.base" virtio_ring virtio \
			virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover \
			net_failover virtio_net virtio_console &&
		rm -f "$GUEST_BUILD_DIR"/{base,extra}-* && guest_pack "$work" "$file"
	local result=$?
	rm -rf "$work"
	return $result
}

# Print the name of a second initramfs with GUEST_MODULES and GUEST_PROGRAMS, unpacked over the
# first one by the kernel; nothing when there are none. It is made when first wanted.
guest_build_extra() {
	local file work program
	local -a modules programs
	read -ra modules <<<"${GUEST_MODULES:-}"
	read -ra programs <<<"${GUEST_PROGRAMS:-}"
	((${#modules[@]} + ${#programs[@]})) || return 0
	file=$GUEST_BUILD_DIR/extra-$({
		echo "${modules[@]}" / "${programs[@]}"
		cat "$guest_here/guest.sh" "$GUEST_BUILD_DIR/linux/version"
		for program in "${programs[@]}"; do stat -L -c %n-%s-%Y "$(type -P "$program")"; done
	} | sha256sum | cut -c1-16).gz
	echo "$file"
	[[ ! -e $file ]] || return 0
	work=$(mktemp -d "$GUEST_BUILD_DIR/extra.XXXXXX") || return 1
	{ ((!${#modules[@]})) ||
		guest_copy_modules "$work" "$work/etc/modules.extra" "${modules[@]}"; } &&
		guest_copy_programs "$work" "${programs[@]}" &&
		guest_pack "$work" "$file"
	local result=$?
	rm -rf "$work"
	return $result
}

# Print "kvm" when a guest comes up on it within seconds, else "tcg". A kernel may offer /dev/kvm
# (nested virtualisation) and yet hang every ordinary guest, so only a try can tell.
guest_try_kvm() {
	local base=$1 work pid result=tcg tries
	[[ -r /dev/kvm && -w /dev/kvm ]] || { echo tcg && return; }
	work=$(mktemp -d "$GUEST_BUILD_DIR/kvm.XXXXXX") || return 1
	qemu-system-x86_64 -accel kvm -cpu host -m 128 -nodefaults -display none -no-reboot \
		-serial "file:$work/console" -chardev null,id=exec \
		-device virtio-serial-pci,vectors=0 -device virtserialport,chardev=exec \
		-kernel "$GUEST_BUILD_DIR"/linux/boot/vmlinuz-* -initrd "$base" \
		-append "console=ttyS0 quiet panic=-1" >"$work/log" 2>&1 &
	pid=$!
	for ((tries = 0; tries < 60; tries++)); do
		if grep -qs 'guest: ready' "$work/console"; then
			result=kvm
			break
		fi
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	rm -rf "$work"
	echo $result
}

guest_build() {
	local program base result
	for program in qemu-system-x86_64 apt-get dpkg-deb depmod modprobe cpio gzip flock iperf3; do
		type -P "$program" >/dev/null ||
			guest_fail "$program is missing (scripts/install-deps.sh demo)" || return 1
	done
	mkdir -p "$GUEST_BUILD_DIR" || return 1
	# One builder at a time: tests run side by side.
	(
		flock 9
		guest_build_linux && base=$(guest_build_base) && guest_build_extra >/dev/null || exit 1
		[[ -e $GUEST_BUILD_DIR/accel ]] ||
			{ guest_try_kvm "$base" >"$GUEST_BUILD_DIR/accel.new" &&
				mv "$GUEST_BUILD_DIR/accel.new" "$GUEST_BUILD_DIR/accel"; }
	) 9>"$GUEST_BUILD_DIR/lock"
}

# ---- Running ------------------------------------------------------------------------------------

guest_pid() {
	local pid
	pid=$(cat "$GUEST_RUN_DIR/$1/pid" 2>/dev/null) &&
		# The id may have gone to another process since.
		grep -qszFx "guest=$1,process=$GUEST_RUN_DIR/$1" "/proc/$pid/cmdline" &&
		echo "$pid"
}

guest_start() {
	(($# >= 4)) || guest_fail "usage: guest_start NAME SOCKET MAC IP [QEMU ARGUMENT...]" || return 2
	local name=$1 ip=$4 dir=$GUEST_RUN_DIR/$1 index base extra mode queues=${GUEST_QUEUES:-1}
	local accel cpu=max listens=""
	local -a sockets macs network=()
	IFS=, read -ra sockets <<<"$2"
	IFS=, read -ra macs <<<"$3"
	shift 4
	! guest_pid "$name" >/dev/null || guest_fail "$name is already running" || return 1
	guest_build || return 1
	base=$(guest_build_base) && extra=$(guest_build_extra) || return 1
	accel=${GUEST_ACCEL:-$(<"$GUEST_BUILD_DIR/accel")}
	[[ $accel != kvm ]] || cpu=host

	mkdir -p "$dir" || return 1
	rm -f "$dir"/{pid,exec.in,exec.out,console.log,qemu.log,initrd}
	mkfifo "$dir/exec.in" "$dir/exec.out"
	ln -s "$base" "$dir/initrd"
	[[ ! $extra ]] || { rm "$dir/initrd" && cat "$base" "$extra" >"$dir/initrd"; } || return 1

	case ${GUEST_MODE:-server} in
	server)
		mode=server=on,wait=off
		# What a killed QEMU left behind would look like the new one's.
		for listens in "${sockets[@]}"; do [[ ! -S $listens ]] || rm "$listens"; done
		;;
	client) mode=reconnect=1 ;;
	*) guest_fail "GUEST_MODE is $GUEST_MODE, neither server nor client" || return 2 ;;
	esac
	for index in "${!sockets[@]}"; do
		[[ ${macs[index]:-} ]] || guest_fail "$name: no MAC for ${sockets[index]}" || return 2
		# vectors=0: with MSI-X QEMU 7.2 crashes when a vhost-user device starts under TCG.
		# romfile=: nothing is booted over the network.
		network+=(-chardev "socket,id=chardev$index,path=${sockets[index]},$mode"
			-netdev "vhost-user,id=net$index,chardev=chardev$index,queues=$queues"
			-device "virtio-net-pci,netdev=net$index,mac=${macs[index]},romfile=,vectors=0$(
				((queues == 1)) || printf ',mq=on'
			)${GUEST_NIC:+,$GUEST_NIC}")
	done

	# A session of its own: Ctrl-C at the terminal is for the script, which then cleans up.
	setsid qemu-system-x86_64 -name "guest=$name,process=$dir" -accel "$accel" -cpu $cpu \
		-m "${GUEST_MEMORY:-256}" -smp "${GUEST_CPUS:-1}" -nodefaults -no-user-config \
		-display none -no-reboot -machine pc,memory-backend=memory \
		-object "memory-backend-memfd,id=memory,size=${GUEST_MEMORY:-256}M,share=on" \
		-serial "file:$dir/console.log" -chardev "pipe,id=exec,path=$dir/exec" -device virtio-serial-pci,vectors=0,max_ports=2 \
		-device virtserialport,chardev=exec \
		-kernel "$GUEST_BUILD_DIR"/linux/boot/vmlinuz-* -initrd "$dir/initrd" \
		-append "console=ttyS0 quiet panic=-1 vsw.name=$name vsw.ip=$ip ${GUEST_APPEND:-}" \
		"${network[@]}" "$@" </dev/null >"$dir/qemu.log" 2>&1 &
	echo $! >"$dir/pid"

	# When this returns QEMU runs, and the switch can connect.
	for ((index = 0; index < 100; index++)); do
		guest_pid "$name" >/dev/null && [[ ! $listens || -S $listens ]] && return 0
		kill -0 "$!" 2>/dev/null || break
		sleep 0.05
	done
	guest_fail "$name does not start: $(tail -n 3 "$dir/qemu.log")"
}

guest_wait() {
	local name=$1 deadline=$((SECONDS + ${2:-60})) dir=$GUEST_RUN_DIR/$1
	until grep -qs 'guest: ready' "$dir/console.log"; do
		if ! guest_pid "$name" >/dev/null; then
			guest_fail "$name ended: $(tail -n 12 "$dir/qemu.log" "$dir/console.log")"
			return 1
		elif ((SECONDS >= deadline)); then
			guest_fail "$name is not up after ${2:-60} s; see $dir/console.log"
			return 1
		fi
		sleep 0.1
	done
}

# The command goes as one line to a virtio serial port, see the end of guest-init; what comes back
# between the two marks is its output. The port ends in two FIFOs that QEMU holds open, so nothing
# is lost between one caller and the next. (An emulated UART does lose interrupts now and then.)
guest_exec() (
	set +e
	name=$1 dir=$GUEST_RUN_DIR/$1 limit=${GUEST_TIMEOUT:-30} id=$BASHPID-$RANDOM
	started="" newline="" status=""
	shift
	guest_pid "$name" >/dev/null || guest_fail "$name is not running" || exit 125
	exec {lock}>"$dir/exec.lock"
	flock -w $((limit + 10)) "$lock" || guest_fail "$name is busy" || exit 125
	# Opened for both, because a FIFO that is opened for one waits for the other side.
	exec {to}<>"$dir/exec.in" {from}<>"$dir/exec.out"
	printf '%s %s %s\n' "$id" "$limit" "$(printf '%s' "$*" | base64 -w 0)" >&"$to"

	# The guest ends the command itself; the host's patience only covers a guest that hangs.
	began=$SECONDS
	while
		patience=$((began + limit + 10 - SECONDS))
		((patience > 0)) && IFS= read -r -t $patience -u "$from" line
	do
		case $line in
		"<<$id begin>>") started=1 ;;
		"<<$id end "*)
			status=${line#*end }
			status=${status%>>}
			break
			;;
		*)
			# What is left of an earlier command that nobody waited for is not ours.
			[[ $started ]] || continue
			printf '%s%s' "$newline" "$line"
			newline=$'\n'
			;;
		esac
	done
	[[ $status ]] || guest_fail "$name does not answer" || exit 125
	if ((status == 137 && SECONDS - began >= limit - 1)); then
		guest_fail "$name: '$*' took longer than $limit s"
		exit 124
	fi
	exit "$status"
)

guest_spawn() {
	local name=$1 file=$2
	shift 2
	guest_exec "$name" "{ $*; } >$file 2>&1 </dev/null & echo \$!"
}

guest_kill() {
	local pid
	pid=$(guest_pid "$1") || guest_fail "$1 is not running" || return 1
	kill -KILL "$pid"
	guest_reap "$pid"
}

# Wait for the end of a process that may or may not be our child.
guest_reap() {
	local tries
	for ((tries = 0; tries < 50; tries++)); do
		[[ -e /proc/$1 && ! $(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null) == Z ]] || break
		sleep 0.1
	done
	((tries < 50)) && { wait "$1" 2>/dev/null || true; }
}

guest_stop() {
	local name pid dir
	(($#)) || for dir in "$GUEST_RUN_DIR"/*/pid; do
		[[ -e $dir ]] && set -- "$@" "$(basename "$(dirname "$dir")")"
	done
	# All at once, then wait: QEMU ends by itself within moments.
	for name in "$@"; do
		pid=$(guest_pid "$name") && kill "$pid"
	done
	for name in "$@"; do
		if pid=$(guest_pid "$name") && ! guest_reap "$pid"; then
			kill -KILL "$pid"
			guest_reap "$pid"
		fi
		rm -f "$GUEST_RUN_DIR/$name"/{pid,exec.in,exec.out,initrd}
	done
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	case ${1:-} in
	build | start | wait | exec | spawn | pid | kill | stop) "guest_$1" "${@:2}" ;;
	*)
		sed -n '2,/^$/ s/^# \{0,1\}//p' "$0"
		exit 2
		;;
	esac
fi
