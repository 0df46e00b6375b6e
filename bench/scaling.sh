#!/bin/bash
# What a second worker adds, beside what a second core adds to testpmd: see scaling.py.
#
#   bench/scaling.sh [--rounds N] [--seconds S] [--cores A,B] [WORKLOAD...]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
command -v dpdk-testpmd >/dev/null || {
	echo "dpdk-testpmd is missing: scripts/install-deps.sh build bench" >&2
	exit 1
}
(($(nproc) >= 2)) || {
	echo "two cores are needed" >&2
	exit 1
}
PYTHONDONTWRITEBYTECODE=1 exec python3 "$here/scaling.py" "$@"
