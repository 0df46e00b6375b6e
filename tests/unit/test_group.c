// Groups: which bucket a select group takes, and how groups change. What groups do to packets is
// compared with the reference in test_pipeline.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/hash.h"
#include "common/rcu.h"
#include "common/text.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/group.h"
#include "tests/unit/eal.h"

#include <errno.h>

// --- Select ---

static struct group *make_group(const char *string)
{
	struct error error = { 0 };
	struct group_text text;
	struct group *group;

	if (group_text_parse(string, GROUP_TEXT_ADD, NULL, &text, &error))
		fail_msg("%s: column %d: %s", string, error.column, error.message);
	group = group_create(&text, NULL);
	assert_non_null(group);
	for (unsigned int i = 0; i < group->n_buckets; i++)
		group->buckets[i].live = 1;
	return group;
}

// A select group of `n` buckets but the one with the number `without`; weights by `weight`.
static struct group *make_select(unsigned int n, unsigned int without,
				 unsigned int (*weight)(unsigned int i))
{
	struct text text = { 0 };
	struct group *group;

	text_add(&text, "group_id=1,type=select");
	for (unsigned int i = 0; i < n; i++)
		if (i != without)
			text_addf(&text, ",bucket=bucket_id:%u,weight:%u,output:1", i, weight(i));
	group = make_group(text.data);
	text_free(&text);
	return group;
}

static unsigned int equal_weight(unsigned int i)
{
	(void)i;
	return 3;
}

static unsigned int rising_weight(unsigned int i)
{
	return 1 + i * 5;
}

static uint32_t bucket_of_slot(const struct group *group, unsigned int slot)
{
	return group->slots[slot] == GROUP_NO_BUCKET ? BUCKET_ID_NONE
						     : group->buckets[group->slots[slot]].id;
}

// Slots go to buckets independently, so their number is binomial: five standard deviations.
static void check_shares(unsigned int n, unsigned int (*weight)(unsigned int i))
{
	struct group *group = make_select(n, n, weight);
	unsigned int counts[64] = { 0 };
	double total = 0;

	for (unsigned int i = 0; i < n; i++)
		total += weight(i);
	for (unsigned int slot = 0; slot < GROUP_SLOTS; slot++)
		counts[group->slots[slot]]++;
	for (unsigned int i = 0; i < n; i++) {
		double share = weight(i) / total;
		double off = counts[i] - GROUP_SLOTS * share;

		if (off * off > 25 * GROUP_SLOTS * share * (1 - share))
			fail_msg("bucket %u of %u has %u slots, expected %.0f", i, n, counts[i],
				 GROUP_SLOTS * share);
	}
	group_free(group);
}

static void shares_are_as_the_weights(void **state)
{
	(void)state;
	for (unsigned int key = 0; key < 4; key++) {
		hash_set_key(0x1234567 + key, 0x89abcdef012345ULL * (key + 1));
		for (unsigned int n = 2; n <= 16; n++) {
			check_shares(n, equal_weight);
			check_shares(n, rising_weight);
		}
	}
}

// What belonged to other buckets stays there, exactly.
static void check_removal(unsigned int n, unsigned int (*weight)(unsigned int i))
{
	struct group *whole = make_select(n, n, weight);

	for (unsigned int gone = 0; gone < n; gone++) {
		struct group *less = make_select(n, gone, weight);
		unsigned int moved = 0;

		for (unsigned int slot = 0; slot < GROUP_SLOTS; slot++) {
			const uint32_t before = bucket_of_slot(whole, slot);
			const uint32_t after = bucket_of_slot(less, slot);

			assert_int_not_equal(after, gone);
			if (before == gone)
				moved++;
			else
				assert_int_equal(before, after);
		}
		assert_true(moved > 0);
		// A bucket that dies gives its slots to the same ones as one that is removed.
		whole->buckets[gone].live = 0;
		for (unsigned int slot = 0; slot < GROUP_SLOTS; slot++)
			assert_int_equal(whole->buckets[group_choose(whole, slot, true)].id,
					 bucket_of_slot(less, slot));
		whole->buckets[gone].live = 1;
		group_free(less);
	}
	group_free(whole);
}

