"""What a guest gets, beside what the host's own stack gives: TCP, small packets, round trips.

Two tables: host to host and host to guest against native, and guest to guest with what a byte and a
packet cost the switch. One round measures each way once, so all are interleaved; medians count.
"""

import json
import os
import shutil
import statistics
import subprocess
import time

import copies
import peers
import report_guests
import setups
from workload import CACHE, HERE, say

SETTLE = 0.3  # seconds after a stopped setup goes on
SMALL_BYTES = 18  # of a datagram in the smallest frame
FAILURES = (peers.Failure, OSError, ValueError, KeyError, IndexError, TypeError)
FAR, GUEST = "far", "vm1"
# What is measured of a way: name, streams of TCP or 0, from near or to it.
RATES = (("tcp in 1", 1, False), ("tcp out 1", 1, True), ("tcp in 4", 4, False),
         ("tcp out 4", 4, True))
SLOW = (setups.OursWithout, setups.OvsWithout)  # not part of a quick run
SMALL = ("udp in", "udp out", "rr")


def build_netload():
    path, source = os.path.join(CACHE, "netload"), os.path.join(HERE, "netload.c")
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(source):
        os.makedirs(CACHE, exist_ok=True)
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", path, source], check=True)
    return path


def tcp_command(address, seconds, streams, reverse):
    return ["iperf3", "-J", "-c", address, "-p", str(setups.TCP), "-t", "%d" % max(1, round(seconds)),
            "-P", str(streams), "--connect-timeout", "5000"] + (["-R"] if reverse else [])


def tcp_bytes(text):
    """(bits per second that arrived, their bytes)"""
    received = json.loads(text)["end"]["sum_received"]
    return received["bits_per_second"], received["bytes"]


def measure_host(setup, target, what, seconds):
    """A number, or for round trips what netload says of them."""
    address = setups.ADDRESSES[target]
    for name, streams, reverse in RATES:
        if name == what:
            return tcp_bytes(setup.inside("near", *tcp_command(address, seconds, streams, reverse),
                                          timeout=seconds + 20))[0]
    answer = json.loads(setup.inside(
        "near", setup.netload, what.replace(" ", "-"), address, str(setups.SMALL), "%g" % seconds,
        str(SMALL_BYTES), timeout=seconds + 20))
    return answer if what == "rr" else answer["rate"]


def measure_pair(setup, seconds):
    """TCP from guest to guest: (bits per second, bytes)"""
    return tcp_bytes(setup.guest("vm1", " ".join(tcp_command(
        setups.ADDRESSES["vm2"], seconds, 1, False)), seconds + 20))


def measure_cost(setup, seconds):
    """What the switch did meanwhile, with guests on another core than it: a guest that is woken up
    would else take the switch's core just while that is busy."""
    setup.confine_guests({0})
    try:
        before = (*setup.cycles(), *setup.schedule())
        _, count = measure_pair(setup, seconds)
        after = (*setup.cycles(), *setup.schedule())
    finally:
        setup.confine_guests(os.sched_getaffinity(0))
    busy, packets, ran, waited = (b - a for a, b in zip(before, after))
    # Its clock ran on while the worker did not have its core: as often when busy as when idle.
    busy *= ran / (ran + waited) if ran + waited > 0 else 1
    if packets <= 0 or count <= 0:
        raise peers.Failure("nothing was counted")
    return {"cycles/byte": busy / count, "cycles/packet": busy / packets,
            "bytes/packet": count / packets}


class Guests:
    def __init__(self, options, directory, core, image, netload):
        self.options, self.dir, self.core = options, directory, core
        self.image, self.netload = image, netload
        self.alive, self.failures, self.values = [], {}, {}

    def start(self):
        for kind in setups.KINDS:
            if (self.options.no_ovs and kind.name.startswith("ovs")) or (
                    self.options.quick and kind in SLOW):
                continue
            setup = kind(os.path.join(self.dir, kind.name), self.core, self.image, self.netload)
            self.alive.append(setup)
            begun = time.monotonic()
            try:
                setup.start()
                setup.stop()
                say("    %s: ready after %.1f s" % (kind.title, time.monotonic() - begun))
            except FAILURES as failure:
                self.fail(setup, "", failure)
                self.alive.remove(setup)
                setup.end()

    def fail(self, setup, what, failure):
        text = "%s%s: %s" % (setup.title, what and ", " + what, failure)
        say("    failed: " + text)
        self.failures[setup.name + " " + what] = text

    def measure(self, setup, what, function, *words):
        """One number more in its list. What failed once is tried again in the next round."""
        try:
            value = function(*words)
        except FAILURES as failure:
            self.fail(setup, what, failure)
            return
        self.values.setdefault(setup.name, {}).setdefault(what, []).append(value)
        shown = value if isinstance(value, dict) else {"": value}
        say("    %s, %s: %s" % (setup.title, what, " ".join(
            "%s %.4g" % (name, number) for name, number in shown.items())))

    def run_round(self):
        wanted = [what for what, streams, _ in RATES
                  if streams == 1 or not self.options.quick] + list(SMALL)
        seconds = self.options.seconds
        for target in (FAR, GUEST):
            for what in wanted:
                for setup in self.alive:
                    if setup.hosts and (setup.guests or target == FAR):
                        self.one(setup, "%s %s" % (target, what), measure_host, setup, target, what,
                                 seconds if what in dict((r[0], 0) for r in RATES)
                                 else min(seconds, 1))
        for setup in self.alive:
            if setup.guests:
                self.one(setup, "pair", lambda setup=setup: measure_pair(setup, seconds)[0])
            if setup.guests and setup.cycles:
                self.one(setup, "cost", measure_cost, setup, seconds)

    def one(self, setup, what, function, *words):
        setup.resume()
        time.sleep(SETTLE)
        self.measure(setup, what, function, *words)
        setup.stop()

    def end(self):
        for setup in self.alive:
            setup.end()
        self.alive = []

    def result(self):
        medians = {}
        for name, values in self.values.items():
            medians[name] = {what: median(found) for what, found in values.items()}
        return {"titles": {kind.name: kind.title for kind in setups.KINDS}, "medians": medians,
                "values": self.values, "failures": sorted(self.failures.values())}


def median(found):
    if not isinstance(found[0], dict):
        return statistics.median(found)
    return {name: statistics.median([one[name] for one in found if name in one])
            for name in set().union(*found)}


def run_all(names, options, directory, core, done):
    """`names`: tables and copies, either or, without any, both."""
    begun = time.monotonic()
    if not names or "tables" in names:
        setups.missing_programs()
        netload = build_netload()
        say("guests: what joins them is started, with two guests each")
        run = Guests(options, directory, core, setups.Image(netload, directory), netload)
        try:
            run.start()
            for number in range(options.rounds):
                say("round %d of %d, after %.0f s" % (number + 1, options.rounds,
                                                     time.monotonic() - begun))
                run.run_round()
        finally:
            run.end()
            result = dict(run.result(), name="tables")
            if result["medians"]:
                done(result)
                say("\n".join(report_guests.text(result)))
    if not names or "copies" in names:
        say("copies: cycles of vhost's receiving and sending, by size")
        here = os.path.join(directory, "copies")
        os.makedirs(here)
        try:
            result = dict(copies.run_all(options, here), name="copies")
            if result["rows"]:
                done(result)
                say("\n".join(report_guests.text(result)))
        finally:
            shutil.rmtree(here, ignore_errors=True)
    say("guests: %.0f s" % (time.monotonic() - begun))
