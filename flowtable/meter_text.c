#include "flowtable/meter_text.h"

#include "common/error.h"
#include "common/text.h"
#include "flowtable/parser.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

const char *const meter_unit_names[2] = { "kbps", "pktps" };
const char *const meter_band_type_names[N_METER_BAND_TYPES] = { "drop", "dscp_remark" };

struct meter_parser {
	struct parser parser;
	enum meter_text_usage usage;
	struct meter_text *meter;
	bool has_id;
	bool has_unit;
	bool in_bands; // "bands=" has come
	// Of the band under way.
	const char *band_at;
	bool has_rate;
	const char *burst_at; // where the first burst_size was written
};

static bool is_separator(char c)
{
	return c == ',' || isspace((unsigned char)c);
}

// The next piece between separators. False at the end.
static bool next_item(struct span *rest, struct span *item)
{
	size_t n = 0;

	while (rest->length && is_separator(*rest->at)) {
		rest->at++;
		rest->length--;
	}
	while (n < rest->length && !is_separator(rest->at[n]))
		n++;
	*item = (struct span){ rest->at, n };
	rest->at += n;
	rest->length -= n;
	return n > 0;
}

static int parse_id(struct meter_parser *parser, struct span value)
{
	uint64_t number = METER_ID_ALL;
	int error = 0;

	parser->has_id = true;
	if (span_is(value, "controller"))
		return parser_error(&parser->parser, value.at,
				    "no meter 'controller': nothing is sent to a controller yet "
				    "that it could limit; number meters from 1 to %u",
				    METER_ID_MAX);
	if (span_is(value, "slowpath"))
		return parser_error(&parser->parser, value.at,
				    "no meter 'slowpath': this switch has no slow path, workers "
				    "handle every packet; number meters from 1 to %u",
				    METER_ID_MAX);
	if (parser->usage != METER_TEXT_SELECT || !span_is(value, "all"))
		error = parse_number(&parser->parser, value, "meter", 1, METER_ID_MAX, &number);
	parser->meter->id = (uint32_t)number;
	return error;
}

static int set_unit(struct meter_parser *parser, struct span item, enum meter_unit unit)
{
	if (parser->has_unit && parser->meter->unit != unit)
		return parser_error(&parser->parser, item.at,
				    "a meter counts in kbps or in pktps, not in both");
	parser->meter->unit = unit;
	parser->has_unit = true;
	return 0;
}

// --- Bands ---

static int end_band(struct meter_parser *parser)
{
	const struct meter_text *meter = parser->meter;
	const struct meter_band_text *band = &meter->bands[meter->n_bands - 1];

	if (!parser->band_at)
		return 0;
	if (!parser->has_rate)
		return parser_error(&parser->parser, parser->band_at,
				    "rate= is missing in this band");
	if (band->type == METER_DSCP_REMARK && !band->prec_level)
		return parser_error(&parser->parser, parser->band_at,
				    "prec_level= is missing: by how much a dscp_remark band raises "
				    "the drop precedence");
	if (band->type == METER_DROP && band->prec_level)
		return parser_error(&parser->parser, parser->band_at,
				    "prec_level is for bands of type dscp_remark");
	return 0;
}

static int begin_band(struct meter_parser *parser, struct span item, struct span type)
{
	struct meter_text *meter = parser->meter;
	int error = end_band(parser);

	if (error)
		return error;
	if (meter->n_bands == METER_MAX_BANDS)
		return parser_error(&parser->parser, item.at, "a meter has at most %d bands",
				    METER_MAX_BANDS);
	parser->band_at = item.at;
	parser->has_rate = false;
	for (unsigned int i = 0; i < N_METER_BAND_TYPES; i++)
		if (span_is(type, meter_band_type_names[i])) {
			meter->bands[meter->n_bands++].type = (enum meter_band_type)i;
			return 0;
		}
	return parser_error(&parser->parser, type.at,
			    "a band's type is drop or dscp_remark, not '%.*s'", SPAN_ARGS(type));
}

static int parse_band_item(struct meter_parser *parser, struct span item, struct span key,
			   struct span value)
{
	struct meter_text *meter = parser->meter;
	struct meter_band_text *band;
	uint64_t number = 0;
	int error;

