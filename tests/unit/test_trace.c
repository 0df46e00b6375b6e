// Trace: what it tells is what the reference does, for random rules; its tree and text for known
// ones; flows that nearly match; captures, sound and damaged.
//
// TEST_SEED repeats a run; TEST_SCALE=10 runs ten times as long.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/text.h"
#include "ctl/render.h"
#include "flowtable/table_nearest.h"
#include "ofproto/trace_capture.h"
#include "ofproto/trace_packet.h"
#include "tests/unit/eal.h"
#include "tests/unit/rig.h"
#include "tests/unit/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct rig *rig;

static int set_up(void **state)
{
	(void)state;
	rig = rig_create();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_destroy(rig);
	return 0;
}

// --- Against the reference ---

static void make_rules(struct random *random, const struct rule_options *options)
{
	static char texts[RULE_GROUPS][RULE_SIZE];
	const char *groups[RULE_GROUPS];
	struct error error = { 0 };
	char rule[RULE_SIZE];

	rig_clear(rig);
	for (unsigned int i = 0; i < RULE_GROUPS; i++) {
		rule_make_group(random, options, i + 1, texts[i]);
		groups[i] = texts[i];
	}
	if (rig_set_groups(rig, groups, RULE_GROUPS, &error))
		fail_msg("column %d: %s", error.column, error.message);
	// What the parser refuses is missing.
	for (unsigned int n = 1 + random_below(random, 60); n; n--) {
		rule_make(random, options, rule);
		rig_add_flow(rig, rule, &error);
	}
}

static void trace_tells_what_the_reference_does(void **state)
{
	static const uint32_t in_ports[] = { 1, 2, 3, 5, 6, OFPP_LOCAL };
	const uint64_t seed = random_seed();
	struct random random = { seed };
	const unsigned int n = random_iterations(20000);
	struct rule_options options = { 0 };
	struct ref_packet packet;
	struct rig_stats stats;

	(void)state;
	while (rig_stats(rig).n_packets < n) {
		options.loops = random_chance(&random, 5);
		make_rules(&random, &options);
		for (unsigned int i = 0; i < 50; i++) {
			const uint32_t in_port = in_ports[random_below(&random, 6)];
			const char *problem;

			packet_random(&random, &packet);
			problem = rig_compare_trace(rig, in_port, &packet);
			if (problem)
				fail_msg("TEST_SEED=0x%llx, from port %u\n%s\n%s",
					 (unsigned long long)seed, in_port, problem,
					 rig_flows(rig));
		}
	}
	stats = rig_stats(rig);
	printf("%llu packets, %llu outputs, %llu lookups, %llu steps, %llu not compared\n",
	       (unsigned long long)stats.n_packets, (unsigned long long)stats.n_outputs,
	       (unsigned long long)stats.n_lookups, (unsigned long long)stats.n_steps,
	       (unsigned long long)stats.n_skipped);
	assert_true(stats.n_skipped < stats.n_packets / 10);
	if (n >= 10000) {
		assert_true(stats.n_outputs > stats.n_packets / 2);
		assert_true(stats.n_steps > stats.n_packets * 4);
	}
}

// --- Known rules, as text and as JSON ---

static void add_flows(const char *const *flows)
{
	struct error error = { 0 };

	rig_clear(rig);
	for (; *flows; flows++)
		if (rig_add_flow(rig, *flows, &error) < 0)
			fail_msg("%s: %s", *flows, error.message);
}

static json_t *trace_flow(const char *flow)
{
	struct error error = { 0 };
	struct flow_text text;
	struct rte_mbuf *packet;

	if (flow_text_parse(flow, FLOW_TEXT_MATCH, NULL, &text, &error))
		fail_msg("%s: %s", flow, error.message);
	packet = trace_packet_compose(&text.match, NULL, &error);
	if (!packet)
		fail_msg("%s: %s", flow, error.message);
	flow_text_release(&text);
	return rig_trace(rig, 1, packet);
}

