#include "ctl/render.h"

#include "common/text.h"
#include "ctl/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_WIDTH 20
#define OFPP_LOCAL_NUMBER 0xfffffffeu

static const char *string(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void add_number(struct text *text, const char *before, const json_t *object, const char *key)
{
	text_addf(text, "%s%" JSON_INTEGER_FORMAT, before, number(object, key));
}

// --- Configuration ---

static void render_record(const struct schema_table *table, const json_t *columns,
			  const json_t *row, struct text *text)
{
	json_t *name;
	size_t i;

	json_array_foreach ((json_t *)columns, i, name) {
		const char *key = json_string_value(name);
		const struct schema_column *column = schema_column(table, key);

		text_addf(text, "%-*s: ", NAME_WIDTH, key);
		if (column)
			schema_format(column, json_object_get(row, key), text);
		text_add(text, "\n");
	}
}

static void render_records(const json_t *request, const json_t *answer, struct text *text)
{
	const struct schema_table *table = schema_table_find(string(answer, "table"), NULL);
	json_t *row;
	size_t i;

	(void)request;
	json_array_foreach (json_object_get(answer, "rows"), i, row) {
		text_add(text, i ? "\n" : "");
		if (table)
			render_record(table, json_object_get(answer, "columns"), row, text);
	}
}

static void render_values(const json_t *request, const json_t *answer, struct text *text)
{
	const struct schema_table *table = schema_table_find(string(answer, "table"), NULL);
	json_t *entry;
	size_t i;

	(void)request;
	json_array_foreach (json_object_get(answer, "values"), i, entry) {
		const struct schema_column *column =
			table ? schema_column(table, string(entry, "column")) : NULL;
		json_t *value = json_object_get(entry, "value");

		if (column && value && json_object_get(entry, "key"))
			schema_format_element(column->value, value, text);
		else if (column && value)
			schema_format(column, value, text);
		text_add(text, "\n");
	}
}

static void render_uuid(const json_t *request, const json_t *answer, struct text *text)
{
	(void)request;
	text_addf(text, "%s\n", string(answer, "uuid"));
}

static void add_quoted(struct text *text, const char *value)
{
	json_t *json = json_string(value);

	schema_format_element(SCHEMA_STRING, json, text);
	json_decref(json);
}

static void show_interface(const json_t *interface, struct text *text)
{
	const json_t *options = json_object_get(interface, "options");
	static const struct schema_column map = { .key = SCHEMA_STRING, .value = SCHEMA_STRING };

	text_add(text, "            Interface ");
	add_quoted(text, string(interface, "name"));
	text_add(text, "\n");
	if (*string(interface, "type")) {
		text_add(text, "                type: ");
		add_quoted(text, string(interface, "type"));
		text_add(text, "\n");
	}
	if (json_object_size(options)) {
		text_add(text, "                options: ");
		schema_format(&map, options, text);
		text_add(text, "\n");
	}
	if (*string(interface, "error")) {
		text_add(text, "                error: ");
		add_quoted(text, string(interface, "error"));
		text_add(text, "\n");
	}
}

static void show_port(const json_t *port, struct text *text)
{
	const json_t *trunks = json_object_get(port, "trunks");
	static const struct schema_column set = { .key = SCHEMA_INTEGER, .max = SCHEMA_MANY };
	json_t *interface;
	size_t i;

	text_add(text, "        Port ");
	add_quoted(text, string(port, "name"));
	text_add(text, "\n");
	if (json_is_integer(json_object_get(port, "tag"))) {
		add_number(text, "            tag: ", port, "tag");
		text_add(text, "\n");
	}
	if (json_array_size(trunks)) {
		text_add(text, "            trunks: ");
		schema_format(&set, trunks, text);
		text_add(text, "\n");
	}
	json_array_foreach (json_object_get(port, "interfaces"), i, interface)
		show_interface(interface, text);
}

static void show_tree(const json_t *answer, struct text *text)
{
	json_t *bridge, *item;
	size_t i, k;

	text_addf(text, "%s\n", string(answer, "uuid"));
	json_array_foreach (json_object_get(answer, "bridges"), i, bridge) {
		text_add(text, "    Bridge ");
		add_quoted(text, string(bridge, "name"));
		text_add(text, "\n");
		json_array_foreach (json_object_get(bridge, "controllers"), k, item)
			text_addf(text, "        Controller \"%s\"\n", json_string_value(item));
		if (*string(bridge, "fail_mode"))
			text_addf(text, "        fail_mode: %s\n", string(bridge, "fail_mode"));
		json_array_foreach (json_object_get(bridge, "ports"), k, item)
			show_port(item, text);
	}
	text_addf(text, "    version: \"%s\"\n", string(answer, "version"));
}

// --- Ports ---

static void add_port_number(const json_t *port, struct text *text)
{
	json_int_t value = number(port, "port");

	if (value == (json_int_t)OFPP_LOCAL_NUMBER)
		text_add(text, "LOCAL");
	else
		text_addf(text, "%" JSON_INTEGER_FORMAT, value);
}

static void describe_port(const json_t *port, struct text *text)
{
	const json_t *config = json_object_get(port, "config");
	json_t *word;
	size_t i;
	bool link = json_is_true(json_object_get(port, "link_up"));
	json_int_t speed = number(port, "link_speed") / 1000000;

	text_add(text, " ");
	add_port_number(port, text);
	text_addf(text, "(%s): addr:%s\n", string(port, "name"), string(port, "mac"));
	text_add(text, "     config:     ");
	json_array_foreach ((json_t *)config, i, word)
		text_addf(text, "%s%s", i ? " " : "", json_string_value(word));
	text_add(text, json_array_size(config) ? "\n" : "0\n");
	text_addf(text, "     state:      %s\n", link ? "0" : "LINK_DOWN");
	text_addf(text, "     speed: %" JSON_INTEGER_FORMAT " Mbps now, 0 Mbps max\n", speed);
}

static void render_ports_desc(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *port;
	size_t i;

	(void)request;
	json_array_foreach ((json_t *)answer, i, port)
		describe_port(port, text);
}

static void render_show(const json_t *request, const json_t *answer, struct text *text)
{
	if (!json_object_get(answer, "bridge")) {
		show_tree(answer, text);
		return;
	}
	text_addf(text, "%s: dpid:%s\n", string(answer, "bridge"), string(answer, "datapath_id"));
	add_number(text, "n_tables:", answer, "n_tables");
	text_add(text, ", n_buffers:0\n");
	render_ports_desc(request, json_object_get(answer, "ports"), text);
}

static void render_ports(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *port;
	size_t i;

	(void)request;
	json_array_foreach ((json_t *)answer, i, port) {
		text_addf(text, "  port %s", *string(port, "name") ? string(port, "name") : "?");
		add_number(text, ": rx pkts=", port, "rx_packets");
		add_number(text, ", bytes=", port, "rx_bytes");
		add_number(text, ", drop=", port, "rx_dropped");
		add_number(text, ", errs=", port, "rx_errors");
		text_add(text, ", frame=0");
		add_number(text, ", over=", port, "rx_missed_errors");
		text_add(text, ", crc=0\n");
		add_number(text, "           tx pkts=", port, "tx_packets");
		add_number(text, ", bytes=", port, "tx_bytes");
		add_number(text, ", drop=", port, "tx_dropped");
		add_number(text, ", errs=", port, "tx_errors");
		add_number(text, ", coll=", port, "collisions");
		text_add(text, "\n");
	}
}

static void render_queues(const json_t *request, const json_t *answer, struct text *text)
{
	(void)request;
	text_addf(text, "%zu queues\n", json_array_size(answer));
}

// Where packets of one reason were dropped: "vm1 3, vm2 5".
static void add_drop_ports(struct text *text, const json_t *drop)
{
	const char *name, *separator = "  ";
	json_t *count;

	json_object_foreach (json_object_get(drop, "ports"), name, count) {
		text_addf(text, "%s%s %" JSON_INTEGER_FORMAT, separator, name,
			  json_integer_value(count));
		separator = ", ";
	}
}

static void render_drops(const json_t *request, const json_t *answer, struct text *text)
{
	const json_t *totals = json_object_get(answer, "totals");
	const json_t *reasons = json_object_get(answer, "reasons");
	json_t *drop;
	size_t i;

	(void)request;
	if (totals) {
		add_number(text, "received ", totals, "received");
		add_number(text, " + copied ", totals, "copies");
		add_number(text, " = sent ", totals, "transmitted");
		add_number(text, " + dropped ", totals, "dropped");
		if (number(totals, "in_flight"))
			add_number(text, " + under way ", totals, "in_flight");
		text_add(text, "\n");
	}
	if (!json_array_size(reasons))
		text_add(text, "no packets were dropped\n");
	json_array_foreach ((json_t *)reasons, i, drop) {
		text_addf(text, "%12" JSON_INTEGER_FORMAT "  %-24s %s", number(drop, "packets"),
			  string(drop, "reason"), string(drop, "help"));
		add_drop_ports(text, drop);
		text_add(text, "\n");
	}
}

static void render_fdb(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *entry;
	size_t i;

	(void)request;
	text_add(text, " port  VLAN  MAC                Age\n");
	json_array_foreach ((json_t *)answer, i, entry)
		text_addf(text, "%5s  %4" JSON_INTEGER_FORMAT "  %s  %3" JSON_INTEGER_FORMAT "\n",
			  string(entry, "name"), number(entry, "vlan"), string(entry, "mac"),
			  number(entry, "age"));
}

// --- Flows ---

static void render_samples(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *set;
	size_t i;

	(void)request;
	json_array_foreach ((json_t *)answer, i, set) {
		text_addf(text, "  id %3" JSON_INTEGER_FORMAT ":", number(set, "collector_set_id"));
		add_number(text, " sampled pkts=", set, "packets");
		add_number(text, ", bytes=", set, "bytes");
		text_add(text, "\n");
	}
}

static void render_aggregate(const json_t *request, const json_t *answer, struct text *text)
{
	(void)request;
	add_number(text, "packet_count=", answer, "packet_count");
	add_number(text, " byte_count=", answer, "byte_count");
	add_number(text, " flow_count=", answer, "flow_count");
	text_add(text, "\n");
}

static void render_tlv_map(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *mappings = json_object_get(answer, "mappings"), *mapping;
	json_int_t space = 0;
	size_t i;

	(void)request;
	json_array_foreach (mappings, i, mapping)
		space += json_integer_value(json_object_get(mapping, "length"));
	add_number(text, " max option space=", answer, "max_option_space");
	add_number(text, " max fields=", answer, "max_fields");
	text_addf(text, "\n allocated option space=%lld\n\n mapping table:\n", (long long)space);
	text_add(text,
		 "  class  type  length  match field\n ------  ----  ------  --------------\n");
	json_array_foreach (mappings, i, mapping)
		text_addf(text, " %#6x  %#4x  %6d  tun_metadata%d\n",
			  (int)json_integer_value(json_object_get(mapping, "class")),
			  (int)json_integer_value(json_object_get(mapping, "type")),
			  (int)json_integer_value(json_object_get(mapping, "length")),
			  (int)json_integer_value(json_object_get(mapping, "field")));
}

static void render_groups(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *group;
	size_t i;

	(void)request;
	json_array_foreach ((json_t *)answer, i, group)
		text_addf(text, " %s\n", string(group, "text"));
}

static void render_group_stats(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *group, *bucket;
	size_t i, k;

	(void)request;
	json_array_foreach ((json_t *)answer, i, group) {
		add_number(text, " group_id=", group, "group_id");
		text_addf(text, ",duration=%.3fs",
			  json_real_value(json_object_get(group, "duration")));
		add_number(text, ",ref_count=", group, "ref_count");
		add_number(text, ",packet_count=", group, "packet_count");
		add_number(text, ",byte_count=", group, "byte_count");
		json_array_foreach (json_object_get(group, "buckets"), k, bucket) {
			text_addf(text, ",bucket%zu", k);
			add_number(text, ":packet_count=", bucket, "packet_count");
			add_number(text, ",byte_count=", bucket, "byte_count");
		}
		text_add(text, "\n");
	}
}

static void add_words(struct text *text, const char *before, const json_t *list)
{
	json_t *word;
	size_t i;

	text_add(text, before);
	json_array_foreach ((json_t *)list, i, word)
		text_addf(text, " %s", json_string_value(word));
	text_add(text, "\n");
}

static void render_meters(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *meter, *band;
	size_t i, k;

	(void)request;
	json_array_foreach ((json_t *)answer, i, meter) {
		add_number(text, "meter=", meter, "meter_id");
		text_addf(text, " %s%s%s bands=\n", string(meter, "unit"),
			  json_is_true(json_object_get(meter, "burst")) ? " burst" : "",
			  json_is_true(json_object_get(meter, "stats")) ? " stats" : "");
		json_array_foreach (json_object_get(meter, "bands"), k, band) {
			text_addf(text, "type=%s", string(band, "type"));
			add_number(text, " rate=", band, "rate");
			if (number(band, "burst_size"))
				add_number(text, " burst_size=", band, "burst_size");
			if (number(band, "prec_level"))
				add_number(text, " prec_level=", band, "prec_level");
			text_add(text, "\n");
		}
	}
}

static void render_meter_stats(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *meter, *band;
	size_t i, k;

	(void)request;
	json_array_foreach ((json_t *)answer, i, meter) {
		add_number(text, "meter:", meter, "meter_id");
		add_number(text, " flow_count:", meter, "flow_count");
		add_number(text, " packet_in_count:", meter, "packet_in_count");
		add_number(text, " byte_in_count:", meter, "byte_in_count");
		text_addf(text, " duration:%.3fs bands:\n",
			  json_real_value(json_object_get(meter, "duration")));
		json_array_foreach (json_object_get(meter, "bands"), k, band) {
			text_addf(text, "%zu:", k);
			add_number(text, " packet_count:", band, "packet_count");
			add_number(text, " byte_count:", band, "byte_count");
			text_add(text, "\n");
		}
	}
}

static void render_meter_features(const json_t *request, const json_t *answer, struct text *text)
{
	(void)request;
	add_number(text, "max_meter:", answer, "max_meter");
	add_number(text, " max_bands:", answer, "max_bands");
	add_number(text, " max_color:", answer, "max_color");
	add_words(text, "\nband_types:", json_object_get(answer, "band_types"));
	add_words(text, "capabilities:", json_object_get(answer, "capabilities"));
}

static void render_cost(const json_t *answer, struct text *text)
{
	json_t *table, *part;
	size_t i, k;

	json_array_foreach ((json_t *)answer, i, table) {
		add_number(text, "table ", table, "table");
		add_number(text, ": ", table, "flows");
		add_number(text, " flows, at most ", table, "cycles");
		text_add(text, " cycles for each packet\n");
		json_array_foreach (json_object_get(table, "parts"), k, part) {
			text_addf(text, "    %-10s", string(part, "template"));
			add_number(text, " flows=", part, "flows");
			add_number(text, ", masks=", part, "masks");
			add_number(text, ", max_priority=", part, "max_priority");
			add_number(text, ", memory=", part, "memory");
			add_number(text, ", cycles=", part, "cycles");
			if (json_object_get(part, "field")) {
				text_addf(text, ", by %s", string(part, "field"));
				add_number(text, " with ", part, "values");
				text_add(text, " values");
			}
			text_add(text, "\n");
		}
	}
}

static void begin_table(const json_t *table, struct text *text)
{
	add_number(text, "  table ", table, "table");
	if (*string(table, "name"))
		text_addf(text, " (\"%s\")", string(table, "name"));
	text_add(text, ":\n");
}

// Is there nothing to say of the table but its number?
static bool is_plain(const json_t *table)
{
	return !*string(table, "name") && !number(table, "active") && !number(table, "lookup") &&
	       number(table, "max_entries") == 1 << 24;
}

static bool is_plain_desc(const json_t *table)
{
	return !*string(table, "name") && !json_is_true(json_object_get(table, "eviction")) &&
	       !json_object_get(table, "flow_limit") && !json_object_get(table, "vacancy") &&
	       !json_object_get(table, "max_lookup_cycles") &&
	       !strcmp(string(table, "table_miss"), "default");
}

// Tables one by one, those of which there is nothing to say in one line.
static void each_table(const json_t *tables, bool (*plain)(const json_t *table),
		       void (*render)(const json_t *table, struct text *text), struct text *text)
{
	const size_t n = json_array_size(tables);

	for (size_t i = 0; i < n; i++) {
		size_t end = i;

		while (end + 1 < n && plain(json_array_get(tables, end)) &&
		       plain(json_array_get(tables, end + 1)))
			end++;
		if (end == i) {
			begin_table(json_array_get(tables, i), text);
			render(json_array_get(tables, i), text);
			continue;
		}
		text_addf(text, "  tables %zu...%zu:\n", i, end);
		render(json_array_get(tables, i), text);
		i = end;
	}
}

static void render_table(const json_t *table, struct text *text)
{
	add_number(text, "    active=", table, "active");
	add_number(text, ", lookup=", table, "lookup");
	add_number(text, ", matched=", table, "matched");
	add_number(text, "\n    max_entries=", table, "max_entries");
	text_add(text, "\n");
	if (number(table, "evicted") || number(table, "refused")) {
		add_number(text, "    evicted=", table, "evicted");
		add_number(text, ", refused=", table, "refused");
		text_add(text, "\n");
	}
}

static void render_tables(const json_t *request, const json_t *answer, struct text *text)
{
	if (json_is_true(json_object_get(json_object_get(request, "options"), "cost")))
		render_cost(answer, text);
	else
		each_table(answer, is_plain, render_table, text);
}

static void render_table_desc(const json_t *table, struct text *text)
{
	const json_t *vacancy = json_object_get(table, "vacancy");

	text_addf(text, "   eviction=%s eviction_flags=OTHER|IMPORTANCE|LIFETIME\n",
		  json_is_true(json_object_get(table, "eviction")) ? "on" : "off");
	text_addf(text, "   vacancy=%s", vacancy ? "on" : "off");
	if (vacancy) {
		add_number(text, " vacancy_down=", vacancy, "down");
		add_number(text, "% vacancy_up=", vacancy, "up");
		add_number(text, "% vacancy=", vacancy, "now");
		text_add(text, "%");
	}
	text_addf(text, "\n   table_miss=%s", string(table, "table_miss"));
	if (json_object_get(table, "flow_limit"))
		add_number(text, " flow_limit=", table, "flow_limit");
	if (json_object_get(table, "max_lookup_cycles"))
		add_number(text, " max_lookup_cycles=", table, "max_lookup_cycles");
	text_add(text, "\n");
}

static void render_tables_desc(const json_t *request, const json_t *answer, struct text *text)
{
	(void)request;
	each_table(answer, is_plain_desc, render_table_desc, text);
}

static void render_max_entries(const json_t *table, struct text *text)
{
	add_number(text, "    max_entries=", table, "max_entries");
	text_add(text, "\n");
}

static void render_features(const json_t *request, const json_t *answer, struct text *text)
{
	(void)request;
	each_table(json_object_get(answer, "tables"), is_plain, render_max_entries, text);
	text_add(text, "  all tables:\n"
		       "    metadata: match=0xffffffffffffffff write=0xffffffffffffffff\n");
	add_words(text, "    instructions:", json_object_get(answer, "instructions"));
	add_words(text, "    actions of apply_actions:", json_object_get(answer, "apply_actions"));
	add_words(text, "    actions of write_actions:", json_object_get(answer, "write_actions"));
	add_words(text, "    set_field:", json_object_get(answer, "set_field"));
	add_words(text, "    matching with any mask:", json_object_get(answer, "match_masked"));
	add_words(text, "    matching whole values:", json_object_get(answer, "match_exact"));
}

static void render_desc(const json_t *request, const json_t *answer, struct text *text)
{
	(void)request;
	text_addf(text, "Manufacturer: %s\n", string(answer, "manufacturer"));
	text_addf(text, "Hardware: %s\n", string(answer, "hardware"));
	text_addf(text, "Software: %s\n", string(answer, "software"));
	text_addf(text, "Serial Num: %s\n", string(answer, "serial"));
	text_addf(text, "DP Description: %s\n", string(answer, "datapath"));
}

// As ovs-ofctl(8) prints them; the bits are those of OpenFlow, in the order of the words.
static void render_group_features(const json_t *request, const json_t *answer, struct text *text)
{
	const json_t *types = json_object_get(answer, "types");
	const size_t n = json_array_size(json_object_get(answer, "capabilities"));
	json_t *type;
	size_t i;

	(void)request;
	text_addf(text, " Group table:\n    Types:  %#x\n    Capabilities:  %#x\n",
		  (1u << json_array_size(types)) - 1, (1u << n) - 1);
	json_array_foreach (types, i, type) {
		const char *name = string(type, "type");

		text_addf(text, "    %s group:\n",
			  strcmp(name, "fast_failover") ? name : "fast failover");
		text_addf(text, "       max_groups=%#llx\n",
			  (unsigned long long)number(type, "max_groups"));
		add_words(text, "       actions:", json_object_get(type, "actions"));
	}
}

// --- Daemon ---

static void render_version(const json_t *request, const json_t *answer, struct text *text)
{
	(void)request;
	text_addf(text, "vswitchd %s (DPDK: %s; memory: %s; process %" JSON_INTEGER_FORMAT ")\n",
		  string(answer, "vswitchd"), string(answer, "dpdk"), string(answer, "memory"),
		  number(answer, "pid"));
}

static void add_load(struct text *text, const json_t *object)
{
	text_addf(text, "load=%.1f%%, cycles/packet=%.0f, packets/s=%.0f",
		  json_real_value(json_object_get(object, "load")),
		  json_real_value(json_object_get(object, "cycles_per_packet")),
		  json_real_value(json_object_get(object, "packet_rate")));
}

static void render_worker(const json_t *worker, struct text *text)
{
	json_t *queue;
	size_t i;

	add_number(text, "worker-", worker, "worker");
	add_number(text, ": core=", worker, "core");
	text_add(text, ", ");
	add_load(text, worker);
	add_number(text, ", packets=", worker, "packets");
	add_number(text, ", vectors=", worker, "vectors");
	add_number(text, ", sleeps=", worker, "sleeps");
	text_add(text, json_is_true(json_object_get(worker, "isolated"))
			       ? ", only for pinned queues\n"
			       : "\n");
	if (number(worker, "learn_lost") || number(worker, "events_lost")) {
		add_number(text, "    not told to the main thread: flows to learn=", worker,
			   "learn_lost");
		add_number(text, ", addresses=", worker, "events_lost");
		text_add(text, "\n");
	}
	json_array_foreach (json_object_get(worker, "queues"), i, queue) {
		text_addf(text, "    %s/%" JSON_INTEGER_FORMAT ": ", string(queue, "port"),
			  number(queue, "queue"));
		add_load(text, queue);
		text_addf(text, ": %s\n", string(queue, "why"));
	}
}

static void render_workers(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *worker;
	size_t i;

	(void)request;
	json_array_foreach (json_object_get(answer, "workers"), i, worker)
		render_worker(worker, text);
	add_number(text, "received=", answer, "received");
	add_number(text, ", copies=", answer, "copies");
	add_number(text, ", transmitted=", answer, "transmitted");
	add_number(text, ", dropped=", answer, "dropped");
	text_add(text, "\n");
}

static void render_rebalance(const json_t *request, const json_t *answer, struct text *text)
{
	const json_t *moves = json_object_get(answer, "moves");
	json_t *move;
	size_t i;

	(void)request;
	json_array_foreach ((json_t *)moves, i, move) {
		text_addf(text, "%s/%" JSON_INTEGER_FORMAT ": ", string(move, "port"),
			  number(move, "queue"));
		add_number(text, "worker ", move, "from");
		add_number(text, " -> ", move, "to");
		text_add(text, "\n");
	}
	text_addf(text, "load of the most loaded worker: %.1f%%",
		  json_real_value(json_object_get(answer, "highest_load_before")));
	if (json_array_size(moves))
		text_addf(text, " -> %.1f%%",
			  json_real_value(json_object_get(answer, "highest_load_after")));
	text_add(text, !json_array_size(moves) ? "; no move would improve it\n"
		       : json_is_true(json_object_get(answer, "dry_run")) ? "; nothing was moved\n"
									  : "\n");
}

static void render_profile(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *worker, *stage;
	size_t i, k;

	(void)request;
	json_array_foreach (json_object_get(answer, "workers"), i, worker) {
		const double packets = (double)number(worker, "packets");
		const double bursts = (double)number(worker, "bursts");
		double sum = 0;

		add_number(text, "worker-", worker, "worker");
		add_number(text, ": packets=", worker, "packets");
		add_number(text, ", bursts=", worker, "bursts");
		text_add(text, "\n");
		if (packets < 1)
			continue;
		text_addf(text, "%10s %10s  %s\n", "cycles", "per burst", "stage");
		json_array_foreach (json_object_get(worker, "stages"), k, stage) {
			const double cycles = (double)number(stage, "cycles") / packets;

			sum += cycles;
			text_addf(text, "%10.1f %10.1f  %-12s %s\n", cycles,
				  (double)number(stage, "entries") / bursts, string(stage, "stage"),
				  string(stage, "what"));
		}
		text_addf(text, "%10.1f %10s  cycles for each packet\n", sum, "");
	}
}

static void render_cache(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *worker, *bridge;
	size_t i, k;

	(void)request;
	text_addf(text, "mode=%s\n", string(answer, "mode"));
	json_array_foreach (json_object_get(answer, "workers"), i, worker) {
		add_number(text, "worker-", worker, "worker");
		add_number(text, ": hits=", worker, "hits");
		add_number(text, ", misses=", worker, "misses");
		add_number(text, ", inserted=", worker, "inserted");
		add_number(text, ", evicted=", worker, "evicted");
		add_number(text, ", trials=", worker, "trials");
		add_number(text, ", max_entries=", worker, "max_entries");
		text_add(text, "\n");
		json_array_foreach (json_object_get(worker, "bridges"), k, bridge)
			text_addf(text,
				  "    %s: %s; cycles per packet: %.0f without, %.0f with the "
				  "cache\n",
				  string(bridge, "bridge"), string(bridge, "state"),
				  json_real_value(json_object_get(bridge, "cycles_direct")),
				  json_real_value(json_object_get(bridge, "cycles_cached")));
	}
}

// Strings, and lists of strings one per line: what most commands answer.
static void render_plain(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *item;
	size_t i;

	(void)request;
	if (json_is_string(answer))
		text_addf(text, "%s\n", json_string_value(answer));
	json_array_foreach ((json_t *)answer, i, item)
		text_addf(text, "%s\n", json_string_value(item));
}

static const struct {
	const char *command;
	void (*render)(const json_t *request, const json_t *answer, struct text *text);
} renderers[] = {
	{ "list", render_records },
	{ "find", render_records },
	{ "get", render_values },
	{ "create", render_uuid },
	{ "show", render_show },
	{ "dump-ports", render_ports },
	{ "dump-ports-desc", render_ports_desc },
	{ "drops", render_drops },
	{ "port-guest", render_guest },
	{ "queue-stats", render_queues },
	{ "queue-get-config", render_queues },
	{ "fdb-show", render_fdb },
	{ "dump-tlv-map", render_tlv_map },
	{ "dump-groups", render_groups },
	{ "dump-group-stats", render_group_stats },
	{ "dump-meters", render_meters },
	{ "meter-stats", render_meter_stats },
	{ "meter-features", render_meter_features },
	{ "dump-aggregate", render_aggregate },
	{ "dump-ipfix-flow", render_samples },
	{ "dump-tables", render_tables },
	{ "dump-table-desc", render_tables_desc },
	{ "dump-table-features", render_features },
	{ "dump-desc", render_desc },
	{ "dump-group-features", render_group_features },
	{ "trace", render_trace },
	{ "version", render_version },
	{ "workers", render_workers },
	{ "rebalance-workers", render_rebalance },
	{ "profile", render_profile },
	{ "cache-show", render_cache },
};

void render_answer(const json_t *request, const json_t *answer, struct text *text)
{
	const char *name = string(request, "name");

	if (json_is_null(answer))
		return;
	for (size_t i = 0; i < sizeof(renderers) / sizeof(renderers[0]); i++)
		if (!strcmp(renderers[i].command, name)) {
			renderers[i].render(request, answer, text);
			return;
		}
	render_plain(request, answer, text);
}
