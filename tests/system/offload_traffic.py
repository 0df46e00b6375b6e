#!/usr/bin/env python3
"""Datagrams that the kernel's sender leaves to its card to cut (UDP_SEGMENT), checked where they
arrive: offload_traffic.py DIRECTORY datagrams NAMESPACE ADDRESS, run where they are sent from."""
import os
import socket
import subprocess
import sys

UDP_SEGMENT = 103
SIZE = 1200
COUNT = 20


def expected():
    return [bytes([i]) * SIZE for i in range(COUNT)]


def receive(address):
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind((address, 4242))
    receiver.settimeout(5)
    print("ready", flush=True)
    got = sorted(receiver.recv(65536) for _ in range(COUNT))
    sys.exit(0 if got == expected() else "other datagrams than were sent")


def datagrams(namespace, address):
    # From inside of one namespace to a process in another: by the name of the other.
    other = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, __file__, "receive", address],
        stdout=subprocess.PIPE, text=True)
    other.stdout.readline()
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, SIZE)
    sender.sendto(b"".join(expected()), (address, 4242))
    sys.exit(other.wait())


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(sys.argv[2])
    os.chdir(sys.argv[1])
    datagrams(*sys.argv[3:])
