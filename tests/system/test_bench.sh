#!/bin/bash
# The benchmark's own tools, without measuring anything: what is mistyped, what is kept, pictures,
# the cycles of stages.
set -u -o pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
lib_start bench
command -v dpdk-testpmd >/dev/null || skip "dpdk-testpmd is not installed"
command -v gcc >/dev/null || skip "gcc is not installed"
bench=$lib_root/bench
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$bench

# refused PATTERN ARGUMENT...: run.sh says what is wrong and measures nothing.
refused() {
	local pattern=$1
	shift
	if "$bench/run.sh" "$@" >"$dir/refusal" 2>&1 || ! grep -qE "$pattern" "$dir/refusal"; then
		cat "$dir/refusal"
		return 1
	fi
}

check "an unknown workload is refused with a list" refused "no workload 'fife'.*five-100 " fife
check "an unknown curve is refused with a list" refused "the curves are: flows rules" curves flaws
check "no rounds at all are refused" refused "more than 0" --rounds 0 port-1k
check "a window of no length is refused" refused "more than 0" --seconds 0 port-1k
check "a native OVS that is not there is refused" refused "is no program" --native /nowhere port-1k

every_file_is_listed() { # FOLDER
	diff <(sort "$bench/$1/ORDER") <(cd "$bench/$1" && printf '%s\n' ./*.conf | sed 's:./::; s:.conf::' | sort)
}
check "ORDER names every workload" every_file_is_listed workloads
check "ORDER names every curve" every_file_is_listed curves

# ---- What is kept -------------------------------------------------------------------------------

cat >"$dir/kept.py" <<'END'
import argparse
import json
import sys
import xml.etree.ElementTree

import curves
import report
import results

results.KEPT, results.PAGE = sys.argv[1] + "/benchmarks/results.json", sys.argv[1] + "/page.md"
results.BUILD = sys.argv[1]
options = argparse.Namespace(kind=None, write=True, rounds=1, seconds=0.5)


class Any:
    """A workload of which only its warm-up time is asked."""
    warm = 1

    def get(self, _key, default=None):
        return default


def row(name, rate):
    rates = {"testpmd": [4e7], "ours": [rate], "ovs default": [1e7]}
    return report.summarize({
        "name": name, "title": "title of " + name, "about": "about", "failures": {}, "rates": rates,
        "sent": {key: [1.0] for key in rates}, "time_to_80": {"ours": 20.0}}, Any(), 2000, [])


def keep(kind, *entries):
    options.kind = kind
    store = results.Store(options, 2000)
    for entry in entries:
        store.add(entry)
    store.finish()
    with open(results.PAGE) as page:
        return page.read()


page = keep(None, row("port-1k", 2e7), row("five-100", 1e7))
assert "| title of port-1k | 20.00 |" in page and "| title of five-100 | 10.00 |" in page, page
with open(results.PAGE, "w") as out:
    out.write(page.replace("## Workloads", "## Why\n\n- Because.\n\n## Workloads"))
page = keep(None, row("five-100", 3e7))
assert "| title of port-1k | 20.00 |" in page and "| title of five-100 | 30.00 |" in page, page
assert page.index("of port-1k") < page.index("of five-100"), page
assert page.count("## Why\n\n- Because.\n") == 1, page
points = [{"x": x, "asked": x, "rate": rate} for x, rate in ((1, 4e6), (10, 5e6), (100, 3e6))]
curve = {"name": "flows", "title": "A & B", "about": "about", "axis": "flows", "scale": ["log", "log"],
         "series": {"ours": points, "OVS-DPDK": points[:2]}, "notes": [],
         "summary": {"ours": curves.summary(points)}}
page = keep("curves", curve)
assert "| ours | 5.00 | 3.00 | 60 % | 40 % | 10 | 100 |" in page, page
assert "benchmarks/flows.svg" in page and "- Because." in page, page
picture = xml.etree.ElementTree.parse(sys.argv[1] + "/benchmarks/flows.svg").getroot()
assert picture.tag.endswith("svg"), picture.tag
assert sum(element.tag.endswith("circle") for element in picture.iter()) == 5
page = keep("stages", {"name": "five-100", "title": "five", "per_burst": 32.0,
                       "cycles": {"parse": 20.0, "lookup": 40.0}, "entries": {"lookup": 5.0}})
assert "| five | 32 | 5.0 | 60 | 20 | 40 |" in page, page
assert page == keep("stages"), "the same again"
with open(results.KEPT) as kept:
    assert set(json.load(kept)) == {"machine", "workloads", "curves", "stages"}
END
check "named rows alone are replaced; what is written by hand stays" \
	python3 "$dir/kept.py" "$dir"

# ---- What is replayed ---------------------------------------------------------------------------

cat >"$dir/replayed.py" <<'END'
import ctypes
import os
import subprocess
import sys

import peers
import traffic

directory, bench = sys.argv[1:]
subprocess.run(["gcc", "-O1", "-D_GNU_SOURCE", "-fPIC", "-shared", "-o", directory + "/replay.so",
                bench + "/replay.c"], check=True)
capture = directory + "/capture"
traffic.make_trace(capture, "five", ["packets=20", "flows=20"])
control = peers.Control(directory + "/control")
control.set(True, capture, 0)
os.environ["REPLAY_CONTROL"] = control.path
shim = ctypes.CDLL(directory + "/replay.so")
shim.pcap_open_offline.restype = shim.pcap_next.restype = ctypes.c_void_p
header = ctypes.create_string_buffer(24)
pcap = ctypes.c_void_p(shim.pcap_open_offline(capture.encode(), ctypes.create_string_buffer(256)))


def packets(count):
    found = set()
    for _ in range(count):
        at = shim.pcap_next(pcap, header)
        if at:
            frame = ctypes.string_at(at, 60)
            words = [int.from_bytes(frame[i:i + 2], "big") for i in range(18, 38, 2)]
            total = sum(words)
            assert (total & 0xffff) + (total >> 16) == 0xffff, "a checksum is wrong"
            found.add(frame)
    return found


assert not packets(10), "silence"
control.set(False)
assert len(packets(100)) == 20
for flows in (1, 7, 400, 1000):
    control.set(False, flows=flows)
    assert len(packets(flows * 30)) == flows, flows
END
check "so many flows are replayed as asked, with right checksums" \
	python3 "$dir/replayed.py" "$dir" "$bench"

# ---- Cycles of stages ---------------------------------------------------------------------------

must "vswitchd starts" start_switch
check "a build without PROFILE says how to make one" \
	grep -q "make PROFILE=1" <<<"$(vsctl profile 2>&1)"
check "... and fails" fails vsctl profile
if [[ ! -x $build/profile/vswitchd ]]; then
	note "build/profile/vswitchd is not built: vsctl profile is not tested"
	exit
fi
check "the switch stops" stop_switch
PATH=$build/profile:$PATH
must "a build with PROFILE starts" start_switch
stages() { # [OPTION...]
	vsctl --json profile "$@" | jq -r '.workers[0].stages[].stage'
}
check "it tells each stage" equal "$(stages | wc -l)" "$(grep -c '^STAGE(' "$lib_root/datapath/profile.def")"
check "... and after --reset, too" equal "$(stages --reset)" "$(stages)"
check "... and as text" grep -q "^worker-0: packets=0, bursts=0" <<<"$(vsctl profile)"
