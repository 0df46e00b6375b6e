#!/usr/bin/env python3
"""Captures of 64-byte frames and the rules they are made for: all from seeds, the same each time.

Usage: traffic.py trace FILE KIND NAME=VALUE...     writes FILE, and FILE.back where ports are a pair
       traffic.py rules KIND NAME=VALUE...          writes flows in ovs-ofctl syntax

A frame has 60 bytes: the check sequence, which no driver here has, makes it 64.
"""

import itertools
import random
import struct
import sys


def mac(number, prefix=0):
    return struct.pack("!HI", 0x0200 + (prefix >> 8), (prefix & 0xff) << 24 | number)


def mac_text(number, prefix=0):
    return mac(number, prefix).hex(":")


def address(number):
    return "%d.%d.%d.%d" % tuple(number.to_bytes(4, "big"))


def frame(dst, src, nw_src, nw_dst, tp_src, tp_dst, proto=17, vlan=None):
    """MACs are bytes, addresses numbers."""
    size = 46 if vlan is None else 42
    words = struct.pack("!HHHHBBHII", 0x4500, size, 0, 0, 64, proto, 0, nw_src, nw_dst)
    total = sum(struct.unpack("!10H", words))
    total = (total & 0xffff) + (total >> 16)
    total = ~((total & 0xffff) + (total >> 16)) & 0xffff
    ether = dst + src + (b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)) + b"\x08\0"
    words = ether + words[:10] + struct.pack("!H", total) + words[12:]
    if proto == 6:
        words += struct.pack("!HHIIBBHHH", tp_src, tp_dst, 1, 1, 0x50, 0x10, 1024, 0, 0)
    else:
        words += struct.pack("!HHHH", tp_src, tp_dst, size - 20, 0)
    return words.ljust(60, b"\0")


def write(path, frames):
    """Frames are in the order in which they come."""
    record = struct.pack("<IIII", 0, 0, 60, 60)
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for data in frames:
            out.write(record)
            out.write(data)


def pick(numbers, choices, count, zipf=0.0):
    """COUNT of CHOICES in random order: each as often as any other, or after Zipf's law."""
    if not zipf:
        if count < len(choices):
            return [choices[numbers.randrange(len(choices))] for _ in range(count)]
        every = list(choices) + [numbers.choice(choices) for _ in range(count - len(choices))]
        numbers.shuffle(every)
        return every
    weights = itertools.accumulate((i + 1) ** -zipf for i in range(len(choices)))
    return numbers.choices(choices, cum_weights=list(weights), k=count)


# Plain flows: source and destination MACs follow the flow's number, everything else differs.

def plain_flow(flow):
    return (0x0a000000 + flow, 0x0a800000 + flow * 7919 % 0x800000, 1024 + flow % 60000,
            53 + flow % 8)


def trace_plain(numbers, packets, flows=1000, zipf=0.0):
    every = [frame(mac(flow % 1000, 1), mac(flow % 1000), *plain_flow(flow))
             for flow in range(int(flows))]
    return (pick(numbers, every, packets, zipf),)


def rules_l3l4(_numbers, flows=1000):
    for flow in range(int(flows)):
        src, dst, tp_src, tp_dst = plain_flow(flow)
        yield "udp,in_port=1,nw_src=%s,nw_dst=%s,tp_src=%d,tp_dst=%d,actions=output:2" % (
            address(src), address(dst), tp_src, tp_dst)


# Pairs of MACs that talk to each other: one of each behind either port.

def trace_pairs(numbers, packets, pairs=1000):
    pairs = int(pairs)
    there = [frame(mac(i, 1), mac(i), *plain_flow(i)) for i in range(pairs)]
    back = [frame(mac(i), mac(i, 1), *plain_flow(i)) for i in range(pairs)]
    return pick(numbers, there, packets), pick(numbers, back, packets)


# Five tables.

ROUTES = 1000


def five_routes():
    """(address, prefix length): 700 /24, 200 /20 above some of them, 100 /16 above these."""
    routes = [(0x14000000 + i * 0x100, 24) for i in range(700)]
    routes += [(0x14000000 + i * 0x1000, 20) for i in range(200)]
    return routes + [(0x14000000 + i * 0x10000, 16) for i in range(ROUTES - 900)]


def trace_five(numbers, packets, flows=100):
    routes = five_routes()
    every = []
    for flow in range(int(flows)):
        prefix, length = routes[numbers.randrange(ROUTES)]
        every.append(frame(
            mac(0xfe, 9), mac(flow % 100), 0x0a000000 + flow % 100,
            prefix | numbers.getrandbits(32 - length), 1024 + numbers.randrange(60000),
            53 + flow % 8, vlan=1 + flow % 16))
    return (pick(numbers, every, packets),)


