// vswitchd: the main thread. Start in order, run the event loop, stop in the reverse order.
#include "common/error.h"
#include "common/log.h"
#include "common/text.h"
#include "ctl/apply.h"
#include "ctl/apply_workers.h"
#include "ctl/flow_keep.h"
#include "ctl/group_keep.h"
#include "ctl/meter_keep.h"
#include "ctl/options.h"
#include "ctl/process.h"
#include "ctl/server.h"
#include "flowtable/table_cost.h"
#include "ofproto/bridge.h"
#include "ofproto/learn.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_MS 10
#define LEARN_MS 1
#define SLOW_TICK_S 2
#define MAX_EVENTS 8

struct daemon {
	struct options options;
	struct event_base *base;
	struct event *events[MAX_EVENTS];
	unsigned int n_events;
	struct event *learn_timer; // one of events: while flows are being learned
	struct control control;
	struct server *server;
	char pidfile[PATH_MAX];
	char db[PATH_MAX];
	char socket[PATH_MAX];
	bool has_pidfile;
	bool has_datapath;
	bool has_workers;
	bool has_bridges;
};

static void handle_stop(evutil_socket_t signal_number, short what, void *context)
{
	struct daemon *daemon = context;

	(void)what;
	log_info("stopping on signal %d", (int)signal_number);
	event_base_loopexit(daemon->base, NULL);
}

static void handle_hangup(evutil_socket_t signal_number, short what, void *context)
{
	(void)signal_number;
	(void)what;
	(void)context;
	log_reopen();
	log_info("log file opened again");
}

static void handle_tick(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context;
	bridges_tick();
}

// Workers ask for flows: look every millisecond until no more are asked for.
static void handle_learn(evutil_socket_t fd, short what, void *context)
{
	static const struct timeval soon = { 0, LEARN_MS * 1000 };
	struct daemon *daemon = context;

	(void)fd;
	(void)what;
	if (bridges_learn())
		event_add(daemon->learn_timer, &soon);
}

static void handle_slow_tick(evutil_socket_t fd, short what, void *context)
{
	struct daemon *daemon = context;

	(void)fd;
	(void)what;
	flow_keep_flush();
	apply_retry(daemon->control.config);
}

static int add_event(struct daemon *daemon, evutil_socket_t fd, short what,
		     event_callback_fn handle, const struct timeval *every, struct error *error)
{
	struct event *event = event_new(daemon->base, fd, what, handle, daemon);

	if (event && daemon->n_events < MAX_EVENTS)
		daemon->events[daemon->n_events++] = event;
	if (event && !event_add(event, every))
		return 0;
	return error_set(error, ENOMEM, "cannot set up the event loop");
}

static int start_events(struct daemon *daemon, struct error *error)
{
	const struct timeval tick = { 0, TICK_MS * 1000 };
	const struct timeval slow = { SLOW_TICK_S, 0 };
	int result = add_event(daemon, SIGTERM, EV_SIGNAL | EV_PERSIST, handle_stop, NULL, error);

	if (!result)
		result =
			add_event(daemon, SIGINT, EV_SIGNAL | EV_PERSIST, handle_stop, NULL, error);
	if (!result)
		result = add_event(daemon, SIGHUP, EV_SIGNAL | EV_PERSIST, handle_hangup, NULL,
				   error);
	if (!result)
		result = add_event(daemon, -1, EV_PERSIST, handle_tick, &tick, error);
	if (!result)
		result = add_event(daemon, -1, EV_PERSIST, handle_slow_tick, &slow, error);
	if (!result)
		result = add_event(daemon, -1, 0, handle_learn, &tick, error);
	daemon->learn_timer = result ? NULL : daemon->events[daemon->n_events - 1];
	if (!result)
		result = add_event(daemon, bridges_learn_fd(), EV_READ | EV_PERSIST, handle_learn,
				   NULL, error);
	return result;
}

// Absolute, because the daemon leaves the directory it was started in.
static int absolute(const char *path, const char *directory, char out[PATH_MAX],
		    struct error *error)
{
	char cwd[PATH_MAX] = "";

	if (!directory && *path != '/' && !getcwd(cwd, sizeof(cwd)))
		return error_set(error, errno, "the current directory is gone: %s",
				 strerror(errno));
	if (snprintf(out, PATH_MAX, "%s%s%s", directory ? directory : cwd,
		     directory || *cwd ? "/" : "", path) >= PATH_MAX)
		return error_set(error, ENAMETOOLONG, "'%.64s...' is too long", path);
	return 0;
}

