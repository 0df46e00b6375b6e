// What ovs-actions(7) says of single actions, each in a few flows: what leaves and what is dropped.
// The rig compares every byte with the reference besides.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/error.h"
#include "tests/unit/eal.h"
#include "tests/unit/rig.h"

#include <string.h>

#define MAX_FLOWS 4
#define NO_DROP N_DROPS
#define WRITES_4 "mod_vlan_vid:5,mod_vlan_pcp:1,mod_vlan_vid:6,mod_vlan_pcp:2,"
#define WRITES_16 WRITES_4 WRITES_4 WRITES_4 WRITES_4
#define WRITES_64 WRITES_16 WRITES_16 WRITES_16 WRITES_16

struct scenario {
	const char *flows[MAX_FLOWS]; // and groups, behind them
	unsigned int n_outputs;
	enum drop_reason drop;
	uint8_t ttl; // of the packet: an IPv4 UDP datagram without a checksum, from port 1
};

static const struct scenario scenarios[] = {
	// Clones: what they change, they change for themselves.
	{ { "actions=clone(set_field:7->reg0,mod_dl_src:02:00:00:00:00:09,output:2),resubmit(,1)",
	    "table=1,reg0=0,actions=output:3" },
	  2,
	  NO_DROP,
	  64 },
	{ { "actions=clone(push_vlan:0x8100,output:2),resubmit(,1)",
	    "table=1,vlan_tci=0,actions=output:3,output:2" },
	  3,
	  NO_DROP,
	  64 },
	{ { "actions=clone(output:2,exit,output:3),output:3" }, 1, NO_DROP, 64 },
	{ { "actions=clone(resubmit(,1)),output:3", "table=1,actions=write_actions(output:2)" },
	  2,
	  NO_DROP,
	  64 },
	{ { "actions=write_actions(output:2),goto_table:1", "table=1,actions=clone(output:3)" },
	  3,
	  NO_DROP,
	  64 },
	{ { "actions=clone(),clone(drop)" }, 0, DROP_ACTION, 64 },
	// The stack.
	{ { "actions=push:in_port,load:0->in_port,1,2,pop:in_port,in_port" }, 3, NO_DROP, 64 },
	{ { "actions=set_field:5->reg0,push:reg0,resubmit(,1),resubmit(,2)",
	    "table=1,actions=pop:reg1,push:reg1[0..1],pop:reg2[3..10]",
	    "table=2,reg1=5,reg2=8,actions=output:2" },
	  1,
	  NO_DROP,
	  64 },
	{ { "actions=set_field:5->reg0,push:reg0,clone(pop:reg1,push:reg1,push:reg1,pop:reg1,"
	    "pop:reg1),pop:reg2,resubmit(,1)",
	    "table=1,reg1=0,reg2=5,actions=output:2" },
	  1,
	  NO_DROP,
	  64 },
	{ { "actions=output:2,pop:reg0,output:3" }, 1, DROP_STACK, 64 },
	{ { "actions=output:2,push:reg0,resubmit(,0)" }, 4096, DROP_BUDGET, 64 },
	{ { "actions=output:2,push:reg0,push:reg0,resubmit(,0)" }, 2049, DROP_STACK, 64 },
	{ { "actions=push:reg0,clone(resubmit(,1))", "table=1,actions=pop:reg0,pop:reg0" },
	  0,
	  DROP_STACK,
	  64 },
	// The end of a TTL ends the actions under way, and no others.
	{ { "ip,actions=resubmit(,1),output:3", "table=1,ip,actions=output:2,dec_ttl,output:2" },
	  2,
	  DROP_TTL,
	  1 },
	{ { "ip,actions=clone(dec_ttl,output:2),output:3" }, 1, DROP_TTL, 1 },
	{ { "ip,actions=dec_ttl,output:2,write_actions(output:3)" }, 0, DROP_TTL, 1 },
	{ { "ip,actions=write_actions(output:3),goto_table:1",
	    "table=1,ip,actions=dec_ttl,output:2" },
	  1,
	  DROP_TTL,
	  1 },
	{ { "ip,actions=write_actions(dec_ttl,output:3)" }, 0, DROP_TTL, 1 },
	{ { "ip,actions=dec_ttl(1,2),output:2" }, 1, NO_DROP, 2 },
	// exit ends everything but the action set.
	{ { "actions=write_actions(output:3),goto_table:1", "table=1,actions=resubmit(,2),output:2",
	    "table=2,actions=output:2,exit,output:2" },
	  2,
	  NO_DROP,
	  64 },
	{ { "actions=resubmit(,1),output:2", "table=1,actions=exit" }, 0, DROP_ACTION, 64 },
	// The action set: writes add up, the output goes before the resubmit.
	{ { "actions=write_actions(set_field:1/1->reg0,output:3),goto_table:1",
	    "table=1,actions=write_actions(resubmit(,2),set_field:2/2->reg0),goto_table:3",
	    "table=2,reg0=3,actions=output:2", "table=3,actions=drop" },
	  1,
	  NO_DROP,
	  64 },
	{ { "actions=write_actions(set_field:1/1->reg0),goto_table:1",
	    "table=1,actions=write_actions(resubmit(,2),set_field:2/2->reg0)",
	    "table=2,reg0=3,actions=output:2,output:3" },
	  2,
	  NO_DROP,
	  64 },
	{ { "actions=write_actions(" WRITES_64 "mod_vlan_vid:5,output:2)" },
	  0,
	  DROP_ACTION_SET,
	  64 },
	// A resubmit's port is for its lookup alone.
	{ { "in_port=1,actions=resubmit(3,1),output:1",
	    "table=1,in_port=3,actions=output:3,resubmit(,2)",
	    "table=2,in_port=1,actions=output:2" },
	  2,
	  DROP_IN_PORT,
	  64 },
	// MPLS: three labels, and what is under them comes back.
	{ { "ip,actions=push_mpls:0x8847,push_mpls:0x8847,push_mpls:0x8847,output:2,"
	    "push_mpls:0x8847,output:2" },
	  1,
	  DROP_MPLS_LABELS,
	  64 },
	{ { "ip,actions=push_mpls:0x8847,set_mpls_label:100,resubmit(,1)",
	    "table=1,mpls,mpls_label=100,mpls_ttl=64,mpls_bos=1,actions=pop_mpls:0x0800,resubmit(,"
	    "2)",
	    "table=2,udp,nw_src=10.0.0.1,tp_dst=7,actions=output:2" },
	  1,
	  NO_DROP,
	  64 },
	{ { "ip,actions=push_mpls:0x8847,dec_mpls_ttl,output:2" }, 0, DROP_TTL, 1 },
	// Queues, length, choices.
	{ { "actions=set_queue:5,resubmit(,1),pop_queue,resubmit(,1)",
	    "table=1,priority=1,skb_priority=5,actions=output:2",
	    "table=1,priority=0,skb_priority=0,actions=output:3,output:2" },
	  3,
	  NO_DROP,
	  64 },
	{ { "actions=enqueue:2:7,enqueue:in_port:7" }, 2, NO_DROP, 64 },
	{ { "actions=check_pkt_larger(59)->reg0[0],check_pkt_larger(60)->reg0[1],resubmit(,1)",
	    "table=1,reg0=1,actions=output:2" },
	  1,
	  NO_DROP,
	  64 },
	{ { "actions=push_vlan:0x8100,check_pkt_larger(60)->reg0[1],resubmit(,1)",
	    "table=1,reg0=0,actions=output:2" },
	  1,
	  NO_DROP,
	  64 },
	{ { "actions=bundle(eth_src,0,active_backup,ofport,members:4,6,3,2),"
	    "bundle_load(eth_src,0,hrw,ofport,reg0,members:4,2),resubmit(,1)",
	    "table=1,reg0=2,actions=output:reg0" },
	  2,
	  NO_DROP,
	  64 },
	{ { "actions=bundle(eth_src,0,hrw,ofport,members:4,6),"
	    "bundle_load(eth_src,0,hrw,ofport,reg0,members:4),resubmit(,1)",
	    "table=1,reg0=0xffff,actions=output:2" },
	  1,
	  NO_DROP,
	  64 },
	// Groups: what a bucket did, or what ended it, is over behind it.
	{ { "actions=set_field:5->reg0,push:reg0,group:1,pop:reg1,resubmit(,2)",
	    "table=1,actions=pop:reg1,push:in_port,push:in_port,output:2",
	    "table=2,reg1=5,actions=output:3",
	    "group_id=1,type=all,bucket=resubmit(,1),bucket=resubmit(,1)" },
	  3,
	  NO_DROP,
	  64 },
	{ { "actions=group:1,output:3", "table=1,actions=output:2,exit,output:2",
	    "group_id=1,type=all,bucket=resubmit(,1),bucket=resubmit(,1)" },
	  3,
	  NO_DROP,
	  64 },
	{ { "actions=clone(group:1),output:3", "table=1,actions=pop:reg0",
	    "group_id=1,type=all,bucket=output:2,bucket=resubmit(,1)" },
	  2,
	  DROP_STACK,
	  64 },
	{ { "ip,actions=clone(group:1),output:3",
	    "table=1,actions=push_mpls:0x8847,push_mpls:0x8847,output:2",
	    "group_id=1,type=all,bucket=output:2,bucket=push_mpls:0x8847,group:2",
	    "group_id=2,type=indirect,bucket=push_mpls:0x8847,resubmit(,1)" },
	  2,
	  DROP_MPLS_LABELS,
	  64 },
	{ { "ip,actions=group:1,output:3",
	    "group_id=1,type=all,bucket=dec_ttl,output:2,bucket=output:2" },
	  2,
	  DROP_TTL,
	  1 },
	{ { "actions=write_actions(group:1,output:3,resubmit(,1)),goto_table:1",
	    "table=1,actions=clone(pop_queue)",
	    "group_id=1,type=indirect,bucket=output:2,resubmit(,1)" },
	  2,
	  NO_DROP,
	  64 },
	// Meters: 5 drops everything. That is the end of a clone, or of a bucket, and of no more.
	{ { "actions=output:2,resubmit(,1),output:3,write_actions(output:3)",
	    "table=1,actions=meter:5,output:2" },
	  1,
	  DROP_METER,
	  64 },
	{ { "actions=clone(output:2,resubmit(,1),output:3),output:3",
	    "table=1,actions=meter:5,output:2" },
	  2,
	  DROP_METER,
	  64 },
	{ { "actions=group:1,output:3", "table=1,actions=meter:5,output:2",
	    "group_id=1,type=all,bucket=output:2,bucket=resubmit(,1)" },
	  2,
	  DROP_METER,
	  64 },
	{ { "actions=meter:1,output:2,resubmit(,1)", "table=1,actions=meter:6,output:3" },
	  2,
	  NO_DROP,
	  64 },
	{ { "ip,actions=mod_nw_tos:0x28,resubmit(,1),resubmit(,2),resubmit(,3)",
	    "table=1,ip,nw_tos=0x28,actions=meter:2,output:2",
	    "table=2,ip,nw_tos=0x30,actions=meter:3,output:2",
	    "table=3,ip,nw_tos=0x38,actions=meter:2,output:3" },
	  3,
	  NO_DROP,
	  64 },
	{ { "actions=group:1,output:3",
	    "group_id=1,type=indirect,bucket=" WRITES_64 "mod_vlan_vid:5,output:2" },
	  1,
	  DROP_ACTION_SET,
	  64 },
};

