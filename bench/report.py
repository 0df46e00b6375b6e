"""What was measured, as a line, a table, JSON and docs/BENCHMARKS.md."""

import datetime
import os
import platform
import re
import statistics
import subprocess

import report_guests


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
  `smc-enable=true` with a flow limit of 1,000,000 and an idle time of 300 s; `emc 1` and `emc 0` add
  `emc-insert-inv-prob` 1 and 0; `native` is the program given with `--native`, `avx512` with its
  AVX-512 code chosen), each warmed up until the rate is steady, at most as long as *Workloads*
  says (with all but `smc` half of that).
- *ratio* is to OVS's best, *share* is of testpmd; beside each, what we aim for.
- *spread*: (largest - smallest) / median, ours / OVS's best.
- *80 %*: time until 80 % of the rate: ours from the first packet, as the worker ran from then on;
  OVS's, with default settings, from the addition of the port.
- Rows on vhost-user: a guest (testpmd with virtio-user, on the other core) on both ports sends back
  what it gets; *testpmd* is there its own forwarding between two `net_vhost` ports. Where switch and
  guest take as long as each other for a packet, the guest is part of what is measured.
"""


# What peers are called in pictures and tables of curves.
SERIES = {"ours": "ours", "OVS-DPDK": "OVS", "testpmd": "testpmd"}
# The page's own headings. What stands under any other is somebody's and stays.
OWN = ("Remarks", "Guests", "Curves", "Where our cycles go", "Workloads")


def in_order(entries, folder):
    """As its ORDER says, then what is not in it."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), folder, "ORDER")) as order:
        names = order.read().split()
    return [entries[name] for name in names if name in entries] + [
        entry for name, entry in entries.items() if name not in names]


def kept_sections(page):
    """Sections that were written by hand."""
    parts = re.split(r"(?m)^(?=## )", page)[1:]
    return [part.rstrip("\n") for part in parts
            if part.splitlines()[0][3:].strip() not in OWN]


def measured_otherwise(rows, facts):
    """A remark for rows that are not of the last run's program or length."""
    notes = {}
    for row in rows:
        measured = row["measured"]
        if measured["vswitchd"] != facts["vswitchd"] or measured["date"] != facts["date"]:
            notes.setdefault((measured["date"], measured["vswitchd"]), []).append(row["title"])
    return ["- Measured on %s with %s: %s." % (date, version, "; ".join(titles))
            for (date, version), titles in notes.items()]


def windows_text(rows):
    kinds = sorted({(row["measured"]["rounds"], row["measured"]["seconds"]) for row in rows})
    return " or ".join("%d windows of %g s" % kind for kind in kinds) + " for each setting"


def workloads_part(rows, facts):
    lines = ["| | |", "|---|---|"]
    lines += ["| %s | %s |" % (name.replace("_", " "), value) for name, value in facts.items()]
    lines += ["| measured | %s |" % windows_text(rows), ""]
    lines += ["| " + " | ".join(HEADINGS) + " |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    notes = ["- %s: %s" % (row["title"], note) for row in rows for note in row["notes"]]
    notes = measured_otherwise(rows, facts) + notes
    return lines + (["", "## Remarks", ""] + notes if notes else [])


def curve_lines(curve):
    axis = curve["axis"]
    lines = ["### " + curve["title"], "", curve["about"], "",
             "![%s](benchmarks/%s.svg)" % (curve["title"], curve["name"]), "",
             "| | best | worst | worst / best | largest step | from | to |",
             "|---|---:|---:|---:|---:|---:|---:|"]
    for name, facts in curve.get("summary", {}).items():
        lines.append("| %s | %s | %s | %s | %s | %s | %s |" % (
            SERIES[name], mpps(facts["best"]), mpps(facts["worst"]), percent(facts["worst_share"]),
            percent(facts["largest_step"]), facts["step_from"], facts["step_to"]))
    points = {}
    for name, series in curve["series"].items():
        for point in series:
            points.setdefault(point["asked"], {})[name] = point
    names = list(curve["series"])
    lines += ["", "| %s | %s |" % (axis, " | ".join(SERIES[name] for name in names)),
              "|---:|" + "---:|" * len(names)]
    for asked, point in points.items():
        cell = [mpps(point[name]["rate"]) + (
            "" if point[name]["x"] in (asked, 0) else " at %d" % point[name]["x"])
                if name in point else "-" for name in names]
        lines.append("| %d | %s |" % (asked, " | ".join(cell)))
    lines += [""] + ["- " + note for note in curve["notes"]]
    return lines + ([""] if curve["notes"] else [])


def curves_part(curves):
    if not curves:
        return []
    return ["", "## Curves", "",
            "Millions of packets a second and core, both switches and testpmd in turns. OVS with "
            "`smc` as above;", "at each point it had a bounded time to warm up, and where it was "
            "still rising a remark says so.", "*Largest step*: between neighbours, as a share of the "
            "higher.", ""] + [line for curve in curves for line in curve_lines(curve)]


def stages_part(workloads):
    if not workloads:
        return []
    names = [name for name in workloads[0]["cycles"]
             if any(w["cycles"].get(name, 0) >= 0.5 for w in workloads)]
    lines = ["", "## Where our cycles go", "",
             "TSC cycles for each packet, as a build with `PROFILE=1` counts them stage by stage "
             "(`vsctl profile`);", "*lookups*: lookups in tables for each burst. A stage that is "
             "entered for each packet is slower than", "in an ordinary build, though what reading "
             "the clock costs is taken off.", "",
             "| workload | packets in a burst | lookups | sum | " + " | ".join(names) + " |",
             "|---|" + "---:|" * (len(names) + 3)]
    for w in workloads:
        lines.append("| %s | %.0f | %.1f | %.0f | %s |" % (
            w["title"], w["per_burst"], w["entries"].get("lookup", 0), sum(w["cycles"].values()),
            " | ".join("%.0f" % w["cycles"].get(name, 0) for name in names)))
    return lines


def page(everything, before):
    """docs/BENCHMARKS.md; what is written by hand in the one before stays."""
    rows = in_order(everything.get("workloads", {}), "workloads")
    lines = [INTRODUCTION]
    if rows:
        lines += workloads_part(rows, everything["machine"])
    for section in kept_sections(before):
        lines += ["", section]
    lines += report_guests.part(everything.get("guests"))
    lines += curves_part(in_order(everything.get("curves", {}), "curves"))
    lines += stages_part(in_order(everything.get("stages", {}), "workloads"))
    lines += ["", "## Workloads", ""]
    lines += ["- **%s** (`bench/workloads/%s.conf`, OVS warms up for at most %g s): %s" % (
        row["title"], row["name"], row["warm"], row["about"]) for row in rows]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"
