#include "flowtable/flow_text.h"

#include "common/error.h"
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text_quick.h"
#include "flowtable/parser.h"
#include "flowtable/program_share.h"
#include "flowtable/tun_map.h"

#include <errno.h>
#include <string.h>

// What a token's name means.
struct word {
	const struct setting *setting;
	const struct match_keyword *keyword;
	struct field_names fields;
};

// One piece of a flow's text: "nw_dst=10.0.0.1" or "tcp".
struct token {
	const struct word *word;
	struct word own; // unless the word is remembered
	struct span name;
	struct span value;
	bool has_value;
	bool done; // in the match already
	const struct field *field; // which it turned out to be
};

// More than any flow needs: every field once.
#define MAX_TOKENS 256

struct flow_parser {
	struct parser parser;
	enum flow_text_usage usage;
	struct flow_text *flow;
	struct token tokens[MAX_TOKENS + 1]; // one to find that there are too many
	unsigned int n_tokens;
	struct span actions;
	bool has_actions;
};

#define ON(usage) (1u << FLOW_TEXT_##usage)
#define ON_CHANGE (ON(ADD) | ON(MOD))
#define ON_SELECT (ON(DELETE) | ON(DUMP))

// What a flow text says besides match and actions. `flag` words stand alone.
struct setting {
	const char *name;
	unsigned int usages; // where it means something
	int (*parse)(struct flow_parser *parser, const struct token *token,
		     const struct setting *setting);
	uint16_t flag;
	size_t member; // what it sets, where that is a plain number
};

#define MEMBER(name) offsetof(struct flow_text, name)

static int parse_table(struct flow_parser *parser, const struct token *token,
		       const struct setting *setting)
{
	bool all = parser->usage == FLOW_TEXT_DELETE || parser->usage == FLOW_TEXT_DUMP;
	int error = parse_table_id(&parser->parser, token->value, setting->name,
				   all ? 255 : N_TABLES - 1, &parser->flow->table_id);

	parser->flow->has_table = !error;
	return error;
}

static int parse_u16(struct flow_parser *parser, const struct token *token,
		     const struct setting *setting, uint16_t *value)
{
	uint64_t number;
	int error =
		parse_number(&parser->parser, token->value, setting->name, 0, UINT16_MAX, &number);

	if (!error)
		*value = (uint16_t)number;
	return error;
}

static int parse_priority(struct flow_parser *parser, const struct token *token,
			  const struct setting *setting)
{
	parser->flow->has_priority = true;
	return parse_u16(parser, token, setting, &parser->flow->priority);
}

static int parse_idle_timeout(struct flow_parser *parser, const struct token *token,
			      const struct setting *setting)
{
	return parse_u16(parser, token, setting, &parser->flow->idle_timeout);
}

static int parse_hard_timeout(struct flow_parser *parser, const struct token *token,
			      const struct setting *setting)
{
	return parse_u16(parser, token, setting, &parser->flow->hard_timeout);
}

static int parse_importance(struct flow_parser *parser, const struct token *token,
			    const struct setting *setting)
{
	return parse_u16(parser, token, setting, &parser->flow->importance);
}

static int parse_cookie(struct flow_parser *parser, const struct token *token,
			const struct setting *setting)
{
	struct flow_text *flow = parser->flow;
	uint64_t value;
	uint64_t mask = UINT64_MAX;
	struct span head;
	struct span rest;
	bool masked = span_split(token->value, '/', &head, &rest);
	int error = parse_number(&parser->parser, head, setting->name, 0, UINT64_MAX, &value);

	if (!error && masked && !span_is(rest, "-1"))
		error = parse_number(&parser->parser, rest, "a cookie's mask", 0, UINT64_MAX,
				     &mask);
	if (error)
		return error;
	if (masked && parser->usage == FLOW_TEXT_ADD)
		return parser_error(&parser->parser, rest.at, "a new flow's cookie takes no mask");
	if (value & ~mask)
		return parser_error(&parser->parser, head.at,
				    "the cookie has bits set that its mask does not cover");
	if (parser->usage == FLOW_TEXT_MOD && !masked) {
		if (flow->has_new_cookie)
			return parser_error(&parser->parser, token->name.at,
					    "the new cookie is there twice");
		flow->new_cookie = value;
		flow->has_new_cookie = true;
		return 0;
	}
	if (flow->has_cookie)
		return parser_error(&parser->parser, token->name.at, "cookie is there twice");
	flow->cookie = value;
	flow->cookie_mask = mask;
	flow->has_cookie = true;
	return 0;
}