	if (span_is(key, "type"))
		return begin_band(parser, item, value);
	if (!parser->band_at)
		return parser_error(&parser->parser, item.at,
				    "a band begins with type=drop or type=dscp_remark");
	band = &meter->bands[meter->n_bands - 1];
	if (span_is(key, "rate")) {
		error = parse_number(&parser->parser, value, "rate", 0, UINT32_MAX, &number);
		band->rate = (uint32_t)number;
		parser->has_rate = true;
		return error;
	}
	if (span_is(key, "burst_size")) {
		error = parse_number(&parser->parser, value, "burst_size", 0, UINT32_MAX, &number);
		band->burst_size = (uint32_t)number;
		if (!parser->burst_at)
			parser->burst_at = item.at;
		return error;
	}
	if (span_is(key, "prec_level")) {
		error = parse_number(&parser->parser, value, "prec_level", 1, UINT8_MAX, &number);
		band->prec_level = (uint8_t)number;
		return error;
	}
	return parser_error(&parser->parser, item.at,
			    "'%.*s' means nothing in a band, which has type, rate, burst_size and "
			    "prec_level",
			    SPAN_ARGS(key));
}

// --- The whole ---

static int parse_head_item(struct meter_parser *parser, struct span item, struct span key,
			   struct span value)
{
	const bool whole = parser->usage == METER_TEXT_ADD;

	if (span_is(key, "meter"))
		return parse_id(parser, value);
	// "dump-meter br0 5"
	if (!whole && !parser->has_id && key.length == item.length)
		return parse_id(parser, item);
	if (!whole)
		return parser_error(&parser->parser, item.at,
				    "'%.*s' means nothing here: a meter is named by meter=NUMBER "
				    "or all",
				    SPAN_ARGS(item));
	if (span_is(item, "kbps"))
		return set_unit(parser, item, METER_KBPS);
	if (span_is(item, "pktps"))
		return set_unit(parser, item, METER_PKTPS);
	if (span_is(item, "burst"))
		parser->meter->burst = true;
	else if (span_is(item, "stats"))
		parser->meter->stats = true;
	else
		return parser_error(&parser->parser, item.at,
				    "'%.*s' means nothing here: a meter has meter=NUMBER, kbps or "
				    "pktps, burst, stats and at its end bands=",
				    SPAN_ARGS(key));
	return 0;
}

static int parse_item(struct meter_parser *parser, struct span item)
{
	struct span key, value;
	bool bands;

	span_split(item, '=', &key, &value);
	bands = (span_is(key, "bands") || span_is(key, "band")) && key.length < item.length;
	if (bands && parser->usage == METER_TEXT_ADD) {
		parser->in_bands = true;
		if (!value.length)
			return 0; // "bands= type=drop"
		item = value;
		span_split(item, '=', &key, &value);
	}
	return parser->in_bands ? parse_band_item(parser, item, key, value)
				: parse_head_item(parser, item, key, value);
}

static int check_whole(struct meter_parser *parser, const char *end)
{
	if (!parser->has_id)
		return parser_error(&parser->parser, end, "meter= is missing");
	if (!parser->has_unit)
		return parser_error(&parser->parser, end, "the unit is missing: kbps or pktps");
	if (!parser->meter->n_bands)
		return parser_error(&parser->parser, end,
				    "a meter needs a band: bands=type=drop,rate=NUMBER");
	if (parser->burst_at && !parser->meter->burst)
		return parser_error(&parser->parser, parser->burst_at,
				    "burst_size needs the word burst in front of the bands");
	return end_band(parser);
}

int meter_text_parse(const char *string, enum meter_text_usage usage, struct meter_text *meter,
		     struct error *error)
{
	struct meter_parser parser = {
		.parser = { .base = string, .error = error },
		.usage = usage,
		.meter = meter,
	};
	struct span rest = span_of(string), item;
	int result = 0;

	memset(meter, 0, sizeof(*meter));
	meter->id = METER_ID_ALL;
	while (!result && next_item(&rest, &item))
		result = parse_item(&parser, item);
	if (!result && usage == METER_TEXT_ADD)
		result = check_whole(&parser, rest.at);
	return result;
}

void meter_text_format(const struct meter_text *meter, struct text *text)
{
	text_addf(text, "meter=%u,%s%s%s,bands=", meter->id, meter_unit_names[meter->unit],
		  meter->burst ? ",burst" : "", meter->stats ? ",stats" : "");
	for (unsigned int i = 0; i < meter->n_bands; i++) {
		const struct meter_band_text *band = &meter->bands[i];

		text_addf(text, "%stype=%s,rate=%u", i ? "," : "",
			  meter_band_type_names[band->type], band->rate);
		if (band->burst_size)
			text_addf(text, ",burst_size=%u", band->burst_size);
		if (band->type == METER_DSCP_REMARK)
			text_addf(text, ",prec_level=%u", band->prec_level);
	}
}
