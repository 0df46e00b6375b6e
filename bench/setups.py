"""What joins two hosts and two guests, once for each way of joining them.

Hosts are network namespaces ("near" and "far"), guests ("vm1" and "vm2") are small Linux in QEMU.
Every setup has the same addresses, as its namespaces are its own. As with all peers, a setup is
stopped, guests and all, while another is measured.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import peers

GUEST_SH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "vm", "guest.sh")
ADDRESSES = {"near": "10.66.0.1", "far": "10.66.0.2", "vm1": "10.66.0.11", "vm2": "10.66.0.12"}
MACS = {"vm1": "52:54:00:66:00:11", "vm2": "52:54:00:66:00:12"}
MEGABYTES = 224
TCP, SMALL = 5201, 7700  # ports of iperf3 and of netload


class Image:
    """What guests boot from: kernel, initial RAM disk, and how they are run."""

    def __init__(self, netload, directory):
        script = (". \"$1\"; guest_build >&2 && base=$(guest_build_base) && "
                  "extra=$(guest_build_extra) && echo \"$base\" && echo \"$extra\" && "
                  "ls \"$GUEST_BUILD_DIR\"/linux/boot/vmlinuz-* && cat \"$GUEST_BUILD_DIR/accel\"")
        path = "%s:%s" % (os.path.dirname(netload), os.environ["PATH"])
        done = peers.run("bash", "-c", script, "bash", GUEST_SH, timeout=300, environment=dict(
            os.environ, PATH=path, GUEST_PROGRAMS="netload"))
        base, extra, self.kernel, self.accel = done.split()[:4]
        self.initrd = os.path.join(directory, "initrd")
        with open(self.initrd, "wb") as out:
            for part in (base, extra):
                with open(part, "rb") as file:
                    shutil.copyfileobj(file, out)


class Setup(peers.Peer):
    """Of one kind; `ends` are its ends by name, each with a command prefix to run in it."""

    title, note = "", ""
    guests = True
    hosts = True
    cycles = None  # (busy cycles, packets) so far; not all setups know

    def __init__(self, directory, core, image, netload):
        super().__init__(directory, core)
        self.image, self.netload, self.spaces = image, netload, {}

    # ---- Hosts ----

    def space(self, name):
        """A network namespace that lives as long as a process that does nothing."""
        process = self.spawn(["sleep", "infinity"])
        self.spaces[name] = process.pid
        self.wait_for(lambda: os.readlink("/proc/%d/ns/net" % process.pid)
                      != os.readlink("/proc/self/ns/net"), 5, "get a network namespace")
        self.inside(name, "ip", "link", "set", "lo", "up")

    def enter(self, name):
        return ["nsenter", "--net=/proc/%d/ns/net" % self.spaces[name]]

    def inside(self, name, *command, timeout=30):
        return peers.run(*self.enter(name), *command, timeout=timeout)

    def give(self, device, owner, name):
        """A device of one namespace to another, where it becomes that host's."""
        self.inside(owner, "ip", "link", "set", device, "netns", str(self.spaces[name]))
        self.inside(name, "ip", "address", "add", ADDRESSES[name] + "/24", "dev", device)
        self.inside(name, "ip", "link", "set", device, "up")

    def serve(self, name):
        for command in (["iperf3", "-s", "-p", str(TCP)], [self.netload, "serve", str(SMALL)]):
            self.spawn([*self.enter(name), *command])

    # ---- Guests ----

    def boot(self, name, network, space=None):
        directory = os.path.join(self.dir, name)
        os.makedirs(directory)
        for fifo in ("exec.in", "exec.out"):
            os.mkfifo(os.path.join(directory, fifo))
        process = self.spawn([
            *(self.enter(space) if space else ()), "qemu-system-x86_64",
            "-name", "guest=%s,process=%s" % (name, directory), "-accel", self.image.accel,
            "-cpu", "host" if self.image.accel == "kvm" else "max", "-m", str(MEGABYTES),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "pc,memory-backend=memory",
            "-object", "memory-backend-memfd,id=memory,size=%dM,share=on" % MEGABYTES,
            "-serial", "file:%s/console.log" % directory,
            "-chardev", "pipe,id=exec,path=%s/exec" % directory,
            "-device", "virtio-serial-pci,vectors=0,max_ports=2",
            "-device", "virtserialport,chardev=exec", "-kernel", self.image.kernel,
            "-initrd", self.image.initrd, *network,
            # vectors=0: with MSI-X QEMU 7.2 crashes when a vhost-user device starts under TCG.
            "-device", "virtio-net-pci,netdev=net,mac=%s,romfile=,vectors=0" % MACS[name],
            "-append", "console=ttyS0 quiet panic=-1 vsw.name=%s vsw.ip=%s/24" % (
                name, ADDRESSES[name])])
        with open(os.path.join(directory, "pid"), "w") as out:
            out.write("%d\n" % process.pid)

    def boot_vhost(self, name):
        """QEMU listens, the switch connects. Returns the socket's path."""
        path = os.path.join(self.dir, name + ".sock")
        self.boot(name, ["-chardev", "socket,id=char,path=%s,server=on,wait=off" % path,
                         "-netdev", "vhost-user,id=net,chardev=char"])
        self.wait_for(lambda: os.path.exists(path), 20, "start QEMU")
        return path

    def booted(self, name):
        try:
            with open(os.path.join(self.dir, name, "console.log"), errors="replace") as log:
                return "guest: ready" in log.read()
        except FileNotFoundError:
            return False

    def guest(self, name, command, timeout=30):
        return peers.run("bash", GUEST_SH, "exec", name, command, timeout=timeout + 20,
                         environment=dict(os.environ, GUEST_RUN_DIR=self.dir,
                                          GUEST_TIMEOUT=str(timeout)))

    def confine_guests(self, cores):
        for name in ("vm1", "vm2"):
            with open(os.path.join(self.dir, name, "pid")) as file:
                pid = int(file.read())
            for task in os.listdir("/proc/%d/task" % pid):
                os.sched_setaffinity(int(task), cores)

    # ---- All ----

    def ready(self):
        """After its parts have been started."""
        if self.hosts:
            self.serve("far")
        for name in ("vm1", "vm2") if self.guests else ():
            self.wait_for(lambda name=name: self.booted(name), 120, "boot " + name)
            self.guest(name, "iperf3 -s -D -p %d; netload serve %d >/dev/null 2>&1 </dev/null &" % (
                TCP, SMALL))
        # Guests begin with what their link brings, and a switch with what it has to learn.
        if self.hosts:
            for name in ("far", "vm1", "vm2") if self.guests else ("far",):
                self.wait_for(lambda name=name: self.answers(
                    self.inside, "near", "ping", "-q", "-c", "1", "-w", "1", ADDRESSES[name]),
                              30, "reach %s from near" % name)
        if self.guests:
            self.wait_for(lambda: self.answers(
                self.guest, "vm1", "ping -q -c 1 -w 1 " + ADDRESSES["vm2"]), 30, "reach vm2 from vm1")

    @staticmethod
    def answers(function, *words):
        try:
            function(*words)
            return True
        except peers.Failure:
            return False

    def last_words(self):
        words = super().last_words()
        return words if words != "no message" else "see its guests"


