#include "ofproto/mirror.h"

#include "common/error.h"
#include "common/rcu.h"
#include "datapath/datapath.h"
#include "ofproto/bridge_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_table(void *pointer)
{
	struct mirror_table *table = pointer;

	for (uint32_t i = 0; table && i < table->n; i++)
		if (table->gone >> i & 1)
			counter_free(table->mirrors[i].counter);
	if (table)
		free(table->ports);
	free(table);
}

static const struct mirror *find(const struct mirror_table *table, const char *id)
{
	for (uint32_t i = 0; table && i < table->n; i++)
		if (!strcmp(table->mirrors[i].id, id))
			return &table->mirrors[i];
	return NULL;
}

static bool is_in_force(const struct mirror_table *table, const char *id)
{
	return find(table, id) != NULL;
}

bool bridge_mirror_counts(const struct bridge *bridge, const char *id, struct counter *counts)
{
	const struct mirror *mirror = find(bridge->forwarding->mirrors, id);

	if (!mirror)
		return false;
	*counts = counter_read(mirror->counter);
	return true;
}

// --- Making a table ---

static uint16_t set_filter(struct mirror *mirror, const struct match *filter)
{
	uint16_t lines = 0;

	for (unsigned int i = 0; i < KEY_WORDS; i++) {
		if (!filter->mask.words[i])
			continue;
		mirror->words[mirror->n_words++] = (struct mirror_word){
			.mask = filter->mask.words[i],
			.value = filter->value.words[i],
			.line = (uint16_t)(i / KEY_LINE_WORDS),
			.word = (uint16_t)(i % KEY_LINE_WORDS),
		};
		lines |= (uint16_t)(1u << i / KEY_LINE_WORDS);
	}
	return lines;
}

static void add_select(struct mirror_table *table, const struct mirror_select *select, uint32_t bit)
{
	struct mirror_port *port;
	uint32_t at = 0;

	while (at < table->n_ports && table->ports[at].ofport < select->ofport)
		at++;
	port = &table->ports[at];
	if (at == table->n_ports || port->ofport != select->ofport) {
		memmove(port + 1, port, (table->n_ports - at) * sizeof(*port));
		*port = (struct mirror_port){ .ofport = select->ofport };
		table->n_ports++;
	}
	port->source |= select->source ? bit : 0;
	port->destination |= select->destination ? bit : 0;
}

// The counter stays with the id.
static bool find_counter(struct mirror *mirror, const struct mirror_table *old)
{
	const struct mirror *before = find(old, mirror->id);

	mirror->counter = before ? before->counter : counter_alloc();
	return mirror->counter != COUNTER_NONE;
}

static void fill_mirror(struct mirror_table *table, uint32_t i, const struct mirror_config *config,
			char **names, uint16_t *lines)
{
	struct mirror *mirror = &table->mirrors[i];

	snprintf(mirror->id, sizeof(mirror->id), "%s", config->id);
	mirror->name = *names;
	strcpy(*names, config->name);
	*names += strlen(config->name) + 1;
	mirror->output_port = config->output_port;
	mirror->output_vlan = config->output_vlan;
	mirror->snaplen = config->snaplen;
	mirror->any_vlan = config->any_vlan;
	memcpy(mirror->vlans, config->vlans, sizeof(mirror->vlans));
	*lines |= set_filter(mirror, &config->filter);
	if (config->select_all)
		table->all |= 1u << i;
	for (unsigned int k = 0; k < config->n_selects; k++)
		add_select(table, &config->selects[k], 1u << i);
	for (uint32_t k = 0; k <= i; k++)
		if (table->mirrors[k].output_port == mirror->output_port &&
		    table->mirrors[k].output_vlan == mirror->output_vlan) {
			table->mirrors[k].same |= 1u << i;
			mirror->same |= 1u << k;
		}
}

