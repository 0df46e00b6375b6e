#!/usr/bin/env python3
"""Numbered datagrams from one namespace to another: none may overtake another, none may be lost.

Usage: sequence.py NS-FROM NS-TO ADDRESS PORT PER-SECOND SECONDS COMMAND...

COMMAND runs again and again while they are under way, with a number behind it that counts up. Prints
how many came, and fails if they were not all of them in order.
"""

import ctypes
import os
import socket
import struct
import subprocess
import sys
import threading
import time

SO_RCVBUFFORCE = 33


def open_socket(namespace):
    """A UDP socket in another namespace."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open("/run/netns/" + namespace, os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(there, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    finally:
        libc.setns(home, 0)
        os.close(there)
        os.close(home)


class Receiver(threading.Thread):
    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock = sock
        self.expected = 0
        self.count = 0
        self.reordered = 0
        self.missing = 0

    def run(self):
        while True:
            try:
                number, = struct.unpack("!I", self.sock.recv(64)[:4])
            except OSError:
                return
            self.count += 1
            if number < self.expected:
                self.reordered += 1
                continue
            self.missing += number - self.expected
            self.expected = number + 1


def send(sock, target, rate, seconds):
    """At a steady rate, in small bunches. Returns how many."""
    start = time.monotonic()
    sent = 0
    while True:
        passed = time.monotonic() - start
        if passed >= seconds:
            return sent
        due = int(passed * rate)
        while sent < due:
            sock.sendto(struct.pack("!I", sent) + bytes(14), target)
            sent += 1
        time.sleep(0.001)


def repeat(command, stop, result):
    while not stop.is_set():
        done = subprocess.run(command + [str(result["runs"])], stdout=subprocess.DEVNULL, check=False)
        result["runs"] += 1
        if done.returncode:
            result["failed"] += 1


def main():
    source, sink, address, port, rate, seconds = sys.argv[1:7]
    receiving = open_socket(sink)
    receiving.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    receiving.bind((address, int(port)))
    receiving.settimeout(3)
    receiver = Receiver(receiving)
    receiver.start()
    sending = open_socket(source)
    stop, result = threading.Event(), {"runs": 0, "failed": 0}
    command = threading.Thread(target=repeat, args=(sys.argv[7:], stop, result))
    command.start()
    sent = send(sending, (address, int(port)), int(rate), float(seconds))
    stop.set()
    command.join()
    receiver.join()
    print("sent %d, received %d, reordered %d, missing %d, commands %d, failed %d" %
          (sent, receiver.count, receiver.reordered, sent - receiver.count, result["runs"],
           result["failed"]))
    return 0 if (receiver.count == sent and not receiver.reordered and result["runs"] > 3 and
                 not result["failed"]) else 1


if __name__ == "__main__":
    sys.exit(main())
