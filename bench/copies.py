"""What it costs a switch to copy a packet out of a guest's memory, and into a guest's.

The guest is testpmd on the other core, with virtio-user: it sends packets of one size as fast as it
can, TCP of 64 KB as one packet that its receiver takes whole. The switch drops them: that is what
receiving costs. Then it sends them back by another port: the difference is what sending costs.
"""

import os
import struct
import time

import peers
import setups
from workload import say

SIZES = (("64", 60), ("1518", 1514), ("64 KB", 60054))
SEGMENT = 1448
HUGEPAGES = "/proc/sys/vm/nr_hugepages"
RESERVED = 640  # of 2 MiB, for switch and guest
RING = 256


def write_capture(path, size):
    """One packet of TCP over IPv4."""
    packet = struct.pack("!6s6sH", b"\x02\0\0\0\0\x02", b"\x02\0\0\0\0\x01", 0x0800)
    packet += struct.pack("!BBHHHBBH4s4s", 0x45, 0, size - 14, 1, 0, 64, 6, 0, b"\x0a\0\0\1",
                          b"\x0a\0\0\2")
    packet += struct.pack("!HHIIBBHHH", 1000, 2000, 1, 1, 0x50, 0x10, 65535, 0, 0)
    packet += bytes(size - len(packet))
    with open(path, "wb") as out:
        out.write(struct.pack("=IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        out.write(struct.pack("=IIII", 0, 0, size, size) + packet)


class Source(peers.Testpmd):
    """Ports: 0 a capture, 1 and 2 the switch's, 3 nowhere."""

    name = "guest"

    def start(self, size, capture, sockets, hugepages):
        large = size > 2000
        if hugepages:
            self.memory = ("--in-memory", "--single-file-segments")
        features = ",mrg_rxbuf=1" if large else ",mrg_rxbuf=0,in_order=1"
        devices = ["net_pcap0,rx_pcap=%s,infinite_rx=1" % capture]
        devices += ["net_virtio_user%d,path=%s,server=1,queue_size=%d,mac=02:00:00:00:00:%02x%s" % (
            i, path, RING, i + 1, features) for i, path in enumerate(sockets)]
        self.spawn_testpmd(
            640 if large else 128, ["--lcores", "0@%d,1@%d" % (self.core, self.core)],
            [*devices, "net_null0,no-rx=1"],
            ["--total-num-mbufs=%d" % (4096 if large else 16384), "--rxd=%d" % RING,
             "--txd=%d" % RING, "--mbuf-size=%d" % (65535 if large else 2176)], dict(os.environ))

    def go(self, size):
        self.ask("", 60)
        if size > 2000:
            for words in ("port stop all", "port config 1 tx_offload tcp_tso on",
                          "port config 1 tx_offload tcp_cksum on",
                          "port config 2 rx_offload tcp_lro on",
                          "port config 2 rx_offload tcp_cksum on", "set fwd csum",
                          "csum set tcp hw 1", "tso set %d 1" % SEGMENT, "port start all"):
                self.ask(words, 30)
        self.begin("start")


class Copying:
    """For a switch: its ports belong to a source."""

    size, huge, guest = 60, False, None

    def add_ports(self, _traffic):
        capture = os.path.join(self.dir, "capture.pcap")
        write_capture(capture, self.size)
        self.guest = Source(os.path.join(self.dir, "guest"), 0)
        sockets = [os.path.join(self.dir, "guest%d" % i) for i in range(2)]
        self.guest.start(self.size, capture, sockets, self.huge)
        for i, path in enumerate(sockets):
            self.add_port("p%d" % (i + 1), i + 1, "type=dpdkvhostuserclient",
                          "options:vhost-server-path=" + path)
        self.guest.go(self.size)

    def signal(self, number):
        super().signal(number)
        if self.guest:
            self.guest.signal(number)

    def end(self):
        if self.guest:
            self.guest.end()
        super().end()

    def forward(self, action):
        """What becomes of packets from the guest."""
        path = os.path.join(self.dir, "flows")
        with open(path, "w") as out:
            out.write("in_port=1,actions=%s\n" % action)
        self.replace_rules(path)

    def look(self):
        return (*self.cycles(), *self.schedule(), time.monotonic(), self.counters()[1])


class OursCopying(Copying, peers.Ours):
    cycles = setups.Ours.cycles


class OursHuge(OursCopying):
    name, huge, hugepages = "ours, hugepages", True, "yes"


class OvsCopying(Copying, peers.Ovs):
    config, cycles = setups.Ovs.config, setups.Ovs.cycles


KINDS = OursCopying, OursHuge, OvsCopying


def reserve(pages):
    """How many hugepages there were."""
    with open(HUGEPAGES) as file:
        before = int(file.read())
    with open(HUGEPAGES, "w") as file:
        file.write(str(pages))
    return before


def cost(peer, seconds):
    """(cycles a packet, packets a second, packets sent a packet received)"""
    before = peer.look()
    time.sleep(seconds)
    busy, packets, ran, waited, elapsed, sent = (b - a for a, b in zip(before, peer.look()))
    if packets < 100:
        raise peers.Failure("%s: only %d packets came from the guest" % (peer.name, packets))
    had_core = ran / (ran + waited) if ran + waited else 1
    return busy * had_core / packets, packets / elapsed, sent / packets


def measure(peer, seconds, rounds):
    """Drops and sends in turns; the least of each, as what disturbs only adds."""
    received, both = [], []
    for _ in range(rounds):
        for action, found in (("drop", received), ("output:2", both)):
            peer.forward(action)
            time.sleep(0.3)
            found.append(cost(peer, seconds))
    if max(found[2] for found in both) < 0.5:
        raise peers.Failure("%s: packets are not sent to the guest" % peer.name)
    receive, total = min(received), min(both)
    return {"receive": receive[0], "send": max(0, total[0] - receive[0]), "rate": total[1]}


def run_one(kind, label, size, options, directory):
    peer = kind(os.path.join(directory, "peer"), os.cpu_count() - 1)
    peer.size = size
    rules = os.path.join(directory, "rules")
    with open(rules, "w") as out:
        out.write("in_port=1,actions=drop\n")
    try:
        peer.start(peers.Traffic([], 4096, "loop", None, "", 0), rules, None)
        result = measure(peer, min(options.seconds, 0.5), options.rounds)
    finally:
        peer.end()
    say("    %s, %s bytes: %.0f cycles to receive, %.0f to send, %.3f Mpps" % (
        kind.name, label, result["receive"], result["send"], result["rate"] / 1e6))
    return dict(result, size=label, bytes=size, switch=kind.name)


def run_all(options, directory):
    rows, failures, before = [], [], None
    try:
        for kind in KINDS:
            if (options.no_ovs and kind is OvsCopying) or (options.quick and kind is not OursCopying):
                continue
            for label, size in SIZES:
                try:
                    if kind is OursHuge and before is None:
                        before = reserve(RESERVED)
                    rows.append(run_one(kind, label, size, options, directory))
                except (peers.Failure, OSError, ValueError, KeyError, IndexError) as failure:
                    text = "%s, %s bytes: %s" % (kind.name, label, failure)
                    say("    failed: " + text)
                    failures.append(text)
            if kind is OursHuge and before is not None:
                reserve(before)
                before = None
    finally:
        if before is not None:
            reserve(before)
    return {"rows": rows, "failures": failures}
