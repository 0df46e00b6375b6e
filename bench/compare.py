#!/usr/bin/env python3
"""The switch beside OVS-DPDK and testpmd's bare forwarding, workload by workload.

Usage: compare.py [--quick] [--rounds N] [--seconds S] [--write] [WORKLOAD...]

Each workload is a file of bench/workloads; see bench/README.md.
"""

import argparse
import configparser
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import peers
import report
import traffic

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.path.join(HERE, "..", os.environ.get("BUILD", "build")))
SETTLE = 0.1  # seconds after a stopped switch goes on, before it is measured
STEP = 0.1  # seconds between looks at a switch that warms up


def say(text):
    print(text, flush=True)


def tsc_mhz():
    with open("/proc/cpuinfo") as info:
        return float(next(line for line in info if line.startswith("cpu MHz")).split(":")[1])


class Workload:
    def __init__(self, name, patience):
        path = os.path.join(HERE, "workloads", name + ".conf")
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
        parser.optionxform = str
        if not parser.read(path):
            known = sorted(file[:-5] for file in os.listdir(os.path.join(HERE, "workloads")))
            sys.exit("no workload '%s'; there are: %s" % (name, " ".join(known)))
        self.name = name
        self.get = parser["workload"].get
        self.title, self.about = self.get("title"), self.get("about")
        self.quick = self.get("quick", "no") == "yes"
        self.warm = float(self.get("warm", "2")) * patience

    def cached(self, words):
        """A capture, made once."""
        path = os.path.join(BUILD, "bench", "-".join(words).replace("=", "") + ".pcap")
        stamp = os.path.getmtime(traffic.__file__)
        if not os.path.exists(path) or os.path.getmtime(path) < stamp:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            traffic.make_trace(path + ".new", words[0], words[1:])
            for end in ("", ".back"):
                if os.path.exists(path + ".new" + end):
                    os.replace(path + ".new" + end, path + end)
            os.utime(path)
        return path

    def make_traffic(self, shim, mhz):
        words = self.get("traffic").split()
        path = self.cached(words)
        captures = [path] + ([path + ".back"] if os.path.exists(path + ".back") else [])
        attack = self.get("attack")
        if attack:
            attack = (self.cached(attack.split()), self.get("attack-rate"))
        mode = {"unique": "unique"}.get(self.get("replay"), "loop")
        packets = int(traffic.options_of(words[1:]).get("packets", 4096))
        made = peers.Traffic(captures, packets, mode, attack, shim, mhz)
        if self.get("replay") == "yes":
            made = peers.Traffic(captures, 1 << 30, mode, attack, shim, mhz)
        return made

    def make_rules(self, directory):
        """The files of flows and, or None, groups."""
        rules, groups = os.path.join(directory, "flows"), None
        with open(rules, "w") as out:
            out.write(self.get("flows", "").strip() + "\n")
            source = self.get("flows-from")
            if source:
                words = source.split()
                out.writelines(line + "\n" for line in traffic.make_rules(words[0], words[1:]))
        if self.get("group"):
            words = self.get("buckets-from").split()
            groups = os.path.join(directory, "groups")
            with open(groups, "w") as out:
                out.write(",".join([self.get("group"), *traffic.make_rules(words[0], words[1:])]))
                out.write("\n")
        return rules, groups


def rate_between(a, b):
    """(packets a second that the thread had its core, share that was sent on)"""
    seconds = (b[0] - a[0] - (b[1] - a[1])) / 1e9
    received = b[2] - a[2]
    if seconds <= 0:
        return 0.0, None
    return received / seconds, (b[3] - a[3]) / received if received else None


def seconds_steady(rates):
    """For how long the rate has neither risen nor swung, by rates taken every STEP."""
    for count in range(len(rates), 9, -1):
        last = rates[-count:]
        third = count // 3
        if 0 < max(last) < 1.2 * min(last) and statistics.median(
                last[-third:]) < 1.01 * statistics.median(last[:third]):
            return count * STEP
    return 0


