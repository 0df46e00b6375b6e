#include "ctl/server.h"

#include "common/error.h"
#include "common/log.h"
#include "common/text.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_REQUEST (8u << 20) // of JSON, which takes 20 ns a byte
#define MAX_ATTACHED (256u << 20)
#define MAX_PENDING (512u << 20) // requests of all connections that are not complete yet
#define MAX_DEPTH 64
#define MAX_CONNECTIONS 64
#define MAX_READ (1u << 20)
#define WRITE_TIMEOUT_S 30
#define CLOSE_TIMEOUT_S 2

struct connection {
	struct server *server;
	struct connection *next;
	struct bufferevent *buffer;
	struct text input; // what was read and not answered yet
	size_t scanned; // bytes of it without a newline
	size_t n_attached; // bytes that follow the newline
	bool closing; // after the reply is sent
	bool answering; // a reply is being sent
};

struct server {
	struct event_base *base;
	struct evconnlistener *listener;
	struct control *control;
	struct connection *connections;
	unsigned int n_connections;
	char *path;
};

static void connection_close(struct connection *connection)
{
	struct server *server = connection->server;
	struct connection **link = &server->connections;

	while (*link != connection)
		link = &(*link)->next;
	*link = connection->next;
	server->n_connections--;
	bufferevent_free(connection->buffer);
	text_free(&connection->input);
	free(connection);
	if (server->control->stop)
		event_base_loopexit(server->base, NULL);
}

// Deepest nesting of brackets outside of strings; jansson would follow it with its stack.
static bool is_too_deep(const char *text, size_t size)
{
	unsigned int depth = 0;
	bool string = false;

	for (size_t i = 0; i < size; i++) {
		if (string) {
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				string = false;
		} else if (text[i] == '"') {
			string = true;
		} else if (text[i] == '[' || text[i] == '{') {
			if (++depth > MAX_DEPTH)
				return true;
		} else if ((text[i] == ']' || text[i] == '}') && depth) {
			depth--;
		}
	}
	return false;
}

static char *dump_error(const struct error *error)
{
	json_t *reply = transaction_error_reply(NULL, error, -1);
	char *text = json_dumps(reply, JSON_COMPACT | JSON_REAL_PRECISION(12));

	json_decref(reply);
	return text;
}

char *server_answer(struct control *control, const char *line, size_t size, bool *close)
{
	struct error error = { 0 };
	json_error_t json_error;
	json_t *request, *reply;
	char *text;

	*close = true;
	if (is_too_deep(line, size)) {
		error_set(&error, E2BIG, "the request is nested deeper than %d levels", MAX_DEPTH);
		return dump_error(&error);
	}
	request = json_loadb(line, size, JSON_REJECT_DUPLICATES, &json_error);
	if (!request) {
		error_set(&error, EPROTO, "the request is not JSON: %s (byte %d)", json_error.text,
			  json_error.position);
		return dump_error(&error);
	}
	*close = false;
	reply = transaction_run(control, request);
	json_decref(request);
	text = json_dumps(reply, JSON_COMPACT | JSON_REAL_PRECISION(12));
	json_decref(reply);
	return text;
}

static void free_reply(const void *data, size_t size, void *context)
{
	(void)size;
	(void)context;
	free((void *)data);
}

static void send_reply(struct connection *connection, char *text)
{
	struct evbuffer *output = bufferevent_get_output(connection->buffer);
	struct text *attached = &connection->server->control->output;
	size_t n;

	if (!text) {
		text_free(attached);
		connection_close(connection);
		return;
	}
	// The reply is handed over, not copied: it may be long.
	if (evbuffer_add_reference(output, text, strlen(text), free_reply, NULL))
		free(text);
	evbuffer_add(output, "\n", 1);
	if (!attached->length)
		return;
	n = attached->length;
	text = text_steal(attached);
	if (!text || evbuffer_add_reference(output, text, n, free_reply, NULL)) {
		free(text);
		connection_close(connection);
	}
}

static void refuse(struct connection *connection, const struct error *error)
{
	connection->closing = true;
	send_reply(connection, dump_error(error));
}

