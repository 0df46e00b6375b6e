#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_clear(struct text *text)
{
	text->length = 0;
	text->failed = false;
	if (text->data)
		text->data[0] = '\0';
}

void text_free(struct text *text)
{
	free(text->data);
	memset(text, 0, sizeof(*text));
}

// Make room for `extra` bytes and the terminator.
static bool text_reserve(struct text *text, size_t extra)
{
	size_t need = text->length + extra + 1;
	size_t size = text->size ? text->size : 64;
	char *data;

	if (text->failed || need < extra)
		return false;
	if (need <= text->size)
		return true;
	while (size < need)
		size = size > SIZE_MAX / 2 ? need : size * 2;
	data = realloc(text->data, size);
	if (!data) {
		text->failed = true;
		return false;
	}
	text->data = data;
	text->size = size;
	return true;
}

void text_add_bytes(struct text *text, const char *bytes, size_t length)
{
	if (!text_reserve(text, length))
		return;
	if (length)
		memcpy(text->data + text->length, bytes, length);
	text->length += length;
	text->data[text->length] = '\0';
}

void text_add(struct text *text, const char *string)
{
	text_add_bytes(text, string, strlen(string));
}

void text_add_char(struct text *text, char c)
{
	text_add_bytes(text, &c, 1);
}

// printf() takes several times as long, which tells where a million flows are printed.
static void add_number(struct text *text, uint64_t number, unsigned int base, const char *prefix)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number);
	while (*prefix)
		digits[--at] = *prefix++;
	text_add_bytes(text, digits + at, sizeof(digits) - at);
}

void text_add_u64(struct text *text, uint64_t number)
{
	add_number(text, number, 10, "");
}

void text_add_hex(struct text *text, uint64_t number)
{
	add_number(text, number, 16, number ? "x0" : "");
}

void text_addf(struct text *text, const char *format, ...)
{
	char small[128];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(small, sizeof(small), format, args);
	va_end(args);
	if (n < 0) {
		text->failed = true;
	} else if ((size_t)n < sizeof(small)) {
		text_add_bytes(text, small, (size_t)n);
	} else if (text_reserve(text, (size_t)n)) {
		va_start(args, format);
		vsnprintf(text->data + text->length, (size_t)n + 1, format, args);
		va_end(args);
		text->length += (size_t)n;
	}
}

void text_chomp(struct text *text, const char *suffix)
{
	size_t length = strlen(suffix);

	if (length <= text->length && length &&
	    !memcmp(text->data + text->length - length, suffix, length)) {
		text->length -= length;
		text->data[text->length] = '\0';
	}
}

char *text_steal(struct text *text)
{
	char *data;

	text_add_bytes(text, "", 0); // never NULL while there is memory
	data = text->failed ? NULL : text->data;
	if (!data)
		free(text->data);
	memset(text, 0, sizeof(*text));
	return data;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

int parse_u64_n(const char *string, size_t length, uint64_t *value)
{
	unsigned int base = 10;
	uint64_t result = 0;

	if (length > 2 && string[0] == '0' && (string[1] == 'x' || string[1] == 'X')) {
		base = 16;
		string += 2;
		length -= 2;
	}
	if (!length)
		return -EINVAL;
	// Most numbers are decimal and cannot overflow.
	if (base == 10 && length < 20) {
		for (size_t i = 0; i < length; i++) {
			if (string[i] < '0' || string[i] > '9')
				return -EINVAL;
			result = result * 10 + (unsigned int)(string[i] - '0');
		}
		*value = result;
		return 0;
	}
	for (size_t i = 0; i < length; i++)
		if ((unsigned int)digit_value(string[i]) >= base)
			return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		unsigned int digit = (unsigned int)digit_value(string[i]);

		if (result > (UINT64_MAX - digit) / base)
			return -ERANGE;
		result = result * base + digit;
	}
	*value = result;
	return 0;
}

int parse_u64(const char *string, uint64_t *value)
{
	return parse_u64_n(string, strlen(string), value);
}

int parse_mac(const char *string, uint8_t mac[6])
{
	uint8_t result[6];

	for (int i = 0; i < 6; i++) {
		int high = digit_value(string[0]);
		int low;

		if (high > 15)
			return -EINVAL;
		low = digit_value(string[1]);
		if (low > 15) { // one digit is enough, as in 0:1:2:3:4:5
			low = high;
			high = 0;
			string += 1;
		} else {
			string += 2;
		}
		result[i] = (uint8_t)(high << 4 | low);
		if (*string != (i < 5 ? ':' : '\0'))
			return -EINVAL;
		string++;
	}
	memcpy(mac, result, sizeof(result));
	return 0;
}

