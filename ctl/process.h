// What makes a process a daemon: its directory and lock, pid file, and the way into the
// background. Main thread, at start and end.
#ifndef CTL_PROCESS_H
#define CTL_PROCESS_H

struct error;

// Make the run directory (0750) if it is not there, and take its lock. A second daemon on the
// same directory is told so. The lock ends with the process, however that ends.
int process_lock(const char *run_dir, struct error *error);

// Go into the background. Returns in the child alone; the parent waits for process_ready() and
// exits 0, or 1 if the child ends before. Call before any thread is started.
int process_detach(struct error *error);
// Let the parent of process_detach() go.
void process_ready(void);

// As many open files as the system allows: each queue of each port has some.
void process_raise_limits(void);

int process_write_pidfile(const char *path, struct error *error);

#endif
