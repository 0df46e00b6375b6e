#include "ofproto/tun_option.h"

#include "common/error.h"
#include "common/rcu.h"
#include "common/text.h"
#include "datapath/group.h"
#include "flowtable/flow_text.h"
#include "flowtable/group_text.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/group.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define OPTION_LINES ((uint16_t)(0xffffu << KEY_LINE_TUN_METADATA | 1u << KEY_LINE_TUNNEL))

// Is the field in the canonical text, as tun_metadata1 or NXM_NX_TUN_METADATA1, and not 10?
static bool is_named(const struct text *text, unsigned int number)
{
	char name[32];
	const int length = snprintf(name, sizeof(name), "tun_metadata%u", number);

	for (const char *at = text->data; at && (at = strcasestr(at, name)); at += length)
		if (!isdigit((unsigned char)at[length]))
			return true;
	return false;
}

static bool flow_uses(const struct bridge *bridge, const struct flow *flow, unsigned int number,
		      struct text *text)
{
	const struct program *program = flow->program;
	struct match match;

	if (!((flow->mask->lines | program->lines_read | program->lines_written) & OPTION_LINES))
		return false;
	match_unpack(flow->mask, flow->values, &match);
	text_clear(text);
	text_addf(text, "table=%u,", flow->table_id);
	flow_format_match(&match, flow->priority, bridge_port_names(bridge), text);
	text_chomp(text, ",");
	text_add(text, " actions=");
	program_format(program, bridge_port_names(bridge), text);
	return is_named(text, number);
}

// A flow or group that uses the field; *text says which.
static bool is_used(const struct bridge *bridge, unsigned int number, struct text *text)
{
	const struct group_table *groups = bridge_group_table(bridge);

	for (unsigned int id = 0; id < N_TABLES; id++) {
		const struct table *table = bridge_table(bridge, (uint8_t)id);

		for (const struct flow *flow = table ? table_first(table) : NULL; flow;
		     flow = table_next(table, flow))
			if (flow_uses(bridge, flow, number, text))
				return true;
	}
	for (uint32_t i = 0; groups && i < groups->n; i++) {
		text_clear(text);
		group_text_format(&groups->all[i]->text, bridge_port_names(bridge), text);
		if (is_named(text, number))
			return true;
	}
	return false;
}

static int check_unused(const struct bridge *bridge, unsigned int number, struct error *error)
{
	struct text text = { 0 };
	int result = 0;

	if (is_used(bridge, number, &text))
		result = error_set(error, EBUSY,
				   "the mapping of tun_metadata%u on bridge '%s' is in use: delete "
				   "'%.200s' first",
				   number, bridge_name(bridge), text.data);
	text_free(&text);
	return result;
}

static bool is_same(const struct tun_option *a, const struct tun_option *b)
{
	return a->length == b->length &&
	       (!a->length || (a->class == b->class && a->type == b->type));
}

int bridge_set_tun_options(struct bridge *bridge, const struct tun_option wanted[TUN_MAP_FIELDS],
			   bool force, struct error *error)
{
	struct tun_map *map = bridge->tun_map;
	const struct tun_map before = *map;
	bool changes = false;
	int result = 0;

	for (unsigned int i = 0; i < TUN_MAP_FIELDS && !result; i++) {
		if (is_same(&map->options[i], &wanted[i]))
			continue;
		changes = true;
		if (map->options[i].length && !force)
			result = check_unused(bridge, i, error);
	}
	if (result || !changes)
		return result;
	rcu_synchronize(); // flows that were deleted a moment ago may still be running
	for (unsigned int i = 0; i < TUN_MAP_FIELDS; i++)
		if (!is_same(&map->options[i], &wanted[i]))
			tun_map_remove(map, i);
	for (unsigned int i = 0; i < TUN_MAP_FIELDS && !result; i++)
		if (wanted[i].length && !map->options[i].length)
			result = tun_map_add(map, &wanted[i], i, error);
	if (result)
		*map = before;
	return result;
}
