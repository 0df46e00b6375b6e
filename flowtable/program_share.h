// One program for many flows: flows of a table often do the same, and a program is immutable.
//
// A small table remembers the programs that were shared last, one for each hash. What it does not
// remember is not shared: that costs memory, not correctness. Control thread.
#ifndef FLOWTABLE_PROGRAM_SHARE_H
#define FLOWTABLE_PROGRAM_SHARE_H

#include "flowtable/program.h"

// Takes the program over and returns one that does the same, perhaps another. program_free() drops
// one user of it.
struct program *program_share(struct program *program);

// Do both do the same? What ops keep of their flow's packets does not count.
bool program_is_same(const struct program *a, const struct program *b);

// The same for one more flow: one more user, or a copy where ops keep what their flow's packets did.
// NULL without memory.
struct program *program_for_one_more(struct program *program);

// One more user.
struct program *program_ref(struct program *program);

// For program_free(): the last user is gone.
void program_unshare(struct program *program);

#endif
