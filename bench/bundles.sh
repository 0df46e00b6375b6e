#!/bin/bash
# Bundles and changes per second for bundles of 1, 100 and 10000 changes, beside the same lists that
# are no bundles, while packets pass; and the packets that were lost meanwhile (there should be none).
#
#   sudo bench/bundles.sh [SIZE...]      SECONDS_EACH=3
set -u -o pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/lib.sh
. "$here/tests/lib.sh"
each=${SECONDS_EACH:-3}
lib_start bench-bundles

a=$(space a) b=$(space b)
spaces=("$a" "$b")
bridge=bb$$ pa=a$$ pb=b$$
must "vswitchd starts" start_switch
must "a bridge" vsctl add-br "$bridge"
must "port a" port_in_space "$bridge" "$pa" "$a" 10.0.0.1/24
must "port b" port_in_space "$bridge" "$pb" "$b" 10.0.0.2/24
must "packets pass" within 10 pings "$a" 10.0.0.2
# Every packet passes the tables that change, and no flow there is its own.
must "... through the tables" vsctl add-flow "$bridge" \
	"priority=1,actions=resubmit(,20),resubmit(,21),NORMAL"
ip netns exec "$a" ping -q -f -W 3 10.0.0.2 >"$dir/ping" 2>&1 &
children+=($!)
check "all were accepted" python3 "$here/bench/bundles.py" "$dir/run/vswitchd.sock" "$bridge" \
	"$each" "$@"
sed 's/^/# /' "$dir/output"
kill -INT "${children[@]}"
wait "${children[@]}"
children=()
# One may be under way when ping ends.
note "$(grep transmitted "$dir/ping")"
grep -E "min|ipg" "$dir/ping" | sed 's/^/# /'
check "no packet was lost" at_least 1 \
	"$(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 - \2/p' "$dir/ping" | bc)"
