#include "tests/unit/changes.h"

#include "common/counters.h"
#include "common/error.h"
#include "common/text.h"
#include "ctl/bundle_list.h"
#include "ofproto/bridge_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int changes_apply(struct bridge *bridge, const char *text, struct error *error)
{
	struct bundle_list list;
	int result;

	bundle_list_init(&list, bridge);
	result = bundle_list_read(&list, text, error);
	if (!result)
		result = bundle_list_apply(&list, error);
	bundle_list_free(&list);
	return result;
}

static int by_rank(const void *a_, const void *b_)
{
	const struct flow *a = *(struct flow *const *)a_, *b = *(struct flow *const *)b_;

	return a->rank < b->rank ? 1 : a->rank > b->rank ? -1 : 0;
}

static void describe_flow(const struct flow *flow, struct text *text)
{
	const bool timed = flow->idle_timeout || flow->hard_timeout ||
			   flow->program->flags & PROGRAM_FIN_TIMEOUT;
	struct match match;

	match_unpack(flow->mask, flow->values, &match);
	text_addf(text, "table=%u,n=%llu,cookie=%llu,idle=%u,hard=%u,timer=%d,priority=%u,",
		  flow->table_id, (unsigned long long)flow_counts(flow).packets,
		  (unsigned long long)flow->cookie, flow->idle_timeout, flow->hard_timeout,
		  timed && flow->timer_slot != UINT32_MAX, flow->priority);
	match_format(&match, NULL, text);
	text_addf(text, " state=%u actions=", flow->state);
	program_format(flow->program, NULL, text);
	text_add_char(text, '\n');
}

// Flows in the order in which they win, and groups.
char *changes_describe(const struct bridge *bridge)
{
	const struct group_table *groups = bridge_group_table(bridge);
	struct flow *flows[1024];
	struct text text = { 0 };

	text_addf(&text, "%u cookies\n", bridge->index.n_cookies);
	for (unsigned int t = 0; t < N_TABLES; t++) {
		const struct table *table = bridge_table(bridge, (uint8_t)t);
		unsigned int n = 0;

		for (struct flow *flow = table ? table_first(table) : NULL; flow && n < 1024;
		     flow = table_next(table, flow))
			flows[n++] = flow;
		if (n != (table ? table_size(table) : 0))
			text_addf(&text, "table %u counts %u flows\n", t, table_size(table));
		qsort(flows, n, sizeof(flows[0]), by_rank);
		for (unsigned int i = 0; i < n; i++)
			describe_flow(flows[i], &text);
	}
	for (uint32_t i = 0; groups && i < groups->n; i++) {
		group_text_format(&groups->all[i]->text, NULL, &text);
		text_addf(&text, " n=%llu\n",
			  (unsigned long long)counter_read(groups->all[i]->counter).packets);
	}
	for (const struct meter *meter = bridge_meter_next(bridge, 1); meter;
	     meter = bridge_meter_next(bridge, meter->id + 1)) {
		meter_text_format(&meter->text, &text);
		text_addf(&text, " n=%llu\n",
			  (unsigned long long)counter_read(meter->counter).packets);
	}
	return text.data;
}

static const char *random_match(struct random *random)
{
	static const char *const matches[] = {
		"",
		",ip",
		",tcp",
		",tcp,tp_src=1",
		",tcp,tp_src=2",
		",tcp,tp_src=0/1",
		",tcp,tp_src=1/1",
		",in_port=1",
		",tcp,nw_src=10.0.0.1",
		",in_port=3",
	};
	static char text[80];

	if (random_chance(random, 40))
		snprintf(text, sizeof(text), ",tcp,tp_src=%u", random_below(random, 40));
	else
		snprintf(text, sizeof(text), "%s", matches[random_below(random, 10)]);
	return text;
}

static const char *random_actions(struct random *random)
{
	static const char *const all[] = {
		"drop",
		"output:2",
		"output:1",
		"resubmit(,1)",
		"resubmit(,2),output:2",
		"group:1",
		"group:2",
		"clone(group:3),resubmit(,1)",
		"fin_timeout(idle_timeout=5),output:2",
		"learn(table=3,priority=7,cookie=9,NXM_OF_ETH_SRC[],delete_learned),output:2",
		"learn(table=3,priority=7,cookie=9,NXM_OF_ETH_SRC[]),output:2",
		"meter:1,output:2",
		"meter:300,resubmit(,1)",
	};

	return all[random_below(random, sizeof(all) / sizeof(all[0]))];
}

