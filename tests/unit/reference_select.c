// Which bucket of a select group a packet goes to, written down once more: numbers that tell
// connections apart are hashed, the hash picks a slot, and for the slot every live bucket draws a
// number between 0 and 1; the least -log2(draw) / weight wins. In floating point, where the switch
// counts in integers: only a draw that is too close to call is left to the switch's own judgement.
#include "datapath/group.h"
#include "tests/unit/reference.h"

#include <math.h>
#include <string.h>

struct numbers {
	unsigned int n;
	uint64_t number[KEY_WORDS];
};

static void add(struct numbers *numbers, uint64_t number)
{
	numbers->number[numbers->n++] = number;
}

static void add_ends(struct numbers *numbers, bool symmetric, uint64_t from, uint64_t to)
{
	add(numbers, symmetric ? from ^ to : from);
	add(numbers, symmetric ? from + to : to);
}

static uint64_t number_of(const uint8_t *bytes, unsigned int size)
{
	uint64_t words[2] = { 0 };

	memcpy(words, bytes, size);
	return size == 16 ? hash_fold(words[0] ^ hash_key[0], words[1] ^ hash_key[1]) : words[0];
}

static void add_packet(struct numbers *numbers, const struct key *key, bool ethernet,
		       bool symmetric)
{
	const struct key_core *core = &key->core;
	const unsigned int type = rte_be_to_cpu_16(core->eth_type), proto = core->ip_proto;

	if (ethernet || (type != 0x0800 && type != 0x86dd)) {
		add_ends(numbers, symmetric, number_of(core->eth_src, 6),
			 number_of(core->eth_dst, 6));
		add(numbers, (uint64_t)core->eth_type << 32 | (uint64_t)core->vlan_tci0 << 16 |
				     core->vlan_tci1);
	}
	if (type == 0x0800)
		add_ends(numbers, symmetric, core->ip_src, core->ip_dst);
	else if (type == 0x86dd)
		add_ends(numbers, symmetric, number_of(key->ipv6.ipv6_src, 16),
			 number_of(key->ipv6.ipv6_dst, 16));
	else
		return;
	add(numbers, proto);
	if ((proto == 6 || proto == 17 || proto == 132) && !core->ip_frag)
		add_ends(numbers, symmetric, core->tp_src, core->tp_dst);
}

static void add_fields(struct numbers *numbers, const struct key *key,
		       const struct group_text *group)
{
	struct key mask = { 0 };

	for (unsigned int i = 0; i < group->n_fields; i++) {
		struct field_value bits;

		field_get(group->fields[i].field, &mask, &bits);
		for (unsigned int b = 0; b < FIELD_VALUE_SIZE; b++)
			bits.bytes[b] |= group->fields[i].mask.bytes[b];
		field_set(group->fields[i].field, &bits, &mask);
	}
	for (unsigned int w = 0; w < KEY_WORDS; w++)
		if (mask.words[w])
			add(numbers, key->words[w] & mask.words[w]);
}

static bool beats(const struct group_score *a, const struct group_score *b)
{
	const double left = -log2(ldexp((double)a->hash, -64)) / a->weight;
	const double right = -log2(ldexp((double)b->hash, -64)) / b->weight;

	if (fabs(left - right) < 1e-4 * (left + right))
		return group_beats(a, b);
	return left < right;
}

int ref_select(const struct key *key, const struct group_text *group, const bool *live)
{
	const bool dp_hash = group->method == GROUP_METHOD_DP_HASH;
	const uint64_t basis = dp_hash ? (uint32_t)group->method_param : group->method_param;
	struct numbers numbers = { 0 };
	uint64_t hash = hash_key[0] ^ basis;
	struct group_score best = { 0 };
	unsigned int slot;
	int chosen = -1;

	if (group->n_fields)
		add_fields(&numbers, key, group);
	else
		add_packet(&numbers, key, group->method == GROUP_METHOD_HASH,
			   !dp_hash || group->method_param >> 32 == 1);
	for (unsigned int i = 0; i < numbers.n; i++)
		hash = hash_word(hash, numbers.number[i]);
	slot = (unsigned int)(hash_finish(hash) >> 32) % GROUP_SLOTS;
	for (unsigned int i = 0; i < group->n_buckets; i++) {
		const uint64_t words[2] = { slot, group->buckets[i].id };
		const struct group_score draw = { hash_words(words, 2), group->buckets[i].weight };

		if (!live[i] || !draw.weight || (chosen >= 0 && !beats(&draw, &best)))
			continue;
		best = draw;
		chosen = (int)i;
	}
	return chosen;
}
