// What the tests of ports share: DPDK without hugepages, a packet pool that must be full again at
// the end, opening by a list of options, frames to send and compare, other programs to run.
#ifndef TESTS_UNIT_VPORT_FIXTURE_H
#define TESTS_UNIT_VPORT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/types.h>

#include "common/error.h"
#include "vport/vport.h"

#define FIXTURE_PACKETS 4096

// Group setup and teardown. The setup gives each run a directory of its own (fixture_dir).
int fixture_start(void **state);
int fixture_stop(void **state);
extern char fixture_dir[64];

// Test teardown: fails when packets are missing from the pool or ports are left open.
int fixture_check_leaks(void **state);

// Options come as "key", "value", ..., NULL.
struct vport *fixture_open(const char *name, const char *type, ...);
// Opening must fail, with every part of `fragment` (separated by '|') in its message.
void fixture_refused(const char *fragment, const char *name, const char *type, ...);

// A frame of `length` bytes (at least 14), its content decided by `seed`.
struct rte_mbuf *fixture_packet(uint32_t length, uint32_t seed);
void fixture_fill(uint8_t *bytes, uint32_t length, uint32_t seed);
void fixture_compare(struct rte_mbuf *packet, const uint8_t *bytes, uint32_t length);

// Receive until n packets came or `ms` passed, ticking. Returns how many.
unsigned int fixture_receive(struct vport *vport, struct rte_mbuf **packets, unsigned int n,
			     unsigned int ms);
// Tick until the link is as asked; returns the milliseconds it took, or -1 after `ms`.
int fixture_wait_link(struct vport *vport, bool up, unsigned int ms);

uint64_t fixture_now_ms(void);

// Run a command by the shell; fails the test unless it succeeds.
void fixture_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
