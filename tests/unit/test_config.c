// Requests on the configuration, run as vsctl runs them, with a switch that can be told to fail.
#include "common/error.h"
#include "ctl/flow_keep.h"
#include "ctl/server.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct fake {
	bool fail;
	unsigned int n_prepare, n_finish, n_restore;
} fake;

static int fake_prepare(void *context, const struct config *old, struct config *config,
			struct error *error)
{
	(void)context;
	(void)old;
	(void)config;
	fake.n_prepare++;
	return fake.fail ? error_set(error, EIO, "the port cannot be opened") : 0;
}

static void fake_finish(void *context, const struct config *config)
{
	(void)context;
	(void)config;
	fake.n_finish++;
}

static void fake_restore(void *context, const struct config *old)
{
	(void)context;
	(void)old;
	fake.n_restore++;
}

static void fake_status(void *context, const struct schema_table *table, json_t *row)
{
	(void)context;
	if (table->id == TABLE_Interface)
		json_object_set_new(row, "ofport", json_integer(7));
}

static const struct apply_ops fake_ops = {
	.prepare = fake_prepare,
	.finish = fake_finish,
	.restore = fake_restore,
	.fill_status = fake_status,
};

struct fixture {
	struct control control;
	char path[64];
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error error = { 0 };

	memset(&fake, 0, sizeof(fake));
	snprintf(fixture->path, sizeof(fixture->path), "/tmp/vswitch-test-config-%d.db",
		 (int)getpid());
	unlink(fixture->path);
	if (store_open(fixture->path, &fixture->control.store, &error) ||
	    store_load(fixture->control.store, &fixture->control.config, &error)) {
		print_error("%s\n", error.message);
		return -1;
	}
	fixture->control.apply = &fake_ops;
	flow_keep_start(fixture->control.store);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	char path[80];

	flow_keep_stop();
	config_free(fixture->control.config);
	store_close(fixture->control.store);
	unlink(fixture->path);
	snprintf(path, sizeof(path), "%s-wal", fixture->path);
	unlink(path);
	free(fixture);
	return 0;
}

// Run a command line; several commands are joined by "--". The reply is the caller's.
static json_t *run(struct fixture *fixture, const char *line)
{
	json_t *list = json_array();
	char copy[1024];
	char *words[64];
	char *save = NULL;
	int n = 0;

	strncpy(copy, line, sizeof(copy) - 1);
	copy[sizeof(copy) - 1] = '\0';
	for (char *word = strtok_r(copy, " ", &save);; word = strtok_r(NULL, " ", &save)) {
		if (word && strcmp(word, "--")) {
			words[n++] = word;
			continue;
		}
		struct error error = { 0 };
		json_t *command = NULL;

		if (command_parse(n, words, &command, &error))
			fail_msg("%s: %s", line, error.message);
		json_array_append_new(list, command);
		n = 0;
		if (!word)
			break;
	}
	json_t *request = json_pack("{s:i, s:o}", "id", 1, "commands", list);
	json_t *reply = transaction_run(&fixture->control, request);

	json_decref(request);
	return reply;
}

static void succeed(struct fixture *fixture, const char *line)
{
	json_t *reply = run(fixture, line);

	if (!json_object_get(reply, "results"))
		fail_msg("%s: %s", line,
			 json_string_value(
				 json_object_get(json_object_get(reply, "error"), "message")));
	json_decref(reply);
}

// It fails, says this, and changes nothing.
static void refuse(struct fixture *fixture, const char *line, const char *expected)
{
	const struct config *before = fixture->control.config;
	json_t *reply = run(fixture, line);
	const char *message =
		json_string_value(json_object_get(json_object_get(reply, "error"), "message"));

	if (!message || !strstr(message, expected))
		fail_msg("%s: '%s' lacks '%s'", line, message ? message : "(success)", expected);
	assert_ptr_equal(fixture->control.config, before);
	json_decref(reply);
}

// The (last) answer, as JSON.
static void answer(struct fixture *fixture, const char *line, const char *expected)
{
	json_t *reply = run(fixture, line);
	json_t *results = json_object_get(reply, "results");
	char *text = json_dumps(json_array_get(results, json_array_size(results) - 1),
				JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);

	if (!text || strcmp(text, expected))
		fail_msg("%s: %s, not %s", line, text ? text : "(failed)", expected);
	free(text);
	json_decref(reply);
}

