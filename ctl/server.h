// The control socket: JSON requests, one per line, from vsctl and other programs.
//
// Each connection is a buffer on the main loop, so a slow or silent peer delays nobody. A request
// is at most 8 MiB and 64 levels deep; what is no request gets an error reply and the connection
// is closed. A connection's next request waits until its last reply is sent.
//
// Long texts are not JSON: a request that begins with {"attached":N, is followed, after its
// newline, by N bytes (at most 256 MiB): texts, each ended by a 0 byte. An argument
// {"attached": OFFSET} is the text that begins there. A request with "text": true may get answers
// {"text": LENGTH}; the reply says "attached" too, and these texts follow it in order. Main thread.
#ifndef CTL_SERVER_H
#define CTL_SERVER_H

#include "ctl/transaction.h"

struct event_base;
struct server;

// Listen on `path` (mode 0660). A socket that nobody serves any more is replaced: the caller
// holds the lock of the run directory.
int server_start(struct event_base *base, const char *path, struct control *control,
		 struct server **server, struct error *error);
// Close all connections and remove the socket.
void server_stop(struct server *server);

// For tests: run one line, as it came, and make the reply line. The caller frees it. *close: the
// peer is to be hung up on.
char *server_answer(struct control *control, const char *line, size_t size, bool *close);

#endif
