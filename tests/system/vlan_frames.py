#!/usr/bin/env python3
"""Frames in, frames out: VLAN handling of NORMAL and of rules, seen from three namespaces.

Usage: vlan_frames.py BRIDGE NS-A PORT-A NS-B PORT-B NS-C PORT-C
"""

import os
import select
import socket
import struct
import subprocess
import sys
import time

LIBC_SETNS = 308  # x86-64 system call
BRIDGE = sys.argv[1]
PORTS = dict(zip("abc", zip(sys.argv[2::2], sys.argv[3::2])))


def open_port(namespace, interface):
    """A packet socket on an interface that lies in another namespace."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open("/run/netns/" + namespace, os.O_RDONLY)
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(there, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sock.setsockopt(263, 8, 1)  # PACKET_AUXDATA: the kernel takes the tag out
        sock.bind((interface, 0))
        sock.setblocking(False)
    finally:
        libc.setns(home, 0)
        os.close(home)
        os.close(there)
    return sock


def vsctl(*args):
    subprocess.run(["vsctl", *args], check=True)


SOCKETS = {name: open_port(*port) for name, port in PORTS.items()}
MARK = b"vlan-frames-test"
SERIAL = 0


def frame(tags, source="02:00:00:00:00:0a", destination="ff:ff:ff:ff:ff:ff"):
    """A frame with (TPID, TCI) tags and a payload that tells it from all others."""
    global SERIAL
    SERIAL += 1
    header = bytes.fromhex(destination.replace(":", "")) + bytes.fromhex(source.replace(":", ""))
    for tpid, tci in tags:
        header += struct.pack("!HH", tpid, tci)
    return header + struct.pack("!H", 0x88b5) + MARK + struct.pack("!I", SERIAL) + bytes(30)


def received(sock):
    """All of our frames that wait in a socket, as lists of tags."""
    found = []
    while True:
        try:
            data, ancillary, _, address = sock.recvmsg(2048, 1024)
        except BlockingIOError:
            return found
        if address[2] == socket.PACKET_OUTGOING or MARK not in data:
            continue
        if struct.unpack("!I", data[data.index(MARK) + 16:][:4])[0] != SERIAL:
            continue
        tags = []
        for level, kind, value in ancillary:
            if level == 263 and kind == 8:
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value[:20])
                if status & 16:
                    tags.append((tpid if status & 64 else 0x8100, tci))
        at = 12
        while struct.unpack("!H", data[at:at + 2])[0] in (0x8100, 0x88a8):
            tags.append(struct.unpack("!HH", data[at:at + 4]))
            at += 4
        found.append(tags)


FAILURES = 0


def expect(what, source, tags, wanted):
    """Send one frame into `source`; `wanted` says for each other port what must come out."""
    global FAILURES
    for sock in SOCKETS.values():
        received(sock)
    SOCKETS[source].send(frame(tags))
    end = time.monotonic() + 2
    got = {name: [] for name in SOCKETS if name != source}
    # Long enough for what should come, and a little more for what should not.
    while time.monotonic() < end:
        select.select(list(SOCKETS.values()), [], [], 0.05)
        for name in got:
            got[name] += received(SOCKETS[name])
        if all(len(got[name]) >= len(wanted.get(name, [])) for name in got):
            end = min(end, time.monotonic() + 0.1)
    for name, frames in got.items():
        if frames != wanted.get(name, []):
            FAILURES += 1
            print(f"{what}: port {name} got {frames}, want {wanted.get(name, [])}")


A, B, C = (PORTS[name][1] for name in "abc")

expect("trunks pass untagged", "a", [], {"b": [[]], "c": [[]]})
expect("trunks pass tags", "a", [(0x8100, 10)], {"b": [[(0x8100, 10)]], "c": [[(0x8100, 10)]]})
expect("trunks pass two tags", "a", [(0x88a8, 7), (0x8100, 10)],
       {"b": [[(0x88a8, 7), (0x8100, 10)]], "c": [[(0x88a8, 7), (0x8100, 10)]]})

vsctl("set", "Port", B, "tag=10")
expect("an access port gets its VLAN untagged", "a", [(0x8100, 10)],
       {"b": [[]], "c": [[(0x8100, 10)]]})
expect("and no other VLAN", "a", [(0x8100, 11)], {"c": [[(0x8100, 11)]]})
expect("and nothing untagged", "a", [], {"c": [[]]})
expect("its frames are in the VLAN", "b", [], {"a": [[(0x8100, 10)]], "c": [[(0x8100, 10)]]})
expect("it takes no tags", "b", [(0x8100, 10)], {})
expect("a priority tag is no VLAN", "b", [(0x8100, 5 << 13)],
       {"a": [[(0x8100, 5 << 13 | 10)]], "c": [[(0x8100, 5 << 13 | 10)]]})

vsctl("set", "Port", C, "trunks=10,20")
expect("a trunk list admits", "a", [(0x8100, 20)], {"c": [[(0x8100, 20)]]})
expect("a trunk list refuses", "a", [(0x8100, 21)], {})
vsctl("clear", "Port", C, "trunks", "--", "clear", "Port", B, "tag")

vsctl("set", "Port", B, "vlan_mode=native-untagged", "tag=10", "trunks=20")
expect("native-untagged: its VLAN has no tag", "a", [(0x8100, 10)],
       {"b": [[]], "c": [[(0x8100, 10)]]})
expect("native-untagged: others have", "a", [(0x8100, 20)],
       {"b": [[(0x8100, 20)]], "c": [[(0x8100, 20)]]})
expect("native-untagged: and no third", "a", [(0x8100, 21)], {"c": [[(0x8100, 21)]]})
expect("untagged is native", "b", [], {"a": [[(0x8100, 10)]], "c": [[(0x8100, 10)]]})
vsctl("set", "Port", B, "vlan_mode=native-tagged")
expect("native-tagged: its VLAN has a tag", "a", [(0x8100, 10)],
       {"b": [[(0x8100, 10)]], "c": [[(0x8100, 10)]]})
expect("untagged is native here, too", "b", [], {"a": [[(0x8100, 10)]], "c": [[(0x8100, 10)]]})
vsctl("clear", "Port", B, "trunks", "--", "set", "Port", B, "vlan_mode=dot1q-tunnel", "tag=7")
BOTH = [(0x88a8, 7), (0x8100, 30)]
expect("a tunnel puts a tag in front", "b", [(0x8100, 30)], {"a": [BOTH], "c": [BOTH]})
expect("a tunnel takes it off", "a", BOTH, {"b": [[(0x8100, 30)]], "c": [BOTH]})
expect("a tunnel has untagged packets", "b", [], {"a": [[(0x88a8, 7)]], "c": [[(0x88a8, 7)]]})
vsctl("set", "Port", B, "cvlans=31", "other_config:qinq-ethtype=802.1q")
expect("a customer that it does not have, out", "a", BOTH, {"c": [BOTH]})
expect("a customer that it does not have, in", "b", [(0x8100, 30)], {})
expect("tags of 802.1q", "b", [(0x8100, 31)],
       {"a": [[(0x8100, 7), (0x8100, 31)]], "c": [[(0x8100, 7), (0x8100, 31)]]})
vsctl("clear", "Port", B, "tag", "vlan_mode", "cvlans", "other_config")
vsctl("set", "Port", B, "other_config:priority-tags=always")
expect("priority-tags=always", "a", [], {"b": [[(0x8100, 0)]], "c": [[]]})
expect("... with the priority", "a", [(0x8100, 5 << 13)], {"b": [[(0x8100, 5 << 13)]], "c": [[]]})
vsctl("clear", "Port", B, "other_config")

vsctl("del-flows", BRIDGE)
vsctl("add-flow", BRIDGE, f"in_port={A},actions=push_vlan:0x8100,set_field:4197->vlan_vid,{B},"
      f"push_vlan:0x88a8,set_field:4198->vlan_vid,{C}")
expect("push_vlan, twice", "a", [], {"b": [[(0x8100, 101)]],
                                     "c": [[(0x88a8, 102), (0x8100, 101)]]})
vsctl("add-flow", BRIDGE, f"in_port={A},actions={C},strip_vlan,{B}")
expect("strip_vlan", "a", [(0x8100, 33)], {"b": [[]], "c": [[(0x8100, 33)]]})
vsctl("add-flow", BRIDGE, f"in_port={A},actions=mod_vlan_vid:55,{B},mod_vlan_pcp:3,{C}")
expect("mod_vlan_vid pushes", "a", [], {"b": [[(0x8100, 55)]], "c": [[(0x8100, 3 << 13 | 55)]]})
expect("mod_vlan_vid changes", "a", [(0x8100, 2 << 13 | 1)],
       {"b": [[(0x8100, 2 << 13 | 55)]], "c": [[(0x8100, 3 << 13 | 55)]]})
vsctl("add-flow", BRIDGE, f"in_port={A},dl_vlan=44,actions={B}",
      "--", "add-flow", BRIDGE, f"priority=1,in_port={A},vlan_tci=0x1000/0x1000,actions={C}",
      "--", "add-flow", BRIDGE, f"priority=0,in_port={A},actions=drop",
      "--", "--strict", "del-flows", BRIDGE, f"in_port={A}")
expect("dl_vlan matches", "a", [(0x8100, 44)], {"b": [[(0x8100, 44)]]})
expect("any tag matches", "a", [(0x8100, 45)], {"c": [[(0x8100, 45)]]})
expect("untagged matches neither", "a", [], {})

sys.exit(1 if FAILURES else 0)
