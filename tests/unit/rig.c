#include "tests/unit/rig.h"

#include "common/error.h"
#include "common/rcu.h"
#include "common/text.h"
#include "datapath/cache.h"
#include "datapath/group.h"
#include "datapath/learn.h"
#include "datapath/meter.h"
#include "datapath/stack.h"
#include "flowtable/tun_map.h"
#include "tests/unit/eal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_mempool.h>

#define MAX_LEVELS 3

// A frame that a port sent.
struct record {
	uint32_t ofport;
	unsigned int tag; // of the packet that it was
	unsigned int size;
	size_t at; // in bytes
};

struct records {
	unsigned int n, room;
	struct record *record;
	size_t size, bytes_room;
	uint8_t *bytes;
};

struct rig_port {
	struct vport vport;
	struct forwarding_port port;
	struct rig *rig;
};

struct rig_flow {
	char *text;
	struct flow *flow;
};

struct rig {
	struct ref_bridge ref;
	struct forwarding forwarding;
	struct port_map_chunk chunk;
	struct rig_port ports[RIG_PORTS];
	struct rig_flow flows[REF_MAX_TABLES][REF_MAX_FLOWS]; // as in ref.flows
	struct worker *worker;
	uint64_t bits[KEY_WORDS]; // that flows look at
	bool all_lines;
	unsigned int n_levels;
	const char *const *levels;
	struct records records[MAX_LEVELS], *recording;
	struct ref_result result;
	unsigned int n_asked[MAX_LEVELS];
	struct learn_request asked[MAX_LEVELS][REF_MAX_LEARNED];
	struct rig_stats stats;
};

// --- Ports ---

static void *grow(void *memory, size_t *room, size_t needed, size_t unit)
{
	if (needed <= *room)
		return memory;
	*room = needed * 2;
	memory = realloc(memory, *room * unit);
	if (!memory)
		abort();
	return memory;
}

static void record_frame(struct records *records, uint32_t ofport, struct rte_mbuf *mbuf)
{
	struct ref_packet packet;
	size_t room = records->room;
	struct record *record;

	test_packet_read(mbuf, &packet);
	records->record = grow(records->record, &room, records->n + 1, sizeof(*record));
	records->room = (unsigned int)room;
	records->bytes = grow(records->bytes, &records->bytes_room, records->size + packet.size, 1);
	record = &records->record[records->n++];
	record->ofport = ofport;
	record->tag = mbuf->hash.usr;
	record->size = packet.size;
	record->at = records->size;
	memcpy(records->bytes + records->size, packet.bytes, packet.size);
	records->size += packet.size;
}

static uint16_t recorder_tx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets,
			    uint16_t n)
{
	struct rig_port *port = (struct rig_port *)vport;

	(void)queue;
	if (!vport->status.link_up)
		return 0;
	for (unsigned int i = 0; i < n; i++) {
		record_frame(port->rig->recording, vport->ofport, packets[i]);
		rte_pktmbuf_free(packets[i]);
	}
	return n;
}

static const struct vport_class recorder = {
	.type = "recorder",
	.size = sizeof(struct rig_port),
	.tx = recorder_tx,
	.tx_thread_safe = true,
};

static void add_port(struct rig *rig, unsigned int i, uint32_t ofport)
{
	struct rig_port *port = &rig->ports[i];
	struct ref_port *ref = &rig->ref.ports[i];

	port->rig = rig;
	snprintf(port->vport.name, sizeof(port->vport.name), "p%u", i);
	port->vport.class = &recorder;
	port->vport.index = (uint16_t)(i + 1);
	port->vport.n_rxq = port->vport.n_txq = 1;
	port->vport.mtu = ofport == 5 ? RIG_SHORT - 22 : VPORT_DEFAULT_MTU;
	port->vport.polled = true;
	port->vport.forwarding = &rig->forwarding;
	port->vport.ofport = ofport;
	port->vport.status.link_up = ofport != 6;
	port->port.vport = &port->vport;
	port->port.ofport = ofport;
	port->port.admin_up = ofport != 4;
	port->port.no_flood = ofport == 5;
	port->port.vlan_tag = -1;
	memset(port->port.trunks, 0xff, sizeof(port->port.trunks));

	ref->ofport = ofport;
	ref->longest = ofport == 5 ? RIG_SHORT : VPORT_DEFAULT_MTU + 22;
	ref->admin_up = port->port.admin_up;
	ref->no_flood = port->port.no_flood;
	ref->refuses = ofport == 6;
	ref->refusal = DROP_NO_PEER;
	if (ofport == OFPP_LOCAL)
		rig->forwarding.local = &port->port;
	else
		rig->chunk.ports[ofport] = &port->port;
}

// --- The rig ---

