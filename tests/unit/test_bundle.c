// Bundles: random ones while threads forward packets, which must meet all of a bundle or nothing,
// and are never lost; the same changes in a bundle and one by one; and bundles that are wrong.
//
// TEST_SEED repeats a run; TEST_SCALE=10 runs ten times as long.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/rcu.h"
#include "common/text.h"
#include "ctl/bundle_list.h"
#include "datapath/hot.h"
#include "datapath/learn.h"
#include "datapath/stack.h"
#include "datapath/view.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/learn.h"
#include "tests/unit/changes.h"
#include "tests/unit/eal.h"
#include "tests/unit/packets.h"

#include <errno.h>
#include <pthread.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define N_PACKETS 4096
#define N_THREADS 2
#define N_STAMPED 8 // tables
#define METERED 5 // one of them
#define N_SOURCES 32 // TCP source ports of the packets

// --- A bridge with one port, which looks at what is sent ---

struct test_port {
	struct vport vport;
	struct forwarding_port port;
};

struct test_bridge {
	struct bridge bridge;
	struct forwarding forwarding;
	struct port_map_chunk chunk;
	struct test_port ports[2]; // in and out
};

static uint64_t n_sent, n_mixed, n_versions; // atomic

// The version in each place that a table or a bucket of a group stamps.
static unsigned int read_stamps(const uint8_t *frame, uint16_t *stamps)
{
	static const uint8_t places[] = { 4, 2, 0, 10, 8, 6, 28, 26, 32, 30 };

	for (unsigned int i = 0; i < sizeof(places); i++)
		stamps[i] = (uint16_t)(frame[places[i]] << 8 | frame[places[i] + 1]);
	return sizeof(places);
}

static uint16_t inspect(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	static __thread uint16_t last;

	(void)vport;
	(void)queue;
	for (unsigned int i = 0; i < n; i++) {
		uint16_t stamps[16];
		unsigned int n_stamps =
			read_stamps(rte_pktmbuf_mtod(packets[i], uint8_t *), stamps);
		bool mixed = stamps[0] < last; // and no packet sees what was there before

		for (unsigned int s = 1; s < n_stamps; s++)
			mixed |= stamps[s] != stamps[0];
		if (stamps[0] != last)
			__atomic_fetch_add(&n_versions, 1, __ATOMIC_RELAXED);
		last = stamps[0];
		__atomic_fetch_add(&n_mixed, mixed, __ATOMIC_RELAXED);
		rte_pktmbuf_free(packets[i]);
	}
	__atomic_fetch_add(&n_sent, n, __ATOMIC_RELAXED);
	return n;
}

static const struct vport_class inspector = {
	.type = "inspector",
	.size = sizeof(struct test_port),
	.tx = inspect,
	.tx_thread_safe = true,
};

static void *create_aligned(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	assert_non_null(memory);
	return memset(memory, 0, size);
}

static struct test_bridge *create_bridge(const char *name)
{
	struct test_bridge *test = create_aligned(sizeof(*test));

	snprintf(test->bridge.name, sizeof(test->bridge.name), "%s", name);
	test->bridge.forwarding = &test->forwarding;
	test->forwarding.name = test->bridge.name;
	test->forwarding.ports[0] = &test->chunk;
	for (unsigned int i = 0; i < 2; i++) {
		struct test_port *port = &test->ports[i];

		port->vport.class = &inspector;
		port->vport.index = (uint16_t)(i + 1);
		port->vport.n_rxq = port->vport.n_txq = 1;
		port->vport.mtu = VPORT_DEFAULT_MTU;
		port->vport.polled = true;
		port->vport.forwarding = &test->forwarding;
		port->vport.ofport = i + 1;
		port->vport.status.link_up = true;
		port->port.vport = &port->vport;
		port->port.ofport = i + 1;
		port->port.admin_up = true;
		port->port.vlan_tag = -1;
		test->chunk.ports[i + 1] = &port->port;
	}
	return test;
}

static void destroy_bridge(struct test_bridge *test)
{
	learn_bridge_exit(&test->bridge);
	for (unsigned int t = 0; t < N_TABLES; t++)
		table_destroy(test->forwarding.tables[t]);
	flow_index_free(&test->bridge.index);
	free(test->bridge.timers);
	bridge_groups_destroy(&test->bridge);
	bridge_meters_destroy(&test->bridge);
	rcu_barrier();
	free(test);
}

