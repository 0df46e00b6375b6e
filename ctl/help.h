// What is generated from command.def and schema.def: help, manual page, completion. Any thread.
#ifndef CTL_HELP_H
#define CTL_HELP_H

#include "ctl/command.h"

struct text;

void help_overview(struct text *text);
void help_command(const struct command *command, struct text *text);
void help_names(struct text *text); // one command per line
void help_manual(struct text *text); // vsctl(8), troff
void help_completion(struct text *text); // bash

#endif
