// From packet bytes to key lines.
//
// Every header is checked against the bytes that are really there; what is missing or lies about
// its length leaves its fields zero, as ovs-fields(7) describes. Headers are read from the first
// segment, where packet_gather() brings them; the lengths that they name are held against the whole
// packet. Hot; worker or trace.
#ifndef DATAPATH_PARSE_H
#define DATAPATH_PARSE_H

#include "datapath/vector.h"

// Fill the lines in `lines` (bit l: line l) for every packet of `packets`, all from `in_port`. Without
// KEY_LINES_HEADERS only what is no header: vector->layout is not filled either.
// Registers and metadata are zeroed. Returns the packets that are well formed enough to forward.
uint64_t parse_vector(struct vector *vector, uint64_t packets, uint32_t in_port, uint16_t lines);

// Parse one packet again after its structure has changed (a tag pushed or popped): headers are
// read anew, metadata and registers stay.
void parse_again(struct vector *vector, unsigned int packet);

#endif
