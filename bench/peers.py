"""The switches that are compared: each forwards what it gets on a replayed capture, on one core.

All are alive at a time, but only one runs: the others are stopped (SIGSTOP). So measurements can
alternate quickly, A B C A B C, and a warm switch stays warm.
"""

import ctypes
import json
import mmap
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

OVS_DPDK = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
OVS_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
INFINITE_PACKETS = 32768  # more packets than that take too many buffers: they are replayed
LIBC = ctypes.CDLL(None)


def schedule_of(pid, thread):
    with open("/proc/%d/task/%d/schedstat" % (pid, thread)) as stat:
        return tuple(map(int, stat.read().split()[:2]))


class Failure(Exception):
    """A peer cannot do this: becomes a row with the reason."""


def prepare_child():
    """A child does not outlive this program, even if that is killed, and its interfaces are in a
    network namespace that ends with it."""
    LIBC.prctl(1, signal.SIGKILL)
    LIBC.unshare(0x40000000)


def run(*command, timeout=60, environment=None, text=None):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, input=text,
                              env=environment, check=False)
    except subprocess.TimeoutExpired:
        raise Failure("%s took longer than %d s" % (" ".join(command[:3]), timeout)) from None
    except OSError as error:
        raise Failure(str(error)) from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise Failure("%s: %s" % (os.path.basename(command[0]), lines[-1][:200]))
    return done.stdout


class Traffic:
    """What a workload's packets are: the captures, how they are replayed, the ports they enter."""

    def __init__(self, captures, packets, mode, attack, shim, mhz, control=None):
        self.captures = captures
        self.packets = packets
        self.infinite = mode == "loop" and not attack and not control and (
            packets <= INFINITE_PACKETS)
        self.environment = dict(os.environ)
        if not self.infinite:
            self.environment.update(LD_PRELOAD=shim, REPLAY=mode, REPLAY_TSC_MHZ="%.3f" % mhz)
            if attack:
                self.environment.update(REPLAY_ATTACK=attack[0], REPLAY_ATTACK_RATE=attack[1])
            if control:
                self.environment.update(REPLAY_CONTROL=control.path)

    def devices(self):
        """DPDK devices in the order of ports 1, 2: the second is another source, or a sink."""
        inputs = ["net_pcap%d,rx_pcap=%s%s" % (i, path, ",infinite_rx=1" if self.infinite else "")
                  for i, path in enumerate(self.captures)]
        return inputs if len(inputs) == 2 else inputs + ["net_null0,no-rx=1"]

    def buffers(self):
        return 32768 + (self.packets * len(self.captures) if self.infinite else 0)


class Control:
    """What replay.c replays, changed while everything runs (struct control there)."""

    FORMAT = "=III500s"

    def __init__(self, path):
        self.path, self.generation = path, 0
        size = struct.calcsize(self.FORMAT)
        with open(path, "wb") as file:
            file.write(bytes(size))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), size)
        self.capture, self.flows = "", 0

    def set(self, silent, capture=None, flows=None):
        self.capture = self.capture if capture is None else capture
        self.flows = self.flows if flows is None else flows
        self.generation += 1
        self.memory[4:] = struct.pack(self.FORMAT, 0, silent, self.flows,
                                      self.capture.encode())[4:]
        self.memory[:4] = struct.pack("=I", self.generation)