// Keys are aligned to lines, and so is all that contains them.
static void *create_aligned(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!memory)
		abort();
	return memset(memory, 0, size);
}

static struct worker *create_worker(void)
{
	struct worker *worker = create_aligned(sizeof(*worker));

	worker->counters = counter_set_create();
	worker->ports = calloc(VPORT_MAX, sizeof(*worker->ports));
	worker->tx = calloc(VPORT_MAX, sizeof(*worker->tx));
	worker->stacks = calloc(VECTOR_SIZE, sizeof(*worker->stacks));
	worker->learn = learn_queue_create();
	worker->cache = cache_create();
	if (!worker->counters || !worker->ports || !worker->tx || !worker->stacks ||
	    !worker->learn || !worker->cache)
		abort();
	return worker;
}

static void add_samples(struct rig *rig)
{
	struct sample_table *table =
		calloc(1, sizeof(*table) + REF_SAMPLE_SETS * sizeof(*table->counters));

	if (!table)
		abort();
	for (table->n = 0; table->n < REF_SAMPLE_SETS; table->n++)
		table->counters[table->n] = (struct sample_counter){ table->n, counter_alloc() };
	rig->forwarding.samples = table;
}

// Meters that either stop everything or nothing, so that time makes no difference.
static void add_meters(struct rig *rig)
{
	static const char *const texts[] = {
		"meter=1,kbps,bands=type=drop,rate=4294967295",
		"meter=2,pktps,bands=type=dscp_remark,rate=0,prec_level=1",
		"meter=3,kbps,bands=type=dscp_remark,rate=0,prec_level=2,type=drop,rate=4294967295",
		("meter=4,kbps,bands=type=drop,rate=4294967295,"
		 "type=dscp_remark,rate=4294967294,prec_level=1"),
		"meter=5,pktps,bands=type=drop,rate=0",
	};

	for (unsigned int i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct meter_text *text = &rig->ref.meters[rig->ref.n_meters++];
		struct meter *meter;

		if (meter_text_parse(texts[i], METER_TEXT_ADD, text, NULL))
			abort();
		meter = meter_create(text, NULL, rte_get_tsc_hz(), rte_rdtsc());
		if (!meter || meter_table_set(&rig->forwarding.meters, text->id, meter) < 0)
			abort();
	}
}

static void clear_meters(struct rig *rig)
{
	struct meter_table *table = rig->forwarding.meters;

	for (unsigned int i = 0; i < rig->ref.n_meters; i++)
		meter_free(meter_find(table, rig->ref.meters[i].id));
	free(table->chunks[0]);
	free(table);
}

struct rig *rig_create(void)
{
	struct rig *rig = create_aligned(sizeof(*rig));
	struct forwarding_flood *flood = calloc(1, sizeof(*flood) + RIG_PORTS * sizeof(void *));

	if (!flood)
		abort();
	rig->worker = create_worker();
	rig->forwarding.name = "rig";
	rig->forwarding.ports[0] = &rig->chunk;
	rig->ref.n_ports = RIG_PORTS;
	for (unsigned int i = 0; i < RIG_PORTS; i++) {
		add_port(rig, i, i == RIG_PORTS - 1 ? OFPP_LOCAL : i + 1);
		flood->ports[flood->n++] = &rig->ports[i].port;
	}
	rig->forwarding.flood = flood;
	add_samples(rig);
	add_meters(rig);
	for (rig->levels = test_hot_levels(); rig->levels[rig->n_levels]; rig->n_levels++)
		;
	rig->result.outputs = calloc(REF_MAX_OUTPUTS, sizeof(*rig->result.outputs));
	if (!rig->result.outputs)
		abort();
	return rig;
}

static void clear_groups(struct rig *rig);

void rig_destroy(struct rig *rig)
{
	rig_clear(rig);
	clear_groups(rig);
	clear_meters(rig);
	rcu_barrier();
	cache_destroy(rig->worker->cache);
	free(rig->forwarding.cache_key);
	counter_set_destroy(rig->worker->counters);
	free(rig->worker->ports);
	learn_queue_destroy(rig->worker->learn);
	free(rig->worker->tx);
	free(rig->worker->stacks);
	free(rig->worker);
	for (unsigned int i = 0; i < MAX_LEVELS; i++) {
		free(rig->records[i].record);
		free(rig->records[i].bytes);
	}
	for (unsigned int i = 0; i < REF_SAMPLE_SETS; i++)
		counter_free(rig->forwarding.samples->counters[i].counter);
	free(rig->forwarding.samples);
	free(rig->forwarding.flood);
	free(rig->result.outputs);
	free(rig);
}

// --- Flows ---

unsigned int rig_n_flows(const struct rig *rig, unsigned int table)
{
	return rig->ref.n_flows[table];
}

