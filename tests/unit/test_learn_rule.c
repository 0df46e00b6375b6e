// datapath/learn_run.c and ofproto/learn_rule.c together: what a worker asks for, given what an
// installed learn action knows already.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/error.h"
#include "datapath/datapath.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/learn_internal.h"
#include "tests/unit/eal.h"

#include "datapath/hot.h"

#include <stdlib.h>
#include <string.h>

static uint16_t sink_tx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	(void)vport;
	(void)queue;
	rte_pktmbuf_free_bulk(packets, n);
	return n;
}

static const struct vport_class sink = {
	.type = "sink", .size = sizeof(struct vport), .tx = sink_tx, .tx_thread_safe = true
};

static struct bridge bridge;
static struct worker *worker;
static struct port_map_chunk chunk;
static struct vport vports[3];
static struct forwarding_port ports[3];
static struct flow *learning, *seen, *unseen;

static struct flow *install(const char *string)
{
	struct flow_text text;
	struct error error = { 0 };
	struct table **table;
	struct flow *flow;

	if (flow_text_parse(string, FLOW_TEXT_ADD, NULL, &text, &error))
		fail_msg("%s: %s", string, error.message);
	table = &bridge.forwarding->tables[text.table_id];
	if (!*table)
		*table = table_create(text.table_id);
	bridge.forwarding->lines |= text.program->lines_read | text.program->lines_written;
	flow = flow_create(&text);
	assert_non_null(flow);
	assert_int_equal(learn_attach(&bridge, flow->program), 0);
	assert_int_equal(table_insert(*table, flow), 0);
	return flow;
}

static int set_up(void **state)
{
	(void)state;
	memset(&bridge, 0, sizeof(bridge));
	bridge.forwarding = calloc(1, sizeof(*bridge.forwarding));
	bridge.forwarding->name = "learn";
	bridge.forwarding->ports[0] = &chunk;
	bridge.forwarding->lines = 1;
	worker = worker_create(0);
	assert_non_null(worker);
	for (unsigned int i = 1; i < 3; i++) {
		vports[i].class = &sink;
		vports[i].index = (uint16_t)i;
		vports[i].n_txq = 1;
		vports[i].mtu = 1500;
		vports[i].forwarding = bridge.forwarding;
		vports[i].ofport = i;
		vports[i].status.link_up = true;
		ports[i] = (struct forwarding_port){
			.vport = &vports[i], .ofport = i, .admin_up = true, .vlan_tag = -1
		};
		chunk.ports[i] = &ports[i];
	}
	learning = install("table=0,actions=learn(table=9,cookie=5,limit=20000,delete_learned,"
			   "result_dst=reg0[7],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
			   "output:NXM_OF_IN_PORT[]),resubmit(,1)");
	seen = install("table=1,reg0=0x80,actions=drop");
	unseen = install("table=1,reg0=0,actions=drop");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	learn_bridge_exit(&bridge);
	for (unsigned int t = 0; t < N_TABLES; t++)
		if (bridge.forwarding->tables[t])
			table_destroy(bridge.forwarding->tables[t]);
	worker_destroy(worker);
	rcu_barrier();
	free(bridge.forwarding);
	return 0;
}

// One frame from the source with this number. Returns how many flows the worker asks for.
static unsigned int send(unsigned int in_port, unsigned int source, struct learn_request *request)
{
	struct ref_packet packet = { .size = 64 };
	struct rte_mbuf *mbuf;
	unsigned int n;

	packet.bytes[0] = packet.bytes[6] = 2;
	memcpy(packet.bytes + 8, &source, sizeof(source));
	packet.bytes[12] = 0x88;
	mbuf = test_packet_create(&packet);
	hot->forward(worker, bridge.forwarding, &ports[in_port], &mbuf, 1);
	n = rte_ring_sc_dequeue_burst_elem(worker->learn->ring, request, sizeof(*request), 1, NULL);
	assert_int_equal(rte_ring_count(worker->learn->ring), 0);
	return n;
}

// What ofproto/learn.c does with a request for a flow that is not there.
static struct flow *make(const struct learn_request *request)
{
	struct learn_rule *rule = learn_rule_of(request);
	struct flow_text text;
	struct flow *flow;

	assert_non_null(rule);
	assert_int_equal(learn_make_flow(request->op, request->values, &text), 0);
	flow = flow_create(&text);
	assert_non_null(flow);
	if (!bridge.forwarding->tables[9])
		bridge.forwarding->tables[9] = table_create(9);
	assert_int_equal(table_insert(bridge.forwarding->tables[9], flow), 0);
	assert_int_equal(learn_entry_add(rule, flow, request), 0);
	__atomic_fetch_sub(&request->group->n_pending, 1, __ATOMIC_RELAXED);
	return flow;
}

