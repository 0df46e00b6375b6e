#include "ctl/store.h"

#include "common/error.h"
#include "common/log.h"
#include "common/text.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_APPLICATION_ID 0x76737764 // "vswd"
// 1: flows were found by bridge, table, priority and match.
#define STORE_VERSION 2
// A flow's number: its bridge's in the upper bits.
#define FLOW_ID_BITS 40
#define DIRECTORY_MODE 0750

enum statement {
	PUT_FLOW,
	SET_TIMEOUTS,
	DELETE_FLOW,
	DELETE_FLOWS,
	EACH_FLOW,
	GET_FLOW,
	PUT_GROUP,
	DELETE_GROUP,
	DELETE_GROUPS,
	EACH_GROUP,
	GET_GROUP,
	PUT_METER,
	DELETE_METER,
	DELETE_METERS,
	EACH_METER,
	GET_METER,
	LAST_FLOW,
	FIND_BRIDGE,
	ADD_BRIDGE,
	N_STATEMENTS
};

#define FLOW_COLUMNS                                                                               \
	"id, table_id, priority, match, actions, cookie, idle_timeout, hard_timeout, importance, " \
	"flags, created, modified"

#define FLOW_TABLES                                                                                \
	"CREATE TABLE flow_bridge (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"        \
	"CREATE TABLE flow (id INTEGER PRIMARY KEY, table_id INTEGER NOT NULL, "                   \
	"priority INTEGER NOT NULL, match TEXT NOT NULL, actions TEXT NOT NULL, "                  \
	"cookie INTEGER NOT NULL, idle_timeout INTEGER NOT NULL, "                                 \
	"hard_timeout INTEGER NOT NULL, importance INTEGER NOT NULL, flags INTEGER NOT NULL, "     \
	"created INTEGER NOT NULL, modified INTEGER NOT NULL);"

static const char *const statement_texts[N_STATEMENTS] = {
	[PUT_FLOW] = "INSERT OR REPLACE INTO flow (" FLOW_COLUMNS
		     ") VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
	[SET_TIMEOUTS] = "UPDATE flow SET idle_timeout=?2, hard_timeout=?3 WHERE id=?1",
	[DELETE_FLOW] = "DELETE FROM flow WHERE id=?1",
	[DELETE_FLOWS] = "DELETE FROM flow WHERE id BETWEEN ?1 AND ?2",
	[EACH_FLOW] = "SELECT " FLOW_COLUMNS " FROM flow WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
	[GET_FLOW] = "SELECT " FLOW_COLUMNS " FROM flow WHERE id=?1",
	[LAST_FLOW] = "SELECT max(id) FROM flow WHERE id BETWEEN ?1 AND ?2",
	[FIND_BRIDGE] = "SELECT number FROM flow_bridge WHERE name=?1",
	[ADD_BRIDGE] = "INSERT INTO flow_bridge (name) VALUES (?1)",
	[PUT_GROUP] = ("INSERT INTO flow_group (bridge, group_id, text) VALUES (?1,?2,?3) "
		       "ON CONFLICT DO UPDATE SET text=?3"),
	[DELETE_GROUP] = "DELETE FROM flow_group WHERE bridge=?1 AND group_id=?2",
	[DELETE_GROUPS] = "DELETE FROM flow_group WHERE bridge=?1",
	[EACH_GROUP] = "SELECT group_id, text FROM flow_group WHERE bridge=?1 ORDER BY group_id",
	[GET_GROUP] = "SELECT group_id, text FROM flow_group WHERE bridge=?1 AND group_id=?2",
	[PUT_METER] = ("INSERT INTO flow_meter (bridge, meter_id, text) VALUES (?1,?2,?3) "
		       "ON CONFLICT DO UPDATE SET text=?3"),
	[DELETE_METER] = "DELETE FROM flow_meter WHERE bridge=?1 AND meter_id=?2",
	[DELETE_METERS] = "DELETE FROM flow_meter WHERE bridge=?1",
	[EACH_METER] = "SELECT meter_id, text FROM flow_meter WHERE bridge=?1 ORDER BY meter_id",
	[GET_METER] = "SELECT meter_id, text FROM flow_meter WHERE bridge=?1 AND meter_id=?2",
};

