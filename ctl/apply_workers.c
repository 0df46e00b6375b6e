#include "ctl/apply_workers.h"

#include "common/error.h"
#include "common/text.h"
#include "datapath/datapath.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <string.h>

#define MAX_INTERVAL_MIN 20000

static unsigned int default_cores[WORKERS_MAX];
static unsigned int n_default_cores;

void apply_workers_default(const unsigned int *cores, unsigned int n)
{
	memcpy(default_cores, cores, n * sizeof(*cores));
	n_default_cores = n;
}

// --- pmd-cpu-mask ---

static int digit_value(char digit)
{
	if (isdigit((unsigned char)digit))
		return digit - '0';
	digit = (char)tolower((unsigned char)digit);
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static int add_core(unsigned int core, unsigned int cores[WORKERS_MAX], unsigned int *n,
		    struct error *error)
{
	if (core >= CPU_SETSIZE)
		return error_set(error, ERANGE,
				 "other_config:pmd-cpu-mask names core %u: the last one can be %d",
				 core, CPU_SETSIZE - 1);
	if (*n == WORKERS_MAX)
		return error_set(error, E2BIG,
				 "other_config:pmd-cpu-mask names more than %d cores: there can be "
				 "no more workers",
				 WORKERS_MAX);
	cores[(*n)++] = core;
	return 0;
}

// Hexadecimal digits; the lowest bit, which is in the last, is core 0.
static int read_mask(const char *mask, unsigned int cores[WORKERS_MAX], unsigned int *n,
		     struct error *error)
{
	const char *digits = !strncasecmp(mask, "0x", 2) ? mask + 2 : mask;
	const size_t length = strlen(digits);

	*n = 0;
	for (size_t i = 0; i < length; i++) {
		const int value = digit_value(digits[length - 1 - i]);
		int result = 0;

		if (value < 0)
			return error_set(error, EINVAL,
					 "other_config:pmd-cpu-mask=%.64s: hexadecimal digits are "
					 "wanted, such as 6 or 0x6 for cores 1 and 2",
					 mask);
		for (unsigned int bit = 0; bit < 4 && !result; bit++)
			if (value >> bit & 1)
				result = add_core((unsigned int)i * 4 + bit, cores, n, error);
		if (result)
			return result;
	}
	if (!*n)
		return error_set(error, EINVAL,
				 "other_config:pmd-cpu-mask=%.64s names no core: a worker needs "
				 "one (6 means cores 1 and 2)",
				 mask);
	return 0;
}

static int apply_cores(const json_t *row, struct error *error)
{
	const char *mask = config_key(row, "other_config", "pmd-cpu-mask");
	unsigned int cores[WORKERS_MAX], n = n_default_cores;
	int result = 0;

	if (!n)
		return 0; // nobody forwards here
	memcpy(cores, default_cores, n * sizeof(*cores));
	if (mask)
		result = read_mask(mask, cores, &n, error);
	if (!result)
		result = workers_set_cores(cores, n, error);
	if (result && mask)
		error_prefix(error, "workers cannot be on the cores of pmd-cpu-mask");
	return result;
}

// --- How queues are placed ---

static int read_bool(const json_t *row, const char *key, bool *value, struct error *error)
{
	const char *text = config_key(row, "other_config", key);

	if (!text)
		return 0;
	if (strcmp(text, "true") && strcmp(text, "false"))
		return error_set(error, EINVAL, "other_config:%s=%.64s: true or false is wanted",
				 key, text);
	*value = *text == 't';
	return 0;
}

static int read_number(const json_t *row, const char *key, unsigned int most, unsigned int *value,
		       struct error *error)
{
	const char *text = config_key(row, "other_config", key);
	uint64_t number;

	if (!text)
		return 0;
	if (parse_u64(text, &number) || number > most)
		return error_set(error, ERANGE,
				 "other_config:%s=%.64s: a number from 0 to %u is wanted", key,
				 text, most);
	*value = (unsigned int)number;
	return 0;
}

static int read_assign(const json_t *row, bool *by_load, struct error *error)
{
	const char *text = config_key(row, "other_config", "pmd-rxq-assign");

	*by_load = !text || strcmp(text, "roundrobin");
	if (!*by_load || !text || !strcmp(text, "cycles") || !strcmp(text, "group"))
		return 0;
	return error_set(error, EINVAL,
			 "other_config:pmd-rxq-assign=%.64s: cycles or group (by measured load) or "
			 "roundrobin (in turn) is wanted",
			 text);
}

static int read_balancing(const json_t *row, struct balancing *balancing, struct error *error)
{
	unsigned int minutes = 0;
	int result = read_assign(row, &balancing->by_load, error);

	if (!result)
		result = read_bool(row, "pmd-rxq-isolate", &balancing->isolate, error);
	if (!result)
		result = read_bool(row, "pmd-auto-lb", &balancing->automatic, error);
	if (!result)
		result = read_number(row, "pmd-auto-lb-load-threshold", 100,
				     &balancing->load_threshold, error);
	if (!result)
		result = read_number(row, "pmd-auto-lb-improvement-threshold", 100,
				     &balancing->improvement, error);
	if (!result)
		result = read_number(row, "pmd-auto-lb-rebal-interval", MAX_INTERVAL_MIN, &minutes,
				     error);
	if (minutes)
		balancing->interval_s = minutes * 60;
	return result;
}

int apply_workers(const struct config *config, struct error *error)
{
	const json_t *row = config_single(config, TABLE_Open_vSwitch);
	struct balancing balancing = BALANCING_DEFAULT;
	int result = read_balancing(row, &balancing, error);

	if (!result)
		result = apply_cores(row, error);
	if (!result)
		workers_set_balancing(&balancing);
	return result;
}

// --- pmd-rxq-affinity ---

static int refuse_pins(const char *text, const char *why, struct error *error)
{
	return error_set(
		error, EINVAL,
		"other_config:pmd-rxq-affinity=%.64s: %s; QUEUE:CORE is wanted, and commas "
		"between several: 0:1,1:3",
		text, why);
}

// "3:1": queue 3 on core 1.
static int read_pin(const char *pin, size_t length, const char *text, struct queue_pins *pins,
		    struct error *error)
{
	const char *colon = memchr(pin, ':', length);
	uint64_t queue, core;

	if (!colon || parse_u64_n(pin, (size_t)(colon - pin), &queue) ||
	    parse_u64_n(colon + 1, length - (size_t)(colon + 1 - pin), &core))
		return refuse_pins(text, "that is not a list of queues and cores", error);
	if (queue >= VPORT_MAX_QUEUES)
		return error_set(error, ERANGE,
				 "other_config:pmd-rxq-affinity=%.64s: a port has queues 0 to %d",
				 text, VPORT_MAX_QUEUES - 1);
	if (core >= CPU_SETSIZE)
		return error_set(error, ERANGE,
				 "other_config:pmd-rxq-affinity=%.64s: cores are 0 to %d", text,
				 CPU_SETSIZE - 1);
	if (pins->cores[queue] >= 0)
		return refuse_pins(text, "a queue is there twice", error);
	pins->cores[queue] = (int16_t)core;
	return 0;
}

static int read_pins(const char *text, struct queue_pins *pins, struct error *error)
{
	const char *pin = text + strspn(text, " ");

	while (*pin) {
		const size_t length = strcspn(pin, ", ");
		int result = read_pin(pin, length, text, pins, error);

		if (result)
			return result;
		pin += length;
		pin += strspn(pin, " ");
		if (!*pin)
			break;
		if (*pin != ',')
			return refuse_pins(text, "a comma is missing", error);
		pin++;
		pin += strspn(pin, " ");
		if (!*pin)
			return refuse_pins(text, "it ends with a comma", error);
	}
	return 0;
}

int apply_queue_pins(struct bridge_port *port, const json_t *interface, struct error *error)
{
	const char *text = config_key(interface, "other_config", "pmd-rxq-affinity");
	struct queue_pins pins;
	int result = 0;

	for (unsigned int i = 0; i < VPORT_MAX_QUEUES; i++)
		pins.cores[i] = -1;
	if (text)
		result = read_pins(text, &pins, error);
	if (!result && workers_pin_queues(bridge_port_vport(port)->index, &pins) < 0)
		result = error_set(error, ENOMEM, "out of memory");
	if (result)
		error_prefix(error, "port '%s'", bridge_port_name(port));
	return result;
}
