// Few flows with any masks: each is compared with all packets at once.
//
// The words that any of the flows looks at are columns. A lookup first copies the columns of its
// packets side by side, then goes through the flows by falling rank: one flow's word is compared
// with eight packets per step, and a packet that has found its flow is done. Few packets are looked
// up the other way round: one packet's word is compared with eight flows per step. The arrays never
// change but for the flow pointers: insertion builds a new part, removal clears a pointer.
#ifndef FLOWTABLE_CLASSIFIER_LINEAR_H
#define FLOWTABLE_CLASSIFIER_LINEAR_H

#include "flowtable/classifier/classifier.h"

#define LINEAR_MAX_FLOWS 64
#define LINEAR_ALIGN 8 // words of the largest register

struct linear_word {
	uint64_t bits;
	uint64_t value;
	uint64_t column;
};

struct linear_flow {
	struct flow *flow; // published; NULL once removed
	uint64_t rank;
	uint32_t first_word; // into words
	uint32_t n_words;
};

struct classifier_lines {
	struct classifier base;
	uint32_t n_entries;
	uint32_t n_columns;
	uint32_t n_words;
	uint8_t column[KEY_WORDS]; // which word of the key; n_columns of them
	const struct linear_word *words; // behind the flows
	uint32_t n_across; // n_entries, rounded up to whole registers
	// Of each column the bits of all flows, then their values: those without the word match.
	const uint64_t *across; // behind the words
	struct linear_flow flows[]; // by falling rank; n_entries of them
};

#endif
