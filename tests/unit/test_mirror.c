// What mirrors get, through the datapath: equal to what was received or sent, frame by frame.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <rte_mempool.h>

#include "common/error.h"
#include "common/rcu.h"
#include "datapath/hot.h"
#include "datapath/learn.h"
#include "datapath/mirror.h"
#include "datapath/stack.h"
#include "flowtable/flow_text.h"
#include "tests/unit/eal.h"
#include "tests/unit/packets.h"

#define N_PORTS 4 // the last is the mirror's
#define MIRROR (N_PORTS - 1)
#define BURST 16
#define MAX_FRAMES (4 * BURST)

struct frames {
	unsigned int n;
	struct ref_packet frame[MAX_FRAMES];
};

struct test_port {
	struct vport vport;
	struct forwarding_port port;
	bool full; // takes nothing
	struct frames sent;
};

static struct test_port ports[N_PORTS];
static struct forwarding *forwarding;
static struct port_map_chunk chunk;
static struct forwarding_flood *flood;
static struct worker *worker;
static struct mirror_table *table;
static struct mirror_port selected[2];
static struct frames wanted;

static uint16_t record_tx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets,
			  uint16_t n)
{
	struct test_port *port = (struct test_port *)vport;

	(void)queue;
	if (port->full)
		return 0;
	for (unsigned int i = 0; i < n; i++) {
		assert_true(port->sent.n < MAX_FRAMES);
		test_packet_read(packets[i], &port->sent.frame[port->sent.n++]);
		rte_pktmbuf_free(packets[i]);
	}
	return n;
}

static const struct vport_class recorder = { .type = "recorder",
					     .size = sizeof(struct test_port),
					     .tx = record_tx,
					     .tx_thread_safe = true };

static void *zeroed(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	assert_non_null(memory);
	return memset(memory, 0, size);
}

static void create_port(unsigned int i)
{
	struct test_port *port = &ports[i];

	port->vport.class = &recorder;
	port->vport.index = (uint16_t)(i + 1);
	port->vport.n_rxq = port->vport.n_txq = 1;
	port->vport.mtu = 9000;
	port->vport.polled = true;
	port->vport.ofport = i + 1;
	port->vport.status.link_up = true;
	port->port.vport = &port->vport;
	port->port.ofport = i + 1;
	port->port.admin_up = true;
	port->port.vlan_tag = -1;
	memset(port->port.trunks, 0xff, sizeof(port->port.trunks));
	if (i == MIRROR) {
		port->port.is_mirror = port->port.no_forward = port->port.no_flood = true;
		port->port.no_receive = port->port.no_receive_stp = true;
		port->vport.mirror_output = true;
	}
	chunk.ports[i + 1] = &port->port;
	flood->ports[flood->n++] = &port->port;
}

static void create_switch(void)
{
	worker = zeroed(sizeof(*worker));
	worker->counters = counter_set_create();
	worker->ports = calloc(VPORT_MAX, sizeof(*worker->ports));
	worker->tx = calloc(VPORT_MAX, sizeof(*worker->tx));
	worker->stacks = calloc(VECTOR_SIZE, sizeof(*worker->stacks));
	worker->learn = learn_queue_create();
	forwarding = zeroed(sizeof(*forwarding));
	forwarding->name = "test";
	forwarding->ports[0] = &chunk;
	forwarding->lines = KEY_LINES_HEADERS | ((1 << KEY_LINES) - 1);
	flood = calloc(1, sizeof(*flood) + N_PORTS * sizeof(*flood->ports));
	forwarding->flood = flood;
	for (unsigned int i = 0; i < N_PORTS; i++)
		create_port(i);
	forwarding->tables[0] = table_create(0);
	table = zeroed(sizeof(*table) + 2 * sizeof(*table->mirrors));
	table->ports = selected;
	table->mirrors[0].counter = counter_alloc();
	table->mirrors[1].counter = counter_alloc();
	forwarding->mirrors = table;
}

static struct flow *put_flow(const char *string)
{
	struct flow_text text;
	struct error error;
	struct flow *flow;

	if (flow_text_parse(string, FLOW_TEXT_ADD, NULL, &text, &error))
		fail_msg("%s: %s", string, error.message);
	flow = flow_create(&text);
	assert_int_equal(table_insert(forwarding->tables[0], flow), 0);
	flow_text_release(&text);
	return flow;
}

static void take_flow(struct flow *flow)
{
	table_remove(forwarding->tables[0], flow);
	flow_defer_free(flow);
	rcu_barrier();
}

// --- What is wanted, said plainly ---

