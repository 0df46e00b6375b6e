// DPDK for unit tests: no hugepages, no devices, a name of its own, one packet pool.
#ifndef TESTS_UNIT_EAL_H
#define TESTS_UNIT_EAL_H

#include "tests/unit/reference.h"
#include "vport/packet.h"

// Start EAL, RCU and a pool of `n` packets. Ends the program with a message if that fails. Once.
void test_eal_init(unsigned int n);
void test_eal_end(void);

// A packet with these bytes, in one segment or more. Behind its end lies garbage, so that a reader
// that goes too far is caught by what it finds.
struct rte_mbuf *test_packet_create(const struct ref_packet *packet);
struct rte_mbuf *test_packet_create_split(const struct ref_packet *packet, unsigned int at);

// The bytes of all segments.
void test_packet_read(struct rte_mbuf *mbuf, struct ref_packet *packet);

// The CPU levels for which hot code exists and that this machine can run, NULL behind the last.
const char *const *test_hot_levels(void);

#endif
