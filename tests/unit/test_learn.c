// Random learn actions and random packets: each packet teaches the switch and the naive reference,
// and both must have learned the same, and do the same with it.
//
// TEST_SEED repeats a run; TEST_SCALE=10 runs ten times as long.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/error.h"
#include "tests/unit/eal.h"
#include "tests/unit/rig.h"

#include <errno.h>
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

#define MAX_CHOICES 12

// Specs that any packet has the fields for, and specs for packets of some kind.
static const struct kind {
	const char *match; // of the learning flow
	const char *needs; // of the learned flow
	const char *specs[MAX_CHOICES];
} kinds[] = {
	{ "",
	  "",
	  { "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]", "NXM_OF_ETH_SRC[]", "NXM_OF_VLAN_TCI[0..11]",
	    "NXM_OF_IN_PORT[]", "eth_dst[0..23]=eth_src[24..47]", "eth_dst[3..21]=eth_src[5..23]",
	    "eth_type", "load:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
	    "load:eth_src[1..7]->NXM_NX_REG2[11..17]", "output:NXM_OF_IN_PORT[]" } },
	{ "",
	  "",
	  { "vlan_tci=0", "metadata=0", "reg0=0", "in_port=1", "vlan_tci", "in_port=reg1[0..15]",
	    "load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]", "load:0x5->NXM_NX_REG1[3..9]",
	    "output:NXM_NX_REG0[0..15]", "output:NXM_NX_REG0[]", "eth_src[0]=1" } },
	{ "ip,",
	  "eth_type=0x800,",
	  { "NXM_OF_IP_SRC[]=NXM_OF_IP_DST[]", "NXM_OF_IP_DST[8..31]", "NXM_OF_IP_PROTO[]",
	    "nw_tos", "nw_ttl=64", "NXM_OF_IP_SRC[0..7]=0x1",
	    "load:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]", "load:nw_ttl->NXM_OF_ETH_SRC[0..7]",
	    "output:NXM_OF_IN_PORT[]" } },
	{ "tcp,",
	  "eth_type=0x800,nw_proto=6,",
	  { "NXM_OF_TCP_SRC[]=NXM_OF_TCP_DST[]", "tcp_dst=tcp_src", "tcp_flags", "tcp_src[0..3]",
	    "nw_src=nw_dst", "load:NXM_OF_TCP_SRC[]->NXM_OF_TCP_DST[]", "fin_idle_timeout=3",
	    "fin_hard_timeout=5", "output:NXM_OF_IN_PORT[]" } },
	{ "udp6,",
	  "eth_type=0x86dd,nw_proto=17,",
	  { "NXM_NX_IPV6_SRC[]=NXM_NX_IPV6_DST[]", "ipv6_src[3..90]", "udp_dst=udp_src",
	    "ipv6_label", "load:NXM_NX_IPV6_DST[]->NXM_NX_IPV6_SRC[]",
	    "load:ipv6_src[0..9]->NXM_NX_IPV6_DST[60..69]", "output:NXM_OF_IN_PORT[]" } },
	{ "arp,",
	  "eth_type=0x806,",
	  { "arp_spa=arp_tpa", "arp_op", "arp_tha=arp_sha", "eth_dst=arp_sha",
	    "load:arp_sha->NXM_OF_ETH_SRC[]", "load:arp_spa->NXM_OF_ARP_TPA[]",
	    "output:NXM_OF_IN_PORT[]" } },
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static unsigned int n_choices(const struct kind *kind)
{
	unsigned int n = 0;

	while (n < MAX_CHOICES && kind->specs[n])
		n++;
	return n;
}

static void learning_flow(struct random *random, char *rule, size_t size)
{
	const struct kind *kind = &kinds[random_below(random, N_KINDS)];
	const unsigned int n_specs = 1 + random_below(random, 4);
	int n = snprintf(rule, size,
			 "priority=%u,%sactions=set_field:%u->reg0,"
			 "learn(table=%u,priority=%u,%s%s",
			 random_below(random, 20), kind->match, 1 + random_below(random, 3),
			 1 + random_below(random, 3), 10 + random_below(random, 2),
			 random_chance(random, 50) ? "result_dst=reg3[5]," : "", kind->needs);

	for (unsigned int i = 0; i < n_specs; i++)
		n += snprintf(rule + n, size - (size_t)n, "%s,",
			      kind->specs[random_below(random, n_choices(kind))]);
	snprintf(rule + n, size - (size_t)n,
		 "),resubmit(,1),resubmit(,2),move:reg3[5]->reg5[0],"
		 "output:reg0,resubmit(,3)");
}

static void test_random(void **state)
{
	uint64_t seed = random_seed();
	struct random random = { seed };
	const unsigned int n_sets = random_iterations(60);
	struct rig_stats stats;

	(void)state;
	for (unsigned int set = 0; set < n_sets; set++) {
		rig_clear(rig);
		for (unsigned int f = 0; f < 6; f++) {
			struct error error = { 0 };
			char rule[1024];
			int code;

			learning_flow(&random, rule, sizeof(rule));
			code = rig_add_flow(rig, rule, &error);
			if (code && code != -EEXIST)
				fail_msg("%s\n  column %d: %s", rule, error.column, error.message);
		}
		for (unsigned int i = 0; i < 200; i++) {
			struct ref_packet packet;
			const char *problem;
			const uint32_t in_port = random_chance(&random, 20)
							 ? OFPP_LOCAL
							 : 1 + random_below(&random, 3);

			packet_random(&random, &packet);
			problem = rig_send(rig, in_port, &packet, 1, &random);
			if (problem)
				fail_msg("TEST_SEED=0x%llx, rule set %u, from port %u\n%s\n%s",
					 (unsigned long long)seed, set, in_port, problem,
					 rig_flows(rig));
		}
	}
	assert_null(rig_check_counters(rig));
	stats = rig_stats(rig);
	printf("%llu packets, %llu flows learned, %llu of them again, %llu outputs\n",
	       (unsigned long long)stats.n_packets, (unsigned long long)stats.n_learned,
	       (unsigned long long)stats.n_relearned, (unsigned long long)stats.n_outputs);
	assert_true(stats.n_learned > stats.n_packets / 20);
	assert_true(stats.n_relearned > stats.n_packets / 40);
	assert_true(stats.n_outputs > stats.n_packets / 4);
}

// The pipeline of ovs-ofctl(8): what one direction taught, the other uses.
static void test_mac_learning(void **state)
{
	static const uint8_t a[6] = { 2, 0, 0, 0, 0, 0xa }, b[6] = { 2, 0, 0, 0, 0, 0xb };
	struct random random = { 1 };
	struct ref_packet packet = { .size = 64 };
	struct error error;
	uint64_t outputs;

	(void)state;
	rig_clear(rig);
	assert_int_equal(rig_add_flow(rig,
				      "actions=learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
				      "output:NXM_OF_IN_PORT[]),resubmit(,1)",
				      &error),
			 0);
	assert_int_equal(rig_add_flow(rig, "table=1,priority=0,actions=flood", &error), 0);
	memcpy(packet.bytes, b, 6);
	memcpy(packet.bytes + 6, a, 6);
	outputs = rig_stats(rig).n_outputs;
	assert_null(rig_send(rig, 1, &packet, 1, &random));
	assert_true(rig_stats(rig).n_outputs > outputs + 1);
	assert_int_equal(rig_n_flows(rig, 1), 2);
	memcpy(packet.bytes, a, 6);
	memcpy(packet.bytes + 6, b, 6);
	outputs = rig_stats(rig).n_outputs;
	assert_null(rig_send(rig, 2, &packet, 1, &random));
	assert_int_equal(rig_stats(rig).n_outputs, outputs + 1);
	assert_int_equal(rig_n_flows(rig, 1), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mac_learning),
		cmocka_unit_test(test_random),
	};
	int result;

	test_eal_init(4096);
	result = cmocka_run_group_tests(tests, set_up, tear_down);
	test_eal_end();
	return result;
}