static unsigned int vlan_of(const struct ref_packet *frame)
{
	const uint8_t *b = frame->bytes;
	const bool tagged = frame->size >= 18 &&
			    ((b[12] == 0x81 && b[13] == 0x00) || (b[12] == 0x88 && b[13] == 0xa8));

	return tagged ? (b[14] << 8 | b[15]) & 0xfff : 0;
}

static bool wants(const struct ref_packet *frame, const struct match *filter)
{
	const struct mirror *mirror = &table->mirrors[0];
	const unsigned int vlan = vlan_of(frame);
	struct rte_mbuf *mbuf;
	bool covers;
	struct key key;

	if (!mirror->any_vlan && !(mirror->vlans[vlan / 64] >> vlan % 64 & 1))
		return false;
	if (!filter)
		return true;
	mbuf = test_packet_create(frame);
	hot->parse_key(mbuf, 1, &key);
	rte_pktmbuf_free(mbuf);
	covers = match_covers(filter, &key);
	return covers;
}

static void want(const struct ref_packet *frame, const struct match *filter)
{
	struct ref_packet *at = &wanted.frame[wanted.n];

	if (!wants(frame, filter))
		return;
	*at = *frame;
	if (table->mirrors[0].snaplen && at->size > table->mirrors[0].snaplen)
		at->size = (uint16_t)table->mirrors[0].snaplen;
	wanted.n++;
}

static void set_filter(struct match *filter, const char *string)
{
	struct mirror *mirror = &table->mirrors[0];
	struct flow_text text;
	struct error error;

	assert_int_equal(flow_text_parse(string, FLOW_TEXT_DUMP, NULL, &text, &error), 0);
	*filter = text.match;
	flow_text_release(&text);
	mirror->n_words = 0;
	for (unsigned int i = 0; i < KEY_WORDS; i++)
		if (filter->mask.words[i])
			mirror->words[mirror->n_words++] =
				(struct mirror_word){ filter->mask.words[i], filter->value.words[i],
						      (uint16_t)(i / KEY_LINE_WORDS),
						      (uint16_t)(i % KEY_LINE_WORDS) };
}

static void reset(void)
{
	table->n = 1;
	table->all = table->n_ports = 0;
	table->mirrors[0].same = 1;
	table->mirrors[0].output_port = N_PORTS;
	table->mirrors[0].output_vlan = 0;
	table->mirrors[0].snaplen = 0;
	table->mirrors[0].n_words = 0;
	table->mirrors[0].any_vlan = true;
	memset(table->mirrors[0].vlans, 0, sizeof(table->mirrors[0].vlans));
	wanted.n = 0;
	worker->n_copies = 0;
	memset(worker->ports, 0, VPORT_MAX * sizeof(*worker->ports));
	for (unsigned int i = 0; i < N_PORTS; i++) {
		ports[i].sent.n = 0;
		ports[i].full = false;
	}
}

static int compare(const void *left, const void *right)
{
	const struct ref_packet *a = left, *b = right;
	const uint32_t size = a->size < b->size ? a->size : b->size;
	const int order = memcmp(a->bytes, b->bytes, size);

	return order ? order : (a->size > b->size) - (a->size < b->size);
}

// In any order: of the packets of a vector, those leave last that wait for what comes behind.
static bool same(struct frames *got, struct frames *want_these)
{
	qsort(got->frame, got->n, sizeof(*got->frame), compare);
	qsort(want_these->frame, want_these->n, sizeof(*want_these->frame), compare);
	if (got->n != want_these->n)
		return false;
	for (unsigned int i = 0; i < got->n; i++)
		if (got->frame[i].size != want_these->frame[i].size ||
		    memcmp(got->frame[i].bytes, want_these->frame[i].bytes, got->frame[i].size))
			return false;
	return true;
}

static void check_conservation(void)
{
	uint64_t in = worker->n_copies, out = 0;

	for (unsigned int i = 1; i <= N_PORTS; i++) {
		in += worker->ports[i].rx_packets;
		out += worker->ports[i].tx_packets;
		for (unsigned int reason = 0; reason < N_DROPS; reason++)
			out += worker->ports[i].rx_drops[reason] +
			       worker->ports[i].tx_drops[reason];
	}
	assert_int_equal(in, out);
	assert_int_equal(rte_mempool_in_use_count(packet_pool()), 0);
}

static const char *const flows[] = {
	"actions=2",
	"actions=2,3",
	"actions=set_field:02:00:00:00:00:77->eth_src,2,set_field:02:00:00:00:00:78->eth_src,3",
	"actions=3,push_vlan:0x8100,set_field:4196->vlan_vid,2",
	"actions=strip_vlan,output:2",
	"actions=clone(set_field:02:00:00:00:00:79->eth_dst,2),3",
	"actions=ALL",
	"actions=output(port=2,max_len=40)",
	"actions=drop",
	"actions=2,4,IN_PORT",
};

