#include "ctl/apply_mirror.h"

#include "common/error.h"
#include "flowtable/flow_text.h"
#include "ofproto/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reading {
	struct bridge *bridge;
	const struct config *config;
	const json_t *row; // of the bridge
	bool strict;
	struct error *error;
};

static bool refers_to(const json_t *references, const char *uuid)
{
	json_t *reference;
	size_t i;

	json_array_foreach (references, i, reference)
		if (!strcmp(json_string_value(reference), uuid))
			return true;
	return false;
}

// The Port row behind a reference; it must be the bridge's.
static const json_t *read_port(const struct reading *reading, const char *column, const char *uuid)
{
	const json_t *port = config_row(reading->config, TABLE_Port, uuid);

	if (port && refers_to(json_object_get(reading->row, "ports"), uuid))
		return port;
	error_set(reading->error, EINVAL,
		  "%s: port '%s' is not on bridge '%s'; a mirror copies within its bridge", column,
		  port ? config_string(port, "name") : uuid, config_string(reading->row, "name"));
	return NULL;
}

// Numbers of the port's interfaces that are open. Returns how many.
static unsigned int port_numbers(const struct reading *reading, const json_t *port,
				 uint32_t *numbers, unsigned int size)
{
	unsigned int n = 0;
	json_t *reference;
	size_t i;

	json_array_foreach (json_object_get(port, "interfaces"), i, reference) {
		const json_t *interface =
			config_row(reading->config, TABLE_Interface, json_string_value(reference));
		const struct bridge_port *open =
			interface ? bridge_port_by_name(reading->bridge,
							config_string(interface, "name"))
				  : NULL;

		if (open && n < size)
			numbers[n++] = bridge_port_number(open);
	}
	return n;
}

#define MAX_MEMBERS 32

static int read_selects(const struct reading *reading, const json_t *row, const char *column,
			bool source, const char *output, struct mirror_config *config)
{
	uint32_t numbers[MAX_MEMBERS];
	json_t *reference;
	size_t i;

	json_array_foreach (json_object_get(row, column), i, reference) {
		const char *uuid = json_string_value(reference);
		const json_t *port = read_port(reading, column, uuid);
		struct mirror_select *more;
		unsigned int n;

		if (!port)
			return -EINVAL;
		if (output && !strcmp(output, uuid))
			return error_set(reading->error, EINVAL,
					 "port '%s' is both output_port and in %s: its own copies "
					 "would be copied; take it out of one of them",
					 config_string(port, "name"), column);
		n = port_numbers(reading, port, numbers, MAX_MEMBERS);
		more = realloc(config->selects, (config->n_selects + n + 1) * sizeof(*more));
		if (!more)
			return error_set(reading->error, ENOMEM, "out of memory");
		config->selects = more;
		for (unsigned int k = 0; k < n; k++)
			more[config->n_selects++] = (struct mirror_select){
				.ofport = numbers[k], .source = source, .destination = !source
			};
	}
	return 0;
}

static int read_filter(const struct reading *reading, const char *text,
		       struct mirror_config *config)
{
	struct flow_text flow;
	int result;

	if (!*text)
		return 0;
	result = flow_text_parse(text, FLOW_TEXT_DUMP, bridge_port_names(reading->bridge), &flow,
				 reading->error);
	if (result) {
		reading->error->column = 0;
		error_prefix(reading->error, "filter '%.64s'", text);
		return result;
	}
	if (flow.has_cookie || flow.has_table || flow.has_priority || flow.out_port != OFPP_ANY ||
	    flow.out_group != OFPP_ANY)
		result = error_set(reading->error, EINVAL,
				   "filter '%.64s': only fields of packets can be matched, as in "
				   "tcp,tp_dst=80; not table, cookie, priority or out_port",
				   text);
	else
		config->filter = flow.match;
	flow_text_release(&flow);
	return result;
}