static struct worker *create_worker(unsigned int id)
{
	struct worker *worker = create_aligned(sizeof(*worker));

	worker->id = id;
	worker->counters = counter_set_create();
	worker->ports = calloc(VPORT_MAX, sizeof(*worker->ports));
	worker->tx = calloc(VPORT_MAX, sizeof(*worker->tx));
	worker->stacks = calloc(VECTOR_SIZE, sizeof(*worker->stacks));
	worker->learn = learn_queue_create();
	assert_true(worker->counters && worker->ports && worker->tx && worker->stacks &&
		    worker->learn);
	return worker;
}

static void destroy_worker(struct worker *worker)
{
	counter_set_destroy(worker->counters);
	learn_queue_destroy(worker->learn);
	free(worker->ports);
	free(worker->tx);
	free(worker->stacks);
	free(worker);
}

static struct rte_mbuf *create_packet(unsigned int source)
{
	static const uint8_t frame[60] = {
		2, 0,  0, 0, 0, 1,  2,  0, 0, 0, 0,  2, 0x08, 0x00, 0x45, 0,
		0, 40, 0, 0, 0, 0,  64, 6, 0, 0, 10, 0, 0,    1,    10,   0,
		0, 2,  0, 0, 0, 80, 0,  0, 0, 0, 0,  0, 0,    0,    0x50, 0x10,
	};
	struct rte_mbuf *packet = rte_pktmbuf_alloc(packet_pool());
	uint8_t *bytes;

	if (!packet)
		return NULL;
	bytes = (uint8_t *)rte_pktmbuf_append(packet, sizeof(frame));
	memcpy(bytes, frame, sizeof(frame));
	bytes[35] = (uint8_t)(source % N_SOURCES);
	return packet;
}

// Returns how many packets it sent into the bridge.
static unsigned int send_burst(struct worker *worker, struct test_bridge *test)
{
	struct rte_mbuf *packets[VECTOR_SIZE];
	unsigned int n = 0;

	while (n < VECTOR_SIZE && (packets[n] = create_packet(n)))
		n++;
	hot->forward(worker, &test->forwarding, &test->ports[0].port, packets, (uint16_t)n);
	return n;
}

struct traffic {
	struct test_bridge *test;
	unsigned int id;
	pthread_t thread;
	uint64_t n_received, n_in_view;
};

static bool stop_traffic;

static void *run_traffic(void *context)
{
	struct traffic *traffic = context;
	struct worker *worker = create_worker(traffic->id);

	rcu_reader_register(traffic->id);
	rcu_online(traffic->id);
	while (!__atomic_load_n(&stop_traffic, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(&traffic->n_received, send_burst(worker, traffic->test),
				   __ATOMIC_RELAXED);
		traffic->n_in_view += worker->view != VIEW_NONE;
		rcu_quiescent(traffic->id);
		sched_yield(); // there may be fewer cores than threads
	}
	rcu_offline(traffic->id);
	rcu_reader_unregister(traffic->id);
	destroy_worker(worker);
	return NULL;
}

// --- Policies: version v writes v in each of 8 tables and in two groups ---

static const char *const stamps[] = {
	"NXM_OF_ETH_DST[0..15]", "NXM_OF_ETH_DST[16..31]", "NXM_OF_ETH_DST[32..47]",
	"NXM_OF_ETH_SRC[0..15]", "NXM_OF_ETH_SRC[16..31]", "NXM_OF_ETH_SRC[32..47]",
	"NXM_OF_IP_SRC[0..15]",  "NXM_OF_IP_SRC[16..31]",
};

struct policy {
	struct random random;
	unsigned int version;
	unsigned int layout[N_STAMPED], cookie[N_STAMPED], priority[N_STAMPED];
	unsigned int group; // that table 7 goes to
	struct text text; // of the bundle
	unsigned int n_lines;
};

static __attribute__((format(printf, 2, 3))) void line(struct policy *policy, const char *format,
						       ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	text_addf(&policy->text, "%s\n", text);
	policy->n_lines++;
}

// Each version sends packets of one table through another one of two meters, and makes that of the
// version before drop everything.
static unsigned int meter_of(unsigned int version)
{
	return 1 + version % 2;
}

static void write_meter(struct policy *policy, const char *command, unsigned int id, bool drops)
{
	line(policy, "meter %s meter=%u,pktps,bands=type=drop,rate=%u", command, id,
	     drops ? 0 : 4000000000u);
}

static const char *actions(struct policy *policy, unsigned int table, unsigned int version)
{
	static char text[200];
	int n = snprintf(text, sizeof(text), "actions=");

	if (table == METERED)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "meter:%u,", meter_of(version));
	n += snprintf(text + n, sizeof(text) - (size_t)n, "load:%u->%s,", version, stamps[table]);

	if (table == N_STAMPED - 1)
		snprintf(text + n, sizeof(text) - (size_t)n, "group:%u", policy->group);
	else
		snprintf(text + n, sizeof(text) - (size_t)n,
			 random_chance(&policy->random, 50) ? "goto_table:%u" : "resubmit(,%u)",
			 table + 1);
	return text;
}

