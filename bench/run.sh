#!/bin/bash
# The switch beside OVS-DPDK and testpmd, workload by workload.
#
#   bench/run.sh [--quick] [--write] [--rounds N] [--seconds S] [--patience N] [--no-ovs]
#                [WORKLOAD...]
#
# Results go to build/bench.json, with --write to docs/BENCHMARKS.md too. Workloads are the files of
# bench/workloads; with none named, all run (--quick: those that say so).
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
PYTHONDONTWRITEBYTECODE=1 exec python3 "$here/compare.py" "$@"
