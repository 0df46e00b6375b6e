// Network service headers (RFC 8300): read and written in place. Hot.
#ifndef DATAPATH_NSH_H
#define DATAPATH_NSH_H

#include "flowtable/key.h"

#include <stdbool.h>
#include <stdint.h>

#define NSH_MD1_SIZE 24
#define NSH_BASE_SIZE 8

// The size of the header that begins at `nsh`, or 0 if what is there is none: not whole within
// `left` bytes, of another version, or with metadata of a type that RFC 8300 does not know.
uint32_t nsh_size(const uint8_t *nsh, uint32_t left);

// A sound header's fields; and back, where the header has them.
void nsh_read(const uint8_t *nsh, struct key_rare *rare);
void nsh_write(uint8_t *nsh, const struct key_rare *rare);

// Fields were written: what has no place in the header is not there.
void nsh_trim(struct key_rare *rare);

#endif
