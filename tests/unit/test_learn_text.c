// flowtable/action_learn.c: learn and fin_timeout as text, both ways, and what is refused.
#include "common/error.h"
#include "common/text.h"
#include "flowtable/flow_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *canonical(const char *line, struct error *error)
{
	struct flow_text flow;
	struct text text = { 0 };

	if (flow_text_parse(line, FLOW_TEXT_ADD, NULL, &flow, error))
		return NULL;
	program_format(flow.program, NULL, &text);
	flow_text_release(&flow);
	return text_steal(&text);
}

// Flow, and how ovs-ofctl prints its actions.
static const char *const flows[][2] = {
	{ "actions=learn()", "learn(table=1)" },
	{ "actions=learn", "learn(table=1)" },
	{ "actions=learn(table=10,priority=5,idle_timeout=60,hard_timeout=100,fin_idle_timeout=2,"
	  "fin_hard_timeout=3,cookie=0x99,send_flow_rem,delete_learned,limit=5,result_dst=reg0[3],"
	  "NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
	  "load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],load:0x5->NXM_NX_REG1[],"
	  "output:NXM_OF_IN_PORT[])",
	  "learn(table=10,idle_timeout=60,hard_timeout=100,fin_idle_timeout=2,fin_hard_timeout=3,"
	  "priority=5,send_flow_rem,delete_learned,cookie=0x99,limit=5,result_dst=NXM_NX_REG0[3],"
	  "NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
	  "load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],load:0x5->NXM_NX_REG1[],"
	  "output:NXM_OF_IN_PORT[])" },
	{ "tcp,actions=learn(eth_type=0x800,nw_proto=6,nw_src=nw_dst,tcp_src=tcp_dst,reg3=5,"
	  "reg1[0..15]=0x33,load:0x12->reg2[3..8],output:in_port,reg0,metadata=metadata)",
	  "learn(table=1,eth_type=0x800,nw_proto=6,NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],"
	  "NXM_OF_TCP_SRC[]=NXM_OF_TCP_DST[],reg3=0x5,NXM_NX_REG1[0..15]=0x33,"
	  "load:0x12->NXM_NX_REG2[3..8],output:NXM_OF_IN_PORT[],NXM_NX_REG0[],OXM_OF_METADATA[])" },
	{ "actions=learn(in_port=reg0[0..15],output:reg1[0..15],output:reg1)",
	  "learn(table=1,NXM_OF_IN_PORT[]=NXM_NX_REG0[0..15],output:NXM_NX_REG1[0..15],"
	  "output:NXM_NX_REG1[])" },
	{ "actions=learn(eth_type=0x800,nw_src[0..7]=10)",
	  "learn(table=1,eth_type=0x800,NXM_OF_IP_SRC[0..7]=0xa)" },
	{ "actions=learn(reg0=0,reg0[5]=1,load:1->metadata,load:0x1122334455->xreg0[3..60])",
	  "learn(table=1,reg0=0,NXM_NX_REG0[5]=0x1,load:0x1->OXM_OF_METADATA[],"
	  "load:0x1122334455->OXM_OF_PKT_REG0[3..60])" },
	{ "actions=learn(fin_idle_timeout=5)", "learn(table=1,fin_idle_timeout=5)" },
	{ "ip,actions=learn(eth_type=0x800,ip_dscp=5,ip_ecn=1,vlan_tci=0,vlan_vid=5,tun_id=5,"
	  "load:in_port->in_port)",
	  "learn(table=1,eth_type=0x800,ip_dscp=5,nw_ecn=1,vlan_tci=0,vlan_vid=5,tun_id=0x5,"
	  "load:NXM_OF_IN_PORT[]->NXM_OF_IN_PORT[])" },
	{ "actions=learn(in_port=LOCAL)", "learn(table=1,in_port=LOCAL)" },
	{ "actions=learn(output:metadata)", "learn(table=1,output:OXM_OF_METADATA[])" },
	{ "actions=learn(dl_type=0x800,load:5->ip_src)",
	  "learn(table=1,eth_type=0x800,load:0x5->NXM_OF_IP_SRC[])" },
	{ "actions=learn(load:0->reg0)", "learn(table=1,load:0->NXM_NX_REG0[])" },
	{ "actions=learn(table=0,priority=32768,cookie=0)", "learn(table=0)" },
	{ "actions=learn(dl_src)", "learn(table=1,NXM_OF_ETH_SRC[])" },
	{ "actions=learn(reg0=)", "learn(table=1,NXM_NX_REG0[])" },
	{ "udp,actions=learn(dl_type=0x800, nw_proto=17, udp_dst=udp_src)",
	  "learn(table=1,eth_type=0x800,nw_proto=17,NXM_OF_UDP_DST[]=NXM_OF_UDP_SRC[])" },
	{ "actions=learn(eth_type=0x806,arp_spa=10.0.0.1,arp_op=1)",
	  "learn(table=1,eth_type=0x806,arp_spa=10.0.0.1,arp_op=1)" },
	{ "actions=learn(vlan_vid)", "learn(table=1,OXM_OF_VLAN_VID[])" },
	{ "actions=learn(eth_type=0x86dd,ipv6_label=3,ipv6_src=fe80::1)",
	  "learn(table=1,eth_type=0x86dd,ipv6_label=0x3,ipv6_src=fe80::1)" },
	{ "actions=learn(eth_src[0..15]=reg0[16..31],eth_src[16..47]=0x1122)",
	  "learn(table=1,NXM_OF_ETH_SRC[0..15]=NXM_NX_REG0[16..31],"
	  "NXM_OF_ETH_SRC[16..47]=0x1122)" },
	// What the flow's own match says about a copied field counts as said.
	{ "ip,actions=learn(eth_type,nw_src=nw_dst)",
	  "learn(table=1,NXM_OF_ETH_TYPE[],NXM_OF_IP_SRC[]=NXM_OF_IP_DST[])" },
	{ "tcp,actions=fin_timeout(idle_timeout=5,hard_timeout=6),output:1",
	  "fin_timeout(idle_timeout=5,hard_timeout=6),output:1" },
	{ "tcp,actions=fin_timeout()", "fin_timeout()" },
	{ "tcp,actions=fin_timeout(hard_timeout=7)", "fin_timeout(hard_timeout=7)" },
};