class Run:
    """One workload on all peers."""

    def __init__(self, workload, options, directory, core, shim, mhz):
        self.workload, self.options, self.dir = workload, options, directory
        self.core, self.shim, self.mhz = core, shim, mhz
        self.steady = max(1.5, workload.warm / 4)
        self.alive = []
        self.row = {"name": workload.name, "title": workload.title, "about": workload.about,
                    "failures": {}, "rates": {}, "sent": {}, "time_to_80": {}}

    def start(self, kind):
        peer = kind(os.path.join(self.dir, kind.name), self.core)
        self.alive.append(peer)
        try:
            peer.start(self.traffic, self.rules, self.groups,
                       self.workload.get("mac-table"))
        except (peers.Failure, OSError, ValueError, KeyError) as failure:
            self.fail(peer, peer.name, failure)
            return None
        return peer

    def fail(self, peer, name, failure):
        say("    %s failed: %s" % (name, failure))
        self.row["failures"][name] = str(failure)
        if peer in self.alive:
            self.alive.remove(peer)
        peer.end()

    def warm_up(self, peer, seconds):
        """Samples from its first packet on; ends early when the rate has been steady for a while."""
        samples, rates = [peer.sample()], []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(STEP)
            samples.append(peer.sample())
            rates.append(rate_between(samples[-2], samples[-1])[0])
            if seconds_steady(rates) >= self.steady:
                break
        return samples

    def time_to_80(self, peer, samples, final):
        """Milliseconds from the arrival of packets until the rate is four fifths of the last."""
        start = next((a[0] for a, b in zip(samples, samples[1:]) if b[2] > 0), None)
        for a, b in zip(samples, samples[1:]):
            if start and rate_between(a, b)[0] >= 0.8 * final:
                return (a[0] - peer.started) / 1e6
        return None

    def measure(self, peer):
        peer.resume()
        time.sleep(SETTLE)
        first = peer.sample()
        time.sleep(self.options.seconds)
        last = peer.sample()
        peer.stop()
        return rate_between(first, last)

    def windows(self, group):
        """Measure peers in turns; rates by name."""
        for _ in range(self.options.rounds):
            for name, peer in group:
                if name in self.row["failures"]:
                    continue
                try:
                    rate, sent = self.measure(peer)
                except (peers.Failure, OSError, ValueError, KeyError) as failure:
                    self.fail(peer, name, failure)
                    continue
                self.row["rates"].setdefault(name, []).append(rate)
                self.row["sent"].setdefault(name, []).append(sent)

    def warm_and_stop(self, peer, name, seconds):
        try:
            samples = self.warm_up(peer, seconds)
            peer.stop()
            return samples
        except (peers.Failure, OSError, ValueError, KeyError) as failure:
            self.fail(peer, name, failure)
            return None

    def run(self):
        workload = self.workload
        self.traffic = workload.make_traffic(self.shim, self.mhz)
        self.row["replayed"] = not self.traffic.infinite
        self.rules, self.groups = workload.make_rules(self.dir)
        floor, ours, ovs, early = None, None, None, {}
        floor = self.start(peers.Floor)
        if floor:
            floor.stop()
        ours = self.start(peers.Ours)
        if ours:
            early["ours"] = self.warm_and_stop(ours, "ours", min(workload.warm, 3))
        if not self.options.no_ovs:
            ovs = self.start(peers.Ovs)
        base = [(peer.name, peer) for peer in (floor, ours) if peer]
        if not ovs:
            self.windows(base)
        else:
            settings = list(peers.Ovs.settings)
            if self.options.quick:
                settings.remove("smc")
            for setting in settings:
                name = "ovs " + setting
                if ovs not in self.alive:
                    break
                if setting != settings[0]:
                    ovs.resume()
                    ovs.set(setting)
                warm = workload.warm / (1 if setting == settings[1] else 2)
                if self.options.quick:
                    warm = min(warm, 3)
                early[name] = self.warm_and_stop(ovs, name, warm)
                self.windows(base + [(name, ovs)])
        for name, peer in (("ours", ours), ("ovs default", ovs)):
            rates = self.row["rates"].get(name)
            if rates and early.get(name):
                self.row["time_to_80"][name] = self.time_to_80(
                    peer, early[name], statistics.median(rates))
        return self.row

    def end(self):
        for peer in self.alive:
            peer.end()
        self.alive = []


def build_shim():
    path = os.path.join(BUILD, "bench", "replay.so")
    source = os.path.join(HERE, "replay.c")
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(source):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-fPIC", "-shared", "-o", path, source],
                       check=True)
    return path


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer workloads, under 3 minutes")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="length of one measurement")
    parser.add_argument("--patience", type=float, default=1,
                        help="OVS may take so many times as long to warm up as the workload says")
    parser.add_argument("--no-ovs", action="store_true", help="only the floor and the switch")
    parser.add_argument("--write", action="store_true", help="write docs/BENCHMARKS.md")
    parser.add_argument("workload", nargs="*")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 4)
    options.seconds = options.seconds or (0.3 if options.quick else 0.5)
    return options


def run_all(options, directory):
    os.environ["PATH"] = "%s:%s:/usr/sbin" % (BUILD, os.environ["PATH"])
    core, shim, mhz = os.cpu_count() - 1, build_shim(), tsc_mhz()
    with open(os.path.join(HERE, "workloads", "ORDER")) as order:
        names = options.workload or order.read().split()
    workloads = [Workload(name, options.patience) for name in names]
    if options.quick and not options.workload:
        workloads = [workload for workload in workloads if workload.quick]
    rows, start = [], time.monotonic()
    for number, workload in enumerate(workloads, 1):
        say("%d/%d %s: %s" % (number, len(workloads), workload.title, workload.about))
        here = os.path.join(directory, workload.name)
        os.makedirs(here)
        run = Run(workload, options, here, core, shim, mhz)
        try:
            run.run()
        except (peers.Failure, OSError, ValueError, KeyError) as failure:
            run.row["failures"]["the workload"] = str(failure)
        finally:
            run.end()  # what a second signal leaves of it ends with this program
            shutil.rmtree(here, ignore_errors=True)
        row = report.summarize(run.row, workload, mhz, rows)
        rows.append(row)
        say("    " + report.one_line(row))
        report.write_json(os.path.join(BUILD, "bench.json"), rows, options, mhz)
    say("")
    say(report.text_table(rows))
    say("%d workloads in %.0f s; %s/bench.json" % (len(rows), time.monotonic() - start, BUILD))
    if options.write:
        path = os.path.join(HERE, "..", "docs", "BENCHMARKS.md")
        report.write_markdown(path, rows, options, mhz)
        say("written: docs/BENCHMARKS.md")


def main():
    options = parse()
    if os.geteuid():
        sys.exit("The benchmark needs root: DPDK pins memory, and processes are placed on cores.")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    directory = tempfile.mkdtemp(prefix="vswitch-bench.")
    try:
        run_all(options, directory)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
