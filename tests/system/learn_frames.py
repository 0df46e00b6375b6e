#!/usr/bin/env python3
"""Frames that teach a switch.

Usage: learn_frames.py sources INTERFACE COUNT PREFIX   COUNT frames, each from its own address
       learn_frames.py one INTERFACE ADDRESS            one frame from this address
       learn_frames.py latency INTERFACE COUNT          how soon a frame's flow is in force:
                                                        each new source is sent until it comes back
"""

import select
import socket
import sys
import time

MODE, INTERFACE, VALUE = sys.argv[1:4]
DESTINATION = bytes.fromhex("020000fffffe")
REST = bytes.fromhex("88b5") + b"learn-frames-test" + bytes(29)


def open_socket():
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5))
    sock.bind((INTERFACE, 0))
    return sock


def send(sock, frame):
    while True:
        try:
            sock.send(frame)
            return
        except OSError:  # the queue is full: the switch is slower than we are
            time.sleep(0.001)


def sources():
    sock = open_socket()
    prefix = bytes.fromhex(sys.argv[4]) + bytes.fromhex("1d")
    start = time.monotonic()
    for i in range(int(VALUE)):
        send(sock, DESTINATION + prefix + i.to_bytes(4, "big") + REST)
        if i % 64 == 63:
            time.sleep(0.0005)
    print(f"# {VALUE} frames in {time.monotonic() - start:.2f} s")


def latency():
    sock = open_socket()
    times = []
    for i in range(int(VALUE)):
        frame = DESTINATION + bytes.fromhex("021e") + i.to_bytes(4, "big") + REST
        start = time.monotonic()
        while time.monotonic() - start < 1:
            send(sock, frame)
            if select.select([sock], [], [], 0.0001)[0] and sock.recv(2048)[6:12] == frame[6:12]:
                break
        times.append((time.monotonic() - start) * 1000)
        time.sleep(0.002)
        while select.select([sock], [], [], 0)[0]:
            sock.recv(2048)
    times.sort()
    median, worst = times[len(times) // 2], times[-1]
    print(f"# learned after {median:.2f} ms (median), {worst:.2f} ms (longest)")
    print("# ok" if median < 2 else "# slow")


if MODE == "sources":
    sources()
elif MODE == "latency":
    latency()
else:
    send(open_socket(), DESTINATION + bytes.fromhex(VALUE.replace(":", "")) + REST)
