// dec_nsh_ttl, and what else writing a network service header takes.
#include "datapath/actions.h"
#include "datapath/nsh.h"

bool actions_has_nsh(const struct vector *vector, unsigned int packet)
{
	return vector->layout[packet].l3 && vector->layout[packet].type == RTE_BE16(0x894f);
}

void actions_nsh_written(struct forward *forward, uint64_t packets)
{
	for_each_packet(i, packets) nsh_trim(vector_rare(forward->vector, (unsigned int)i));
}

void actions_dec_nsh_ttl(struct forward *forward, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		struct key_rare *rare = vector_rare(forward->vector, (unsigned int)i);

		if (!actions_has_nsh(forward->vector, (unsigned int)i))
			continue;
		if (rare->nsh_ttl <= 1) {
			actions_expired(forward, (unsigned int)i);
			continue;
		}
		rare->nsh_ttl--;
		forward->vector->dirty[i] |= DIRTY_NSH;
	}
}