// What the actions of a table need the flow to match.
static const char *needs(unsigned int table)
{
	return table < 6 ? "" : "ip,";
}

// The flows of a table, in one of several layouts that suit different classifiers.
static void add_layout(struct policy *policy, unsigned int t, unsigned int version)
{
	const unsigned int cookie = policy->cookie[t], priority = policy->priority[t];
	const unsigned int layout = policy->layout[t];

	if (layout == 0 || layout == 3)
		line(policy, "flow add table=%u,cookie=%u,priority=%u,%s%s", t, cookie, priority,
		     needs(t), actions(policy, t, version));
	for (unsigned int i = 0; layout == 2 && i < 2; i++)
		line(policy, "flow table=%u,cookie=%u,priority=%u,tcp,tp_src=%u/1,%s", t, cookie,
		     priority, i, actions(policy, t, version));
	for (unsigned int i = 0; (layout == 1 && i < N_SOURCES) || (layout == 3 && i < 9); i++)
		line(policy, "flow table=%u,cookie=%u,priority=%u,tcp,tp_src=%u,%s", t, cookie,
		     priority + 1, i, actions(policy, t, version));
}

static void change_table(struct policy *policy, unsigned int t)
{
	struct random *random = &policy->random;
	const unsigned int old = policy->cookie[t], version = policy->version;

	switch (random_below(random, 5)) {
	case 0: // away with the old ones first
		line(policy, "flow delete table=%u,cookie=%u/-1", t, old);
		policy->layout[t] = random_below(random, 4);
		policy->cookie[t] = version;
		add_layout(policy, t, version);
		break;
	case 1: // the new ones first
		policy->layout[t] = random_below(random, 4);
		policy->cookie[t] = version;
		policy->priority[t] = policy->priority[t] > 20 ? 10 : policy->priority[t] + 3;
		add_layout(policy, t, version);
		line(policy, "flow delete table=%u,cookie=%u/-1", t, old);
		break;
	case 2:
		line(policy, "flow modify table=%u,cookie=%u/-1,%s%s", t, old, needs(t),
		     actions(policy, t, version));
		break;
	case 3: // each in the place of the one that was there
		policy->cookie[t] = version;
		add_layout(policy, t, version);
		break;
	default: // several times the same
		add_layout(policy, t, 60000);
		line(policy, "flow table=%u,cookie=1,priority=99,%s%s", t, needs(t),
		     actions(policy, t, 60000));
		line(policy, "flow modify table=%u,cookie=%u/-1,%s%s", t, old, needs(t),
		     actions(policy, t, version));
		line(policy, "flow delete_strict table=%u,priority=99%s", t, t < 6 ? "" : ",ip");
		break;
	}
}

// Flows that no packet hits, so that parts of tables grow and shrink.
static void change_others(struct policy *policy)
{
	struct random *random = &policy->random;
	const unsigned int t = random_below(random, N_STAMPED), n = random_below(random, 12);

	for (unsigned int i = 0; i < n; i++)
		line(policy, "flow table=%u,priority=200,in_port=9,tcp,tp_src=%u,actions=drop", t,
		     random_below(random, 40));
	// Of rare masks, so that there are parts of many masks as well.
	for (unsigned int i = random_chance(random, 50) ? 10 * n : 0; i > 0; i--)
		line(policy,
		     "flow "
		     "table=%u,priority=%u,in_port=9,tcp,nw_src=10.0.0.0/%u,nw_dst=10.0.0.0/%u,"
		     "actions=drop",
		     t, random_below(random, 40), 8 + random_below(random, 25),
		     8 + random_below(random, 25));
	if (random_chance(random, 30))
		line(policy, "flow delete table=%u,in_port=9", t);
}

