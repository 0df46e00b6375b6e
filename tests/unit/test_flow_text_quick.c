// flowtable/flow_text_quick.h: a line that is read by the recipe of a line before comes out as from
// the parser that knows all, which is asked by reading it as a change (recipes are for additions).
#include "common/error.h"
#include "flowtable/flow_text.h"
#include "flowtable/program_share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t port_number(void *context, const char *name)
{
	(void)context;
	return strcmp(name, "vm1") == 0 ? 101 : OFPP_ANY;
}

static const struct port_names with_ports = { .number = port_number };

// '@' stands for a number, '$' for an IPv4 address, '&' for an IPv6 address, '!' for a port and '^'
// for an Ethernet address.
static const char *const lines[] = {
	"priority=@,udp,in_port=!,nw_src=$,nw_dst=$,tp_src=@,tp_dst=@,actions=output:@",
	"priority=@,tcp,in_port=!,nw_src=$,nw_dst=$,tp_src=@,tp_dst=@,actions=drop",
	"nw_dst=$,priority=@,ip,actions=output:@",
	"table=@, ip, nw_dst=$ actions=drop",
	"table=@,ip,nw_dst=$,nw_src=$,actions=drop",
	"ipv6,ipv6_dst=&,actions=drop",
	"ipv6,ipv6_src=&,ipv6_dst=&,nw_proto=@,actions=drop",
	"dl_vlan=@,dl_dst=^,actions=output:@",
	"dl_vlan=@,dl_vlan_pcp=@,dl_dst=^,actions=drop",
	"dl_src=^,dl_dst=^,dl_type=@,actions=drop",
	"cookie=@, duration=1.5s, table=@, n_packets=@, n_bytes=@, priority=@,ip,nw_src=$ "
	"actions=drop",
	"idle_timeout=@,hard_timeout=@,importance=@,send_flow_rem,arp,arp_op=@,arp_tpa=$,actions="
	"drop",
	"reg0=@,metadata=@,tun_id=@,reg1=@,actions=drop",
	"reg0=@,xreg0=@,actions=drop",
	"nw_src=$,ip,nw_src=$,actions=drop",
	"mpls,mpls_label=@,mpls_tc=@,mpls_bos=@,actions=drop",
	"icmp6,icmp_type=@,nd_target=&,actions=drop",
	"icmp,icmp_type=@,icmp_code=@,actions=drop",
	"ip,nw_tos=@,nw_ttl=@,nw_ecn=@,actions=drop",
	"tun_src=$,tun_id=@,actset_output=!,actions=drop",
	"tcp,tcp_flags=@,actions=drop",
	"cookie=@,cookie=@,actions=drop",
	"priority=@,priority=@,actions=drop",
	"ct_state=+trk,ip,ct_zone=@,ct_mark=@,actions=drop",
	"packet_type=(1,0x800),nw_src=$,actions=drop",
};
#define N_LINES (sizeof(lines) / sizeof(lines[0]))

// Most are right, some are not, and some are right for few fields.
static void add_value(char kind, char *text, size_t size)
{
	static const char *const odd[] = { "0x",
					   "*",
					   "ANY",
					   "-1",
					   "",
					   "1/1",
					   "0x5/0xf",
					   "10x5",
					   "1.2.3",
					   "01.2.3.4",
					   "1.2.3.4.5",
					   "vm1",
					   "LOCAL",
					   "65535",
					   "65536",
					   "0xffff",
					   "NORMAL",
					   "4294967295",
					   "1 2",
					   "(1,2)",
					   "\"a,b\"",
					   "1.2.3.4/33",
					   "::/129",
					   "0X1f",
					   "255",
					   "256",
					   "1.2.3.4/0",
					   "fe80::/0",
					   "00000001",
					   "18446744073709551616",
					   "1.2.3.4/255.0.255.0",
					   "1:2:3:4:5:6",
					   "99999999999999999999999" };
	const unsigned int r = (unsigned int)rand();
	const unsigned int q = (unsigned int)rand();

	if (r % 12 == 0)
		snprintf(text, size, "%s", odd[q % (sizeof(odd) / sizeof(odd[0]))]);
	else if (kind == '@')
		snprintf(text, size, r & 1 ? "%u" : "%#x",
			 q % (r & 2    ? 8
			      : r & 4  ? 256
			      : r & 64 ? 65536
				       : UINT32_MAX));
	else if (kind == '!')
		snprintf(text, size, r & 1 ? "%u" : r & 2 ? "vm1" : "LOCAL", q % 300);
	else if (kind == '$')
		snprintf(text, size, r & 1 ? "%u.%u.%u.%u" : "%u.%u.%u.%u/%u", q & 255,
			 q >> 8 & 255, q >> 16 & 255, r >> 8 & 255, r % 33);
	else if (kind == '&')
		snprintf(text, size, r & 1 ? "fe80:%x::%x" : "%x:%x::/%u", q & 0xffff,
			 q >> 16 & 0xffff, r % 129);
	else
		snprintf(text, size, "%02x:%02X:%02x:00:%02x:0%x", q & 255, q >> 8 & 255,
			 q >> 16 & 255, r & 255, r >> 8 & 15);
}