static void random_flow_line(struct random *random, char *text, size_t size)
{
	static const char *const selectors[] = {
		"", "", ",out_port=2", ",out_group=1", ",cookie=2/-1", ",cookie=1/1"
	};
	static const char *const more[] = { "",
					    "",
					    "",
					    ",idle_timeout=60",
					    ",cookie=2",
					    ",check_overlap",
					    ",cookie=3,reset_counts" };
	const unsigned int table = random_below(random, 3), priority = random_below(random, 3);
	const unsigned int kind = random_below(random, 10);

	if (kind < 5)
		snprintf(text, size, "flow table=%u,priority=%u%s%s,actions=%s", table, priority,
			 more[random_below(random, 7)], random_match(random),
			 random_actions(random));
	else if (kind < 7)
		snprintf(text, size, "flow modify%s table=%u%s%s%s,actions=%s",
			 kind == 5 ? "_strict" : "", table, kind == 5 ? ",priority=1" : "",
			 random_match(random), random_chance(random, 30) ? ",reset_counts" : "",
			 random_actions(random));
	else
		snprintf(text, size, "flow delete%s table=%u%s%s%s", kind == 9 ? "_strict" : "",
			 table, selectors[random_below(random, 6)], kind == 9 ? ",priority=1" : "",
			 random_match(random));
}

static void random_meter_line(struct random *random, char *text, size_t size)
{
	static const unsigned int ids[] = { 1, 300, 301 };
	const unsigned int id = ids[random_below(random, 3)];
	const bool add = random_chance(random, 60);

	if (random_chance(random, 40))
		snprintf(text, size, "meter delete %u", id);
	else if (random_chance(random, 10))
		snprintf(text, size, "meter delete all");
	else
		snprintf(text, size, "meter %s meter=%u,pktps,bands=type=drop,rate=%u",
			 add ? "add" : "modify", id, random_below(random, 3));
}

void changes_random(struct random *random, char *text, size_t size)
{
	static const char *const commands[] = { "add_or_mod", "add", "modify", "delete",
						"insert_bucket" };
	const unsigned int which = random_below(random, 5), id = 1 + random_below(random, 3);

	if (random_chance(random, 80))
		random_flow_line(random, text, size);
	else if (random_chance(random, 35))
		random_meter_line(random, text, size);
	else if (which < 3)
		snprintf(text, size, "group %s group_id=%u,type=all,bucket=bucket_id:%u,output:2",
			 random_chance(random, 90) ? "add_or_mod" : commands[which], id,
			 random_below(random, 4));
	else if (which == 3)
		snprintf(text, size, "group delete group_id=%u", id);
	else
		snprintf(text, size,
			 "group insert_bucket group_id=%u,command_bucket_id=last,"
			 "bucket=bucket_id:%u,output:1",
			 id, random_below(random, 20));
}

// One line, as a list of its own that is no bundle.
int changes_apply_alone(struct bridge *bridge, char *text, struct error *error)
{
	struct flow_list flows = { .bridge = bridge };
	struct group_list groups = { .bridge = bridge };
	struct meter_list meters = { .n = 0 };
	int result;

	if (!strncmp(text, "meter ", 6)) {
		result = meter_list_add(&meters, text + 6, METER_MOD_ADD, 1, error);
		if (!result)
			result = meter_mod_apply(bridge, meters.mods, error);
	} else if (!strncmp(text, "flow ", 5)) {
		result = flow_list_add_line(&flows, text + 5, 1, error);
		if (!result)
			result = flow_list_apply(&flows, false, error);
	} else {
		result = group_list_add(&groups, text + 6, GROUP_MOD_ADD, 1, error);
		if (!result)
			result = group_list_apply(&groups, false, error);
	}
	flow_list_free(&flows);
	group_list_free(&groups);
	meter_list_free(&meters);
	return result;
}