static void a_bucket_that_leaves_moves_only_its_share(void **state)
{
	(void)state;
	for (unsigned int n = 2; n <= 9; n++) {
		check_removal(n, equal_weight);
		check_removal(n, rising_weight);
	}
}

static void weight_zero_is_never_chosen(void **state)
{
	struct group *group = make_group("group_id=1,type=select,bucket=weight:0,output:1,"
					 "bucket=weight:1,output:2");

	(void)state;
	for (unsigned int slot = 0; slot < GROUP_SLOTS; slot++)
		assert_int_equal(group->slots[slot], 1);
	group->buckets[1].live = 0;
	assert_int_equal(group_choose(group, 5, true), GROUP_NO_BUCKET);
	group_free(group);
}

static void the_logarithm_is_right(void **state)
{
	(void)state;
	assert_int_equal(group_log(1ULL << 63), 1 << 24);
	assert_int_equal(group_log(1ULL << 60), 4 << 24);
	// -log2(0.75) = 0.41503749927...
	assert_in_range(group_log(3ULL << 62), 6963173 - 16, 6963173 + 16);
	for (uint64_t value = 1; value < UINT64_MAX / 3; value = value * 3 + 1)
		assert_true(group_log(value) >= group_log(value * 2));
}

// --- Changes ---

static struct forwarding forwarding;
static struct bridge bridge;

static int set_up(void **state)
{
	(void)state;
	memset(&forwarding, 0, sizeof(forwarding));
	memset(&bridge, 0, sizeof(bridge));
	strcpy(bridge.name, "br0");
	bridge.forwarding = &forwarding;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	bridge_groups_destroy(&bridge);
	rcu_barrier();
	return 0;
}

struct change {
	enum group_mod_command command;
	const char *text;
};

static int apply(const struct change *changes, unsigned int n, struct error *error)
{
	static const enum group_text_usage usages[] = {
		GROUP_TEXT_ADD,    GROUP_TEXT_ADD,    GROUP_TEXT_ADD,
		GROUP_TEXT_SELECT, GROUP_TEXT_INSERT, GROUP_TEXT_REMOVE,
	};
	struct group_mod mods[16];
	int status;

	error_clear(error);
	for (unsigned int i = 0; i < n; i++) {
		mods[i].command = changes[i].command;
		if (group_text_parse(changes[i].text, usages[changes[i].command], NULL,
				     &mods[i].text, error))
			fail_msg("%s: column %d: %s", changes[i].text, error->column,
				 error->message);
	}
	status = group_mod_apply(&bridge, mods, n, error);
	for (unsigned int i = 0; i < n; i++)
		group_text_release(&mods[i].text);
	return status;
}

static void must(enum group_mod_command command, const char *text)
{
	const struct change change = { command, text };
	struct error error = { 0 };

	if (apply(&change, 1, &error))
		fail_msg("%s: %s", text, error.message);
}

static void refuse(enum group_mod_command command, const char *text, const char *says)
{
	const struct change change = { command, text };
	struct error error = { 0 };

	if (!apply(&change, 1, &error))
		fail_msg("%s: not refused", text);
	if (!strstr(error.message, says))
		fail_msg("%s: %s", text, error.message);
}

static void check_text(uint32_t id, const char *expected)
{
	const struct group *group = bridge_group(&bridge, id);
	struct text text = { 0 };

	assert_non_null(group);
	group_text_format(&group->text, NULL, &text);
	assert_string_equal(text.data, expected);
	text_free(&text);
}