static int read_output(const struct reading *reading, const json_t *row,
		       struct mirror_config *config)
{
	const char *uuid = json_string_value(json_object_get(row, "output_port"));
	json_t *vlan = json_object_get(row, "output_vlan");
	struct counter counts;
	const json_t *port;
	uint32_t numbers[MAX_MEMBERS];

	config->output_port = OFPP_ANY;
	config->output_vlan = (uint16_t)json_integer_value(vlan);
	if (uuid && *uuid && config->output_vlan)
		return error_set(reading->error, EINVAL,
				 "it has both output_port and output_vlan; copies go to one of "
				 "them: clear the other");
	if (config->output_vlan)
		return 0;
	if (!uuid || !*uuid) {
		if (!reading->strict || bridge_mirror_counts(reading->bridge, config->id, &counts))
			return 0; // its port was deleted
		return error_set(reading->error, EINVAL,
				 "it does not say where copies go: set output_port or output_vlan");
	}
	port = read_port(reading, "output_port", uuid);
	if (!port)
		return -EINVAL;
	if (port_numbers(reading, port, numbers, MAX_MEMBERS))
		config->output_port = numbers[0];
	return 0;
}

static int read_mirror(const struct reading *reading, const json_t *row,
		       struct mirror_config *config)
{
	const char *output = json_string_value(json_object_get(row, "output_port"));
	json_t *vlan;
	size_t i;
	int result;

	config->id = config_row_uuid(row);
	config->name = config_string(row, "name");
	config->select_all = json_is_true(json_object_get(row, "select_all"));
	config->snaplen = (uint32_t)json_integer_value(json_object_get(row, "snaplen"));
	config->any_vlan = json_array_size(json_object_get(row, "select_vlan")) == 0;
	json_array_foreach (json_object_get(row, "select_vlan"), i, vlan) {
		const uint64_t number = (uint64_t)json_integer_value(vlan) & 4095;

		config->vlans[number / 64] |= UINT64_C(1) << number % 64;
	}
	match_init(&config->filter);
	result = read_output(reading, row, config);
	if (!result)
		result = read_selects(reading, row, "select_src_port", true, output, config);
	if (!result)
		result = read_selects(reading, row, "select_dst_port", false, output, config);
	if (!result)
		result = read_filter(reading, config_string(row, "filter"), config);
	if (result)
		error_prefix(reading->error, "mirror '%s' of bridge '%s'", config->name,
			     config_string(reading->row, "name"));
	return result;
}

int apply_mirrors(struct bridge *bridge, const struct config *config, const json_t *row,
		  bool strict, struct error *error)
{
	const json_t *references = json_object_get(row, "mirrors");
	const struct reading reading = { bridge, config, row, strict, error };
	struct mirror_config *configs = NULL;
	unsigned int n = 0;
	int result = 0;
	json_t *reference;
	size_t i;

	if (json_array_size(references)) {
		configs = calloc(json_array_size(references), sizeof(*configs));
		if (!configs)
			return error_set(error, ENOMEM, "out of memory");
	}
	json_array_foreach (references, i, reference) {
		result = read_mirror(&reading,
				     config_row(config, TABLE_Mirror, json_string_value(reference)),
				     &configs[n++]);
		if (result)
			break;
	}
	if (!result)
		result = bridge_set_mirrors(bridge, configs, n, error);
	for (unsigned int k = 0; k < n; k++)
		free(configs[k].selects);
	free(configs);
	return result;
}

void apply_fill_mirror(json_t *row)
{
	struct counter counts;

	for (const struct bridge *bridge = bridge_first(); bridge; bridge = bridge_next(bridge))
		if (bridge_mirror_counts(bridge, config_row_uuid(row), &counts))
			json_object_set_new(row, "statistics",
					    json_pack("{s:I, s:I}", "tx_packets",
						      (json_int_t)counts.packets, "tx_bytes",
						      (json_int_t)counts.bytes));
}
