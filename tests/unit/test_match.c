// flowtable/match.h: matching, prerequisites, and the interned masks.
#include "common/hash.h"
#include "common/rcu.h"
#include "flowtable/flow_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void fill_random(void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)data)[i] = (uint8_t)(rand() >> 8);
}

static void random_match(struct match *match)
{
	match_init(match);
	for (unsigned int n = (unsigned int)rand() % 6; n; n--) {
		const struct field *field = &fields[rand() % N_FIELDS];
		struct field_value value;
		struct field_value mask;

		fill_random(&value, sizeof(value));
		fill_random(&mask, sizeof(mask));
		match_set_masked(match, field, &value, &mask);
	}
}

static void test_invariant(void **state)
{
	(void)state;
	srand(4);
	for (int n = 0; n < 10000; n++) {
		struct match match;

		random_match(&match);
		for (unsigned int i = 0; i < KEY_WORDS; i++)
			assert_true((match.value.words[i] & ~match.mask.words[i]) == 0);
	}
}

// A match on a field covers exactly the keys whose field has the value.
static void test_covers(void **state)
{
	(void)state;
	srand(5);
	for (unsigned int i = 0; i < N_FIELDS * 20; i++) {
		const struct field *field = &fields[i % N_FIELDS];
		struct match match;
		struct key key;
		struct field_value value;

		match_init(&match);
		fill_random(&key, sizeof(key));
		assert_true(match_covers(&match, &key));
		field_get(field, &key, &value);
		match_set(&match, field, &value);
		assert_true(match_covers(&match, &key));
		// One wrong bit is enough.
		unsigned int bit = (unsigned int)rand() % field->n_bits;
		value.bytes[FIELD_VALUE_SIZE - 1 - bit / 8] ^= (uint8_t)(1 << bit % 8);
		field_set(field, &value, &key);
		assert_false(match_covers(&match, &key));
		// Unless it is not looked at.
		struct field_value mask = field_all_ones(field);
		mask.bytes[FIELD_VALUE_SIZE - 1 - bit / 8] ^= (uint8_t)(1 << bit % 8);
		match_set_masked(&match, field, &value, &mask);
		assert_true(match_covers(&match, &key));
	}
}

static void set_number(struct match *match, enum field_id id, uint64_t number)
{
	struct field_value value = field_value_from_u64(number);

	match_set(match, &fields[id], &value);
}

static void test_prerequisites(void **state)
{
	static const struct {
		uint64_t eth_type;
		uint64_t ip_proto;
		uint64_t icmp_type;
		enum field_id has;
		enum field_id has_not;
	} cases[] = {
		{ 0x0800, 0, 0, FIELD_IP_SRC, FIELD_IPV6_SRC },
		{ 0x86dd, 0, 0, FIELD_IPV6_SRC, FIELD_IP_SRC },
		{ 0x86dd, 0, 0, FIELD_IP_TTL, FIELD_TCP_DST },
		{ 0x0806, 0, 0, FIELD_ARP_SPA, FIELD_IP_SRC },
		{ 0x8035, 0, 0, FIELD_ARP_OP, FIELD_IP_PROTO },
		{ 0x0800, 6, 0, FIELD_TCP_DST, FIELD_UDP_DST },
		{ 0x86dd, 17, 0, FIELD_UDP_DST, FIELD_TCP_FLAGS },
		{ 0x0800, 132, 0, FIELD_SCTP_SRC, FIELD_TCP_SRC },
		{ 0x0800, 1, 0, FIELD_ICMP_TYPE, FIELD_ICMPV6_TYPE },
		{ 0x86dd, 1, 0, FIELD_IP_TTL, FIELD_ICMP_TYPE },
		{ 0x86dd, 58, 135, FIELD_ND_SLL, FIELD_ND_TLL },
		{ 0x86dd, 58, 136, FIELD_ND_TLL, FIELD_ND_SLL },
		{ 0x86dd, 58, 135, FIELD_ND_TARGET, FIELD_ICMP_CODE },
		{ 0x86dd, 58, 128, FIELD_ICMPV6_CODE, FIELD_ND_TARGET },
		{ 0x8847, 0, 0, FIELD_MPLS_LABEL, FIELD_IP_TTL },
		{ 0x894f, 0, 0, FIELD_NSH_SPI, FIELD_MPLS_TTL },
		{ 0x1234, 6, 0, FIELD_ETH_SRC, FIELD_TCP_SRC },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct match match;

		match_init(&match);
		set_number(&match, FIELD_ETH_TYPE, cases[i].eth_type);
		set_number(&match, FIELD_IP_PROTO, cases[i].ip_proto);
		if (cases[i].icmp_type)
			set_number(&match, FIELD_ICMPV6_TYPE, cases[i].icmp_type);
		if (!match_has_prerequisite(&match, &fields[cases[i].has]))
			fail_msg("case %zu: %s is missing", i, fields[cases[i].has].name);
		if (match_has_prerequisite(&match, &fields[cases[i].has_not]))
			fail_msg("case %zu: %s is there", i, fields[cases[i].has_not].name);
		// A value that is not matched establishes nothing.
		match_init(&match);
		match.value.core.eth_type = rte_cpu_to_be_16((uint16_t)cases[i].eth_type);
		if (fields[cases[i].has].prerequisite != PREREQ_ETHERNET)
			assert_false(match_has_prerequisite(&match, &fields[cases[i].has]));
	}
}