static void write_group(struct policy *policy, const char *command, unsigned int group)
{
	line(policy, "group %s group_id=%u,type=%s,bucket=load:%u->NXM_OF_IP_DST[0..15],group:9",
	     command, group, random_chance(&policy->random, 50) ? "indirect" : "select",
	     policy->version);
}

static void change_groups(struct policy *policy)
{
	line(policy,
	     "group modify group_id=9,type=all,bucket=load:%u->NXM_OF_IP_DST[16..31],output:2",
	     policy->version);
	if (random_chance(&policy->random, 50)) {
		write_group(policy, "modify", policy->group);
		change_table(policy, N_STAMPED - 1);
		return;
	}
	// Another group, and the old one goes with the flows that go to it.
	policy->group = 3 - policy->group;
	write_group(policy, "add_or_mod", policy->group);
	policy->cookie[N_STAMPED - 1] = policy->version;
	if (random_chance(&policy->random, 50)) {
		line(policy, "group delete group_id=%u", 3 - policy->group);
		add_layout(policy, N_STAMPED - 1, policy->version);
	} else {
		add_layout(policy, N_STAMPED - 1, policy->version);
		line(policy, "group delete group_id=%u", 3 - policy->group);
	}
}

static void change_meters(struct policy *policy)
{
	const unsigned int old = meter_of(policy->version - 1);

	if (random_chance(&policy->random, 50)) {
		write_meter(policy, "modify", old, true);
		return;
	}
	line(policy, "meter delete meter=%u", old);
	write_meter(policy, random_chance(&policy->random, 50) ? "add" : "", old, true);
}

static void first_policy(struct policy *policy)
{
	policy->version = 1;
	policy->group = 1;
	write_meter(policy, "add", meter_of(1), false);
	write_meter(policy, "add", meter_of(2), true);
	line(policy, "group group_id=9,type=all,bucket=load:1->NXM_OF_IP_DST[16..31],output:2");
	write_group(policy, "add", 1);
	for (unsigned int t = 0; t < N_STAMPED; t++) {
		policy->layout[t] = random_below(&policy->random, 4);
		policy->cookie[t] = 1;
		policy->priority[t] = 10;
		add_layout(policy, t, 1);
	}
}

static void next_policy(struct policy *policy)
{
	policy->version++;
	write_meter(policy, "modify", meter_of(policy->version), false);
	for (unsigned int t = 0; t + 1 < N_STAMPED; t++)
		change_table(policy, t);
	change_meters(policy);
	change_groups(policy);
	change_others(policy);
}

#define OVERLAP(match) "flow table=1,check_overlap,priority=10" match "actions=drop"

// A line that is wrong in the middle of the others.
static unsigned int spoil(struct policy *policy)
{
	static const char *const wrong[] = {
		"flow table=5,priority=3,actions=group:77",
		"group modify group_id=77,type=all,bucket=output:2",
		"flow table=5,priority=3,actions=meter:77",
		"meter add meter=1,pktps,bands=type=drop,rate=0",
		"flow table=7,actions=goto_table:6",
		OVERLAP(",") "\n" OVERLAP(",ip,"),
	};
	const unsigned int at = random_below(&policy->random, policy->n_lines + 1);
	const unsigned int which = random_below(&policy->random, 6);
	struct text text = { 0 };
	const char *rest = policy->text.data;

	for (unsigned int i = 0; i < at; i++)
		rest = strchr(rest, '\n') + 1;
	text_add_bytes(&text, policy->text.data, (size_t)(rest - policy->text.data));
	text_addf(&text, "%s\n%s", wrong[which], rest);
	text_free(&policy->text);
	policy->text = text;
	return which < 5 ? at + 1 : 0;
}

