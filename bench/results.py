"""What was measured, kept: build/bench*.json for a run, docs/benchmarks/results.json for good.

The latter holds the newest result of each workload, curve and list of stages; docs/BENCHMARKS.md is
written from it, so a run of some workloads replaces their rows alone.
"""

import datetime
import json
import os

import report
import svg
from workload import BUILD, HERE

DOCS = os.path.abspath(os.path.join(HERE, "..", "docs"))
KEPT = os.path.join(DOCS, "benchmarks", "results.json")
PAGE = os.path.join(DOCS, "BENCHMARKS.md")
SECTIONS = {None: "workloads", "curves": "curves", "stages": "stages", "guests": "guests"}
FILES = {None: "bench.json", "curves": "bench-curves.json", "stages": "bench-stages.json",
         "guests": "bench-guests.json"}


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w") as out:
        out.write(text)
    os.replace(path + ".new", path)


def kept():
    try:
        with open(KEPT) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


class Store:
    """Of one run."""

    def __init__(self, options, mhz):
        self.options, self.machine = options, report.machine(mhz)
        self.section = SECTIONS[options.kind]
        self.path = os.path.join(BUILD, FILES[options.kind])
        self.entries = []

    def add(self, entry):
        """Kept at once: a run that is interrupted has what it measured."""
        entry["measured"] = {
            "date": datetime.date.today().isoformat(), "vswitchd": self.machine["vswitchd"],
            "rounds": self.options.rounds, "seconds": self.options.seconds}
        self.entries.append(entry)
        write(self.path, json.dumps({"machine": self.machine, self.section: self.entries},
                                    indent=1) + "\n")

    def finish(self):
        """The files that were written."""
        paths = [os.path.relpath(self.path)] if self.entries else []
        if not self.options.write:
            return paths
        everything = kept()
        everything["machine"] = self.machine
        section = everything.setdefault(self.section, {})
        section.update((entry["name"], entry) for entry in self.entries)
        write(KEPT, json.dumps(everything, indent=1) + "\n")
        return paths + [os.path.relpath(KEPT)] + render()


def render():
    """The page and the pictures, from what is kept."""
    everything = kept()
    written = [os.path.relpath(PAGE)]
    for curve in everything.get("curves", {}).values():
        path = os.path.join(os.path.dirname(KEPT), curve["name"] + ".svg")
        series = [(report.SERIES[name], sorted((point["x"], point["rate"] / 1e6) for point in points))
                  for name, points in curve["series"].items()]
        write(path, svg.draw(curve["title"], (curve["axis"], "Mpps"), curve["scale"], series))
        written.append(os.path.relpath(path))
    try:
        with open(PAGE) as page:
            before = page.read()
    except FileNotFoundError:
        before = ""
    write(PAGE, report.page(everything, before))
    return written