static struct table *table_at(struct rig *rig, unsigned int table)
{
	if (!rig->forwarding.tables[table])
		rig->forwarding.tables[table] = table_create((uint8_t)table);
	if (!rig->forwarding.tables[table])
		abort();
	return rig->forwarding.tables[table];
}

// Tunnel options as a bridge may map them.
const struct port_names *rig_names(void)
{
	static const struct tun_option options[] = {
		{ 1, 0, 4 }, { 1, 1, 8 }, { 1, 2, 124 }, { 1, 3, 64 }, { 1, 4, 16 }, { 1, 5, 36 },
	};
	static struct tun_map map;
	static const struct port_names names = { .tun_map = &map };
	struct error error;

	if (!map.options[0].length) {
		tun_map_init(&map);
		for (unsigned int i = 0; i < 6; i++)
			if (tun_map_add(&map, &options[i], i < 5 ? i : 63, &error))
				abort();
	}
	return &names;
}

int rig_add_flow(struct rig *rig, const char *string, struct error *error)
{
	struct flow_text real, model;
	struct flow *flow;
	unsigned int table, n;
	int code = flow_text_parse(string, FLOW_TEXT_ADD, rig_names(), &real, error);

	if (code)
		return code;
	table = real.table_id;
	if (table >= REF_MAX_TABLES || rig->ref.n_flows[table] == REF_MAX_FLOWS)
		code = -ENOSPC;
	else if (table_find(table_at(rig, table), &real.match, real.priority))
		code = -EEXIST;
	else
		code = flow_text_parse(string, FLOW_TEXT_ADD, rig_names(), &model, error);
	if (code) {
		flow_text_release(&real);
		return code;
	}
	flow = flow_create(&real);
	if (!flow || (cache_bits_add_flow(rig->bits, flow) &&
		      cache_key_publish(&rig->forwarding, rig->bits) < 0))
		abort();
	if (table_insert(table_at(rig, table), flow) < 0)
		abort();
	forwarding_changed(&rig->forwarding);
	flow_text_release(&real);
	n = rig->ref.n_flows[table]++;
	rig->ref.flows[table][n] = (struct ref_flow){ .text = model };
	rig->flows[table][n].text = strdup(string);
	rig->flows[table][n].flow = flow;
	return 0;
}

void rig_remove_flow(struct rig *rig, unsigned int table, unsigned int index)
{
	struct rig_flow *flow = &rig->flows[table][index];
	unsigned int behind = --rig->ref.n_flows[table] - index;

	table_remove(rig->forwarding.tables[table], flow->flow);
	forwarding_changed(&rig->forwarding);
	flow_defer_free(flow->flow);
	free(flow->text);
	flow_text_release(&rig->ref.flows[table][index].text);
	memmove(flow, flow + 1, behind * sizeof(*flow));
	memmove(&rig->ref.flows[table][index], &rig->ref.flows[table][index + 1],
		behind * sizeof(struct ref_flow));
	rcu_reclaim();
}

// --- Groups ---

static void clear_groups(struct rig *rig)
{
	struct group_table *table = rig->forwarding.groups;

	while (rig->ref.n_groups)
		group_text_release(&rig->ref.groups[--rig->ref.n_groups]);
	for (unsigned int i = 0; table && i < table->n; i++)
		group_free(table->all[i]);
	free(table);
	rig->forwarding.groups = NULL;
}

static bool port_is_live(const struct rig *rig, uint32_t ofport)
{
	const struct forwarding_port *port =
		ofport == OFPP_ANY ? NULL : forwarding_port(&rig->forwarding, ofport);

	return port && port->admin_up && port->vport->status.link_up;
}

// Groups watch groups with a higher number only.
static void set_live(struct rig *rig)
{
	const struct group_table *table = rig->forwarding.groups;

	for (unsigned int i = table->n; i-- > 0;) {
		struct group *group = table->all[i];

		group->visit = false;
		for (unsigned int b = 0; b < group->n_buckets; b++) {
			const struct bucket_text *text = &group->text.buckets[b];
			const struct group *watched = group_find(table, text->watch_group);

			group->buckets[b].live |=
				port_is_live(rig, text->watch_port) || (watched && watched->visit);
			group->visit |= group->buckets[b].live;
		}
	}
}

int rig_set_groups(struct rig *rig, const char *const *groups, unsigned int n, struct error *error)
{
	struct group *made[REF_MAX_GROUPS];
	bool new_bits = false;
	int code = 0;

	clear_groups(rig);
	for (unsigned int i = 0; i < n; i++) {
		struct group_text text;

		code = group_text_parse(groups[i], GROUP_TEXT_ADD, rig_names(), &text, error);
		if (code || group_text_copy(&text, &rig->ref.groups[i]))
			return code;
		rig->ref.n_groups++;
		made[i] = group_create(&text, NULL);
		if (!made[i])
			abort();
		if (made[i]->type == GROUP_SELECT)
			new_bits |= cache_bits_add_choice(rig->bits, made[i]);
	}
	if (new_bits && cache_key_publish(&rig->forwarding, rig->bits) < 0)
		abort();
	rig->forwarding.groups = group_table_create(made, n);
	if (!rig->forwarding.groups)
		abort();
	set_live(rig);
	forwarding_changed(&rig->forwarding);
	return 0;
}