static void buckets_come_and_go(void **state)
{
	uint32_t second;

	(void)state;
	must(GROUP_MOD_ADD, "group_id=1,type=all,bucket=output:1,bucket=output:2");
	second = bridge_group(&bridge, 1)->buckets[1].counter;
	must(GROUP_MOD_INSERT_BUCKETS, "group_id=1,command_bucket_id=first,bucket=output:3");
	must(GROUP_MOD_INSERT_BUCKETS, "group_id=1,command_bucket_id=1,bucket=output:4");
	must(GROUP_MOD_INSERT_BUCKETS, "group_id=1,command_bucket_id=last,bucket=bucket_id=9,5");
	check_text(1, "group_id=1,type=all,bucket=bucket_id:2,actions=output:3,"
		      "bucket=bucket_id:0,actions=output:1,bucket=bucket_id:3,actions=output:4,"
		      "bucket=bucket_id:1,actions=output:2,bucket=bucket_id:9,actions=output:5");
	// A bucket counts on while others come.
	assert_int_equal(bridge_group(&bridge, 1)->buckets[3].counter, second);
	refuse(GROUP_MOD_INSERT_BUCKETS, "group_id=1,command_bucket_id=7,bucket=output:3",
	       "no bucket 7");
	refuse(GROUP_MOD_INSERT_BUCKETS,
	       "group_id=1,command_bucket_id=last,bucket=bucket_id=9,output:3", "bucket 9 already");
	must(GROUP_MOD_REMOVE_BUCKETS, "group_id=1,command_bucket_id=first");
	must(GROUP_MOD_REMOVE_BUCKETS, "group_id=1,command_bucket_id=last");
	must(GROUP_MOD_REMOVE_BUCKETS, "group_id=1,command_bucket_id=3");
	check_text(1, "group_id=1,type=all,bucket=bucket_id:0,actions=output:1,"
		      "bucket=bucket_id:1,actions=output:2");
	refuse(GROUP_MOD_REMOVE_BUCKETS, "group_id=1,command_bucket_id=3", "no bucket 3");
	must(GROUP_MOD_REMOVE_BUCKETS, "group_id=1");
	must(GROUP_MOD_REMOVE_BUCKETS, "group_id=1,command_bucket_id=last");
	check_text(1, "group_id=1,type=all");
	must(GROUP_MOD_ADD, "group_id=2,type=indirect,bucket=output:1");
	refuse(GROUP_MOD_REMOVE_BUCKETS, "group_id=2", "indirect");
}

static void loops_are_refused_with_their_chain(void **state)
{
	(void)state;
	refuse(GROUP_MOD_ADD, "group_id=1,type=all,bucket=group:1", "1 -> 1");
	refuse(GROUP_MOD_ADD, "group_id=1,type=all,bucket=group:2", "group 2");
	must(GROUP_MOD_ADD, "group_id=1,type=all,bucket=output:1");
	must(GROUP_MOD_ADD, "group_id=2,type=all,bucket=output:1,bucket=group:1");
	must(GROUP_MOD_ADD, "group_id=3,type=ff,bucket=watch_group:2,output:1");
	refuse(GROUP_MOD_MODIFY, "group_id=1,type=all,bucket=group:3", "1 -> 3 -> 2 -> 1");
	refuse(GROUP_MOD_INSERT_BUCKETS, "group_id=1,command_bucket_id=first,bucket=group:2",
	       "1 -> 2 -> 1");
	check_text(1, "group_id=1,type=all,bucket=bucket_id:0,actions=output:1");
	refuse(GROUP_MOD_DELETE, "1", "group 2 goes to it");
	refuse(GROUP_MOD_DELETE, "2", "group 3 goes to it or watches it");
	must(GROUP_MOD_DELETE, "3");
	must(GROUP_MOD_DELETE, "all");
	assert_int_equal(bridge_group_table(&bridge)->n, 0);
	must(GROUP_MOD_DELETE, "77");
}