// Four numbers up to 255 without leading zeros, as inet_pton() wants them.
int parse_ipv4_n(const char *string, size_t length, uint32_t *big_endian)
{
	const char *end = string + length;
	uint8_t bytes[4];

	for (unsigned int i = 0; i < 4; i++) {
		const char *start = string;
		unsigned int number = 0;

		while (string < end && string < start + 3 && *string >= '0' && *string <= '9')
			number = number * 10 + (unsigned int)(*string++ - '0');
		if (string == start || number > 255 || (*start == '0' && string > start + 1))
			return -EINVAL;
		bytes[i] = (uint8_t)number;
		if (i < 3 && (string == end || *string++ != '.'))
			return -EINVAL;
	}
	if (string != end)
		return -EINVAL;
	memcpy(big_endian, bytes, sizeof(bytes));
	return 0;
}

int parse_ipv4(const char *string, uint32_t *big_endian)
{
	return parse_ipv4_n(string, strlen(string), big_endian);
}

int parse_ipv6(const char *string, uint8_t address[16])
{
	struct in6_addr result;

	if (inet_pton(AF_INET6, string, &result) != 1)
		return -EINVAL;
	memcpy(address, &result, sizeof(result));
	return 0;
}

void text_add_mac(struct text *text, const uint8_t mac[6])
{
	static const char digits[] = "0123456789abcdef";
	char bytes[17];

	for (unsigned int i = 0; i < 6; i++) {
		bytes[i * 3] = digits[mac[i] >> 4];
		bytes[i * 3 + 1] = digits[mac[i] & 15];
		if (i < 5)
			bytes[i * 3 + 2] = ':';
	}
	text_add_bytes(text, bytes, sizeof(bytes));
}

void text_add_ipv4(struct text *text, uint32_t big_endian)
{
	uint8_t bytes[4];
	char string[16];
	size_t n = 0;

	memcpy(bytes, &big_endian, sizeof(bytes));
	for (unsigned int i = 0; i < 4; i++) {
		if (bytes[i] >= 100)
			string[n++] = (char)('0' + bytes[i] / 100);
		if (bytes[i] >= 10)
			string[n++] = (char)('0' + bytes[i] / 10 % 10);
		string[n++] = (char)('0' + bytes[i] % 10);
		string[n++] = '.';
	}
	text_add_bytes(text, string, n - 1);
}

void text_add_ipv6(struct text *text, const uint8_t address[16])
{
	char string[INET6_ADDRSTRLEN];

	if (inet_ntop(AF_INET6, address, string, sizeof(string)))
		text_add(text, string);
}

#define NEAREST_MAX 32

// Edit distance in which two neighbours that changed places count as one change.
static unsigned int edit_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
	unsigned int row[3][NEAREST_MAX + 1];

	for (size_t j = 0; j <= n_b; j++)
		row[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= n_a; i++) {
		unsigned int *now = row[i % 3];
		const unsigned int *before = row[(i + 2) % 3];
		const unsigned int *before2 = row[(i + 1) % 3];

		now[0] = (unsigned int)i;
		for (size_t j = 1; j <= n_b; j++) {
			unsigned int best = before[j - 1] + (a[i - 1] != b[j - 1]);

			if (before[j] + 1 < best)
				best = before[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before2[j - 2] + 1 < best)
				best = before2[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[n_a % 3][n_b];
}

const char *text_nearest(const char *word, const char *const *candidates, size_t n)
{
	size_t length = strlen(word);
	// More than two wrong letters are another word.
	unsigned int limit = length < 3 ? 1 : 2;
	const char *best = NULL;

	if (length < 2 || length > NEAREST_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t other = strlen(candidates[i]);
		unsigned int distance;

		if (other > NEAREST_MAX || other + limit < length || length + limit < other)
			continue;
		distance = edit_distance(word, length, candidates[i], other);
		if (distance <= limit && distance < length) {
			if (!distance)
				return candidates[i];
			best = candidates[i];
			limit = distance - 1;
		}
	}
	return best;
}