static void test_traffic(void **state)
{
	const uint64_t seed = random_seed();
	const unsigned int n_bundles = random_iterations(300);
	struct test_bridge *test = create_bridge("test");
	struct traffic traffic[N_THREADS] = { 0 };
	struct policy policy = { .random = { seed } };
	struct error error = { 0 };
	uint64_t n_received = 0, n_in_view = 0;
	unsigned int n_wrong = 0, n_changes = 0;

	(void)state;
	n_sent = n_mixed = n_versions = 0;
	stop_traffic = false;
	first_policy(&policy);
	if (changes_apply(&test->bridge, policy.text.data, &error))
		fail_msg("line %d, %d: %s", error.line, error.column, error.message);
	for (unsigned int i = 0; i < N_THREADS; i++) {
		traffic[i] = (struct traffic){ .test = test, .id = i };
		pthread_create(&traffic[i].thread, NULL, run_traffic, &traffic[i]);
	}
	while (!__atomic_load_n(&traffic[0].n_received, __ATOMIC_RELAXED))
		sched_yield();
	for (unsigned int b = 0; b < n_bundles && policy.version < 59999; b++) {
		struct policy before = policy;
		int result;

		text_clear(&policy.text);
		policy.n_lines = 0;
		next_policy(&policy);
		before.random = policy.random;
		if (random_chance(&policy.random, 20)) {
			const unsigned int at = spoil(&policy);

			result = changes_apply(&test->bridge, policy.text.data, &error);
			before.text = policy.text;
			before.random = policy.random;
			policy = before;
			n_wrong++;
			if (!result || (at && error.line != (int)at))
				fail_msg("TEST_SEED=0x%llx: line %d instead of %u: %s",
					 (unsigned long long)seed, error.line, at, error.message);
			continue;
		}
		result = changes_apply(&test->bridge, policy.text.data, &error);
		if (result)
			fail_msg("TEST_SEED=0x%llx: line %d, %d: %s\n%s", (unsigned long long)seed,
				 error.line, error.column, error.message, policy.text.data);
		n_changes += policy.n_lines;
		if (__atomic_load_n(&n_mixed, __ATOMIC_RELAXED))
			break;
	}
	__atomic_store_n(&stop_traffic, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < N_THREADS; i++) {
		pthread_join(traffic[i].thread, NULL);
		n_received += traffic[i].n_received;
		n_in_view += traffic[i].n_in_view;
	}
	print_message("TEST_SEED=0x%llx: %u bundles, %u wrong, %u changes; %llu packets, %llu "
		      "bursts in a view, versions changed %llu times\n",
		      (unsigned long long)seed, n_bundles, n_wrong, n_changes,
		      (unsigned long long)n_received, (unsigned long long)n_in_view,
		      (unsigned long long)n_versions);
	assert_int_equal(n_mixed, 0);
	assert_int_equal(n_sent, n_received);
	assert_true(n_in_view > 0 && n_versions > 0 && n_wrong > 0);
	text_free(&policy.text);
	destroy_bridge(test);
	assert_int_equal(rte_mempool_avail_count(packet_pool()), N_PACKETS);
}

// --- The same changes in a bundle and one by one ---

#define MAX_LINES 40

// Returns the number of the line that is wrong, or 0.
static unsigned int apply_one_by_one(struct bridge *bridge, char lines[][256], unsigned int n)
{
	struct error error;

	for (unsigned int i = 0; i < n; i++)
		if (changes_apply_alone(bridge, lines[i], &error))
			return i + 1;
	return 0;
}

static void assert_same(uint64_t seed, unsigned int round, const struct bridge *a,
			const struct bridge *b, const char *changes)
{
	char *first = changes_describe(a), *second = changes_describe(b);

	if (strcmp(first, second))
		fail_msg("TEST_SEED=0x%llx, round %u: as a bundle\n%s\none by one\n%s\nof\n%s",
			 (unsigned long long)seed, round, first, second, changes);
	free(first);
	free(second);
}

static void test_same_end(void **state)
{
	const uint64_t seed = random_seed();
	const unsigned int n_rounds = random_iterations(1000);
	struct random random = { seed };
	struct test_bridge *a = create_bridge("a"), *b = create_bridge("b");
	struct worker *worker = create_worker(0);
	unsigned int n_applied = 0, n_refused = 0;
	struct error error;

	(void)state;
	for (unsigned int round = 0; round < n_rounds; round++) {
		char lines[MAX_LINES][256];
		const unsigned int n =
			1 + random_below(&random, random_chance(&random, 50) ? MAX_LINES : 5);
		struct text text = { 0 };
		char *before = changes_describe(&a->bridge), *after;
		int result;

		for (unsigned int i = 0; i < n; i++) {
			changes_random(&random, lines[i], sizeof(lines[i]));
			text_addf(&text, "%s\n", lines[i]);
		}
		result = changes_apply(&a->bridge, text.data, &error);
		if (result) {
			unsigned int at;

			n_refused++;
			after = changes_describe(&a->bridge);
			if (strcmp(before, after))
				fail_msg("TEST_SEED=0x%llx, round %u: refused, but\n%s\nbecame\n%s",
					 (unsigned long long)seed, round, before, after);
			free(after);
			at = apply_one_by_one(&b->bridge, lines, n);
			if (at != (unsigned int)error.line)
				fail_msg("TEST_SEED=0x%llx: wrong is %u, not %d: %s\n%s",
					 (unsigned long long)seed, at, error.line, error.message,
					 text.data);
			// Both start anew.
			destroy_bridge(a);
			destroy_bridge(b);
			a = create_bridge("a");
			b = create_bridge("b");
		} else {
			n_applied++;
			assert_int_equal(apply_one_by_one(&b->bridge, lines, n), 0);
			assert_same(seed, round, &a->bridge, &b->bridge, text.data);
			for (unsigned int i = 0; i < 2; i++) {
				send_burst(worker, i ? b : a);
			}
			assert_same(seed, round, &a->bridge, &b->bridge, text.data);
		}
		free(before);
		text_free(&text);
	}
	print_message("%u bundles applied, %u refused\n", n_applied, n_refused);
	assert_true(n_applied > n_rounds / 20 && n_refused > n_rounds / 20);
	destroy_worker(worker);
	destroy_bridge(a);
	destroy_bridge(b);
	assert_int_equal(rte_mempool_avail_count(packet_pool()), N_PACKETS);
}

