// Anti-spoofing: who may send from a port (Interface allowed_addresses), asked of each packet that
// the port receives before any table and before the traversal cache, so that no flow can let through
// what is refused here. Immutable: changes publish a new one.
//
// With Ethernet addresses listed, the source of each frame and whoever speaks in ARP and neighbour
// discovery must be among them. With IPv4 or IPv6 prefixes listed, the source of each IP packet must
// be in one, of its own family: with IPv4 alone, IPv6 is refused. What a host says before it has an
// address is let through: DHCP requests, ARP probes for an address of its own, duplicate address
// detection for it, reports of multicast groups. A link-local IPv6 address made of the frame's source
// (RFC 4291 appendix A) needs no listing.
#ifndef DATAPATH_GUARD_H
#define DATAPATH_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#define GUARD_MAX 32 // of each kind

struct guard_ipv4 {
	uint32_t address; // as on the wire, bits beyond the prefix are 0
	uint32_t mask;
};

struct guard_ipv6 {
	uint64_t address[2]; // as on the wire
	uint64_t mask[2];
};

struct port_guard {
	uint16_t n_macs, n_ipv4, n_ipv6;
	uint8_t macs[GUARD_MAX][6];
	struct guard_ipv4 ipv4[GUARD_MAX];
	struct guard_ipv6 ipv6[GUARD_MAX];
};

struct forward;

// Hot: the packets that may go on; the others are dropped, each for its reason.
uint64_t guard_run(struct forward *forward, const struct port_guard *guard, uint64_t packets);

#endif
