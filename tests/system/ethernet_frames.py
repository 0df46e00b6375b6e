#!/usr/bin/env python3
"""Frames that nobody sends who means well, from inside of a namespace.

Usage: ethernet_frames.py flood NS PORT N            one frame from each of N made-up addresses
       ethernet_frames.py storm NS PORT N            N broadcasts
       ethernet_frames.py flap NS PORT NS PORT N     one address at two ports in turn
"""

import os
import socket
import struct
import sys
import time

CLONE_NEWNET = 0x40000000


def open_port(namespace, interface):
    """A packet socket on an interface that lies in another namespace."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open("/run/netns/" + namespace, os.O_RDONLY)
    if libc.setns(there, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.bind((interface, 0))
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)
    return sock


def frame(destination, source):
    return destination + source + struct.pack("!H", 0x88b5) + bytes(46)


def send(sock, data):
    """A full queue is no mistake: it is what a flood meets."""
    while True:
        try:
            sock.send(data)
            return
        except OSError:
            time.sleep(0.0005)


def address(number):
    return b"\x02\xee" + struct.pack("!I", number)


def main():
    kind, args = sys.argv[1], sys.argv[2:]
    count = int(args[-1])
    sockets = [open_port(*args[i:i + 2]) for i in range(0, len(args) - 1, 2)]
    # Where nobody is: with its own address, so that such frames go no further than they must.
    for i in range(count):
        if kind == "flood":
            send(sockets[0], frame(address(i), address(i)))
        elif kind == "storm":
            send(sockets[0], frame(b"\xff" * 6, address(0)))
        else:
            send(sockets[i % 2], frame(address(2), address(1)))
            time.sleep(0.012)


main()