// A long chain, made from its end, so that no walk is long.
static void chains_are_bounded(void **state)
{
	struct error error = { 0 };
	unsigned int i;

	(void)state;
	must(GROUP_MOD_ADD, "group_id=0,type=all,bucket=output:1");
	for (i = 1; i < 100; i++) {
		char text[64];
		const struct change change = { GROUP_MOD_ADD, text };

		snprintf(text, sizeof(text), "group_id=%u,type=all,bucket=group:%u", i, i - 1);
		if (apply(&change, 1, &error))
			break;
	}
	assert_int_equal(i, 32);
	assert_non_null(strstr(error.message, "more than 32"));
}

static void lists_are_whole_or_not_at_all(void **state)
{
	// Forward references are fine, as only the result counts.
	static const struct change good[] = {
		{ GROUP_MOD_ADD, "group_id=5,type=all,bucket=group:6" },
		{ GROUP_MOD_ADD, "group_id=6,type=all,bucket=output:1" },
		{ GROUP_MOD_DELETE, "group_id=1" },
		{ GROUP_MOD_ADD_OR_MODIFY, "group_id=2,type=all" },
	};
	static const struct change bad[] = {
		{ GROUP_MOD_DELETE, "all" },
		{ GROUP_MOD_ADD, "group_id=5,type=all,bucket=group:7" },
		{ GROUP_MOD_ADD, "group_id=6,type=all" },
	};
	static const struct change absent[] = {
		{ GROUP_MOD_ADD, "group_id=8,type=all" },
		{ GROUP_MOD_MODIFY, "group_id=9,type=all" },
		{ GROUP_MOD_ADD, "group_id=10,type=all" },
	};
	struct error error = { 0 };

	(void)state;
	must(GROUP_MOD_ADD, "group_id=1,type=all,bucket=output:1");
	assert_int_equal(apply(good, 4, &error), 0);
	assert_int_equal(bridge_group_table(&bridge)->n, 3);
	assert_int_equal(apply(bad, 3, &error), -ENOENT);
	assert_int_equal(error.line, 2);
	assert_int_equal(bridge_group_table(&bridge)->n, 3);
	check_text(5, "group_id=5,type=all,bucket=bucket_id:0,actions=group:6");
	assert_int_equal(apply(absent, 3, &error), -ENOENT);
	assert_int_equal(error.line, 2);
	assert_null(bridge_group(&bridge, 8));
}

static void life_follows_ports_and_groups(void **state)
{
	static struct vport vport;
	static struct forwarding_port port = { .vport = &vport, .ofport = 1, .admin_up = true };
	static struct port_map_chunk chunk;
	const struct group *group;

	(void)state;
	vport.status.link_up = true;
	chunk.ports[1] = &port;
	forwarding.ports[0] = &chunk;
	must(GROUP_MOD_ADD, "group_id=1,type=ff,bucket=watch_port:1,output:1,"
			    "bucket=watch_port:2,output:2");
	must(GROUP_MOD_ADD, "group_id=2,type=ff,bucket=watch_group:1,watch_port:3,group:1,"
			    "bucket=watch_port:3,output:3");
	group = bridge_group(&bridge, 2);
	assert_int_equal(bridge_group(&bridge, 1)->buckets[0].live, 1);
	assert_int_equal(bridge_group(&bridge, 1)->buckets[1].live, 0);
	assert_int_equal(group->buckets[0].live, 1);
	assert_int_equal(group->buckets[1].live, 0);
	vport.status.link_up = false;
	must(GROUP_MOD_ADD, "group_id=3,type=all"); // any change looks again
	assert_int_equal(bridge_group(&bridge, 1)->buckets[0].live, 0);
	assert_int_equal(group->buckets[0].live, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_logarithm_is_right),
		cmocka_unit_test(shares_are_as_the_weights),
		cmocka_unit_test(a_bucket_that_leaves_moves_only_its_share),
		cmocka_unit_test(weight_zero_is_never_chosen),
		cmocka_unit_test_setup_teardown(buckets_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(loops_are_refused_with_their_chain, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(chains_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lists_are_whole_or_not_at_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(life_follows_ports_and_groups, set_up, tear_down),
	};
	int failed;

	test_eal_init(1023);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
