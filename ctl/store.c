#include "ctl/store.h"

#include "common/error.h"
#include "common/log.h"
#include "common/text.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_APPLICATION_ID 0x76737764 // "vswd"
#define STORE_VERSION 1
#define DIRECTORY_MODE 0750

enum statement {
	PUT_FLOW,
	DELETE_FLOW,
	DELETE_FLOWS,
	EACH_FLOW,
	GET_FLOW,
	PUT_GROUP,
	DELETE_GROUP,
	DELETE_GROUPS,
	EACH_GROUP,
	GET_GROUP,
	N_STATEMENTS
};

#define FLOW_COLUMNS                                                                               \
	"table_id, priority, match, actions, cookie, idle_timeout, hard_timeout, importance, "     \
	"flags, created, modified"

static const char *const statement_texts[N_STATEMENTS] = {
	// An update keeps the rowid, so that flows come back in the order in which they were added:
	// of several that match with equal priority the first wins.
	[PUT_FLOW] = "INSERT INTO flow (bridge, " FLOW_COLUMNS
		     ") VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12) "
		     "ON CONFLICT DO UPDATE SET actions=?5, cookie=?6, idle_timeout=?7, "
		     "hard_timeout=?8, importance=?9, flags=?10, created=?11, modified=?12",
	[DELETE_FLOW] = "DELETE FROM flow WHERE bridge=?1 AND table_id=?2 AND priority=?3 "
			"AND match=?4",
	[DELETE_FLOWS] = "DELETE FROM flow WHERE bridge=?1",
	[EACH_FLOW] = "SELECT " FLOW_COLUMNS " FROM flow WHERE bridge=?1 ORDER BY rowid",
	[GET_FLOW] = "SELECT " FLOW_COLUMNS " FROM flow WHERE bridge=?1 AND table_id=?2 "
		     "AND priority=?3 AND match=?4",
	[PUT_GROUP] = "INSERT INTO flow_group (bridge, group_id, text) VALUES (?1,?2,?3) "
		      "ON CONFLICT DO UPDATE SET text=?3",
	[DELETE_GROUP] = "DELETE FROM flow_group WHERE bridge=?1 AND group_id=?2",
	[DELETE_GROUPS] = "DELETE FROM flow_group WHERE bridge=?1",
	[EACH_GROUP] = "SELECT group_id, text FROM flow_group WHERE bridge=?1 ORDER BY group_id",
	[GET_GROUP] = "SELECT group_id, text FROM flow_group WHERE bridge=?1 AND group_id=?2",
};

struct store {
	sqlite3 *db;
	char *path;
	bool in_transaction;
	sqlite3_stmt *statements[N_STATEMENTS];
	sqlite3_stmt *inserts[N_SCHEMA_TABLES]; // prepared when first used
};

// A sentence for whatever SQLite says.
static int store_fail(struct store *store, const char *what, struct error *error)
{
	int code = sqlite3_errcode(store->db);

	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return error_set(error, EBUSY,
				 "database '%s' is in use by another process: is a vswitchd "
				 "running on it already?",
				 store->path);
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return error_set(error, EBADMSG,
				 "database '%s' is damaged (%s): restore it from a backup, or move "
				 "it away to start with an empty configuration",
				 store->path, sqlite3_errmsg(store->db));
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return error_set(error, EACCES,
				 "cannot %s database '%s': %s; check that the file and its "
				 "directory exist and are writable, or name another with --db",
				 what, store->path, sqlite3_errmsg(store->db));
	case SQLITE_FULL:
		return error_set(error, ENOSPC, "cannot %s database '%s': the disk is full", what,
				 store->path);
	default:
		return error_set(error, EIO, "cannot %s database '%s': %s", what, store->path,
				 sqlite3_errmsg(store->db));
	}
}

static int execute(struct store *store, const char *sql, const char *what, struct error *error)
{
	if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	return store_fail(store, what, error);
}

// The integer that a one-row statement answers.
static int query_integer(struct store *store, const char *sql, int64_t *value, struct error *error)
{
	sqlite3_stmt *statement = NULL;
	int result = -EIO;

	if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW) {
		*value = sqlite3_column_int64(statement, 0);
		result = 0;
	} else {
		result = store_fail(store, "read", error);
	}
	sqlite3_finalize(statement);
	return result;
}