// A bridge that flows were added to since the last rollback.
struct store_bridge {
	struct store_bridge *next;
	char *name;
	uint64_t number;
	uint64_t last; // number of its last flow
};

struct store {
	pthread_mutex_t lock; // recursive
	sqlite3 *db;
	char *path;
	bool in_transaction;
	bool was_full; // since the last rollback
	int n_log_pages; // in the log, after the last commit
	struct store_bridge *bridges;
	sqlite3_stmt *statements[N_STATEMENTS];
	sqlite3_stmt *inserts[N_SCHEMA_TABLES]; // prepared when first used
};

static struct store *store_lock(struct store *store)
{
	pthread_mutex_lock(&store->lock);
	return store;
}

static void store_unlock(struct store **store)
{
	pthread_mutex_unlock(&(*store)->lock);
}

// Until the end of the block: the database connection is for one thread at a time.
#define LOCKED(store)                                                                              \
	struct store *locked_store __attribute__((cleanup(store_unlock), unused)) =                \
		store_lock(store)

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
		store->was_full = true;
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
static int check_identity(struct store *store, bool *fresh, int64_t *version_out,
			  struct error *error)
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
	*version_out = version;
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
	text_add(&sql, FLOW_TABLES);
	text_addf(&sql, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT;",
		  STORE_APPLICATION_ID, STORE_VERSION);
	result = execute(store, sql.data ? sql.data : "", "write", error);
	text_free(&sql);
	return result;
}

