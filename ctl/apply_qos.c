#include "ctl/apply_qos.h"

#include "common/error.h"
#include "common/text.h"
#include "datapath/qos.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_RATE 10000000000ULL // bit/s, as the manual has it for ports without a known one
#define HIGHEST_RATE 10000000000000ULL
#define HIGHEST_QUEUE 61439
#define HIGHEST_BURST 80000000000ULL // bits
#define FULL_FRAME 1514

// By interface name: what is in force, as describe() made it.
static json_t *in_force;

struct setting {
	const char *name;
	uint64_t low, high;
};

static const struct setting qos_keys[] = {
	{ "max-rate", 1, HIGHEST_RATE },
	{ "burst", 1, HIGHEST_BURST },
	{ NULL, 0, 0 },
};

static const struct setting policer_keys[] = {
	{ "cir", 1, HIGHEST_RATE / 8 },
	{ "cbs", 1, HIGHEST_BURST / 8 },
	{ NULL, 0, 0 },
};

static const struct setting queue_keys[] = {
	{ "min-rate", 1, HIGHEST_RATE },
	{ "max-rate", 1, HIGHEST_RATE },
	{ "burst", 1, HIGHEST_BURST },
	{ "priority", 0, UINT32_MAX },
	{ "weight", 1, 1000000 },
	{ "limit-packets", 1, AQM_MAX_PACKETS },
	{ "limit-bytes", 1, UINT32_MAX },
	{ "flows", 1, AQM_MAX_FLOWS },
	{ "target-us", 1, 1000000 },
	{ "interval-us", 1, 10000000 },
	{ "aqm", 0, 0 },
	{ "ecn", 0, 0 },
	{ NULL, 0, 0 },
};

// --- Reading ---

static const struct setting *find_key(const struct setting *keys, const char *name)
{
	for (; keys->name; keys++)
		if (!strcmp(keys->name, name))
			return keys;
	return NULL;
}

static int refuse_key(const struct setting *keys, const char *name, struct error *error)
{
	struct text known = { 0 };
	int result;

	for (; keys->name; keys++)
		text_addf(&known, "%s%s", known.length ? ", " : "", keys->name);
	result = error_set(error, EINVAL, "other_config:%.64s is not known; %s are", name,
			   known.data ? known.data : "");
	text_free(&known);
	return result;
}

// Does every key exist, and have a value that it may have?
static int check_keys(const json_t *row, const struct setting *keys, struct error *error)
{
	const char *name;
	json_t *value;
	uint64_t number;

	json_object_foreach (json_object_get(row, "other_config"), name, value) {
		const struct setting *key = find_key(keys, name);
		const char *text = json_string_value(value);

		if (!key)
			return refuse_key(keys, name, error);
		if (key->high &&
		    (parse_u64(text, &number) || number < key->low || number > key->high))
			return error_set(error, ERANGE,
					 "other_config:%s=%.64s: a whole number from %" PRIu64
					 " to %" PRIu64 " is wanted%s",
					 name, text, key->low, key->high,
					 strstr(name, "rate")  ? ", in bit/s: 10000000 is 10 Mbit/s"
					 : strstr(name, "cir") ? ", in bytes per second"
							       : "");
	}
	return 0;
}

static uint64_t number_of(const json_t *row, const char *key, uint64_t otherwise)
{
	const char *text = config_key(row, "other_config", key);
	uint64_t number;

	return text && !parse_u64(text, &number) ? number : otherwise;
}

static int read_aqm(const json_t *row, uint64_t rate, struct aqm_config *aqm, struct error *error)
{
	const char *kind = config_key(row, "other_config", "aqm");
	const char *ecn = config_key(row, "other_config", "ecn");
	uint64_t target_us, two_frames_us = 2ULL * FULL_FRAME * 8 * 1000000 / rate;

	if (kind && strcmp(kind, "fq_codel") && strcmp(kind, "codel") && strcmp(kind, "none"))
		return error_set(
			error, EINVAL,
			"other_config:aqm=%.64s: fq_codel (the default), codel or none (drop "
			"what a full queue has no room for) is wanted",
			kind);
	if (ecn && strcmp(ecn, "true") && strcmp(ecn, "false"))
		return error_set(error, EINVAL,
				 "other_config:ecn=%.64s: true (the default) or false is wanted",
				 ecn);
	// A packet's own time at a low rate is nobody's fault (RFC 8290 section 5.2.2).
	target_us = number_of(row, "target-us", two_frames_us > 5000 ? two_frames_us : 5000);
	aqm->flows = (uint32_t)number_of(row, "flows", 256);
	if (aqm->flows & (aqm->flows - 1))
		return error_set(error, EINVAL,
				 "other_config:flows=%u: a power of two is wanted: 1, 2, 4, 8, ...",
				 aqm->flows);
	if (kind && strcmp(kind, "fq_codel"))
		aqm->flows = 1;
	aqm->packets = (uint32_t)number_of(row, "limit-packets", 1000);
	aqm->bytes = (uint32_t)number_of(row, "limit-bytes", 1000000);
	aqm->quantum = FULL_FRAME;
	aqm->target_ns = kind && !strcmp(kind, "none") ? 0 : target_us * 1000;
	aqm->interval_ns =
		number_of(row, "interval-us", target_us > 10000 ? 20 * target_us : 100000) * 1000;
	aqm->ecn = !ecn || !strcmp(ecn, "true");
	return 0;
}

