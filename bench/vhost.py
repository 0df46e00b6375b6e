"""A guest on both sides of the switch: dpdk-testpmd with two virtio-user devices, on the other core.

It begins with as many packets as its rings hold half of and sends back on one port what comes on
the other, so packets go in circles, both ways, and none is lost: what limits the rate is whichever
of guest and switch takes longer for a packet. The guest and its switch are stopped together.
"""

import os
import time

import peers

RING = 1024
READY = 1.0  # seconds until rings are polled that just came: what is sent before is lost
FIRST = RING // 2 // 32  # bursts of 32 for each direction


class Guest(peers.Testpmd):
    name = "guest"

    def start(self, size, sockets):
        devices = ["net_virtio_user%d,path=%s,server=1,queue_size=%d,in_order=1,mrg_rxbuf=0,"
                   "mac=02:00:00:00:00:%02x" % (i, path, RING, i + 1)
                   for i, path in enumerate(sockets)]
        self.spawn_testpmd(256, ["--lcores", "0@%d,1@%d" % (self.core, self.core)], devices,
                           ["--total-num-mbufs=16384", "--txpkts=%d" % size,
                            "--rxd=%d" % RING, "--txd=%d" % RING], dict(os.environ))


class WithGuest:
    """For a peer: its two ports are guests'."""

    size = 60
    guest = None
    waits, waited_for = (0, 0), 0

    def make_guest(self):
        self.guest = Guest(os.path.join(self.dir, "guest"), 0)
        self.sockets = [os.path.join(self.dir, "guest%d" % i) for i in range(2)]
        self.guest.start(self.size, self.sockets)

    def connected(self):
        """What a port counts can be asked for once it knows its guest's rings."""
        try:
            self.counters()
            return True
        except peers.Failure:
            return False

    def begin_guest(self):
        self.guest.ask("", 60)
        self.wait_for(self.connected, 20, "connect to its guests")
        time.sleep(READY)
        self.started = time.monotonic_ns()
        self.guest.begin("start tx_first %d" % FIRST)

    def signal(self, number):
        super().signal(number)
        if self.guest:
            self.guest.signal(number)

    def end(self):
        super().end()
        if self.guest:
            self.guest.end()

    def preempted(self):
        # Either waits for the other, so what stops one stops both. When both were ready without a
        # core in the time since the last look, most of that is one and the same: the longer counts.
        now = super().preempted(), self.guest.preempted()
        self.waited_for += max(a - b for a, b in zip(now, self.waits))
        self.waits = now
        return self.waited_for

    def began(self):
        return self.started


class VhostFloor(WithGuest, peers.Testpmd):
    name = "testpmd"

    def start(self, traffic, _rules, _groups, _macs=None):
        self.make_guest()
        self.spawn_testpmd(256, ["-l", "0,%d" % self.core],
                           ["net_vhost%d,iface=%s,client=1" % (i, path)
                            for i, path in enumerate(self.sockets)],
                           ["--total-num-mbufs=%d" % traffic.buffers()], dict(os.environ))
        self.begin()
        self.begin_guest()


class VhostOurs(WithGuest, peers.Ours):
    def add_ports(self, traffic):
        self.make_guest()
        for i, path in enumerate(self.sockets):
            self.add_port("p%d" % (i + 1), i + 1, "type=dpdkvhostuserclient",
                          "options:vhost-server-path=" + path)
        self.begin_guest()


class VhostOvs(WithGuest, peers.Ovs):
    add_ports = VhostOurs.add_ports


class VhostOvsNative(WithGuest, peers.OvsNative):
    add_ports = VhostOurs.add_ports


def kinds(size):
    """Floor, ours, OVS and OVS built natively, for frames of so many bytes."""
    for kind in (VhostFloor, VhostOurs, VhostOvs, VhostOvsNative):
        kind.size = size
    return VhostFloor, VhostOurs, VhostOvs, VhostOvsNative
