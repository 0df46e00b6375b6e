// Every classifier template against a naive search, beside random changes.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "common/hash.h"
#include "common/rcu.h"
#include "flowtable/classifier/classifier.h"
#include "flowtable/classifier/hash.h"
#include "flowtable/classifier/lpm.h"
#include "tests/unit/flow_helper.h"

// Every CPU level's build of the hot code is tested. (Without the rest of the switch, the code
// under test can be named on the compiler's command line.)
#ifndef CLASSIFIER_LOOKUP
#include "datapath/hot.h"
#include "tests/unit/eal.h"
#define CLASSIFIER_LOOKUP hot->classifier_lookup
#define CLASSIFIER_LOOKUP_VIEW hot->classifier_lookup_view
#define HOT_LEVELS() test_hot_levels()
#define HOT_SELECT(level) hot_select(level, NULL)
#endif

#define MAX_FLOWS 1400

struct entry {
	struct match match;
	struct flow *flow;
};

static struct entry entries[MAX_FLOWS];
static unsigned int n_entries;
static uint64_t n_inserted;
static uint64_t n_compared;
static uint64_t n_found;
static struct helper_packets packets;

// Prefixes need addresses that share beginnings of every length, in word 3.
static bool with_addresses;
static bool longer_is_higher; // priorities agree with lengths

static uint64_t random_addresses(void)
{
	uint64_t word = helper_random() & helper_random() & 0xffff00c1ffff00c1ULL;

	return helper_below(2) ? rte_cpu_to_be_64(word) : rte_cpu_to_be_64(helper_random());
}

static void random_prefix(struct match *match, bool is_source)
{
	unsigned int length = helper_below(33);
	rte_be32_t mask = length ? rte_cpu_to_be_32(UINT32_MAX << (32 - length)) : 0;

	if (is_source)
		match->mask.core.ip_src = mask;
	else
		match->mask.core.ip_dst = mask;
}

// The same of IPv6 addresses, in words 24 to 27.
static bool with_addresses6;

static uint64_t random_half(void)
{
	uint64_t word = helper_random() & helper_random() & 0xc0018001000181c1ULL;

	return rte_cpu_to_be_64(helper_below(3) ? word : helper_random());
}

static void random_prefix6(struct match *match, bool is_source)
{
	static const uint8_t usual[] = { 0, 32, 48, 64, 128 };
	const unsigned int length = helper_below(3) ? helper_below(129) : usual[helper_below(5)];
	uint64_t *words = &match->mask.words[is_source ? 24 : 26];

	words[0] = length >= 64 ? UINT64_MAX
		   : length     ? rte_cpu_to_be_64(UINT64_MAX << (64 - length))
				: 0;
	words[1] = length == 128 ? UINT64_MAX
		   : length > 64 ? rte_cpu_to_be_64(UINT64_MAX << (128 - length))
				 : 0;
}

static unsigned int prefix_length6(const struct match *match)
{
	unsigned int length = 0;

	for (unsigned int w = 24; w < 28; w++)
		length += (unsigned int)__builtin_popcountll(match->mask.words[w]);
	return length;
}

// Half of the packets have the address of a flow, or one near it.
static void packets_addresses6(void)
{
	for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
		const struct entry *entry =
			n_entries && helper_below(2) ? &entries[helper_below(n_entries)] : NULL;
		const uint64_t near = helper_below(2) ? UINT64_C(1) << helper_below(64) : 0;

		for (unsigned int w = 24; w < 28; w++)
			helper_packet_set(&packets, i, w,
					  entry ? entry->match.value.words[w] ^ near
						: random_half());
	}
}

static void flow_replaced(struct flow *flow)
{
	flow_defer_free(flow);
	rcu_reclaim();
}

