// Quality of service as text, with units in words.
#include "ctl/render.h"

#include "common/text.h"

#include <string.h>

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static double real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

// "12.5 Mbit/s", with as many digits as it takes.
static void add_scaled(struct text *text, json_int_t value, const char *unit)
{
	static const char *const prefixes[] = { "", "k", "M", "G", "T" };
	double scaled = (double)value;
	unsigned int i = 0;

	for (; scaled >= 1000 && i < 4; i++)
		scaled /= 1000;
	text_addf(text, "%.4g %s%s", scaled, prefixes[i], unit);
}

static void add_delay(struct text *text, const char *name, double us)
{
	if (us >= 1000)
		text_addf(text, "%s %.3g ms", name, us / 1000);
	else
		text_addf(text, "%s %.3g us", name, us);
}

static void add_queue(const json_t *queue, struct text *text)
{
	text_addf(text, "  queue %lld: ", (long long)number(queue, "queue"));
	add_scaled(text, number(queue, "rate"), "bit/s");
	if (number(queue, "min_rate")) {
		text_add(text, ", at least ");
		add_scaled(text, number(queue, "granted"), "bit/s");
		if (number(queue, "granted") != number(queue, "min_rate")) {
			text_add(text, " (of ");
			add_scaled(text, number(queue, "min_rate"), "bit/s");
			text_add(text, ": all minimums exceed the port's rate)");
		}
	}
	if (number(queue, "max_rate")) {
		text_add(text, ", at most ");
		add_scaled(text, number(queue, "max_rate"), "bit/s");
	}
	text_addf(text, ", priority %lld, weight %lld, %s", (long long)number(queue, "priority"),
		  (long long)number(queue, "weight"),
		  json_string_value(json_object_get(queue, "aqm")));
	if (json_is_integer(json_object_get(queue, "dscp")))
		text_addf(text, ", DSCP %lld", (long long)number(queue, "dscp"));
	text_addf(text,
		  "\n    sent %lld packets, %lld bytes; dropped %lld for lack of room, %lld for "
		  "delay; %lld marks; waiting %lld packets, %lld bytes\n",
		  (long long)number(queue, "packets"), (long long)number(queue, "bytes"),
		  (long long)number(queue, "drops_full"), (long long)number(queue, "drops_delay"),
		  (long long)number(queue, "marks"), (long long)number(queue, "queued_packets"),
		  (long long)number(queue, "queued_bytes"));
	if (!number(queue, "packets"))
		return;
	add_delay(text, "    delay: median", real(queue, "delay_us_p50"));
	add_delay(text, ", 90 %", real(queue, "delay_us_p90"));
	add_delay(text, ", 99 %", real(queue, "delay_us_p99"));
	add_delay(text, ", longest", real(queue, "delay_us_max"));
	text_add(text, "\n");
}

static void add_ingress(const json_t *ingress, struct text *text)
{
	const char *separator = "  accepts ";

	if (number(ingress, "rate")) {
		text_add(text, separator);
		add_scaled(text, number(ingress, "rate"), "bit/s");
		text_add(text, " and ");
		add_scaled(text, number(ingress, "burst_bits"), "bit");
		text_add(text, " at once");
		separator = ", ";
	}
	if (number(ingress, "packet_rate")) {
		text_add(text, separator);
		text_addf(text, "%lld packets/s and %lld packets at once",
			  (long long)number(ingress, "packet_rate"),
			  (long long)number(ingress, "burst_packets"));
	}
	text_addf(text, "; dropped %lld packets\n", (long long)number(ingress, "drops"));
}

void render_qos(const json_t *request, const json_t *answer, struct text *text)
{
	const json_t *shaper = json_object_get(answer, "shaper");
	const json_t *policer = json_object_get(answer, "policer");
	const json_t *ingress = json_object_get(answer, "ingress");
	const char *type = json_string_value(json_object_get(answer, "type"));
	json_t *queue;
	size_t i;

	(void)request;
	text_addf(text, "%s: %s\n", json_string_value(json_object_get(answer, "port")),
		  type      ? type
		  : ingress ? "policed"
			    : "no quality of service");
	if (ingress)
		add_ingress(ingress, text);
	if (policer) {
		text_add(text, "  sends ");
		add_scaled(text, number(policer, "cir"), "byte/s");
		text_add(text, " of IP packets and ");
		add_scaled(text, number(policer, "cbs"), "byte");
		text_addf(text, " at once; dropped %lld packets\n",
			  (long long)number(policer, "drops"));
	}
	if (!shaper)
		return;
	text_add(text, "  rate ");
	add_scaled(text, number(shaper, "rate"), "bit/s");
	text_add(text, " of ");
	add_scaled(text, number(shaper, "max_rate"), "bit/s");
	text_add(text, ", burst ");
	add_scaled(text, number(shaper, "burst_bytes"), "byte");
	text_addf(text, "; %lld packets for queues that do not exist\n",
		  (long long)number(shaper, "unknown_queue"));
	json_array_foreach (json_object_get(shaper, "queues"), i, queue)
		add_queue(queue, text);
}

void render_queue_stats(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *queue;
	size_t i;

	(void)request;
	text_addf(text, "%zu queues\n", json_array_size(answer));
	json_array_foreach ((json_t *)answer, i, queue)
		text_addf(text, "  port %s queue %lld: bytes=%lld, pkts=%lld, errors=%lld\n",
			  json_string_value(json_object_get(queue, "port")),
			  (long long)number(queue, "queue"), (long long)number(queue, "bytes"),
			  (long long)number(queue, "packets"),
			  (long long)(number(queue, "drops_full") + number(queue, "drops_delay")));
}

void render_queue_config(const json_t *request, const json_t *answer, struct text *text)
{
	json_t *queue;
	size_t i;

	(void)request;
	text_addf(text, "%zu queues\n", json_array_size(answer));
	json_array_foreach ((json_t *)answer, i, queue)
		text_addf(text, "  port %s queue %lld: min_rate:%lld max_rate:%lld (bit/s)\n",
			  json_string_value(json_object_get(queue, "port")),
			  (long long)number(queue, "queue"), (long long)number(queue, "min_rate"),
			  (long long)number(queue, "max_rate"));
}