static void make_datagram(struct ref_packet *packet, uint8_t ttl)
{
	static const uint8_t bytes[60] = { 2,    0, 0,  0,  0, 1, 2, 0, 0,  0,  0, 2, 0x08, 0,
					   0x45, 0, 0,  28, 0, 0, 0, 0, 64, 17, 0, 0, 10,   0,
					   0,    1, 10, 0,  0, 2, 0, 9, 0,  7,  0, 8 };
	uint32_t sum = 0;

	memcpy(packet->bytes, bytes, sizeof(bytes));
	packet->size = sizeof(bytes);
	packet->bytes[22] = ttl;
	for (unsigned int i = 14; i < 34; i += 2)
		sum += ref_get16(packet->bytes + i);
	ref_put16(packet->bytes + 24, 0xffff - (sum % 0xffff));
}

static bool is_flow(const char *text)
{
	return text && strncmp(text, "group_id=", 9);
}

static void run_scenario(struct rig *rig, const struct scenario *scenario)
{
	struct random random = { random_seed() };
	const struct rig_stats before = rig_stats(rig);
	struct ref_packet packet = { .size = 0 };
	struct error error = { 0 };
	struct rig_stats after;
	unsigned int n_flows = 0, n_groups = 0;
	const char *problem;

	rig_clear(rig);
	while (n_flows < MAX_FLOWS && is_flow(scenario->flows[n_flows])) {
		if (rig_add_flow(rig, scenario->flows[n_flows], &error) < 0)
			fail_msg("%s: column %d: %s", scenario->flows[n_flows], error.column,
				 error.message);
		n_flows++;
	}
	while (n_flows + n_groups < MAX_FLOWS && scenario->flows[n_flows + n_groups])
		n_groups++;
	if (rig_set_groups(rig, scenario->flows + n_flows, n_groups, &error))
		fail_msg("%s: column %d: %s", scenario->flows[n_flows], error.column,
			 error.message);
	make_datagram(&packet, scenario->ttl);
	problem = rig_send(rig, 1, &packet, 1, &random);
	if (problem)
		fail_msg("%s\n%s", problem, rig_flows(rig));
	after = rig_stats(rig);
	if (after.n_outputs - before.n_outputs != scenario->n_outputs)
		fail_msg("%llu outputs instead of %u\n%s",
			 (unsigned long long)(after.n_outputs - before.n_outputs),
			 scenario->n_outputs, rig_flows(rig));
	for (unsigned int i = 0; i < N_DROPS; i++)
		if (after.n_drops[i] - before.n_drops[i] != (i == scenario->drop))
			fail_msg("%llu drops for %s\n%s",
				 (unsigned long long)(after.n_drops[i] - before.n_drops[i]),
				 drop_texts[i].name, rig_flows(rig));
}