// `row` NULL: a queue of which nothing is said.
static int read_queue(const json_t *row, uint32_t id, uint64_t port_rate,
		      struct shaper_queue_config *queue, struct error *error)
{
	const json_t *dscp = json_object_get(row, "dscp");
	int result = check_keys(row, queue_keys, error);

	queue->id = id;
	queue->min_rate = number_of(row, "min-rate", 0);
	queue->max_rate = number_of(row, "max-rate", 0);
	queue->burst = (number_of(row, "burst", 0) + 7) / 8;
	queue->priority = (uint32_t)number_of(row, "priority", 0);
	queue->weight = (uint32_t)number_of(row, "weight", 1);
	queue->dscp = json_is_integer(dscp) ? (int)json_integer_value(dscp) : -1;
	if (!result && queue->max_rate && queue->min_rate > queue->max_rate)
		result = error_set(error, EINVAL,
				   "min-rate %" PRIu64 " is above max-rate %" PRIu64
				   ": a queue cannot be guaranteed more than it may have",
				   queue->min_rate, queue->max_rate);
	if (!result)
		result = read_aqm(row,
				  queue->max_rate && queue->max_rate < port_rate ? queue->max_rate
										 : port_rate,
				  &queue->aqm, error);
	if (result)
		error_prefix(error, "queue %u", id);
	return result;
}

static int compare_queues(const void *a, const void *b)
{
	const struct shaper_queue_config *one = a, *other = b;

	return one->id < other->id ? -1 : one->id > other->id;
}

static int read_queues(const json_t *description, struct shaper_config *config, struct error *error)
{
	json_t *queues = json_object_get(description, "queues"), *row;
	const char *key;
	uint64_t id;

	if (!json_object_get(queues, "0")) {
		int result = read_queue(NULL, 0, config->max_rate, &config->queues[0], error);

		if (result)
			return result;
		config->n_queues = 1;
	}
	json_object_foreach (queues, key, row) {
		int result;

		if (parse_u64(key, &id) || id > HIGHEST_QUEUE)
			return error_set(error, ERANGE, "queue %.20s: queues have numbers 0 to %d",
					 key, HIGHEST_QUEUE);
		if (config->n_queues == SHAPER_MAX_QUEUES)
			return error_set(error, E2BIG,
					 "a port has at most %d queues, queue 0 included",
					 SHAPER_MAX_QUEUES);
		result = read_queue(row, (uint32_t)id, config->max_rate,
				    &config->queues[config->n_queues++], error);
		if (result)
			return result;
	}
	qsort(config->queues, config->n_queues, sizeof(*config->queues), compare_queues);
	return 0;
}

// --- Carrying out ---

static int set_shaper(struct vport *vport, const json_t *description, struct error *error)
{
	struct shaper_config *config = calloc(1, sizeof(*config));
	int result = check_keys(description, qos_keys, error);

	if (!config)
		return error_set(error, ENOMEM, "out of memory");
	config->max_rate = number_of(description, "max-rate", DEFAULT_RATE);
	config->burst = (number_of(description, "burst", 0) + 7) / 8;
	if (!result)
		result = read_queues(description, config, error);
	if (!result && qos_set_shaper(vport, config) < 0)
		result = error_set(error, ENOMEM, "out of memory for its queues");
	free(config);
	return result;
}

static int set_policer(struct vport *vport, const json_t *description, struct error *error)
{
	int result = check_keys(description, policer_keys, error);

	if (result)
		return result;
	if (!number_of(description, "cir", 0) || !number_of(description, "cbs", 0))
		return error_set(error, EINVAL,
				 "an egress-policer needs other_config:cir (bytes per second) and "
				 "other_config:cbs (bytes at once)");
	if (json_object_size(json_object_get(description, "queues")))
		return error_set(error, EINVAL,
				 "an egress-policer has no queues: type linux-htb has");
	result = qos_set_policer(vport, number_of(description, "cir", 0),
				 number_of(description, "cbs", 0));
	return result ? error_set(error, -result, "out of memory") : 0;
}

