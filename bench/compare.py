#!/usr/bin/env python3
"""The switch beside OVS-DPDK and testpmd's bare forwarding, workload by workload: see README.md."""

import argparse
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time

import curves
import guests
import measure
import peers
import report
import results
import stages
import vhost
from workload import BUILD, HERE, Workload, build_shim, say, tsc_mhz


class Run:
    """One workload on all peers."""

    def __init__(self, workload, options, directory, core, shim, mhz):
        self.workload, self.options, self.dir = workload, options, directory
        self.core, self.shim, self.mhz = core, shim, mhz
        self.steady = max(1.5, workload.warm / 4)
        self.alive = []
        self.began = {"ours": None, "ovs default": None}
        self.row = {"name": workload.name, "title": workload.title, "about": workload.about,
                    "failures": {}, "rates": {}, "sent": {}, "time_to_80": {}, "steady": {}}

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

    def windows(self, group):
        """Measure peers in turns; rates by name."""
        for _ in range(self.options.rounds):
            for name, peer in group:
                if name in self.row["failures"]:
                    continue
                try:
                    rate, sent = measure.window(peer, self.options.seconds)
                except (peers.Failure, OSError, ValueError, KeyError) as failure:
                    self.fail(peer, name, failure)
                    continue
                self.row["rates"].setdefault(name, []).append(rate)
                self.row["sent"].setdefault(name, []).append(sent)

    def warm_and_stop(self, peer, name, seconds):
        """Early samples, if it has just started."""
        early = []
        try:
            if name in self.began:
                self.began[name] = peer.began()
                early = measure.watch_start(peer)
            samples, steady = measure.warm_up(peer, seconds, self.steady)
            self.row["steady"][name] = steady
            peer.stop()
            return early + samples
        except (peers.Failure, OSError, ValueError, KeyError) as failure:
            self.fail(peer, name, failure)
            return None

    def run(self):
        workload = self.workload
        self.traffic = workload.make_traffic(self.shim, self.mhz)
        self.row["replayed"] = not self.traffic.infinite
        self.rules, self.groups = workload.make_rules(self.dir)
        early = {}
        kinds = vhost.kinds(int(workload.vhost)) if workload.vhost else peers.KINDS
        floor = self.start(kinds[0])
        if floor:
            floor.stop()
        ours = self.start(kinds[1])
        if ours:
            early["ours"] = self.warm_and_stop(ours, "ours", min(workload.warm, 3))
        base = [(peer.name, peer) for peer in (floor, ours) if peer]
        if self.options.no_ovs:
            self.windows(base)
        for kind in () if self.options.no_ovs else kinds[2:] if self.options.native else kinds[2:3]:
            self.run_ovs(self.start(kind), base, early)
        for name in self.began:
            rates = self.row["rates"].get(name)
            if rates and early.get(name):
                self.row["time_to_80"][name] = measure.time_to_80(
                    self.began[name], early[name], statistics.median(rates))
        return self.row

    def run_ovs(self, ovs, base, early):
        """With its settings one after the other; then it is ended."""
        if not ovs:
            if not self.row["rates"]:
                self.windows(base)
            return
        settings = list(ovs.settings)
        if self.options.quick and ovs.prefix == peers.Ovs.prefix:
            settings = [name for name in settings if name in QUICK_SETTINGS]
        for setting in settings:
            name = ovs.prefix + setting
            if ovs not in self.alive:
                return
            try:
                ovs.resume()
                ovs.set(setting)
            except (peers.Failure, OSError, ValueError) as failure:  # the others may still do
                say("    %s failed: %s" % (name, failure))
                self.row["failures"][name] = str(failure)
                continue
            warm = self.workload.warm / (1 if setting == "smc" else 2)
            if self.options.quick:
                warm = min(warm, 3)
            early[name] = self.warm_and_stop(ovs, name, warm)
            self.windows(base + [(name, ovs)])
        ovs.end()
        self.alive.remove(ovs)

    def end(self):
        for peer in self.alive:
            peer.end()
        self.alive = []


USAGE = """bench/run.sh [OPTION]... [WORKLOAD...]        rates, workload by workload
       bench/run.sh [OPTION]... curves [CURVE...]    rates as one number grows
       bench/run.sh [OPTION]... stages [WORKLOAD...] where our cycles go (make PROFILE=1)
       bench/run.sh [OPTION]... guests [tables|copies] hosts and guests in QEMU, TCP and copies"""
