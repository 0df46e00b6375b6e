#include "ctl/client.h"

#include "common/clock.h"
#include "common/error.h"
#include "common/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_MS 20
#define MAX_FILE (256u << 20)
#define READ_SIZE 65536

static int try_connect(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int code;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		return fd;
	code = errno;
	close(fd);
	return -code;
}

static int explain(const char *path, const char *run_dir, int code, struct error *error)
{
	switch (code) {
	case ENOENT:
	case ENOTDIR:
		return error_set(error, code,
				 "vswitchd is not running (no socket at %s): start it with "
				 "'vswitchd --run-dir %s'",
				 path, run_dir);
	case ECONNREFUSED:
		return error_set(error, code,
				 "vswitchd is not running (nobody answers at %s): start it with "
				 "'vswitchd --run-dir %s'",
				 path, run_dir);
	case ENOTSOCK:
		return error_set(error, code, "'%s' is not a socket", path);
	case EACCES:
	case EPERM:
		return error_set(error, code,
				 "no permission to use the socket '%s': run vsctl as root or as a "
				 "member of the socket's group",
				 path);
	default:
		return error_set(error, code, "cannot connect to '%s': %s", path, strerror(code));
	}
}

int client_connect(const char *run_dir, unsigned int timeout_s, struct error *error)
{
	uint64_t end_ns = clock_monotonic_ns() + timeout_s * NS_PER_SECOND;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s/vswitchd.sock",
			     run_dir) >= sizeof(address.sun_path))
		return error_set(error, ENAMETOOLONG, "'%s' is too long for a socket", run_dir);
	for (;;) {
		fd = try_connect(&address);
		if (fd >= 0)
			return fd;
		if ((fd != -ENOENT && fd != -ECONNREFUSED && fd != -EAGAIN) ||
		    clock_monotonic_ns() >= end_ns)
			return explain(address.sun_path, run_dir, -fd, error);
		poll(NULL, 0, RETRY_MS);
	}
}

// Wait until the socket is ready; 0 or -errno.
static int wait_for(int fd, short events, uint64_t end_ns)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };
	int ms = -1;
	int n;

	if (end_ns) {
		uint64_t now = clock_monotonic_ns();

		if (now >= end_ns)
			return -ETIMEDOUT;
		ms = (int)((end_ns - now) / NS_PER_MS) + 1;
	}
	n = poll(&poll_fd, 1, ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}

static int send_all(int fd, const char *data, size_t size, uint64_t end_ns)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		int result;

		if (n >= 0) {
			data += n;
			size -= (size_t)n;
			continue;
		}
		// A daemon that refuses a request hangs up, but says why first.
		if (errno == EPIPE || errno == ECONNRESET)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		result = wait_for(fd, POLLOUT, end_ns);
		if (result)
			return result;
	}
	return 0;
}

// Append what comes until there are `wanted` bytes, or with 0 until there is a line's end.
static int receive(int fd, struct text *input, size_t wanted, uint64_t end_ns)
{
	static char chunk[READ_SIZE];

	for (;;) {
		int result;
		ssize_t n;

		if (wanted && input->length >= wanted)
			return 0;
		result = wait_for(fd, POLLIN, end_ns);
		if (result)
			return result;
		n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n < 0)
			continue;
		text_add_bytes(input, chunk, (size_t)n);
		if (input->failed)
			return -ENOMEM;
		if (!wanted && memchr(chunk, '\n', (size_t)n))
			return 0;
	}
}

static int tell(int result, unsigned int timeout_s, struct error *error)
{
	switch (result) {
	case -ETIMEDOUT:
		return error_set(error, ETIMEDOUT,
				 "vswitchd did not answer within %u seconds; the command may still "
				 "take effect",
				 timeout_s);
	case -ECONNRESET:
		return error_set(
			error, ECONNRESET,
			"vswitchd closed the connection without an answer; look at its log");
	default:
		return error_set(error, -result, "cannot talk to vswitchd: %s", strerror(-result));
	}
}

static int send_request(int fd, const json_t *request, const struct text *attached, uint64_t end_ns)
{
	char *data = json_dumps(request, JSON_COMPACT);
	int result;

	if (!data)
		return -ENOMEM;
	result = send_all(fd, data, strlen(data), end_ns);
	free(data);
	if (!result)
		result = send_all(fd, "\n", 1, end_ns);
	if (!result && attached->length)
		result = send_all(fd, attached->data, attached->length, end_ns);
	return result;
}

// A line of JSON, and as many bytes behind it as that says.
static int receive_reply(int fd, json_t **reply, struct text *output, uint64_t end_ns,
			 struct error *error)
{
	json_error_t json_error;
	struct text input = { 0 };
	int result = receive(fd, &input, 0, end_ns);
	size_t line, n;

	*reply = NULL;
	if (result) {
		text_free(&input);
		return result;
	}
	line = (size_t)((char *)memchr(input.data, '\n', input.length) - input.data);
	*reply = json_loadb(input.data, line, 0, &json_error);
	if (!*reply) {
		text_free(&input);
		error_set(error, EPROTO, "vswitchd's answer is not JSON: %s", json_error.text);
		return 0;
	}
	n = (size_t)json_integer_value(json_object_get(*reply, "attached"));
	if (n)
		result = receive(fd, &input, line + 1 + n, end_ns);
	if (!result && n)
		text_add_bytes(output, input.data + line + 1, n);
	text_free(&input);
	return result;
}

int client_request(int fd, const json_t *request, const struct text *attached,
		   unsigned int timeout_s, json_t **reply, struct text *output, struct error *error)
{
	uint64_t end_ns = timeout_s ? clock_monotonic_ns() + timeout_s * NS_PER_SECOND : 0;
	int result = send_request(fd, request, attached, end_ns);

	*reply = NULL;
	if (!result)
		result = receive_reply(fd, reply, output, end_ns, error);
	if (!result)
		return *reply ? 0 : -EPROTO;
	json_decref(*reply);
	*reply = NULL;
	return tell(result, timeout_s, error);
}

static int read_all(int fd, struct text *text, size_t max)
{
	static char chunk[READ_SIZE];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text_add_bytes(text, chunk, (size_t)n);
		if (text->failed)
			return -ENOMEM;
		if (text->length > max)
			return -EFBIG;
	}
	return 0;
}

int client_read_bytes(const char *name, size_t max, struct text *bytes, struct error *error)
{
	bool standard = !strcmp(name, "-");
	int fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	int result;

	if (fd < 0)
		return error_set(error, errno, "cannot read '%s': %s", name, strerror(errno));
	text_add(bytes, "");
	result = read_all(fd, bytes, max);
	if (!standard)
		close(fd);
	if (result == -EFBIG)
		error_set(error, EFBIG, "'%s' is longer than %zu MiB: split it", name, max >> 20);
	else if (result)
		error_set(error, -result, "cannot read '%s': %s", name, strerror(-result));
	if (result)
		text_free(bytes);
	return result;
}

int client_read_file(const char *name, char **contents, struct error *error)
{
	struct text text = { 0 };
	int result = client_read_bytes(name, MAX_FILE, &text, error);

	if (!result && strlen(text.data) != text.length)
		result = error_set(error, EINVAL, "'%s' is not a text file", name);
	if (result) {
		text_free(&text);
		return result;
	}
	*contents = text_steal(&text);
	return 0;
}