static void test_round_trip(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
		struct error error = { 0 };
		char *got = canonical(flows[i][0], &error);
		char *again;
		char line[2048];

		if (!got)
			fail_msg("%s\n  column %d: %s", flows[i][0], error.column, error.message);
		assert_string_equal(got, flows[i][1]);
		// The canonical text needs the same match in front of it.
		snprintf(line, sizeof(line), "%.*s=%s",
			 (int)(strstr(flows[i][0], "actions=") + 7 - flows[i][0]), flows[i][0],
			 got);
		again = canonical(line, &error);
		if (!again)
			fail_msg("%s\n  column %d: %s", line, error.column, error.message);
		assert_string_equal(again, got);
		free(again);
		free(got);
	}
}

static const struct {
	const char *line;
	int column;
	const char *says;
} mistakes[] = {
	{ "actions=learn(foo=1)", 15, "'foo'" },
	{ "actions=learn(table=255)", 21, "0 to 254" },
	{ "actions=learn(priority=70000)", 24, "65535" },
	{ "actions=learn(limit=5000000000)", 21, "limit" },
	{ "actions=learn(idle_timeout=x)", 28, "number" },
	{ "actions=learn(delete_learned=1)", 30, "no value" },
	{ "actions=learn(result_dst=reg0[0..1])", 26, "single bit" },
	{ "actions=learn(result_dst=eth_type[0])", 26, "written" },
	{ "actions=learn(load:5->eth_type)", 23, "written" },
	{ "actions=learn(load:5->ip_src)", 23, "in the learned flow" },
	{ "actions=learn(load:10.0.0.1->reg0)", 20, "number" },
	{ "actions=learn(load:0xfff->reg0[0..3])", 20, "4 bits" },
	{ "actions=learn(load:reg0[0..5]->reg1)", 20, "6 bits cannot become 32" },
	{ "actions=learn(load:5)", 20, "load:VALUE->FIELD" },
	{ "actions=learn(reg0=reg1[0..3])", 20, "same number" },
	{ "actions=learn(reg0=10.0.0.1)", 20, "number" },
	{ "actions=learn(tcp_dst)", 15, "in the learned flow" },
	{ "tcp,actions=learn(tcp_dst)", 19, "in the learned flow" },
	{ "actions=learn(dl_type=0x800,nw_proto=17,udp_dst=udp_src)", 49, "flow's match" },
	{ "actions=learn(dl_dst=01:00:00:00:00:00/01:00:00:00:00:00)", 22, "no mask" },
	{ "actions=learn(ct_state=+trk)", 24, "no mask" },
	{ "actions=learn(dl_vlan=5)", 15, "vlan_tci" },
	{ "actions=learn(output:5)", 22, "'5'" },
	{ "actions=learn(output:tcp_dst)", 22, "in the flow's match" },
	{ "actions=learn:5", 15, "learn(...)" },
	{ "actions=write_actions(learn(table=1))", 23, "write_actions" },
	{ "actions=fin_timeout(soon=1)", 21, "soon" },
	{ "actions=fin_timeout(idle_timeout=65536)", 34, "65535" },
};

static void test_mistakes(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		struct error error = { 0 };
		char *got = canonical(mistakes[i].line, &error);

		if (got)
			fail_msg("%s was taken for %s", mistakes[i].line, got);
		if (error.column != mistakes[i].column || !strstr(error.message, mistakes[i].says))
			fail_msg("%s\n  column %d, not %d: %s", mistakes[i].line, error.column,
				 mistakes[i].column, error.message);
	}
}

static void test_too_much(void **state)
{
	struct text text = { 0 };
	struct error error = { 0 };

	(void)state;
	text_add(&text, "ipv6,actions=learn(eth_type=0x86dd");
	for (unsigned int i = 0; i < 13; i++)
		text_add(&text, ",load:ipv6_src->ipv6_dst");
	text_add(&text, ")");
	free(canonical(text.data, &error));
	assert_int_equal(error.code, 0);
	text_chomp(&text, ")");
	text_add(&text, ",load:ipv6_src[0..7]->ipv6_dst[0..7])");
	assert_null(canonical(text.data, &error));
	assert_non_null(strstr(error.message, "at most 208 bytes"));
	text_clear(&text);
	text_add(&text, "actions=learn(");
	for (unsigned int i = 0; i < 300; i++)
		text_add(&text, "load:1->reg0,");
	text_add(&text, ")");
	assert_null(canonical(text.data, &error));
	assert_non_null(strstr(error.message, "at most 256"));
	text_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