class Native(Setup):
    name, title = "native", "native: veth between two namespaces"
    guests = False

    def start(self):
        for name in ("near", "far"):
            self.space(name)
        self.inside("near", "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        self.give("v1", "near", "far")
        self.give("v0", "near", "near")
        self.ready()


class LinuxBridge(Setup):
    """What a user without a virtual switch has: veth for namespaces, tap for guests."""

    name, title = "bridge", "Linux bridge"

    def start(self):
        for name in ("switch", "near", "far"):
            self.space(name)
        self.inside("switch", "ip", "link", "add", "name", "bridge0", "type",
                    "bridge", "stp_state", "0")
        self.inside("switch", "ip", "link", "set", "bridge0", "up")
        for name in ("near", "far"):
            self.inside("switch", "ip", "link", "add", name, "type", "veth", "peer", "name",
                        name + "-in")
            self.attach(name)
            self.give(name + "-in", "switch", name)
        for name in ("vm1", "vm2"):
            self.inside("switch", "ip", "tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr")
            self.attach(name)
            self.boot(name, ["-netdev", "tap,id=net,ifname=%s,script=no,downscript=no,vhost=off"
                             % name], "switch")
        self.ready()

    def attach(self, device):
        self.inside("switch", "ip", "link", "set", device, "master", "bridge0")
        self.inside("switch", "ip", "link", "set", device, "up")


class Switch(Setup):
    """A switch of its own process, with two devices for hosts and two vhost-user ports."""

    def start_ports(self):
        self.spaces["switch"] = self.pid
        for name in ("near", "far"):
            self.space(name)
            self.add_host_port(name)
            self.wait_for(lambda name=name: self.has_device(name), 10, "make the device " + name)
            self.give(name, "switch", name)
        for name in ("vm1", "vm2"):
            self.add_port(name, {"vm1": 3, "vm2": 4}[name], "type=dpdkvhostuserclient",
                          "options:vhost-server-path=" + self.boot_vhost(name))

    def has_device(self, name):
        return subprocess.run([*self.enter("switch"), "ip", "link", "show", name], check=False,
                              capture_output=True).returncode == 0

    def start(self):
        rules = os.path.join(self.dir, "flows")
        with open(rules, "w") as out:
            out.write("actions=NORMAL\n")
        self.switch_kind.start(self, peers.Traffic([], 4096, "loop", None, "", 0), rules, None)
        self.ready()


class Ours(Switch, peers.Ours):
    name, title = "ours", "our switch"
    switch_kind, tso = peers.Ours, True

    def add_ports(self, _traffic):
        if not self.tso:
            self.vsctl("set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=false")
        self.start_ports()

    def add_host_port(self, name):
        self.add_port(name, {"near": 1, "far": 2}[name], "type=tap")

    def cycles(self):
        worker = json.loads(self.vsctl("--json", "workers"))["workers"][0]
        return worker["busy_cycles"], worker["packets"]


class OursWithout(Ours):
    name, title, tso = "ours-off", "our switch, TSO off", False


class Ovs(Switch, peers.Ovs):
    name, title = "ovs-tso", "OVS-DPDK, TSO on"
    switch_kind, config = peers.Ovs, ("other_config:userspace-tso-enable=true",)

    def add_ports(self, _traffic):
        self.start_ports()

    def add_host_port(self, name):
        self.add_port(name, {"near": 1, "far": 2}[name], "type=internal")

    def cycles(self):
        text = self.appctl("dpif-netdev/pmd-stats-show").split("main thread")[0]
        busy = re.search(r"processing cycles: (\d+)", text)
        packets = re.search(r"packets received: (\d+)", text)
        return (int(busy[1]) if busy else 0), (int(packets[1]) if packets else 0)


class OvsWithout(Ovs):
    name, title, config = "ovs", "OVS-DPDK, TSO off", ()


class Loop(Setup, peers.Testpmd):
    """testpmd, which hands on what the one guest sends to the other, and looks at nothing."""

    name, title = "loop", "bare loop: testpmd, net_vhost with tso=1"
    hosts = False

    def start(self):
        sockets = [self.boot_vhost(name) for name in ("vm1", "vm2")]
        qemus, self.processes = self.processes, []  # testpmd is to be the first of them
        try:
            self.spawn_testpmd(512, ["-l", "0,%d" % self.core],
                               ["net_vhost%d,iface=%s,client=1,tso=1" % (i, path)
                                for i, path in enumerate(sockets)],
                               ["--total-num-mbufs=32768"], dict(os.environ))
        finally:
            self.processes += qemus
        self.begin()
        self.ready()


KINDS = Native, Ours, OursWithout, LinuxBridge, Ovs, OvsWithout, Loop


def missing_programs():
    for program in ("qemu-system-x86_64", "iperf3", "nsenter", "ip", "ping"):
        if not shutil.which(program):
            sys.exit("%s is missing: scripts/install-deps.sh demo bench" % program)
