// Headers put in front of a packet, and taken away.
#include "tests/unit/reference.h"

#include <string.h>

static void shift(struct ref_packet *packet, int by)
{
	if (by > 0)
		memmove(packet->bytes + by, packet->bytes, packet->size);
	else
		memmove(packet->bytes, packet->bytes - by, packet->size - (unsigned int)-by);
	packet->size = (unsigned int)((int)packet->size + by);
}

static void make_bare(struct ref_packet *packet, unsigned int type)
{
	packet->packet_type = 0x10000 | type;
	memset(packet->bytes, 0, 12);
	ref_put16(packet->bytes + 12, type);
}

// False where that is more than the switch has room for.
static bool grow(struct ref_packet *packet, unsigned int size, unsigned int type)
{
	size += packet->packet_type ? 0 : 14;
	if (packet->n_encap_bytes + size > 96)
		return false;
	packet->n_encap_bytes += size;
	shift(packet, (int)size);
	make_bare(packet, type);
	return true;
}

static bool push_nsh(struct ref_packet *packet, const struct op_encap *op, bool *supported)
{
	static const uint32_t inner[] = { 0x10800, 0x186dd, 0, 0x1894f };
	unsigned int size = op->md_type == 1 ? 24 : 8u + op->n_options, np = 0;
	uint8_t *nsh = packet->bytes + 14;

	for (unsigned int i = 0; i < 4; i++)
		if (inner[i] == packet->packet_type)
			np = i + 1;
	*supported = np > 0;
	if (!np)
		return true;
	if (!grow(packet, size, 0x894f))
		return false;
	memset(nsh, 0, size);
	ref_put16(nsh, 63 << 6 | size / 4);
	nsh[2] = op->md_type;
	nsh[3] = (uint8_t)np;
	nsh[7] = 255;
	memcpy(nsh + 8, op->options, op->n_options);
	return true;
}

static enum drop_reason push_label(struct ref_packet *packet, unsigned int type, bool *fails)
{
	uint8_t label[4] = { 0, 0, 1, 64 };
	struct ref_layout layout;
	struct key key;

	memset(&key, 0, sizeof(key));
	ref_parse(packet, &key, &layout);
	*fails = true;
	if (packet->packet_type && layout.n_mpls) {
		if (layout.n_mpls == 3)
			return DROP_MPLS_LABELS;
		memcpy(label, packet->bytes + layout.mpls, 4);
		label[2] &= 0xfe;
	} else if (packet->packet_type && (layout.ipv4 || layout.ipv6)) {
		label[2] = (uint8_t)((key.core.ip_tos >> 2) % 8 * 2 + 1);
		label[3] = key.core.ip_ttl;
	}
	if (packet->packet_type == 0x186dd)
		label[2] |= 0x20;
	if (!grow(packet, 4, type))
		return DROP_ENCAP;
	memcpy(packet->bytes + 14, label, 4);
	*fails = false;
	return DROP_ACTION;
}

static enum drop_reason encap(struct ref_packet *packet, const struct op_encap *op, bool *fails)
{
	bool supported = true;

	*fails = false;
	if (op->kind == ENCAP_MPLS || op->kind == ENCAP_MPLS_MC)
		return push_label(packet, op->kind == ENCAP_MPLS ? 0x8847 : 0x8848, fails);
	if (op->kind == ENCAP_NSH) {
		*fails = !push_nsh(packet, op, &supported) || !supported;
		return supported ? DROP_ENCAP : DROP_PACKET_TYPE;
	}
	*fails = !packet->packet_type;
	packet->packet_type = 0;
	return DROP_PACKET_TYPE;
}

// Take `size` bytes out, so that what remains is of this type.
static bool shrink(struct ref_packet *packet, unsigned int size, uint32_t type)
{
	size += type ? 0 : 14;
	if (packet->size < size + 14)
		return false;
	shift(packet, -(int)size);
	packet->packet_type = 0;
	if (type)
		make_bare(packet, type & 0xffff);
	return true;
}

static bool decap(struct ref_packet *packet, const struct op_decap *op)
{
	static const uint32_t inner[] = { 0x10800, 0x186dd, 0, 0x1894f };
	const uint8_t *header = packet->bytes + 14;
	struct ref_layout layout;
	struct key key;

	memset(&key, 0, sizeof(key));
	ref_parse(packet, &key, &layout);
	if (!packet->packet_type) {
		unsigned int type = rte_be_to_cpu_16(key.core.eth_type);
		bool snap = ref_get16(packet->bytes + 12) < 0x600;

		return !layout.n_vlans && type >= 0x600 &&
		       shrink(packet, snap ? 8 : 0, 0x10000 | type);
	}
	if (layout.nsh)
		return header[3] >= 1 && header[3] <= 4 &&
		       shrink(packet, ref_get16(header) % 64 * 4, inner[header[3] - 1]);
	if (layout.n_mpls && op->has_type)
		return shrink(packet, 4, op->packet_type);
	return layout.n_mpls && !(header[2] & 1) && shrink(packet, 4, packet->packet_type);
}

enum drop_reason ref_encap(struct ref_packet *packet, const struct op *op, bool *fails)
{
	if (op->code == OP_ENCAP)
		return encap(packet, (const struct op_encap *)op, fails);
	packet->retyped |= packet->packet_type != 0;
	*fails = !decap(packet, (const struct op_decap *)op);
	return DROP_PACKET_TYPE;
}