static void entry_create(const struct match *mask)
{
	struct entry *entry = &entries[n_entries++];

	entry->match = *mask;
	helper_values(&entry->match);
	if (with_addresses)
		entry->match.value.words[3] = random_addresses() & entry->match.mask.words[3];
	for (unsigned int w = 24; with_addresses6 && w < 28; w++)
		entry->match.value.words[w] = random_half() & entry->match.mask.words[w];
	entry->flow = helper_flow(
		&entry->match, (uint16_t)(!longer_is_higher ? helper_below(4)
					  : with_addresses6 ? prefix_length6(&entry->match) / 32
							    : (unsigned int)__builtin_popcountll(
								      entry->match.mask.words[3]) /
								      8));
	entry->flow->rank = flow_rank(entry->flow->priority, 2 * n_inserted++);
	flow_set_state(entry->flow,
		       helper_below(4) ? FLOW_NORMAL : (enum flow_state)helper_below(3));
}

static const struct flow *naive_best(unsigned int packet, enum flow_view view)
{
	const struct flow *best = NULL;
	struct key key;

	helper_packet_key(&packets, packet, &key);
	for (unsigned int i = 0; i < n_entries; i++)
		if ((!best || entries[i].flow->rank > best->rank) &&
		    (view == VIEW_NONE || flow_is_visible(entries[i].flow, view)) &&
		    match_covers(&entries[i].match, &key))
			best = entries[i].flow;
	return best;
}

// Results start with what an earlier part may have found: worse, better or nothing.
// (Its sequence number is odd, those of flows are even.)
static void check_lookup(const struct classifier *classifier)
{
	uint64_t set = helper_packet_set_random();
	enum flow_view view = (enum flow_view)helper_below(3);
	struct classifier_result result, before;

	helper_packets_random(&packets);
	for (unsigned int i = 0; with_addresses && i < VECTOR_SIZE; i++)
		helper_packet_set(&packets, i, 3,
				  n_entries && helper_below(2)
					  ? entries[helper_below(n_entries)].match.value.words[3]
					  : random_addresses());
	if (with_addresses6)
		packets_addresses6();
	for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
		result.rank[i] = helper_below(2) ? 0 : flow_rank((uint16_t)helper_below(5), 7777);
		result.flow[i] = result.rank[i] ? (const struct flow *)&packets : NULL;
	}
	before = result;
	if (view == VIEW_NONE)
		CLASSIFIER_LOOKUP(classifier, &packets.keys, set, &result);
	else
		CLASSIFIER_LOOKUP_VIEW(classifier, &packets.keys, set, &result, view);
	for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
		const struct flow *best = set >> i & 1 ? naive_best(i, view) : NULL;

		if (best && best->rank < before.rank[i])
			best = NULL;
		assert_ptr_equal(result.flow[i], best ? best : before.flow[i]);
		assert_int_equal(result.rank[i], best ? best->rank : before.rank[i]);
		n_compared++;
		n_found += best != NULL;
	}
}

static const struct flow *naive_best_visible(unsigned int packet, enum flow_view view)
{
	const struct flow *best = NULL;
	struct key key;

	helper_packet_key(&packets, packet, &key);
	for (unsigned int i = 0; i < n_entries; i++)
		if (flow_is_visible(entries[i].flow, view) &&
		    match_covers(&entries[i].match, &key) &&
		    (!best || entries[i].flow->rank > best->rank))
			best = entries[i].flow;
	return best;
}

// The packets of the last lookup again, while some flows are on their way in or out.
static void check_view(const struct classifier *classifier)
{
	enum flow_view view = helper_below(2) ? VIEW_BEFORE : VIEW_AFTER;
	uint64_t set = helper_packet_set_random();
	struct classifier_result result = { 0 };

	for (unsigned int i = 0; i < n_entries; i++)
		flow_set_state(entries[i].flow, (enum flow_state)helper_below(3));
	CLASSIFIER_LOOKUP_VIEW(classifier, &packets.keys, set, &result, view);
	for (unsigned int i = 0; i < VECTOR_SIZE; i++)
		assert_ptr_equal(result.flow[i], set >> i & 1 ? naive_best_visible(i, view) : NULL);
	for (unsigned int i = 0; i < n_entries; i++)
		flow_set_state(entries[i].flow, FLOW_NORMAL);
}