// The rendered steps, without the bytes and the end.
static void check_text(const char *const *flows, const char *flow, const char *expected)
{
	struct text text = { 0 };
	json_t *traced;
	char *start, *end;

	add_flows(flows);
	traced = trace_flow(flow);
	render_trace(NULL, traced, &text);
	start = strstr(text.data, "    table 0");
	assert_non_null(start);
	end = strstr(start, "\n\n");
	assert_non_null(end);
	end[1] = '\0';
	assert_string_equal(start, expected);
	text_free(&text);
	json_decref(traced);
}

static void steps_as_text(void **state)
{
	(void)state;
	check_text((const char *[]){ "priority=200,cookie=0x7,ip,nw_dst=10.1.0.0/16,actions=drop",
				     "priority=150,udp,tp_dst=53,actions=drop",
				     "priority=100,ip,actions=dec_ttl,output:2", NULL },
		   "tcp,nw_dst=10.0.0.1,tp_dst=53",
		   "    table 0: priority=100 ip\n"
		   "            priority=200 cookie=0x7 ip,nw_dst=10.1.0.0/16 did not match: "
		   "nw_dst is 10.0.0.1, flow wants 10.1.0.0/16\n"
		   "            priority=150 udp,tp_dst=53 did not match: nw_proto is 6, flow "
		   "wants 17\n"
		   "        dec_ttl\n"
		   "            nw_ttl: 64 -> 63\n"
		   "        output:2\n"
		   "            -> port p1 (2), 118 bytes\n");
	check_text((const char *[]){ "actions=set_field:5->reg1,push:NXM_NX_REG1[],"
				     "pop:NXM_NX_REG2[0..3],pop:NXM_NX_REG2[]",
				     NULL },
		   "eth",
		   "    table 0: priority=32768 (every packet)\n"
		   "        set_field:0x5->reg1\n"
		   "            reg1: 0 -> 0x5\n"
		   "        push:NXM_NX_REG1[]\n"
		   "            stack, top first: 0x5\n"
		   "        pop:NXM_NX_REG2[0..3]\n"
		   "            reg2: 0 -> 0x5\n"
		   "            the stack is empty\n"
		   "        pop:NXM_NX_REG2[]\n"
		   "            dropped: stack: push on a full stack, or pop from an empty one\n"
		   "            the stack is empty\n");
	check_text(
		(const char *[]){ "actions=push_vlan:0x8100,set_field:4101->vlan_vid,"
				  "clone(mod_vlan_pcp:3,output:2),strip_vlan,resubmit(,1),"
				  "output(port=3,max_len=20)",
				  "table=1,actions=write_actions(output:4),goto_table:2",
				  "table=2,priority=5,in_port=2,actions=drop", NULL },
		"eth",
		"    table 0: priority=32768 (every packet)\n"
		"        push_vlan:0x8100\n"
		"            vlan_tci: 0x0000 -> 0x1000\n"
		"        set_field:4101->vlan_vid\n"
		"            dl_vlan: 0 -> 5\n"
		"        clone(mod_vlan_pcp:3,output:2)\n"
		"            mod_vlan_pcp:3\n"
		"                dl_vlan_pcp: 0 -> 3\n"
		"            output:2\n"
		"                -> port p1 (2), 82 bytes\n"
		"        strip_vlan\n"
		"            vlan_tci: 0x1005 -> 0x0000\n"
		"        resubmit(,1)\n"
		"            actset_output: UNSET -> 4\n"
		"            table 1: priority=32768 (every packet)\n"
		"                write_actions(output:4)\n"
		"                    actset_output: UNSET -> 4\n"
		"                goto_table:2\n"
		"            table 2: no match\n"
		"                    priority=5 in_port=2 did not match: in_port is 1, flow "
		"wants 2\n"
		"        output(port=3,max_len=20)\n"
		"            cut to 20 of 78 bytes\n"
		"            -> port p2 (3), 20 bytes\n"
		"    action set\n"
		"        output:4\n"
		"            dropped: port-down: output to a port that is administratively down\n");
}

static const json_t *step(const json_t *object, size_t i)
{
	return json_array_get(json_object_get(object, "steps"), i);
}

// What of `object` has the keys of `wanted`, which is JSON too, must be equal.
static void check_json(const json_t *object, const char *wanted)
{
	json_t *want = json_loads(wanted, 0, NULL), *value;
	const char *key;

	assert_non_null(want);
	json_object_foreach (want, key, value)
		if (!json_equal(json_object_get(object, key), value))
			fail_msg("%s is %s, not as in %s", key,
				 json_dumps(json_object_get(object, key), JSON_ENCODE_ANY), wanted);
	json_decref(want);
}