static void test_bridges_and_ports(void **state)
{
	struct fixture *f = *state;

	succeed(f, "add-br br1 -- add-br br0");
	answer(f, "list-br", "[\"br0\",\"br1\"]");
	succeed(f, "--may-exist add-br br0");
	refuse(f, "add-br br0", "already exists");
	refuse(f, "add-br bad/name", "not '/'");
	succeed(f, "add-port br0 p1 type=tap tag=10 -- add-port br0 p2 type=vhost-user path=/x,y");
	answer(f, "list-ports br0", "[\"p1\",\"p2\"]");
	answer(f, "get Port p1 tag",
	       "{\"table\":\"Port\",\"values\":[{\"column\":\"tag\",\"value\":10}]}");
	answer(f, "get Interface p2 options:path ofport",
	       "{\"table\":\"Interface\",\"values\":[{\"column\":\"options\",\"key\":\"path\","
	       "\"value\":\"/x,y\"},{\"column\":\"ofport\",\"value\":7}]}");
	answer(f, "port-to-br p1", "\"br0\"");
	answer(f, "iface-to-br p2", "\"br0\"");
	refuse(f, "add-port br1 p1", "already exists on bridge 'br0'");
	refuse(f, "--may-exist add-port br1 p1", "already exists on bridge 'br0'");
	succeed(f, "--may-exist add-port br0 p1");
	refuse(f, "add-port br9 p3", "bridges: br1, br0");
	refuse(f, "add-port br0 p3 tag=4096", "out of range");
	refuse(f, "add-port br0 p3 nonsense", "KEY=VALUE");
	refuse(f, "del-port br1 p1", "is on bridge 'br0'");
	refuse(f, "del-port br0", "bridge's own");
	succeed(f, "--if-exists del-port p9");
	refuse(f, "del-port p9", "'p9' does not exist");
	succeed(f, "del-port p1");
	answer(f, "list-ports br0", "[\"p2\"]");
	succeed(f, "del-br br0 -- add-br br0 -- add-port br0 p2");
	answer(f, "br-exists br0", "true");
	succeed(f, "del-br br0");
	answer(f, "br-exists br0", "false");
	answer(f, "--columns=name find Interface",
	       "{\"columns\":[\"name\"],\"rows\":[{\"name\":\"br1\"}],\"table\":\"Interface\"}");
}

static void test_records(void **state)
{
	struct fixture *f = *state;

	succeed(f, "add-br br0 -- add-port br0 p1 -- set Port p1 trunks=1,2 -- "
		   "set Interface p1 type=tap external-ids:a=1 external_ids:b=2");
	answer(f, "--columns=name find Port trunks{>=}1",
	       "{\"columns\":[\"name\"],\"rows\":[{\"name\":\"p1\"}],\"table\":\"Port\"}");
	answer(f, "--columns=name find Port tag=5",
	       "{\"columns\":[\"name\"],\"rows\":[],\"table\":\"Port\"}");
	answer(f, "--columns=name find Interface external_ids:a!=1",
	       "{\"columns\":[\"name\"],\"rows\":[],\"table\":\"Interface\"}");
	answer(f, "--columns=name find Interface external_ids:a{!=}1",
	       "{\"columns\":[\"name\"],\"rows\":[{\"name\":\"br0\"}],\"table\":\"Interface\"}");
	answer(f, "--columns=name find Interface type=tap ofport>6",
	       "{\"columns\":[\"name\"],\"rows\":[{\"name\":\"p1\"}],\"table\":\"Interface\"}");
	succeed(f, "add Port p1 trunks 3 -- remove Port p1 trunks 1");
	answer(f, "get Port p1 trunks",
	       "{\"table\":\"Port\",\"values\":[{\"column\":\"trunks\",\"value\":[2,3]}]}");
	succeed(f, "add Interface p1 external_ids a=9 c=3 -- remove Interface p1 external_ids b");
	answer(f, "get Interface p1 external_ids",
	       "{\"table\":\"Interface\",\"values\":[{\"column\":\"external_ids\",\"value\":"
	       "{\"a\":\"1\",\"c\":\"3\"}}]}");
	succeed(f, "clear Port p1 trunks");
	refuse(f, "clear Port p1 name", "cannot be changed");
	refuse(f, "set Port p1 name=x", "cannot be changed");
	refuse(f, "set Interface p1 statistics:rx_packets=1", "read-only");
	refuse(f, "get Interface p1 external_ids:zz", "no key 'zz'");
	refuse(f, "get Port p7 tag", "no row 'p7'");
	refuse(f, "get Port p1 tag:x", "not a map");
	refuse(f, "find Port tag", "not COLUMN");
	refuse(f, "find Port tag~5", "does not exist");
	refuse(f, "find Port tag>x", "takes an integer");
	refuse(f, "find Interface options<a=1", "is a map");
	refuse(f, "destroy Bridge br0", "does not exist");
	refuse(f, "destroy Open_vSwitch .", "cannot be destroyed");
	refuse(f, "set Bridge br0 ports=[]", "own name");
	// Bonds are not there yet: said, not ignored.
	refuse(f, "--id=@i create Interface name=p9 -- add Port p1 interfaces @i", "bonds");
	// A name may be used before the row is made.
	succeed(f, "set Port p1 qos=@q -- --id=@q create QoS type=linux-htb queues=0=@u -- "
		   "--id=@u create Queue dscp=3");
	answer(f, "--columns=dscp list Queue",
	       "{\"columns\":[\"dscp\"],\"rows\":[{\"dscp\":3}],\"table\":\"Queue\"}");
	refuse(f, "set Port p1 qos=@nobody", "no create");
	// Rows that nothing refers to do not stay, nor do references to what is gone.
	succeed(f, "create Mirror name=m1");
	answer(f, "--columns=name list Mirror",
	       "{\"columns\":[\"name\"],\"rows\":[],\"table\":\"Mirror\"}");
	succeed(f, "--id=@p get Port p1 -- --id=@m create Mirror name=m2 output_port=@p -- "
		   "set Bridge br0 mirrors=@m -- del-port p1");
	answer(f, "--columns=output_port list Mirror",
	       "{\"columns\":[\"output_port\"],\"rows\":[{\"output_port\":null}],\"table\":"
	       "\"Mirror\"}");
}

