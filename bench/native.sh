#!/bin/bash
# Builds Open vSwitch for this machine's processor, from the sources of Debian's package, for
# bench/run.sh --native: the packaged one must run on any x86-64.
#
#   bench/native.sh           build/bench/ovs-native/ovs-vswitchd; does nothing if that is there
#
# Takes some ten minutes of one core. What the build needs is installed as for the package, with apt.
set -eu -o pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
out=$here/${BUILD:-build}/bench/ovs-native
work=$here/${BUILD:-build}/bench/ovs-source
[[ ! -x $out/ovs-vswitchd ]] || exit 0
((!UID)) || {
	echo "This needs root: it installs what the build needs." >&2
	exit 1
}
version=$(dpkg-query -W -f '${Version}' openvswitch-switch-dpdk 2>/dev/null) || {
	echo "openvswitch-switch-dpdk is missing: scripts/install-deps.sh bench" >&2
	exit 1
}
mkdir -p "$work" "$out"
log=$work/log
sources=$work/sources.list
lists=$work/lists
step() { # WHAT COMMAND...
	echo "$1"
	shift
	"$@" >"$log" 2>&1 && return
	tail -n 20 "$log" >&2
	echo "failed: $*" >&2
	exit 1
}

# The machine's package sources with those of source packages added, seen by this script alone.
# shellcheck disable=SC2016 # apt expands it
describe_sources() {
	local uri suite parts

	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		sort -u | while read -r uri suite parts; do
		printf 'deb-src %s %s %s\n' "$uri" "$suite" "$parts"
	done
}
fetch() {
	mkdir -p "$lists/partial"
	describe_sources >"$sources"
	set -- -q -o "Dir::Etc::sourcelist=$sources" -o Dir::Etc::sourceparts=- \
		-o "Dir::State::lists=$lists" -o APT::Sandbox::User=root
	apt-get "$@" update
	(cd "$work" && apt-get "$@" --only-source -d source "openvswitch=$version")
}
unpack() {
	rm -rf "$work/ovs"
	(cd "$work" && dpkg-source --no-check -x openvswitch_*.dsc ovs)
}
configure() {
	cd "$work/ovs"
	[[ -x configure ]] || ./boot.sh
	mkdir -p native && cd native
	../configure --with-dpdk=shared --disable-libcapng CFLAGS="-O3 -march=native -g0"
}
compile() {
	make -C "$work/ovs/native" -j"$(nproc)" vswitchd/ovs-vswitchd
}
keep() {
	"$work/ovs/native/vswitchd/ovs-vswitchd" --version
	cp "$work/ovs/native/vswitchd/ovs-vswitchd" "$out/ovs-vswitchd.new"
	mv "$out/ovs-vswitchd.new" "$out/ovs-vswitchd"
	rm -rf "$work"
}

install_tools() {
	apt-get -q update
	DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends dpkg-dev \
		autoconf automake libtool build-essential libdpdk-dev libssl-dev libnuma-dev python3
}

step "Installing what the build needs" install_tools
step "Fetching the sources of openvswitch $version" fetch
step "Unpacking" unpack
step "Configuring" configure
step "Compiling" compile
step "Keeping $out/ovs-vswitchd" keep