static void send_burst(struct random *random, unsigned int in_port, struct frames *received)
{
	struct rte_mbuf *burst[BURST];

	received->n = 0;
	for (unsigned int i = 0; i < BURST; i++) {
		struct ref_packet *frame = &received->frame[received->n++];

		packet_make(random, frame);
		burst[i] = test_packet_create(frame);
		assert_non_null(burst[i]);
	}
	hot->forward(worker, forwarding, &ports[in_port].port, burst, BURST);
}

static void choose(struct random *random, bool source, struct match *filter, bool *filtered)
{
	struct mirror *mirror = &table->mirrors[0];

	if (random_chance(random, 30))
		mirror->snaplen = 14 + random_below(random, 100);
	if (random_chance(random, 30)) {
		mirror->any_vlan = false;
		for (unsigned int i = 0; i < 4; i++)
			mirror->vlans[0] |= UINT64_C(1) << random_below(random, 8);
		mirror->vlans[100 / 64] |= UINT64_C(1) << 100 % 64;
	}
	*filtered = source && random_chance(random, 30);
	if (*filtered)
		set_filter(filter, random_chance(random, 50) ? "ip" : "tcp6");
}

static void copies_are_what_passed(void **state)
{
	static struct frames received;
	const char *const *levels = test_hot_levels();
	const unsigned int n = random_iterations(3000);
	struct random random = { random_seed() };
	uint64_t n_copied = 0, n_none = 0;
	unsigned int n_levels = 0;
	struct match filter;
	bool filtered;

	(void)state;
	while (levels[n_levels])
		n_levels++;
	for (unsigned int i = 0; i < n; i++) {
		const char *string = flows[random_below(&random, RTE_DIM(flows))];
		const bool source = random_chance(&random, 50);
		struct flow *flow = put_flow(string);
		const struct frames *passed;
		struct counter before, after;
		uint64_t bytes = 0;

		hot_select(levels[random_below(&random, n_levels)], NULL);
		reset();
		choose(&random, source, &filter, &filtered);
		if (source && random_chance(&random, 50)) {
			table->all = 1; // received comes before sent
		} else {
			table->n_ports = 1;
			selected[0] =
				(struct mirror_port){ source ? 1 : 2, source, (uint32_t)!source };
		}
		before = counter_read(table->mirrors[0].counter);
		send_burst(&random, 0, &received);
		passed = source ? &received : &ports[1].sent;
		for (unsigned int k = 0; k < passed->n; k++) {
			want(&passed->frame[k], filtered ? &filter : NULL);
			if (wants(&passed->frame[k], filtered ? &filter : NULL))
				bytes += passed->frame[k].size;
		}
		if (table->all) // what is not selected as received may be as sent: not looked at
			wanted.n = filtered || !table->mirrors[0].any_vlan ? ports[MIRROR].sent.n
									   : wanted.n;
		if (!(table->all && (filtered || !table->mirrors[0].any_vlan))) {
			if (!same(&ports[MIRROR].sent, &wanted))
				fail_msg("burst %u, %s: %u copies, %u wanted", i, string,
					 ports[MIRROR].sent.n, wanted.n);
			after = counter_read(table->mirrors[0].counter);
			assert_int_equal(after.packets - before.packets, wanted.n);
			assert_int_equal(after.bytes - before.bytes, bytes);
		}
		n_copied += wanted.n;
		n_none += !wanted.n;
		check_conservation();
		take_flow(flow);
	}
	print_message("%lu copies, %lu of %u bursts without\n", n_copied, n_none, n);
	assert_true(n_copied > n && n_none > 0);
}

// The naive side knows nothing of what flows do to keys before they are sent, so filters are for
// what arrives; what is sent is asked for by field here.
static void sent_packets_are_filtered_as_sent(void **state)
{
	static struct frames received;
	struct random random = { 7 };
	struct flow *flow = put_flow("actions=2,set_field:02:00:00:00:00:77->eth_src,3");
	struct match filter;

	(void)state;
	reset();
	table->n_ports = 1;
	selected[0] = (struct mirror_port){ 3, 0, 1 };
	set_filter(&filter, "dl_src=02:00:00:00:00:77");
	send_burst(&random, 0, &received);
	assert_int_equal(ports[2].sent.n, BURST);
	assert_true(same(&ports[MIRROR].sent, &ports[2].sent));
	check_conservation();
	take_flow(flow);
}

