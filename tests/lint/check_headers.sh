#!/bin/bash
# Does every header compile alone? What to do: include in it what it uses.
set -eu
cd "$(dirname "$0")/../.."

# DPDK's headers are system headers to us, as in the Makefile.
read -ra flags < <(pkg-config --cflags libdpdk libevent jansson sqlite3 libnl-route-3.0 libpcap |
	sed 's/-march=[^ ]*//; s/-I/-isystem /g')
export CHECK_FLAGS="-std=gnu17 -Wall -Wextra -Werror -I. -D_GNU_SOURCE -DALLOW_EXPERIMENTAL_API \
	-march=x86-64-v2 ${flags[*]}"

check() {
	local output

	# shellcheck disable=SC2086 # a list of words
	output=$(echo "#include \"$1\"" | ${CC:-gcc} $CHECK_FLAGS -fsyntax-only -x c - 2>&1) && return
	echo "$1 does not compile alone:"
	head -n 5 <<<"$output"
	return 1
}
export -f check

tests/lint/files.sh '*.h' | xargs -P "$(nproc)" -I{} bash -c 'check {}'
