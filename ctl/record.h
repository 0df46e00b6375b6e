// Words that name a column and give it a value: "tag=10", "options:path=/run/vm1.sock". Main thread.
#ifndef CTL_RECORD_H
#define CTL_RECORD_H

#include "ctl/handlers.h"

struct record_column {
	const struct schema_column *column;
	json_t *key; // string, or NULL without
	char operator[12]; // "" without
	const char *value; // behind the operator
};

// Parse "column[:key][OPERATOR value]". `operators`: those allowed, separated by spaces; "" for
// none ("column[:key]" alone). Release it in any case.
int record_parse_column(const struct schema_table *table, const char *word, const char *operators,
			struct record_column *parsed, struct error *error);
void record_column_release(struct record_column *column);

// Set a column or key of a row that may be written to. Warns of columns without effect.
int record_set(const struct handler_call *call, const struct schema_table *table, json_t *row,
	       const struct record_column *column, const struct schema_names *names,
	       struct error *error);

// Does the row satisfy the condition? 1, 0 or -errno.
int record_matches(const json_t *row, const struct record_column *condition,
		   const struct schema_names *names, struct error *error);

#define RECORD_CONDITIONS "{not-in} {in} {!=} {<=} {>=} {=} {<} {>} != <= >= = < >"

// Is an equal element in the array?
bool record_contains(const json_t *array, const json_t *element);

#endif