static int parse_out_port(struct flow_parser *parser, const struct token *token,
			  const struct setting *setting)
{
	(void)setting;
	return parse_port(&parser->parser, token->value, &parser->flow->out_port);
}

static int parse_out_group(struct flow_parser *parser, const struct token *token,
			   const struct setting *setting)
{
	uint64_t number;
	int error =
		parse_number(&parser->parser, token->value, setting->name, 0, UINT32_MAX, &number);

	if (!error)
		parser->flow->out_group = (uint32_t)number;
	return error;
}

static int parse_flag(struct flow_parser *parser, const struct token *token,
		      const struct setting *setting)
{
	(void)token;
	parser->flow->flags |= setting->flag;
	return 0;
}

// What dump-flows prints and a flow does not have: ignored, so that its output can be read again.
static int parse_ignored(struct flow_parser *parser, const struct token *token,
			 const struct setting *setting)
{
	(void)parser;
	(void)token;
	(void)setting;
	return 0;
}

static const struct setting settings[] = {
	{ "table", ON_CHANGE | ON_SELECT, parse_table, 0, 0 },
	{ "priority", ON_CHANGE | ON_SELECT, parse_priority, 0, MEMBER(priority) },
	{ "cookie", ON_CHANGE | ON_SELECT, parse_cookie, 0, MEMBER(cookie) },
	{ "idle_timeout", ON_CHANGE, parse_idle_timeout, 0, MEMBER(idle_timeout) },
	{ "hard_timeout", ON_CHANGE, parse_hard_timeout, 0, MEMBER(hard_timeout) },
	{ "importance", ON_CHANGE, parse_importance, 0, MEMBER(importance) },
	{ "out_port", ON_SELECT, parse_out_port, 0, 0 },
	{ "out_group", ON_SELECT, parse_out_group, 0, 0 },
	{ "send_flow_rem", ON_CHANGE, parse_flag, FLOW_FLAG_SEND_FLOW_REM, 0 },
	{ "check_overlap", ON_CHANGE, parse_flag, FLOW_FLAG_CHECK_OVERLAP, 0 },
	{ "reset_counts", ON_CHANGE, parse_flag, FLOW_FLAG_RESET_COUNTS, 0 },
	{ "no_packet_counts", ON_CHANGE, parse_flag, FLOW_FLAG_NO_PACKET_COUNTS, 0 },
	{ "no_byte_counts", ON_CHANGE, parse_flag, FLOW_FLAG_NO_BYTE_COUNTS, 0 },
	{ "duration", ON_CHANGE | ON_SELECT, parse_ignored, 0, 0 },
	{ "n_packets", ON_CHANGE | ON_SELECT, parse_ignored, 0, 0 },
	{ "n_bytes", ON_CHANGE | ON_SELECT, parse_ignored, 0, 0 },
	{ "idle_age", ON_CHANGE | ON_SELECT, parse_ignored, 0, 0 },
	{ "hard_age", ON_CHANGE | ON_SELECT, parse_ignored, 0, 0 },
};
#define N_SETTINGS (sizeof(settings) / sizeof(settings[0]))

static const struct setting *setting_find(struct span name)
{
	for (unsigned int i = 0; i < N_SETTINGS; i++)
		if (span_is(name, settings[i].name))
			return &settings[i];
	return NULL;
}

static const struct match_keyword *keyword_find(struct span name)
{
	for (unsigned int i = 0; i < n_match_keywords; i++)
		if (span_is(name, match_keywords[i].name))
			return &match_keywords[i];
	return NULL;
}

// Words that were met before, by a hash of the name as it was spelled: a file says the same few
// words in every line. They are never forgotten, so that tokens may point to them; with so many
// slots there is room for all that are in use.
#define WORD_SLOTS 1024
#define WORD_PROBES 4
#define WORD_MAX_LENGTH 31

struct known_word {
	struct word word;
	uint8_t length; // 0: empty
	char name[WORD_MAX_LENGTH];
};

static struct known_word known_words[WORD_SLOTS];

