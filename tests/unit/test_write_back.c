// One random write of one field per flow, for frames of every kind: bytes, checksums and tags must
// come out as the reference has them, and sound frames must stay sound.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/error.h"
#include "tests/unit/eal.h"
#include "tests/unit/rig.h"
#include "tests/unit/rules.h"

#include <string.h>

static void every_write_gives_what_the_reference_gives(void **state)
{
	uint64_t seed = random_seed();
	struct random random = { seed };
	struct rule_options options = { .unproven = getenv("TEST_UNPROVEN") != NULL };
	unsigned int n = random_iterations(20000), n_refused = 0;
	static struct ref_packet packets[RIG_BURST];
	struct rig *rig = rig_create();
	struct rig_stats stats;

	(void)state;
	for (unsigned int i = 0; i < n; i++) {
		struct error error = { 0 };
		char rule[RULE_SIZE];
		const char *problem;

		rig_clear(rig);
		rule_make_write(&random, &options, rule);
		if (rig_add_flow(rig, rule, &error) < 0) {
			n_refused++;
			if (getenv("TEST_REFUSED"))
				printf("%s\n  column %d: %s\n", rule, error.column, error.message);
			continue;
		}
		// Everything else leaves as it came.
		assert_int_equal(rig_add_flow(rig, "priority=0,actions=output:3", &error), 0);
		for (unsigned int j = 0; j < RIG_BURST; j++)
			packet_random(&random, &packets[j]);
		problem = rig_send(rig, 1, packets, RIG_BURST, &random);
		if (problem)
			fail_msg("TEST_SEED=0x%llx\n%s\n%s", (unsigned long long)seed, problem,
				 rig_flows(rig));
	}
	stats = rig_stats(rig);
	printf("%llu packets, %llu changed, %u of %u flows refused\n",
	       (unsigned long long)stats.n_packets, (unsigned long long)stats.n_changed, n_refused,
	       n);
	assert_true(stats.n_changed > stats.n_packets / 50);
	assert_true(n_refused < n / 4);
	rig_destroy(rig);
}

// A field whose header the packet lacks (a later fragment, a cut header, one that lies about its
// length) is not written, and later tables do not see the value either (ovs-actions(7)).
static void writes_to_absent_headers_do_nothing(void **state)
{
	static const char *const sets[][2] = {
		{ "udp,actions=set_field:80->udp_dst,resubmit(,1)",
		  "table=1,udp,tp_dst=80,actions=output:2" },
		{ "tcp6,actions=load:443->NXM_OF_TCP_SRC[],resubmit(,1)",
		  "table=1,tcp6,tp_src=443,actions=output:2" },
		{ "ip,actions=set_field:10.0.0.1->nw_dst,resubmit(,1)",
		  "table=1,ip,nw_dst=10.0.0.1,actions=output:2" },
		{ "ipv6,actions=move:NXM_NX_REG0[0..7]->NXM_NX_IPV6_SRC[0..7],mod_nw_ttl:9,"
		  "resubmit(,1)",
		  "table=1,ipv6,nw_ttl=9,actions=output:2" },
		{ "arp,actions=set_field:2->arp_op,resubmit(,1)",
		  "table=1,arp,arp_op=2,actions=output:2" },
		{ "icmp6,icmp_type=135,icmp_code=0,actions=set_field:2001::9->nd_target,resubmit(,"
		  "1)",
		  "table=1,icmp6,icmp_type=135,icmp_code=0,nd_target=2001::9,actions=output:2" },
		{ "icmp6,icmp_type=136,icmp_code=0,actions=set_field:02:00:00:00:00:09->nd_tll,"
		  "output:2",
		  "table=1,actions=drop" },
	};
	uint64_t seed = random_seed();
	struct random random = { seed };
	static struct ref_packet packets[RIG_BURST];
	struct rig *rig = rig_create();

	(void)state;
	for (unsigned int i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
		struct error error = { 0 };
		unsigned int n = random_iterations(500);

		rig_clear(rig);
		for (unsigned int j = 0; j < 2; j++)
			if (rig_add_flow(rig, sets[i][j], &error) < 0)
				fail_msg("%s: %s", sets[i][j], error.message);
		assert_int_equal(rig_add_flow(rig, "table=1,priority=0,actions=output:3", &error),
				 0);
		while (n--) {
			const char *problem;

			for (unsigned int j = 0; j < RIG_BURST; j++)
				packet_random(&random, &packets[j]);
			problem = rig_send(rig, 1, packets, RIG_BURST, &random);
			if (problem)
				fail_msg("TEST_SEED=0x%llx\n%s\n%s", (unsigned long long)seed,
					 problem, rig_flows(rig));
		}
	}
	rig_destroy(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_write_gives_what_the_reference_gives),
		cmocka_unit_test(writes_to_absent_headers_do_nothing),
	};
	int failed;

	test_eal_init(4095);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