static void test_prerequisite_texts(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < N_FIELDS; i++) {
		assert_non_null(field_prerequisite_text(fields[i].prerequisite));
		assert_non_null(field_prerequisite_remedy(fields[i].prerequisite));
	}
}

#define N_MASKS 500

static void test_intern(void **state)
{
	static struct match matches[N_MASKS];
	static struct mask *masks[N_MASKS];

	(void)state;
	srand(6);
	for (unsigned int i = 0; i < N_MASKS; i++) {
		uint64_t values[KEY_WORDS];
		struct match back;

		random_match(&matches[i]);
		masks[i] = mask_intern(&matches[i]);
		assert_non_null(masks[i]);
		match_pack(&matches[i], masks[i], values);
		match_unpack(masks[i], values, &back);
		assert_true(match_equal(&back, &matches[i]));
		for (unsigned int j = 0; j < masks[i]->n_words; j++) {
			assert_true(masks[i]->bits[j] != 0);
			assert_true(!j || masks[i]->word[j - 1] < masks[i]->word[j]);
			assert_true(masks[i]->lines >> masks[i]->word[j] / KEY_LINE_WORDS & 1);
		}
	}
	// Equal shapes are one object, and only they.
	for (unsigned int i = 0; i < N_MASKS; i++) {
		struct match other = matches[i];
		struct mask *again;

		memset(&other.value, 0, sizeof(other.value));
		again = mask_intern(&other);
		assert_ptr_equal(again, masks[i]);
		mask_unref(again);
		for (unsigned int j = 0; j < i; j += 7)
			assert_int_equal(
				masks[i] == masks[j],
				!memcmp(&matches[i].mask, &matches[j].mask, sizeof(struct key)));
	}
	for (unsigned int i = 0; i < N_MASKS; i++)
		mask_unref(masks[i]);
	rcu_barrier();
}

static void test_mask_lifetime(void **state)
{
	struct match match;
	struct mask *first;
	struct mask *second;

	(void)state;
	match_init(&match);
	set_number(&match, FIELD_METADATA, 5);
	first = mask_intern(&match);
	assert_int_equal(first->refcount, 1);
	assert_ptr_equal(mask_ref(first), first);
	mask_unref(first);
	mask_unref(first);
	// Still readable until the grace period is over, but no longer handed out.
	assert_int_equal(first->n_words, 1);
	second = mask_intern(&match);
	assert_ptr_not_equal(first, second);
	mask_unref(second);
	mask_unref(NULL);
	rcu_barrier();
}

static int setup(void **state)
{
	(void)state;
	return rcu_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invariant),     cmocka_unit_test(test_covers),
		cmocka_unit_test(test_prerequisites), cmocka_unit_test(test_prerequisite_texts),
		cmocka_unit_test(test_intern),        cmocka_unit_test(test_mask_lifetime),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