static struct classifier *rebuild(const struct classifier_template *template,
				  struct classifier *old)
{
	struct flow *flows[MAX_FLOWS];
	struct classifier *classifier;

	for (unsigned int i = 0; i < n_entries; i++)
		flows[i] = entries[i].flow;
	classifier = template->build(flows, n_entries);
	assert_non_null(classifier);
	if (old)
		rcu_defer(template->destroy, old);
	return classifier;
}

static struct classifier *change_insert(struct classifier *classifier, const struct match *mask)
{
	const struct classifier_template *template = classifier->template;
	int rc;

	entry_create(mask);
	rc = template->insert(classifier, entries[n_entries - 1].flow);
	if (rc == -ENOTSUP)
		return rebuild(template, classifier);
	assert_int_equal(rc, 0);
	return classifier;
}

static void change_remove(struct classifier *classifier)
{
	struct entry *entry = &entries[helper_below(n_entries)];
	struct flow *flow = entry->flow;

	classifier->template->remove(classifier, flow);
	*entry = entries[--n_entries];
	flow_replaced(flow);
}

static void change_replace(struct classifier *classifier)
{
	struct entry *entry = &entries[helper_below(n_entries)];
	struct flow *old = entry->flow;

	entry->flow = helper_flow(&entry->match, old->priority);
	entry->flow->rank = old->rank;
	classifier->template->replace(classifier, old, entry->flow);
	flow_replaced(old);
}

// Prefixes of one address, and something beside them that is the same in all masks.
static void prefix_masks(struct match *masks, unsigned int n_masks)
{
	const bool is_source = helper_below(2);
	const unsigned int contexts = helper_below(3);

	memset(masks, 0, n_masks * sizeof(*masks));
	for (unsigned int m = 0; m < n_masks; m++) {
		masks[m].mask.words[1] = contexts > 0 ? UINT64_MAX : 0; // zero in flows and packets
		masks[m].mask.words[9] = contexts > 1 ? 3 : 0;
		if (with_addresses6)
			random_prefix6(&masks[m], is_source);
		else
			random_prefix(&masks[m], is_source);
	}
}

// One classifier's life: built, changed, emptied.
static void run_template(const struct classifier_template *template, unsigned int n_masks,
			 unsigned int max_flows, unsigned int n_changes)
{
	struct match masks[24] = { 0 };
	struct classifier *classifier;

	for (unsigned int m = 0; m < n_masks; m++)
		do {
			helper_mask(&masks[m]);
		} while (template == &classifier_hash &&
			 !memcmp(&masks[m].mask, &(struct key){ 0 }, sizeof(struct key)));
	if (template == &classifier_const)
		memset(masks, 0, sizeof(masks));
	if (template == &classifier_lpm || template == &classifier_lpm6)
		prefix_masks(masks, n_masks);
	n_entries = 0;
	for (unsigned int n = 1 + helper_below(max_flows); n > 0; n--)
		entry_create(&masks[helper_below(n_masks)]);
	classifier = rebuild(template, NULL);
	assert_true(template->memory(classifier) > 0);
	for (unsigned int c = 0; c < n_changes; c++) {
		unsigned int what = helper_below(3);

		check_lookup(classifier);
		check_view(classifier);
		if (what == 0 && n_entries < max_flows)
			classifier = change_insert(classifier, &masks[helper_below(n_masks)]);
		else if (what == 1 && n_entries > 0)
			change_remove(classifier);
		else if (what == 2 && n_entries > 0)
			change_replace(classifier);
		assert_int_equal(classifier->n_flows, n_entries);
	}
	while (n_entries > 0) {
		change_remove(classifier);
		check_lookup(classifier);
	}
	template->destroy(classifier);
}

static void test_const(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 60; i++)
		run_template(&classifier_const, 1, 8, 40);
}

static void test_linear(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 120; i++)
		run_template(&classifier_linear, 1 + helper_below(8), 1 + helper_below(64), 40);
}

static void test_hash(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 120; i++)
		run_template(&classifier_hash, 1, 1 + helper_below(400), 60);
}