// How many bytes the request says that follow it: {"attached": N, ...
static size_t attached_bytes(const char *line, size_t size)
{
	static const char name[] = "{\"attached\":";
	size_t n = 0, at = sizeof(name) - 1;

	if (size < at || memcmp(line, name, at))
		return 0;
	while (at < size && line[at] == ' ')
		at++;
	for (; at < size && line[at] >= '0' && line[at] <= '9' && n <= MAX_ATTACHED; at++)
		n = n * 10 + (size_t)(line[at] - '0');
	return n;
}

static size_t pending_bytes(const struct server *server)
{
	size_t sum = 0;

	for (const struct connection *c = server->connections; c; c = c->next)
		sum += c->input.length;
	return sum;
}

// Is the request that is coming in too long?
static bool refuse_size(struct connection *connection)
{
	struct error error = { 0 };

	if (connection->scanned > MAX_REQUEST)
		error_set(&error, E2BIG, "the request is longer than %u MiB", MAX_REQUEST >> 20);
	else if (connection->n_attached > MAX_ATTACHED)
		error_set(&error, E2BIG,
			  "the texts of a request are longer than %u MiB: split them",
			  MAX_ATTACHED >> 20);
	else if (pending_bytes(connection->server) > MAX_PENDING)
		error_set(&error, E2BIG, "too many long requests at once: try again later");
	else if (connection->input.failed)
		error_set(&error, ENOMEM, "out of memory");
	else
		return false;
	text_free(&connection->input);
	connection->scanned = 0;
	connection->n_attached = 0;
	refuse(connection, &error);
	return true;
}

// Move what arrived behind what is there: in one piece, so that a line is searched only once.
static void take_input(struct connection *connection)
{
	struct evbuffer *input = bufferevent_get_input(connection->buffer);
	static char chunk[256 * 1024];
	int n;

	while ((n = evbuffer_remove(input, chunk, sizeof(chunk))) > 0)
		text_add_bytes(&connection->input, chunk, (size_t)n);
}

// Run the line with what is attached to it, whose last byte must be 0.
static char *answer_request(struct connection *connection, size_t length)
{
	struct control *control = connection->server->control;
	char *attached = connection->input.data + length + 1;
	char *reply;

	if (connection->n_attached)
		attached[connection->n_attached - 1] = '\0';
	control->attached = attached;
	control->n_attached = connection->n_attached;
	reply = server_answer(control, connection->input.data, length, &connection->closing);
	control->attached = NULL;
	control->n_attached = 0;
	return reply;
}

static void answer_line(struct connection *connection, size_t length)
{
	struct text *input = &connection->input;
	char *reply = answer_request(connection, length);
	const size_t used = length + 1 + connection->n_attached;

	// The loop's clock stands still while a request is carried out: after a long one the time to
	// send the reply would be over at once.
	event_base_update_cache_time(connection->server->base);
	connection->scanned = 0;
	connection->n_attached = 0;
	memmove(input->data, input->data + used, input->length - used);
	input->length -= used;
	if (!input->length)
		text_free(input);
	send_reply(connection, reply);
}

// Answer the first whole line, if there is one.
static void answer_next(struct connection *connection)
{
	struct text *input = &connection->input;
	const char *newline = NULL;

	if (input->length > connection->scanned)
		newline = memchr(input->data + connection->scanned, '\n',
				 input->length - connection->scanned);
	connection->scanned = newline ? (size_t)(newline - input->data) : input->length;
	if (newline)
		connection->n_attached = attached_bytes(input->data, connection->scanned);
	if (refuse_size(connection) || !newline ||
	    input->length - connection->scanned - 1 < connection->n_attached)
		return;
	connection->answering = true;
	// Until the reply is out, the peer has to wait with its next request.
	bufferevent_disable(connection->buffer, EV_READ);
	answer_line(connection, connection->scanned);
}

static void handle_input(struct bufferevent *buffer, void *context)
{
	struct connection *connection = context;
	struct evbuffer *input = bufferevent_get_input(buffer);

	if (connection->closing) {
		evbuffer_drain(input, evbuffer_get_length(input));
		return;
	}
	take_input(connection);
	if (!connection->answering)
		answer_next(connection);
}

static void handle_sent(struct bufferevent *buffer, void *context)
{
	struct connection *connection = context;
	const struct timeval linger = { CLOSE_TIMEOUT_S, 0 };

	if (connection->server->control->stop) {
		connection_close(connection);
		return;
	}
	if (connection->closing) {
		// Closing at once, with input unread, could take the reply away from the peer.
		shutdown(bufferevent_getfd(buffer), SHUT_WR);
		bufferevent_set_timeouts(buffer, &linger, NULL);
		bufferevent_enable(buffer, EV_READ);
		return;
	}
	connection->answering = false;
	bufferevent_enable(buffer, EV_READ);
	answer_next(connection);
}

