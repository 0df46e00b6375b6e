// Connection tracking actions. There is no connection tracker, so a packet that is to go through it
// ends there: nothing may pass a firewall that does not look.
#include "datapath/actions.h"

#include <string.h>

void actions_ct(struct forward *forward, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		output_drop(forward, (unsigned int)i, DROP_NO_CONNTRACK);
		forward_finish(forward, (unsigned int)i);
	}
}

static void swap(void *a, void *b, size_t size)
{
	uint8_t saved[16];

	memcpy(saved, a, size);
	memcpy(a, b, size);
	memcpy(b, saved, size);
}

void actions_ct_clear(struct forward *forward, uint64_t packets)
{
	struct vector *vector = forward->vector;

	for_each_packet(i, packets)
	{
		struct key_core *core = vector_core(vector, (unsigned int)i);
		struct key_rare *rare = vector_rare(vector, (unsigned int)i);

		core->ct_zone = 0;
		core->ct_state = 0;
		core->ct_mark = 0;
		rare->ct_nw_proto = 0;
		rare->ct_tp_src = 0;
		rare->ct_tp_dst = 0;
		rare->ct_nw_src = 0;
		rare->ct_nw_dst = 0;
		memset(vector->lines[KEY_LINE_CONNTRACK][i], 0, sizeof(struct key_conntrack));
	}
}

void actions_ct_swap(struct vector *vector, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		struct key_core *core = vector_core(vector, (unsigned int)i);
		struct key_rare *rare = vector_rare(vector, (unsigned int)i);
		struct key_ipv6 *ipv6 = vector_ipv6(vector, (unsigned int)i);
		struct key_conntrack *conntrack =
			(struct key_conntrack *)vector->lines[KEY_LINE_CONNTRACK][i];

		if (core->eth_type == RTE_BE16(0x0800)) {
			swap(&core->ip_src, &rare->ct_nw_src, sizeof(core->ip_src));
			swap(&core->ip_dst, &rare->ct_nw_dst, sizeof(core->ip_dst));
		} else if (core->eth_type == RTE_BE16(0x86dd)) {
			swap(ipv6->ipv6_src, conntrack->ct_ipv6_src, sizeof(ipv6->ipv6_src));
			swap(ipv6->ipv6_dst, conntrack->ct_ipv6_dst, sizeof(ipv6->ipv6_dst));
		} else {
			continue;
		}
		swap(&core->ip_proto, &rare->ct_nw_proto, sizeof(core->ip_proto));
		swap(&core->tp_src, &rare->ct_tp_src, sizeof(core->tp_src));
		swap(&core->tp_dst, &rare->ct_tp_dst, sizeof(core->tp_dst));
	}
}
