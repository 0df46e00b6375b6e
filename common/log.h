// The daemon's log: one line per event, with time and level.
//
// Control threads only: a worker that forwards packets counts, it does not log. Lines that a peer
// can cause go through LOG_LIMITED, which prints at most one line per call site and five seconds,
// and says how many it left out. Writing never blocks the caller for long: the log file is opened
// O_APPEND and a failed write is counted, not retried.
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct error;

// Send the log to `path` (NULL: standard error). Returns 0 or -errno with `error` filled.
int log_open(const char *path, struct error *error);

// Open the file again under its name, after a log rotation.
void log_reopen(void);

// Only lines of this level and more important ones are written. Default: info.
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

// "error", "warning", "info" or "debug" to a level; -1 if it is none of them.
int log_level_parse(const char *name);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Has the call site that owns `state` been silent for five seconds? Counts those held back.
struct log_limit {
	uint64_t next_ns;
	uint64_t suppressed;
};
int log_limit_pass(struct log_limit *state, uint64_t *suppressed);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#define log_limited(level, ...)                                                                    \
	do {                                                                                       \
		static struct log_limit log_limit_;                                                \
		uint64_t log_suppressed_;                                                          \
		if (log_limit_pass(&log_limit_, &log_suppressed_)) {                               \
			log_write(level, __VA_ARGS__);                                             \
			if (log_suppressed_)                                                       \
				log_write(level, "(%llu similar lines left out)",                  \
					  (unsigned long long)log_suppressed_);                    \
		}                                                                                  \
	} while (0)

#endif
