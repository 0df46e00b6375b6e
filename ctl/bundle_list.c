#include "ctl/bundle_list.h"

#include "common/error.h"
#include "common/text.h"
#include "ctl/change_list.h"
#include "ofproto/bundle.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void bundle_list_init(struct bundle_list *list, struct bridge *bridge)
{
	memset(list, 0, sizeof(*list));
	list->flows.bridge = bridge;
	list->groups.bridge = bridge;
}

void bundle_list_free(struct bundle_list *list)
{
	flow_list_free(&list->flows);
	group_list_free(&list->groups);
	meter_list_free(&list->meters);
	for (unsigned int i = 0; i < list->packet_outs.n; i++)
		packet_out_free(list->packet_outs.requests[i]);
	free(list->packet_outs.requests);
	free(list->packet_outs.lines);
	free(list->kinds);
}

static int reserve(struct bundle_list *list, struct error *error)
{
	unsigned int size = list->size ? list->size * 2 : 64;
	uint8_t *kinds;

	if (list->n < list->size)
		return 0;
	kinds = realloc(list->kinds, size * sizeof(*kinds));
	if (!kinds)
		return error_set(error, ENOMEM, "out of memory");
	list->kinds = kinds;
	list->size = size;
	return 0;
}

static int add_packet_out(struct bundle_list *list, const char *text, int line, struct error *error)
{
	struct bundle_packet_outs *outs = &list->packet_outs;
	struct packet_out_request **requests;
	int result;

	if (outs->n == outs->size) {
		requests = change_list_grow(outs->requests, sizeof(struct packet_out_request *),
					    &outs->lines, &outs->size, error);
		if (!requests)
			return -ENOMEM;
		outs->requests = requests;
	}
	result = packet_out_text_make(list->flows.bridge, text, &outs->requests[outs->n], error);
	if (result)
		error->line = line;
	else
		outs->lines[outs->n++] = line;
	return result;
}

static const char *const kind_words[] = {
	[BUNDLE_FLOW] = "flow",
	[BUNDLE_GROUP] = "group",
	[BUNDLE_METER] = "meter",
	[BUNDLE_PACKET_OUT] = "packet-out",
};
#define N_KINDS (sizeof(kind_words) / sizeof(kind_words[0]))

static int refuse(const char *text, int line, struct error *error)
{
	const size_t length = strcspn(text, " \t");

	error->line = line;
	error->column = 1;
	return error_set(error, EINVAL,
			 "'%.*s' is not what a line of a bundle begins with: flow, group, meter or "
			 "packet-out",
			 length > 32 ? 32 : (int)length, text);
}

static int add_change(struct bundle_list *list, enum bundle_kind kind, const char *text, int line,
		      struct error *error)
{
	switch (kind) {
	case BUNDLE_FLOW:
		return flow_list_add_line(&list->flows, text, line, error);
	case BUNDLE_GROUP:
		return group_list_add(&list->groups, text, GROUP_MOD_ADD, line, error);
	case BUNDLE_METER:
		return meter_list_add(&list->meters, text, METER_MOD_ADD, line, error);
	default:
		return add_packet_out(list, text, line, error);
	}
}

static int add_line(struct bundle_list *list, const char *text, int line, struct error *error)
{
	unsigned int kind = 0;
	size_t skipped = 0;
	int result;

	while (kind < N_KINDS && !(skipped = change_list_skip_word(text, kind_words[kind])))
		kind++;
	if (kind == N_KINDS)
		return refuse(text, line, error);
	result = reserve(list, error);
	if (!result)
		result = add_change(list, (enum bundle_kind)kind, text + skipped, line, error);
	if (result && error->column)
		error->column += (int)skipped;
	if (!result)
		list->kinds[list->n++] = (uint8_t)kind;
	return result;
}

// One line of `length` bytes, without comments and blanks around it.
static int read_line(struct bundle_list *list, char *text, size_t length, int line,
		     struct error *error)
{
	size_t lead = 0;
	int result;

	length = strnlen(text, length);
	text[length] = '\0';
	length = strcspn(text, "#");
	while (lead < length && isspace((unsigned char)text[lead]))
		lead++;
	while (length > lead && isspace((unsigned char)text[length - 1]))
		length--;
	if (length == lead)
		return 0;
	text[length] = '\0';
	result = add_line(list, text + lead, line, error);
	if (result && error->column)
		error->column += (int)lead;
	return result;
}

int bundle_list_read(struct bundle_list *list, const char *text, struct error *error)
{
	struct text copy = { 0 };
	int result = 0;

	for (int line = 1; !result && *text; line++) {
		const size_t length = strcspn(text, "\n");

		text_clear(&copy);
		text_add_bytes(&copy, text, length);
		if (copy.failed)
			result = error_set(error, ENOMEM, "out of memory");
		else if (length)
			result = read_line(list, copy.data, length, line, error);
		text += length + (text[length] == '\n');
	}
	text_free(&copy);
	return result;
}

// The next change of its kind; `at` counts those of each. Returns its line.
static int next_change(const struct bundle_list *list, enum bundle_kind kind,
		       unsigned int at[N_KINDS], struct bundle_change *change)
{
	const unsigned int i = at[kind]++;

	switch (kind) {
	case BUNDLE_FLOW:
		change->flow = &list->flows.changes[i];
		return list->flows.lines[i];
	case BUNDLE_GROUP:
		change->group = &list->groups.mods[i];
		return list->groups.lines[i];
	case BUNDLE_METER:
		change->meter = &list->meters.mods[i];
		return list->meters.lines[i];
	default:
		change->packet_out = list->packet_outs.requests[i];
		return list->packet_outs.lines[i];
	}
}

int bundle_list_apply(struct bundle_list *list, struct error *error)
{
	struct bundle_change *changes = calloc(list->n + 1, sizeof(*changes));
	int *lines = calloc(list->n + 1, sizeof(*lines));
	unsigned int at[N_KINDS] = { 0 };
	int result = 0;

	error_clear(error);
	if (!changes || !lines)
		result = error_set(error, ENOMEM, "out of memory");
	for (unsigned int i = 0; !result && i < list->n; i++)
		lines[i] = next_change(list, (enum bundle_kind)list->kinds[i], at, &changes[i]);
	if (!result && list->n)
		result = bundle_apply(list->flows.bridge, changes, list->n, error);
	if (result && error->line > 0 && (unsigned int)error->line <= list->n)
		error->line = lines[error->line - 1];
	free(changes);
	free(lines);
	return result;
}
