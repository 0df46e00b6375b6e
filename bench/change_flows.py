#!/usr/bin/env python3
# Change flows at a steady rate over one connection: change_flows.py SOCKET BRIDGE RATE SECONDS
#
# Flows that no packet hits come and go in table 0: one half of the changes adds them, the other
# half deletes them. A hundred requests a second, each a list of changes that is durable and in
# force on every worker when its reply comes. Prints the rate that was reached.
import json
import socket
import sys
import time

REQUESTS_PER_SECOND = 100


def piece(number, size):
    flow = "udp,in_port=9,nw_src=10.%d.%d.%d,nw_dst=10.9.9.9,tp_src=%d,tp_dst=53"
    flows = [flow % (i >> 8 & 255, i & 255, number % 16, 1024 + i) for i in range(size // 2)]
    return "".join(
        ["add priority=7,%s,actions=output:3\n" % f for f in flows]
        + ["delete_strict priority=7,%s\n" % f for f in flows]).encode() + b"\0"


path, bridge, rate, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
connection.connect(path)
replies = connection.makefile("rb")
size = rate // REQUESTS_PER_SECOND
pieces = [piece(i, size) for i in range(16)]
start, n = time.monotonic(), 0
while time.monotonic() - start < seconds:
    text = pieces[n % len(pieces)]
    head = '{"attached":%d,"id":%d,"commands":[{"name":"add-flows","args":["%s",{"attached":0}]}]}\n'
    connection.sendall((head % (len(text), n, bridge)).encode() + text)
    reply = json.loads(replies.readline())
    if "error" in reply:
        sys.exit(reply["error"]["message"])
    n += 1
    wait = start + n / REQUESTS_PER_SECOND - time.monotonic()
    if wait > 0:
        time.sleep(wait)
print(int(n * size / (time.monotonic() - start)))
