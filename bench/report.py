"""What was measured, as a line, a table, JSON and docs/BENCHMARKS.md."""

import datetime
import json
import os
import platform
import re
import statistics
import subprocess


def median(values):
    return statistics.median(values) if values else None


def summarize(row, workload, mhz, earlier):
    """The row with what follows from its rates. Rates are packets a second."""
    rates = row["rates"]
    row["median"] = {name: median(values) for name, values in rates.items()}
    row["best_window"] = {name: max(values) for name, values in rates.items()}
    row["spread"] = {name: (max(values) - min(values)) / median(values) if median(values) else None
                     for name, values in rates.items()}
    row["sent"] = {name: median([v for v in values if v is not None])
                   for name, values in row["sent"].items()}
    floor, ours = row["median"].get("testpmd"), row["median"].get("ours")
    tried = {name: value for name, value in row["median"].items() if name.startswith("ovs ")}
    best = max(tried, key=tried.get) if tried else None
    row["ovs_best"] = best
    for name in ("ours", "ovs default", best):
        value = row["median"].get(name) if name else None
        if value and floor:
            key = "ovs best" if name == best and name != "ours" else name
            row.setdefault("net_cycles", {})[key] = mhz * 1e6 / value - mhz * 1e6 / floor
            if name == "ovs default":
                row["net_cycles"][name] = mhz * 1e6 / value - mhz * 1e6 / floor
    row["ratio"] = ours / tried[best] if ours and best and tried[best] else None
    row["share_of_floor"] = ours / floor if ours and floor else None
    row["warm"] = workload.warm
    row["target_ratio"] = float(workload.get("ratio", "0")) or None
    row["target_share"] = float(workload.get("share", "0")) / 100 or None
    remarks(row, workload, earlier)
    return row


def remarks(row, workload, earlier):
    notes = row["notes"] = []
    for name, reason in row["failures"].items():
        notes.append("%s failed: %s" % (name, reason))
    ours, theirs = row["sent"].get("ours"), row["sent"].get(row["ovs_best"])
    if ours is not None and theirs is not None and abs(ours - theirs) > 0.02:
        notes.append("ours sends on %.1f %% of the packets, OVS %.1f %%" % (ours * 100, theirs * 100))
    windows = row["rates"].get(row["ovs_best"], [])
    if len(windows) > 1 and windows[-1] > 1.2 * windows[0]:
        notes.append("OVS was still warming up after %g s: %s Mpps at first, %s at last" % (
            row["warm"], mpps(windows[0]), mpps(windows[-1])))
    reference = next((r for r in earlier if r["name"] == workload.get("compare-to")), None)
    if reference:
        for name, label in (("ours", "ours"), ("ovs default", "OVS default")):
            if row["median"].get(name) and reference["median"].get(name):
                notes.append("%s keeps %.1f %% of its undisturbed rate" % (
                    label, 100 * row["median"][name] / reference["median"][name]))
        best = max((v for n, v in reference["median"].items() if n.startswith("ovs ")), default=0)
        if best and row["ovs_best"]:
            notes.append("OVS at its best %.1f %%" % (100 * row["median"][row["ovs_best"]] / best))


def mpps(value):
    if value is None:
        return "failed"
    return "%.2f" % (value / 1e6) if value >= 1e5 else "%.4f" % (value / 1e6)


def number(value, form="%.1f"):
    return "-" if value is None else form % value


def one_line(row):
    values = row["median"]
    best = row["ovs_best"]
    return "ours %s Mpps, OVS %s default, %s best (%s), testpmd %s: ratio %s, %s %% of testpmd" % (
        mpps(values.get("ours")), mpps(values.get("ovs default")), mpps(values.get(best)),
        best[4:] if best else "-", mpps(values.get("testpmd")), number(row["ratio"]),
        number(row["share_of_floor"] and row["share_of_floor"] * 100, "%.0f"))


HEADINGS = ("workload", "ours", "OVS default", "OVS best", "with", "testpmd", "net ours",
            "net OVS", "ratio", "target", "share", "target", "spread", "80 % ours", "80 % OVS")


def percent(value):
    return number(value and value * 100, "%.0f %%")


