#!/usr/bin/env python3
"""From one worker to two: the switch, and beside it testpmd with one core and two.

Usage: scaling.py [--rounds N] [--seconds S] [--cores A,B] [WORKLOAD...]

Two replayed ports, each with a port that its packets leave by: the workload twice, on two bridges with
the same flows. All four programs are alive, one runs at a time; a round measures each once. What testpmd gains by a second core is what the machine
gives: cores that are threads of one core, or that share memory with others, give less than twice.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time

import compare
import peers

WORKLOADS = ("port-1k", "five-100", "five-10k")
WANTED = 1.85


class Twice:
    """A workload's traffic, for two pairs of ports."""

    def __init__(self, made):
        self.environment = made.environment
        self.buffers = lambda: 2 * made.buffers()
        first = made.devices()
        second = [device.replace("net_pcap0", "net_pcap1").replace("net_null0", "net_null1")
                  for device in first]
        if len(made.captures) > 1:
            second = [device.replace("net_pcap0", "net_pcap2").replace("net_pcap1", "net_pcap3")
                      for device in first]
        self.pairs = [first, second]


class Cores:
    """What both programs do alike with several cores: the cores' numbers, and their threads."""

    cores = ()
    threads = ()

    def find_threads(self, names):
        found = []
        for name in names:
            if self.find_thread("^(%s)$" % name):
                found.append(self.thread)
        self.threads = found
        return len(found) == len(self.cores)

    def preempted(self):
        """For how long one of the threads did not have its core, on average."""
        total = 0
        for thread in self.threads:
            with open("/proc/%d/task/%d/schedstat" % (self.pid, thread)) as stat:
                total += int(stat.read().split()[1])
        return total / len(self.threads)


class Floor(Cores, peers.Floor):
    def spawn(self, command, *rest, **more):
        at = command.index("-l")
        # Its main thread waits for commands and shares a core.
        places = ["0@%d" % self.cores[0]] + ["%d@%d" % place for place in enumerate(self.cores, 1)]
        command[at:at + 2] = ["--lcores", ",".join(places)]
        command[-1:] = ["--nb-cores=%d" % len(self.cores), "-i"]
        return super().spawn(command, *rest, **more)

    def start(self, traffic, *rest):
        traffic.devices = lambda: traffic.pairs[0] + traffic.pairs[1]
        super().start(traffic, *rest)
        names = ["[a-z]+-worker-?%d" % n for n in range(1, len(self.cores) + 1)]
        self.wait_for(lambda: self.find_threads(names), 5, "start its workers")


class Ours(Cores, peers.Ours):
    def spawn(self, command, *rest, **more):
        command[command.index("--workers") + 1] = ",".join(map(str, self.cores))
        return super().spawn(command, *rest, **more)

    def start(self, traffic, rules, groups, macs=None):
        traffic.devices = lambda: traffic.pairs[0]
        super().start(traffic, rules, groups, macs)
        self.vsctl("add-br", "br2")
        self.vsctl("del-flows", "br2")
        if macs:
            self.vsctl("set", "Bridge", "br2", "other_config:mac-table-size=" + macs)
        if groups:
            self.vsctl("add-groups", "br2", groups)
        self.vsctl("add-flows", "br2", rules)
        for number in (2, 1):
            self.vsctl("add-port", "br2", "q%d" % number, "type=dpdk", "ofport_request=%d" % number,
                       "options:dpdk-devargs=" + traffic.pairs[1][number - 1])
        names = ["worker-%d" % n for n in range(len(self.cores))]
        self.wait_for(lambda: self.find_threads(names), 5, "start its workers")
        # One pair to each worker: the same in each run.
        for pair, core in zip("pq", self.cores if len(self.cores) > 1 else ()):
            for number in "12":
                self.vsctl("set", "Interface", pair + number,
                           "other_config:pmd-rxq-affinity=0:%d" % core)

    def counters(self):
        self.socket.sendall(b'{"id":1,"commands":[{"name":"dump-ports","args":["br"]},'
                            b'{"name":"dump-ports","args":["br2"]}]}\n')
        reply = json.loads(self.replies.readline())
        ports = [port for result in reply["results"] for port in result
                 if port["name"] in ("p1", "p2", "q1", "q2")]
        return (sum(port["rx_packets"] for port in ports),
                sum(port["tx_packets"] for port in ports))


def measure(peer, seconds):
    peer.resume()
    time.sleep(compare.SETTLE)
    first = peer.sample()
    time.sleep(seconds)
    last = peer.sample()
    peer.stop()
    return compare.rate_between(first, last)[0]


def start_all(workload, options, directory, shim, mhz, alive):
    made = Twice(workload.make_traffic(shim, mhz))
    rules, groups = workload.make_rules(directory)
    for kind, name in ((Floor, "testpmd"), (Ours, "ours")):
        for n in (1, 2):
            peer = kind(os.path.join(directory, "%s-%d" % (name, n)), options.cores[-1])
            peer.cores = options.cores[-n:]
            alive[name, n] = peer
            peer.start(made, rules, groups, workload.get("mac-table"))
            time.sleep(min(workload.warm, 3))
            peer.stop()


def run(workload, options, directory, shim, mhz):
    alive, rates = {}, {}
    try:
        start_all(workload, options, directory, shim, mhz, alive)
        for _ in range(options.rounds):
            for key, peer in alive.items():
                rates.setdefault(key, []).append(measure(peer, options.seconds))
    finally:
        for peer in alive.values():
            peer.end()
    return {key: statistics.median(values) for key, values in rates.items()}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one measurement")
    parser.add_argument("--cores", default="%d,%d" % (os.cpu_count() - 2, os.cpu_count() - 1),
                        help="the two cores; the second is the one that works alone")
    parser.add_argument("workload", nargs="*", default=WORKLOADS)
    options = parser.parse_args()
    options.cores = [int(core) for core in options.cores.split(",")]
    if len(set(options.cores)) != 2 or min(options.cores) < 0:
        sys.exit("two different cores are needed, such as --cores 0,1")
    return options


def main():
    options = parse()
    os.environ["PATH"] = "%s:%s:/usr/sbin" % (compare.BUILD, os.environ["PATH"])
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    shim, mhz = compare.build_shim(), compare.tsc_mhz()
    directory = tempfile.mkdtemp(prefix="vswitch-scaling.")
    enough = True
    print("%-28s %16s %8s   %16s %8s" % ("Mpps with 1 and 2 cores", "testpmd", "times", "ours", "times"))
    try:
        for name in options.workload:
            workload = compare.Workload(name, 1)
            here = os.path.join(directory, name)
            os.makedirs(here)
            try:
                rates = run(workload, options, here, shim, mhz)
            except (peers.Failure, OSError, ValueError, KeyError) as failure:
                print("%-28s failed: %s" % (workload.title, failure))
                enough = False
                continue
            cells = []
            for peer in ("testpmd", "ours"):
                one, two = rates[peer, 1], rates[peer, 2]
                cells.append("%7.2f %8.2f %8.2f" % (one / 1e6, two / 1e6, two / one))
            print("%-28s %s   %s" % (workload.title, *cells), flush=True)
            enough &= rates["ours", 2] >= WANTED * rates["ours", 1]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if not enough:
        print("two workers should carry %.2f times as much as one" % WANTED)
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