void rig_clear(struct rig *rig)
{
	for (unsigned int table = 0; table < REF_MAX_TABLES; table++) {
		while (rig->ref.n_flows[table])
			rig_remove_flow(rig, table, rig->ref.n_flows[table] - 1);
		if (rig->forwarding.tables[table])
			table_destroy(rig->forwarding.tables[table]);
		rig->forwarding.tables[table] = NULL;
	}
	memset(rig->bits, 0, sizeof(rig->bits));
	free(rig->forwarding.cache_key);
	rig->forwarding.cache_key = NULL;
	rcu_barrier();
}

const char *rig_flows(const struct rig *rig)
{
	static struct text text;

	text_clear(&text);
	text_add(&text, "");
	for (unsigned int table = 0; table < REF_MAX_TABLES; table++)
		for (unsigned int i = 0; i < rig->ref.n_flows[table]; i++)
			text_addf(&text, "  %s\n", rig->flows[table][i].text);
	for (unsigned int i = 0; i < rig->ref.n_groups; i++) {
		text_add(&text, "  ");
		group_text_format(&rig->ref.groups[i], NULL, &text);
		text_add(&text, "\n");
	}
	return text.data;
}

void rig_set_all_lines(struct rig *rig, bool all)
{
	rig->all_lines = all;
}

// The lines that any flow or action uses.
static uint16_t lines(const struct rig *rig)
{
	uint16_t used = 1 << KEY_LINE_CORE;

	if (rig->all_lines)
		return KEY_LINES_HEADERS | ((1 << KEY_LINES) - 1);
	for (unsigned int i = 0; rig->forwarding.groups && i < rig->forwarding.groups->n; i++)
		used |= rig->forwarding.groups->all[i]->lines;
	for (unsigned int table = 0; table < REF_MAX_TABLES; table++) {
		if (!rig->forwarding.tables[table])
			continue;
		used |= table_lines(rig->forwarding.tables[table]);
		for (unsigned int i = 0; i < rig->ref.n_flows[table]; i++) {
			const struct program *program = rig->flows[table][i].flow->program;

			used |= program->lines_read | program->lines_written;
		}
	}
	return used;
}

// --- Comparing ---

static char difference[1 << 16];

