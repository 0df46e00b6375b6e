"""Where our cycles go, workload by workload: what the profile build (make PROFILE=1) counts."""

import json
import os
import shutil
import time

import measure
import peers
import vhost
from workload import BUILD, say

DIRECTORY = os.path.join(BUILD, "profile")


def read(peer, *words):
    answer = json.loads(peer.vsctl("--json", "profile", *words))
    return answer["workers"][0]


def run_one(workload, options, directory, core, shim, mhz):
    kind = vhost.kinds(int(workload.vhost))[1] if workload.vhost else peers.Ours
    peer = kind(os.path.join(directory, "ours"), core)
    try:
        rules, groups = workload.make_rules(directory)
        peer.start(workload.make_traffic(shim, mhz), rules, groups, workload.get("mac-table"))
        measure.warm_up(peer, min(workload.warm, 3), 1.0)
        read(peer, "--reset")
        before = time.monotonic_ns(), peer.schedule()[1]
        time.sleep(options.seconds * options.rounds)
        counts, after = read(peer), (time.monotonic_ns(), peer.schedule()[1])
    finally:
        peer.end()
    packets, bursts = max(1, counts["packets"]), max(1, counts["bursts"])
    # The clock ran on while the worker did not have its core: as often in one stage as in another.
    had_core = max(0, 1 - (after[1] - before[1]) / (after[0] - before[0]))
    return {
        "name": workload.name, "title": workload.title, "per_burst": packets / bursts,
        "cycles": {stage["stage"]: had_core * stage["cycles"] / packets
                   for stage in counts["stages"]},
        "entries": {stage["stage"]: stage["entries"] / bursts for stage in counts["stages"]}}


def run_all(workloads, options, directory, core, shim, mhz, done):
    os.environ["PATH"] = "%s:%s" % (DIRECTORY, os.environ["PATH"])
    for number, workload in enumerate(workloads, 1):
        say("%d/%d cycles of stages: %s" % (number, len(workloads), workload.title))
        here = os.path.join(directory, "stages-" + workload.name)
        os.makedirs(here)
        try:
            result = run_one(workload, options, here, core, shim, mhz)
        except (peers.Failure, OSError, ValueError, KeyError, IndexError) as failure:
            say("    failed: %s" % failure)
            continue
        finally:
            shutil.rmtree(here, ignore_errors=True)
        say("    %.0f cycles a packet: %s" % (sum(result["cycles"].values()), ", ".join(
            "%s %.0f" % (name, value) for name, value in result["cycles"].items() if value >= 0.5)))
        done(result)
