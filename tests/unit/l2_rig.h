// A bridge whose only flow says NORMAL, with ports that keep what is sent. For tests of Ethernet
// switching, through the hot code of every level.
#ifndef TESTS_UNIT_L2_RIG_H
#define TESTS_UNIT_L2_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datapath/hot.h"
#include "ofproto/bridge_internal.h"
#include "tests/unit/eal.h"

#define L2_PORTS 10 // numbers 1 to 10
#define L2_MAX_SENT 64

struct l2_port {
	struct vport vport;
	struct bridge_port port;
	struct forwarding_port forwarding_port;
	unsigned int n_sent;
	struct ref_packet sent[L2_MAX_SENT]; // the first ones
};

struct l2_rig {
	struct bridge bridge;
	struct forwarding forwarding;
	struct port_map_chunk chunk;
	struct l2_port ports[L2_PORTS + 1];
	struct worker *worker;
};

// All ports are trunks of all VLANs at first.
struct l2_rig *l2_rig_create(void);
void l2_rig_destroy(struct l2_rig *rig);
// Put what was changed in a port's settings (l2_port.port) into force.
void l2_rig_refresh(struct l2_rig *rig, unsigned int port);

// Send a frame into a port; learns at once what the workers report. Ports start without frames.
void l2_rig_send(struct l2_rig *rig, unsigned int port, const struct ref_packet *frame);
// How many packets that came in at this port were dropped for that reason.
uint64_t l2_rig_drops(const struct l2_rig *rig, unsigned int port, enum drop_reason reason);

// "88a8/10 8100/5.30 ": types, priorities (unless 0) and numbers of the tags, outer ones first.
// Reading makes a frame with them, a payload and `payload_type`.
void l2_frame(struct ref_packet *frame, const char *tags, const char *destination,
	      const char *source, unsigned int payload_type, const void *payload,
	      unsigned int size);
const char *l2_tags(const struct ref_packet *frame);

#endif
