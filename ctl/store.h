// The kept configuration: a SQLite database with one table per table of schema.def, and the flows.
//
// Every column of a row is kept as JSON text. A request is one transaction, and it is on the disk
// when store_commit() returns (WAL, synchronous=FULL). The file belongs to one process at a time.
// A file that is damaged, foreign or of a newer version is refused, whole. Main thread; a second
// thread may put and delete flows while the main thread keeps a transaction open.
#ifndef CTL_STORE_H
#define CTL_STORE_H

#include "ctl/config.h"

struct store;

// A flow as it is kept: match and actions in canonical text with port numbers.
struct store_flow {
	uint64_t id; // set by what reads flows
	unsigned int table_id;
	unsigned int priority;
	const char *match;
	const char *actions;
	uint64_t cookie;
	unsigned int idle_timeout;
	unsigned int hard_timeout;
	unsigned int importance;
	unsigned int flags;
	uint64_t created_ns; // realtime
	uint64_t modified_ns; // realtime
};

// Open or make the file (and its directory). Returns 0 or -errno with what is wrong and what to do.
int store_open(const char *path, struct store **store, struct error *error);
void store_close(struct store *store);

// All rows. The caller frees *config. A store without rows gives config_create().
int store_load(struct store *store, struct config **config, struct error *error);

int store_begin(struct store *store, struct error *error);
int store_commit(struct store *store, struct error *error);
void store_rollback(struct store *store);

// What is committed lies in a log that grows until it is emptied into the database, which takes as
// long as writing all of it once more. Who commits looks whether it is time for that. Any thread.
bool store_log_is_long(struct store *store);
void store_shorten_log(struct store *store);

// Write what differs between the two configurations; `old` NULL: everything.
int store_write(struct store *store, const struct config *old, const struct config *config,
		struct error *error);

// A flow has a number by which it is written, replaced and deleted. Later flows have higher numbers,
// and they come back in this order: of several that match with equal priority the first wins.
// The number for a new flow of the bridge; given out once in a transaction.
int store_new_flow_id(struct store *store, const char *bridge, uint64_t *id, struct error *error);
int store_put_flow(struct store *store, uint64_t id, const struct store_flow *flow,
		   struct error *error);
// The flow may be gone.
int store_set_timeouts(struct store *store, uint64_t id, unsigned int idle_timeout,
		       unsigned int hard_timeout, struct error *error);
int store_delete_flow(struct store *store, uint64_t id, struct error *error);
int store_delete_flows(struct store *store, const char *bridge, struct error *error);

// Call visit() for each flow of the bridge; it returns 0 to go on. The flow is valid during the
// call.
int store_each_flow(struct store *store, const char *bridge,
		    int (*visit)(void *context, const struct store_flow *flow, struct error *error),
		    void *context, struct error *error);
// One flow: visit() is called if it is there.
int store_get_flow(struct store *store, uint64_t id,
		   int (*visit)(void *context, const struct store_flow *flow, struct error *error),
		   void *context, struct error *error);

// Groups, each as its canonical text with port numbers ("group_id=1,type=all,...").
typedef int (*store_group_visitor)(void *context, uint32_t group_id, const char *text,
				   struct error *error);
int store_put_group(struct store *store, const char *bridge, uint32_t group_id, const char *text,
		    struct error *error);
int store_delete_group(struct store *store, const char *bridge, uint32_t group_id,
		       struct error *error);
int store_delete_groups(struct store *store, const char *bridge, struct error *error);
int store_each_group(struct store *store, const char *bridge, store_group_visitor visit,
		     void *context, struct error *error);
int store_get_group(struct store *store, const char *bridge, uint32_t group_id,
		    store_group_visitor visit, void *context, struct error *error);

// Meters, each as its canonical text ("meter=1,kbps,bands=...").
typedef int (*store_meter_visitor)(void *context, uint32_t meter_id, const char *text,
				   struct error *error);
int store_put_meter(struct store *store, const char *bridge, uint32_t meter_id, const char *text,
		    struct error *error);
int store_delete_meter(struct store *store, const char *bridge, uint32_t meter_id,
		       struct error *error);
int store_delete_meters(struct store *store, const char *bridge, struct error *error);
int store_each_meter(struct store *store, const char *bridge, store_meter_visitor visit,
		     void *context, struct error *error);
int store_get_meter(struct store *store, const char *bridge, uint32_t meter_id,
		    store_meter_visitor visit, void *context, struct error *error);

#endif
