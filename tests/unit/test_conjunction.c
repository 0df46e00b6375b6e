// Conjunctive matches: random conjunctions among ordinary flows, in a table that changes, against a
// naive lookup that follows the text of ovs-fields(7).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/rcu.h"
#include "common/text.h"
#include "datapath/hot.h"
#include "flowtable/table.h"
#include "tests/unit/eal.h"
#include "tests/unit/flow_helper.h"

#define MAX_FLOWS 400
#define N_PRIORITIES 5

struct clause {
	uint32_t id;
	unsigned int dimension, n;
};

struct entry {
	struct match match;
	uint16_t priority;
	uint64_t sequence; // of insertion
	unsigned int n_clauses; // 0: an ordinary flow
	struct clause clauses[4];
	struct flow *flow;
};

static struct entry entries[MAX_FLOWS];
static unsigned int n_entries;
static uint64_t sequence;
static uint64_t n_compared, n_by_conjunction;
static unsigned int n_ids, max_dimensions;

// --- The naive lookup ---

static bool covers(const struct match *match, const struct key *key)
{
	for (unsigned int i = 0; i < KEY_WORDS; i++)
		if ((key->words[i] ^ match->value.words[i]) & match->mask.words[i])
			return false;
	return true;
}

static const struct entry *best_ordinary(const struct key *key)
{
	const struct entry *best = NULL;

	for (unsigned int i = 0; i < n_entries; i++) {
		const struct entry *entry = &entries[i];

		if (entry->n_clauses || !covers(&entry->match, key))
			continue;
		if (!best || entry->priority > best->priority ||
		    (entry->priority == best->priority && entry->sequence < best->sequence))
			best = entry;
	}
	return best;
}

// Where priorities, numbers and dimensions are small: all of them, one after another.
static const struct entry *expected(const struct key *key, uint32_t *conj_id)
{
	const struct entry *best = best_ordinary(key);

	*conj_id = 0;
	for (int priority = N_PRIORITIES; priority >= 0; priority--) {
		static uint64_t dimensions[256][65];

		if (best && best->priority >= priority)
			return best;
		memset(dimensions, 0, sizeof(dimensions));
		for (unsigned int i = 0; i < n_entries; i++) {
			const struct entry *entry = &entries[i];

			if (entry->priority != priority || !covers(&entry->match, key))
				continue;
			for (unsigned int c = 0; c < entry->n_clauses; c++)
				dimensions[entry->clauses[c].id][entry->clauses[c].n] |=
					UINT64_C(1) << (entry->clauses[c].dimension - 1);
		}
		for (uint32_t id = 0; id < n_ids; id++)
			for (unsigned int n = 2; n <= max_dimensions; n++) {
				const struct entry *found;
				struct key changed = *key;

				if (dimensions[id][n] != UINT64_MAX >> (64 - n))
					continue;
				changed.tunnel.conj_id = rte_cpu_to_be_32(id);
				found = best_ordinary(&changed);
				if (!found)
					continue;
				*conj_id = id;
				n_by_conjunction++;
				return found;
			}
	}
	return best;
}

// --- The table ---

static struct flow *make_flow(const struct entry *entry)
{
	struct flow_text text = { .match = entry->match, .priority = entry->priority };
	struct text actions = { 0 };
	struct error error = { 0 };
	struct flow *flow;

	for (unsigned int c = 0; c < entry->n_clauses; c++)
		text_addf(&actions, "%sconjunction(%u,%u/%u)", c ? "," : "", entry->clauses[c].id,
			  entry->clauses[c].dimension, entry->clauses[c].n);
	if (program_parse(entry->n_clauses ? actions.data : "drop", NULL, &text.program, &error))
		fail_msg("%s: %s", actions.data, error.message);
	text_free(&actions);
	flow = flow_create(&text);
	assert_non_null(flow);
	return flow;
}

static void fill(struct entry *entry)
{
	entry->n_clauses = helper_below(3) ? 1 + helper_below(4) : 0;
	for (unsigned int c = 0; c < entry->n_clauses; c++) {
		struct clause *clause = &entry->clauses[c];

		clause->id = helper_below(n_ids);
		clause->n = helper_below(4) ? 2 : 2 + helper_below(max_dimensions - 1);
		clause->dimension = 1 + helper_below(clause->n);
	}
}

