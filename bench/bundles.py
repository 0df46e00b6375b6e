#!/usr/bin/env python3
"""Bundles per second of a running switch, by size, beside the same changes that are no bundle.

Usage: bundles.py SOCKET BRIDGE SECONDS [SIZE...]

Each bundle adds SIZE flows in the place of those of the bundle before, half of them in another
table; a connection sends one request after the other and waits for the reply, which says that the
change is in force and on disk.
"""
import json
import socket
import sys
import time


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.reader = self.socket.makefile("rb")

    def run(self, name, bridge, text, **options):
        attached = text.encode() + b"\0"
        command = {"name": name, "options": options, "args": [bridge, {"attached": 0}]}
        request = {"attached": len(attached), "id": 1, "commands": [command]}
        head = json.dumps(request, separators=(",", ":")).encode() + b"\n"
        self.socket.sendall(head + attached)
        reply = json.loads(self.reader.readline())
        if "error" in reply:
            sys.exit("refused: %s" % reply["error"])


def flows(size, turn, prefix):
    return "".join(
        "%stable=%d,cookie=%d,priority=7,tcp,nw_src=11.%d.%d.%d,actions=load:%d->NXM_NX_REG0[]\n"
        % (prefix, 20 + i % 2, turn, i >> 16, i >> 8 & 255, i & 255, turn)
        for i in range(size)
    )


def measure(client, bridge, seconds, size, kind):
    name, prefix = ("bundle", "flow add ") if kind == "bundle" else ("add-flows", "")
    texts = [flows(size, turn, prefix) for turn in (1, 2)]
    longest, n, start = 0, 0, time.monotonic()
    while time.monotonic() - start < seconds:
        before = time.monotonic()
        client.run(name, bridge, texts[n % 2])
        longest = max(longest, time.monotonic() - before)
        n += 1
    rate = n / (time.monotonic() - start)
    print("%-8s %6d changes  %9.1f /s  %9.0f changes/s  longest %7.1f ms"
          % (kind, size, rate, rate * size, longest * 1000), flush=True)


def main():
    path, bridge, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    client = Client(path)
    for size in map(int, sys.argv[4:] or ["1", "100", "10000"]):
        for kind in ("bundle", "list"):
            measure(client, bridge, seconds, size, kind)
            client.run("add-flows", bridge, "delete table=20\ndelete table=21\n")


if __name__ == "__main__":
    main()