static void actions_do_what_the_manual_says(void **state)
{
	struct rig *rig = rig_create();

	(void)state;
	for (unsigned int i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
		run_scenario(rig, &scenarios[i]);
	rig_destroy(rig);
}

// Random packets over the links of each algorithm: all are used, about evenly.
static void links_are_used_evenly(void **state)
{
	static const char *const algorithms[] = { "modulo_n", "hash_threshold", "hrw",
						  "iter_hash" };
	struct random random = { random_seed() };

	(void)state;
	for (unsigned int a = 0; a < 4; a++) {
		struct rig *rig = rig_create();
		struct ref_packet packets[RIG_BURST];
		struct error error = { 0 };
		struct rig_stats stats;
		char flow[256];
		const unsigned int n = 100 * RIG_BURST;

		snprintf(flow, sizeof(flow),
			 "actions=multipath(eth_src,7,%s,5,0,reg0[0..2]),resubmit(,1)",
			 algorithms[a]);
		assert_int_equal(rig_add_flow(rig, flow, &error), 0);
		// Of the five links one leads out.
		assert_int_equal(rig_add_flow(rig, "table=1,reg0=3,actions=output:2", &error), 0);
		for (unsigned int sent = 0; sent < n; sent += RIG_BURST) {
			const char *problem;

			for (unsigned int i = 0; i < RIG_BURST; i++) {
				make_datagram(&packets[i], 64);
				ref_put16(packets[i].bytes + 10,
					  (unsigned int)random_next(&random));
			}
			problem = rig_send(rig, 1, packets, RIG_BURST, &random);
			if (problem)
				fail_msg("%s", problem);
		}
		stats = rig_stats(rig);
		assert_in_range(stats.n_outputs, n / 5 * 8 / 10, n / 5 * 12 / 10);
		rig_destroy(rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(actions_do_what_the_manual_says),
		cmocka_unit_test(links_are_used_evenly),
	};
	int failed;

	test_eal_init(8191);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