// --- Wrong at the n-th change, for each n ---

static void test_each_wrong(void **state)
{
	struct test_bridge *test = create_bridge("test");
	struct policy policy = { .random = { 1 } };
	struct error error = { 0 };
	char *before, *after;

	(void)state;
	first_policy(&policy);
	assert_int_equal(changes_apply(&test->bridge, policy.text.data, &error), 0);
	before = changes_describe(&test->bridge);
	text_clear(&policy.text);
	policy.n_lines = 0;
	next_policy(&policy);
	for (unsigned int k = 0; k <= policy.n_lines; k++) {
		struct text text = { 0 };
		const char *rest = policy.text.data;

		for (unsigned int i = 0; i < k; i++)
			rest = strchr(rest, '\n') + 1;
		text_add_bytes(&text, policy.text.data, (size_t)(rest - policy.text.data));
		text_addf(&text, "flow actions=group:12345\n%s", rest);
		assert_int_equal(changes_apply(&test->bridge, text.data, &error), -ENOENT);
		assert_int_equal(error.line, k + 1);
		assert_non_null(strstr(error.message, "has no group 12345"));
		after = changes_describe(&test->bridge);
		assert_string_equal(before, after);
		free(after);
		text_free(&text);
	}
	free(before);
	text_free(&policy.text);
	destroy_bridge(test);
}

// What a line of a bundle cannot be.
static void test_bad_text(void **state)
{
	static const struct {
		const char *text;
		int line, column;
		const char *says;
	} bad[] = {
		{ "flow actions=drop\npacket-out in_port=CONTROLLER,actions=drop", 2, 0,
		  "packet=HEX" },
		{ "packet-out packet=00,actions=drop", 1, 0, "in_port" },
		{ "packet-out in_port=CONTROLLER,packet=00,actions=drop", 1, 0, "1 bytes" },
		{ "packet-outs in_port=1", 1, 1, "packet-out" },
		{ "meter meter=1,kbps,bands=type=drop,rate=x", 1, 41, "rate" },
		{ "meter add meter=1", 1, 0, "unit" },
		{ "meter delete meter=1,kbps", 1, 0, "kbps" },
		{ "meter", 1, 0, "" },
		{ "\n# nothing\n  flows actions=drop", 3, 3, "flow, group, meter" },
		{ "flow add priority=1,bad=3,actions=drop", 1, 21, "bad" },
		{ "group add group_id=1,type=what", 1, 0, "what" },
		{ "group", 1, 0, "" },
		{ "flow", 1, 0, "" },
	};
	struct test_bridge *test = create_bridge("test");

	(void)state;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error error = { 0 };

		assert_true(changes_apply(&test->bridge, bad[i].text, &error) < 0);
		assert_int_equal(error.line, bad[i].line);
		if (bad[i].column)
			assert_int_equal(error.column, bad[i].column);
		assert_non_null(strstr(error.message, bad[i].says));
	}
	assert_int_equal(changes_apply(&test->bridge, "", &(struct error){ 0 }), 0);
	destroy_bridge(test);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_text),
		cmocka_unit_test(test_each_wrong),
		cmocka_unit_test(test_same_end),
		cmocka_unit_test(test_traffic),
	};
	int failed;

	test_eal_init(N_PACKETS);
	if (hot_select(NULL, &(struct error){ 0 }))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
