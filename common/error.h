// Errors that a person can cause, told as one plain sentence.
//
// Functions that can fail for such a reason take a `struct error *` and return 0 or -errno. The
// message says what failed, why and, where we know it, what would work. Where nobody reads it the
// caller may pass NULL. Any thread.
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#include <stdarg.h>

#define ERROR_MESSAGE_SIZE 1024

struct error {
	int code; // positive errno, 0 while there is no error
	int line; // 1-based line in the user's text, 0 if it has none
	int column; // 1-based column in the user's text, 0 if unknown
	char message[ERROR_MESSAGE_SIZE];
};

// Fill `error` (unless NULL) with a positive errno `code` and a sentence; returns -code.
int error_set(struct error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int error_set_va(struct error *error, int code, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));

// Put `prefix` (printf style) before the message that is already there, as in "prefix: message".
void error_prefix(struct error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

// Forget an earlier error.
void error_clear(struct error *error);

#endif
