// The kept configuration: what is acknowledged survives kill -9, what is not is not there, and a
// file that is not right is refused.
#include "common/error.h"
#include "ctl/store.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];
static char path[96];

static int setup(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/vswitch-test-store-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/sub/v.db", directory);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static struct store *open_store(void)
{
	struct error error = { 0 };
	struct store *store = NULL;

	if (store_open(path, &store, &error))
		fail_msg("%s", error.message);
	return store;
}

static void refuse_store(const char *expected)
{
	struct error error = { 0 };
	struct store *store = NULL;
	struct config *config = NULL;
	int result = store_open(path, &store, &error);

	if (!result) {
		result = store_load(store, &config, &error);
		store_close(store);
		config_free(config);
	}
	if (!result || !strstr(error.message, expected) || !strstr(error.message, path))
		fail_msg("'%s' lacks '%s' or the file's name", error.message, expected);
}

static void add_bridge(struct config *config, const char *name)
{
	json_t *bridge = config_insert(config, TABLE_Bridge, NULL);
	json_t *port = config_insert(config, TABLE_Port, NULL);
	json_t *interface = config_insert(config, TABLE_Interface, NULL);

	json_object_set_new(bridge, "name", json_string(name));
	json_object_set_new(port, "name", json_string(name));
	json_object_set_new(interface, "name", json_string(name));
	json_object_set_new(interface, "type", json_string("internal"));
	json_object_set_new(interface, "ofport", json_integer(12));
	json_object_set_new(interface, "link_state", json_string("up"));
	json_object_set_new(port, "tag", json_integer(5));
	json_object_set_new(json_object_get(bridge, "other_config"), "k\"'; DROP",
			    json_string("v\n\xc3\xa9"));
	config_add_ref(config, TABLE_Port, config_row_uuid(port), "interfaces",
		       config_row_uuid(interface));
	config_add_ref(config, TABLE_Bridge, config_row_uuid(bridge), "ports",
		       config_row_uuid(port));
	config_add_ref(config, TABLE_Open_vSwitch,
		       config_row_uuid(config_single(config, TABLE_Open_vSwitch)), "bridges",
		       config_row_uuid(bridge));
}

static struct store_flow flow_number(unsigned int i, char *match, size_t size)
{
	snprintf(match, size, "ip,nw_src=10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
	return (struct store_flow){
		.table_id = i % 200,
		.priority = i & 0xffff,
		.match = match,
		.actions = "output:1",
		.cookie = UINT64_MAX - i,
		.hard_timeout = 10,
		.created_ns = 1000000000ULL * i,
	};
}

static void test_round_trip(void **state)
{
	struct store *store = open_store();
	struct config *config, *again;
	json_t *row;

	(void)state;
	assert_int_equal(store_load(store, &config, NULL), 0);
	assert_int_equal(json_object_size(config_rows(config, TABLE_Open_vSwitch)), 1);
	add_bridge(config, "b");
	add_bridge(config, "a");
	assert_int_equal(store_begin(store, NULL), 0);
	assert_int_equal(store_write(store, NULL, config, NULL), 0);
	assert_int_equal(store_commit(store, NULL), 0);
	store_close(store);
	store = open_store();
	assert_int_equal(store_load(store, &again, NULL), 0);
	for (int i = 0; i < N_SCHEMA_TABLES; i++)
		if (i != TABLE_Interface)
			assert_true(json_equal(config->tables[i], again->tables[i]));
	// Status is not kept, but the port number is.
	row = config_find(again, TABLE_Interface, "b");
	assert_true(json_is_null(json_object_get(row, "link_state")));
	assert_int_equal(json_integer_value(json_object_get(row, "ofport")), 12);
	// In the order in which rows were made, and still so after one was changed.
	struct config *changed = config_copy(again);

	row = config_find(changed, TABLE_Bridge, "b");
	json_object_set_new(config_edit(changed, TABLE_Bridge, config_row_uuid(row)), "fail_mode",
			    json_string("secure"));
	assert_int_equal(store_begin(store, NULL), 0);
	assert_int_equal(store_write(store, again, changed, NULL), 0);
	assert_int_equal(store_commit(store, NULL), 0);
	config_free(config);
	assert_int_equal(store_load(store, &config, NULL), 0);
	assert_string_equal(config_string(config_single(config, TABLE_Bridge), "name"), "b");
	assert_string_equal(config_string(config_single(config, TABLE_Bridge), "fail_mode"),
			    "secure");
	config_free(config);
	config_free(changed);
	config_free(again);
	store_close(store);
}

static int count_flow(void *context, const struct store_flow *flow, struct error *error)
{
	unsigned int *n = context;
	char match[64];
	struct store_flow expected = flow_number(*n, match, sizeof(match));

	(void)error;
	assert_string_equal(flow->match, expected.match);
	assert_string_equal(flow->actions, expected.actions);
	assert_true(flow->cookie == expected.cookie);
	assert_int_equal(flow->table_id, expected.table_id);
	assert_int_equal(flow->hard_timeout, expected.hard_timeout);
	assert_true(flow->created_ns == expected.created_ns);
	(*n)++;
	return 0;
}

// A child writes transactions of 100 flows, tells us of each that is durable, and is killed.
static int add_flow(struct store *store, const char *bridge, const struct store_flow *flow,
		    uint64_t *id, struct error *error)
{
	int result = store_new_flow_id(store, bridge, id, error);

	return result ? result : store_put_flow(store, *id, flow, error);
}

static void write_for_ever(int fd)
{
	struct store *store = open_store();

	for (unsigned int i = 0;; i += 100) {
		char match[64];

		store_begin(store, NULL);
		for (unsigned int k = i; k < i + 100; k++) {
			struct store_flow flow = flow_number(k, match, sizeof(match));
			uint64_t id;

			add_flow(store, "br0", &flow, &id, NULL);
		}
		store_commit(store, NULL);
		if (write(fd, &i, sizeof(i)) != sizeof(i))
			_exit(1);
	}
}

static void test_kill(void **state)
{
	(void)state;
	for (int round = 0; round < 5; round++) {
		unsigned int acknowledged = 0, n = 0;
		struct store *store;
		int fds[2];
		pid_t child;

		assert_int_equal(pipe(fds), 0);
		child = fork();
		if (child == 0) {
			close(fds[0]);
			write_for_ever(fds[1]);
		}
		close(fds[1]);
		for (int i = 0; i < 20 + round * 7; i++)
			assert_int_equal(read(fds[0], &acknowledged, sizeof(acknowledged)),
					 sizeof(acknowledged));
		kill(child, SIGKILL);
		while (read(fds[0], &acknowledged, sizeof(acknowledged)) ==
		       (ssize_t)sizeof(acknowledged))
			;
		close(fds[0]);
		waitpid(child, NULL, 0);
		store = open_store();
		assert_int_equal(store_each_flow(store, "br0", count_flow, &n, NULL), 0);
		// Every acknowledged transaction, at most one more, and no part of one.
		assert_int_equal(n % 100, 0);
		assert_in_range(n, acknowledged + 100, acknowledged + 200);
		assert_int_equal(store_begin(store, NULL), 0);
		assert_int_equal(store_delete_flows(store, "br0", NULL), 0);
		assert_int_equal(store_commit(store, NULL), 0);
		store_close(store);
	}
}

static void test_flows(void **state)
{
	struct store *store = open_store();
	struct store_flow flow;
	uint64_t ids[3], other;
	unsigned int n = 0;
	char match[64];

	(void)state;
	store_begin(store, NULL);
	for (unsigned int i = 0; i < 3; i++) {
		flow = flow_number(i, match, sizeof(match));
		flow.actions = i == 0 ? "drop" : flow.actions;
		assert_int_equal(add_flow(store, "br0", &flow, &ids[i], NULL), 0);
		assert_true(i == 0 || ids[i] > ids[i - 1]);
		// Another bridge's flows are its own.
		assert_int_equal(add_flow(store, "br1", &flow, &other, NULL), 0);
	}
	// Written again it takes the place of the old one, and its place in the order.
	flow = flow_number(0, match, sizeof(match));
	assert_int_equal(store_put_flow(store, ids[0], &flow, NULL), 0);
	assert_int_equal(store_each_flow(store, "br0", count_flow, &n, NULL), 0);
	assert_int_equal(n, 3);
	assert_int_equal(store_delete_flow(store, ids[2], NULL), 0);
	assert_int_equal(store_delete_flows(store, "br1", NULL), 0);
	n = 1;
	assert_int_equal(store_get_flow(store, ids[1], count_flow, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_int_equal(store_get_flow(store, ids[2], count_flow, &n, NULL), 0);
	assert_int_equal(store_get_flow(store, other, count_flow, &n, NULL), 0);
	assert_int_equal(n, 2);
	store_rollback(store);
	n = 0;
	assert_int_equal(store_each_flow(store, "br0", count_flow, &n, NULL), 0);
	assert_int_equal(n, 0);
	// What was rolled back is not remembered.
	store_begin(store, NULL);
	flow = flow_number(0, match, sizeof(match));
	assert_int_equal(add_flow(store, "br0", &flow, &other, NULL), 0);
	assert_true(other == ids[0]);
	store_commit(store, NULL);
	assert_int_equal(store_each_flow(store, "br0", count_flow, &n, NULL), 0);
	assert_int_equal(n, 1);
	store_close(store);
}

// A file of version 1 keeps its flows, in their order.
static void test_upgrade(void **state)
{
	struct store *store = open_store();
	char command[2048];
	unsigned int n = 0;

	(void)state;
	store_close(store);
	snprintf(command, sizeof(command),
		 "sqlite3 %s \"DROP TABLE flow; DROP TABLE flow_bridge; "
		 "CREATE TABLE flow (bridge TEXT NOT NULL, table_id INTEGER NOT NULL, "
		 "priority INTEGER NOT NULL, match TEXT NOT NULL, actions TEXT NOT NULL, "
		 "cookie INTEGER NOT NULL, idle_timeout INTEGER NOT NULL, "
		 "hard_timeout INTEGER NOT NULL, importance INTEGER NOT NULL, "
		 "flags INTEGER NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL, "
		 "PRIMARY KEY (bridge, table_id, priority, match)); "
		 "INSERT INTO flow VALUES "
		 "('br0',0,0,'ip,nw_src=10.0.0.0','output:1',-1,0,10,0,0,0,0); "
		 "INSERT INTO flow VALUES ('br1',0,0,'ip','output:1',0,0,10,0,0,0,0); "
		 "INSERT INTO flow VALUES "
		 "('br0',1,1,'ip,nw_src=10.0.0.1','output:1',-2,0,10,0,0,1000000000,0); "
		 "PRAGMA user_version=1\"",
		 path);
	if (system(command) != 0)
		skip();
	store = open_store();
	assert_int_equal(store_each_flow(store, "br0", count_flow, &n, NULL), 0);
	assert_int_equal(n, 2);
	store_close(store);
	n = 0;
	store = open_store();
	assert_int_equal(store_each_flow(store, "br0", count_flow, &n, NULL), 0);
	assert_int_equal(n, 2);
	store_close(store);
}

static int check_group(void *context, uint32_t id, const char *text, struct error *error)
{
	char expected[64];

	(void)error;
	snprintf(expected, sizeof(expected), "group_id=%u", id);
	assert_string_equal(text, expected);
	*(unsigned int *)context += id;
	return 0;
}

static void test_groups(void **state)
{
	struct store *store = open_store();
	unsigned int sum = 0;

	(void)state;
	store_begin(store, NULL);
	assert_int_equal(store_put_group(store, "br0", 0xffffff00, "group_id=0", NULL), 0);
	assert_int_equal(store_put_group(store, "br0", 7, "group_id=8", NULL), 0);
	assert_int_equal(store_put_group(store, "br0", 7, "group_id=7", NULL), 0);
	assert_int_equal(store_put_group(store, "br0", 5, "group_id=5", NULL), 0);
	assert_int_equal(store_put_group(store, "br1", 7, "group_id=7", NULL), 0);
	assert_int_equal(store_delete_group(store, "br0", 0xffffff00, NULL), 0);
	assert_int_equal(store_commit(store, NULL), 0);
	store_close(store);
	store = open_store();
	assert_int_equal(store_each_group(store, "br0", check_group, &sum, NULL), 0);
	assert_int_equal(sum, 12);
	sum = 0;
	assert_int_equal(store_get_group(store, "br0", 7, check_group, &sum, NULL), 0);
	assert_int_equal(sum, 7);
	store_begin(store, NULL);
	assert_int_equal(store_delete_groups(store, "br0", NULL), 0);
	assert_int_equal(store_each_group(store, "br0", check_group, &sum, NULL), 0);
	assert_int_equal(sum, 7);
	store_rollback(store);
	sum = 0;
	assert_int_equal(store_each_group(store, "br1", check_group, &sum, NULL), 0);
	assert_int_equal(sum, 7);
	store_close(store);
}

static int check_meter(void *context, uint32_t id, const char *text, struct error *error)
{
	char expected[64];

	(void)error;
	snprintf(expected, sizeof(expected), "meter=%u", id);
	assert_string_equal(text, expected);
	*(unsigned int *)context += id;
	return 0;
}

// A store of a release that knew no meters is opened and gets them.
static void test_meters(void **state)
{
	struct store *store = open_store();
	unsigned int sum = 0;
	char command[512];

	(void)state;
	store_close(store);
	snprintf(command, sizeof(command), "sqlite3 %s 'DROP TABLE flow_meter'", path);
	if (system(command) != 0)
		skip();
	store = open_store();
	store_begin(store, NULL);
	assert_int_equal(store_put_meter(store, "br0", 65535, "meter=0", NULL), 0);
	assert_int_equal(store_put_meter(store, "br0", 7, "meter=8", NULL), 0);
	assert_int_equal(store_put_meter(store, "br0", 7, "meter=7", NULL), 0);
	assert_int_equal(store_put_meter(store, "br0", 5, "meter=5", NULL), 0);
	assert_int_equal(store_put_meter(store, "br1", 7, "meter=7", NULL), 0);
	assert_int_equal(store_put_group(store, "br0", 5, "group_id=5", NULL), 0);
	assert_int_equal(store_delete_meter(store, "br0", 65535, NULL), 0);
	assert_int_equal(store_commit(store, NULL), 0);
	store_close(store);
	store = open_store();
	assert_int_equal(store_each_meter(store, "br0", check_meter, &sum, NULL), 0);
	assert_int_equal(sum, 12);
	sum = 0;
	assert_int_equal(store_get_meter(store, "br0", 7, check_meter, &sum, NULL), 0);
	assert_int_equal(sum, 7);
	store_begin(store, NULL);
	assert_int_equal(store_delete_meters(store, "br0", NULL), 0);
	sum = 0;
	assert_int_equal(store_each_meter(store, "br0", check_meter, &sum, NULL), 0);
	assert_int_equal(sum, 0);
	assert_int_equal(store_each_group(store, "br0", check_group, &sum, NULL), 0);
	assert_int_equal(sum, 5);
	store_rollback(store);
	sum = 0;
	assert_int_equal(store_each_meter(store, "br1", check_meter, &sum, NULL), 0);
	assert_int_equal(sum, 7);
	store_close(store);
}

static void write_bytes(off_t offset, const char *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, offset), (ssize_t)size);
	close(fd);
}

static void test_refused(void **state)
{
	static char garbage[8192];
	struct store *store = open_store();
	struct error error = { 0 };
	struct store *second = NULL;
	struct config *config;
	char command[256];

	(void)state;
	// In use.
	assert_int_equal(store_open(path, &second, &error), -EBUSY);
	assert_non_null(strstr(error.message, "in use by another process"));
	assert_int_equal(store_load(store, &config, NULL), 0);
	add_bridge(config, "br0");
	store_begin(store, NULL);
	store_write(store, NULL, config, NULL);
	store_commit(store, NULL);
	store_close(store);
	config_free(config);
	// A newer version.
	snprintf(command, sizeof(command), "sqlite3 %s 'PRAGMA user_version=99'", path);
	if (system(command) == 0) {
		refuse_store("use a newer vswitchd");
		snprintf(command, sizeof(command), "sqlite3 %s 'PRAGMA user_version=2'", path);
		assert_int_equal(system(command), 0);
		// A value that no command could have written.
		snprintf(command, sizeof(command), "sqlite3 %s \"UPDATE Port SET tag='9999'\"",
			 path);
		assert_int_equal(system(command), 0);
		refuse_store("is not valid");
		snprintf(command, sizeof(command), "sqlite3 %s \"UPDATE Port SET tag='{'\"", path);
		assert_int_equal(system(command), 0);
		refuse_store("is damaged");
		snprintf(command, sizeof(command),
			 "sqlite3 %s \"UPDATE Port SET tag='1'; DELETE FROM Interface\"", path);
		assert_int_equal(system(command), 0);
		refuse_store("is damaged");
	}
	// Pages overwritten.
	memset(garbage, 0x5a, sizeof(garbage));
	write_bytes(4096, garbage, sizeof(garbage));
	refuse_store("is damaged");
	// Not a database at all.
	write_bytes(0, garbage, sizeof(garbage));
	refuse_store("is damaged");
	// Of another program.
	unlink(path);
	snprintf(command, sizeof(command), "sqlite3 %s 'CREATE TABLE t (x)'", path);
	if (system(command) == 0)
		refuse_store("another program");
	// A directory, a symbolic link.
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	refuse_store("cannot open");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("/tmp/nowhere.db", path), 0);
	refuse_store("cannot open");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_meters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upgrade, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
