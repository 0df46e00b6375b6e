#include "ctl/apply_table.h"

#include "common/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PREFIXES 3

const char *const port_config_words[N_PORT_FLAGS] = { "down",           "no-stp",   "no-receive",
						      "no-receive-stp", "no-flood", "no-forward",
						      "no-packet-in" };

int apply_port_config(struct bridge_port *port, const json_t *interface, struct error *error)
{
	uint16_t flags = 0;
	json_t *word;
	size_t i;
	int result;

	json_array_foreach (json_object_get(interface, "port_config"), i, word)
		for (unsigned int f = 0; f < N_PORT_FLAGS; f++)
			if (!strcmp(json_string_value(word), port_config_words[f]))
				flags |= (uint16_t)(1u << f);
	result = bridge_set_port_config(port, flags, error);
	if (result)
		error_prefix(error, "port '%s'", bridge_port_name(port));
	return result;
}

// A name must not be read as something else where flows are written.
static int read_name(const json_t *row, struct table_config *config, struct error *error)
{
	const char *name = config_string(row, "name");

	if (isdigit((unsigned char)*name))
		return error_set(error, EINVAL,
				 "name '%.64s': a name that begins with a digit would be read as a "
				 "number",
				 name);
	for (const char *c = name; *c; c++)
		if (iscntrl((unsigned char)*c))
			return error_set(error, EINVAL, "a table's name has no control characters");
	if (strlen(name) >= sizeof(config->name))
		return error_set(
			error, ENAMETOOLONG,
			"name '%.64s' is too long: a table's name has up to %zu characters", name,
			sizeof(config->name) - 1);
	strcpy(config->name, name);
	return 0;
}

static int read_groups(const json_t *row, struct table_config *config, struct error *error)
{
	json_t *group;
	size_t i;

	json_array_foreach (json_object_get(row, "groups"), i, group) {
		int result;

		if (i == EVICTION_MAX_FIELDS)
			return error_set(error, E2BIG, "groups: at most %d fields are possible",
					 EVICTION_MAX_FIELDS);
		result = subfield_parse(json_string_value(group), &config->groups[i], error);
		if (result) {
			error->column = 0;
			error_prefix(error, "groups '%.64s'", json_string_value(group));
			return result;
		}
		config->n_groups++;
	}
	return 0;
}

// The classifier finds the longest prefix by itself: the names are checked, nothing else.
static int check_prefixes(const json_t *row, struct error *error)
{
	static const char *const known[] = { "none",         "tun_id", "tun_src",  "tun_dst",
					     "tun_ipv6_src", "nw_src", "nw_dst",   "ip_src",
					     "tun_ipv6_dst", "ip_dst", "ipv6_src", "ipv6_dst" };
	json_t *prefixes = json_object_get(row, "prefixes"), *prefix;
	size_t i;

	if (json_array_size(prefixes) > MAX_PREFIXES)
		return error_set(error, E2BIG, "prefixes: at most %d fields are possible",
				 MAX_PREFIXES);
	json_array_foreach (prefixes, i, prefix) {
		const char *name = json_string_value(prefix);
		unsigned int k = 0;

		while (k < sizeof(known) / sizeof(known[0]) && strcmp(name, known[k]))
			k++;
		if (k == sizeof(known) / sizeof(known[0]))
			return error_set(
				error, EINVAL,
				"prefixes: '%.64s' has no prefixes that could be tracked; "
				"tun_id, tun_src, tun_dst, tun_ipv6_src, tun_ipv6_dst, "
				"nw_src, nw_dst, ipv6_src and ipv6_dst have, and none stands "
				"for no field",
				name);
	}
	return 0;
}

static void read_vacancy(const json_t *row, struct table_config *config)
{
	json_t *vacancy = json_object_get(row, "vacancy");
	json_int_t low = json_integer_value(json_array_get(vacancy, 0));
	json_int_t high = json_integer_value(json_array_get(vacancy, json_array_size(vacancy) - 1));

	if (!json_array_size(vacancy))
		return;
	if (low > high) { // a set has no order
		json_int_t other = low;

		low = high;
		high = other;
	}
	config->has_vacancy = true;
	config->vacancy_low = (uint8_t)low;
	config->vacancy_high = (uint8_t)high;
}

static int read_table(const json_t *row, struct table_config *config, struct error *error)
{
	const json_t *limit = json_object_get(row, "flow_limit");
	const char *miss = config_string(row, "table_miss");
	json_int_t cycles;
	int result = read_name(row, config, error);

	if (!result)
		result = read_groups(row, config, error);
	if (!result)
		result = check_prefixes(row, error);
	read_vacancy(row, config);
	config->has_limit = json_is_integer(limit);
	config->limit = json_integer_value(limit) > UINT32_MAX
				? UINT32_MAX
				: (uint32_t)json_integer_value(limit);
	cycles = json_integer_value(json_object_get(row, "max_lookup_cycles"));
	config->max_cycles = cycles > UINT32_MAX ? UINT32_MAX : (uint32_t)cycles;
	config->evicts = !strcmp(config_string(row, "overflow_policy"), "evict") ||
			 json_is_true(json_object_get(row, "eviction"));
	config->miss = !strcmp(miss, "continue")     ? TABLE_MISS_CONTINUE
		       : !strcmp(miss, "controller") ? TABLE_MISS_CONTROLLER
		       : !strcmp(miss, "drop")       ? TABLE_MISS_DROP
						     : TABLE_MISS_DEFAULT;
	return result;
}

static int check_names(const struct table_config *configs, struct error *error)
{
	for (unsigned int a = 0; a < N_TABLES; a++)
		for (unsigned int b = a + 1; *configs[a].name && b < N_TABLES; b++)
			if (!strcmp(configs[a].name, configs[b].name))
				return error_set(
					error, EEXIST,
					"tables %u and %u are both named '%s': a name stands "
					"for one table of a bridge",
					a, b, configs[a].name);
	return 0;
}

static int read_tables(const struct config *config, const json_t *row, struct table_config *configs,
		       struct error *error)
{
	const char *number;
	json_t *ref;

	json_object_foreach (json_object_get(row, "flow_tables"), number, ref) {
		const json_t *table = config_row(config, TABLE_Flow_Table, json_string_value(ref));
		int result = read_table(table, &configs[atoi(number)], error);

		if (result) {
			error_prefix(error, "Flow_Table of table %s", number);
			return result;
		}
	}
	return check_names(configs, error);
}

int apply_tables(struct bridge *bridge, const struct config *config, const json_t *row,
		 struct error *error)
{
	struct table_config *configs = calloc(N_TABLES, sizeof(*configs));
	int result = configs ? read_tables(config, row, configs, error)
			     : error_set(error, ENOMEM, "out of memory");

	if (result)
		error_prefix(error, "bridge '%s'", config_string(row, "name"));
	for (unsigned int id = 0; !result && id < N_TABLES; id++)
		if (bridge_set_table_config(bridge, (uint8_t)id, &configs[id]) < 0)
			result = error_set(error, ENOMEM, "out of memory");
	free(configs);
	return result;
}
