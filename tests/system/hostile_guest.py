#!/usr/bin/env python3
"""A vhost-user front end without manners.

    hostile_guest.py PID SOCKETS TAP CASES-FILE

PID is the daemon's, SOCKETS the directory where each port has its socket, TAP an interface on the
bridge of all of them. With "--list" as the only argument it prints the names of the ports that it
wants, one per case; a port serves one case, because a port that was attacked lets nobody in for a
while. What happened to each is compared with what the daemon says about it by the caller:
CASES-FILE gets a line "PORT REASON" for each port whose guest must have been cut off.
"""
import ctypes
import mmap
import os
import random
import select
import socket
import struct
import sys
import threading
import time

VERSION = 1
NEED_REPLY = 8
GUEST, USER = 0x100000, 0x1000000000  # addresses of the memory, in the guest and its process
MEMORY = 0x400000
DATA = 0x200000  # offset of packets
SIZE = 64  # of a ring
HEADER = 12
PACKED, LOG_ALL, EVENT_IDX = 1 << 34, 1 << 26, 1 << 29
F_PROTOCOL, IOMMU = 1 << 30, 1 << 33
NEXT, WRITE, INDIRECT = 1, 2, 4
AVAIL, USED = 1 << 7, 1 << 15
TYPE = 0x88B5
MFD_CLOEXEC, MFD_ALLOW_SEALING = 1, 2

(GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE, SET_LOG_BASE, SET_LOG_FD,
 SET_NUM, SET_ADDR, SET_BASE, GET_BASE, SET_KICK, SET_CALL, SET_ERR, GET_PROTOCOL, SET_PROTOCOL,
 GET_QUEUES, SET_ENABLE, SEND_RARP, SET_MTU) = range(1, 21)


class Cut(Exception):
    """The switch ended the connection."""


def u64(value):
    return struct.pack("<Q", value & (1 << 64) - 1)


def state(ring, value):
    return struct.pack("<II", ring, value & 0xFFFFFFFF)