def rules_five(_numbers):
    for host in range(100):
        yield "table=0,priority=100,in_port=1,dl_src=%s,ip,nw_src=%s,actions=resubmit(,1)" % (
            mac_text(host), address(0x0a000000 + host))
    for vlan in range(1, 17):
        yield "table=1,priority=10,in_port=1,dl_vlan=%d,actions=strip_vlan," \
            "load:%d->NXM_NX_REG0[0..15],resubmit(,2)" % (vlan, vlan)
    for port in (22, 23, 25, 111, 135, 139, 445, 3389):
        yield "table=2,priority=200,tcp,reg0=%d,tp_dst=%d,actions=drop" % (1 + port % 16, port)
        yield "table=2,priority=200,udp,tp_dst=%d,actions=drop" % port
    for port in range(53, 61):
        yield "table=2,priority=100,udp,tp_dst=%d,actions=resubmit(,3)" % port
    yield "table=2,priority=100,tcp,tp_dst=0x1000/0xf000,actions=resubmit(,3)"
    for i, (prefix, length) in enumerate(five_routes()):
        yield "table=3,priority=%d,ip,nw_dst=%s/%d,actions=mod_dl_src:%s,mod_dl_dst:%s,dec_ttl," \
            "load:1->NXM_NX_REG1[],resubmit(,4)" % (
                length, address(prefix), length, mac_text(0xfe, 9), mac_text(i, 8))
    yield "table=4,reg1=1,actions=output:2"


# Access lists like those of ClassBench: prefixes from a tree of networks, services, ranges as masks.

SHAPES = {  # weights of: exact, /24, /16, /8, any; source, then destination; share of any service
    "acl": ((30, 40, 15, 5, 10), (45, 40, 10, 0, 5), 0.25),
    "fw": ((15, 20, 15, 10, 40), (35, 20, 10, 5, 30), 0.35),
    "ipc": ((45, 25, 10, 5, 15), (45, 25, 10, 5, 15), 0.40),
}
LENGTHS = (32, 24, 16, 8, 0)
SERVICES = (80, 443, 22, 25, 53, 110, 123, 143, 161, 389, 993, 1521, 3306, 5060, 8080)


