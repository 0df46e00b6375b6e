#include "l2/mac_table_fast.h"

uint32_t mac_table_lookup(const struct mac_table *table, uint16_t vlan, const uint8_t mac[6])
{
	struct mac_query query;

	mac_table_ask(table, vlan, mac, &query);
	return mac_table_answer(table, &query);
}

bool mac_table_refresh(struct mac_table *table, uint16_t vlan, const uint8_t mac[6],
		       uint32_t ofport)
{
	struct mac_query query;

	mac_table_ask(table, vlan, mac, &query);
	return mac_table_answer_refresh(table, &query, ofport);
}
