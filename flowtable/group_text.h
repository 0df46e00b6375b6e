// The group language of ovs-ofctl(8), "Group Syntax": text to groups and back. Control thread.
//
// A bucket holds an action set. Its program keeps the ops in the order in which they were written,
// for printing; whoever runs it puts them into the order of an action set.
#ifndef FLOWTABLE_GROUP_TEXT_H
#define FLOWTABLE_GROUP_TEXT_H

#include "flowtable/program.h"

struct error;
struct text;

enum group_type { GROUP_ALL, GROUP_SELECT, GROUP_INDIRECT, GROUP_FAST_FAILOVER, N_GROUP_TYPES };

// How a select group chooses; without a method as dp_hash with a symmetric hash.
enum group_method { GROUP_METHOD_NONE, GROUP_METHOD_HASH, GROUP_METHOD_DP_HASH };

#define GROUP_ID_MAX 0xffffff00u // the highest that a group can have
#define GROUP_ID_ALL 0xfffffffcu // selectors
#define GROUP_ID_ANY 0xffffffffu // none

// OpenFlow 1.5 section 7.3.4.3.
#define BUCKET_ID_MAX 0xffffff00u
#define BUCKET_ID_FIRST 0xfffffffdu
#define BUCKET_ID_LAST 0xfffffffeu
#define BUCKET_ID_ALL 0xffffffffu
#define BUCKET_ID_NONE BUCKET_ID_ALL // not chosen yet

#define GROUP_MAX_BUCKETS 1024

enum group_text_usage {
	GROUP_TEXT_ADD, // add-group, mod-group: a whole group
	GROUP_TEXT_SELECT, // del-groups, dump-groups: a number or "all"
	GROUP_TEXT_INSERT, // insert-buckets
	GROUP_TEXT_REMOVE, // remove-buckets
};

struct bucket_text {
	uint32_t id;
	uint32_t watch_port; // OFPP_ANY: none
	uint32_t watch_group; // GROUP_ID_ANY: none
	uint16_t weight;
	bool has_weight; // it was written; else 1 in a select group
	struct program *program; // owned
};

// A field that the hash looks at; of its bits those in `mask`.
struct group_field {
	const struct field *field;
	struct field_value mask;
};

struct group_text {
	uint32_t group_id; // GROUP_ID_ALL: selectors
	enum group_type type;
	enum group_method method;
	bool has_type;
	uint32_t command_bucket_id; // INSERT and REMOVE
	uint64_t method_param;
	unsigned int n_fields;
	unsigned int n_buckets;
	struct group_field *fields; // owned
	struct bucket_text *buckets; // owned
};

extern const char *const group_type_names[N_GROUP_TYPES];

// Parse one group ("group_id=1,type=select,bucket=weight:2,output:1"). Returns 0, or -errno with
// error->column set to the mistake; nothing needs releasing then. Buckets without an id get the
// lowest that are free, except for INSERT: there they depend on the group. `ports` may be NULL.
int group_text_parse(const char *string, enum group_text_usage usage,
		     const struct port_names *ports, struct group_text *group, struct error *error);
void group_text_release(struct group_text *group);
// A copy that shares nothing; -ENOMEM.
int group_text_copy(const struct group_text *group, struct group_text *copy);

// Give an id to each bucket without one: the lowest that none of the group has.
void group_text_number_buckets(struct group_text *group);

// Append the canonical text, as dump-groups prints it.
void group_text_format(const struct group_text *group, const struct port_names *ports,
		       struct text *text);

// Call visit() for each group that the program goes to, until it returns other than 0; returns
// what it returned last.
int program_each_group(const struct program *program, int (*visit)(void *context, uint32_t group),
		       void *context);
bool program_goes_to_group(const struct program *program, uint32_t group);

#endif
