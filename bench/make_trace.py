#!/usr/bin/env python3
"""Write a pcap file of 64-byte UDP frames: make_trace.py FILE PACKETS FLOWS [SEED]

Flows differ in addresses and ports, and come in random order. Source MACs 02:00:00:00:HH:LL and
destination MACs 02:00:00:01:HH:LL follow the flow's number modulo 1000.
"""

import random
import struct
import sys


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff


def frame(flow):
    mac = struct.pack("!H", flow % 1000)
    ethernet = b"\x02\0\0\1" + mac + b"\x02\0\0\0" + mac + b"\x08\0"
    source = struct.pack("!I", 0x0a000000 + flow)
    destination = struct.pack("!I", 0x0a800000 + flow * 7919 % 0x800000)
    ip = b"\x45\0" + struct.pack("!HHHBBH", 46, flow & 0xffff, 0, 64, 17, 0) + source + destination
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    udp = struct.pack("!HHHH", 1024 + flow % 60000, 53 + flow % 8, 26, 0)
    return ethernet + ip + udp + bytes(18)


def main():
    path, packets, flows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    numbers = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for _ in range(packets):
            data = frame(numbers.randrange(flows))
            out.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)


main()
