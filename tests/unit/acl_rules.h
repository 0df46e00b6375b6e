// Access lists like those of firewalls, from a seed: nested prefixes of few networks, well-known
// ports, port ranges cut into masks, some protocols; and packets drawn from the rules, so that
// each rule is as likely to be met as any other.
#ifndef TESTS_UNIT_ACL_RULES_H
#define TESTS_UNIT_ACL_RULES_H

#include "tests/unit/flow_helper.h"

static inline uint32_t acl_prefix_length(unsigned int any_percent)
{
	uint32_t roll = helper_below(100);

	if (roll < any_percent)
		return 0;
	roll = helper_below(100);
	if (roll < 35)
		return 32;
	if (roll < 75)
		return 24 + helper_below(8);
	return 14 + helper_below(10);
}

static inline void acl_address(rte_be32_t *value, rte_be32_t *mask, uint32_t n_networks,
			       unsigned int any_percent)
{
	const uint32_t length = acl_prefix_length(any_percent);
	const uint32_t bits = length ? UINT32_MAX << (32 - length) : 0;
	const uint32_t network = helper_below(n_networks) * 2654435761u;
	const uint32_t host = (uint32_t)helper_random() & helper_below(1u << 12);

	*mask = rte_cpu_to_be_32(bits);
	*value = rte_cpu_to_be_32(((network & 0xfffff000) | host) & bits);
}

static inline void acl_port(rte_be16_t *value, rte_be16_t *mask, unsigned int any_percent)
{
	static const uint16_t known[] = {
		22, 25, 53, 80, 110, 123, 161, 389, 443, 445, 1433, 8080
	};
	const uint32_t roll = helper_below(100);
	uint16_t bits = UINT16_MAX, port = known[helper_below(12)];

	if (roll < any_percent)
		bits = 0;
	else if (roll < any_percent + (100 - any_percent) / 4) {
		bits = (uint16_t)(UINT16_MAX << (2 + helper_below(9)));
		port = (uint16_t)helper_random();
	}
	*mask = rte_cpu_to_be_16(bits);
	*value = rte_cpu_to_be_16(port & bits);
}

// One rule of a list for about `n_rules`.
static inline void acl_rule(struct match *match, unsigned int n_rules)
{
	static const uint8_t protocols[] = { 6, 6, 6, 6, 6, 6, 6, 17, 17, 1 };
	struct key_core *value = &match->value.core, *mask = &match->mask.core;

	memset(match, 0, sizeof(*match));
	mask->eth_type = UINT16_MAX;
	value->eth_type = rte_cpu_to_be_16(0x0800);
	acl_address(&value->ip_src, &mask->ip_src, 4 + n_rules / 20, 30);
	acl_address(&value->ip_dst, &mask->ip_dst, 4 + n_rules / 20, mask->ip_src ? 12 : 0);
	if (helper_below(100) < 90) {
		mask->ip_proto = UINT8_MAX;
		value->ip_proto = protocols[helper_below(10)];
		acl_port(&value->tp_src, &mask->tp_src, 90);
		acl_port(&value->tp_dst, &mask->tp_dst, 20);
	}
}

// A packet that the rule matches, random elsewhere.
static inline void acl_packet(const struct match *match, struct key *key)
{
	struct key_core any = {
		.eth_type = rte_cpu_to_be_16(0x0800),
		.ip_src = (rte_be32_t)helper_random(),
		.ip_dst = (rte_be32_t)helper_random(),
		.tp_src = (rte_be16_t)helper_random(),
		.tp_dst = (rte_be16_t)helper_random(),
		.ip_proto = helper_below(4) ? 6 : 17,
		.ip_ttl = 64,
	};

	memset(key, 0, sizeof(*key));
	key->core = any;
	for (unsigned int w = 0; w < KEY_LINE_WORDS; w++)
		key->words[w] = (key->words[w] & ~match->mask.words[w]) | match->value.words[w];
}

#endif
