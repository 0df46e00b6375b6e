#include "ctl/options.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "common/text.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_RUN_DIR "/run/vswitch"
#define DEFAULT_DB "/var/lib/vswitch/vswitch.db"
#define MAX_IDLE_SLEEP_US 1000000

static const char usage[] =
	"Usage: vswitchd [OPTION]...\n"
	"A virtual switch: programmable with OpenFlow rules, controlled with vsctl(8).\n"
	"\n"
	"  --run-dir DIR         sockets and pid file (default: $VSWITCH_RUN_DIR "
	"or " DEFAULT_RUN_DIR ")\n"
	"  --db FILE             kept configuration (default: " DEFAULT_DB ")\n"
	"  --workers CORES       cores that forward packets, as 1 or 0,2-3\n"
	"                        (default: the last core, or those of pmd-cpu-mask)\n"
	"  --memory MIB          memory for packets (default: 48)\n"
	"  --hugepages HOW       auto (default), yes or no\n"
	"  --idle-sleep US       sleep of an idle worker between looks at queues that can only be\n"
	"                        polled, in microseconds; or auto (the default) or never\n"
	"                        (default: 60)\n"
	"  --cache MODE          auto (default): workers keep what tables decide where it pays;\n"
	"                        always or never (for tests)\n"
	"  --detach              run in the background; return when ready\n"
	"  --pidfile FILE        where the process id is written (default: RUN_DIR/vswitchd.pid)\n"
	"  --log-file FILE       where the log goes (default: standard error)\n"
	"  --log-level LEVEL     error, warning, info (default) or debug\n"
	"  --cpu-level LEVEL     x86-64-v2, x86-64-v3 or x86-64-v4 (default: the best possible)\n"
	"  --dpdk-args ARGS      more arguments for DPDK, in one word\n"
	"  --help, --version     print this, or the version\n"
	"\n"
	"Signals: TERM and INT stop it cleanly, HUP opens the log file again.\n";

// "3" or "2-5". Appends to the list.
static int add_cores(const char *part, struct options *options, struct error *error)
{
	const char *dash = strchr(part, '-');
	size_t length = dash ? (size_t)(dash - part) : strlen(part);
	uint64_t first, last;

	if (parse_u64_n(part, length, &first) || (dash && parse_u64(dash + 1, &last)))
		return error_set(error, EINVAL,
				 "--workers takes core numbers such as 1 or 0,2-3, not '%.64s'",
				 part);
	if (!dash)
		last = first;
	if (first > last || last >= CPU_SETSIZE)
		return error_set(error, ERANGE,
				 "--workers: '%.64s' is no range of cores from 0 to %d", part,
				 CPU_SETSIZE - 1);
	for (uint64_t core = first; core <= last; core++) {
		for (unsigned int i = 0; i < options->n_cores; i++)
			if (options->cores[i] == core)
				return error_set(error, EINVAL, "--workers names core %u twice",
						 (unsigned int)core);
		if (options->n_cores == WORKERS_MAX)
			return error_set(error, E2BIG, "--workers names more than %d cores",
					 WORKERS_MAX);
		options->cores[options->n_cores++] = (unsigned int)core;
	}
	return 0;
}

static int parse_cores(const char *text, struct options *options, struct error *error)
{
	char *copy = strdup(text);
	char *save = NULL;
	int result = 0;

	if (!copy)
		return error_set(error, ENOMEM, "out of memory");
	options->n_cores = 0;
	for (char *part = strtok_r(copy, ",", &save); part && !result;
	     part = strtok_r(NULL, ",", &save))
		result = add_cores(part, options, error);
	free(copy);
	if (!result && !options->n_cores)
		result = error_set(error, EINVAL, "--workers needs at least one core");
	return result;
}

// The last core that we may use: the first ones serve interrupts and the main thread.
static void choose_core(struct options *options)
{
	cpu_set_t allowed;
	unsigned int last = 0;

	CPU_ZERO(&allowed);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
		for (unsigned int core = 0; core < CPU_SETSIZE; core++)
			if (CPU_ISSET(core, &allowed))
				last = core;
	options->cores[0] = last;
	options->n_cores = 1;
}

static int parse_hugepages(const char *text, enum hugepages *hugepages, struct error *error)
{
	if (!strcmp(text, "auto"))
		*hugepages = HUGEPAGES_AUTO;
	else if (!strcmp(text, "yes"))
		*hugepages = HUGEPAGES_YES;
	else if (!strcmp(text, "no"))
		*hugepages = HUGEPAGES_NO;
	else
		return error_set(error, EINVAL, "--hugepages takes auto, yes or no, not '%.64s'",
				 text);
	return 0;
}

static int parse_number(const char *option, const char *text, uint64_t low, uint64_t high,
			uint64_t *value, struct error *error)
{
	if (!parse_u64(text, value) && *value >= low && *value <= high)
		return 0;
	return error_set(error, EINVAL, "%s takes a number from %llu to %llu, not '%.64s'", option,
			 (unsigned long long)low, (unsigned long long)high, text);
}

static int parse_idle_sleep(const char *text, int64_t *ns, struct error *error)
{
	uint64_t us;
	int result;

	if (!strcmp(text, "never") || !strcmp(text, "auto")) {
		*ns = *text == 'n' ? IDLE_SLEEP_NEVER : IDLE_SLEEP_AUTO;
		return 0;
	}
	result = parse_number("--idle-sleep", text, 0, MAX_IDLE_SLEEP_US, &us, error);
	if (!result)
		*ns = us ? (int64_t)(us * NS_PER_US) : IDLE_SLEEP_NEVER;
	return result;
}

