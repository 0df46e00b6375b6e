// What a flow matches: a value and a mask for the whole key, and the compact form that tables keep.
//
// `struct match` is the wide form, for parsing, printing and tests. Flows keep a `struct mask`,
// shared by all flows of the same shape, and only the words that it covers.
#ifndef FLOWTABLE_MATCH_H
#define FLOWTABLE_MATCH_H

#include "flowtable/field.h"

struct error;

// Bits of `value` outside `mask` are zero.
struct match {
	struct key value;
	struct key mask;
};

// The shape of a match: which bits of which words. Interned: two flows with the same mask point
// to the same object, so masks compare by address. Immutable; lives while mask_ref() exceeds
// mask_unref(), and a grace period longer.
struct mask {
	uint32_t refcount; // control thread
	uint32_t hash;
	uint16_t lines; // bit l: line l is looked at
	uint8_t n_words;
	uint8_t word[KEY_WORDS]; // indices into struct key.words, ascending; n_words of them
	uint64_t bits[]; // mask bits of those words, never zero; n_words of them
};

// The wide form of "matches everything".
void match_init(struct match *match);

// Match the field exactly, or under `mask`. Bits already matched by the field are replaced.
void match_set(struct match *match, const struct field *field, const struct field_value *value);
void match_set_masked(struct match *match, const struct field *field,
		      const struct field_value *value, const struct field_value *mask);

bool match_equal(const struct match *a, const struct match *b);

// Does the key satisfy the match? The naive definition that everything else is tested against.
bool match_covers(const struct match *match, const struct key *key);

// Do the match's own fields establish what `field` needs before it may be matched or set?
bool match_has_prerequisite(const struct match *match, const struct field *field);

// What is missing, for error messages: "an IPv4 match", and what to add for it: "ip".
const char *field_prerequisite_text(enum field_prerequisite prerequisite);
const char *field_prerequisite_remedy(enum field_prerequisite prerequisite);

// Control thread. The interned mask for match->mask, with one reference for the caller; NULL
// without memory. mask_unref() frees after a grace period.
struct mask *mask_intern(const struct match *match);
struct mask *mask_ref(struct mask *mask);
void mask_unref(struct mask *mask);

// The words of `match` that `mask` covers, n_words of them, and back to the wide form.
void match_pack(const struct match *match, const struct mask *mask, uint64_t *values);
void match_unpack(const struct mask *mask, const uint64_t *values, struct match *match);

#endif
