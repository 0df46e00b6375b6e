#!/usr/bin/env python3
# The same changes as change_flows.py makes, told to Open vSwitch in OpenFlow 1.0 over a bridge's
# management socket: change_flows_openflow.py SOCKET RATE SECONDS
#
# A hundred lists a second, each with a barrier behind it: they are in force when the reply comes.
# Prints the rate that was reached.
import socket
import struct
import sys
import time

REQUESTS_PER_SECOND = 100
HELLO, ERROR, ECHO, ECHO_REPLY, FLOW_MOD, BARRIER, BARRIER_REPLY = 0, 1, 2, 3, 14, 18, 19
ADD, DELETE_STRICT = 0, 4
NO_PORT, NO_BUFFER = 0xffff, 0xffffffff
# Wildcards: all but port, type, protocol, both ports and both addresses.
WILDCARDS = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 20 | 1 << 21


def message(kind, body=b"", number=0):
    return struct.pack("!BBHI", 1, kind, 8 + len(body), number) + body


def change(command, flow):
    match = struct.pack("!IH6x6xHBxHBB2xIIHH", WILDCARDS, 9, 0, 0, 0x800, 0, 17, *flow)
    output = struct.pack("!HHHH", 0, 8, 3, 0) if command == ADD else b""
    return message(FLOW_MOD, match + struct.pack(
        "!QHHHHIHH", 0, command, 0, 0, 7, NO_BUFFER, NO_PORT, 0) + output)


def piece(number, size):
    flows = [(0x0a000000 | (i >> 8 & 255) << 16 | (i & 255) << 8 | number % 16, 0x0a090909,
              1024 + i, 53) for i in range(size // 2)]
    return b"".join([change(ADD, flow) for flow in flows]
                    + [change(DELETE_STRICT, flow) for flow in flows])


def read(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            sys.exit("the switch closed the connection")
        data += more
    return data


def wait_for_barrier(connection, number):
    while True:
        _, kind, length, xid = struct.unpack("!BBHI", read(connection, 8))
        body = read(connection, length - 8)
        if kind == ECHO:
            connection.sendall(message(ECHO_REPLY, body, xid))
        if kind == ERROR:
            sys.exit("the switch refused a change: type %d, code %d" % struct.unpack("!HH", body[:4]))
        if kind == BARRIER_REPLY and xid == number:
            return


path, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
connection.settimeout(60)
connection.connect(path)
connection.sendall(message(HELLO))
size = rate // REQUESTS_PER_SECOND
pieces = [piece(i, size) for i in range(16)]
start, n = time.monotonic(), 0
while time.monotonic() - start < seconds:
    connection.sendall(pieces[n % len(pieces)] + message(BARRIER, number=n))
    wait_for_barrier(connection, n)
    n += 1
    wait = start + n / REQUESTS_PER_SECOND - time.monotonic()
    if wait > 0:
        time.sleep(wait)
print(int(n * size / (time.monotonic() - start)))