static struct mirror_table *make_table(const struct mirror_config *configs, unsigned int n,
				       const struct mirror_table *old, uint16_t *lines)
{
	size_t n_ports = 0, size = sizeof(struct mirror_table) + n * sizeof(struct mirror);
	struct mirror_table *table;
	char *names;

	for (unsigned int i = 0; i < n; i++)
		n_ports += configs[i].n_selects;
	names = NULL;
	for (unsigned int i = 0; i < n; i++)
		size += strlen(configs[i].name) + 1;
	table = calloc(1, size);
	if (table)
		table->ports = calloc(n_ports + 1, sizeof(*table->ports));
	if (!table || !table->ports) {
		free(table);
		return NULL;
	}
	names = (char *)&table->mirrors[n];
	for (unsigned int i = 0; i < n; i++) {
		fill_mirror(table, i, &configs[i], &names, lines);
		if (!find_counter(&table->mirrors[i], old)) {
			free_table(table); // which knows of the new counters so far
			return NULL;
		}
		table->n++;
		if (!is_in_force(old, configs[i].id))
			table->gone |= 1u << i; // until it is in force
	}
	table->gone = 0;
	return table;
}

// --- Putting it in force ---

static bool is_output(const struct mirror_config *configs, unsigned int n, uint32_t ofport)
{
	for (unsigned int i = 0; i < n; i++)
		if (!configs[i].output_vlan && configs[i].output_port == ofport)
			return true;
	return false;
}

// Ports are reserved before copies go there, and given back after the last of them.
static int reserve_ports(struct bridge *bridge, const struct mirror_config *configs, unsigned int n)
{
	for (struct bridge_port *port = bridge->ports; port; port = port->next)
		if (is_output(configs, n, port->ofport) && bridge_port_set_mirror(port, true))
			return -ENOMEM;
	return 0;
}

static void release_ports(struct bridge *bridge, const struct mirror_config *configs,
			  unsigned int n)
{
	for (struct bridge_port *port = bridge->ports; port; port = port->next)
		if (port->is_mirror && !is_output(configs, n, port->ofport))
			bridge_port_set_mirror(port, false);
}

static void retire(struct mirror_table *old, const struct mirror_table *new)
{
	for (uint32_t i = 0; i < old->n; i++)
		if (!is_in_force(new, old->mirrors[i].id))
			old->gone |= 1u << i;
	rcu_defer(free_table, old);
}

int bridge_set_mirrors(struct bridge *bridge, const struct mirror_config *configs, unsigned int n,
		       struct error *error)
{
	struct mirror_table *old = bridge->forwarding->mirrors, *table = NULL;
	uint16_t lines = 0;

	if (!n && !old)
		return 0;
	if (n > MIRRORS_MAX)
		return error_set(error, E2BIG,
				 "bridge '%s' has %u mirrors, and %d are possible: one mirror can "
				 "select several ports and VLANs",
				 bridge->name, n, MIRRORS_MAX);
	if (n) {
		table = make_table(configs, n, old, &lines);
		if (!table)
			return error_set(error, ENOMEM, "out of memory");
	}
	if (reserve_ports(bridge, configs, n) < 0) {
		for (uint32_t i = 0; table && i < table->n; i++)
			if (!is_in_force(old, table->mirrors[i].id))
				table->gone |= 1u << i;
		free_table(table);
		return error_set(error, ENOMEM, "out of memory");
	}
	bridge_make_lines_live(bridge, (uint16_t)(bridge->forwarding->lines | lines));
	rcu_publish(&bridge->forwarding->mirrors, table);
	release_ports(bridge, configs, n);
	if (old)
		retire(old, table);
	return 0;
}

void bridge_mirrors_exit(struct bridge *bridge)
{
	struct mirror_table *table = bridge->forwarding->mirrors;

	bridge->forwarding->mirrors = NULL;
	if (table)
		table->gone = UINT32_MAX;
	free_table(table);
}