static void insert(struct table *table)
{
	struct entry *entry = &entries[n_entries];
	struct flow *there;

	memset(entry, 0, sizeof(*entry));
	fill(entry);
	do { // one or two words, so that flows overlap a lot
		memset(&entry->match.mask, 0, sizeof(entry->match.mask));
		helper_mask(&entry->match);
	} while (helper_below(4) &&
		 __builtin_popcountll(entry->match.mask.words[0]) +
				 __builtin_popcountll(entry->match.mask.words[3]) +
				 __builtin_popcountll(entry->match.mask.words[4]) >
			 12);
	helper_values(&entry->match);
	if (!entry->n_clauses && helper_below(2)) {
		entry->match.mask.tunnel.conj_id = UINT32_MAX;
		entry->match.value.tunnel.conj_id = rte_cpu_to_be_32(helper_below(n_ids));
	}
	entry->priority = (uint16_t)helper_below(N_PRIORITIES + 1);
	there = table_find(table, &entry->match, entry->priority);
	for (unsigned int i = 0; i < n_entries; i++)
		if (entries[i].flow == there)
			return;
	assert_null(there);
	entry->sequence = sequence++;
	entry->flow = make_flow(entry);
	assert_int_equal(table_insert(table, entry->flow), 0);
	n_entries++;
}

static void take_out(struct table *table)
{
	const unsigned int i = helper_below(n_entries);

	table_remove(table, entries[i].flow);
	flow_defer_free(entries[i].flow);
	assert_null(table_find(table, &entries[i].match, entries[i].priority));
	entries[i] = entries[--n_entries];
}

// The same match with other actions: an ordinary flow may become one with conjunctions.
static void replace(struct table *table)
{
	struct entry *entry = &entries[helper_below(n_entries)];
	const bool was_ordinary = !entry->n_clauses;
	struct flow *old = entry->flow;

	fill(entry);
	entry->flow = make_flow(entry);
	assert_int_equal(table_replace(table, old, entry->flow), 0);
	if (was_ordinary != !entry->n_clauses)
		entry->sequence = sequence++;
	flow_defer_free(old);
	assert_ptr_equal(table_find(table, &entry->match, entry->priority), entry->flow);
}

static void compare(const struct table *table)
{
	static struct helper_packets packets, before;
	const struct flow *results[VECTOR_SIZE], *plain[VECTOR_SIZE];
	struct table_conjunction conjunction;
	const uint64_t set = helper_packet_set_random();

	helper_packets_init(&packets);
	helper_packets_random(&packets);
	memcpy(&before.lines, &packets.lines, sizeof(packets.lines));
	hot->table_lookup_explained(table, &packets.keys, set, results, &conjunction);
	hot->table_lookup(table, &packets.keys, set, plain);
	assert_memory_equal(&before.lines, &packets.lines, sizeof(packets.lines));
	for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
		const struct entry *want;
		struct key key;
		uint32_t id;

		if (!(set >> i & 1))
			continue;
		helper_packet_key(&packets, i, &key);
		want = expected(&key, &id);
		assert_ptr_equal(results[i], want ? want->flow : NULL);
		assert_ptr_equal(plain[i], results[i]);
		if (conjunction.packets >> i & 1)
			assert_int_equal(conjunction.ids[i], id);
		n_compared++;
	}
}

static void run(unsigned int n_flows, unsigned int ids, unsigned int dimensions,
		unsigned int n_changes)
{
	struct table *table = table_create(0);

	assert_non_null(table);
	n_entries = 0;
	n_ids = ids;
	max_dimensions = dimensions;
	for (unsigned int c = 0; c < n_changes; c++) {
		const unsigned int what = helper_below(8);

		if (n_entries < n_flows / 2 || (what < 3 && n_entries < n_flows))
			insert(table);
		else if (what < 6)
			take_out(table);
		else
			replace(table);
		assert_int_equal(table_size(table), n_entries);
		if (c % 8 == 0)
			compare(table);
		if (c % 32 == 0)
			rcu_reclaim();
	}
	while (n_entries) {
		take_out(table);
		if (n_entries % 16 == 0)
			compare(table);
	}
	assert_int_equal(table_parts(table, NULL, 0), 0);
	table_destroy(table);
	rcu_reclaim();
}