static void destinations_get_one_copy(void **state)
{
	static struct frames received;
	struct random random = { 3 };
	struct flow *flow = put_flow("actions=2,3");

	(void)state;
	reset();
	table->n = 2;
	table->mirrors[1] = table->mirrors[0];
	table->mirrors[0].same = table->mirrors[1].same = 3;
	table->all = 1;
	table->n_ports = 1;
	selected[0] = (struct mirror_port){ 2, 0, 2 };
	send_burst(&random, 0, &received);
	assert_true(same(&ports[MIRROR].sent, &received));
	assert_int_equal(ports[1].sent.n, BURST);
	check_conservation();
	take_flow(flow);
}

static void a_slow_mirror_loses_copies_alone(void **state)
{
	static struct frames received;
	struct random random = { 4 };
	struct flow *flow = put_flow("actions=2");

	(void)state;
	reset();
	table->all = 1;
	ports[MIRROR].full = true;
	send_burst(&random, 0, &received);
	assert_true(same(&ports[1].sent, &received));
	assert_int_equal(worker->ports[N_PORTS].tx_drops[DROP_MIRROR_FULL], BURST);
	check_conservation();
	// And the port gives nothing to the bridge.
	reset();
	table->all = 1;
	send_burst(&random, MIRROR, &received);
	assert_int_equal(worker->ports[N_PORTS].rx_drops[DROP_RX_MIRROR_PORT], BURST);
	assert_int_equal(ports[1].sent.n + ports[MIRROR].sent.n, 0);
	check_conservation();
	take_flow(flow);
}

static void make_tagged(struct ref_packet *frame, unsigned int vlan)
{
	memset(frame, 0, sizeof(*frame));
	frame->size = 64;
	memcpy(frame->bytes, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x81\0", 14);
	frame->bytes[14] = (uint8_t)(0x60 | vlan >> 8);
	frame->bytes[15] = (uint8_t)vlan;
	frame->bytes[16] = 0x88;
	frame->bytes[17] = 0xb5;
}

static void send_one(const struct ref_packet *frame)
{
	struct rte_mbuf *mbuf = test_packet_create(frame);

	hot->forward(worker, forwarding, &ports[0].port, &mbuf, 1);
}

static void a_vlan_gets_copies(void **state)
{
	struct flow *flow = put_flow("actions=2");
	struct ref_packet frame;

	(void)state;
	reset();
	table->all = 1;
	table->mirrors[0].output_port = OFPP_ANY;
	table->mirrors[0].output_vlan = 100;
	ports[2].port.vlan_mode = VLAN_ACCESS;
	ports[2].port.vlan_tag = ports[2].port.untagged_vlan = 100;
	make_tagged(&frame, 5);
	send_one(&frame);
	// Trunks 1 and 2 with the other tag and the same priority, access port 3 without.
	assert_int_equal(ports[0].sent.n, 1);
	assert_int_equal(ports[1].sent.n, 2);
	assert_int_equal(vlan_of(&ports[0].sent.frame[0]), 100);
	assert_int_equal(ports[0].sent.frame[0].bytes[14] & 0xe0, 0x60);
	assert_int_equal(ports[2].sent.n, 1);
	assert_int_equal(ports[2].sent.frame[0].size, 60);
	assert_int_equal(ports[MIRROR].sent.n, 0);
	check_conservation();
	// What is in the VLAN already, and protocols of switches, are not copied.
	reset();
	table->all = 1;
	table->mirrors[0].output_port = OFPP_ANY;
	table->mirrors[0].output_vlan = 100;
	make_tagged(&frame, 100);
	send_one(&frame);
	make_tagged(&frame, 5);
	memcpy(frame.bytes, "\x01\x80\xc2\0\0\x0e", 6);
	send_one(&frame);
	memcpy(frame.bytes, "\x01\0\x0c\xcc\xcc\xcd", 6);
	send_one(&frame);
	assert_int_equal(ports[1].sent.n, 3);
	assert_int_equal(ports[0].sent.n + ports[2].sent.n, 0);
	check_conservation();
	ports[2].port.vlan_mode = VLAN_TRUNK;
	ports[2].port.vlan_tag = -1;
	ports[2].port.untagged_vlan = 0;
	take_flow(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_are_what_passed),
		cmocka_unit_test(sent_packets_are_filtered_as_sent),
		cmocka_unit_test(destinations_get_one_copy),
		cmocka_unit_test(a_slow_mirror_loses_copies_alone),
		cmocka_unit_test(a_vlan_gets_copies),
	};
	int failed;

	test_eal_init(4096);
	hot_select(NULL, NULL);
	create_switch();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