static unsigned int word_hash(struct span name)
{
	uint32_t hash = (uint32_t)name.length;

	for (size_t i = 0; i < name.length; i++)
		hash = (hash ^ (uint8_t)name.at[i]) * 0x01000193u;
	return hash ^ hash >> 15;
}

static void word_resolve(struct span name, struct word *word)
{
	word->setting = setting_find(name);
	word->keyword = keyword_find(name);
	field_names_find(name, &word->fields);
}

static void token_resolve(struct token *token)
{
	const struct span name = token->name;
	struct known_word *known = NULL;
	unsigned int hash;

	if (name.length && name.length <= WORD_MAX_LENGTH) {
		hash = word_hash(name);
		for (unsigned int i = 0; i < WORD_PROBES; i++) {
			known = &known_words[(hash + i) % WORD_SLOTS];
			if (!known->length)
				break;
			if (known->length == name.length &&
			    !memcmp(known->name, name.at, name.length)) {
				token->word = &known->word;
				return;
			}
		}
	}
	word_resolve(name, &token->own);
	token->word = &token->own;
	// What is no word may be anything.
	if (!known || known->length ||
	    (!token->own.setting && !token->own.keyword && !token->own.fields.n))
		return;
	known->word = token->own;
	known->length = (uint8_t)name.length;
	memcpy(known->name, name.at, name.length);
}

static int apply_setting(struct flow_parser *parser, struct token *token,
			 const struct setting *setting)
{
	bool is_flag = setting->parse == parse_flag;

	token->done = true;
	if (!(setting->usages & 1u << parser->usage))
		return parser_error(&parser->parser, token->name.at, "%s means nothing here",
				    setting->name);
	if (is_flag == token->has_value)
		return parser_error(&parser->parser, token->name.at,
				    is_flag ? "%s takes no value" : "%s needs a value: %s=...",
				    setting->name, setting->name);
	return setting->parse(parser, token, setting);
}

static int error_contradiction(struct flow_parser *parser, const struct token *token)
{
	return parser_error(&parser->parser, token->name.at,
			    "%.*s contradicts what the flow matches before it",
			    SPAN_ARGS(token->name));
}

// The same as match_merge() for a field of whole bytes, as most are.
static int merge_bytes(struct flow_parser *parser, const struct token *token,
		       const struct field *field, const struct field_value *value,
		       const struct field_value *mask)
{
	uint8_t *old_value = parser->flow->match.value.bytes + field->offset;
	uint8_t *old_mask = parser->flow->match.mask.bytes + field->offset;
	const uint8_t *new_value = value->bytes + FIELD_VALUE_SIZE - field->size;
	const uint8_t *new_mask = mask->bytes + FIELD_VALUE_SIZE - field->size;

	for (unsigned int i = 0; i < field->size; i++) {
		if ((old_value[i] ^ new_value[i]) & old_mask[i] & new_mask[i])
			return error_contradiction(parser, token);
		old_value[i] |= new_value[i] & new_mask[i];
		old_mask[i] |= new_mask[i];
	}
	return 0;
}

// Add a condition to the match. What contradicts an earlier one is refused.
static int match_merge(struct flow_parser *parser, const struct token *token,
		       const struct field *field, const struct field_value *value,
		       const struct field_value *mask)
{
	struct match *match = &parser->flow->match;
	struct field_value old_value;
	struct field_value old_mask;

	if (!field->shift && field->n_bits == field->size * 8)
		return merge_bytes(parser, token, field, value, mask);
	field_get(field, &match->value, &old_value);
	field_get(field, &match->mask, &old_mask);
	for (unsigned int i = 0; i < FIELD_VALUE_SIZE; i++) {
		if ((old_value.bytes[i] ^ value->bytes[i]) & old_mask.bytes[i] & mask->bytes[i])
			return error_contradiction(parser, token);
		old_value.bytes[i] |= value->bytes[i] & mask->bytes[i];
		old_mask.bytes[i] |= mask->bytes[i];
	}
	match_set_masked(match, field, &old_value, &old_mask);
	return 0;
}