static void random_tables(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		run(20, 3, 2, 300);
		run(60, 4, 3, 300);
		run(100, 2, 5, 300);
		run(MAX_FLOWS, 250, 2, 900); // more at once than are gathered at a time
		run(MAX_FLOWS, 1, 64, 500);
	}
	printf("%llu lookups compared, %llu ended by a conjunction\n",
	       (unsigned long long)n_compared, (unsigned long long)n_by_conjunction);
	assert_true(n_by_conjunction > n_compared / 20);
}

// --- One at a time ---

static struct flow *add(struct table *table, const char *string)
{
	struct flow_text text;
	struct error error = { 0 };
	struct flow *flow;

	if (flow_text_parse(string, FLOW_TEXT_ADD, NULL, &text, &error))
		fail_msg("%s: %s", string, error.message);
	flow = flow_create(&text);
	flow_text_release(&text);
	assert_non_null(flow);
	assert_int_equal(table_insert(table, flow), 0);
	return flow;
}

static const struct flow *look_up(const struct table *table, const char *packet)
{
	static struct helper_packets packets;
	const struct flow *results[VECTOR_SIZE];
	struct flow_text text;
	struct error error = { 0 };

	if (flow_text_parse(packet, FLOW_TEXT_MATCH, NULL, &text, &error))
		fail_msg("%s: %s", packet, error.message);
	helper_packets_init(&packets);
	for (unsigned int w = 0; w < KEY_WORDS; w++)
		helper_packet_set(&packets, 0, w, text.match.value.words[w]);
	flow_text_release(&text);
	hot->table_lookup(table, &packets.keys, 1, results);
	return results[0];
}

// The example of the manual, and its subtleties.
static void manual_example(void **state)
{
	struct table *table = table_create(0);
	struct flow *both = add(table, "conj_id=1234,actions=output:1");
	struct flow *miss, *better;

	(void)state;
	add(table, "priority=100,ip,ip_src=10.0.0.1,actions=conjunction(1234,1/2)");
	add(table, "priority=100,ip,ip_src=10.0.0.4,actions=conjunction(1234,1/2)");
	add(table, "priority=100,ip,ip_dst=10.0.0.2,actions=conjunction(1234,2/2),note:11");
	add(table, "priority=100,ip,ip_dst=10.0.0.5,actions=conjunction(1234,2/2)");
	assert_ptr_equal(look_up(table, "ip,ip_src=10.0.0.4,ip_dst=10.0.0.2"), both);
	assert_null(look_up(table, "ip,ip_src=10.0.0.4,ip_dst=10.0.0.3"));
	assert_null(look_up(table, "ip,ip_src=10.0.0.3,ip_dst=10.0.0.2"));
	// The search goes on below where the conjunction is not complete.
	miss = add(table, "priority=0,actions=drop");
	assert_ptr_equal(look_up(table, "ip,ip_src=10.0.0.4,ip_dst=10.0.0.3"), miss);
	// An ordinary flow of the same priority comes first, and one of a higher priority.
	better = add(table, "priority=100,ip,ip_src=10.0.0.4,ip_dst=10.0.0.5,actions=output:2");
	assert_ptr_equal(look_up(table, "ip,ip_src=10.0.0.4,ip_dst=10.0.0.5"), better);
	assert_ptr_equal(look_up(table, "ip,ip_src=10.0.0.1,ip_dst=10.0.0.5"), both);
	// Dimensions of another priority or another number of dimensions are not of the same.
	add(table, "priority=90,ip,ip_src=10.0.0.9,actions=conjunction(1234,1/2)");
	add(table, "priority=100,ip,ip_src=10.0.0.8,actions=conjunction(1234,1/3)");
	assert_ptr_equal(look_up(table, "ip,ip_src=10.0.0.9,ip_dst=10.0.0.5"), miss);
	assert_ptr_equal(look_up(table, "ip,ip_src=10.0.0.8,ip_dst=10.0.0.5"), miss);
	table_destroy(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_tables),
		cmocka_unit_test(manual_example),
	};
	int failed = 0;

	test_eal_init(255);
	for (const char *const *level = test_hot_levels(); *level; level++) {
		printf("%s\n", *level);
		if (hot_select(*level, NULL) < 0)
			return 1;
		failed += cmocka_run_group_tests(tests, NULL, NULL);
	}
	test_eal_end();
	return failed;
}