class Guest:
    """One connection, with memory and two rings. Every step can be done wrongly."""

    def __init__(self, path, packed=False, seals=False, features=None):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(5)
        self.socket.connect(path)
        self.path, self.packed, self.want = path, packed, features
        self.features = 0
        self.fd = os.memfd_create("hostile", MFD_CLOEXEC | (MFD_ALLOW_SEALING if seals else 0))
        os.ftruncate(self.fd, MEMORY)
        self.memory = mmap.mmap(self.fd, MEMORY)
        self.kick = [os.eventfd(0), os.eventfd(0)]
        self.call = [os.eventfd(0), os.eventfd(0)]
        self.next, self.wrap, self.slot = [0, 0], [1, 1], 0

    def close(self):
        self.socket.close()
        self.memory.close()
        for fd in [self.fd] + self.kick + self.call:
            os.close(fd)

    # --- messages ---

    def send(self, request, payload=b"", fds=(), flags=VERSION, size=None):
        message = struct.pack("<III", request, flags, len(payload) if size is None else size)
        self.raw(message + payload, fds)

    def raw(self, message, fds=()):
        try:
            if fds:
                socket.send_fds(self.socket, [message], fds)
            else:
                self.socket.sendall(message)
        except (BrokenPipeError, ConnectionResetError):
            raise Cut from None

    def receive(self, size):
        data = b""
        while len(data) < size:
            try:
                part = self.socket.recv(size - len(data))
            except ConnectionResetError:
                part = b""
            if not part:
                raise Cut
            data += part
        return data

    def answer(self):
        header = self.receive(12)
        return self.receive(struct.unpack("<III", header)[2])

    def ask(self, request, payload=b""):
        self.send(request, payload)
        return struct.unpack("<Q", self.answer())[0]

    def settle(self):
        """Everything said so far was taken."""
        self.ask(GET_FEATURES)

    def must_be_cut(self, seconds=4):
        self.socket.settimeout(seconds)
        try:
            while True:
                self.receive(1)
        except Cut:
            return

    # --- the usual course of events ---

    def negotiate(self):
        offered = self.ask(GET_FEATURES)
        self.features = offered & ~(PACKED | LOG_ALL | IOMMU)
        if self.want is not None:
            self.features = offered & self.want
        if self.packed:
            self.features |= PACKED
        protocol = self.ask(GET_PROTOCOL)
        self.send(SET_PROTOCOL, u64(protocol & 0x1001F))
        self.send(SET_OWNER)
        self.send(SET_FEATURES, u64(self.features))

    def table(self, regions=None, fds=None, count=None):
        if regions is None:
            regions = [(GUEST, MEMORY, USER, 0)]
        if fds is None:
            fds = [self.fd] * len(regions)
        payload = struct.pack("<II", len(regions) if count is None else count, 0)
        for region in regions:
            payload += struct.pack("<QQQQ", *(value & (1 << 64) - 1 for value in region))
        self.send(SET_MEM_TABLE, payload, fds)

    @staticmethod
    def place(ring):
        base = ring * 0x20000
        return base, base + 0x8000, base + 0x10000

    def addresses(self, ring, descriptors=None, available=None, used=None, flags=0, log=0):
        at = [USER + offset for offset in self.place(ring)]
        self.send(SET_ADDR, struct.pack("<IIQQQQ", ring, flags,
                                        at[0] if descriptors is None else descriptors,
                                        at[2] if used is None else used,
                                        at[1] if available is None else available, log))

    def base(self, ring, value=None):
        if value is None:
            value = 0x80008000 if self.packed else 0
        self.send(SET_BASE, state(ring, value))

    def start_ring(self, ring, size=SIZE):
        self.send(SET_NUM, state(ring, size))
        self.base(ring)
        self.addresses(ring)
        self.send(SET_CALL, u64(ring), [self.call[ring]])
        self.send(SET_KICK, u64(ring), [self.kick[ring]])
        self.send(SET_ENABLE, state(ring, 1))

    def steps(self):
        """All of the above, one message at a time."""
        yield lambda: self.ask(GET_FEATURES)
        yield self.negotiate
        yield self.table
        for ring in (0, 1):
            yield lambda: self.send(SET_NUM, state(ring, SIZE))
            yield lambda: self.base(ring)
            yield lambda: self.addresses(ring)
            yield lambda: self.send(SET_CALL, u64(ring), [self.call[ring]])
            yield lambda: self.send(SET_KICK, u64(ring), [self.kick[ring]])
            yield lambda: self.send(SET_ENABLE, state(ring, 1))

    def start(self):
        self.negotiate()
        self.table()
        self.send(SET_ENABLE, state(0, 1))
        for ring in (0, 1):
            self.start_ring(ring)
        self.settle()
        # A driver has to be told of; without a status message the rings decide.
        self.ask_status(15)

    def ask_status(self, value):
        self.send(39, u64(value))
        self.settle()

    # --- rings ---

    def write(self, offset, data):
        self.memory[offset:offset + len(data)] = data

    def read16(self, offset):
        return struct.unpack_from("<H", self.memory, offset)[0]

    def put(self, ring, index, address, length, flags, extra=0):
        """One descriptor: the last word is `next` (split) or the buffer's number (packed)."""
        order = "<QIHH"
        fields = (address & (1 << 64) - 1, length & 0xFFFFFFFF, flags, extra)
        if self.packed:
            fields = (fields[0], fields[1], extra, flags)
        self.write(self.place(ring)[0] + 16 * (index % SIZE), struct.pack(order, *fields))

    def publish(self, ring, head, step=1):
        _, available, _ = self.place(ring)
        index = self.read16(available + 2)
        self.write(available + 4 + 2 * (index % SIZE), struct.pack("<H", head & 0xFFFF))
        self.write(available + 2, struct.pack("<H", (index + step) & 0xFFFF))

    def chain(self, ring, descriptors):
        """Offer a chain of (address, length, flags) the way the layout wants it."""
        first = self.next[ring]
        for i, (address, length, flags) in enumerate(descriptors):
            index = self.next[ring]
            more = NEXT if i + 1 < len(descriptors) else 0
            if self.packed:
                bits = AVAIL if self.wrap[ring] else USED
                self.put(ring, index, address, length, flags | more | bits, first)
            else:
                self.put(ring, index, address, length, flags | more, (index + 1) % SIZE)
            self.next[ring] = (index + 1) % SIZE
            if not self.next[ring]:
                self.wrap[ring] ^= 1
        if not self.packed:
            self.publish(ring, first)
        self.ring_bell(ring)

    def ring_bell(self, ring):
        os.eventfd_write(self.kick[ring], 1)

    def transmit(self, frame, header=bytes(HEADER)):
        offset = DATA + self.slot * 0x1000
        self.slot = (self.slot + 1) % 64
        self.write(offset, header + frame)
        self.chain(1, [(GUEST + offset, len(header) + len(frame), 0)])

    def offer_buffers(self, n=SIZE // 2, length=2048):
        for i in range(n):
            self.chain(0, [(GUEST + DATA + 0x100000 + i * 0x1000, length, WRITE)])

    def received(self, mark):
        area = DATA + 0x100000
        return self.memory[area:area + SIZE * 0x1000].find(mark) >= 0


class Tap:
    """The bridge's other end: what guests send arrives here, what is sent here they all get."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(TYPE))
        self.socket.bind((name, TYPE))
        self.socket.setblocking(False)

    def inject(self, n=1, mark=b"", length=100):
        for _ in range(n):
            frame = FRAME + mark
            self.socket.send(frame + bytes(max(0, length - len(frame))))

    def saw(self, mark):
        while True:
            try:
                if mark in self.socket.recv(65535):
                    return True
            except BlockingIOError:
                return False


FRAME = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x09" + struct.pack(">H", TYPE)
tap = None
sockets = None


def within(seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def both_ways(guest):
    """Packets pass between this guest and the tap."""
    mark = os.urandom(8).hex().encode()
    guest.offer_buffers()
    guest.transmit(FRAME + mark + bytes(60))
    assert within(5, lambda: tap.saw(mark)), "what the guest sent was lost"

    def arrives():
        tap.inject(1, mark[::-1])
        time.sleep(0.01)
        return guest.received(mark[::-1])

    assert within(5, arrives), "what was sent to the guest was lost"


def good_guest(port, packed=False):
    """A guest that behaves comes in (as soon as an attacked port opens again) and is served."""
    end = time.monotonic() + 8
    while True:
        guest = Guest(f"{sockets}/{port}", packed)
        try:
            guest.start()
            both_ways(guest)
            return
        except (Cut, TimeoutError):
            if time.monotonic() > end:
                raise
        finally:
            guest.close()


# --- cases ---

CASES = []  # (name, function, text of the reason or None)


def case(reason=None, name=None):
    def add(function):
        CASES.append((name or function.__name__, function, reason))
        return function
    return add


def message_case(name, reason, function):
    """A connection that is cut off for its last message."""
    def run(port):
        guest = Guest(f"{sockets}/{port}")
        try:
            function(guest)
            guest.must_be_cut()
        except Cut:
            pass
        finally:
            guest.close()
    CASES.append((name, run, reason))


def prepared(function):
    def run(guest):
        guest.negotiate()
        guest.table()
        function(guest)
    return run


def running(function, packed=False):
    def run(guest):
        guest.packed = packed
        guest.start()
        function(guest)
    return run


def packed_ring(function):
    def run(guest):
        guest.packed = True
        guest.negotiate()
        guest.table()
        function(guest)
    return run


def pipe_end():
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    try:
        while True:
            os.write(ends[1], bytes(4096))
    except BlockingIOError:
        pass
    os.set_blocking(ends[1], True)
    return ends[1]


def disk_file():
    path = "/var/tmp/hostile-guest.%d" % os.getpid()
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.unlink(path)
    os.ftruncate(fd, MEMORY)
    return fd


def readonly(fd):
    return os.open("/proc/self/fd/%d" % fd, os.O_RDONLY)


def memory_case(name, reason, regions, fds=None):
    def run(guest):
        guest.negotiate()
        guest.table(regions, None if fds is None else fds(guest))
    message_case(name, reason, run)


def add_message_cases():
    say = message_case
    say("version", "version", lambda g: g.send(GET_FEATURES, flags=2))
    say("flags", "flags", lambda g: g.send(GET_FEATURES, flags=VERSION | 0x80))
    say("reply", "flags", lambda g: g.send(GET_FEATURES, flags=VERSION | 4))
    for request in (0, 21, 22, 23, 24, 25, 26, 28, 31, 32, 34, 38, 41, 0xFFFF, 0xFFFFFFFF):
        say(f"unknown{request}", "unknown or needs", lambda g, r=request: g.send(r))
    say("size0", "payload of 0", lambda g: g.send(SET_FEATURES))
    say("size7", "payload of 7", lambda g: g.send(SET_FEATURES, bytes(7)))
    say("size9", "payload of 9", lambda g: g.send(SET_FEATURES, bytes(9)))
    say("huge", "payload of 4294967295", lambda g: g.send(SET_FEATURES, size=0xFFFFFFFF))
    say("empty_set_addr", "payload of 8", lambda g: g.send(SET_ADDR, bytes(8)))
    say("get_with_payload", "payload of 8", lambda g: g.send(GET_FEATURES, bytes(8)))
    say("features", "refused SET_FEATURES", lambda g: g.send(SET_FEATURES, u64(1 << 63)))
    say("iommu", "IOMMU", lambda g: g.send(SET_FEATURES, u64(IOMMU)))
    say("protocol", "not offered", lambda g: g.send(SET_PROTOCOL, u64(1 << 12)))
    say("mtu0", "NET_SET_MTU to 0", lambda g: g.send(SET_MTU, u64(0)))
    say("mtu_huge", "NET_SET_MTU", lambda g: g.send(SET_MTU, u64(1 << 40)))
    say("status_huge", "SET_STATUS", lambda g: g.send(39, u64(256)))

    for request, name in ((SET_NUM, "num"), (SET_BASE, "base"), (GET_BASE, "get"),
                          (SET_ENABLE, "enable")):
        say(f"index_{name}", "at most 32",
            prepared(lambda g, r=request: g.send(r, state(0x10000, 1))))
    say("index_addr", "at most 32", prepared(lambda g: g.addresses(32, 1, 1, 1)))
    say("index_kick", "at most 32", prepared(lambda g: g.send(SET_KICK, u64(0xFF), [g.kick[0]])))
    say("bits_call", "unknown bits",
        prepared(lambda g: g.send(SET_CALL, u64(1 << 32), [g.call[0]])))

    say("fds_none", "with 0 descriptors", prepared(lambda g: g.send(SET_CALL, u64(0))))
    say("fds_two", "with 2 descriptors",
        prepared(lambda g: g.send(SET_CALL, u64(0), g.call)))
    say("fds_surplus", "with 3 descriptors", lambda g: g.send(GET_FEATURES, fds=[g.fd] * 3))
    say("fds_many", "more descriptors", lambda g: g.send(GET_FEATURES, fds=[g.fd] * 100))
    say("fds_nofd", "with 1 descriptors",
        prepared(lambda g: g.send(SET_CALL, u64(0x100), [g.call[0]])))
    say("fds_late", "middle of a message",
        lambda g: (g.raw(struct.pack("<III", SET_CALL, 1, 8)), time.sleep(0.05),
                   g.raw(u64(0), [g.call[0]])))
    say("call_pipe", "no eventfd", prepared(lambda g: g.send(SET_CALL, u64(0), [pipe_end()])))
    say("kick_file", "no eventfd", prepared(lambda g: g.send(SET_KICK, u64(0), [g.fd])))
    say("log_offset", "at offset 4096",
        prepared(lambda g: g.send(SET_LOG_BASE, struct.pack("<QQ", 4096, 4096), [g.fd])))
    say("log_huge", "dirty log",
        prepared(lambda g: g.send(SET_LOG_BASE, u64(1 << 63) + u64(0), [g.fd])))
    say("log_short", "the dirty log ends",
        prepared(lambda g: g.send(SET_LOG_BASE, u64(2 * MEMORY) + u64(0), [g.fd])))


def add_memory_cases():
    page = 4096
    memory_case("memory_none", "not shared", [])
    memory_case("memory_empty", "is empty", [(0, 0, 0, 0)])
    memory_case("memory_odd", "whole pages", [(GUEST, page, USER, 7)])
    memory_case("memory_odd_size", "whole pages", [(GUEST, page + 1, USER, 0)])
    memory_case("memory_wraps", "end of all", [(GUEST, (1 << 64) - page, USER, 0)])
    memory_case("memory_offset", "end of all", [(GUEST, page, USER, (1 << 63) - page)])
    memory_case("memory_beyond", "of a file", [(GUEST, MEMORY + page, USER, 0)])
    memory_case("memory_far", "of a file", [(GUEST, page, USER, MEMORY)])
    memory_case("memory_overlap", "overlap",
                [(GUEST, 2 * page, USER, 0), (GUEST + page, page, USER + 8 * page, 0)])
    memory_case("memory_same_user", "overlap",
                [(GUEST, page, USER, 0), (GUEST + page, page, USER, 0)])
    memory_case("memory_pipe", "not shared memory", None, lambda g: [pipe_end()])
    memory_case("memory_disk", "not shared memory", None, lambda g: [disk_file()])
    memory_case("memory_readonly", "reading and writing", None, lambda g: [readonly(g.fd)])
    memory_case("memory_directory", "reading and writing", None,
                lambda g: [os.open("/dev/shm", os.O_RDONLY)])
    message_case("memory_nine", "payload", prepared(
        lambda g: g.table([(GUEST + i * page, page, USER + i * page, 0) for i in range(9)],
                          [g.fd] * 8)))
    message_case("memory_count", "2 regions",
                 prepared(lambda g: g.table(None, None, 2)))
    message_case("memory_count_huge", "regions",
                 prepared(lambda g: g.table(None, None, 0xFFFFFFFF)))
    message_case("memory_fds", "descriptors", prepared(lambda g: g.table(None, [g.fd] * 2)))
    message_case("memory_no_fd", "descriptors", prepared(lambda g: g.table(None, [])))
    message_case("memory_taken", "running ring", running(
        lambda g: g.table([(GUEST, page, USER, 0)])))


def add_ring_setup_cases():
    def size(value):
        return prepared(lambda g: g.send(SET_NUM, state(0, value)))

    def place(**wrong):
        def run(guest):
            guest.send(SET_NUM, state(0, SIZE))
            guest.addresses(0, **wrong)
        return prepared(run)

    for value in (0, 3, 100, 65536, 0x80000000, 0xFFFFFFFF):
        message_case(f"size_{value}", "power of two", size(value))
    message_case("addr_no_size", "before its size", prepared(lambda g: g.addresses(0)))
    message_case("addr_no_memory", "before any memory", lambda g: (g.negotiate(), g.addresses(0)))
    message_case("addr_zero", "outside", place(descriptors=0))
    message_case("addr_end", "outside", place(descriptors=USER + MEMORY - 16))
    message_case("addr_wraps", "outside", place(descriptors=(1 << 64) - 16))
    message_case("addr_avail", "available ring outside", place(available=USER + MEMORY - 2))
    message_case("addr_used", "used ring outside", place(used=USER + MEMORY - 8))
    message_case("addr_odd", "not aligned", place(descriptors=USER + 1))
    message_case("addr_used_odd", "not aligned", place(used=USER + 0x10002))
    message_case("addr_flags", "unknown flags", place(flags=8))
    message_case("kick_first", "started before",
                 prepared(lambda g: g.send(SET_KICK, u64(0), [g.kick[0]])))
    message_case("kick_no_addr", "started before", prepared(
        lambda g: (g.send(SET_NUM, state(0, SIZE)), g.send(SET_KICK, u64(0), [g.kick[0]]))))
    message_case("base_split", "starts at",
                 prepared(lambda g: (g.send(SET_NUM, state(0, SIZE)), g.base(0, 65536))))
    message_case("base_packed", "behind its end",
                 packed_ring(lambda g: (g.send(SET_NUM, state(0, SIZE)), g.base(0, SIZE))))
    message_case("base_packed_first", "behind its end",
                 packed_ring(lambda g: (g.base(0, 5000), g.send(SET_NUM, state(0, SIZE)))))
    message_case("base_packed_none", "before its base", packed_ring(
        lambda g: (g.send(SET_NUM, state(0, SIZE)), g.addresses(0),
                   g.send(SET_KICK, u64(0), [g.kick[0]]))))
    message_case("resize", "resized", running(lambda g: g.send(SET_NUM, state(0, 32768))))
    message_case("move", "moved", running(lambda g: g.base(0, 9)))
    message_case("addr_running", "outside", running(lambda g: g.addresses(0, descriptors=0)))
    message_case("features_running", "features change",
                 running(lambda g: g.send(SET_FEATURES, u64(g.features ^ (1 << 15)))))
    message_case("layout_late", "layout", prepared(
        lambda g: (g.send(SET_NUM, state(0, SIZE)),
                   g.send(SET_FEATURES, u64(g.features | PACKED)))))
    message_case("restart_no_size", "before its size", running(
        lambda g: (g.ask(GET_BASE, state(0, 0)), g.base(0), g.addresses(0))))


# --- rings that lie ---

def ring_case(name, function):
    """For split and packed rings: the daemon survives, and the port serves the next guest."""
    for packed in (False, True):
        def run(port, packed=packed):
            guest = Guest(f"{sockets}/{port}", packed)
            try:
                guest.start()
                guest.offer_buffers(4)
                function(guest)
                for _ in range(4):
                    tap.inject(16)
                    guest.ring_bell(1)
                    time.sleep(0.005)
            except Cut:
                pass
            finally:
                guest.close()
            good_guest(port, packed)
        CASES.append((name + ("_packed" if packed else "_split"), run, None))


def both_rings(descriptors):
    """The same chain as a packet from the guest and as room for one to it."""
    def run(guest):
        for ring, flags in ((1, 0), (0, WRITE)):
            for _ in range(3):
                guest.chain(ring, [(a, n, f ^ flags) for a, n, f in descriptors(guest)])
    return run


def indirect(length, address=None, table=None):
    def make(guest):
        at = DATA + 0x80000
        content = table(guest, GUEST + at) if table else [(GUEST + DATA, 100, 0, 0)] * 8
        for i, (where, size, flags, following) in enumerate(content):
            fields = (where & (1 << 64) - 1, size, following, flags) if guest.packed else \
                (where & (1 << 64) - 1, size, flags, following)
            guest.write(at + 16 * i, struct.pack("<QIHH", *fields))
        return [(GUEST + at if address is None else address, length, INDIRECT)]
    return both_rings(make)


def loop(guest, length):
    """A chain without an end, of `length` descriptors."""
    for ring in (1, 0):
        flags = NEXT | (WRITE if ring == 0 else 0)
        if guest.packed:
            flags |= AVAIL  # the whole ring is one chain, all of it available
        for i in range(SIZE if guest.packed else length):
            guest.put(ring, i, GUEST + DATA, 64, flags, (i + 1) % length)
        if not guest.packed:
            guest.publish(ring, 0)
        guest.ring_bell(ring)


def heads(value):
    def run(guest):
        for ring in (1, 0):
            guest.put(ring, 0, GUEST + DATA, 100, WRITE if ring == 0 else 0)
            if guest.packed:
                guest.put(ring, guest.next[ring], GUEST + DATA, 100,
                          AVAIL | (WRITE if ring == 0 else 0), value)
            else:
                guest.publish(ring, value)
            guest.ring_bell(ring)
    return run


def indices(step):
    def run(guest):
        for ring in (1, 0):
            if guest.packed:  # flags that say used, both, neither, in a row
                for i in range(SIZE):
                    guest.put(ring, i, GUEST + DATA, 100, (AVAIL, USED, 0, AVAIL | USED)[i % 4], i)
            else:
                guest.publish(ring, 0, step)
            guest.ring_bell(ring)
    return run


def headers(fields):
    def run(guest):
        frame = FRAME + struct.pack(">BBHHHBBH4s4s", 0x45, 0, 60, 1, 0, 64, 6, 0,
                                    b"\x0a\0\0\1", b"\x0a\0\0\2") + bytes(60)
        for _ in range(4):
            guest.transmit(frame, struct.pack("<BBHHHHH", *fields))
        guest.transmit(frame[:20], struct.pack("<BBHHHHH", *fields))
        guest.transmit(b"", struct.pack("<BBHHHHH", *fields))
    return run


def flip(guest):
    """Descriptors that change while they are read."""
    end = time.monotonic() + 0.7
    at = guest.place(1)[0]
    good = struct.pack("<QI", GUEST + DATA, 100)
    bad = [struct.pack("<QI", GUEST + MEMORY - 4, 100), struct.pack("<QI", 0, 0xFFFFFFFF),
           struct.pack("<QI", GUEST + DATA, 3), struct.pack("<QI", (1 << 64) - 8, 64)]
    header = DATA
    while time.monotonic() < end:
        guest.transmit(FRAME + bytes(80))
        for value in bad:
            for i in range(4):
                guest.memory[at + 16 * i:at + 16 * i + 12] = value
                guest.memory[at + 16 * i:at + 16 * i + 12] = good
            guest.memory[header:header + HEADER] = os.urandom(HEADER)
    for ring in (0, 1):
        guest.ring_bell(ring)


def garbage(guest):
    """The rings and all around them filled with noise, for a while."""
    chance = random.Random(7)
    for _ in range(40):
        for ring in (0, 1):
            for offset in guest.place(ring):
                guest.write(offset, chance.randbytes(16 * SIZE))
            guest.ring_bell(ring)
        tap.inject(4)
        time.sleep(0.005)


def add_ring_cases():
    end = GUEST + MEMORY
    for name, address, length in (
            ("unmapped", 0, 100), ("far", 1 << 60, 100), ("over_end", end - 50, 100),
            ("at_end", end, 1), ("wraps", (1 << 64) - 50, 100), ("below", GUEST - 50, 100),
            ("zero", GUEST + DATA, 0), ("all_ones", GUEST + DATA, 0xFFFFFFFF),
            ("host_address", USER, 100), ("no_header", GUEST + DATA, HEADER - 1),
            ("header_only", GUEST + DATA, HEADER), ("huge", GUEST, MEMORY)):
        ring_case(f"desc_{name}", both_rings(lambda g, a=address, n=length: [(a, n, 0)]))
    ring_case("second_unmapped",
              both_rings(lambda g: [(GUEST + DATA, HEADER, 0), (0, 100, 0)]))
    ring_case("second_zero",
              both_rings(lambda g: [(GUEST + DATA, HEADER, 0), (GUEST + DATA, 0, 0)]))
    ring_case("split_header",
              both_rings(lambda g: [(GUEST + DATA + i, 1, 0) for i in range(14)]))
    ring_case("wrong_way", both_rings(lambda g: [(GUEST + DATA, 100, WRITE)]))
    ring_case("long_chain",
              both_rings(lambda g: [(GUEST + DATA, 100, 0)] * (SIZE // 8)))
    ring_case("self_loop", lambda g: loop(g, 1))
    ring_case("two_loop", lambda g: loop(g, 2))
    ring_case("whole_loop", lambda g: loop(g, SIZE))
    ring_case("head_size", heads(SIZE))
    ring_case("head_huge", heads(0xFFFF))
    ring_case("index_ahead", indices(SIZE + 1))
    ring_case("index_back", indices(-1))
    ring_case("index_half", indices(0x8000))
    ring_case("indirect_odd", indirect(17))
    ring_case("indirect_zero", indirect(0))
    ring_case("indirect_large", indirect(16 * (SIZE + 1)))
    ring_case("indirect_all", indirect(0xFFFFFFF0))
    ring_case("indirect_unmapped", indirect(64, 0))
    ring_case("indirect_end", indirect(64, end - 16))
    ring_case("indirect_nested",
              indirect(32, None, lambda g, at: [(at, 32, INDIRECT, 0), (at, 32, INDIRECT, 1)]))
    ring_case("indirect_next",
              indirect(32, None, lambda g, at: [(GUEST + DATA, 64, NEXT, 0xFFFF)] * 2))
    ring_case("indirect_loop",
              indirect(32, None, lambda g, at: [(GUEST + DATA, 64, NEXT, 0)] * 2))
    ring_case("garbage", garbage)
    ring_case("flip", flip)
    for name, fields in (("csum_far", (1, 0, 0, 0, 0xFFFF, 0xFFFF, 0)),
                         ("csum_end", (1, 0, 0, 0, 73, 6, 0)),
                         ("gso_zero", (1, 1, 54, 0, 34, 16, 0)),
                         ("gso_one", (1, 1, 54, 1, 34, 16, 0)),
                         ("gso_type", (1, 0x7F, 54, 100, 34, 16, 0)),
                         ("gso_no_csum", (0, 4, 54, 100, 0, 0, 0)),
                         ("gso_udp", (1, 3, 42, 8, 34, 6, 0)),
                         ("hdr_len", (1, 1, 0xFFFF, 1448, 34, 16, 0)),
                         ("all_ones", (255, 255, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF)),
                         ("num_buffers", (0, 0, 0, 0, 0, 0, 0xFFFF))):
        ring_case(f"header_{name}", headers(fields))


# --- memory that goes away, and peers that stop ---

def truncated(port, packed, length, before=False):
    guest = Guest(f"{sockets}/{port}", packed)
    try:
        if before:
            guest.negotiate()
            guest.table()
            guest.settle()
            os.ftruncate(guest.fd, length)
            for ring in (0, 1):
                guest.start_ring(ring)
            guest.ask_status(15)
        else:
            guest.start()
            both_ways(guest)
            os.ftruncate(guest.fd, length)
        tap.inject(8)
        for ring in (0, 1):
            guest.ring_bell(ring)
        guest.must_be_cut()
    except Cut:
        pass
    finally:
        # Our own view of it would end us likewise.
        guest.close()
    good_guest(port, packed)


for case_name, case_arguments in (
        ("cut_split", (False, 0)), ("cut_packed", (True, 0)),
        ("cut_half", (False, 0x4000)), ("cut_before", (False, 0, True)),
        ("cut_before_packed", (True, 0, True))):
    CASES.append((case_name, lambda port, a=case_arguments: truncated(port, *a), None))


@case()
def cut_sealed(port):
    """Memory that can be sealed is."""
    guest = Guest(f"{sockets}/{port}", seals=True)
    guest.start()
    try:
        os.ftruncate(guest.fd, 0)
        raise AssertionError("the memory was not sealed")
    except PermissionError:
        pass
    both_ways(guest)
    guest.close()


@case("cut off memory")
def cut_log(port):
    """The log of written pages, while pages are written."""
    guest = Guest(f"{sockets}/{port}")
    log = os.memfd_create("log", MFD_CLOEXEC)
    os.ftruncate(log, 0x10000)
    guest.start()
    guest.send(SET_LOG_BASE, u64(0x10000) + u64(0), [log])
    guest.answer()
    guest.addresses(0, flags=1, log=GUEST + 0x10000)
    guest.send(SET_FEATURES, u64(guest.features | LOG_ALL))
    guest.settle()
    guest.offer_buffers()
    tap.inject(4)
    os.ftruncate(log, 0)
    tap.inject(8)
    guest.must_be_cut()
    guest.close()
    os.close(log)


@case("interrupt's counter")
def call_full(port):
    """A counter that is full makes whoever adds to it wait: the worker."""
    guest = Guest(f"{sockets}/{port}", features=F_PROTOCOL | 1 << 32 | 1 << 15)
    guest.start()
    guest.offer_buffers()
    for fd in guest.call:
        os.eventfd_write(fd, 0xFFFFFFFFFFFFFFFE)
    tap.inject(8)
    guest.must_be_cut()
    guest.close()


def stalled(port, sent):
    guest = Guest(f"{sockets}/{port}")
    guest.raw(sent)
    start = time.monotonic()
    guest.must_be_cut()
    assert 0.5 < time.monotonic() - start < 3, "cut off too early or too late"
    guest.close()


CASES.append(("stall_header", lambda port: stalled(port, b"\1\0\0"), "not finished"))
CASES.append(("stall_payload", lambda port: stalled(port, struct.pack("<III", 2, 1, 8) + b"1234"),
              "not finished"))


@case("not finished")
def byte_by_byte_late(port):
    guest = Guest(f"{sockets}/{port}")
    try:
        for byte in struct.pack("<III", SET_FEATURES, 1, 8) + u64(0):
            guest.raw(bytes([byte]))
            time.sleep(0.1)
        guest.must_be_cut(1)
    except Cut:
        pass
    guest.close()


@case()
def byte_by_byte(port):
    """Slow, yet whole: served."""
    guest = Guest(f"{sockets}/{port}")
    for _ in range(5):
        for byte in struct.pack("<III", GET_FEATURES, 1, 0):
            guest.raw(bytes([byte]))
            time.sleep(0.002)
        guest.answer()
    guest.start()
    both_ways(guest)
    guest.close()


@case("not taken")
def never_reads(port):
    guest = Guest(f"{sockets}/{port}")
    guest.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    guest.socket.settimeout(0.5)
    end = time.monotonic() + 25
    try:
        while time.monotonic() < end:
            try:
                guest.send(GET_FEATURES)
            except TimeoutError:
                pass
        raise AssertionError("it was never cut off")
    except Cut:
        pass
    guest.close()


@case()
def stalls_delay_nobody(port):
    """While several connections stand still in the middle of a message, others are answered."""
    idle = [Guest(f"{sockets}/{port}") for _ in range(3)]
    for guest in idle:
        guest.raw(b"\1\0\0\0\1")
    times = []
    other = Guest(f"{sockets}/byte_by_byte")
    for _ in range(50):
        start = time.monotonic()
        other.settle()
        times.append(time.monotonic() - start)
        time.sleep(0.005)
    times.sort()
    print(f"# 50 answers beside 3 stalled peers: median {times[25] * 1000:.2f} ms, "
          f"slowest {times[-1] * 1000:.1f} ms")
    for guest in idle + [other]:
        guest.close()
    assert times[25] < 0.1, "answers are slow"  # if they were delayed, all would be


# --- comings and goings ---

@case()
def leave_at_every_message(port):
    for packed in (False, True):
        n = 0
        while True:
            guest = Guest(f"{sockets}/{port}", packed)
            steps = guest.steps()
            done = [step() for step, _ in zip(steps, range(n))]
            guest.close()
            if len(done) < n:
                break
            n += 1
        for length in (1, 11, 12, 19):
            guest = Guest(f"{sockets}/{port}", packed)
            guest.raw((struct.pack("<III", SET_FEATURES, 1, 8) + u64(0))[:length])
            guest.close()
    good_guest(port)


@case()
def reconnect_storm(port):
    for i in range(100):
        guest = Guest(f"{sockets}/{port}", i % 2 == 1)
        if i % 4 == 0:
            guest.start()
        guest.close()
    good_guest(port)


def out_of_order(port, seed):
    """Known messages in any order, with wild numbers: cut off or not, nobody else notices."""
    chance = random.Random(seed)
    for _ in range(3):
        try:
            guest = Guest(f"{sockets}/{port}", chance.random() < 0.5)
            if chance.random() < 0.7:
                guest.negotiate()
            if chance.random() < 0.7:
                guest.table()
            for _ in range(40):
                number = chance.choice((0, 1, 2, SIZE, 100, 32768, 0xFFFF, 1 << 31))
                ring = chance.choice((0, 1, 1, 2, 31))
                chance.choice((
                    lambda n=number, r=ring: guest.send(SET_NUM, state(r, n)),
                    lambda n=number, r=ring: guest.base(r, n),
                    lambda r=ring: guest.addresses(r % 2),
                    lambda r=ring: guest.send(SET_KICK, u64(r), [guest.kick[0]]),
                    lambda r=ring: guest.send(SET_CALL, u64(r | 0x100)),
                    lambda r=ring: guest.send(SET_ENABLE, state(r, 1)),
                    lambda r=ring: guest.ask(GET_BASE, state(r, 0)),
                    lambda: guest.send(RESET_OWNER), guest.table, guest.settle,
                    lambda n=number: guest.send(SEND_RARP, u64(n)),
                    lambda n=number: guest.send(SET_FEATURES, u64(guest.features)),
                    lambda n=number: guest.start_ring(n % 2)))()
        except (Cut, TimeoutError):
            pass
        finally:
            guest.close()
    good_guest(port)


for seed_number in range(10):
    CASES.append((f"out_of_order{seed_number}",
                  lambda port, seed=seed_number: out_of_order(port, seed), None))


@case()
def repeats(port):
    """What once leaked: the same messages with descriptors, again and again."""
    guest = Guest(f"{sockets}/{port}")
    guest.negotiate()
    for i in range(60):
        guest.table()
        guest.table([(GUEST, MEMORY // 2, USER, 0)])
        for request in (SET_CALL, SET_ERR):
            for ring in (0, 1, 30):
                guest.send(request, u64(ring), [guest.call[0]])
        for _ in range(20):
            guest.send(SET_NUM, state(i % 2, SIZE))
        guest.send(SET_LOG_FD, b"", [guest.fd])
        guest.settle()
    guest.start()
    both_ways(guest)
    guest.close()


add_message_cases()
add_memory_cases()
add_ring_setup_cases()
add_ring_cases()


def run_case(number, name, function, results):
    try:
        function(name)
        results[number] = None
    except Exception as error:  # whatever it is, the others go on
        results[number] = f"{type(error).__name__}: {error}"


def main():
    global tap, sockets
    if sys.argv[1:] == ["--list"]:
        print("\n".join(name for name, _, _ in CASES))
        return 0
    pid, sockets, tap_name, expected = sys.argv[1:5]
    wanted = sys.argv[5:]
    tap = Tap(tap_name)
    results = {}
    failed = 0
    for number, (name, function, reason) in enumerate(CASES):
        if wanted and name not in wanted:
            continue
        start = time.monotonic()
        run_case(number, name, function, results)
        if time.monotonic() - start > 1:
            print(f"# {name}: {time.monotonic() - start:.1f} s")
        problem = results[number]
        if not os.path.exists(f"/proc/{pid}"):
            problem = "the daemon is gone"
        print(f"not ok - {name}: {problem}" if problem else f"ok - {name}", flush=True)
        failed += bool(problem)
        if problem == "the daemon is gone":
            break
    with open(expected, "w", encoding="utf-8") as file:
        for name, _, reason in CASES:
            if reason and (not wanted or name in wanted):
                file.write(f"{name} {reason}\n")
    print(f"# {len(results)} cases, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