def acl_rules(count, shape, seed):
    """[(nw_src, length, nw_dst, length, proto or 0, (tp_src, mask), (tp_dst, mask), drop)]"""
    numbers = random.Random(seed * 1000003 + count)
    sources, destinations, any_service = SHAPES[shape]
    nets = [numbers.getrandbits(8) << 24 | numbers.getrandbits(8) << 16 for _ in range(64)]
    subnets = [numbers.choice(nets) | numbers.getrandbits(8) << 8
               for _ in range(max(32, count // 4))]

    def prefix(weights):
        length = numbers.choices(LENGTHS, weights)[0]
        host = numbers.choice(subnets) | numbers.getrandbits(8)
        return host & ~((1 << 32 - length) - 1) & 0xffffffff, length

    rules, seen = [], set()
    while len(rules) < count:
        proto = numbers.choices((6, 17, 0), (65, 25, 10))[0]
        tp_src = tp_dst = (0, 0)
        if proto and numbers.random() > any_service:
            kind = numbers.random()
            if kind < 0.75:
                tp_dst = (numbers.choice(SERVICES), 0xffff)
            elif kind < 0.9:
                tp_dst = (numbers.randrange(1024, 65536), 0xffff)
            else:
                bits = numbers.randrange(6, 15)
                mask = 0xffff & ~((1 << bits) - 1)
                tp_dst = (numbers.getrandbits(16) & mask, mask)
            if numbers.random() < 0.08:
                tp_src = (0x0400 << numbers.randrange(6), 0xfc00)
                tp_src = (tp_src[0] & tp_src[1], tp_src[1])
        match = (*prefix(sources), *prefix(destinations), proto, tp_src, tp_dst)
        if match in seen or (match[1] == 0 and match[3] == 0 and not tp_dst[1]):
            continue
        seen.add(match)
        rules.append((*match, numbers.random() < 0.3))
    return rules


def rules_acl(_numbers, rules=100, shape="acl", seed=1):
    rules = acl_rules(int(rules), shape, int(seed))
    for i, (src, src_len, dst, dst_len, proto, tp_src, tp_dst, drop) in enumerate(rules):
        priority = 60000 - (i if len(rules) < 60000 else i * 59000 // len(rules))
        text = "priority=%d,%s" % (priority, {6: "tcp", 17: "udp", 0: "ip"}[proto])
        for name, value, length in (("nw_src", src, src_len), ("nw_dst", dst, dst_len)):
            if length:
                text += ",%s=%s/%d" % (name, address(value), length)
        for name, (value, mask) in (("tp_src", tp_src), ("tp_dst", tp_dst)):
            if mask:
                text += ",%s=%#x/%#x" % (name, value, mask)
        yield text + (",actions=drop" if drop else ",actions=output:2")
    yield "priority=1,actions=output:2"


def trace_acl(numbers, packets, rules=100, shape="acl", headers=100000, zipf=0.0, seed=1):
    rules = acl_rules(int(rules), shape, int(seed))
    every = []
    for flow in range(int(headers)):
        src, src_len, dst, dst_len, proto, tp_src, tp_dst, _ = numbers.choice(rules)
        every.append(frame(
            mac(0xfe, 9), mac(flow % 100), src | numbers.getrandbits(32) >> src_len,
            dst | numbers.getrandbits(32) >> dst_len,
            tp_src[0] | numbers.getrandbits(16) & ~tp_src[1],
            tp_dst[0] | numbers.getrandbits(16) & ~tp_dst[1], proto or 6))
    return (pick(numbers, every, packets, zipf),)


# Tuple space explosion: a victim whom one rule allows, and packets that differ from the rules'
# fields in each combination of first differing bits.

def trace_victim(numbers, packets, flows=1000):
    every = [frame(mac(1, 1), mac(1), 0x0a010000 + flow, 0x0a800001, 20000 + flow, 80)
             for flow in range(int(flows))]
    return (pick(numbers, every, packets),)


def trace_explosion(numbers, _packets):
    frames = []
    for i, j, k in itertools.product(range(32), range(16), range(16)):
        frames.append(frame(
            mac(1, 1), mac(2), 0x0a00000a ^ 1 << i ^ numbers.getrandbits(i) if i else 0x0a00000b,
            0x0a800001, (12345 ^ 1 << j) ^ numbers.getrandbits(j) if j else 12344,
            (80 ^ 1 << k) ^ numbers.getrandbits(k) if k else 81))
    numbers.shuffle(frames)
    return (frames,)


# Many small tables: each looks at two bits of one field.

FIELDS = (("nw_src", 32), ("nw_dst", 32), ("udp_src", 16), ("udp_dst", 16))


def rules_tables(_numbers, tables=40):
    tables = int(tables)
    for table in range(tables):
        field, bits = FIELDS[table % 4]
        shift = table // 4 * 2 % bits
        for value in range(4):
            match, mask = value << shift, 3 << shift
            if bits == 32:
                match, mask = address(match), address(mask)
            yield "table=%d,priority=10,udp,%s=%s/%s,actions=load:%d->NXM_NX_REG%d[0..1],%s" % (
                table, field, match, mask, value, table % 8,
                "resubmit(,%d)" % (table + 1) if table < tables - 1 else "output:2")


def trace_tables(numbers, packets, flows=8192):
    every = [frame(mac(1, 1), mac(1), numbers.getrandbits(32), numbers.getrandbits(32),
                   numbers.getrandbits(16), numbers.getrandbits(16)) for _ in range(int(flows))]
    return (pick(numbers, every, packets),)


# Rules of which each has a mask of its own, and headers that match them.

def masked_rules(count):
    """[(nw_src, length, nw_dst, length)], for count up to 1024 the first of the same list"""
    numbers = random.Random(77)
    lengths = list(itertools.product(range(1, 33), range(1, 33)))
    numbers.shuffle(lengths)
    rules = [(numbers.getrandbits(src) << 32 - src, src, numbers.getrandbits(dst) << 32 - dst, dst)
             for src, dst in lengths]
    return rules[:count]


def rules_masks(_numbers, masks=16):
    for src, src_len, dst, dst_len in masked_rules(int(masks)):
        yield "priority=%d,ip,nw_src=%s/%d,nw_dst=%s/%d,actions=output:2" % (
            src_len + dst_len, address(src), src_len, address(dst), dst_len)


def trace_masks(numbers, packets, masks=16, headers=10000):
    rules = masked_rules(int(masks))
    every = []
    for flow in range(int(headers)):
        src, src_len, dst, dst_len = rules[flow % len(rules)]
        every.append(frame(mac(1, 1), mac(1), src | numbers.getrandbits(32) >> src_len,
                           dst | numbers.getrandbits(32) >> dst_len, 1024 + flow % 60000, 53))
    return (pick(numbers, every, packets),)


# Rules beside which others come and go, and that no packet hits; packets go by the last.

def rules_idle(_numbers, count=10000):
    for i in range(int(count)):
        yield "priority=9,udp,in_port=9,nw_src=%s,nw_dst=10.8.8.8,tp_src=%d,tp_dst=53," \
            "actions=output:2" % (address(0x0b000000 + i), 1024 + i % 60000)
    yield "priority=1,in_port=1,actions=output:2"


def rules_macs(_numbers, count=100):
    for i in range(int(count)):
        yield "priority=10,in_port=1,dl_src=%s,actions=drop" % mac_text(i, 7)
    yield "priority=1,in_port=1,actions=output:2"


def rules_group(_numbers, buckets=64):
    for i in range(int(buckets)):
        yield "bucket=actions=mod_dl_dst:%s,output:2" % mac_text(i, 8)


def options_of(words):
    options = {}
    for word in words:
        name, value = word.split("=", 1)
        options[name] = float(value) if name == "zipf" else value
    return options


def make_trace(path, kind, words):
    options = options_of(words)
    packets = int(options.pop("packets", 4096))
    traces = globals()["trace_" + kind](random.Random("trace" + kind), packets, **options)
    for name, frames in zip((path, path + ".back"), traces):
        write(name, frames)


def make_rules(kind, words):
    return globals()["rules_" + kind](random.Random("rules" + kind), **options_of(words))


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("trace", "rules"):
        sys.exit(__doc__)
    if sys.argv[1] == "trace":
        make_trace(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        sys.stdout.writelines(line + "\n" for line in make_rules(sys.argv[2], sys.argv[3:]))


if __name__ == "__main__":
    main()
