// vsctl's side of the control socket. One thread.
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <jansson.h>

struct error;

// Connect to RUNDIR/vswitchd.sock. timeout_s > 0: keep trying that long for a daemon that is not
// there yet. Returns a descriptor or -errno.
int client_connect(const char *run_dir, unsigned int timeout_s, struct error *error);

// Send one request and read its reply. timeout_s 0: wait for ever.
int client_request(int fd, const json_t *request, unsigned int timeout_s, json_t **reply,
		   struct error *error);

// A whole file ("-": standard input) as a heap string.
int client_read_file(const char *name, char **text, struct error *error);

#endif