static void test_known(void **state)
{
	struct learn_request first, other;
	struct flow *flow;
	uint64_t before;

	(void)state;
	assert_int_equal(send(1, 7, &first), 1);
	assert_int_equal(first.in_port, 1);
	assert_int_equal(first.group->n_pending, 1);
	assert_int_equal(send(1, 7, &other), 0); // a moment ago
	flow = make(&first);
	before = flow->modified_ns;
	learn_refresh(flow, before + 5);
	assert_int_equal(flow->modified_ns, before);
	assert_int_equal(send(1, 7, &other), 0); // known
	learn_refresh(flow, before + 5);
	assert_int_equal(flow->modified_ns, before + 5);
	// The same address elsewhere is the same match with another action.
	assert_int_equal(send(2, 7, &other), 1);
	assert_true(other.match_hash == first.match_hash);
	assert_true(other.action_hash != first.action_hash);
	assert_int_equal(send(2, 8, &other), 1);
	assert_true(other.match_hash != first.match_hash);
	// Somebody changed the flow: it is asked for again.
	learn_changed(flow);
	memset(worker->learn->recent, 0, sizeof(worker->learn->recent));
	assert_int_equal(send(1, 7, &other), 1);
	assert_true(other.match_hash == first.match_hash);
}

static void test_many(void **state)
{
	static struct flow *flows[10000];
	struct learn_request request;

	(void)state;
	for (unsigned int i = 0; i < 10000; i++) {
		assert_int_equal(send(1, i, &request), 1);
		flows[i] = make(&request);
	}
	memset(worker->learn->recent, 0, sizeof(worker->learn->recent));
	for (unsigned int i = 0; i < 10000; i++)
		assert_int_equal(send(1, i, &request), 0);
	for (unsigned int i = 0; i < 10000; i += 2) {
		table_remove(bridge.forwarding->tables[9], flows[i]);
		learn_removed(&bridge, flows[i]);
		flow_defer_free(flows[i]);
	}
	for (unsigned int i = 0; i < 10000; i++)
		assert_int_equal(send(1, i, &request), !(i % 2));
}

static void test_limit(void **state)
{
	struct learn_request request;
	struct learn_group *group;

	(void)state;
	assert_int_equal(send(1, 1, &request), 1);
	group = request.group;
	assert_int_equal(flow_counts(seen).packets, 1);
	make(&request);
	group->n_flows = 19999;
	assert_int_equal(send(1, 2, &request), 1);
	// The one under way takes the last place.
	assert_int_equal(send(1, 3, &request), 0);
	assert_int_equal(group->n_pending, 1);
	assert_int_equal(flow_counts(unseen).packets, 1);
	assert_int_equal(send(1, 1, &request), 0); // known ones are as before
	assert_int_equal(send(2, 1, &request), 1); // and may change
	assert_int_equal(flow_counts(seen).packets, 4);
	group->n_flows = 0;
}

static void test_full_ring(void **state)
{
	struct learn_request request;
	unsigned int n = 0;

	(void)state;
	assert_int_equal(send(1, 0, &request), 1);
	while (rte_ring_sp_enqueue_elem(worker->learn->ring, &request, sizeof(request)) == 0)
		n++;
	{
		struct ref_packet packet = { .size = 64, .bytes = { 2, 0, 0, 0, 0, 0, 2, 9 } };
		struct rte_mbuf *mbuf = test_packet_create(&packet);

		hot->forward(worker, bridge.forwarding, &ports[1], &mbuf, 1);
	}
	assert_int_equal(worker->learn->n_lost, 1);
	assert_int_equal(request.group->n_pending, 1); // the lost one is given back
	assert_int_equal(rte_ring_count(worker->learn->ring), n);
	rte_ring_reset(worker->learn->ring);
}

static void test_gone(void **state)
{
	struct learn_request request;

	(void)state;
	assert_int_equal(send(1, 1, &request), 1);
	make(&request);
	assert_false(bridge.learn->has_orphans);
	table_remove(bridge.forwarding->tables[0], learning);
	learn_detach(learning->program);
	assert_null(learn_rule_of(&request));
	assert_true(bridge.learn->has_orphans);
	assert_true(request.group->delete_now);
	flow_defer_free(learning);
	// Its slot is used again, for another rule.
	learning = install("table=0,actions=learn(table=9,NXM_OF_ETH_SRC[])");
	assert_null(learn_rule_of(&request));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_known, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_ring, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gone, set_up, tear_down),
	};
	int result;

	test_eal_init(1024);
	hot_select(NULL, NULL);
	result = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return result;
}
