"""The curves: one number grows, point by point; both switches and testpmd live on meanwhile.

Between two points packets cease to come, the switches get the rules of the next, and all replay the
next point's packets (replay.c, REPLAY_CONTROL). They are measured in turns, as workloads are.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time

import measure
import peers
from workload import CACHE, HERE, Settings, cached_trace, say

STEADY = 1.0  # seconds without a rise: warm
BUDGET = 150  # seconds of a curve, after which OVS gets less time to warm up
SHORT = 2.0  # that much
LOAD_SECONDS = 60  # OVS may take so long for a point's rules
LONG = 1.0  # seconds of a measurement beside changes, of which a hundred lists come each second
SETTINGS = "smc"  # of OVS: those of its best that help where flows are many
FAILURES = (peers.Failure, OSError, ValueError, KeyError, StopIteration)


def names():
    with open(os.path.join(HERE, "curves", "ORDER")) as order:
        return order.read().split()


class Changes:
    """Rules that come and go beside a measurement, from a core that no switch forwards on."""

    def __init__(self, peer, rate, seconds):
        script = "change_flows.py" if peer.name == "ours" else "change_flows_openflow.py"
        target = ([peer.dir + "/vswitchd.sock", "br"] if peer.name == "ours"
                  else [peer.dir + "/br.mgmt"])
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, script), *target, str(rate), "%.2f" % seconds],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: (peers.prepare_child(), os.sched_setaffinity(
                0, set(range(os.cpu_count())) - {peer.core} or {0})))

    def finish(self):
        """Changes a second that there were."""
        try:
            out, trouble = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise peers.Failure("changes of flows did not end within 60 s") from None
        if self.process.returncode:
            raise peers.Failure(trouble.strip().splitlines()[-1] if trouble else "no changes made")
        return int(out)


class Curve:
    def __init__(self, name, options, directory, core, shim, mhz):
        self.settings = Settings("curves", "curve", name)
        self.options, self.dir, self.core, self.shim, self.mhz = options, directory, core, shim, mhz
        self.points = [int(word) for word in self.settings.get("points").split()]
        self.warm = float(self.settings.get("warm")) * options.patience
        self.alive, self.began = [], time.monotonic()
        self.result = {
            "name": name, "title": self.settings.title, "about": self.settings.about,
            "axis": self.settings.get("axis"), "scale": self.settings.get("scale").split(),
            "settings": SETTINGS, "series": {}, "notes": []}

    def set_point(self, n):
        self.settings.n = n
        self.capture = cached_trace(self.settings.get("traffic").split())
        self.rules, _ = self.settings.make_rules(self.dir)
        self.flows = n if self.settings.get("vary-flows") == "yes" else 0

    def start(self):
        self.set_point(self.points[0])
        self.control = peers.Control(os.path.join(self.dir, "control"))
        self.control.set(True, self.capture, self.flows)
        traffic = peers.Traffic([self.capture], 1 << 30, "loop", None, self.shim, self.mhz,
                                self.control)
        for kind in peers.KINDS[:2 if self.options.no_ovs else 3]:
            peer = kind(os.path.join(self.dir, kind.name), self.core)
            self.alive.append(peer)
            peer.start(traffic, self.rules, None)
            if kind is peers.Ovs:
                peer.set(SETTINGS)
                peer.load_seconds = LOAD_SECONDS
            peer.stop()

    def fail(self, peer, n, failure):
        say("    %s failed at %d: %s" % (peer.name, n, failure))
        self.result["notes"].append("%s failed at %d: %s" % (peer.name, n, failure))
        self.alive.remove(peer)
        peer.end()

    def ovs_limit(self):
        late = time.monotonic() - self.began > BUDGET * self.options.patience
        return min(self.warm, SHORT) if late else self.warm

    def prepare(self, peer, n, first):
        """New rules and packets, then until it is warm."""
        self.control.set(True)
        peer.resume()
        if not first and "{n}" in self.settings.values.get("flows-from", ""):
            peer.replace_rules(self.rules)
        self.control.set(False, self.capture, self.flows)
        limit = {"testpmd": 0.3, "ours": min(self.warm, 3)}.get(peer.name, self.ovs_limit())
        samples, steady = measure.warm_up(peer, limit, STEADY)
        peer.stop()
        rates = [measure.rate_between(a, b)[0] for a, b in zip(samples, samples[1:])]
        quarter = len(rates) // 4
        if not steady and quarter > 1 and peer.name not in ("testpmd", "ours"):
            before = statistics.median(rates[-2 * quarter:-quarter])
            after = statistics.median(rates[-quarter:])
            if after > 1.05 * before:
                self.result["notes"].append(
                    "%s was still rising at %s %s after %g s: %.4f, then %.4f Mpps" % (
                        peer.name, n, self.settings.get("axis"), limit, before / 1e6, after / 1e6))

    def window(self, peer):
        """(rate, changes a second or None)"""
        churn = int(self.settings.get("churn", "0"))
        if not churn or peer.name == "testpmd":
            return measure.window(peer, self.options.seconds)[0], 0
        seconds = max(LONG, self.options.seconds)
        peer.resume()
        changes = Changes(peer, churn, seconds + 3 * measure.SETTLE)
        try:
            time.sleep(3 * measure.SETTLE)  # the program starts
            first = peer.sample()
            time.sleep(seconds)
            last = peer.sample()
        finally:
            reached = changes.finish()
        peer.stop()
        return measure.rate_between(first, last)[0], reached

    def measure(self, n):
        """Adds a point to the series of each."""
        rates, reached = {}, {}
        self.control.set(False)
        for _ in range(self.options.rounds):
            for peer in list(self.alive):
                try:
                    rate, changes = self.window(peer)
                except FAILURES as failure:
                    self.fail(peer, n, failure)
                    continue
                rates.setdefault(peer.name, []).append(rate)
                reached.setdefault(peer.name, []).append(changes)
        for name, values in rates.items():
            x = n
            if self.settings.get("churn") and n and name != "testpmd":
                x = min(n, statistics.median(reached[name]))
            self.result["series"].setdefault(name, []).append(
                {"x": x, "asked": n, "rate": statistics.median(values), "rates": values})

    def run(self):
        self.start()
        for number, n in enumerate(self.points):
            self.set_point(n)
            for peer in list(self.alive):
                try:
                    self.prepare(peer, n, number == 0)
                except FAILURES as failure:
                    self.fail(peer, n, failure)
            self.measure(n)
            say("    %8d  %s" % (n, ", ".join("%s %.4f Mpps%s" % (
                name, points[-1]["rate"] / 1e6,
                " (%d reached)" % points[-1]["x"] if points[-1]["x"] != n else "")
                for name, points in self.result["series"].items() if points[-1]["asked"] == n)))
        self.summarize()

    def summarize(self):
        """Worst point as a share of the best, and the largest step between neighbours."""
        self.result["summary"] = {
            name: summary(points) for name, points in self.result["series"].items()}

    def end(self):
        for peer in self.alive:
            peer.end()
        self.alive = []


def summary(points):
    rates = [point["rate"] for point in points]
    steps = [(abs(b["rate"] - a["rate"]) / max(a["rate"], b["rate"]), a["asked"], b["asked"])
             for a, b in zip(points, points[1:]) if max(a["rate"], b["rate"])]
    step = max(steps, default=(0, 0, 0))
    return {"worst": min(rates), "best": max(rates),
            "worst_share": min(rates) / max(rates) if max(rates) else None,
            "largest_step": step[0], "step_from": step[1], "step_to": step[2]}


def run_all(wanted, options, directory, core, shim, mhz, done):
    """Runs curves; done(result) after each."""
    os.makedirs(CACHE, exist_ok=True)
    every = wanted or names()
    for number, name in enumerate(every, 1):
        start = time.monotonic()
        here = os.path.join(directory, "curve-" + name)
        os.makedirs(here)
        curve = Curve(name, options, here, core, shim, mhz)
        say("%d/%d curve: %s" % (number, len(every), curve.settings.title))
        try:
            curve.run()
        except FAILURES as failure:
            say("    failed: %s" % failure)
            curve.result["notes"].append("failed: %s" % failure)
        finally:
            curve.end()
            shutil.rmtree(here, ignore_errors=True)
        curve.result["seconds"] = round(time.monotonic() - start)
        done(curve.result)
