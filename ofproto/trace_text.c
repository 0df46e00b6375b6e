#include "ofproto/trace_text.h"

#include "common/rcu.h"
#include "common/text.h"
#include "ofproto/key_text.h"

#include <string.h>

#include <rte_mbuf.h>

json_t *trace_take_text(struct text *text)
{
	json_t *string = json_string(text->data ? text->data : "");

	text_free(text);
	return string;
}

json_t *trace_key_text(const struct key *key, const struct port_names *names)
{
	struct text text = { 0 };
	struct match match;

	key_describe(key, names, &match);
	match_format(&match, names, &text);
	return trace_take_text(&text);
}

json_t *trace_sent_text(const struct key *key)
{
	struct text text = { 0 };
	struct match match;

	key_describe(key, NULL, &match);
	match.mask.core.in_port = 0;
	match.value.core.in_port = 0;
	match_format(&match, NULL, &text);
	return trace_take_text(&text);
}

json_t *trace_packet_hex(const struct rte_mbuf *packet)
{
	static const char digits[] = "0123456789abcdef";
	struct text text = { 0 };

	text_add(&text, "");
	for (; packet; packet = packet->next) {
		const uint8_t *bytes = rte_pktmbuf_mtod(packet, const uint8_t *);

		for (unsigned int i = 0; i < packet->data_len; i++) {
			text_add_char(&text, digits[bytes[i] >> 4]);
			text_add_char(&text, digits[bytes[i] & 15]);
		}
	}
	return trace_take_text(&text);
}

// --- Differences ---

// The key as a match of everything, for questions about prerequisites.
static void match_all(const struct key *key, struct match *match)
{
	match->value = *key;
	memset(&match->mask, 0xff, sizeof(match->mask));
}

static json_t *field_text(const struct field *field, const struct match *match,
			  const struct port_names *names)
{
	const struct field_value ones = field_all_ones(field);
	struct field_value value;
	struct text text = { 0 };

	if (!match_has_prerequisite(match, field))
		return json_null();
	field_get(field, &match->value, &value);
	field_format_value(field, &value, &ones, names, &text);
	return trace_take_text(&text);
}

static void add_change(json_t *changes, const char *name, json_t *before, json_t *after)
{
	json_array_append_new(changes, json_pack("{s:s, s:o, s:o}", "field", name, "before", before,
						 "after", after));
}

static void add_number_change(json_t *changes, const char *name, const char *suffix,
			      unsigned int before, unsigned int after)
{
	char text[32];

	if (before == after)
		return;
	snprintf(text, sizeof(text), "%s%s", name, suffix);
	add_change(changes, text, json_sprintf("%u", before), json_sprintf("%u", after));
}

// A tag that is there before and after: its parts, as a match says them. Returns false if it came
// or went.
static bool add_tag_change(json_t *changes, const struct field *field, const struct match *before,
			   const struct match *after)
{
	const char *suffix = field->id == FIELD_VLAN_TCI ? "" : "1";
	struct field_value value;
	unsigned int old, new;

	field_get(field, &before->value, &value);
	old = (unsigned int)field_value_to_u64(&value);
	field_get(field, &after->value, &value);
	new = (unsigned int)field_value_to_u64(&value);
	if (!(old & new &KEY_VLAN_PRESENT))
		return false;
	add_number_change(changes, "dl_vlan", suffix, old & 0xfff, new & 0xfff);
	add_number_change(changes, "dl_vlan_pcp", suffix, old >> 13, new >> 13);
	return true;
}

json_t *trace_changes(const struct key *before, const struct key *after,
		      const struct port_names *names)
{
	static const struct field_value zero;
	struct match old, new;
	struct key left;
	json_t *changes;

	if (!memcmp(before, after, sizeof(*before)))
		return NULL;
	match_all(before, &old);
	match_all(after, &new);
	for (unsigned int i = 0; i < KEY_WORDS; i++)
		left.words[i] = before->words[i] ^ after->words[i];
	changes = json_array();
	for (unsigned int id = 0; id < N_FIELDS; id++) {
		const struct field *field = &fields[id];
		struct field_value value;

		field_get(field, &left, &value);
		if (field_value_is_zero(&value) ||
		    (!match_has_prerequisite(&old, field) && !match_has_prerequisite(&new, field)))
			continue;
		if (field->format != FORMAT_VLAN_TCI || !add_tag_change(changes, field, &old, &new))
			add_change(changes, field->shown, field_text(field, &old, names),
				   field_text(field, &new, names));
		field_set(field, &zero, &left);
	}
	if (json_array_size(changes))
		return changes;
	json_decref(changes);
	return NULL;
}

// --- Flows ---

static void describe_match(json_t *object, const struct flow *flow, const struct match *match,
			   const struct port_names *names)
{
	struct text text = { 0 };

	match_format(match, names, &text);
	json_object_set_new(object, "match", trace_take_text(&text));
	flow_format_match(match, flow->priority, names, &text);
	json_object_set_new(object, "flow", trace_take_text(&text));
	json_object_set_new(object, "priority", json_integer(flow->priority));
	json_object_set_new(object, "cookie",
			    json_sprintf("0x%llx", (unsigned long long)flow->cookie));
}

void trace_describe_flow(json_t *object, const struct flow *flow, const struct port_names *names)
{
	struct text text = { 0 };
	struct match match;

	match_unpack(flow->mask, flow->values, &match);
	describe_match(object, flow, &match, names);
	program_format(rcu_read(&flow->program), names, &text);
	json_object_set_new(object, "actions", trace_take_text(&text));
}

json_t *trace_describe_near(const struct table_near *near, const struct key *key,
			    const struct port_names *names)
{
	const struct field *field = near->field;
	json_t *object = json_object();
	struct field_value value, mask;
	struct text text = { 0 };
	struct match match, all;

	match_unpack(near->flow->mask, near->flow->values, &match);
	describe_match(object, near->flow, &match, names);
	match_all(key, &all);
	field_get(field, &match.value, &value);
	field_get(field, &match.mask, &mask);
	field_format_value(field, &value, &mask, names, &text);
	json_object_set_new(object, "field", json_string(field->shown));
	json_object_set_new(object, "packet", field_text(field, &all, names));
	json_object_set_new(object, "wants", trace_take_text(&text));
	json_object_set_new(object, "fields", json_integer(near->n_fields));
	return object;
}
