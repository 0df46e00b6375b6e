// vsctl's side of the control socket. One thread.
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <jansson.h>

struct error;
struct text;

// Connect to RUNDIR/vswitchd.sock. timeout_s > 0: keep trying that long for a daemon that is not
// there yet. Returns a descriptor or -errno.
int client_connect(const char *run_dir, unsigned int timeout_s, struct error *error);

// Send one request, with what is attached to it, and read its reply, with what is attached to that
// (freed by the caller). timeout_s 0: wait for ever.
int client_request(int fd, const json_t *request, const struct text *attached,
		   unsigned int timeout_s, json_t **reply, struct text *output,
		   struct error *error);

// A whole file ("-": standard input) as a heap string.
int client_read_file(const char *name, char **text, struct error *error);

// The packet or the capture that a trace command names: read and attached. The name of a file with
// digits goes into `files`. Returns 0 or -errno.
int client_attach_packet(json_t *request, struct text *attached, json_t *files,
			 struct error *error);

// The bytes of a file of at most `max`, which may be binary.
int client_read_bytes(const char *name, size_t max, struct text *bytes, struct error *error);

#endif
