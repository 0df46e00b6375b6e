// The functions that action.def names: one to read and one to print each kind of action. Internal
// to program_text.c and the action_*.c files. Control thread.
#ifndef FLOWTABLE_ACTION_H
#define FLOWTABLE_ACTION_H

#include "flowtable/parser.h"
#include "flowtable/program_build.h"

// Where OpenFlow puts an instruction among the others. Plain actions are "apply".
enum action_place {
	PLACE_START,
	PLACE_METER,
	PLACE_APPLY,
	PLACE_CLEAR,
	PLACE_WRITE,
	PLACE_METADATA,
	PLACE_GOTO,
};

struct action_parser {
	struct parser parser;
	struct program_builder builder;
	const struct match *match; // what the flow matches, as actions so far have left it; or NULL
	struct match scratch; // where match points if it is not NULL
	int table_id; // of the flow; -1 if unknown
	unsigned int depth; // inside write_actions or apply_actions
	bool in_action_set;
	bool in_exec; // of ct: where ct_mark and ct_label are written
};

struct action_word {
	const char *name;
	enum op_code code;
	int (*parse)(struct action_parser *parser, const struct action_word *word, struct span name,
		     struct span argument);
	uint64_t argument;
};

// Every parse function returns 0 or -errno with the error set. `argument` is what follows ':',
// '=' or stands in parentheses; it is empty (and at the end of the name) if there is none.
#define ACTION_PARSER(function)                                                                    \
	int function(struct action_parser *parser, const struct action_word *word,                 \
		     struct span name, struct span argument)

ACTION_PARSER(action_parse_output);
ACTION_PARSER(action_parse_reserved);
ACTION_PARSER(action_parse_controller);
ACTION_PARSER(action_parse_resubmit);
ACTION_PARSER(action_parse_goto_table);
ACTION_PARSER(action_parse_group);
ACTION_PARSER(action_parse_meter);
ACTION_PARSER(action_parse_set_field);
ACTION_PARSER(action_parse_load);
ACTION_PARSER(action_parse_mod);
ACTION_PARSER(action_parse_write_metadata);
ACTION_PARSER(action_parse_set_tunnel);
ACTION_PARSER(action_parse_move);
ACTION_PARSER(action_parse_push_vlan);
ACTION_PARSER(action_parse_pop_vlan);
ACTION_PARSER(action_parse_vlan);
ACTION_PARSER(action_parse_dec_ttl);
ACTION_PARSER(action_parse_write_actions);
ACTION_PARSER(action_parse_clone);
ACTION_PARSER(action_parse_stack);
ACTION_PARSER(action_parse_enqueue);
ACTION_PARSER(action_parse_set_queue);
ACTION_PARSER(action_parse_pop_queue);
ACTION_PARSER(action_parse_check_larger);
ACTION_PARSER(action_parse_delete_field);
ACTION_PARSER(action_parse_fin_timeout);
ACTION_PARSER(action_parse_sample);
ACTION_PARSER(action_parse_multipath);
ACTION_PARSER(action_parse_bundle);
ACTION_PARSER(action_parse_push_mpls);
ACTION_PARSER(action_parse_pop_mpls);
ACTION_PARSER(action_parse_dec_mpls_ttl);
ACTION_PARSER(action_parse_encap);
ACTION_PARSER(action_parse_decap);
ACTION_PARSER(action_parse_dec_nsh_ttl);
ACTION_PARSER(action_parse_note);
ACTION_PARSER(action_parse_learn);
ACTION_PARSER(action_parse_ct);
ACTION_PARSER(action_parse_conjunction);
ACTION_PARSER(action_parse_bare);

#define ACTION_FORMATTER(function)                                                                 \
	void function(const struct op *op, const struct port_names *ports, struct text *text)

ACTION_FORMATTER(action_format_output);
ACTION_FORMATTER(action_format_output_reg);
ACTION_FORMATTER(action_format_controller);
ACTION_FORMATTER(action_format_resubmit);
ACTION_FORMATTER(action_format_goto_table);
ACTION_FORMATTER(action_format_group);
ACTION_FORMATTER(action_format_meter);
ACTION_FORMATTER(action_format_set);
ACTION_FORMATTER(action_format_move);
ACTION_FORMATTER(action_format_push_vlan);
ACTION_FORMATTER(action_format_pop_vlan);
ACTION_FORMATTER(action_format_vlan);
ACTION_FORMATTER(action_format_nested);
ACTION_FORMATTER(action_format_dec_ttl);
ACTION_FORMATTER(action_format_stack);
ACTION_FORMATTER(action_format_enqueue);
ACTION_FORMATTER(action_format_number);
ACTION_FORMATTER(action_format_check_larger);
ACTION_FORMATTER(action_format_delete_field);
ACTION_FORMATTER(action_format_fin_timeout);
ACTION_FORMATTER(action_format_sample);
ACTION_FORMATTER(action_format_multipath);
ACTION_FORMATTER(action_format_bundle);
ACTION_FORMATTER(action_format_mpls);
ACTION_FORMATTER(action_format_encap);
ACTION_FORMATTER(action_format_decap);
ACTION_FORMATTER(action_format_note);
ACTION_FORMATTER(action_format_learn);
ACTION_FORMATTER(action_format_ct);
ACTION_FORMATTER(action_format_conjunction);
ACTION_FORMATTER(action_format_bare);

struct action_kind {
	const char *name;
	enum action_place place;
	bool in_set; // allowed in write_actions
	void (*format)(const struct op *op, const struct port_names *ports, struct text *text);
};
extern const struct action_kind action_kinds[N_OPS];

// An action for a port, from the short spelling.
int action_add_output(struct action_parser *parser, uint32_t port, uint32_t max_len);

// A list of actions, into the parser's builder; and back.
int actions_parse(struct action_parser *parser, struct span list);
void actions_format(const uint8_t *ops, size_t size, const struct port_names *ports,
		    struct text *text);

// Parse the actions of a flow. `match` and table_id may be NULL and -1: then what depends on them
// is not checked.
int program_parse_for(struct parser *parser, struct span list, const struct match *match,
		      int table_id, struct program **program);

// Conjunctions stand with nothing but notes. 0, or -errno with the error set.
int action_check_conjunctions(struct action_parser *parser, struct span list);

// One "key=value" of a list in parentheses; the list is shortened. False at its end.
bool action_next_pair(struct span *list, struct span *key, struct span *value);

// A subfield that is read or, if `writes`, written: with all checks and the program's account of it.
int action_parse_subfield(struct action_parser *parser, struct span text, bool writes,
			  struct subfield *subfield);

// The flow's match now has a tag, or has none.
void action_set_vlan(struct action_parser *parser, bool present);

#endif
