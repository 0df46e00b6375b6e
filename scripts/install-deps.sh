#!/bin/bash
# Install what is missing of the Debian packages for GROUP...: build, demo, test, bench.
# With nothing missing it does nothing, needs no network and no root. "-n" only lists.
set -eu

# libdpdk-dev depends on every DPDK library and driver (librte-net-pcap23, -null23, -af-xdp23, ...),
# the drivers' own libraries and the headers pkg-config asks for: nothing of it needs naming here.
declare -A groups
groups[build]="build-essential pkg-config libdpdk-dev libpcap-dev libnl-3-dev libnl-route-3-dev
	libevent-dev libssl-dev libjansson-dev libsqlite3-dev"

# The guests' kernel and busybox are not installed: tests/vm/guest.sh unpacks them into build/guest.
groups[demo]="qemu-system-x86 cpio iperf3 kmod"

groups[test]="${groups[demo]} clang clang-format libclang-rt-14-dev libcmocka-dev cppcheck codespell
	shellcheck dpdk-dev socat iproute2 ethtool tcpdump iputils-ping procps sqlite3 jq man-db python3"

# What the benchmark compares with. The packages' services are not wanted (see below).
groups[bench]="openvswitch-switch-dpdk dpdk-dev python3 iproute2 iputils-ping"

usage() {
	echo "usage: $0 [-n] build|demo|test|bench..." >&2
	exit 2
}

list_only=
if [[ ${1:-} == -n ]]; then
	list_only=1
	shift
fi
(($#)) || usage

wanted=()
for group in "$@"; do
	[[ ${groups[$group]:-} ]] || usage
	read -ra packages -d '' <<<"${groups[$group]}" || true
	wanted+=("${packages[@]}")
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	echo "This is not Debian, so nothing is installed. Under Debian's names this needs:" >&2
	echo "  ${wanted[*]}" >&2
	exit 0
fi

missing=()
for package in "${wanted[@]}"; do
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
		missing+=("$package")
done
((${#missing[@]})) || exit 0

if [[ $list_only ]]; then
	printf '%s\n' "${missing[@]}"
	exit 0
fi
if ((UID)); then
	echo "These packages are missing, and only root can install them:" >&2
	echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
policy=/usr/sbin/policy-rc.d made_policy=
trap 'rm -f "$log"; [[ ! $made_policy ]] || rm -f "$policy"' EXIT
run() {
	"$@" >"$log" 2>&1 && return
	tail -n 20 "$log" >&2
	echo "failed: $*" >&2
	exit 1
}

# Services that come with packages are neither started now nor when the machine starts, unless they
# were there before: the benchmark runs programs of its own.
services=()
if [[ " ${missing[*]} " == *" openvswitch-"* ]]; then
	for service in openvswitch-switch ovs-vswitchd ovsdb-server dpdk; do
		[[ -e /lib/systemd/system/$service.service ]] || services+=("$service")
	done
	if [[ ! -e $policy ]]; then
		made_policy=1
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
fi

echo "Installing with apt: ${missing[*]}"
run apt-get -q update
run apt-get -q install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}"
if ((${#services[@]})) && command -v systemctl >/dev/null; then
	systemctl disable "${services[@]}" >/dev/null 2>&1 || true
fi