static int check_integrity(struct store *store, struct error *error)
{
	sqlite3_stmt *statement = NULL;
	const char *answer = NULL;
	int result = 0;

	if (sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &statement, NULL) ||
	    sqlite3_step(statement) != SQLITE_ROW) {
		result = store_fail(store, "read", error);
	} else {
		answer = (const char *)sqlite3_column_text(statement, 0);
		if (!answer || strcmp(answer, "ok"))
			result = error_set(error, EBADMSG,
					   "database '%s' is damaged (%.200s): restore it from a "
					   "backup, or move it away to start with an empty "
					   "configuration",
					   store->path, answer ? answer : "no answer");
	}
	sqlite3_finalize(statement);
	return result;
}

// Whose file is it, and which version? *fresh: an empty file.
static int check_identity(struct store *store, bool *fresh, struct error *error)
{
	int64_t tables = 0, application = 0, version = 0;
	int result = query_integer(store, "SELECT count(*) FROM sqlite_schema", &tables, error);

	if (!result)
		result = query_integer(store, "PRAGMA application_id", &application, error);
	if (!result)
		result = query_integer(store, "PRAGMA user_version", &version, error);
	if (result)
		return result;
	*fresh = tables == 0;
	if (*fresh)
		return 0;
	if (application != STORE_APPLICATION_ID)
		return error_set(error, EINVAL,
				 "'%s' is a database of another program: name another file with "
				 "--db",
				 store->path);
	if (version > STORE_VERSION)
		return error_set(error, ENOTSUP,
				 "database '%s' has version %" PRId64 ", this vswitchd knows "
				 "versions up to %d: use a newer vswitchd, or another file with "
				 "--db",
				 store->path, version, STORE_VERSION);
	return check_integrity(store, error);
}

static void add_kept_columns(const struct schema_table *table, const char *format, struct text *sql)
{
	for (unsigned int i = 0; i < table->n_columns; i++)
		if (schema_is_kept(&table->columns[i]))
			text_addf(sql, format, table->columns[i].name);
}

static int make_tables(struct store *store, struct error *error)
{
	struct text sql = { 0 };
	int result;

	text_add(&sql, "BEGIN IMMEDIATE;");
	for (int i = 0; i < N_SCHEMA_TABLES; i++) {
		text_addf(&sql, "CREATE TABLE \"%s\" (_uuid TEXT NOT NULL UNIQUE",
			  schema_tables[i].name);
		add_kept_columns(&schema_tables[i], ", \"%s\" TEXT", &sql);
		text_add(&sql, ");");
	}
	text_add(&sql, "CREATE TABLE flow (bridge TEXT NOT NULL, table_id INTEGER NOT NULL, "
		       "priority INTEGER NOT NULL, match TEXT NOT NULL, actions TEXT NOT NULL, "
		       "cookie INTEGER NOT NULL, idle_timeout INTEGER NOT NULL, "
		       "hard_timeout INTEGER NOT NULL, importance INTEGER NOT NULL, "
		       "flags INTEGER NOT NULL, created INTEGER NOT NULL, "
		       "modified INTEGER NOT NULL, "
		       "PRIMARY KEY (bridge, table_id, priority, match));");
	text_addf(&sql, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT;",
		  STORE_APPLICATION_ID, STORE_VERSION);
	result = execute(store, sql.data ? sql.data : "", "write", error);
	text_free(&sql);
	return result;
}

// Columns that a later release of the same version added.
static int add_missing_columns(struct store *store, struct error *error)
{
	for (int i = 0; i < N_SCHEMA_TABLES; i++) {
		const struct schema_table *table = &schema_tables[i];

		for (unsigned int c = 0; c < table->n_columns; c++) {
			const struct schema_column *column = &table->columns[c];
			struct text sql = { 0 };
			int result = 0;

			if (!schema_is_kept(column) ||
			    sqlite3_table_column_metadata(store->db, NULL, table->name,
							  column->name, NULL, NULL, NULL, NULL,
							  NULL) == SQLITE_OK)
				continue;
			text_addf(&sql, "ALTER TABLE \"%s\" ADD COLUMN \"%s\" TEXT", table->name,
				  column->name);
			result = execute(store, sql.data, "upgrade", error);
			text_free(&sql);
			if (result)
				return result;
		}
	}
	return 0;
}

