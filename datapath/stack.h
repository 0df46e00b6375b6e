// The stacks of push and pop, one for each packet of a worker's vector.
//
// Entries are never written over while a clone around them still needs them: popping an entry that
// was there when the clone began only moves `top`. So saving a stack is saving three numbers. What
// counts against the limit is everything that is kept, for the packet or for clones around it.
// A worker's own.
#ifndef DATAPATH_STACK_H
#define DATAPATH_STACK_H

#include "datapath/subfield.h"

#define STACK_MAX 4096 // entries: 64 kB of values

// The entries of one packet. Number n of struct stack_mark is at index n - 1.
struct packet_stack {
	uint16_t below[STACK_MAX]; // the entry under each
	struct bits values[STACK_MAX];
};

#endif
