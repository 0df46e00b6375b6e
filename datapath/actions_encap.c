// encap and decap (ovs-actions(7)).
//
// A bare packet, one without an Ethernet header, keeps room for one in front of it: 12 bytes of zero
// and its type. So all offsets are those of a frame, and where a bare packet is sent to a port, all
// of which take Ethernet, it goes as the frame that these bytes make.
#include "datapath/actions.h"
#include "datapath/nsh.h"
#include "datapath/parse.h"
#include "datapath/write_back.h"

#include <string.h>

#define ETHERNET_SIZE 14
#define TYPE_AT 12
#define BARE(type) (1u << 16 | (type))
#define NSH_FIRST 63u // TTL of a new header
#define NSH_FIRST_SI 255
#define MPLS_FIRST_TTL 64
#define BOTTOM 1
#define ENCAP_MAX_BYTES 96 // put in front of a packet: there is room for so many

static void unsupported(struct forward *forward, unsigned int packet)
{
	output_drop(forward, packet, DROP_PACKET_TYPE);
	forward_finish(forward, packet);
}

// Make the bytes ours, and what the key says. NULL if the packet is finished.
static uint8_t *settle(struct forward *forward, unsigned int packet)
{
	if (!output_make_writable(forward, packet))
		return NULL;
	if (forward->vector->dirty[packet])
		write_back(forward->vector, packet);
	return rte_pktmbuf_mtod(forward->vector->packets[packet], uint8_t *);
}

static void become(struct forward *forward, unsigned int packet, uint32_t packet_type)
{
	struct vector *vector = forward->vector;
	uint8_t *frame = rte_pktmbuf_mtod(vector->packets[packet], uint8_t *);

	vector->layout[packet].packet_type = packet_type;
	if (packet_type) {
		const rte_be16_t type = rte_cpu_to_be_16((uint16_t)packet_type);

		memset(frame, 0, TYPE_AT);
		memcpy(frame + TYPE_AT, &type, sizeof(type));
	}
	parse_again(vector, packet);
}

// Room for `size` bytes behind the Ethernet header's place, or for that as well where the packet is
// Ethernet and stays whole. Returns where they go; NULL: the packet is finished.
static uint8_t *insert(struct forward *forward, unsigned int packet, uint32_t size)
{
	struct vector *vector = forward->vector;
	struct packet_layout *layout = &vector->layout[packet];
	const uint32_t more = size + (layout->packet_type ? 0 : ETHERNET_SIZE);
	uint8_t *frame;

	if (layout->n_encap_bytes + more > ENCAP_MAX_BYTES) {
		output_drop(forward, packet, DROP_ENCAP);
		forward_finish(forward, packet);
		return NULL;
	}
	if (!settle(forward, packet))
		return NULL;
	frame = packet_prepend(vector->packets[packet], (uint16_t)more);
	if (unlikely(!frame)) {
		output_drop(forward, packet, DROP_NO_MEMORY);
		forward_finish(forward, packet);
		return NULL;
	}
	layout->n_encap_bytes = (uint16_t)(layout->n_encap_bytes + more);
	return frame + ETHERNET_SIZE;
}

static uint8_t nsh_protocol(uint32_t packet_type)
{
	switch (packet_type) {
	case BARE(0x0800):
		return 1;
	case BARE(0x86dd):
		return 2;
	case 0:
		return 3;
	case BARE(0x894f):
		return 4;
	default:
		return 0;
	}
}

static void encap_nsh(struct forward *forward, unsigned int packet, const struct op_encap *op)
{
	const uint8_t protocol = nsh_protocol(forward->vector->layout[packet].packet_type);
	const uint32_t size = op->md_type == 1 ? NSH_MD1_SIZE : NSH_BASE_SIZE + op->n_options;
	uint8_t *nsh;

	if (!protocol) {
		unsupported(forward, packet);
		return;
	}
	nsh = insert(forward, packet, size);
	if (!nsh)
		return;
	memset(nsh, 0, size);
	nsh[0] = NSH_FIRST >> 2;
	nsh[1] = (uint8_t)((NSH_FIRST & 3) << 6 | size / 4);
	nsh[2] = op->md_type;
	nsh[3] = protocol;
	nsh[7] = NSH_FIRST_SI;
	memcpy(nsh + NSH_BASE_SIZE, op->options, op->n_options);
	become(forward, packet, BARE(0x894f));
}

