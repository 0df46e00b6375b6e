"""The part of docs/BENCHMARKS.md that says what guests get."""

RATES = (("tcp in 1", "in, 1 stream"), ("tcp out 1", "out, 1 stream"),
         ("tcp in 4", "in, 4 streams"), ("tcp out 4", "out, 4 streams"))
TARGETS = (("far", "host port, "), ("vm1", "guest, "))
# What we aim for from guest to guest: our rate, by whose, and at least so many times it.
AIMS = (("loop", 0.98), ("ovs-tso", 1), ("ours-off", 3), ("bridge", 1))
AIM_CYCLES = 1.5  # times ours, of OVS with TSO

ABOUT = """Two hosts (network namespaces) and two guests (Linux in QEMU) with iperf3, joined in several ways
that are measured in turns; medians. *In* is to the guest, or to the second host; both hosts are
joined by devices of the same kind (ours: tap). The percentage is the overhead: what is missing to the
first row. All share two cores, and guests without KVM are emulated, so that the guest itself is
most of what a packet costs in its rows; a switch that polls has one of the cores."""

ABOUT_SMALL = """Datagrams of 18 bytes, which are frames of 64: how many arrive each second. Round
trips of one byte by TCP, one after the other: how many a second, and their times in microseconds."""

ABOUT_PAIRS = """TCP from guest to guest, one stream. *Cycles* are the busy ones of the switch's thread, as
it counts them itself (`vsctl workers`; OVS: `pmd-stats-show`), by TSC, less the share of time in
which the thread did not have its core, in transfers of their own with both guests on one other core;
a byte is one that iperf3 received."""

ABOUT_COPIES = """The guest is testpmd with virtio-user on the other core, so it is not emulated. What packets cost
that the switch drops is *receive*; what they cost beyond that when they go back to the guest is
*send*. 64 KB are 60,054 bytes of TCP for a
receiver that takes them whole. OVS has its TSO on, and no hugepages."""


def table(headings, rows):
    return ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1)] + [
        "| " + " | ".join(row) + " |" for row in rows]


def rate_text(bits):
    return "%.2f Gbit/s" % (bits / 1e9) if bits >= 1e9 else "%.0f Mbit/s" % (bits / 1e6)


def ways(result):
    """(title, name, target) of each row, in order."""
    found = [(result["titles"]["native"], "native", "far")]
    for target, words in TARGETS:
        found += [(words + title, name, target) for name, title in result["titles"].items()
                  if name not in ("native", "loop") and name in result["medians"]]
    return found


def rate_table(result):
    native = result["medians"].get("native", {})
    wanted = [rate for rate in RATES if any(
        "far " + rate[0] in values for values in result["medians"].values())]
    rows = []
    for title, name, target in ways(result):
        cells = [title]
        for what, _ in wanted:
            value = result["medians"].get(name, {}).get("%s %s" % (target, what))
            whole = native.get("far " + what)
            text = "-" if value is None else rate_text(value)
            if value is not None and whole and name != "native":
                text += ", %.0f %%" % (100 * (1 - value / whole))
            cells.append(text)
        rows.append(cells)
    return table(["TCP"] + [heading for _, heading in wanted], rows)


def small_table(result):
    rows = []
    for title, name, target in ways(result):
        values = result["medians"].get(name, {})
        udp = [values.get("%s udp %s" % (target, way)) for way in ("in", "out")]
        trips = values.get(target + " rr", {})
        rows.append([title] + ["-" if v is None else "%.1f k" % (v / 1e3) for v in udp] + [
            "-" if key not in trips else "%.0f" % trips[key]
            for key in ("rate", "p50", "p90", "p99", "p999")])
    return table(["", "UDP in", "UDP out", "trips/s", "50 %", "90 %", "99 %", "99.9 %"], rows)


def pairs(result):
    """What was measured from guest to guest, by the names of what joins them."""
    return {name: dict(values.get("cost", {}), tcp=values["pair"])
            for name, values in result["medians"].items() if "pair" in values}


def pair_table(result):
    rows = []
    for name, values in sorted(pairs(result).items(), key=lambda item: -item[1]["tcp"]):
        rows.append([result["titles"][name], rate_text(values["tcp"])] + [
            "-" if key not in values else form % values[key] for key, form in
            (("cycles/byte", "%.2f"), ("cycles/packet", "%.0f"), ("bytes/packet", "%.0f"))])
    return table(["guest to guest", "TCP", "cycles/byte", "cycles/packet", "bytes/packet"], rows)


def aims(result):
    found, lines = pairs(result), []
    ours = found.get("ours")
    if not ours:
        return lines
    for name, least in AIMS:
        if found.get(name, {}).get("tcp"):
            ratio = ours["tcp"] / found[name]["tcp"]
            lines.append("- Ours is %.2f times *%s*; we aim for %g or more%s." % (
                ratio, result["titles"][name], least, "" if ratio >= least else ": **not reached**"))
    for key in ("cycles/byte", "cycles/packet"):
        if ours.get(key) and found.get("ovs-tso", {}).get(key):
            ratio = found["ovs-tso"][key] / ours[key]
            lines.append("- OVS with TSO takes %.2f times our %s; we aim for %g or more%s." % (
                ratio, key.replace("/", " a "), AIM_CYCLES,
                "" if ratio >= AIM_CYCLES else ": **not reached**"))
    return lines


def copy_table(result):
    rows = []
    for row in result["rows"]:
        cells = [row["switch"], row["size"]]
        for key in ("receive", "send"):
            cells += ["%.0f" % row[key], "%.2f" % (row[key] / row["bytes"])]
        rows.append(cells + ["%.3f" % (row["rate"] / 1e6)])
    return table(["", "bytes", "receive: cycles/packet", "cycles/byte", "send: cycles/packet",
                  "cycles/byte", "Mpps"], rows)


def measured_line(entry):
    measured = entry["measured"]
    return "Measured on %s with %s: %d rounds of %g s." % (
        measured["date"], measured["vswitchd"], measured["rounds"], measured["seconds"])


def text(entry):
    """Of tables or copies."""
    if entry["name"] == "copies":
        lines = ["### What vhost's copies cost", "", ABOUT_COPIES, "", *copy_table(entry), ""]
    else:
        lines = ["### Hosts and guests, beside native", "", ABOUT, "", *rate_table(entry), "",
                 ABOUT_SMALL, "", *small_table(entry), "", "### Guest to guest", "", ABOUT_PAIRS, "",
                 *pair_table(entry), "", *aims(entry), ""]
    return lines + [measured_line(entry), ""] + [
        "- failed: " + failure for failure in entry["failures"]] + [""]


def part(entries):
    """Of the page; entries by name."""
    if not entries:
        return []
    return ["", "## Guests", ""] + [line for name in ("tables", "copies") if name in entries
                                    for line in text(entries[name])]
