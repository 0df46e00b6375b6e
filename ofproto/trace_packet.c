#include "ofproto/trace_packet.h"

#include "common/error.h"
#include "common/text.h"
#include "datapath/datapath.h"
#include "datapath/hot.h"
#include "ofproto/trace.h"

#include <errno.h>
#include <string.h>

struct rte_mbuf *trace_packet_from(const uint8_t *bytes, size_t size, struct error *error)
{
	struct rte_mbuf *packet = NULL;

	if (size < 14 || size > TRACE_PACKET_MAX) {
		error_set(error, EINVAL,
			  "a packet has 14 to %u bytes, its Ethernet header included, not %zu",
			  TRACE_PACKET_MAX, size);
		return NULL;
	}
	for (size_t at = 0, n; at < size; at += n) {
		struct rte_mbuf *segment = rte_pktmbuf_alloc(packet_pool());

		if (segment && packet && rte_pktmbuf_chain(packet, segment)) {
			rte_pktmbuf_free(segment);
			segment = NULL;
		}
		if (!segment) {
			rte_pktmbuf_free(packet);
			error_set(error, ENOMEM, "no packet buffer is free: try again");
			return NULL;
		}
		n = RTE_MIN(size - at, (size_t)rte_pktmbuf_tailroom(segment));
		memcpy(rte_pktmbuf_mtod(segment, void *), bytes + at, n);
		segment->data_len = (uint16_t)n;
		segment->pkt_len = packet ? 0 : (uint32_t)n;
		if (packet)
			packet->pkt_len += (uint32_t)n;
		else
			packet = segment;
	}
	return packet;
}

// What people leave out of a flow but every packet has.
static void fill_defaults(struct match *match)
{
	struct key *key = &match->value;

	if (!match->mask.core.ip_ttl)
		key->core.ip_ttl = 64;
	if (key->core.eth_type == RTE_BE16(0x0806) && !match->mask.core.ip_proto)
		key->core.ip_proto = 1;
	if (!(match->mask.ipv6.mpls_lse[0] & RTE_BE32(0x100)))
		key->ipv6.mpls_lse[0] |= RTE_BE32(0x100); // the only label
	if (!(match->mask.ipv6.mpls_lse[0] & RTE_BE32(0xff)))
		key->ipv6.mpls_lse[0] |= RTE_BE32(64);
	if (!match->mask.core.eth_type)
		key->core.eth_type = RTE_BE16(KEY_ETH_TYPE_NONE);
}

struct rte_mbuf *trace_packet_compose(struct match *match, const struct port_names *names,
				      struct error *error)
{
	struct rte_mbuf *packet;

	fill_defaults(match);
	packet = packet_compose(&match->value);
	if (!packet) {
		error_set(error, ENOMEM, "no packet buffer is free: try again");
		return NULL;
	}
	if (!trace_packet_check(packet, match, true, names, error))
		return packet;
	rte_pktmbuf_free(packet);
	return NULL;
}

static void format_value(const struct field *field, const struct field_value *value,
			 const struct port_names *names, struct text *text)
{
	const struct field_value ones = field_all_ones(field);

	field_format_value(field, value, &ones, names, text);
}

static int differs(const struct field *field, const struct field_value *want,
		   const struct field_value *has, bool composed, const struct port_names *names,
		   struct error *error)
{
	struct text wanted = { 0 }, there = { 0 };

	format_value(field, want, names, &wanted);
	format_value(field, has, names, &there);
	if (composed)
		error_set(error, ENOTSUP,
			  "a packet with %s=%s cannot be composed from a flow: give the packet in "
			  "hexadecimal digits",
			  field->shown, wanted.data);
	else
		error_set(
			error, EINVAL,
			"the packet's %s is %s, not %s: with a packet, the flow gives in_port and "
			"metadata",
			field->shown, there.data, wanted.data);
	text_free(&wanted);
	text_free(&there);
	return -(composed ? ENOTSUP : EINVAL);
}

int trace_packet_check(struct rte_mbuf *packet, const struct match *match, bool composed,
		       const struct port_names *names, struct error *error)
{
	struct key key;

	hot->parse_key(packet, 0, &key);
	for (unsigned int id = 0; id < N_FIELDS; id++) {
		const struct field *field = &fields[id];
		struct field_value mask, want, has;

		field_get(field, &match->mask, &mask);
		// Metadata has no header, and a packet cannot lack it.
		if (field_value_is_zero(&mask) || field->id == FIELD_IN_PORT ||
		    field->id == FIELD_IN_PORT_OXM || field->prerequisite == PREREQ_CT ||
		    (field->prerequisite == PREREQ_NONE && !field->dirty &&
		     field->id != FIELD_ETH_TYPE) ||
		    !match_has_prerequisite(match, field))
			continue;
		field_get(field, &match->value, &want);
		field_get(field, &key, &has);
		for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++)
			has.bytes[i] &= mask.bytes[i];
		if (memcmp(&want, &has, sizeof(want)))
			return differs(field, &want, &has, composed, names, error);
	}
	return 0;
}