static int set_egress(struct vport *vport, const json_t *description, struct error *error)
{
	const char *type = config_string(description, "type");

	if (!strcmp(type, "linux-htb") || !strcmp(type, "linux-hfsc") || !strcmp(type, "shaper"))
		return set_shaper(vport, description, error);
	if (!strcmp(type, "egress-policer"))
		return set_policer(vport, description, error);
	if (strcmp(type, "linux-noop"))
		return error_set(
			error, ENOTSUP,
			"type '%.64s' is not supported in this version; shaper, linux-htb and "
			"linux-hfsc (which are the same here), egress-policer and linux-noop "
			"are",
			type);
	qos_clear_egress(vport);
	return 0;
}

// All that decides on a port's QoS, as one object of its own; NULL: there is none.
static json_t *describe(const struct config *config, const json_t *port)
{
	const json_t *qos = config_row(config, TABLE_QoS, config_string(port, "qos"));
	json_t *queues, *ref;
	const char *id;

	if (!qos)
		return NULL;
	queues = json_object();
	json_object_foreach (json_object_get(qos, "queues"), id, ref) {
		const json_t *row = config_row(config, TABLE_Queue, json_string_value(ref));

		json_object_set_new(queues, id,
				    json_pack("{s:O, s:O}", "dscp", json_object_get(row, "dscp"),
					      "other_config",
					      json_object_get(row, "other_config")));
	}
	return json_pack("{s:O, s:O, s:o}", "type", json_object_get(qos, "type"), "other_config",
			 json_object_get(qos, "other_config"), "queues", queues);
}

const json_t *apply_qos_in_force(const char *interface)
{
	return json_object_get(in_force, interface);
}

static int apply_egress(struct vport *vport, json_t *wanted, struct error *error)
{
	int result;

	if (!wanted) {
		qos_clear_egress(vport);
		json_object_del(in_force, vport->name);
		return 0;
	}
	if (vport->egress && json_equal(wanted, json_object_get(in_force, vport->name)))
		return 0;
	if (!vport->polled)
		return error_set(error, ENOTSUP, "a port of type %s has no quality of service",
				 vport->class->type);
	result = set_egress(vport, wanted, error);
	if (!result)
		json_object_set(in_force, vport->name, wanted);
	return result;
}

static int apply_ingress(struct vport *vport, const json_t *interface, struct error *error)
{
	static const struct {
		const char *column;
		size_t at;
		uint64_t high;
	} columns[] = {
		{ "ingress_policing_rate", offsetof(struct ingress_config, kbps),
		  HIGHEST_RATE / 1000 },
		{ "ingress_policing_burst", offsetof(struct ingress_config, kilobits),
		  HIGHEST_BURST / 1000 },
		{ "ingress_policing_kpkts_rate", offsetof(struct ingress_config, kpps), 10000000 },
		{ "ingress_policing_kpkts_burst", offsetof(struct ingress_config, kilopackets),
		  1000000 },
	};
	static const struct ingress_config none;
	struct ingress_config config = none;

	for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++) {
		const uint64_t value =
			(uint64_t)json_integer_value(json_object_get(interface, columns[i].column));

		if (value > columns[i].high)
			return error_set(error, ERANGE,
					 "%s=%" PRIu64 ": at most %" PRIu64 " is possible",
					 columns[i].column, value, columns[i].high);
		*(uint64_t *)((char *)&config + columns[i].at) = value;
	}
	if (!memcmp(&config, vport->ingress ? &vport->ingress->config : &none, sizeof(config)))
		return 0;
	if (!config.kbps && !config.kpps && !vport->ingress)
		return 0; // bursts alone do nothing
	return qos_set_ingress(vport, &config) < 0 ? error_set(error, ENOMEM, "out of memory") : 0;
}

int apply_qos(struct bridge_port *live, const struct config *config, const json_t *port,
	      const json_t *interface, struct error *error)
{
	struct vport *vport = bridge_port_vport(live);
	json_t *wanted = describe(config, port);
	int result = apply_ingress(vport, interface, error);

	if (!in_force)
		in_force = json_object();
	if (!result) {
		result = apply_egress(vport, wanted, error);
		if (result)
			error_prefix(error, "quality of service");
	}
	if (result)
		error_prefix(error, "port '%s'", vport->name);
	json_decref(wanted);
	return result;
}

void apply_qos_stop(void)
{
	json_decref(in_force);
	in_force = NULL;
}
