// Lines that say the same things as a line before, with other values: read without looking for what
// their words mean again.
//
// Files of flows have few kinds of lines. When a line was read, its words, and where the values of
// each belong, are kept as a recipe; the next line that has the same words in the same order is read
// by it in a tenth of the time. Whatever a recipe does not know for sure (a word too many, a value
// that is written in another way, a mistake) makes it step aside for the parser that knows all.
//
// A recipe never depends on the bridge: not on names of ports or tables, nor on tunnel options.
// Control thread.
#ifndef FLOWTABLE_FLOW_TEXT_QUICK_H
#define FLOWTABLE_FLOW_TEXT_QUICK_H

#include "flowtable/parser.h"

struct flow_text;

// Lines with more words have no recipe.
#define QUICK_MAX_TOKENS 24

enum quick_kind {
	QUICK_FIXED, // the same text in each line
	QUICK_FIELD, // a field of the match
	QUICK_U16, // a member of struct flow_text
	QUICK_U64,
	QUICK_TABLE,
	QUICK_IGNORED, // any value
};

// One piece of a line that was read: "nw_src=10.0.0.1" or "tcp".
struct quick_token {
	struct span whole;
	size_t name_length; // with '='; all of it where there is no value
	enum quick_kind kind;
	const struct field *field; // QUICK_FIELD
	size_t member; // QUICK_U16, QUICK_U64: its offset
};

// Read the line if a recipe fits. *flow has all but its program then, and *actions is their text.
bool quick_parse(const struct parser *parser, struct span line, struct flow_text *flow,
		 struct span *actions);

// A flow to add was read from that line: keep how.
void quick_learn(const struct parser *parser, struct span line, const struct quick_token *tokens,
		 unsigned int n_tokens, const struct flow_text *flow);

#endif