static void groups_as_json(void **state)
{
	static const char *const flows[] = { "actions=group:1,group:2", NULL };
	static const char *const groups[] = {
		"group_id=1,type=select,bucket=bucket_id:7,weight:3,output:2,"
		"bucket=bucket_id:8,weight:0,output:3",
		"group_id=2,type=ff,bucket=watch_port:4,output:4,bucket=watch_port:3,output:3",
	};
	struct error error = { 0 };
	const json_t *table, *group;
	json_t *traced;

	(void)state;
	add_flows(flows);
	assert_int_equal(rig_set_groups(rig, groups, 2, &error), 0);
	traced = trace_flow("udp,nw_src=1.2.3.4");
	check_json(traced, "{\"budget\": {\"used\": 3, \"limit\": 4096}, \"drops\": []}");
	table = step(step(traced, 0), 0);
	check_json(table, "{\"type\": \"table\", \"table\": 0, \"depth\": 0, \"priority\": 32768, "
			  "\"cookie\": \"0x0\", \"actions\": \"group:1,group:2\"}");
	group = step(step(table, 0), 0);
	check_json(group, "{\"type\": \"group\", \"group\": 1, \"group_type\": \"select\", "
			  "\"slots\": 8192, \"owner\": 7, \"chosen\": 7, \"buckets\": ["
			  "{\"bucket\": 7, \"weight\": 3, \"live\": true}, "
			  "{\"bucket\": 8, \"weight\": 0, \"live\": true}]}");
	check_json(step(step(table, 0), 1), "{\"type\": \"bucket\", \"bucket\": 7}");
	check_json(step(step(table, 1), 0),
		   "{\"type\": \"group\", \"group\": 2, \"group_type\": \"fast_failover\", "
		   "\"chosen\": 1, \"buckets\": [{\"bucket\": 0, \"live\": false}, "
		   "{\"bucket\": 1, \"live\": true}]}");
	json_decref(traced);
	rig_set_groups(rig, NULL, 0, &error);
}

static void repeated_outputs_are_folded(void **state)
{
	static const char *const flows[] = { "actions=resubmit(,1),resubmit(,1),output:3",
					     "table=1,actions=2,2,2,2,2,2,2,2,2,2,9,9", NULL };
	json_t *traced;

	(void)state;
	add_flows(flows);
	traced = trace_flow("eth");
	assert_int_equal(json_array_size(json_object_get(traced, "outputs")), 2);
	check_json(json_array_get(json_object_get(traced, "outputs"), 0),
		   "{\"port\": \"p1\", \"ofport\": 2, \"count\": 20, \"length\": 78}");
	check_json(json_array_get(json_object_get(traced, "drops"), 0),
		   "{\"reason\": \"no-port\", \"count\": 4, \"port\": \"p0\"}");
	json_decref(traced);
}

// An endless rule set makes a tree that ends, and says that it does.
static void steps_are_bounded(void **state)
{
	static const char *const flows[] = {
		"actions=resubmit(,1),resubmit(,1),resubmit(,1),resubmit(,1)",
		"table=1,actions=resubmit(,2),resubmit(,2),resubmit(,2),resubmit(,2),resubmit(,2),"
		"resubmit(,2),resubmit(,2),resubmit(,2),resubmit(,2),resubmit(,2),resubmit(,2)",
		"table=2,actions=resubmit(,3),resubmit(,3),resubmit(,3),resubmit(,3),resubmit(,3),"
		"resubmit(,3),resubmit(,3),resubmit(,3),resubmit(,3),resubmit(,3),resubmit(,3)",
		"table=3,actions=resubmit(,4),resubmit(,4),resubmit(,4),resubmit(,4),resubmit(,4),"
		"resubmit(,4),resubmit(,4),resubmit(,4),resubmit(,4),resubmit(,4),resubmit(,4)",
		"table=4,actions=2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2",
		NULL
	};
	static const char *const deep[] = { "actions=clone(clone(resubmit(,0))),output:2", NULL };
	json_t *traced;

	(void)state;
	add_flows(flows);
	traced = trace_flow("eth");
	assert_true(json_is_true(json_object_get(traced, "truncated")));
	check_json(json_array_get(json_object_get(traced, "drops"), 0),
		   "{\"reason\": \"work-budget\"}");
	json_decref(traced);
	add_flows(deep);
	traced = trace_flow("eth");
	check_json(json_array_get(json_object_get(traced, "drops"), 0),
		   "{\"reason\": \"resubmit-depth\"}");
	json_decref(traced);
}

