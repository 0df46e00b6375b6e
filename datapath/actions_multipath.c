// multipath and bundle: one of several links, chosen by a hash of the packet's headers.
//
// The hash has no secret: equal packets take equal links on every worker, after a restart, and on
// a second switch with the same flows. `basis` tells switches in a row apart.
#include "datapath/actions.h"

#include <netinet/in.h>

#define HRW_MAX_LINKS 64 // a loop over more would cost too much
#define ITER_MAX 64
#define MULTIPLIER 0x9e3779b97f4a7c15ULL

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * MULTIPLIER;
	hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93ULL;
	return hash ^ hash >> 32;
}

static uint64_t read_number(const uint8_t *at, unsigned int size)
{
	uint64_t number = 0;

	for (unsigned int i = 0; i < size; i++)
		number = number << 8 | at[i];
	return number;
}

// Two of a kind, in an order that does not tell which came first.
static uint64_t mix_pair(uint64_t hash, const void *a, const void *b, unsigned int size)
{
	const bool swap = memcmp(a, b, size) > 0;
	const uint8_t *both[2] = { swap ? b : a, swap ? a : b };

	for (unsigned int i = 0; i < 2; i++)
		for (unsigned int at = 0; at < size; at += 8)
			hash = mix(hash, read_number(both[i] + at, size < 8 ? size : 8));
	return hash;
}

static uint64_t mix_l4(uint64_t hash, const struct key_core *core, bool with_udp)
{
	hash = mix(hash, core->ip_proto);
	if (core->ip_proto == IPPROTO_TCP || core->ip_proto == IPPROTO_SCTP ||
	    (with_udp && core->ip_proto == IPPROTO_UDP))
		hash = mix_pair(hash, &core->tp_src, &core->tp_dst, 2);
	return hash;
}

static uint32_t hash_packet(struct vector *vector, unsigned int packet, enum flow_hash what,
			    uint16_t basis)
{
	const struct key_core *core = vector_core(vector, packet);
	const struct key_ipv6 *ipv6 = vector_ipv6(vector, packet);
	const bool is_v6 = core->eth_type == RTE_BE16(0x86dd);
	const bool is_ip = is_v6 || core->eth_type == RTE_BE16(0x0800);
	const void *source = is_v6 ? (const void *)ipv6->ipv6_src : &core->ip_src;
	const void *destination = is_v6 ? (const void *)ipv6->ipv6_dst : &core->ip_dst;
	const unsigned int size = is_v6 ? 16 : 4;
	uint64_t hash = mix(MULTIPLIER, basis);

	if (what == FLOW_HASH_ETH_SRC)
		return (uint32_t)mix(hash, read_number(core->eth_src, 6));
	if (what == FLOW_HASH_SYMMETRIC_L4) {
		hash = mix_pair(hash, core->eth_src, core->eth_dst, 6);
		hash = mix(hash, rte_be_to_cpu_16(core->eth_type));
		hash = mix(hash, rte_be_to_cpu_16(core->vlan_tci0) & 0xfff);
		hash = mix(hash, rte_be_to_cpu_16(core->vlan_tci1) & 0xfff);
	}
	if (!is_ip)
		return what == FLOW_HASH_SYMMETRIC_L4 ? (uint32_t)hash : 0;
	if (what == FLOW_HASH_NW_SRC || what == FLOW_HASH_NW_DST) {
		const uint8_t *address = what == FLOW_HASH_NW_SRC ? source : destination;

		for (unsigned int at = 0; at < size; at += 8)
			hash = mix(hash, read_number(address + at, size < 8 ? size : 8));
		return (uint32_t)hash;
	}
	hash = mix_pair(hash, source, destination, size);
	if (what != FLOW_HASH_SYMMETRIC_L3)
		hash = mix_l4(hash, core, what == FLOW_HASH_SYMMETRIC_L3L4_UDP);
	return (uint32_t)hash;
}

static uint32_t rehash(uint32_t hash, uint32_t i)
{
	return (uint32_t)mix(mix(MULTIPLIER, hash), i);
}

static uint32_t choose_threshold(uint32_t hash, uint32_t n_links)
{
	return n_links == 1 ? 0 : hash / (UINT32_MAX / n_links + 1);
}

static uint32_t choose_hrw(uint32_t hash, uint32_t n_links)
{
	uint32_t best = 0, most = 0;

	if (n_links > HRW_MAX_LINKS)
		return choose_threshold(hash, n_links);
	for (uint32_t i = 0; i < n_links; i++) {
		const uint32_t weight = rehash(hash, i);

		if (i && weight <= most)
			continue;
		best = i;
		most = weight;
	}
	return best;
}

static uint32_t choose_iter(uint32_t hash, uint32_t n_links, uint32_t arg)
{
	if (arg < n_links || arg / 2 > n_links)
		arg = 1u << (n_links > 1 ? 32 - __builtin_clz(n_links - 1) : 0);
	for (uint32_t i = 1; i <= ITER_MAX; i++) {
		const uint32_t link = rehash(hash, i) % arg;

		if (link < n_links)
			return link;
	}
	return hash % n_links;
}

static uint32_t choose_link(uint32_t hash, const struct op_multipath *op)
{
	switch (op->algorithm) {
	case LINK_MODULO_N:
		return hash % op->n_links;
	case LINK_HASH_THRESHOLD:
		return choose_threshold(hash, op->n_links);
	case LINK_HRW:
		return choose_hrw(hash, op->n_links);
	default:
		return choose_iter(hash, op->n_links, op->arg);
	}
}

void actions_multipath(struct forward *forward, const struct op_multipath *op, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		const uint32_t hash =
			hash_packet(forward->vector, (unsigned int)i, op->hash, op->basis);
		const struct bits link = bits_of(choose_link(hash, op));

		actions_write(forward, (unsigned int)i, &op->destination, &link);
	}
}

// --- Bundles ---

static bool is_live(struct forward *forward, uint32_t ofport)
{
	const struct forwarding_port *port = forwarding_port(forward->forwarding, ofport);

	return port && port->admin_up && port->vport->status.link_up;
}

// The member for a packet; OFPP_ANY if none is live.
static uint32_t choose_member(struct forward *forward, const struct op_bundle *op, uint32_t hash)
{
	uint32_t best = OFPP_ANY, most = 0;

	for (uint32_t i = 0; i < op->n_members; i++) {
		const uint32_t weight = rehash(hash, i);

		if ((best != OFPP_ANY && weight <= most) || !is_live(forward, op->members[i]))
			continue;
		best = op->members[i];
		most = weight;
		if (op->algorithm == LINK_ACTIVE_BACKUP)
			break;
	}
	return best;
}

void actions_bundle(struct forward *forward, const struct op_bundle *op, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		const uint32_t hash =
			hash_packet(forward->vector, (unsigned int)i, op->hash, op->basis);
		const uint32_t port = choose_member(forward, op, hash);
		const struct bits number = bits_of(port & 0xffff);

		if (op->is_load)
			actions_write(forward, (unsigned int)i, &op->destination, &number);
		else if (port != OFPP_ANY)
			output_to(forward, (unsigned int)i, port, MAX_LEN_ALL);
	}
}
