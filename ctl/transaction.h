// One request: a list of commands that happen all or not at all.
//
//   1. configuration commands run in order on a copy of the configuration
//   2. the copy is checked as a whole
//   3. the switch is brought to it: new bridges and ports are opened
//   4. commands on flows and status run in order
//   5. the store writes it all and is on the disk
//   6. what is gone is closed, and the copy is the configuration
//
// A failure in 1 to 5 undoes what was done and is told with the number of the command. Main thread.
#ifndef CTL_TRANSACTION_H
#define CTL_TRANSACTION_H

#include "common/text.h"
#include "ctl/apply.h"
#include "ctl/command.h"
#include "ctl/config.h"
#include "ctl/store.h"

// What the daemon's control layer consists of.
struct control {
	struct config *config; // in force
	struct store *store;
	const struct apply_ops *apply;
	bool stop; // the exit command was given
	// Long texts go beside the JSON of a request and its reply (ctl/server.h).
	const char *attached; // n_attached bytes, the last of which is 0
	size_t n_attached;
	struct text output; // to be sent behind the reply
};

struct transaction {
	struct control *control;
	struct config *config; // working copy
	json_t *names; // "@name" -> UUID
	json_t *created; // UUIDs made by create --id=@name
	json_t *warnings; // array of sentences
	bool wants_text; // answers may be text instead of JSON: call_answer_text()
};

// What a handler gets.
struct handler_call {
	struct transaction *transaction;
	const struct command *command;
	const json_t *options;
	const json_t *args;
};

// Run one request, {"id", "commands": [...]}, and make the reply. Never fails: errors are replies.
json_t *transaction_run(struct control *control, const json_t *request);

// For handlers.
const char *call_arg(const struct handler_call *call, size_t i); // NULL past the end
size_t call_n_args(const struct handler_call *call);
bool call_flag(const struct handler_call *call, const char *option);
const char *call_option(const struct handler_call *call, const char *option);
void call_warn(const struct handler_call *call, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
// For a long answer: where to print it, if the request wants text; else NULL. The handler puts
// what call_end_text() returns in *result when it is printed.
struct text *call_answer_text(const struct handler_call *call);
json_t *call_end_text(const struct handler_call *call, size_t start);
// Resolves "@name".
struct schema_names call_names(const struct handler_call *call);
// The Bridge row by name, or NULL with a sentence that lists the bridges.
json_t *call_bridge(const struct handler_call *call, const char *name, struct error *error);

// An error reply from outside of a transaction (garbage, limits).
json_t *transaction_error_reply(const json_t *id, const struct error *error, int command);

#endif
