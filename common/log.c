#include "common/log.h"

#include "common/clock.h"
#include "common/error.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_SIZE 2048
#define LOG_LIMIT_INTERVAL_NS (5 * NS_PER_SECOND)

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static atomic_int log_fd = STDERR_FILENO;
static atomic_int log_level = LOG_LEVEL_INFO;
static char *log_path;

static int open_log_file(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
}

int log_open(const char *path, struct error *error)
{
	char *copy;
	int fd;

	if (!path)
		return 0;
	fd = open_log_file(path);
	if (fd < 0)
		return error_set(error, errno, "cannot open log file '%s': %s", path,
				 strerror(errno));
	copy = strdup(path);
	if (!copy) {
		close(fd);
		return error_set(error, ENOMEM, "out of memory");
	}
	free(log_path);
	log_path = copy;
	log_fd = fd;
	return 0;
}

void log_reopen(void)
{
	int fd;

	if (!log_path)
		return;
	fd = open_log_file(log_path);
	if (fd < 0) {
		log_warning("cannot reopen log file '%s': %s", log_path, strerror(errno));
		return;
	}
	// dup3 swaps the file under the same number, so that a line being written elsewhere
	// never meets a closed descriptor.
	dup3(fd, log_fd, O_CLOEXEC);
	close(fd);
}

void log_set_level(enum log_level level)
{
	log_level = level;
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load(&log_level);
}

int log_level_parse(const char *name)
{
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++)
		if (!strcmp(level_names[i], name))
			return i;
	return -1;
}

void log_write(enum log_level level, const char *format, ...)
{
	char line[LOG_LINE_SIZE];
	struct timespec now;
	struct tm tm;
	va_list args;
	size_t n;
	int length;

	if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(line + n, sizeof(line) - n, ".%03ldZ %s: ", now.tv_nsec / 1000000,
			      level_names[level]);
	va_start(args, format);
	length = vsnprintf(line + n, sizeof(line) - n - 1, format, args);
	va_end(args);
	if (length > 0)
		n += (size_t)length;
	if (n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	// One event is one line, whatever a peer put into a name.
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = ' ';
	line[n++] = '\n';
	if (write(atomic_load(&log_fd), line, n) < 0)
		return;
}

int log_limit_pass(struct log_limit *state, uint64_t *suppressed)
{
	uint64_t now = clock_monotonic_ns();

	if (now < state->next_ns) {
		state->suppressed++;
		return 0;
	}
	*suppressed = state->suppressed;
	state->suppressed = 0;
	state->next_ns = now + LOG_LIMIT_INTERVAL_NS;
	return 1;
}