static int apply_keyword(struct flow_parser *parser, struct token *token,
			 const struct match_keyword *keyword)
{
	const struct field *type = &fields[FIELD_ETH_TYPE];
	const struct field *protocol = &fields[FIELD_IP_PROTO];
	struct field_value ones = field_all_ones(type);
	struct field_value value = field_value_from_u64(keyword->eth_type);
	int error = 0;

	token->done = true;
	if (token->has_value)
		return parser_error(&parser->parser, token->name.at, "%s takes no value",
				    keyword->name);
	if (keyword->eth_type)
		error = match_merge(parser, token, type, &value, &ones);
	if (error || keyword->ip_proto < 0)
		return error;
	ones = field_all_ones(protocol);
	value = field_value_from_u64((uint64_t)keyword->ip_proto);
	return match_merge(parser, token, protocol, &value, &ones);
}

static bool token_is_masked(const struct token *token)
{
	return token->value.length && memchr(token->value.at, '/', token->value.length);
}

// The packet has the option, whatever is in it.
static void match_present(struct match *match, const struct field *field)
{
	match->value.tunnel.tun_present |= tun_metadata_bit(field);
	match->mask.tunnel.tun_present |= tun_metadata_bit(field);
}

// A field, if what it needs is matched by now; else it waits for other tokens.
static int apply_field(struct flow_parser *parser, struct token *token)
{
	struct field_value value;
	struct field_value mask;
	const struct field *field = field_names_choose(&token->word->fields, &parser->flow->match);
	int error;

	if (!field)
		return 0;
	field = parse_mapped_field(&parser->parser, token->name, field);
	if (!field)
		return -EINVAL;
	token->done = true;
	token->field = field;
	if (field_is_tun_metadata(field) && (!token->has_value || parser->usage == FLOW_TEXT_MATCH))
		match_present(&parser->flow->match, field);
	if (!token->has_value && field_is_tun_metadata(field))
		return 0;
	if (!token->has_value)
		return parser_error(&parser->parser, token->name.at, "%.*s needs a value: %.*s=...",
				    SPAN_ARGS(token->name), SPAN_ARGS(token->name));
	error = parse_field_value(&parser->parser, field, token->value, &value, &mask);
	if (error)
		return error;
	if (parser->usage == FLOW_TEXT_MATCH && token_is_masked(token) &&
	    field->format != FORMAT_PORT16)
		return parser_error(&parser->parser, token->value.at,
				    "a packet has one value for %.*s: leave out the mask",
				    SPAN_ARGS(token->name));
	if (field->id == FIELD_PACKET_TYPE && field_value_is_zero(&value))
		return 0; // Ethernet, as flows are about that do not say
	return match_merge(parser, token, field, &value, &mask);
}

static int error_unknown_word(struct flow_parser *parser, struct span name)
{
	const char *names[N_SETTINGS + 32];
	const char *nearest = NULL;
	unsigned int n = 0;
	char word[64];

	for (unsigned int i = 0; i < N_SETTINGS; i++)
		names[n++] = settings[i].name;
	for (unsigned int i = 0; i < n_match_keywords && i < 31; i++)
		names[n++] = match_keywords[i].name;
	names[n++] = "actions";
	if (span_copy(name, word, sizeof(word))) {
		const char *field = field_nearest(word);

		nearest = field ? field : text_nearest(word, names, n);
	}
	if (nearest)
		return parser_error(&parser->parser, name.at,
				    "a flow has no field or setting '%.*s'; did you mean %s?",
				    SPAN_ARGS(name), nearest);
	return parser_error(&parser->parser, name.at, "a flow has no field or setting '%.*s'",
			    SPAN_ARGS(name));
}

// Everything that needs no other token to be understood.
static int apply_simple_tokens(struct flow_parser *parser)
{
	for (unsigned int i = 0; i < parser->n_tokens; i++) {
		struct token *token = &parser->tokens[i];
		int error = 0;

		token_resolve(token);
		if (token->word->setting)
			error = apply_setting(parser, token, token->word->setting);
		else if (token->word->keyword)
			error = apply_keyword(parser, token, token->word->keyword);
		else if (!token->word->fields.n)
			error = error_unknown_word(parser, token->name);
		if (error)
			return error;
	}
	return 0;
}

