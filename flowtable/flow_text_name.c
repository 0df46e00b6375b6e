#include "common/error.h"
#include "common/text.h"
#include "flowtable/flow_text.h"
#include "flowtable/parser.h"
#include "flowtable/tun_map.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static int error_unknown_field(struct parser *parser, struct span name)
{
	char word[64];
	const char *nearest = span_copy(name, word, sizeof(word)) ? field_nearest(word) : NULL;

	if (!name.length)
		return parser_error(parser, name.at, "a field's name is missing here");
	if (nearest)
		return parser_error(parser, name.at, "there is no field '%.*s'; did you mean %s?",
				    SPAN_ARGS(name), nearest);
	return parser_error(parser, name.at, "there is no field '%.*s'", SPAN_ARGS(name));
}

void field_names_find(struct span name, struct field_names *names)
{
	names->n = field_find_all(name.at, name.length, names->fields, FIELD_NAMES_MAX);
	if (names->n > FIELD_NAMES_MAX)
		names->n = FIELD_NAMES_MAX;
}

const struct field *field_names_choose(const struct field_names *names, const struct match *match)
{
	for (unsigned int i = 0; i < names->n; i++)
		if (match_has_prerequisite(match, names->fields[i]))
			return names->fields[i];
	return NULL;
}

// A tunnel option is a field of the bridge's, if the bridge maps it.
const struct field *parse_mapped_field(struct parser *parser, struct span name,
				       const struct field *field)
{
	const struct field *mapped = tun_map_field(parser->ports, field);

	if (!mapped)
		parser_error(parser, name.at,
			     "no tunnel option is mapped to %s on this bridge: vsctl add-tlv-map "
			     "BRIDGE '{class=CLASS,type=TYPE,len=BYTES}->%s' maps one",
			     field->name, field->name);
	return mapped;
}

const struct field *parse_field_name(struct parser *parser, struct span name,
				     const struct match *match, bool *satisfied)
{
	const struct field *field = NULL;
	struct field_names names;

	field_names_find(name, &names);
	if (!names.n) {
		error_unknown_field(parser, name);
		return NULL;
	}
	if (match)
		field = field_names_choose(&names, match);
	*satisfied = !match || field;
	return parse_mapped_field(parser, name, field ? field : field_find(name.at, name.length));
}

// What to add; of several ways the first, where other fields have theirs to tell as well.
static void add_remedy(struct text *text, const struct field *field, bool all)
{
	const char *remedy = field_prerequisite_remedy(field->prerequisite);
	const char *other = strstr(remedy, " or ");

	text_add_bytes(text, remedy, all || !other ? strlen(remedy) : (size_t)(other - remedy));
}

int parser_error_prerequisite(struct parser *parser, struct span name, const char *where)
{
	struct field_names found;
	struct span bits;
	struct text nouns = { 0 };
	struct text remedies = { 0 };

	span_split(name, '[', &name, &bits);
	field_names_find(name, &found);
	for (unsigned int i = 0; i < found.n; i++) {
		const char *glue = !i ? "" : i + 1 == found.n ? " or " : ", ";

		text_addf(&nouns, "%s%s", glue,
			  field_prerequisite_text(found.fields[i]->prerequisite));
		text_add(&remedies, glue);
		add_remedy(&remedies, found.fields[i], found.n == 1);
	}
	parser_error(parser, name.at, "%.*s needs %s%s: add %s", SPAN_ARGS(name),
		     nouns.data ? nouns.data : "more", where,
		     remedies.data ? remedies.data : "what it needs");
	text_free(&nouns);
	text_free(&remedies);
	return -EINVAL;
}

// "[]", "[3]" or "[0..15]", brackets included, into the first bit and how many.
static int parse_bits(struct parser *parser, struct span span, const struct field *field,
		      struct subfield *subfield)
{
	unsigned int n_bits = field_subfield_bits(field);
	struct span inside = { span.at + 1, span.length - 2 };
	const char *dots;
	uint64_t first;
	uint64_t last;
	int error;

	if (span.length < 2 || span.at[span.length - 1] != ']')
		return parser_error(parser, span.at,
				    "bits are written [], [BIT] or [FIRST..LAST], not '%.*s'",
				    SPAN_ARGS(span));
	if (!inside.length)
		return 0;
	dots = memchr(inside.at, '.', inside.length);
	if (dots) {
		struct span low = { inside.at, (size_t)(dots - inside.at) };
		struct span high = { dots + 2, inside.length - low.length - 2 };

		if (inside.length - low.length < 2 || dots[1] != '.')
			return parser_error(parser, dots, "bits are written [FIRST..LAST]");
		error = parse_number(parser, low, "the first bit", 0, n_bits - 1, &first);
		if (!error)
			error = parse_number(parser, high, "the last bit", first, n_bits - 1,
					     &last);
	} else {
		error = parse_number(parser, inside, "a bit", 0, n_bits - 1, &first);
		last = first;
	}
	if (error)
		return error;
	subfield->offset = (uint16_t)first;
	subfield->n_bits = (uint16_t)(last - first + 1);
	return 0;
}

int parse_subfield(struct parser *parser, struct span span, const struct match *match,
		   struct subfield *subfield, bool *satisfied)
{
	const char *bracket = span.length ? memchr(span.at, '[', span.length) : NULL;
	struct span name = { span.at, bracket ? (size_t)(bracket - span.at) : span.length };
	const struct field *field = parse_field_name(parser, name, match, satisfied);

	if (!field)
		return -EINVAL;
	*subfield =
		(struct subfield){ .field = field, .n_bits = (uint16_t)field_subfield_bits(field) };
	if (!bracket)
		return 0;
	return parse_bits(parser, (struct span){ bracket, span.length - name.length }, field,
			  subfield);
}

int subfield_parse(const char *string, struct subfield *subfield, struct error *error)
{
	struct parser parser = { .base = string, .error = error };
	bool satisfied;

	return parse_subfield(&parser, span_of(string), NULL, subfield, &satisfied);
}

void subfield_format(const struct subfield *subfield, struct text *text)
{
	const struct field *field = subfield->field;

	text_add(text, field->nxm ? field->nxm : field->name);
	if (subfield->offset == 0 && subfield->n_bits == field_subfield_bits(field))
		text_add(text, "[]");
	else if (subfield->n_bits == 1)
		text_addf(text, "[%u]", subfield->offset);
	else
		text_addf(text, "[%u..%u]", subfield->offset,
			  subfield->offset + subfield->n_bits - 1u);
}
