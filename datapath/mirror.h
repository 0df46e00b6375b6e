// Mirrors of a bridge: who gets copies of what (table Mirror of ovs-vswitchd.conf.db(5)).
//
// ofproto/mirror.c fills and publishes a table for the bridge, workers read it once per vector: a
// bridge without mirrors pays one test for each. Copies of received packets are taken before the
// flow tables (and the traversal cache), copies of sent ones in output.c, where every output passes.
// A copy is a reference; whoever changes bytes later makes a copy of them, as for any second output.
// A packet is copied to one destination once, at the first place where a mirror selects it.
#ifndef DATAPATH_MIRROR_H
#define DATAPATH_MIRROR_H

#include "datapath/forwarding.h"
#include "flowtable/key.h"

#define MIRRORS_MAX 32 // of a bridge: bits of a mask

// A word of the key that the filter looks at.
struct mirror_word {
	uint64_t mask, value;
	uint16_t line, word;
};

struct mirror {
	char id[40]; // the row's: counts live as long as it
	const char *name; // points behind the table
	uint32_t counter; // packets and bytes on the wire
	uint32_t same; // mirrors with the same destination, itself included
	uint32_t output_port; // OFPP_ANY: a VLAN instead, or nothing
	uint16_t output_vlan; // 0: none
	uint16_t n_words; // of the filter
	uint32_t snaplen; // 0: whole packets
	bool any_vlan;
	uint64_t vlans[64]; // bit per VLAN
	struct mirror_word words[KEY_WORDS];
};

// What is selected by port. Sorted by number.
struct mirror_port {
	uint32_t ofport;
	uint32_t source, destination; // masks of mirrors
};

// Immutable; the counters of `gone` are freed with it.
struct mirror_table {
	uint32_t n;
	uint32_t all; // mask of mirrors that select every port
	uint32_t n_ports;
	struct mirror_port *ports;
	uint32_t gone; // mask of mirrors that the next table does not have
	struct mirror mirrors[];
};

struct forward;
struct rte_mbuf;

// Hot. A vector begins; `packets` of it came in through a port, and are copied.
void mirror_receive(struct forward *forward, uint64_t packets);

// Hot. The packet leaves through `port` in this form: take copies.
void mirror_send(struct forward *forward, unsigned int packet, const struct forwarding_port *port,
		 const struct rte_mbuf *form);
// The same in two steps, for one packet that leaves as several frames.
uint32_t mirror_select(struct forward *forward, unsigned int packet,
		       const struct forwarding_port *port, const struct rte_mbuf *form);
void mirror_copy(struct forward *forward, uint32_t mirrors, const struct rte_mbuf *form);

#endif