static int parse_cache(const char *text, enum cache_mode *mode, struct error *error)
{
	static const char *const names[] = {
		[CACHE_ADAPTIVE] = "auto", [CACHE_ALWAYS] = "always", [CACHE_NEVER] = "never"
	};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(text, names[i])) {
			*mode = (enum cache_mode)i;
			return 0;
		}
	return error_set(error, EINVAL, "--cache takes auto, always or never, not '%.64s'", text);
}

enum option_id {
	OPTION_RUN_DIR = 256,
	OPTION_DB,
	OPTION_WORKERS,
	OPTION_MEMORY,
	OPTION_HUGEPAGES,
	OPTION_IDLE_SLEEP,
	OPTION_CACHE,
	OPTION_NO_SLEEP,
	OPTION_DETACH,
	OPTION_PIDFILE,
	OPTION_LOG_FILE,
	OPTION_LOG_LEVEL,
	OPTION_CPU_LEVEL,
	OPTION_DPDK_ARGS,
	OPTION_HELP,
	OPTION_VERSION,
};

static int set_option(int id, const char *value, struct options *options, struct error *error)
{
	uint64_t number;
	int result = 0;

	switch (id) {
	case OPTION_RUN_DIR:
		options->run_dir = value;
		break;
	case OPTION_DB:
		options->db = value;
		break;
	case OPTION_WORKERS:
		return parse_cores(value, options, error);
	case OPTION_MEMORY:
		result = parse_number("--memory", value, 1, 1 << 20, &number, error);
		if (!result)
			options->datapath.memory_mib = (unsigned int)number;
		return result;
	case OPTION_HUGEPAGES:
		return parse_hugepages(value, &options->datapath.hugepages, error);
	case OPTION_IDLE_SLEEP:
		return parse_idle_sleep(value, &options->datapath.idle_sleep_ns, error);
	case OPTION_CACHE:
		return parse_cache(value, &options->datapath.cache, error);
	case OPTION_NO_SLEEP:
		options->datapath.idle_sleep_ns = IDLE_SLEEP_NEVER;
		break;
	case OPTION_DETACH:
		options->detach = true;
		break;
	case OPTION_PIDFILE:
		options->pidfile = value;
		break;
	case OPTION_LOG_FILE:
		options->log_file = value;
		break;
	case OPTION_LOG_LEVEL:
		options->log_level = log_level_parse(value);
		if (options->log_level < 0)
			return error_set(error, EINVAL,
					 "--log-level takes error, warning, info or debug, not "
					 "'%.64s'",
					 value);
		break;
	case OPTION_CPU_LEVEL:
		options->datapath.cpu_level = value;
		break;
	case OPTION_DPDK_ARGS:
		options->datapath.dpdk_args = value;
		break;
	default:
		return error_set(error, EINVAL, "see 'vswitchd --help'");
	}
	return 0;
}

int options_parse(int argc, char **argv, struct options *options, struct error *error)
{
	static const struct option long_options[] = {
		{ "run-dir", required_argument, NULL, OPTION_RUN_DIR },
		{ "db", required_argument, NULL, OPTION_DB },
		{ "workers", required_argument, NULL, OPTION_WORKERS },
		{ "memory", required_argument, NULL, OPTION_MEMORY },
		{ "hugepages", required_argument, NULL, OPTION_HUGEPAGES },
		{ "idle-sleep", required_argument, NULL, OPTION_IDLE_SLEEP },
		{ "cache", required_argument, NULL, OPTION_CACHE },
		{ "no-sleep", no_argument, NULL, OPTION_NO_SLEEP },
		{ "detach", no_argument, NULL, OPTION_DETACH },
		{ "pidfile", required_argument, NULL, OPTION_PIDFILE },
		{ "log-file", required_argument, NULL, OPTION_LOG_FILE },
		{ "log-level", required_argument, NULL, OPTION_LOG_LEVEL },
		{ "cpu-level", required_argument, NULL, OPTION_CPU_LEVEL },
		{ "dpdk-args", required_argument, NULL, OPTION_DPDK_ARGS },
		{ "help", no_argument, NULL, OPTION_HELP },
		{ "version", no_argument, NULL, OPTION_VERSION },
		{ NULL, 0, NULL, 0 },
	};
	int id;

	memset(options, 0, sizeof(*options));
	options->run_dir = getenv("VSWITCH_RUN_DIR");
	if (!options->run_dir || !*options->run_dir)
		options->run_dir = DEFAULT_RUN_DIR;
	options->db = DEFAULT_DB;
	options->log_level = LOG_LEVEL_INFO;
	options->datapath.idle_sleep_ns = IDLE_SLEEP_AUTO;
	while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		int result;

		if (id == OPTION_HELP || id == OPTION_VERSION) {
			printf("%s", id == OPTION_HELP ? usage : "vswitchd " VERSION "\n");
			return 1;
		}
		result = set_option(id, optarg, options, error);
		if (result)
			return result;
	}
	if (optind < argc)
		return error_set(error, EINVAL,
				 "vswitchd takes options only, not '%.64s'; see 'vswitchd --help'",
				 argv[optind]);
	if (!options->n_cores)
		choose_core(options);
	return 0;
}