// Fields may come in any order, before or after what they need: go round until nothing more can
// be added.
static int apply_fields(struct flow_parser *parser)
{
	bool progress = true;

	while (progress) {
		progress = false;
		for (unsigned int i = 0; i < parser->n_tokens; i++) {
			struct token *token = &parser->tokens[i];
			int error;

			if (token->done)
				continue;
			error = apply_field(parser, token);
			if (error)
				return error;
			progress |= token->done;
		}
	}
	for (unsigned int i = 0; i < parser->n_tokens; i++)
		if (!parser->tokens[i].done)
			return parser_error_prerequisite(&parser->parser, parser->tokens[i].name,
							 "");
	return 0;
}

// A bare packet has no Ethernet header: where the flow says its type twice, once is enough.
static int settle_packet_type(struct flow_parser *parser, const char *end)
{
	struct match *match = &parser->flow->match;
	const uint32_t type = rte_be_to_cpu_32(match->value.tunnel.packet_type);

	if (!match->mask.tunnel.packet_type || !match->mask.core.eth_type)
		return 0;
	if (type >> 16 != 1 || rte_be_to_cpu_16(match->value.core.eth_type) != (uint16_t)type)
		return parser_error(&parser->parser, end,
				    "a packet of type (%u,0x%x) has no such Ethernet type",
				    type >> 16, type & 0xffff);
	match->value.core.eth_type = match->mask.core.eth_type = 0;
	return 0;
}

static bool is_separator(char c)
{
	return c == ',' || text_is_space(c);
}

// Cut the text into tokens; everything behind "actions=" is one piece.
static int split_tokens(struct flow_parser *parser, const char *string)
{
	const char *end = string + strlen(string);
	const char *at = string;

	while (true) {
		struct token *token = &parser->tokens[parser->n_tokens];
		const char *name;

		while (at < end && is_separator(*at))
			at++;
		if (at == end)
			return 0;
		name = at;
		while (at < end && *at != '=' && !is_separator(*at))
			at++;
		token->name = (struct span){ name, (size_t)(at - name) };
		token->value = (struct span){ at, 0 };
		token->has_value = at < end && *at == '=';
		token->done = false;
		token->field = NULL;
		if (token->has_value) {
			token->value.at = ++at;
			if (span_is(token->name, "actions") || span_is(token->name, "action")) {
				parser->actions = (struct span){ at, (size_t)(end - at) };
				parser->has_actions = true;
				return 0;
			}
			at = parse_value_end(&parser->parser, at, end);
			if (!at)
				return -EINVAL;
			token->value.length = (size_t)(at - token->value.at);
		}
		if (!token->name.length)
			return parser_error(&parser->parser, name, "a name is missing before '='");
		if (parser->n_tokens == MAX_TOKENS)
			return parser_error(&parser->parser, name,
					    "a flow cannot have more than %d parts", MAX_TOKENS);
		parser->n_tokens++;
	}
}

// "drop", or "output:N" with plain numbers of ports: means the same in every flow of every bridge.
static bool is_context_free(struct span actions)
{
	static const char output[] = "output:";
	struct span item;
	uint64_t port;
	bool more;

	if (actions.length == 4 && !memcmp(actions.at, "drop", 4))
		return true;
	do {
		more = span_split(actions, ',', &item, &actions);
		if (item.length < sizeof(output) ||
		    memcmp(item.at, output, sizeof(output) - 1) != 0 ||
		    parse_u64_n(item.at + sizeof(output) - 1, item.length - sizeof(output) + 1,
				&port) ||
		    port >= 0xff00)
			return false;
	} while (more);
	return true;
}

// Programs of actions that were met before: files say the same few again and again.
#define KNOWN_PROGRAMS 512

static struct known_program {
	struct program *program; // one user; NULL: empty
	uint8_t length;
	char text[55];
} known_programs[KNOWN_PROGRAMS];

static int parse_program(struct flow_parser *parser, int table_id)
{
	const struct span actions = parser->actions;
	const struct span start = { actions.at, actions.length < 64 ? actions.length : 64 };
	struct known_program *known = &known_programs[word_hash(start) % KNOWN_PROGRAMS];
	struct flow_text *flow = parser->flow;
	int error;

	if (known->program && actions.length == known->length &&
	    !memcmp(actions.at, known->text, known->length)) {
		flow->program = program_ref(known->program);
		return 0;
	}
	error = program_parse_for(&parser->parser, actions, &flow->match, table_id, &flow->program);
	if (!error && actions.length <= sizeof(known->text) && is_context_free(actions)) {
		program_free(known->program);
		known->program = program_ref(flow->program);
		memcpy(known->text, actions.at, actions.length);
		known->length = (uint8_t)actions.length;
	}
	return error;
}