// --- Packets from flows ---

static void composed_packets_are_what_was_said(void **state)
{
	static const char *const good[] = {
		"tcp,nw_src=1.2.3.4,nw_dst=5.6.7.8,tp_src=1,tp_dst=2,tcp_flags=+syn,nw_ttl=3",
		"ip,nw_tos=16,nw_ecn=1",
		"udp6,ipv6_src=fe80::1,ipv6_dst=ff02::1,tp_dst=53,ipv6_label=5",
		"icmp6,icmp_type=135,nd_target=fe80::1,nd_sll=00:00:00:00:00:09",
		"arp,arp_op=2,arp_spa=1.1.1.1,arp_tpa=2.2.2.2,arp_sha=00:00:00:00:00:01",
		"mpls,mpls_label=5,mpls_tc=3,mpls_ttl=9,mpls_bos=1",
		"dl_vlan=5,dl_vlan_pcp=3,ip,nw_frag=first",
		"sctp,tp_dst=5,reg3=7,metadata=9,tun_id=5,pkt_mark=3",
		"dl_type=0x1234,dl_src=00:00:00:00:00:01",
	};
	struct error error = { 0 };
	struct flow_text text;
	struct rte_mbuf *packet;

	(void)state;
	for (unsigned int i = 0; i < sizeof(good) / sizeof(*good); i++) {
		if (flow_text_parse(good[i], FLOW_TEXT_MATCH, NULL, &text, &error))
			fail_msg("%s: %s", good[i], error.message);
		packet = trace_packet_compose(&text.match, NULL, &error);
		if (!packet)
			fail_msg("%s: %s", good[i], error.message);
		rte_pktmbuf_free(packet);
		flow_text_release(&text);
	}
}

static void other_packets_are_refused(void **state)
{
	static const struct {
		const char *flow;
		const char *message;
	} bad[] = {
		{ "dl_type=0x894f,nsh_spi=3", "nsh_spi=0x3 cannot be composed" },
		{ "icmp6,icmp_type=135,icmp_code=0,nd_tll=00:00:00:00:00:09", "nd_tll" },
	};
	static uint8_t bytes[70000];
	struct error error = { 0 };
	struct flow_text text;
	struct rte_mbuf *packet;

	(void)state;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (flow_text_parse(bad[i].flow, FLOW_TEXT_MATCH, NULL, &text, &error)) {
			assert_non_null(strstr(error.message, "nd_tll"));
			continue;
		}
		assert_null(trace_packet_compose(&text.match, NULL, &error));
		assert_non_null(strstr(error.message, bad[i].message));
		flow_text_release(&text);
	}
	assert_null(trace_packet_from(bytes, 0, &error));
	assert_null(trace_packet_from(bytes, 13, &error));
	assert_null(trace_packet_from(bytes, 70000, &error));
	assert_non_null(strstr(error.message, "14 to 65535"));
	packet = trace_packet_from(bytes, 65535, &error);
	assert_non_null(packet);
	assert_int_equal(rte_pktmbuf_pkt_len(packet), 65535);
	rte_mbuf_sanity_check(packet, 1);
	rte_pktmbuf_free(packet);
}

// --- Flows that nearly match ---

static struct table *make_table(unsigned int n, struct random *random)
{
	struct table *table = table_create(0);
	struct error error = { 0 };