// Tables that a later release of the same version added.
static int add_missing_tables(struct store *store, struct error *error)
{
	if (sqlite3_table_column_metadata(store->db, NULL, "flow_group", NULL, NULL, NULL, NULL,
					  NULL, NULL) == SQLITE_OK)
		return 0;
	return execute(store,
		       "CREATE TABLE flow_group (bridge TEXT NOT NULL, "
		       "group_id INTEGER NOT NULL, text TEXT NOT NULL, "
		       "PRIMARY KEY (bridge, group_id))",
		       "upgrade", error);
}

static int prepare_statements(struct store *store, struct error *error)
{
	for (int i = 0; i < N_STATEMENTS; i++)
		if (sqlite3_prepare_v3(store->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &store->statements[i], NULL) != SQLITE_OK)
			return store_fail(store, "read", error);
	return 0;
}

static int make_directory(const char *path, struct error *error)
{
	char copy[4096];
	const char *directory;

	if (strlen(path) >= sizeof(copy))
		return error_set(error, ENAMETOOLONG, "the name of the database is too long");
	memcpy(copy, path, strlen(path) + 1);
	directory = dirname(copy);
	if (mkdir(directory, DIRECTORY_MODE) == 0 || errno == EEXIST)
		return 0;
	return error_set(error, errno,
			 "cannot make directory '%s' for the database: %s; name another file with "
			 "--db",
			 directory, strerror(errno));
}

static int set_up(struct store *store, struct error *error)
{
	bool fresh = true;
	int result;

	sqlite3_busy_timeout(store->db, 0);
	// The file is ours alone: no shared memory file, and a second daemon is told.
	result = execute(store, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA trusted_schema=OFF;", "open",
			 error);
	if (!result)
		result = check_identity(store, &fresh, error);
	if (!result)
		result = execute(store,
				 "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
				 "PRAGMA cell_size_check=ON; BEGIN IMMEDIATE; COMMIT;",
				 "write", error);
	if (!result && fresh)
		result = make_tables(store, error);
	// An empty transaction writes nothing; this one proves that we may write. On a full disk
	// the switch starts all the same: what it connects matters more than changes do.
	if (!result)
		result = execute(store, "PRAGMA user_version=1", "write", error);
	if (result == -ENOSPC && !fresh) {
		log_warning("%s: the configuration cannot be changed until there is room",
			    error ? error->message : "the disk is full");
		error_clear(error);
		result = 0;
	}
	if (!result)
		result = add_missing_columns(store, error);
	if (!result)
		result = add_missing_tables(store, error);
	if (!result)
		result = prepare_statements(store, error);
	return result;
}