// All commands of a line or none; the switch and the store are told to go back.
static void test_rollback(void **state)
{
	struct fixture *f = *state;

	refuse(f, "add-br br0 -- add-port br0 p1 -- set Port p1 tag=9999", "out of range");
	assert_int_equal(fake.n_prepare, 0);
	answer(f, "list-br", "[]");
	fake.fail = true;
	refuse(f, "add-br br0 -- add-port br0 p1", "the port cannot be opened");
	assert_int_equal(fake.n_restore, 1);
	assert_int_equal(fake.n_finish, 0);
	answer(f, "list-br", "[]");
	fake.fail = false;
	succeed(f, "add-br br0");
	assert_int_equal(fake.n_finish, 1);
	// The store has what was accepted and nothing else.
	struct config *kept;

	assert_int_equal(store_load(f->control.store, &kept, NULL), 0);
	assert_int_equal(json_object_size(config_rows(kept, TABLE_Bridge)), 1);
	assert_int_equal(json_object_size(config_rows(kept, TABLE_Port)), 1);
	config_free(kept);
	// Reading asks nobody.
	unsigned int before = fake.n_prepare;

	answer(f, "list-br", "[\"br0\"]");
	assert_int_equal(fake.n_prepare, before);
}

// Whatever comes over the socket gets an answer, and garbage is hung up on.
static void test_lines(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *line;
		const char *part;
		bool close;
	} cases[] = {
		{ "{\"id\":3,\"commands\":[{\"name\":\"list-br\"}]}", "\"id\":3,\"results\":[[]]",
		  false },
		{ "{\"id\":3}", "\"id\":3,\"error\"", false },
		{ "[]", "a request is an object", false },
		{ "7", "is not JSON", true },
		{ "", "is not JSON", true },
		{ "GET / HTTP/1.0", "is not JSON", true },
		{ "{\"a\":1,\"a\":2}", "is not JSON", true },
		{ "\xff\xfe", "is not JSON", true },
		{ "{\"commands\":[]}", "is empty", false },
		{ "{\"commands\":[{\"name\":\"help\"}]}", "vsctl does", false },
		{ "{\"commands\":[7]}", "needs a", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool hang_up;
		char *reply =
			server_answer(&f->control, cases[i].line, strlen(cases[i].line), &hang_up);

		if (!strstr(reply, cases[i].part))
			fail_msg("%s: %s", cases[i].line, reply);
		assert_int_equal(hang_up, cases[i].close);
		free(reply);
	}
	char deep[400];
	bool hang_up;

	memset(deep, '[', sizeof(deep));
	char *reply = server_answer(&f->control, deep, sizeof(deep), &hang_up);

	assert_non_null(strstr(reply, "nested deeper"));
	free(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bridges_and_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rollback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