static void handle_end(struct bufferevent *buffer, short what, void *context)
{
	(void)buffer;
	(void)what;
	connection_close(context);
}

static void refuse_socket(int fd)
{
	static const char reply[] =
		"{\"error\": {\"message\": \"too many connections: try again later\"}}\n";

	if (send(fd, reply, sizeof(reply) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_limited(LOG_LEVEL_WARNING, "control connections beyond %d are refused",
			    MAX_CONNECTIONS);
	close(fd);
}

// Connections that say nothing must not keep others out: the oldest that is not being answered
// gives its place to a new one.
static bool make_room(struct server *server)
{
	struct connection *oldest = NULL;

	if (server->n_connections < MAX_CONNECTIONS)
		return true;
	// The newest is first in the list.
	for (struct connection *c = server->connections; c; c = c->next)
		if (!c->answering)
			oldest = c;
	if (!oldest)
		return false;
	connection_close(oldest);
	return true;
}

static void handle_connection(struct evconnlistener *listener, evutil_socket_t fd,
			      struct sockaddr *address, int length, void *context)
{
	const struct timeval timeout = { WRITE_TIMEOUT_S, 0 };
	struct server *server = context;
	struct connection *connection;

	(void)listener;
	(void)address;
	(void)length;
	if (!make_room(server)) {
		refuse_socket(fd);
		return;
	}
	connection = calloc(1, sizeof(*connection));
	if (connection)
		connection->buffer =
			bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!connection || !connection->buffer) {
		free(connection);
		close(fd);
		return;
	}
	connection->server = server;
	connection->next = server->connections;
	server->connections = connection;
	server->n_connections++;
	bufferevent_setcb(connection->buffer, handle_input, handle_sent, handle_end, connection);
	bufferevent_set_timeouts(connection->buffer, NULL, &timeout);
	bufferevent_set_max_single_read(connection->buffer, MAX_READ);
	bufferevent_enable(connection->buffer, EV_READ | EV_WRITE);
}

// Take a dead socket away; anything else of that name stays.
static int remove_stale(const char *path, struct error *error)
{
	struct stat status;

	if (lstat(path, &status))
		return errno == ENOENT ? 0
				       : error_set(error, errno, "cannot look at '%s': %s", path,
						   strerror(errno));
	if (!S_ISSOCK(status.st_mode))
		return error_set(error, EEXIST, "'%s' exists and is not a socket: remove it", path);
	if (unlink(path))
		return error_set(error, errno, "cannot remove old socket '%s': %s", path,
				 strerror(errno));
	return 0;
}

static int open_socket(const char *path, struct error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, failed;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(error, ENAMETOOLONG,
				 "'%s' is too long for a socket: use a shorter --run-dir", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(error, errno, "cannot make a socket: %s", strerror(errno));
	mask = umask(0117);
	failed = bind(fd, (struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (!failed && !listen(fd, MAX_CONNECTIONS))
		return fd;
	failed = errno;
	close(fd);
	return error_set(error, failed, "cannot listen on '%s': %s", path, strerror(failed));
}

int server_start(struct event_base *base, const char *path, struct control *control,
		 struct server **server_out, struct error *error)
{
	struct server *server;
	int fd;
	int result = remove_stale(path, error);

	if (result)
		return result;
	fd = open_socket(path, error);
	if (fd < 0)
		return fd;
	server = calloc(1, sizeof(*server));
	if (server)
		server->path = strdup(path);
	if (server && server->path)
		server->listener =
			evconnlistener_new(base, handle_connection, server,
					   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!server || !server->listener) {
		close(fd);
		unlink(path);
		if (server)
			free(server->path);
		free(server);
		return error_set(error, ENOMEM, "out of memory");
	}
	server->base = base;
	server->control = control;
	*server_out = server;
	return 0;
}

void server_stop(struct server *server)
{
	if (!server)
		return;
	evconnlistener_free(server->listener);
	while (server->connections)
		connection_close(server->connections);
	unlink(server->path);
	free(server->path);
	free(server);
}