static void test_bitvector(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 40; i++)
		run_template(&classifier_bitvector, 1 + helper_below(8),
			     1 + helper_below(MAX_FLOWS), 60);
	for (unsigned int i = 0; i < 2; i++)
		run_template(&classifier_bitvector, 8, MAX_FLOWS, 600);
}

static void wide_packet(unsigned int i)
{
	for (unsigned int w = 0; w < 12; w++)
		helper_packet_set(&packets, 0, w, (i + w) * 0x9e3779b97f4a7c15ULL);
}

// More half bytes than a lookup prepares for: 192, each of which matters.
static void test_bitvector_wide(void **state)
{
	enum { N = 300 };
	struct flow *flows[N];
	struct classifier *classifier;
	struct match match = { 0 };
	struct classifier_result result;

	(void)state;
	for (unsigned int i = 0; i < N; i++) {
		for (unsigned int w = 0; w < 12; w++) {
			match.mask.words[w] = i % 2 ? UINT64_MAX : UINT64_MAX >> 1;
			match.value.words[w] =
				(i + w) * 0x9e3779b97f4a7c15ULL & match.mask.words[w];
		}
		flows[i] = helper_flow(&match, 5);
		flows[i]->rank = flow_rank(5, i);
	}
	classifier = classifier_bitvector.build(flows, N / 2);
	assert_int_equal(classifier->n_masks, 2);
	for (unsigned int i = N / 2; i < N; i++)
		assert_int_equal(classifier_bitvector.insert(classifier, flows[i]), 0);
	for (unsigned int i = 0; i < N; i++) {
		wide_packet(i);
		memset(&result, 0, sizeof(result));
		CLASSIFIER_LOOKUP(classifier, &packets.keys, 1, &result);
		assert_ptr_equal(result.flow[0], flows[i]);
		helper_packet_set(&packets, 0, i % 12, helper_random());
		memset(&result, 0, sizeof(result));
		CLASSIFIER_LOOKUP(classifier, &packets.keys, 1, &result);
		assert_null(result.flow[0]);
	}
	for (unsigned int w = 0; w < 12; w++)
		helper_packet_set(&packets, 0, w, 0);
	classifier_bitvector.destroy(classifier);
	for (unsigned int i = 0; i < N; i++)
		flow_free(flows[i]);
}

static void test_lpm(void **state)
{
	(void)state;
	with_addresses = true;
	for (unsigned int i = 0; i < 240; i++) {
		longer_is_higher = i % 2;
		run_template(&classifier_lpm, 1 + helper_below(8), 1 + helper_below(MAX_FLOWS), 60);
	}
	with_addresses = longer_is_higher = false;
}

static void test_lpm6(void **state)
{
	(void)state;
	with_addresses6 = true;
	for (unsigned int i = 0; i < 240; i++) {
		longer_is_higher = i % 2;
		run_template(&classifier_lpm6, 1 + helper_below(24), 1 + helper_below(MAX_FLOWS),
			     60);
	}
	with_addresses6 = longer_is_higher = false;
}

// Searches go by tags of fifteen bits. Here nearly every node has every address, so one that is met
// by mistake could pass for the right one: the longest of twenty prefixes that lie in each other.
static void test_lpm6_tags(void **state)
{
	enum { N = 20, N_VECTORS = 8192 };
	struct flow *flows[N + 1];
	struct classifier *classifier;
	struct classifier_result result;
	struct match match = { 0 };

	(void)state;
	for (unsigned int i = 0; i <= N; i++) {
		// The last one makes searches begin with half of the address.
		const unsigned int length = i < N ? i + 1 : 64;

		match.mask.words[26] =
			rte_cpu_to_be_64(length == 64 ? UINT64_MAX : UINT64_MAX << (64 - length));
		match.value.words[26] = length == 64 ? 1 : 0;
		flows[i] = helper_flow(&match, (uint16_t)length);
	}
	classifier = classifier_lpm6.build(flows, N + 1);
	assert_non_null(classifier);
	helper_packets_init(&packets);
	for (unsigned int v = 0; v < N_VECTORS; v++) {
		for (unsigned int i = 0; i < VECTOR_SIZE; i++)
			helper_packet_set(&packets, i, 26, rte_cpu_to_be_64(helper_random() >> N));
		memset(&result, 0, sizeof(result));
		CLASSIFIER_LOOKUP(classifier, &packets.keys, UINT64_MAX, &result);
		for (unsigned int i = 0; i < VECTOR_SIZE; i++)
			assert_ptr_equal(result.flow[i], flows[N - 1]);
	}
	helper_packets_init(&packets);
	classifier_lpm6.destroy(classifier);
	for (unsigned int i = 0; i <= N; i++)
		flow_free(flows[i]);
}

