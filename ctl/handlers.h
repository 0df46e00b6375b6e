// The daemon's side of each command: one function per row of command.def. Main thread.
//
// A handler does its part of the transaction and puts a JSON answer in *result (or leaves it: the
// answer is null). Configuration handlers change call->transaction->config; switch handlers act on
// the running switch.
#ifndef CTL_HANDLERS_H
#define CTL_HANDLERS_H

#include "ctl/transaction.h"

typedef int (*handler)(const struct handler_call *call, json_t **result, struct error *error);

#define HANDLER_LOCAL(name)
#define HANDLER_CONFIG_READ(name) HANDLER_DAEMON(name)
#define HANDLER_CONFIG_CHANGE(name) HANDLER_DAEMON(name)
#define HANDLER_SWITCH_READ(name) HANDLER_DAEMON(name)
#define HANDLER_SWITCH_CHANGE(name) HANDLER_DAEMON(name)
#define HANDLER_DAEMON(name)                                                                       \
	int handle_##name(const struct handler_call *call, json_t **result, struct error *error);
#define SECTION(title)
#define COMMAND(name, aliases, min, max, options, arguments, kind, handler_, ...)                  \
	HANDLER_##kind(handler_)
#include "ctl/command.def"
#undef SECTION
#undef COMMAND
#undef HANDLER_DAEMON

#endif