	for (unsigned int i = 0; i < n; i++) {
		const bool whole = random_chance(random, 50);
		struct flow_text text;
		char flow[256];

		snprintf(flow, sizeof(flow), "priority=%u,%s%s,%s=10.0.%u.%u%s,actions=drop",
			 1 + random_below(random, 9), random_chance(random, 50) ? "in_port=1," : "",
			 random_chance(random, 30)   ? "tcp,tp_dst=80"
			 : random_chance(random, 30) ? "udp,tp_dst=80"
						     : "ip",
			 random_chance(random, 50) ? "nw_src" : "nw_dst", random_below(random, 3),
			 whole ? random_below(random, 250) : 0, whole ? "" : "/24");
		if (flow_text_parse(flow, FLOW_TEXT_ADD, NULL, &text, &error))
			fail_msg("%s: %s", flow, error.message);
		if (!table_find(table, &text.match, text.priority))
			assert_int_equal(table_insert(table, flow_create(&text)), 0);
		flow_text_release(&text);
	}
	return table;
}

// Fewest fields first, then the highest rank; each names a field that does differ.
static void nearest_flows_are_the_nearest(void **state)
{
	struct random random = { random_seed() };
	struct table *table = make_table(2000, &random);
	struct table_nearest nearest;
	struct key key = { 0 };
	uint32_t budget = 1000000, n_higher = 0, n_exact = 0;

	(void)state;
	key.core.eth_type = RTE_BE16(0x0800);
	key.core.ip_proto = 6;
	key.core.in_port = RTE_BE32(1);
	key.core.tp_dst = RTE_BE16(80);
	key.core.ip_src = RTE_BE32(0x0a000105);
	key.core.ip_dst = RTE_BE32(0x0a000205);
	table_nearest(table, &key, 5, &budget, &nearest);
	for (const struct flow *flow = table_first(table); flow; flow = table_next(table, flow)) {
		struct match match;

		match_unpack(flow->mask, flow->values, &match);
		n_higher += flow->priority > 5 && !match_covers(&match, &key);
		n_exact += flow->priority > 5 && match_covers(&match, &key);
	}
	printf("%u flows differ, %u match\n", n_higher, n_exact);
	assert_true(nearest.complete);
	assert_int_equal(nearest.n_higher, n_higher);
	assert_int_equal(nearest.n, TABLE_NEAREST_MAX);
	for (unsigned int i = 0; i < nearest.n; i++) {
		const struct table_near *near = &nearest.near[i];
		struct field_value mask, want, has;
		bool differs = false;
		struct match match;
		struct key changed;

		assert_int_equal(near->n_fields, 1);
		assert_true(near->flow->priority > 5);
		assert_true(!i || near->flow->rank < near[-1].flow->rank);
		match_unpack(near->flow->mask, near->flow->values, &match);
		field_get(near->field, &match.mask, &mask);
		field_get(near->field, &match.value, &want);
		field_get(near->field, &key, &has);
		for (unsigned int b = 0; b < FIELD_VALUE_SIZE; b++) {
			assert_int_equal(want.bytes[b] & ~mask.bytes[b], 0);
			differs |= ((has.bytes[b] ^ want.bytes[b]) & mask.bytes[b]) != 0;
			want.bytes[b] |= has.bytes[b] & ~mask.bytes[b];
		}
		assert_true(differs);
		// With that field as the flow wants it, it matches.
		changed = key;
		field_set(near->field, &want, &changed);
		assert_true(match_covers(&match, &changed));
	}
	budget = 100;
	table_nearest(table, &key, -1, &budget, &nearest);
	assert_false(nearest.complete);
	assert_true(budget < 100 && nearest.n_higher <= 100);
	table_destroy(table);
}

// --- Captures ---

static void put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, 4);
}

// A pcap file of `n` packets of 60 bytes; returns its size.
static size_t make_capture(uint8_t *file, unsigned int n, uint32_t link_type)
{
	size_t size = 24;

	memset(file, 0, 24);
	put32(file, 0xa1b2c3d4);
	file[4] = 2;
	file[6] = 4;
	put32(file + 16, 65535);
	put32(file + 20, link_type);
	for (unsigned int i = 0; i < n; i++, size += 76) {
		memset(file + size, 0, 76);
		put32(file + size + 8, 60);
		put32(file + size + 12, 100);
		file[size + 16] = (uint8_t)(i + 1);
	}
	return size;
}

struct seen {
	unsigned int n;
	uint64_t last;
	uint64_t sum; // so that every byte is read
};

