// Random flows as text, over the same small ranges as the packets of packets.h.
//
// Fields are written only in flows whose match shows that the packet has them (a value that an
// absent header could not have), except where `unproven` asks for the opposite.
#ifndef TESTS_UNIT_RULES_H
#define TESTS_UNIT_RULES_H

#include "tests/unit/packets.h"

#define RULE_TABLES 4
#define RULE_SIZE 1024
#define RULE_METERS 5 // numbered from 1, those of the rig; flows also use one more
#define RULE_GROUPS 6 // numbered from 1; flows also go to one more, which is not there

struct rule_options {
	bool loops; // resubmits may go backwards
	bool unproven; // write fields that the packet may lack
	bool conjunctions; // half of the flows belong to conjunctions
};

// One flow for a random table below RULE_TABLES.
void rule_make(struct random *random, const struct rule_options *options, char rule[RULE_SIZE]);

// One write of one field (set_field, load, move, mod_*, tags), with the match that it needs.
void rule_make_write(struct random *random, const struct rule_options *options,
		     char rule[RULE_SIZE]);

// Group `id`, which leads to groups with higher numbers only.
void rule_make_group(struct random *random, const struct rule_options *options, unsigned int id,
		     char rule[RULE_SIZE]);

#endif