// The outermost label's TTL and class are copied, or those of the IP header, as push_mpls does.
static void encap_mpls(struct forward *forward, unsigned int packet, uint32_t packet_type)
{
	const struct packet_layout *layout = &forward->vector->layout[packet];
	const struct key_core *core = vector_core(forward->vector, packet);
	const uint8_t *frame = rte_pktmbuf_mtod(forward->vector->packets[packet], uint8_t *);
	uint8_t label[4] = { 0, 0, BOTTOM, MPLS_FIRST_TTL };
	uint8_t *at;

	if (layout->packet_type && layout->n_mpls) {
		if (layout->n_mpls == 3) {
			output_drop(forward, packet, DROP_MPLS_LABELS);
			forward_finish(forward, packet);
			return;
		}
		frame = settle(forward, packet);
		if (!frame)
			return;
		memcpy(label, frame + layout->l3, sizeof(label));
		label[2] &= (uint8_t)~BOTTOM;
	} else if (layout->packet_type && layout->l3 &&
		   (layout->type == RTE_BE16(0x0800) || layout->type == RTE_BE16(0x86dd))) {
		label[2] = (uint8_t)((core->ip_tos >> 2 & 7) << 1 | BOTTOM);
		label[3] = core->ip_ttl;
	}
	if (layout->packet_type && !layout->n_mpls && layout->type == RTE_BE16(0x86dd))
		label[2] |= 2 << 4;
	at = insert(forward, packet, sizeof(label));
	if (!at)
		return;
	memcpy(at, label, sizeof(label));
	become(forward, packet, packet_type);
}

void actions_encap(struct forward *forward, const struct op_encap *op, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		switch (op->kind) {
		case ENCAP_ETHERNET:
			if (!forward->vector->layout[i].packet_type)
				unsupported(forward, (unsigned int)i);
			else if (settle(forward, (unsigned int)i))
				become(forward, (unsigned int)i, 0);
			break;
		case ENCAP_NSH:
			encap_nsh(forward, (unsigned int)i, op);
			break;
		case ENCAP_MPLS:
		case ENCAP_MPLS_MC:
			encap_mpls(forward, (unsigned int)i,
				   BARE(op->kind == ENCAP_MPLS ? 0x8847u : 0x8848u));
			break;
		}
	}
}

// Take `size` bytes out behind the Ethernet header's place, and that too where what comes out is
// Ethernet.
static void take_out(struct forward *forward, unsigned int packet, uint32_t size,
		     uint32_t packet_type)
{
	struct rte_mbuf *mbuf = forward->vector->packets[packet];
	const uint32_t less = size + (packet_type ? 0 : ETHERNET_SIZE);

	if (rte_pktmbuf_data_len(mbuf) < less + ETHERNET_SIZE) {
		unsupported(forward, packet);
		return;
	}
	if (!settle(forward, packet))
		return;
	packet_remove(forward->vector->packets[packet], (uint16_t)less);
	become(forward, packet, packet_type);
}

static void decap_ethernet(struct forward *forward, unsigned int packet)
{
	const struct packet_layout *layout = &forward->vector->layout[packet];
	const uint8_t *frame = rte_pktmbuf_mtod(forward->vector->packets[packet], uint8_t *);
	const uint16_t type = rte_be_to_cpu_16(layout->type);

	if (layout->n_vlans || type < 0x600) {
		unsupported(forward, packet);
		return;
	}
	// Behind an 802.2 header, that goes as well.
	take_out(forward, packet, frame[TYPE_AT] < 6 ? 8 : 0, BARE(type));
}

static void decap_nsh(struct forward *forward, unsigned int packet)
{
	const struct packet_layout *layout = &forward->vector->layout[packet];
	const uint8_t *nsh =
		rte_pktmbuf_mtod(forward->vector->packets[packet], uint8_t *) + ETHERNET_SIZE;
	static const uint32_t types[] = { UINT32_MAX, BARE(0x0800), BARE(0x86dd), 0, BARE(0x894f) };

	if (!layout->l3 || !nsh[3] || nsh[3] >= RTE_DIM(types))
		unsupported(forward, packet);
	else
		take_out(forward, packet, (nsh[1] & 0x3fu) * 4, types[nsh[3]]);
}

static void decap_mpls(struct forward *forward, unsigned int packet, const struct op_decap *op)
{
	const struct packet_layout *layout = &forward->vector->layout[packet];
	const uint8_t *label =
		rte_pktmbuf_mtod(forward->vector->packets[packet], uint8_t *) + ETHERNET_SIZE;

	if (!layout->n_mpls || (!op->has_type && label[2] & BOTTOM))
		unsupported(forward, packet);
	else
		take_out(forward, packet, 4, op->has_type ? op->packet_type : layout->packet_type);
}

void actions_decap(struct forward *forward, const struct op_decap *op, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		switch (forward->vector->layout[i].packet_type) {
		case 0:
			decap_ethernet(forward, (unsigned int)i);
			break;
		case BARE(0x894f):
			decap_nsh(forward, (unsigned int)i);
			break;
		case BARE(0x8847):
		case BARE(0x8848):
			decap_mpls(forward, (unsigned int)i, op);
			break;
		default:
			unsupported(forward, (unsigned int)i);
		}
	}
}