static int see(void *context, const struct trace_captured *captured, struct error *error)
{
	struct seen *seen = context;

	(void)error;
	seen->n++;
	seen->last = captured->number;
	for (uint32_t i = 0; i < captured->size; i++)
		seen->sum += captured->bytes[i];
	return 0;
}

static void captures_are_read(void **state)
{
	static uint8_t file[24 + 76 * 20];
	const size_t size = make_capture(file, 20, 1);
	struct trace_capture_end end;
	struct error error = { 0 };
	struct seen seen = { 0 };

	(void)state;
	assert_int_equal(trace_capture_read(file, size, 0, see, &seen, &end, &error), 0);
	assert_int_equal(seen.n, 20);
	assert_int_equal(seen.sum, 210);
	assert_null(end.stopped);
	seen = (struct seen){ 0 };
	assert_int_equal(trace_capture_read(file, size, 7, see, &seen, &end, &error), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.last, 7);
	assert_int_equal(seen.sum, 7);
	assert_int_equal(trace_capture_read(file, size, 21, see, &seen, &end, &error), -ENOENT);
	assert_non_null(strstr(error.message, "has 20"));
	// It breaks off within the last packet.
	seen = (struct seen){ 0 };
	assert_int_equal(trace_capture_read(file, size - 5, 0, see, &seen, &end, &error), 0);
	assert_int_equal(seen.n, 19);
	assert_non_null(strstr(end.stopped, "breaks off"));
	assert_int_equal(trace_capture_read(file, size - 5, 20, see, &seen, &end, &error), -EINVAL);
	assert_int_equal(trace_capture_read(file, 24, 0, see, &seen, &end, &error), -EINVAL);
	assert_non_null(strstr(error.message, "no packets"));
	assert_int_equal(trace_capture_read(file, 10, 0, see, &seen, &end, &error), -EINVAL);
	assert_int_equal(trace_capture_read(file, 0, 0, see, &seen, &end, &error), -EINVAL);
	make_capture(file, 1, 105); // IEEE 802.11
	assert_int_equal(trace_capture_read(file, 100, 0, see, &seen, &end, &error), -EINVAL);
	assert_non_null(strstr(error.message, "802.11"));
	memset(file, 'x', sizeof(file));
	assert_int_equal(trace_capture_read(file, 100, 0, see, &seen, &end, &error), -EINVAL);
	assert_non_null(strstr(error.message, "no pcap or pcapng"));
}

// Whatever the bytes, it ends with a sentence or with packets.
static void damaged_captures_end(void **state)
{
	static uint8_t file[24 + 76 * 5];
	struct random random = { random_seed() };
	struct trace_capture_end end;
	struct seen seen = { 0 };

	(void)state;
	for (unsigned int i = 0; i < random_iterations(20000); i++) {
		size_t size = make_capture(file, 5, 1);
		struct error error = { 0 };
		uint8_t *copy;
		int status;

		if (random_chance(&random, 20)) // pcapng
			put32(file, 0x0a0d0d0a), put32(file + 8, 0x1a2b3c4d);
		for (unsigned int n = random_below(&random, 6); n; n--)
			file[random_below(&random, (unsigned int)size)] =
				(uint8_t)random_next(&random);
		size -= random_chance(&random, 30) ? random_below(&random, 100) : 0;
		copy = malloc(size); // so that a sanitizer knows where it ends
		memcpy(copy, file, size);
		status = trace_capture_read(copy, size, 0, see, &seen, &end, &error);
		assert_true(!status == !error.code);
		free(copy);
	}
	assert_true(seen.n > 1000 || random_iterations(20000) < 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(trace_tells_what_the_reference_does, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(steps_as_text, set_up, tear_down),
		cmocka_unit_test_setup_teardown(groups_as_json, set_up, tear_down),
		cmocka_unit_test_setup_teardown(repeated_outputs_are_folded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(steps_are_bounded, set_up, tear_down),
		cmocka_unit_test(composed_packets_are_what_was_said),
		cmocka_unit_test(other_packets_are_refused),
		cmocka_unit_test(nearest_flows_are_the_nearest),
		cmocka_unit_test(captures_are_read),
		cmocka_unit_test(damaged_captures_end),
	};
	int failed;

	test_eal_init(8191);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
