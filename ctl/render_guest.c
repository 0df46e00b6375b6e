// vsctl port-guest as text.
#include "ctl/render.h"

#include "common/text.h"

#include <inttypes.h>
#include <string.h>

#define LABEL_WIDTH 18

static const char *string(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static bool truth(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void label(struct text *text, const char *name)
{
	text_addf(text, "  %-*s", LABEL_WIDTH, name);
}

// A word in quotes where the shell would take it apart.
static void add_word(struct text *text, const char *word)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_-+=.,:/@%";

	if (*word && !word[strspn(word, safe)]) {
		text_add(text, word);
		return;
	}
	text_add_char(text, '\'');
	for (; *word; word++)
		if (*word == '\'')
			text_add(text, "'\\''");
		else
			text_add_char(text, *word);
	text_add_char(text, '\'');
}

// An option and its value in each line, to be pasted behind the rest of a command line.
static void render_arguments(const json_t *arguments, struct text *text)
{
	const size_t n = json_array_size(arguments);
	const char *word;

	for (size_t i = 0; i < n; i++) {
		word = json_string_value(json_array_get(arguments, i));
		add_word(text, word ? word : "");
		text_add(text, i % 2 == 0 ? " " : i + 1 < n ? " \\\n" : "\n");
	}
}

static void add_time(struct text *text, json_int_t ms)
{
	text_addf(text, "%lld.%03lld s", (long long)ms / 1000, (long long)ms % 1000);
}

static void render_state(const json_t *answer, struct text *text)
{
	const char *state = string(answer, "state");
	const json_t *peer = json_object_get(answer, "peer");

	text_addf(text, "%s (bridge %s)\n", string(answer, "port"), string(answer, "bridge"));
	label(text, "socket");
	text_addf(text, "%s (%s)\n", string(answer, "socket"),
		  !strcmp(string(answer, "mode"), "server") ? "the switch listens"
							    : "the guest listens");
	label(text, "guest");
	if (!strcmp(state, "no-guest"))
		text_add(text, "none is connected");
	else if (!strcmp(state, "connected"))
		text_add(text, "connected, its driver has not started");
	else if (!strcmp(state, "stopped"))
		text_add(text, "connected, but it takes no packets");
	else
		text_add(text, state);
	if (strcmp(state, "no-guest")) {
		text_add(text, ", for ");
		add_time(text, number(answer, "connected_ms"));
	}
	text_add(text, "\n");
	if (json_is_object(peer)) {
		label(text, "process");
		text_addf(text, "%lld (%s), user %lld\n", (long long)number(peer, "pid"),
			  string(peer, "command"), (long long)number(peer, "uid"));
	}
}

static void render_problems(const json_t *answer, struct text *text)
{
	json_t *problem;
	size_t i;

	json_array_foreach (json_object_get(answer, "problems"), i, problem) {
		label(text, "problem");
		text_addf(text, "%s\n", json_string_value(problem));
	}
}

static void render_settings(const json_t *answer, struct text *text)
{
	label(text, "MTU");
	text_addf(text, "%lld", (long long)number(answer, "mtu"));
	if (json_is_integer(json_object_get(answer, "guest_mtu")))
		text_addf(text, ", the guest was told %lld",
			  (long long)number(answer, "guest_mtu"));
	text_add(text, "\n");
	label(text, "queues");
	text_addf(text, "%lld used of %lld offered", (long long)number(answer, "queues"),
		  (long long)number(answer, "queues_offered"));
	if (json_array_size(json_object_get(answer, "rings")))
		text_addf(text, ", %s rings", string(answer, "layout"));
	text_add(text, "\n");
	if (number(answer, "announces")) {
		label(text, "announced");
		text_addf(text, "%lld times after migrations\n",
			  (long long)number(answer, "announces"));
	}
}

static void render_features(const json_t *list, const char *name, struct text *text)
{
	json_t *feature;
	size_t i;

	json_array_foreach ((json_t *)list, i, feature) {
		label(text, i ? "" : name);
		text_addf(text, "%s", string(feature, "name"));
		if (*string(feature, "meaning"))
			text_addf(text, ": %s", string(feature, "meaning"));
		else
			text_addf(text, " (bit %lld)", (long long)number(feature, "bit"));
		text_add(text, "\n");
	}
}

static void render_ring(const json_t *ring, struct text *text)
{
	text_addf(text, "queue %lld %s: %s%lld of %lld buffers %s, %lld interrupts sent (%s)",
		  (long long)number(ring, "queue"),
		  !strcmp(string(ring, "direction"), "to-guest") ? "to the guest"
								 : "from the guest",
		  truth(ring, "enabled") ? "" : "disabled, ", (long long)number(ring, "waiting"),
		  (long long)number(ring, "size"),
		  !strcmp(string(ring, "direction"), "to-guest") ? "free" : "to be read",
		  (long long)number(ring, "interrupts"),
		  truth(ring, "interrupt_wanted") ? "the guest waits for one"
						  : "the guest wants none now");
	if (json_is_integer(json_object_get(ring, "kicks")))
		text_addf(text, ", kicked %lld times", (long long)number(ring, "kicks"));
	if (number(ring, "not_taken_ms")) {
		text_add(text, ", no buffers given for ");
		add_time(text, number(ring, "not_taken_ms"));
	}
	text_add(text, "\n");
}

static void render_rings(const json_t *answer, struct text *text)
{
	json_t *ring;
	size_t i;

	json_array_foreach (json_object_get(answer, "rings"), i, ring) {
		label(text, i ? "" : "rings");
		render_ring(ring, text);
	}
}

static void render_memory(const json_t *answer, struct text *text)
{
	json_t *region;
	size_t i;

	json_array_foreach (json_object_get(answer, "memory"), i, region) {
		label(text, i ? "" : "memory");
		text_addf(text, "%lld KiB at 0x%" PRIx64 ", pages of %lld KiB\n",
			  (long long)number(region, "size") / 1024,
			  (uint64_t)number(region, "address"),
			  (long long)number(region, "page_size") / 1024);
	}
}

static void render_traffic(const json_t *answer, struct text *text)
{
	label(text, "packets");
	text_addf(text, "%lld to the guest, %lld from it\n",
		  (long long)number(answer, "sent_to_guest"),
		  (long long)number(answer, "received_from_guest"));
}

void render_guest(const json_t *request, const json_t *answer, struct text *text)
{
	(void)request;
	if (json_object_get(answer, "arguments")) {
		render_arguments(json_object_get(answer, "arguments"), text);
		return;
	}
	if (json_object_get(answer, "xml")) {
		text_addf(text, "%s\n", string(answer, "xml"));
		return;
	}
	render_state(answer, text);
	render_problems(answer, text);
	render_settings(answer, text);
	render_traffic(answer, text);
	render_rings(answer, text);
	render_memory(answer, text);
	render_features(json_object_get(answer, "features"), "features", text);
	render_features(json_object_get(answer, "protocol_features"), "protocol", text);
}