static int parse_actions(struct flow_parser *parser, const char *end)
{
	bool wanted = 1u << parser->usage & ON_CHANGE;
	struct flow_text *flow = parser->flow;
	int table_id = parser->usage == FLOW_TEXT_ADD || flow->has_table ? flow->table_id : -1;

	if (!parser->has_actions) {
		if (!wanted)
			return 0;
		return parser_error(&parser->parser, end,
				    "the flow has no actions: end it with actions=... or "
				    "actions=drop");
	}
	if (!wanted)
		return parser_error(&parser->parser, parser->actions.at, "no actions belong here");
	return parse_program(parser, table_id);
}

static void flow_text_init(struct flow_text *flow, enum flow_text_usage usage)
{
	memset(flow, 0, sizeof(*flow));
	flow->cookie_mask = usage == FLOW_TEXT_ADD ? UINT64_MAX : 0;
	flow->priority = FLOW_DEFAULT_PRIORITY;
	flow->table_id = 1u << usage & ON_SELECT ? 255 : 0;
	flow->out_port = OFPP_ANY;
	flow->out_group = OFPP_ANY;
}

static struct quick_token quick_token_of(const struct token *token)
{
	const struct setting *setting = token->word->setting;
	struct quick_token quick = {
		.whole = { token->name.at, token->name.length },
		.name_length = token->name.length + token->has_value,
		.kind = QUICK_FIXED,
		.field = token->field,
	};

	quick.whole.length =
		token->has_value ? (size_t)(token->value.at + token->value.length - token->name.at)
				 : token->name.length;
	if (token->field)
		quick.kind = QUICK_FIELD;
	if (!setting)
		return quick;
	quick.kind = setting->parse == parse_table     ? QUICK_TABLE
		     : setting->parse == parse_cookie  ? QUICK_U64
		     : setting->parse == parse_ignored ? QUICK_IGNORED
		     : setting->parse == parse_flag    ? QUICK_FIXED
						       : QUICK_U16;
	quick.member = setting->member;
	return quick;
}

// The next flow may be like this one.
static void learn_line(const struct flow_parser *parser, struct span line)
{
	struct quick_token tokens[QUICK_MAX_TOKENS];

	if (parser->usage != FLOW_TEXT_ADD || parser->n_tokens > QUICK_MAX_TOKENS)
		return;
	for (unsigned int i = 0; i < parser->n_tokens; i++)
		tokens[i] = quick_token_of(&parser->tokens[i]);
	quick_learn(&parser->parser, line, tokens, parser->n_tokens, parser->flow);
}

int flow_text_parse(const char *string, enum flow_text_usage usage, const struct port_names *ports,
		    struct flow_text *flow, struct error *error)
{
	// Tokens are filled as they come: clearing all of them took longer than reading most flows.
	struct flow_parser parser;
	const struct span line = { string, strnlen(string, FLOW_TEXT_MAX + 1) };
	int result;

	parser.parser = (struct parser){ .base = string, .ports = ports, .error = error };
	parser.usage = usage;
	parser.flow = flow;
	parser.n_tokens = 0;
	parser.has_actions = false;
	if (line.length > FLOW_TEXT_MAX)
		return error_set(error, E2BIG, "a flow's text is longer than %u KiB",
				 FLOW_TEXT_MAX >> 10);
	if (usage == FLOW_TEXT_ADD && quick_parse(&parser.parser, line, flow, &parser.actions)) {
		parser.has_actions = true;
		return parse_actions(&parser, string + line.length);
	}
	flow_text_init(flow, usage);
	result = split_tokens(&parser, string);
	if (!result)
		result = apply_simple_tokens(&parser);
	if (!result)
		result = apply_fields(&parser);
	if (!result)
		result = settle_packet_type(&parser, string);
	if (!result)
		result = parse_actions(&parser, string + line.length);
	if (!result)
		learn_line(&parser, line);
	return result;
}

void flow_text_release(struct flow_text *flow)
{
	program_free(flow->program);
	flow->program = NULL;
}
