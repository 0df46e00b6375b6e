// The hash of multipath and bundle, written down once more: bytes are gathered into a list of
// numbers, the list is mixed number by number.
#include "tests/unit/reference.h"

#include <string.h>

struct numbers {
	unsigned int n;
	uint64_t number[16];
};

static uint32_t mix(const struct numbers *numbers)
{
	uint64_t hash = 0x9e3779b97f4a7c15;

	for (unsigned int i = 0; i < numbers->n; i++) {
		hash ^= numbers->number[i];
		hash *= 0x9e3779b97f4a7c15;
		hash ^= hash >> 32;
		hash *= 0xd6e8feb86659fd93;
		hash ^= hash >> 32;
	}
	return (uint32_t)hash;
}

static void add(struct numbers *numbers, uint64_t number)
{
	numbers->number[numbers->n++] = number;
}

static void add_bytes(struct numbers *numbers, const uint8_t *bytes, unsigned int size)
{
	for (unsigned int at = 0; at < size; at += 8) {
		uint64_t number = 0;

		for (unsigned int i = at; i < size && i < at + 8; i++)
			number = number << 8 | bytes[i];
		add(numbers, number);
	}
}

// The lesser of the two first.
static void add_both(struct numbers *numbers, const void *a, const void *b, unsigned int size)
{
	bool ordered = memcmp(a, b, size) <= 0;

	add_bytes(numbers, ordered ? a : b, size);
	add_bytes(numbers, ordered ? b : a, size);
}

static uint32_t hash(const struct key *key, unsigned int what, unsigned int basis)
{
	const struct key_core *core = &key->core;
	unsigned int type = rte_be_to_cpu_16(core->eth_type);
	const uint8_t *from = (const uint8_t *)&core->ip_src, *to = (const uint8_t *)&core->ip_dst;
	struct numbers numbers = { 0 };
	unsigned int size = 4;

	add(&numbers, basis);
	if (what == FLOW_HASH_ETH_SRC)
		add_bytes(&numbers, core->eth_src, 6);
	if (what == FLOW_HASH_SYMMETRIC_L4) {
		add_both(&numbers, core->eth_src, core->eth_dst, 6);
		add(&numbers, type);
		add(&numbers, rte_be_to_cpu_16(core->vlan_tci0) % 4096);
		add(&numbers, rte_be_to_cpu_16(core->vlan_tci1) % 4096);
	}
	if (what == FLOW_HASH_ETH_SRC || (type != 0x0800 && type != 0x86dd))
		return numbers.n > 1 ? mix(&numbers) : 0;
	if (type == 0x86dd) {
		from = key->ipv6.ipv6_src;
		to = key->ipv6.ipv6_dst;
		size = 16;
	}
	if (what == FLOW_HASH_NW_SRC)
		add_bytes(&numbers, from, size);
	else if (what == FLOW_HASH_NW_DST)
		add_bytes(&numbers, to, size);
	else
		add_both(&numbers, from, to, size);
	if (what == FLOW_HASH_SYMMETRIC_L4 || what == FLOW_HASH_SYMMETRIC_L3L4 ||
	    what == FLOW_HASH_SYMMETRIC_L3L4_UDP) {
		add(&numbers, core->ip_proto);
		if (core->ip_proto == 6 || core->ip_proto == 132 ||
		    (core->ip_proto == 17 && what == FLOW_HASH_SYMMETRIC_L3L4_UDP))
			add_both(&numbers, &core->tp_src, &core->tp_dst, 2);
	}
	return mix(&numbers);
}

static uint32_t again(uint32_t value, uint32_t i)
{
	struct numbers numbers = { 2, { value, i } };

	return mix(&numbers);
}

// Equal parts of the range of hashes.
static uint32_t share(uint32_t value, uint32_t n)
{
	uint64_t part = 0xffffffffu / n + 1;

	return n == 1 ? 0 : (uint32_t)(value / part);
}

static uint32_t highest(uint32_t value, uint32_t n)
{
	uint32_t best = 0;

	if (n > 64)
		return share(value, n);
	for (uint32_t i = 1; i < n; i++)
		if (again(value, i) > again(value, best))
			best = i;
	return best;
}

static uint32_t iterate(uint32_t value, uint32_t n, uint32_t arg)
{
	if (arg < n || arg / 2 > n)
		for (arg = 1; arg < n;)
			arg *= 2;
	for (uint32_t i = 1; i <= 64; i++)
		if (again(value, i) % arg < n)
			return again(value, i) % arg;
	return value % n;
}

uint32_t ref_multipath(const struct key *key, const struct op_multipath *op)
{
	uint32_t value = hash(key, op->hash, op->basis);

	if (op->algorithm == LINK_MODULO_N)
		return value % op->n_links;
	if (op->algorithm == LINK_HASH_THRESHOLD)
		return share(value, op->n_links);
	if (op->algorithm == LINK_HRW)
		return highest(value, op->n_links);
	return iterate(value, op->n_links, op->arg);
}

uint32_t ref_bundle(const struct key *key, const struct op_bundle *op, const bool *live)
{
	uint32_t value = hash(key, op->hash, op->basis);
	int best = -1;

	for (int i = 0; i < op->n_members; i++) {
		if (!live[i])
			continue;
		if (op->algorithm == LINK_ACTIVE_BACKUP)
			return op->members[i];
		if (best < 0 || again(value, (uint32_t)i) > again(value, (uint32_t)best))
			best = i;
	}
	return best < 0 ? OFPP_ANY : op->members[best];
}
