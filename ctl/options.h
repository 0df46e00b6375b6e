// Command line of vswitchd. Main thread, at start.
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include "datapath/datapath.h"

struct options {
	const char *run_dir;
	const char *db;
	const char *pidfile; // NULL: RUNDIR/vswitchd.pid
	const char *log_file;
	int log_level;
	bool detach;
	unsigned int cores[WORKERS_MAX];
	unsigned int n_cores;
	struct datapath_options datapath;
};

// Returns 0 to go on, or 1 when the answer was printed (--help, --version), or -errno (usage).
int options_parse(int argc, char **argv, struct options *options, struct error *error);

#endif