class Peer:
    name = ""

    def __init__(self, directory, core):
        self.dir = directory
        self.core = core
        self.processes = []
        self.pid = 0  # of the process that forwards
        self.thread = 0
        os.makedirs(directory, exist_ok=True)

    def spawn(self, command, environment=None, **streams):
        log = open(os.path.join(self.dir, "output"), "ab")
        streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **streams}
        process = subprocess.Popen(command, preexec_fn=prepare_child, env=environment,
                                   start_new_session=True, **streams)
        log.close()
        self.processes.append(process)
        return process

    def wait_for(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            if any(process.poll() is not None for process in self.processes):
                raise Failure("%s ended while it should %s: %s" % (self.name, what, self.last_words()))
            if time.monotonic() > end:
                raise Failure("%s did not %s within %d s" % (self.name, what, seconds))
            time.sleep(0.02)

    def last_words(self):
        try:
            with open(os.path.join(self.dir, "output"), errors="replace") as log:
                lines = [line.strip() for line in log if line.strip()]
            return lines[-1][-160:] if lines else "no message"
        except OSError:
            return "no message"

    def find_thread(self, pattern):
        for task in os.listdir("/proc/%d/task" % self.pid):
            with open("/proc/%d/task/%s/comm" % (self.pid, task)) as comm:
                if re.search(pattern, comm.read()):
                    self.thread = int(task)
                    return True
        return False

    def schedule(self):
        """Nanoseconds for which the forwarding thread ran, and for which it was ready but did not
        have its core."""
        return schedule_of(self.pid, self.thread)

    def preempted(self):
        return self.schedule()[1]

    def began(self):
        """When the first packet came, by the clock of samples. Asked soon after."""
        return self.started

    def replace_rules(self, rules):
        pass

    def sample(self):
        """(time, time without its core, packets received, packets sent)"""
        before = time.monotonic_ns()
        received, sent = self.counters()
        after = time.monotonic_ns()
        return (before + after) / 2, self.preempted(), received, sent

    def stop(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def signal(self, number):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def end(self):
        self.resume()
        for process in reversed(self.processes):
            if process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []
        shutil.rmtree(self.dir, ignore_errors=True)

    def counters(self):
        raise NotImplementedError


class Testpmd(Peer):
    """dpdk-testpmd, at its prompt. Files of DPDK's own there are none (--no-shconf)."""

    memory = ("--no-huge",)

    def spawn_testpmd(self, megabytes, cores, devices, words, environment):
        process = self.spawn(
            # Its prompt is not buffered; what it prints before must not come later.
            ["stdbuf", "-oL", "dpdk-testpmd", *self.memory, "--no-shconf", "-m", str(megabytes),
             "--no-pci", "--no-telemetry", "--file-prefix=%s-%d" % (self.name, os.getpid()), *cores,
             *("--vdev=" + device for device in devices), "--", "--forward-mode=io", "--burst=32",
             "--no-lsc-interrupt", "-i", *words],
            environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.pid = process.pid
        self.output, self.seen = b"", threading.Condition()
        threading.Thread(target=self.read_output, args=(process,), daemon=True).start()

    def begin(self, command="start"):
        self.ask("", 60)
        self.ask(command, 20)
        self.wait_for(lambda: self.find_thread("worker|lcore"), 5, "start its worker")

    def read_output(self, process):
        while data := os.read(process.stdout.fileno(), 65536):
            with self.seen:
                self.output += data
                self.seen.notify()
        with self.seen:
            self.seen.notify()

    def ask(self, command, seconds=10):
        """What it prints until its next prompt."""
        process = self.processes[0]
        with self.seen:
            if command:
                self.output = b""
                process.stdin.write(command.encode() + b"\n")
                process.stdin.flush()
            end = time.monotonic() + seconds
            while not self.output.endswith(b"testpmd> ") or self.output.count(b"\n") < bool(command):
                if process.poll() is not None or time.monotonic() > end:
                    words = self.output.decode(errors="replace").strip().splitlines()
                    raise Failure("testpmd: %s" % (words[-1] if words else "no answer"))
                self.seen.wait(0.05)
            return self.output.decode(errors="replace")

    def counters(self):
        text = self.ask("show port stats all")
        return (sum(map(int, re.findall(r"RX-packets: *(\d+)", text))),
                sum(map(int, re.findall(r"TX-packets: *(\d+)", text))))


class Floor(Testpmd):
    """Its io mode: packets go from port to port, nobody looks at them."""

    name = "testpmd"

    def start(self, traffic, _rules, _groups, _macs=None):
        self.spawn_testpmd(traffic.buffers() * 3 // 1024 + 128, ["-l", "0,%d" % self.core],
                           traffic.devices(), ["--total-num-mbufs=%d" % traffic.buffers()],
                           traffic.environment)
        self.begin()


class Ours(Peer):
    name = "ours"
    hugepages = "no"

    def start(self, traffic, rules, groups, macs=None):
        environment = dict(traffic.environment, VSWITCH_RUN_DIR=self.dir)
        process = self.spawn(
            ["vswitchd", "--run-dir", self.dir, "--db", self.dir + "/db", "--log-file",
             self.dir + "/output", "--workers", str(self.core), "--hugepages", self.hugepages,
             "--memory", str(traffic.buffers() * 3 // 1024)], environment)
        self.pid = process.pid
        self.vsctl = lambda *words: run("vsctl", "--timeout", "120", *words, timeout=130,
                                        environment=dict(os.environ, VSWITCH_RUN_DIR=self.dir))
        path = self.dir + "/vswitchd.sock"
        self.wait_for(lambda: os.path.exists(path), 20, "start")
        self.vsctl("add-br", "br")
        self.vsctl("del-flows", "br")
        if macs:
            self.vsctl("set", "Bridge", "br", "other_config:mac-table-size=" + macs)
        if groups:
            self.vsctl("add-groups", "br", groups)
        self.vsctl("add-flows", "br", rules)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.replies = self.socket.makefile("rb")
        self.find_thread("^worker-0")
        self.add_ports(traffic)

    def add_ports(self, traffic):
        first, second = traffic.devices()
        self.add_port("p2", 2, "type=dpdk", "options:dpdk-devargs=" + second)
        self.started, (self.ran, self.waited) = time.monotonic_ns(), self.schedule()
        self.add_port("p1", 1, "type=dpdk", "options:dpdk-devargs=" + first)

    def add_port(self, name, number, *words):
        self.vsctl("add-port", "br", name, "ofport_request=%d" % number, *words)

    def began(self):
        # Before its first packet the worker slept but for a nap now and then; since, it ran.
        ran, waited = self.schedule()
        now = time.monotonic_ns()
        return max(self.started, now - (ran - self.ran) - (waited - self.waited))

    def replace_rules(self, rules):
        self.vsctl("del-flows", "br")
        self.vsctl("add-flows", "br", rules)

    def counters(self):
        self.socket.sendall(b'{"id":1,"commands":[{"name":"dump-ports","args":["br"]}]}\n')
        reply = json.loads(self.replies.readline())
        ports = [port for port in reply["results"][0] if port["name"] in ("p1", "p2")]
        return (sum(port["rx_packets"] for port in ports),
                sum(port["tx_packets"] for port in ports))


class Ovs(Peer):
    """Open vSwitch with DPDK as Debian packages it, in a directory of its own."""

    name = "OVS-DPDK"
    prefix = "ovs "
    binary = OVS_DPDK
    load_seconds = 300  # rules may take so long
    config = ()  # more of other_config, from the start
    # Changed while it runs, in this order; "best" is the best of all. Words with a space in them
    # are for ovs-appctl, others for other_config.
    settings = {
        "default": (),
        "smc": ("smc-enable=true", "flow-limit=1000000", "max-idle=300000"),
        "smc, emc 1": ("smc-enable=true", "flow-limit=1000000", "max-idle=300000",
                       "emc-insert-inv-prob=1"),
        "smc, emc 0": ("smc-enable=true", "flow-limit=1000000", "max-idle=300000",
                       "emc-insert-inv-prob=0"),
    }

    def start(self, traffic, rules, groups, macs=None):
        if not os.path.exists(self.binary):
            raise Failure("%s is missing" % self.binary)
        directory, database = self.dir, "unix:%s/db.sock" % self.dir
        environment = dict(traffic.environment)
        for name in ("RUN", "DB", "LOG", "SYSCONF"):
            environment["OVS_%sDIR" % name] = directory
        tools = {name: value for name, value in environment.items() if name != "LD_PRELOAD"}
        self.vsctl = lambda *words: run(
            "ovs-vsctl", "--timeout=20", "--db=" + database, *words, timeout=30, environment=tools)
        run("ovsdb-tool", "create", directory + "/conf.db", OVS_SCHEMA, environment=tools)
        self.spawn(["ovsdb-server", directory + "/conf.db", "--remote=p" + database, "-vconsole:off",
                    "--unixctl=%s/db.ctl" % directory, "--pidfile=%s/db.pid" % directory], tools)
        self.wait_for(lambda: os.path.exists(directory + "/db.sock"), 10, "start its database")
        self.vsctl("--no-wait", "init")
        megabytes = 1024 + traffic.buffers() * 3 // 1024
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   "other_config:pmd-cpu-mask=%#x" % (1 << self.core),
                   "other_config:dpdk-lcore-mask=0x1", *self.config,
                   'other_config:dpdk-extra="--no-huge --legacy-mem --no-shconf -m %d --no-pci '
                   '--no-telemetry --file-prefix=ovs-%d"' % (megabytes, os.getpid()))
        process = self.spawn(
            [self.binary, database, "--pidfile=%s/switch.pid" % directory, "--disable-system",
             "--unixctl=%s/ctl" % directory, "-vconsole:warn"], environment)
        self.pid = process.pid
        self.wait_for(lambda: os.path.exists(directory + "/ctl"), 20, "start")
        self.vsctl("add-br", "br", "--", "set", "bridge", "br", "datapath_type=netdev",
                   "fail-mode=secure", "protocols=OpenFlow10,OpenFlow13,OpenFlow15")
        if macs:
            self.vsctl("set", "bridge", "br", "other_config:mac-table-size=" + macs)
        self.ofctl = lambda *words: run(
            "ovs-ofctl", "-O", "OpenFlow15", "--timeout=%d" % self.load_seconds, *words,
            environment=tools, timeout=self.load_seconds + 10)
        if groups:
            self.ofctl("add-groups", "br", groups)
        self.ofctl("add-flows", "br", rules)
        self.connect(directory + "/ctl")
        self.add_ports(traffic)
        self.wait_for(lambda: self.find_thread("^pmd-c"), 10, "start its packet thread")

    def add_ports(self, traffic):
        first, second = traffic.devices()
        self.add_port("p2", 2, "type=dpdk", "options:dpdk-devargs=" + second)
        self.started = time.monotonic_ns()
        self.add_port("p1", 1, "type=dpdk", "options:dpdk-devargs=" + first)

    def add_port(self, name, number, *words):
        self.vsctl("add-port", "br", name, "--", "set", "interface", name,
                   "ofport_request=%d" % number, *words)
        trouble = self.vsctl("get", "interface", name, "error").strip()
        if trouble not in ("[]", '""'):
            raise Failure("OVS-DPDK: " + trouble)

    def replace_rules(self, rules):
        self.ofctl("del-flows", "br")
        self.ofctl("add-flows", "br", rules)

    def set(self, setting):
        words = self.settings[setting]
        config = ["other_config:" + word for word in words if " " not in word]
        if config:
            self.vsctl("--no-wait", "set", "Open_vSwitch", ".", *config)
        for word in words:
            if " " in word:
                self.appctl(*word.split())

    def connect(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.decoder, self.calls = json.JSONDecoder(), 0

    def appctl(self, method, *params):
        self.calls += 1
        request = {"id": self.calls, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode())
        text = ""
        while True:
            data = self.socket.recv(65536)
            if not data:
                raise Failure("OVS-DPDK ended: " + self.last_words())
            text += data.decode()
            try:
                reply = self.decoder.raw_decode(text)[0]
                break
            except ValueError:
                continue
        if reply.get("error"):
            raise Failure("OVS-DPDK: %s" % str(reply["error"]).strip())
        return reply["result"]

    def counters(self):
        received = sent = 0
        for port in re.split(r"\n  port ", self.appctl("dpctl/show", "-s"))[1:]:
            if re.match(r"\d+: p[12] ", port):
                counted = re.search(r"RX packets:(\d+)[^T]*TX packets:(\d+)", port)
                if not counted:
                    raise Failure("OVS-DPDK does not tell what it counts: " + port[:100])
                received += int(counted[1])
                sent += int(counted[2])
        return received, sent


class OvsNative(Ovs):
    """One that somebody built for this processor (--native): its AVX-512 code is tried as well."""

    name = "OVS-native"
    prefix = "ovs native, "
    binary = ""  # as given
    settings = {
        "smc": Ovs.settings["smc"],
        "smc, avx512": (
            *Ovs.settings["smc"],
            "dpif-netdev/subtable-lookup-prio-set avx512_gather 5",
            "dpif-netdev/miniflow-parser-set study",
            "dpif-netdev/dpif-impl-set dpif_avx512",
        ),
    }


KINDS = Floor, Ours, Ovs, OvsNative