static int name_files(struct daemon *daemon, struct error *error)
{
	static char run_dir[PATH_MAX];
	struct options *options = &daemon->options;
	int result = absolute(options->run_dir, NULL, run_dir, error);

	options->run_dir = run_dir;
	if (!result)
		result = absolute(options->db, NULL, daemon->db, error);
	if (!result)
		result = options->pidfile
				 ? absolute(options->pidfile, NULL, daemon->pidfile, error)
				 : absolute("vswitchd.pid", run_dir, daemon->pidfile, error);
	if (!result)
		result = absolute("vswitchd.sock", run_dir, daemon->socket, error);
	return result;
}

// Everything that can be wrong with files, before the datapath is started.
static int start_files(struct daemon *daemon, struct error *error)
{
	const struct options *options = &daemon->options;
	int result = process_lock(options->run_dir, error);

	if (!result)
		result = log_open(options->log_file, error);
	if (!result)
		result = process_write_pidfile(daemon->pidfile, error);
	if (result)
		return result;
	daemon->has_pidfile = true;
	result = store_open(daemon->db, &daemon->control.store, error);
	if (!result)
		result = store_load(daemon->control.store, &daemon->control.config, error);
	return result;
}

static int start_switch(struct daemon *daemon, struct error *error)
{
	const struct options *options = &daemon->options;
	int result = datapath_init(&options->datapath, error);

	if (result)
		return result;
	daemon->has_datapath = true;
	vport_set_run_dir(options->run_dir);
	vport_set_n_workers(options->n_cores);
	table_cost_calibrate();
	result = workers_start(options->cores, options->n_cores, error);
	if (result)
		return result;
	daemon->has_workers = true;
	apply_workers_default(options->cores, options->n_cores);
	result = bridges_init();
	if (result)
		return error_set(error, -result, "out of memory");
	daemon->has_bridges = true;
	flow_keep_start(daemon->control.store);
	group_keep_start(daemon->control.store);
	meter_keep_start(daemon->control.store);
	daemon->control.apply = &apply_switch;
	return apply_start(daemon->control.config, daemon->control.store, error);
}

// Timers are exact to a microsecond: the usual ones of 4 ms would delay what is to be learned.
static struct event_base *create_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config && !event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER))
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

static int start(struct daemon *daemon, struct error *error)
{
	int result = name_files(daemon, error);

	if (!result)
		result = start_files(daemon, error);
	if (!result)
		result = start_switch(daemon, error);
	if (result)
		return result;
	daemon->base = create_base();
	if (!daemon->base)
		return error_set(error, ENOMEM, "cannot set up the event loop");
	result = start_events(daemon, error);
	if (!result)
		result = server_start(daemon->base, daemon->socket, &daemon->control,
				      &daemon->server, error);
	return result;
}

static void stop(struct daemon *daemon)
{
	server_stop(daemon->server);
	if (daemon->has_bridges) {
		flow_keep_stop();
		group_keep_stop();
		meter_keep_stop();
		apply_stop();
	}
	if (daemon->has_workers)
		workers_stop();
	if (daemon->has_datapath)
		datapath_exit();
	config_free(daemon->control.config);
	store_close(daemon->control.store);
	for (unsigned int i = 0; i < daemon->n_events; i++)
		event_free(daemon->events[i]);
	if (daemon->base)
		event_base_free(daemon->base);
	if (daemon->has_pidfile)
		unlink(daemon->pidfile);
}

static int run(struct daemon *daemon)
{
	struct error error = { 0 };

	if (start(daemon, &error)) {
		log_error("%s", error.message);
		if (daemon->options.log_file)
			fprintf(stderr, "vswitchd: %s\n", error.message);
		stop(daemon);
		return 1;
	}
	log_info("vswitchd " VERSION " is ready: %u workers, %s, database %s",
		 daemon->options.n_cores, datapath_memory_text(), daemon->db);
	process_ready();
	event_base_dispatch(daemon->base);
	stop(daemon);
	log_info("stopped");
	return 0;
}

int main(int argc, char **argv)
{
	static struct daemon daemon;
	struct error error = { 0 };
	int result = options_parse(argc, argv, &daemon.options, &error);

	if (result > 0)
		return 0;
	if (result < 0) {
		fprintf(stderr, "vswitchd: %s\n", error.message);
		return 2;
	}
	umask(0027);
	signal(SIGPIPE, SIG_IGN);
	process_raise_limits();
	log_set_level((enum log_level)daemon.options.log_level);
	if (daemon.options.detach && process_detach(&error)) {
		fprintf(stderr, "vswitchd: %s\n", error.message);
		return 1;
	}
	return run(&daemon);
}