KINDS = ("curves", "stages", "guests")
QUICK_SETTINGS = ("default", "smc, emc 1")


def parse():
    parser = argparse.ArgumentParser(prog="bench/run.sh", usage=USAGE)
    parser.add_argument("--quick", action="store_true", help="fewer workloads, under 3 minutes")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="length of one measurement")
    parser.add_argument("--patience", type=float, default=1,
                        help="OVS may take so many times as long to warm up as the workload says")
    parser.add_argument("--native", metavar="PROGRAM",
                        help="also this ovs-vswitchd, which was built for this processor")
    parser.add_argument("--no-ovs", action="store_true", help="only the floor and the switch")
    parser.add_argument("--write", action="store_true",
                        help="write what is measured into docs/BENCHMARKS.md and docs/benchmarks")
    parser.add_argument("--render", action="store_true",
                        help="measure nothing, write docs/BENCHMARKS.md anew")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    options.kind = options.names.pop(0) if options.names[:1] and options.names[0] in KINDS else None
    shorter = options.quick or options.kind == "curves"
    if options.kind == "guests":
        options.rounds = options.rounds or (1 if options.quick else 3)
        options.seconds = options.seconds or 1
        if set(options.names) - {"tables", "copies"}:
            parser.error("of guests there are: tables copies")
    if options.rounds is None:
        options.rounds = 2 if shorter else 4
    if options.seconds is None:
        options.seconds = 0.3 if shorter else 0.5
    if options.rounds < 1 or not 0 < options.seconds <= 60 or options.patience <= 0:
        parser.error("--rounds, --seconds (at most 60) and --patience must be more than 0")
    if options.kind == "curves" and set(options.names) - set(curves.names()):
        parser.error("the curves are: " + " ".join(curves.names()))
    if options.native and not os.access(options.native, os.X_OK):
        parser.error("--native takes an ovs-vswitchd, and '%s' is no program" % options.native)
    peers.OvsNative.binary = options.native and os.path.abspath(options.native)
    return options


def workload_names():
    with open(os.path.join(HERE, "workloads", "ORDER")) as order:
        return order.read().split()


def run_workloads(workloads, options, directory, machine):
    """Rows, in their order; done with each as it comes."""
    rows, start = [], time.monotonic()
    for number, workload in enumerate(workloads, 1):
        say("%d/%d %s: %s" % (number, len(workloads), workload.title, workload.about))
        here = os.path.join(directory, workload.name)
        os.makedirs(here)
        run = Run(workload, options, here, *machine)
        try:
            run.run()
        except (peers.Failure, OSError, ValueError, KeyError) as failure:
            run.row["failures"]["the workload"] = str(failure)
        finally:
            run.end()  # what a second signal leaves of it ends with this program
            shutil.rmtree(here, ignore_errors=True)
        row = report.summarize(run.row, workload, machine[2], rows)
        rows.append(row)
        say("    " + report.one_line(row))
        yield row
    say("")
    say(report.text_table(rows))
    say("%d workloads in %.0f s" % (len(rows), time.monotonic() - start))


def run_all(options, directory):
    os.environ["PATH"] = "%s:%s:/usr/sbin" % (BUILD, os.environ["PATH"])
    machine = os.cpu_count() - 1, build_shim(), tsc_mhz()
    store = results.Store(options, machine[2])
    if options.kind == "guests":
        guests.run_all(options.names, options, directory, machine[0], store.add)
    elif options.kind == "curves":
        curves.run_all(options.names, options, directory, *machine, store.add)
    else:
        workloads = [Workload(name, options.patience) for name in options.names or workload_names()]
        if options.quick and not options.names:
            workloads = [workload for workload in workloads if workload.quick]
        if options.kind == "stages":
            stages.run_all(workloads, options, directory, *machine, store.add)
        else:
            for row in run_workloads(workloads, options, directory, machine):
                store.add(row)
    say("written: " + ", ".join(store.finish()))


def main():
    options = parse()
    if options.render:
        say("written: " + ", ".join(results.render()))
        return
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