static void test_reference(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 30; i++)
		run_template(&classifier_reference, 1 + helper_below(8), 100, 30);
	print_message("%llu results compared, %llu flows found\n", (unsigned long long)n_compared,
		      (unsigned long long)n_found);
	// Otherwise the small world is not small enough to test anything.
	assert_true(n_found > n_compared / 20);
}

static void test_suits(void **state)
{
	struct match none = { 0 }, some = { 0 };
	const struct mask *masks[2];

	(void)state;
	some.mask.words[3] = 0xff;
	masks[0] = mask_intern(&none);
	masks[1] = mask_intern(&some);
	assert_true(classifier_const.suits(&masks[0], 1, 5));
	assert_false(classifier_const.suits(&masks[1], 1, 5));
	assert_false(classifier_const.suits(masks, 2, 5));
	assert_true(classifier_hash.suits(&masks[1], 1, 1000000));
	assert_false(classifier_hash.suits(&masks[0], 1, 5));
	assert_false(classifier_hash.suits(masks, 2, 5));
	assert_true(classifier_linear.suits(masks, 2, 32));
	assert_false(classifier_linear.suits(masks, 2, 1000));
	mask_unref((struct mask *)(uintptr_t)masks[0]);
	mask_unref((struct mask *)(uintptr_t)masks[1]);
}

static const struct flow *hash_lookup_one(const struct classifier *classifier, uint64_t value)
{
	struct classifier_result result = { 0 };

	helper_packet_set(&packets, 0, 3, value);
	CLASSIFIER_LOOKUP(classifier, &packets.keys, 1, &result);
	return result.flow[0];
}

// Twenty thousand keys in, every second one out again, all out: found while there, and only then.
static void test_hash_grows(void **state)
{
	enum { N = 20000 };
	static struct flow *flows[N];
	struct classifier *classifier;
	struct match match = { 0 };

	(void)state;
	match.mask.words[3] = UINT64_MAX;
	for (unsigned int i = 0; i < N; i++) {
		match.value.words[3] = i * 0x100000001ULL;
		flows[i] = helper_flow(&match, 5);
	}
	classifier = classifier_hash.build(flows, 1);
	for (unsigned int i = 1; i < N; i++)
		assert_int_equal(classifier_hash.insert(classifier, flows[i]), 0);
	for (unsigned int i = 0; i < N; i++)
		assert_ptr_equal(hash_lookup_one(classifier, i * 0x100000001ULL), flows[i]);
	for (unsigned int i = 0; i < N; i += 2)
		classifier_hash.remove(classifier, flows[i]);
	for (unsigned int i = 0; i < N; i++)
		assert_ptr_equal(hash_lookup_one(classifier, i * 0x100000001ULL),
				 i % 2 ? flows[i] : NULL);
	for (unsigned int i = 1; i < N; i += 2)
		classifier_hash.remove(classifier, flows[i]);
	assert_int_equal(classifier->n_flows, 0);
	assert_null(hash_lookup_one(classifier, 0x100000001ULL));
	classifier_hash.destroy(classifier);
	for (unsigned int i = 0; i < N; i++)
		flow_free(flows[i]);
}