static void make_line(char *line, size_t size)
{
	// Lines of one kind come in runs.
	static size_t which;
	size_t n = 0;

	if (rand() % 4 == 0)
		which = (size_t)rand() % N_LINES;
	for (const char *c = lines[which]; *c && n + 1 < size; c++) {
		if (strchr("@$&!^", *c)) {
			line[n] = '\0';
			add_value(*c, line + n, size - n);
			n = strlen(line);
		} else {
			line[n++] = *c;
		}
	}
	if (rand() % 50 == 0) // and a slip of the finger
		line[(size_t)rand() % n] = ",= x1:/"[rand() % 7];
	line[n] = '\0';
}

static void compare(const char *line, const struct port_names *ports)
{
	struct flow_text quick, slow;
	struct error quick_error = { 0 }, slow_error = { 0 };
	const int a = flow_text_parse(line, FLOW_TEXT_ADD, ports, &quick, &quick_error);
	const int b = flow_text_parse(line, FLOW_TEXT_MOD, ports, &slow, &slow_error);

	if (a != b || quick_error.column != slow_error.column ||
	    strcmp(quick_error.message, slow_error.message) != 0)
		// A cookie is another thing in a change.
		if (!strstr(line, "cookie"))
			fail_msg("%s: %d '%s' (column %d), by the other parser %d '%s' (column %d)",
				 line, a, quick_error.message, quick_error.column, b,
				 slow_error.message, slow_error.column);
	if (!a && !b &&
	    (!match_equal(&quick.match, &slow.match) || quick.priority != slow.priority ||
	     quick.has_priority != slow.has_priority || quick.table_id != slow.table_id ||
	     quick.has_table != slow.has_table || quick.idle_timeout != slow.idle_timeout ||
	     quick.hard_timeout != slow.hard_timeout || quick.importance != slow.importance ||
	     quick.flags != slow.flags || !program_is_same(quick.program, slow.program) ||
	     quick.out_port != slow.out_port || quick.out_group != slow.out_group ||
	     (slow.has_new_cookie && quick.cookie != slow.new_cookie)))
		fail_msg("%s comes out otherwise", line);
	if (!a)
		flow_text_release(&quick);
	if (!b)
		flow_text_release(&slow);
}

static void test_random_lines(void **state)
{
	char line[512];

	(void)state;
	srand(31);
	for (int i = 0; i < 300000; i++) {
		make_line(line, sizeof(line));
		compare(line, rand() % 8 ? &with_ports : NULL);
	}
}

// What one bridge calls a port must not be remembered for another one.
static void test_names_are_not_kept(void **state)
{
	struct flow_text flow;
	struct error error;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(flow_text_parse("in_port=vm1,actions=drop", FLOW_TEXT_ADD,
						 &with_ports, &flow, &error),
				 0);
		assert_int_equal(rte_be_to_cpu_32(flow.match.value.core.in_port), 101);
		flow_text_release(&flow);
		assert_int_not_equal(flow_text_parse("in_port=vm1,actions=drop", FLOW_TEXT_ADD,
						     NULL, &flow, &error),
				     0);
		assert_int_equal(error.column, 9);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_lines),
		cmocka_unit_test(test_names_are_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