// Flows of version 1, in their order.
static int upgrade_flows(struct store *store, struct error *error)
{
	static const char *const steps =
		"BEGIN IMMEDIATE; ALTER TABLE flow RENAME TO flow1;" FLOW_TABLES
		"INSERT INTO flow_bridge (name) SELECT DISTINCT bridge FROM flow1;"
		"INSERT INTO flow (" FLOW_COLUMNS ") SELECT (number << 40) + flow1.rowid, "
		"table_id, priority, match, actions, cookie, idle_timeout, hard_timeout, "
		"importance, flags, created, modified "
		"FROM flow1 JOIN flow_bridge ON name = bridge ORDER BY 1;"
		"DROP TABLE flow1; PRAGMA user_version=2; COMMIT;";
	int result = execute(store, steps, "upgrade", error);

	if (result)
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
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
	return execute(store,
		       "CREATE TABLE IF NOT EXISTS flow_group (bridge TEXT NOT NULL, "
		       "group_id INTEGER NOT NULL, text TEXT NOT NULL, "
		       "PRIMARY KEY (bridge, group_id));"
		       "CREATE TABLE IF NOT EXISTS flow_meter (bridge TEXT NOT NULL, "
		       "meter_id INTEGER NOT NULL, text TEXT NOT NULL, "
		       "PRIMARY KEY (bridge, meter_id));",
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

// What a transaction that failed had written to the log stays in it and fills the disk, until the
// log is emptied into the database. If even that is not possible, the next attempt may be.
static void release_log(struct store *store)
{
	sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

// Emptying the log into the database is for later, not for who waits for the commit.
#define LONG_LOG_PAGES 1000

static int note_log(void *context, sqlite3 *db, const char *name, int n_pages)
{
	(void)db;
	(void)name;
	((struct store *)context)->n_log_pages = n_pages;
	return SQLITE_OK;
}

bool store_log_is_long(struct store *store)
{
	LOCKED(store);
	return store->n_log_pages >= LONG_LOG_PAGES;
}

void store_shorten_log(struct store *store)
{
	LOCKED(store);
	// In a transaction it cannot be done, and after that there is another occasion.
	if (store->in_transaction)
		return;
	store->n_log_pages = 0;
	sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static int set_up(struct store *store, struct error *error)
{
	bool fresh = true;
	int64_t version = 0;
	int result;

	sqlite3_busy_timeout(store->db, 0);
	// The file is ours alone: no shared memory file, and a second daemon is told.
	result = execute(store, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA trusted_schema=OFF;", "open",
			 error);
	if (!result)
		result = check_identity(store, &fresh, &version, error);
	if (!result)
		result = execute(store,
				 "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
				 "PRAGMA cell_size_check=ON; BEGIN IMMEDIATE; COMMIT;",
				 "write", error);
	if (!result && fresh)
		result = make_tables(store, error);
	if (!result && !fresh && version < 2)
		result = upgrade_flows(store, error);
	if (result)
		return result;
	// An empty transaction writes nothing; this one proves that we may write. On a full disk
	// the switch starts all the same: what it connects matters more than changes do.
	result = execute(store, "PRAGMA user_version=2", "write", error);
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
	sqlite3_wal_hook(store->db, note_log, store);
	// From now on the database has its size, and emptying the log needs little room.
	if (!result)
		release_log(store);
	return result;
}

static void init_lock(struct store *store)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&store->lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
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
	init_lock(store);
	if (sqlite3_open_v2(path, &store->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW |
				    SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOMUTEX,
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

static void forget_bridges(struct store *store)
{
	while (store->bridges) {
		struct store_bridge *bridge = store->bridges;

		store->bridges = bridge->next;
		free(bridge->name);
		free(bridge);
	}
}

void store_close(struct store *store)
{
	if (!store)
		return;
	if (store->in_transaction)
		store_rollback(store);
	forget_bridges(store);
	for (int i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize(store->statements[i]);
	for (int i = 0; i < N_SCHEMA_TABLES; i++)
		sqlite3_finalize(store->inserts[i]);
	sqlite3_close(store->db);
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store);
}

int store_begin(struct store *store, struct error *error)
{
	LOCKED(store);
	int result = execute(store, "BEGIN IMMEDIATE", "write", error);

	store->in_transaction = !result;
	return result;
}

int store_commit(struct store *store, struct error *error)
{
	LOCKED(store);
	int result = execute(store, "COMMIT", "write", error);

	if (!result)
		store->in_transaction = false;
	return result;
}

void store_rollback(struct store *store)
{
	LOCKED(store);
	// A full disk may have ended the transaction already.
	if (store->in_transaction && !sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	store->in_transaction = false;
	forget_bridges(store);
	if (store->was_full)
		release_log(store);
	store->was_full = false;
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
	LOCKED(store);
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
	LOCKED(store);
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

// The integer that a prepared one-row statement answers; 0 without a row.
static int ask(struct store *store, enum statement which, uint64_t *value, struct error *error)
{
	sqlite3_stmt *statement = store->statements[which];
	int step = sqlite3_step(statement);
	int result = 0;

	*value = step == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
	if (step != SQLITE_ROW && step != SQLITE_DONE)
		result = store_fail(store, "read", error);
	sqlite3_reset(statement);
	return result;
}

static int find_bridge(struct store *store, const char *name, uint64_t *number, struct error *error)
{
	sqlite3_bind_text(store->statements[FIND_BRIDGE], 1, name, -1, SQLITE_STATIC);
	return ask(store, FIND_BRIDGE, number, error);
}

// Both ends of the numbers of a bridge's flows.
static void bind_range(sqlite3_stmt *statement, uint64_t bridge)
{
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)(bridge << FLOW_ID_BITS));
	sqlite3_bind_int64(statement, 2, (sqlite3_int64)(((bridge + 1) << FLOW_ID_BITS) - 1));
}

static int read_bridge(struct store *store, struct store_bridge *bridge, struct error *error)
{
	int result = find_bridge(store, bridge->name, &bridge->number, error);

	if (!result && !bridge->number) {
		sqlite3_bind_text(store->statements[ADD_BRIDGE], 1, bridge->name, -1,
				  SQLITE_STATIC);
		result = run(store, ADD_BRIDGE, error);
		bridge->number = (uint64_t)sqlite3_last_insert_rowid(store->db);
	}
	if (result)
		return result;
	bind_range(store->statements[LAST_FLOW], bridge->number);
	result = ask(store, LAST_FLOW, &bridge->last, error);
	if (!bridge->last)
		bridge->last = bridge->number << FLOW_ID_BITS;
	return result;
}

static struct store_bridge *get_bridge(struct store *store, const char *name, struct error *error)
{
	struct store_bridge *bridge = store->bridges;

	while (bridge && strcmp(bridge->name, name))
		bridge = bridge->next;
	if (bridge)
		return bridge;
	bridge = calloc(1, sizeof(*bridge));
	if (!bridge || !(bridge->name = strdup(name))) {
		free(bridge);
		error_set(error, ENOMEM, "out of memory");
		return NULL;
	}
	if (read_bridge(store, bridge, error)) {
		free(bridge->name);
		free(bridge);
		return NULL;
	}
	bridge->next = store->bridges;
	store->bridges = bridge;
	return bridge;
}

int store_put_flow(struct store *store, uint64_t id, const struct store_flow *flow,
		   struct error *error)
{
	LOCKED(store);
	sqlite3_stmt *statement = store->statements[PUT_FLOW];

	sqlite3_bind_int64(statement, 1, (sqlite3_int64)id);
	sqlite3_bind_int64(statement, 2, flow->table_id);
	sqlite3_bind_int64(statement, 3, flow->priority);
	sqlite3_bind_text(statement, 4, flow->match, -1, SQLITE_STATIC);
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

int store_new_flow_id(struct store *store, const char *bridge_name, uint64_t *id,
		      struct error *error)
{
	LOCKED(store);
	struct store_bridge *bridge = get_bridge(store, bridge_name, error);

	if (!bridge)
		return -EIO;
	*id = ++bridge->last;
	return 0;
}

int store_set_timeouts(struct store *store, uint64_t id, unsigned int idle_timeout,
		       unsigned int hard_timeout, struct error *error)
{
	LOCKED(store);
	sqlite3_stmt *statement = store->statements[SET_TIMEOUTS];

	sqlite3_bind_int64(statement, 1, (sqlite3_int64)id);
	sqlite3_bind_int64(statement, 2, idle_timeout);
	sqlite3_bind_int64(statement, 3, hard_timeout);
	return run(store, SET_TIMEOUTS, error);
}

int store_delete_flow(struct store *store, uint64_t id, struct error *error)
{
	LOCKED(store);
	sqlite3_bind_int64(store->statements[DELETE_FLOW], 1, (sqlite3_int64)id);
	return run(store, DELETE_FLOW, error);
}

int store_delete_flows(struct store *store, const char *bridge, struct error *error)
{
	LOCKED(store);
	uint64_t number;
	int result = find_bridge(store, bridge, &number, error);

	if (result || !number)
		return result;
	bind_range(store->statements[DELETE_FLOWS], number);
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
			.id = (uint64_t)sqlite3_column_int64(statement, 0),
			.table_id = (unsigned int)sqlite3_column_int64(statement, 1),
			.priority = (unsigned int)sqlite3_column_int64(statement, 2),
			.match = (const char *)sqlite3_column_text(statement, 3),
			.actions = (const char *)sqlite3_column_text(statement, 4),
			.cookie = (uint64_t)sqlite3_column_int64(statement, 5),
			.idle_timeout = (unsigned int)sqlite3_column_int64(statement, 6),
			.hard_timeout = (unsigned int)sqlite3_column_int64(statement, 7),
			.importance = (unsigned int)sqlite3_column_int64(statement, 8),
			.flags = (unsigned int)sqlite3_column_int64(statement, 9),
			.created_ns = (uint64_t)sqlite3_column_int64(statement, 10),
			.modified_ns = (uint64_t)sqlite3_column_int64(statement, 11),
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
	LOCKED(store);
	uint64_t number;
	int result = find_bridge(store, bridge, &number, error);

	if (result || !number)
		return result;
	bind_range(store->statements[EACH_FLOW], number);
	return visit_rows(store, store->statements[EACH_FLOW], visit, context, error);
}

int store_get_flow(struct store *store, uint64_t id,
		   int (*visit)(void *context, const struct store_flow *flow, struct error *error),
		   void *context, struct error *error)
{
	LOCKED(store);
	sqlite3_bind_int64(store->statements[GET_FLOW], 1, (sqlite3_int64)id);
	return visit_rows(store, store->statements[GET_FLOW], visit, context, error);
}

// --- Groups and meters: texts by bridge and number ---

static int put_text(struct store *store, enum statement which, const char *bridge, uint32_t id,
		    const char *text, struct error *error)
{
	LOCKED(store);
	sqlite3_stmt *statement = store->statements[which];

	sqlite3_bind_text(statement, 1, bridge, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, id);
	sqlite3_bind_text(statement, 3, text, -1, SQLITE_STATIC);
	return run(store, which, error);
}

static int delete_text(struct store *store, enum statement which, const char *bridge, uint32_t id,
		       struct error *error)
{
	LOCKED(store);
	sqlite3_bind_text(store->statements[which], 1, bridge, -1, SQLITE_STATIC);
	sqlite3_bind_int64(store->statements[which], 2, id);
	return run(store, which, error);
}

static int delete_texts(struct store *store, enum statement which, const char *bridge,
			struct error *error)
{
	LOCKED(store);
	sqlite3_bind_text(store->statements[which], 1, bridge, -1, SQLITE_STATIC);
	return run(store, which, error);
}

// The visitors of both have one type.
static int visit_texts(struct store *store, enum statement which, const char *bridge,
		       const uint32_t *id, store_group_visitor visit, void *context,
		       struct error *error)
{
	LOCKED(store);
	sqlite3_stmt *statement = store->statements[which];
	int result = 0;
	int step = SQLITE_DONE;

	sqlite3_bind_text(statement, 1, bridge, -1, SQLITE_STATIC);
	if (id)
		sqlite3_bind_int64(statement, 2, *id);
	while (!result && (step = sqlite3_step(statement)) == SQLITE_ROW)
		result = visit(context, (uint32_t)sqlite3_column_int64(statement, 0),
			       (const char *)sqlite3_column_text(statement, 1), error);
	if (!result && step != SQLITE_DONE)
		result = store_fail(store, "read", error);
	sqlite3_reset(statement);
	return result;
}

int store_put_group(struct store *store, const char *bridge, uint32_t group_id, const char *text,
		    struct error *error)
{
	return put_text(store, PUT_GROUP, bridge, group_id, text, error);
}

int store_delete_group(struct store *store, const char *bridge, uint32_t group_id,
		       struct error *error)
{
	return delete_text(store, DELETE_GROUP, bridge, group_id, error);
}

int store_delete_groups(struct store *store, const char *bridge, struct error *error)
{
	return delete_texts(store, DELETE_GROUPS, bridge, error);
}

int store_each_group(struct store *store, const char *bridge, store_group_visitor visit,
		     void *context, struct error *error)
{
	return visit_texts(store, EACH_GROUP, bridge, NULL, visit, context, error);
}

int store_get_group(struct store *store, const char *bridge, uint32_t group_id,
		    store_group_visitor visit, void *context, struct error *error)
{
	return visit_texts(store, GET_GROUP, bridge, &group_id, visit, context, error);
}

int store_put_meter(struct store *store, const char *bridge, uint32_t meter_id, const char *text,
		    struct error *error)
{
	return put_text(store, PUT_METER, bridge, meter_id, text, error);
}

int store_delete_meter(struct store *store, const char *bridge, uint32_t meter_id,
		       struct error *error)
{
	return delete_text(store, DELETE_METER, bridge, meter_id, error);
}

int store_delete_meters(struct store *store, const char *bridge, struct error *error)
{
	return delete_texts(store, DELETE_METERS, bridge, error);
}

int store_each_meter(struct store *store, const char *bridge, store_meter_visitor visit,
		     void *context, struct error *error)
{
	return visit_texts(store, EACH_METER, bridge, NULL, visit, context, error);
}

int store_get_meter(struct store *store, const char *bridge, uint32_t meter_id,
		    store_meter_visitor visit, void *context, struct error *error)
{
	return visit_texts(store, GET_METER, bridge, &meter_id, visit, context, error);
}
