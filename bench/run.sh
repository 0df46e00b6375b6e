#!/bin/bash
# The switch beside OVS-DPDK and testpmd; bench/README.md explains the options.
#
#   bench/run.sh [OPTION]... [WORKLOAD...]           rates, workload by workload
#   bench/run.sh [OPTION]... curves [CURVE...]       rates as flows, rules, masks, tables, changes grow
#   bench/run.sh [OPTION]... stages [WORKLOAD...]    where our cycles go, with make PROFILE=1
#   bench/run.sh [OPTION]... guests [tables|copies]  TCP of hosts and guests (QEMU), what copies cost
#
#   --quick  --rounds N  --seconds S  --patience N  --native PROGRAM  --no-ovs  --write  --render
#
# Results go to build/bench*.json, with --write to docs/BENCHMARKS.md and docs/benchmarks, too.
# Workloads and curves are the files of bench/workloads and bench/curves; with none named, all run
# (--quick: those that say so).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for program in dpdk-testpmd python3 gcc; do
	command -v "$program" >/dev/null || {
		echo "$program is missing: scripts/install-deps.sh build bench" >&2
		exit 1
	}
done
[[ -x $here/../${BUILD:-build}/vswitchd ]] || {
	echo "vswitchd is not built: make" >&2
	exit 1
}
[[ " $* " != *" stages "* || -x $here/../${BUILD:-build}/profile/vswitchd ]] || {
	echo "the vswitchd that counts cycles is not built: make PROFILE=1" >&2
	exit 1
}
PYTHONDONTWRITEBYTECODE=1 exec python3 "$here/compare.py" "$@"
