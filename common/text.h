// Text: a growing buffer to print into, and strict readers of numbers and addresses.
//
// Readers take a whole string (no white space, no trailing bytes), return 0 or -EINVAL/-ERANGE
// and leave the output alone on failure. Any thread.
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Grows as needed; `data` is always a C string (never NULL after the first use). Without memory
// `failed` is set and later additions are ignored.
struct text {
	char *data;
	size_t length;
	size_t size;
	bool failed;
};

void text_clear(struct text *text); // keeps the memory
void text_free(struct text *text);
void text_add(struct text *text, const char *string);
void text_add_bytes(struct text *text, const char *bytes, size_t length);
void text_add_char(struct text *text, char c);
void text_add_u64(struct text *text, uint64_t number); // decimal
void text_add_hex(struct text *text, uint64_t number); // "0x1f"; 0 is "0", as %#x prints it
void text_addf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Remove `suffix` from the end, if it is there.
void text_chomp(struct text *text, const char *suffix);

// The text as a heap string that the caller frees; the buffer is empty afterwards.
char *text_steal(struct text *text);

// As isspace() says in the C locale, without a call.
static inline bool text_is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

// Decimal, or hexadecimal with 0x. The length variants read exactly `length` bytes.
int parse_u64(const char *string, uint64_t *value);
int parse_u64_n(const char *string, size_t length, uint64_t *value);
int parse_mac(const char *string, uint8_t mac[6]);
int parse_ipv4(const char *string, uint32_t *big_endian);
int parse_ipv4_n(const char *string, size_t length, uint32_t *big_endian);
int parse_ipv6(const char *string, uint8_t address[16]);

void text_add_mac(struct text *text, const uint8_t mac[6]);
void text_add_ipv4(struct text *text, uint32_t big_endian);
void text_add_ipv6(struct text *text, const uint8_t address[16]);

// The candidate nearest to `word`, or NULL if none is near: for "did you mean".
const char *text_nearest(const char *word, const char *const *candidates, size_t n);

#endif
