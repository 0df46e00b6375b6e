#include "common/error.h"

#include <stdio.h>
#include <string.h>

int error_set_va(struct error *error, int code, const char *format, va_list args)
{
	if (error) {
		error->code = code;
		vsnprintf(error->message, sizeof(error->message), format, args);
	}
	return -code;
}

int error_set(struct error *error, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_set_va(error, code, format, args);
	va_end(args);
	return -code;
}

void error_prefix(struct error *error, const char *format, ...)
{
	char old[ERROR_MESSAGE_SIZE];
	va_list args;
	int n;

	if (!error)
		return;
	memcpy(old, error->message, sizeof(old));
	va_start(args, format);
	n = vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(error->message))
		snprintf(error->message + n, sizeof(error->message) - (size_t)n, ": %.*s",
			 (int)(sizeof(error->message) - (size_t)n - 3), old);
}

void error_clear(struct error *error)
{
	if (error)
		memset(error, 0, sizeof(*error));
}