def cells(row):
    values, net, best = row["median"], row.get("net_cycles", {}), row["ovs_best"]
    early = row["time_to_80"]
    return (row["title"], mpps(values.get("ours")), mpps(values.get("ovs default")),
            mpps(values.get(best)), best[4:] if best else "-", mpps(values.get("testpmd")) + (" r" if row.get("replayed") else ""),
            number(net.get("ours"), "%.0f"), number(net.get("ovs best"), "%.0f"),
            number(row["ratio"], "%.2f" if (row["ratio"] or 0) < 10 else "%.0f"),
            number(row["target_ratio"], "%g"), percent(row["share_of_floor"]),
            percent(row["target_share"]), percent(row["spread"].get("ours")) + " / "
            + percent(row["spread"].get(best)),
            early_text(early.get("ours")), early_text(early.get("ovs default")))


def early_text(value):
    if value is None:
        return "-"
    return "< 0.1 s" if value < 100 else "%.1f s" % (value / 1000)


def text_table(rows):
    table = [HEADINGS] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(line, widths))) for line in table]
    for row in rows:
        lines += ["%s: %s" % (row["title"], note) for note in row["notes"]]
    return "\n".join(lines)


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        return (done.stdout or done.stderr).strip().splitlines()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "not found"


def package(name):
    version = first_line("dpkg-query", "-W", "-f", "${Version}", name)
    return "missing" if version.startswith("dpkg-query") else version


def machine(mhz):
    with open("/proc/cpuinfo") as info:
        model = re.search(r"model name\s*: (.*)", info.read())[1]
    here = os.path.dirname(os.path.abspath(__file__))
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model, "cores": os.cpu_count(), "tsc_mhz": round(mhz),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "vswitchd": "%s, commit %s" % (
            first_line("vswitchd", "--version"),
            first_line("git", "-C", here, "rev-parse", "--short", "HEAD")),
        "openvswitch-switch-dpdk": package("openvswitch-switch-dpdk"),
        "dpdk": package("dpdk-dev"),
    }


def write_json(path, rows, options, mhz):
    with open(path + ".new", "w") as out:
        json.dump({"machine": machine(mhz), "rounds": options.rounds,
                   "seconds": options.seconds, "quick": options.quick, "workloads": rows},
                  out, indent=1)
        out.write("\n")
    os.replace(path + ".new", path)


INTRODUCTION = """# Benchmarks

One core, 64-byte packets, replayed from memory (`net_pcap`) and sent to nowhere. Three programs are
given the same packets on the same kind of devices and measured in turns, A B C A B C: this switch,
Open vSwitch with DPDK as Debian packages it, and `dpdk-testpmd` in its io mode, which only hands
packets on and is the floor of what the devices cost. Nothing uses hugepages. `make bench` makes this
file; `bench/README.md` says how it measures.

- Rates are millions of packets received each second in which the thread had its core; medians.
- *testpmd* with an r: the capture is too long for `infinite_rx`, or changes; all three programs read
  it through `bench/replay.c`; compare shares with an r only with each other.
- *net*: TSC cycles a packet costs beyond testpmd's.
- *OVS best*: the best of its default and of what is known to help it (*with*: `smc` is
  `smc-enable=true` with a flow limit of 1,000,000 and an idle time of 300 s; `emc 1` adds
  `emc-insert-inv-prob=1`), each warmed up until the rate is steady, at most as long as
  *Workloads* says (with the default and with `emc 1` half of that).
- *ratio* is to OVS's best, *share* is of testpmd; beside each, what we aim for.
- *spread*: (largest - smallest) / median, ours / OVS's best.
- *80 %*: time from the addition of the port to 80 % of the rate; OVS with default settings.
"""


def write_markdown(path, rows, options, mhz):
    facts = machine(mhz)
    lines = [INTRODUCTION, "| | |", "|---|---|"]
    lines += ["| %s | %s |" % (name.replace("_", " "), value) for name, value in facts.items()]
    lines += ["| measured | %d windows of %g s for each setting |" % (
        options.rounds, options.seconds), ""]
    lines += ["| " + " | ".join(HEADINGS) + " |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    notes = ["- %s: %s" % (row["title"], note) for row in rows for note in row["notes"]]
    if notes:
        lines += ["", "## Remarks", ""] + notes
    lines += ["", "## Workloads", ""]
    lines += ["- **%s** (`bench/workloads/%s.conf`, OVS warms up for at most %g s): %s" % (
        row["title"], row["name"], row["warm"], row["about"]) for row in rows]
    with open(path + ".new", "w") as out:
        out.write("\n".join(lines) + "\n")
    os.replace(path + ".new", path)