static const char *differ(const char *level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static const char *differ(const char *level, const char *format, ...)
{
	int n = snprintf(difference, sizeof(difference), "%s: ", level);
	va_list args;

	va_start(args, format);
	vsnprintf(difference + n, sizeof(difference) - (size_t)n, format, args);
	va_end(args);
	return difference;
}

// The next frame that `ofport` sent of the packet, from record *next on.
static const struct record *next_record(const struct records *records, unsigned int tag,
					uint32_t ofport, unsigned int *next)
{
	for (; *next < records->n; ++*next) {
		const struct record *record = &records->record[*next];

		if (record->tag == tag && record->ofport == ofport) {
			++*next;
			return record;
		}
	}
	return NULL;
}

// One port's frames of one packet, in order.
static const char *compare_port(struct rig *rig, unsigned int level, unsigned int tag,
				uint32_t ofport, const struct ref_packet *packet)
{
	const struct records *records = &rig->records[level];
	const char *name = rig->levels[level];
	const struct record *record;
	unsigned int next = 0, i;
	struct ref_packet sent;

	for (i = 0; i < rig->result.n_outputs; i++) {
		const struct ref_output *want = &rig->result.outputs[i];

		if (want->ofport != ofport)
			continue;
		record = next_record(records, tag, ofport, &next);
		if (!record)
			return differ(name, "not sent to port %u\npacket   %s\nexpected %s", ofport,
				      packet_hex(packet), packet_hex(&want->packet));
		if (record->size == want->packet.size &&
		    !memcmp(records->bytes + record->at, want->packet.bytes, record->size))
			continue;
		sent.size = record->size;
		memcpy(sent.bytes, records->bytes + record->at, record->size);
		return differ(name, "port %u\npacket   %s\nsent     %s\nexpected %s", ofport,
			      packet_hex(packet), packet_hex(&sent), packet_hex(&want->packet));
	}
	record = next_record(records, tag, ofport, &next);
	if (!record)
		return NULL;
	sent.size = record->size;
	memcpy(sent.bytes, records->bytes + record->at, record->size);
	return differ(name, "one too many to port %u\npacket   %s\nsent     %s", ofport,
		      packet_hex(packet), packet_hex(&sent));
}

// A sound packet must leave sound, whatever the reference thinks, unless it was cut or a rule gave
// it another type.
static const char *judge(struct rig *rig, const struct ref_packet *packet)
{
	enum packet_verdict before = packet_judge(packet);

	for (unsigned int i = 0; i < rig->result.n_outputs; i++) {
		const struct ref_packet *out = &rig->result.outputs[i].packet;
		enum packet_verdict verdict = packet_judge(out);

		rig->stats.n_changed += out->size != packet->size ||
					memcmp(out->bytes, packet->bytes, out->size) != 0;
		if (before == PACKET_GOOD && verdict == PACKET_BAD && !out->retyped)
			return differ("judge", "unsound\npacket   %s\nsent     %s",
				      packet_hex(packet), packet_hex(out));
	}
	return NULL;
}

static const char *compare_packet(struct rig *rig, unsigned int tag, uint32_t in_port,
				  const struct ref_packet *packet)
{
	const char *problem = NULL;

	ref_run(&rig->ref, packet, in_port, &rig->result);
	rig->stats.n_packets++;
	rig->stats.n_lookups += rig->result.n_lookups;
	rig->stats.n_conjunctions += rig->result.n_conjunctions;
	rig->stats.n_outputs += rig->result.n_outputs;
	if (rig->result.overflow) {
		rig->stats.n_skipped++;
		return NULL;
	}
	problem = judge(rig, packet);
	for (unsigned int level = 0; level < rig->n_levels && !problem; level++)
		for (unsigned int i = 0; i < RIG_PORTS && !problem; i++)
			problem = compare_port(rig, level, tag, rig->ref.ports[i].ofport, packet);
	return problem;
}

// --- Learning ---

// What a level asked for must be what the reference learned from the packet.
static const char *compare_learned(struct rig *rig, unsigned int level)
{
	const struct ref_result *result = &rig->result;
	const char *name = rig->levels[level], *problem = NULL;

	if (rig->n_asked[level] != result->n_learned)
		return differ(name, "%u flows asked for, expected %u", rig->n_asked[level],
			      result->n_learned);
	for (unsigned int i = 0; i < result->n_learned && !problem; i++) {
		const struct learn_request *request = &rig->asked[level][i];
		const struct ref_learned *want = &result->learned[i];
		struct text text = { 0 };
		struct flow_text flow;

		// The two sides have programs of their own, made from the same text.
		if (learn_make_flow(request->op, request->values, &flow) < 0)
			abort();
		program_format(flow.program, NULL, &text);
		if (!match_equal(&flow.match, &want->match) || strcmp(text.data, want->actions)) {
			struct text matches = { 0 };

			match_format(&flow.match, NULL, &matches);
			text_add(&matches, "\nexpected ");
			match_format(&want->match, NULL, &matches);
			problem = differ(name, "learned %s\nactions %s\nexpected %s", matches.data,
					 text.data, want->actions);
			text_free(&matches);
		}
		text_free(&text);
		flow_text_release(&flow);
	}
	return problem;
}

// The flows are there for the next packet, on both sides: as modify-strict, or as add.
static void add_learned(struct rig *rig)
{
	for (unsigned int i = 0; i < rig->result.n_learned; i++) {
		const struct ref_learned *learned = &rig->result.learned[i];
		const unsigned int table = learned->op->table_id;
		char cookie[32];
		struct error error;
		struct text text = { 0 };
		unsigned int f = 0;

		if (table >= REF_MAX_TABLES)
			continue;
		snprintf(cookie, sizeof(cookie), "0x%llx", (unsigned long long)learned->op->cookie);
		text_addf(&text, "table=%u,cookie=%s,priority=%u,", table, cookie,
			  learned->op->priority);
		match_format(&learned->match, NULL, &text);
		text_addf(&text, ",actions=%s", learned->actions);
		while (f < rig->ref.n_flows[table] &&
		       (rig->ref.flows[table][f].text.priority != learned->op->priority ||
			!match_equal(&rig->ref.flows[table][f].text.match, &learned->match)))
			f++;
		if (f < rig->ref.n_flows[table]) {
			rig_remove_flow(rig, table, f);
			rig->stats.n_relearned++;
		}
		if (!rig_add_flow(rig, text.data, &error))
			rig->stats.n_learned++;
		text_free(&text);
	}
}

// --- Sending ---

static void transmit(struct rig *rig, struct forwarding_port *port,
		     const struct ref_packet *packets, unsigned int n, struct random *random)
{
	struct rte_mbuf *mbufs[RIG_BURST];

	for (unsigned int i = 0; i < n; i++) {
		const struct ref_packet *packet = &packets[i];

		if (packet->size > 1 && random_chance(random, 10))
			mbufs[i] = test_packet_create_split(
				packet, 1 + random_below(random, packet->size - 1));
		else
			mbufs[i] = test_packet_create(packet);
		mbufs[i]->hash.usr = i; // copies have it, too
	}
	hot->forward(rig->worker, &rig->forwarding, port, mbufs, (uint16_t)n);
}

static void forget_counts(struct rig *rig)
{
	memset(rig->worker->ports, 0, (RIG_PORTS + 1) * sizeof(*rig->worker->ports));
	rig->worker->n_copies = 0;
}

// What came in and was copied went out or was dropped.
static const char *check_conservation(const struct rig *rig, const char *level, unsigned int n)
{
	const struct port_counters *counters = rig->worker->ports;
	uint64_t in = rig->worker->n_copies, out = 0, rx = 0;

	for (unsigned int i = 0; i <= RIG_PORTS; i++) {
		rx += counters[i].rx_packets;
		out += counters[i].tx_packets;
		for (unsigned int reason = 0; reason < N_DROPS; reason++)
			out += counters[i].rx_drops[reason] + counters[i].tx_drops[reason];
	}
	if (rx != n)
		return differ(level, "%u packets came in, %llu counted", n, (unsigned long long)rx);
	if (in + rx != out)
		return differ(level, "%llu in and %llu copies, but %llu out",
			      (unsigned long long)rx, (unsigned long long)in,
			      (unsigned long long)out);
	return NULL;
}

struct drop_sums {
	uint64_t rx[N_DROPS];
	uint64_t tx[RIG_PORTS][N_DROPS];
};

static void add_each(uint64_t sums[N_DROPS], const uint64_t add[N_DROPS])
{
	for (unsigned int reason = 0; reason < N_DROPS; reason++)
		sums[reason] += add[reason];
}

static void add_drops(struct drop_sums *sums, struct rig *rig)
{
	add_each(sums->rx, rig->result.n_drops);
	add_each(rig->stats.n_drops, rig->result.n_drops);
	for (unsigned int i = 0; i < RIG_PORTS; i++) {
		add_each(sums->tx[i], rig->result.n_port_drops[i]);
		add_each(rig->stats.n_drops, rig->result.n_port_drops[i]);
	}
}

static const char *compare_drops(const struct rig *rig, const char *level, unsigned int in_index,
				 const struct port_counters *counters, const struct drop_sums *sums)
{
	for (unsigned int i = 0; i < RIG_PORTS; i++)
		for (unsigned int reason = 0; reason < N_DROPS; reason++) {
			uint64_t rx = i == in_index ? sums->rx[reason] : 0;
			const struct port_counters *port = &counters[i + 1];

			if (port->rx_drops[reason] != rx)
				return differ(level, "port %u, received, %s: %llu, expected %llu",
					      rig->ref.ports[i].ofport, drop_texts[reason].name,
					      (unsigned long long)port->rx_drops[reason],
					      (unsigned long long)rx);
			if (port->tx_drops[reason] != sums->tx[i][reason])
				return differ(level, "port %u, sent, %s: %llu, expected %llu",
					      rig->ref.ports[i].ofport, drop_texts[reason].name,
					      (unsigned long long)port->tx_drops[reason],
					      (unsigned long long)sums->tx[i][reason]);
		}
	return NULL;
}

static const char *send_level(struct rig *rig, unsigned int level, unsigned int in_index,
			      const struct ref_packet *packets, unsigned int n,
			      struct random *random)
{
	unsigned int available = rte_mempool_avail_count(packet_pool());
	const char *problem;

	hot_select(rig->levels[level], NULL);
	rig->recording = &rig->records[level];
	rig->recording->n = 0;
	rig->recording->size = 0;
	forget_counts(rig);
	transmit(rig, &rig->ports[in_index].port, packets, n, random);
	rig->n_asked[level] =
		rte_ring_sc_dequeue_burst_elem(rig->worker->learn->ring, rig->asked[level],
					       sizeof(struct learn_request), REF_MAX_LEARNED, NULL);
	rte_ring_reset(rig->worker->learn->ring);
	problem = check_conservation(rig, rig->levels[level], n);
	if (!problem && rte_mempool_avail_count(packet_pool()) != available)
		problem = differ(rig->levels[level], "%u buffers before, %u after", available,
				 rte_mempool_avail_count(packet_pool()));
	return problem;
}

const char *rig_send(struct rig *rig, uint32_t in_port, const struct ref_packet *packets,
		     unsigned int n, struct random *random)
{
	static struct port_counters counters[MAX_LEVELS][RIG_PORTS + 1];
	struct drop_sums sums = { 0 };
	const char *problem = NULL;
	unsigned int in_index = 0;

	while (rig->ref.ports[in_index].ofport != in_port)
		in_index++;
	rig->forwarding.lines = lines(rig);
	for (unsigned int level = 0; level < rig->n_levels && !problem; level++) {
		problem = send_level(rig, level, in_index, packets, n, random);
		memcpy(counters[level], rig->worker->ports, sizeof(counters[level]));
	}
	for (unsigned int i = 0; i < n && !problem; i++) {
		problem = compare_packet(rig, i, in_port, &packets[i]);
		for (unsigned int level = 0; n == 1 && level < rig->n_levels && !problem; level++)
			problem = compare_learned(rig, level);
		add_drops(&sums, rig);
	}
	for (unsigned int level = 0; level < rig->n_levels && !problem; level++)
		problem = compare_drops(rig, rig->levels[level], in_index, counters[level], &sums);
	if (n == 1 && !problem)
		add_learned(rig);
	return problem;
}

static const char *check_samples(const struct rig *rig)
{
	for (unsigned int i = 0; i < REF_SAMPLE_SETS; i++) {
		const struct counter counts =
			counter_read(rig->forwarding.samples->counters[i].counter);
		const uint64_t packets = rig->ref.n_sampled[i] * rig->n_levels;
		const uint64_t bytes = rig->ref.sampled_bytes[i] * rig->n_levels;

		if (counts.packets != packets || counts.bytes != bytes)
			return differ("all levels",
				      "sample %u: %llu packets, %llu bytes, expected %llu, %llu", i,
				      (unsigned long long)counts.packets,
				      (unsigned long long)counts.bytes, (unsigned long long)packets,
				      (unsigned long long)bytes);
	}
	return NULL;
}

const char *rig_check_counters(struct rig *rig)
{
	hot->cache_fold(rig->worker, UINT32_MAX);
	for (unsigned int table = 0; table < REF_MAX_TABLES; table++)
		for (unsigned int i = 0; i < rig->ref.n_flows[table]; i++) {
			struct counter counts = flow_counts(rig->flows[table][i].flow);
			const struct ref_flow *want = &rig->ref.flows[table][i];

			if (counts.packets != want->packets * rig->n_levels ||
			    counts.bytes != want->bytes * rig->n_levels)
				return differ("all levels",
					      "%s\n%llu packets, %llu bytes, expected %llu, %llu",
					      rig->flows[table][i].text,
					      (unsigned long long)counts.packets,
					      (unsigned long long)counts.bytes,
					      (unsigned long long)want->packets * rig->n_levels,
					      (unsigned long long)want->bytes * rig->n_levels);
		}
	return check_samples(rig);
}

const struct cache_stats *rig_cache_stats(const struct rig *rig)
{
	return &rig->worker->cache->stats;
}

struct rig_stats rig_stats(const struct rig *rig)
{
	return rig->stats;
}

// --- Trace ---

json_t *rig_trace(struct rig *rig, uint32_t in_port, struct rte_mbuf *packet)
{
	unsigned int in_index = 0;
	json_t *traced;

	while (rig->ref.ports[in_index].ofport != in_port)
		in_index++;
	rig->forwarding.lines = lines(rig);
	traced = trace_packet(rig->worker, &rig->forwarding, &rig->ports[in_index].port, packet,
			      NULL, false);
	if (!traced)
		abort();
	return traced;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

// Frames as "port hex", sorted: a trace puts identical ones together.
struct frames {
	unsigned int n;
	char *frames[REF_MAX_OUTPUTS];
};

static void free_frames(struct frames *frames)
{
	while (frames->n)
		free(frames->frames[--frames->n]);
}

static bool add_frame(struct frames *frames, uint32_t ofport, const char *hex)
{
	if (frames->n == REF_MAX_OUTPUTS)
		return false;
	if (asprintf(&frames->frames[frames->n++], "%u %s", ofport, hex) < 0)
		abort();
	return true;
}

static bool add_traced(struct frames *frames, const json_t *traced)
{
	json_t *output;
	size_t i;

	json_array_foreach (json_object_get(traced, "outputs"), i, output) {
		const json_int_t n = json_integer_value(json_object_get(output, "count"));
		const json_int_t ofport = json_integer_value(json_object_get(output, "ofport"));
		const char *hex = json_string_value(json_object_get(output, "hex"));

		for (json_int_t k = 0; k < n; k++)
			if (!add_frame(frames, (uint32_t)ofport, hex))
				return false;
	}
	return true;
}

static const char *compare_frames(struct rig *rig, const json_t *traced)
{
	static struct frames want, have;
	const char *problem = NULL;

	for (unsigned int i = 0; i < rig->result.n_outputs; i++)
		add_frame(&want, rig->result.outputs[i].ofport,
			  packet_hex(&rig->result.outputs[i].packet));
	if (!add_traced(&have, traced))
		problem = differ("trace", "more than %u frames", REF_MAX_OUTPUTS);
	qsort(want.frames, want.n, sizeof(char *), compare_strings);
	qsort(have.frames, have.n, sizeof(char *), compare_strings);
	for (unsigned int i = 0; !problem && (i < want.n || i < have.n); i++)
		if (i >= want.n || i >= have.n || strcmp(want.frames[i], have.frames[i]))
			problem = differ("trace",
					 "frame %u of %u, expected %u\ntold     %s\n"
					 "expected %s",
					 i, have.n, want.n, i < have.n ? have.frames[i] : "none",
					 i < want.n ? want.frames[i] : "none");
	free_frames(&want);
	free_frames(&have);
	return problem;
}

static const char *compare_traced_drops(struct rig *rig, const json_t *traced,
					unsigned int in_index)
{
	uint64_t told[RIG_PORTS][N_DROPS] = { 0 };
	json_t *drop;
	size_t n;

	json_array_foreach (json_object_get(traced, "drops"), n, drop)
		for (unsigned int i = 0; i < RIG_PORTS; i++)
			for (unsigned int reason = 0; reason < N_DROPS; reason++)
				if (!strcmp(rig->ports[i].vport.name,
					    json_string_value(json_object_get(drop, "port"))) &&
				    !strcmp(drop_texts[reason].name,
					    json_string_value(json_object_get(drop, "reason"))))
					told[i][reason] += (uint64_t)json_integer_value(
						json_object_get(drop, "count"));
	for (unsigned int i = 0; i < RIG_PORTS; i++)
		for (unsigned int reason = 0; reason < N_DROPS; reason++) {
			uint64_t want = rig->result.n_port_drops[i][reason] +
					(i == in_index ? rig->result.n_drops[reason] : 0);

			rig->stats.n_drops[reason] += want;
			if (told[i][reason] != want)
				return differ("trace", "port %u, %s: %llu, expected %llu",
					      rig->ref.ports[i].ofport, drop_texts[reason].name,
					      (unsigned long long)told[i][reason],
					      (unsigned long long)want);
		}
	return NULL;
}

// How many steps of a type there are; outputs count only with a link.
static uint64_t count_steps(const json_t *step, const char *type, uint64_t *all)
{
	const char *is = json_string_value(json_object_get(step, "type"));
	uint64_t n = is && !strcmp(is, type) && !json_is_false(json_object_get(step, "link"));
	json_t *inner;
	size_t i;

	++*all;
	json_array_foreach (json_object_get(step, "steps"), i, inner)
		n += count_steps(inner, type, all);
	return n;
}

static const char *compare_steps(struct rig *rig, const json_t *traced)
{
	uint64_t all = 0;
	const uint64_t n_tables = count_steps(traced, "table", &all),
		       n_buckets = count_steps(traced, "bucket", &all),
		       n_outputs = count_steps(traced, "output", &all);
	const json_int_t used =
		json_integer_value(json_object_get(json_object_get(traced, "budget"), "used"));

	rig->stats.n_steps += all / 3;
	if (json_object_get(traced, "truncated"))
		return NULL;
	if (n_outputs != rig->result.n_outputs)
		return differ("trace", "%llu steps say output, expected %u",
			      (unsigned long long)n_outputs, rig->result.n_outputs);
	if (n_tables + n_buckets != (uint64_t)used && used < REF_MAX_LOOKUPS)
		return differ("trace", "%llu tables and %llu buckets, but a budget of %llu",
			      (unsigned long long)n_tables, (unsigned long long)n_buckets,
			      (unsigned long long)used);
	return NULL;
}

const char *rig_compare_trace(struct rig *rig, uint32_t in_port, const struct ref_packet *packet)
{
	const unsigned int available = rte_mempool_avail_count(packet_pool());
	json_t *traced = rig_trace(rig, in_port, test_packet_create(packet));
	const char *problem = NULL;
	unsigned int in_index = 0;

	while (rig->ref.ports[in_index].ofport != in_port)
		in_index++;
	ref_run(&rig->ref, packet, in_port, &rig->result);
	rig->stats.n_packets++;
	rig->stats.n_lookups += rig->result.n_lookups;
	rig->stats.n_outputs += rig->result.n_outputs;
	if (rte_mempool_avail_count(packet_pool()) != available)
		problem = differ("trace", "%u buffers before, %u after", available,
				 rte_mempool_avail_count(packet_pool()));
	else if (rig->result.overflow || json_object_get(traced, "outputs_truncated"))
		rig->stats.n_skipped++;
	else
		problem = compare_frames(rig, traced);
	if (!problem && !json_object_get(traced, "outputs_truncated"))
		problem = compare_traced_drops(rig, traced, in_index);
	if (!problem && !rig->result.overflow)
		problem = compare_steps(rig, traced);
	json_decref(traced);
	return problem;
}
