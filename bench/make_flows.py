#!/usr/bin/env python3
# Write COUNT flows, each exact on the 5-tuple: make_flows.py COUNT
import sys

lines = []
for flow in range(int(sys.argv[1])):
    far = flow * 7919
    lines.append(
        "priority=100,udp,in_port=1,nw_src=10.%d.%d.%d,nw_dst=172.%d.%d.%d,tp_src=%d,tp_dst=%d,"
        "cookie=%#x,actions=output:%d\n" % (
            flow >> 16 & 255, flow >> 8 & 255, flow & 255,
            16 + (flow >> 18 & 15), far >> 8 & 255, far & 255,
            1024 + flow % 60000, 53 + flow % 8, 1 + flow // 100, 2 + flow % 100))
sys.stdout.write("".join(lines))