int store_open(const char *path, struct store **store_out, struct error *error)
{
	struct store *store;
	int result = make_directory(path, error);

	if (result)
		return result;
	store = calloc(1, sizeof(*store));
	if (!store || !(store->path = strdup(path))) {
		free(store);
		return error_set(error, ENOMEM, "out of memory");
	}
	if (sqlite3_open_v2(path, &store->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW |
				    SQLITE_OPEN_EXRESCODE,
			    NULL) != SQLITE_OK)
		result = store_fail(store, "open", error);
	if (!result)
		result = set_up(store, error);
	if (result) {
		store_close(store);
		return result;
	}
	*store_out = store;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	if (store->in_transaction)
		store_rollback(store);
	for (int i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize(store->statements[i]);
	for (int i = 0; i < N_SCHEMA_TABLES; i++)
		sqlite3_finalize(store->inserts[i]);
	sqlite3_close(store->db);
	free(store->path);
	free(store);
}

int store_begin(struct store *store, struct error *error)
{
	int result = execute(store, "BEGIN IMMEDIATE", "write", error);

	store->in_transaction = !result;
	return result;
}

int store_commit(struct store *store, struct error *error)
{
	int result = execute(store, "COMMIT", "write", error);

	if (!result)
		store->in_transaction = false;
	return result;
}

void store_rollback(struct store *store)
{
	// A full disk may have ended the transaction already.
	if (store->in_transaction && !sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	store->in_transaction = false;
}

static int damaged_row(struct store *store, const struct schema_table *table, const char *uuid,
		       const char *column, struct error *error)
{
	char why[256] = "";

	if (error && error->code)
		snprintf(why, sizeof(why), ": %.200s", error->message);
	return error_set(error, EBADMSG,
			 "database '%s' is damaged: table %s, row %s, column %s is not valid%s",
			 store->path, table->name, uuid ? uuid : "?", column, why);
}

static int load_row(struct store *store, const struct schema_table *table, sqlite3_stmt *statement,
		    struct config *config, struct error *error)
{
	const char *uuid = (const char *)sqlite3_column_text(statement, 0);
	int index = 1;
	json_t *row;

	error_clear(error);
	if (!uuid || !schema_is_uuid(uuid))
		return damaged_row(store, table, uuid, "_uuid", error);
	row = config_insert(config, table->id, uuid);
	for (unsigned int i = 0; i < table->n_columns; i++) {
		const struct schema_column *column = &table->columns[i];
		const char *text;
		json_t *value;

		if (!schema_is_kept(column))
			continue;
		text = (const char *)sqlite3_column_text(statement, index++);
		if (!text)
			continue;
		value = json_loads(text, JSON_DECODE_ANY, NULL);
		if (!value || schema_check(column, value, error)) {
			json_decref(value);
			return damaged_row(store, table, uuid, column->name, error);
		}
		json_object_set_new(row, column->name, value);
	}
	return 0;
}

static int load_table(struct store *store, const struct schema_table *table, struct config *config,
		      struct error *error)
{
	sqlite3_stmt *statement = NULL;
	struct text sql = { 0 };
	int result = 0;
	int step = SQLITE_ERROR;

	text_add(&sql, "SELECT _uuid");
	add_kept_columns(table, ", \"%s\"", &sql);
	text_addf(&sql, " FROM \"%s\" ORDER BY rowid", table->name);
	if (sqlite3_prepare_v2(store->db, sql.data, -1, &statement, NULL) == SQLITE_OK)
		while (!result && (step = sqlite3_step(statement)) == SQLITE_ROW)
			result = load_row(store, table, statement, config, error);
	if (!result && step != SQLITE_DONE)
		result = store_fail(store, "read", error);
	sqlite3_finalize(statement);
	text_free(&sql);
	return result;
}

int store_load(struct store *store, struct config **config_out, struct error *error)
{
	struct config *config = config_create_empty();
	int result = 0;

	if (!config)
		return error_set(error, ENOMEM, "out of memory");
	for (int i = 0; !result && i < N_SCHEMA_TABLES; i++)
		result = load_table(store, &schema_tables[i], config, error);
	if (!result && !config_single(config, TABLE_Open_vSwitch))
		config_insert(config, TABLE_Open_vSwitch, NULL);
	if (!result) {
		result = config_validate(config, error);
		if (result)
			error_prefix(error, "database '%s' is damaged", store->path);
	}
	if (result)
		config_free(config);
	else
		*config_out = config;
	return result;
}

static int delete_row(struct store *store, const struct schema_table *table, const char *uuid,
		      struct error *error)
{
	char *sql = sqlite3_mprintf("DELETE FROM \"%w\" WHERE _uuid=%Q", table->name, uuid);
	int result = execute(store, sql, "write", error);

	sqlite3_free(sql);
	return result;
}

static int prepare_insert(struct store *store, const struct schema_table *table,
			  struct error *error)
{
	struct text sql = { 0 };
	int result = 0;

	if (store->inserts[table->id])
		return 0;
	// An update keeps the rowid, so rows stay in their order of creation.
	text_addf(&sql, "INSERT INTO \"%s\" (_uuid", table->name);
	add_kept_columns(table, ", \"%s\"", &sql);
	text_add(&sql, ") VALUES (?");
	for (unsigned int i = 0; i < table->n_columns; i++)
		text_add(&sql, schema_is_kept(&table->columns[i]) ? ",?" : "");
	text_add(&sql, ") ON CONFLICT (_uuid) DO UPDATE SET _uuid=_uuid");
	for (unsigned int i = 0; i < table->n_columns; i++)
		if (schema_is_kept(&table->columns[i]))
			text_addf(&sql, ", \"%s\"=excluded.\"%s\"", table->columns[i].name,
				  table->columns[i].name);
	if (sqlite3_prepare_v3(store->db, sql.data, -1, SQLITE_PREPARE_PERSISTENT,
			       &store->inserts[table->id], NULL) != SQLITE_OK)
		result = store_fail(store, "write", error);
	text_free(&sql);
	return result;
}

static int write_row(struct store *store, const struct schema_table *table, const json_t *row,
		     struct error *error)
{
	sqlite3_stmt *statement;
	int result = prepare_insert(store, table, error);
	int index = 1;

	if (result)
		return result;
	statement = store->inserts[table->id];
	sqlite3_bind_text(statement, index++, config_row_uuid(row), -1, SQLITE_TRANSIENT);
	for (unsigned int i = 0; i < table->n_columns; i++) {
		char *text;

		if (!schema_is_kept(&table->columns[i]))
			continue;
		text = json_dumps(json_object_get(row, table->columns[i].name),
				  JSON_ENCODE_ANY | JSON_COMPACT);
		sqlite3_bind_text(statement, index++, text, -1, free);
	}
	if (sqlite3_step(statement) != SQLITE_DONE)
		result = store_fail(store, "write", error);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return result;
}

int store_write(struct store *store, const struct config *old, const struct config *config,
		struct error *error)
{
	const char *uuid;
	json_t *row;
	int result = 0;

	for (int i = 0; i < N_SCHEMA_TABLES; i++) {
		enum schema_table_id id = (enum schema_table_id)i;

		if (old)
			json_object_foreach (old->tables[i], uuid, row) {
				if (!config_row(config, id, uuid))
					result = delete_row(store, &schema_tables[i], uuid, error);
				if (result)
					return result;
			}
		json_object_foreach (config->tables[i], uuid, row) {
			if (!old || config_row(old, id, uuid) != row)
				result = write_row(store, &schema_tables[i], row, error);
			if (result)
				return result;
		}
	}
	return result;
}

static int run(struct store *store, enum statement which, struct error *error)
{
	sqlite3_stmt *statement = store->statements[which];
	int result = 0;

	if (sqlite3_step(statement) != SQLITE_DONE)
		result = store_fail(store, "write", error);
	sqlite3_reset(statement);
	return result;
}

static void bind_key(sqlite3_stmt *statement, const char *bridge, unsigned int table_id,
		     unsigned int priority, const char *match)
{
	sqlite3_bind_text(statement, 1, bridge, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, table_id);
	sqlite3_bind_int64(statement, 3, priority);
	sqlite3_bind_text(statement, 4, match, -1, SQLITE_STATIC);
}

int store_put_flow(struct store *store, const char *bridge, const struct store_flow *flow,
		   struct error *error)
{
	sqlite3_stmt *statement = store->statements[PUT_FLOW];

	bind_key(statement, bridge, flow->table_id, flow->priority, flow->match);
	sqlite3_bind_text(statement, 5, flow->actions, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 6, (sqlite3_int64)flow->cookie);
	sqlite3_bind_int64(statement, 7, flow->idle_timeout);
	sqlite3_bind_int64(statement, 8, flow->hard_timeout);
	sqlite3_bind_int64(statement, 9, flow->importance);
	sqlite3_bind_int64(statement, 10, flow->flags);
	sqlite3_bind_int64(statement, 11, (sqlite3_int64)flow->created_ns);
	sqlite3_bind_int64(statement, 12, (sqlite3_int64)flow->modified_ns);
	return run(store, PUT_FLOW, error);
}

int store_delete_flow(struct store *store, const char *bridge, unsigned int table_id,
		      unsigned int priority, const char *match, struct error *error)
{
	bind_key(store->statements[DELETE_FLOW], bridge, table_id, priority, match);
	return run(store, DELETE_FLOW, error);
}

int store_delete_flows(struct store *store, const char *bridge, struct error *error)
{
	sqlite3_bind_text(store->statements[DELETE_FLOWS], 1, bridge, -1, SQLITE_STATIC);
	return run(store, DELETE_FLOWS, error);
}

static int visit_rows(struct store *store, sqlite3_stmt *statement,
		      int (*visit)(void *context, const struct store_flow *flow,
				   struct error *error),
		      void *context, struct error *error)
{
	int result = 0;
	int step = SQLITE_DONE;

	while (!result && (step = sqlite3_step(statement)) == SQLITE_ROW) {
		struct store_flow flow = {
			.table_id = (unsigned int)sqlite3_column_int64(statement, 0),
			.priority = (unsigned int)sqlite3_column_int64(statement, 1),
			.match = (const char *)sqlite3_column_text(statement, 2),
			.actions = (const char *)sqlite3_column_text(statement, 3),
			.cookie = (uint64_t)sqlite3_column_int64(statement, 4),
			.idle_timeout = (unsigned int)sqlite3_column_int64(statement, 5),
			.hard_timeout = (unsigned int)sqlite3_column_int64(statement, 6),
			.importance = (unsigned int)sqlite3_column_int64(statement, 7),
			.flags = (unsigned int)sqlite3_column_int64(statement, 8),
			.created_ns = (uint64_t)sqlite3_column_int64(statement, 9),
			.modified_ns = (uint64_t)sqlite3_column_int64(statement, 10),
		};

		result = visit(context, &flow, error);
	}
	if (!result && step != SQLITE_DONE)
		result = store_fail(store, "read", error);
	sqlite3_reset(statement);
	return result;
}

int store_each_flow(struct store *store, const char *bridge,
		    int (*visit)(void *context, const struct store_flow *flow, struct error *error),
		    void *context, struct error *error)
{
	sqlite3_stmt *statement = store->statements[EACH_FLOW];

	sqlite3_bind_text(statement, 1, bridge, -1, SQLITE_STATIC);
	return visit_rows(store, statement, visit, context, error);
}

int store_get_flow(struct store *store, const char *bridge, unsigned int table_id,
		   unsigned int priority, const char *match,
		   int (*visit)(void *context, const struct store_flow *flow, struct error *error),
		   void *context, struct error *error)
{
	sqlite3_stmt *statement = store->statements[GET_FLOW];

	bind_key(statement, bridge, table_id, priority, match);
	return visit_rows(store, statement, visit, context, error);
}

int store_put_group(struct store *store, const char *bridge, uint32_t group_id, const char *text,
		    struct error *error)
{
	sqlite3_stmt *statement = store->statements[PUT_GROUP];

	sqlite3_bind_text(statement, 1, bridge, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, group_id);
	sqlite3_bind_text(statement, 3, text, -1, SQLITE_STATIC);
	return run(store, PUT_GROUP, error);
}

int store_delete_group(struct store *store, const char *bridge, uint32_t group_id,
		       struct error *error)
{
	sqlite3_bind_text(store->statements[DELETE_GROUP], 1, bridge, -1, SQLITE_STATIC);
	sqlite3_bind_int64(store->statements[DELETE_GROUP], 2, group_id);
	return run(store, DELETE_GROUP, error);
}

int store_delete_groups(struct store *store, const char *bridge, struct error *error)
{
	sqlite3_bind_text(store->statements[DELETE_GROUPS], 1, bridge, -1, SQLITE_STATIC);
	return run(store, DELETE_GROUPS, error);
}

static int visit_groups(struct store *store, sqlite3_stmt *statement, store_group_visitor visit,
			void *context, struct error *error)
{
	int result = 0;
	int step = SQLITE_DONE;

	while (!result && (step = sqlite3_step(statement)) == SQLITE_ROW)
		result = visit(context, (uint32_t)sqlite3_column_int64(statement, 0),
			       (const char *)sqlite3_column_text(statement, 1), error);
	if (!result && step != SQLITE_DONE)
		result = store_fail(store, "read", error);
	sqlite3_reset(statement);
	return result;
}

int store_each_group(struct store *store, const char *bridge, store_group_visitor visit,
		     void *context, struct error *error)
{
	sqlite3_stmt *statement = store->statements[EACH_GROUP];

	sqlite3_bind_text(statement, 1, bridge, -1, SQLITE_STATIC);
	return visit_groups(store, statement, visit, context, error);
}

int store_get_group(struct store *store, const char *bridge, uint32_t group_id,
		    store_group_visitor visit, void *context, struct error *error)
{
	sqlite3_stmt *statement = store->statements[GET_GROUP];

	sqlite3_bind_text(statement, 1, bridge, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, group_id);
	return visit_groups(store, statement, visit, context, error);
}