// Room that was made for flows that are to come is enough for them, though both places of some are
// taken by then: others move.
static void test_hash_fills_up(void **state)
{
	enum { N = 8192 * 5, FIRST = 100 };
	static struct flow *flows[N];
	struct classifier *classifier;
	struct match match = { 0 };
	size_t memory = 0;

	(void)state;
	match.mask.words[3] = UINT64_MAX;
	for (unsigned int i = 0; i < N; i++) {
		match.value.words[3] = i * 0x9e3779b97f4a7c15ULL;
		flows[i] = helper_flow(&match, 5);
	}
	classifier = classifier_hash.build(flows, 1);
	for (unsigned int i = 1; i < N; i++) {
		classifier->n_expected = N - i - 1;
		assert_int_equal(classifier_hash.insert(classifier, flows[i]), 0);
		if (i == FIRST)
			memory = classifier_hash.memory(classifier);
	}
	assert_int_equal(classifier_hash.memory(classifier), memory);
	for (unsigned int round = 0; round < 4; round++) {
		for (unsigned int i = 0; i < N; i++)
			assert_ptr_equal(hash_lookup_one(classifier, i * 0x9e3779b97f4a7c15ULL),
					 i % 4 < round ? NULL : flows[i]);
		for (unsigned int i = round; i < N; i += 4)
			classifier_hash.remove(classifier, flows[i]);
	}
	assert_int_equal(classifier->n_flows, 0);
	classifier_hash.destroy(classifier);
	for (unsigned int i = 0; i < N; i++)
		flow_free(flows[i]);
}

// Keys that all want the same two buckets: insertion must go on (with another hash key) and the
// table must not blow up.
static void test_hash_collisions(void **state)
{
	enum { N = 40 };
	struct flow *flows[N + 64];
	uint64_t values[N];
	struct classifier *classifier;
	const struct classifier_hashed *hashed;
	const struct hash_array *array;
	struct match match = { 0 };
	unsigned int n = 0;

	(void)state;
	match.mask.words[3] = UINT64_MAX;
	for (unsigned int i = 0; i < 64; i++) {
		match.value.words[3] = i;
		flows[N + i] = helper_flow(&match, 5);
	}
	classifier = classifier_hash.build(flows + N, 64);
	hashed = (const struct classifier_hashed *)classifier;
	array = hashed->array;
	for (uint64_t value = 1000; n < N; value++) {
		uint64_t hash = hash_finish(hash_nh_word(value, array->keys[0]));

		if (hash_home(array, hash) == 1 && hash_alternate(array, hash) == 4)
			values[n++] = value;
	}
	for (unsigned int i = 0; i < N; i++) {
		match.value.words[3] = values[i];
		flows[i] = helper_flow(&match, 5);
		assert_int_equal(classifier_hash.insert(classifier, flows[i]), 0);
	}
	assert_ptr_not_equal(hashed->array, array);
	assert_true(hashed->array->bucket_mask < 64);
	for (unsigned int i = 0; i < N; i++)
		assert_ptr_equal(hash_lookup_one(classifier, values[i]), flows[i]);
	for (unsigned int i = 0; i < 64; i++)
		assert_ptr_equal(hash_lookup_one(classifier, i), flows[N + i]);
	classifier_hash.destroy(classifier);
	for (unsigned int i = 0; i < N + 64; i++)
		flow_free(flows[i]);
}

static int teardown(void **state)
{
	(void)state;
	rcu_barrier();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suits),
		cmocka_unit_test(test_const),
		cmocka_unit_test(test_linear),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_lpm),
		cmocka_unit_test(test_lpm6),
		cmocka_unit_test(test_lpm6_tags),
		cmocka_unit_test(test_reference),
		cmocka_unit_test(test_hash_grows),
		cmocka_unit_test(test_hash_collisions),
		cmocka_unit_test(test_hash_fills_up),
		cmocka_unit_test(test_bitvector),
		cmocka_unit_test(test_bitvector_wide),
	};
	int n_failed = 0;

	helper_packets_init(&packets);
	if (rcu_init() < 0)
		return 1;
	for (const char *const *level = HOT_LEVELS(); *level; level++) {
		print_message("%s\n", *level);
		if (HOT_SELECT(*level) < 0)
			return 1;
		n_failed += cmocka_run_group_tests(tests, NULL, teardown);
	}
	return n_failed;
}
