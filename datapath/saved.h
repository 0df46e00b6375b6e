// A packet put aside while actions work on it that must leave no trace: those of a clone, and of a
// group's bucket (ovs-actions(7)). Its bytes are not copied: the packet gets one more reference, so that
// whoever changes it makes a copy. Hot.
#ifndef DATAPATH_SAVED_H
#define DATAPATH_SAVED_H

#include "datapath/vector.h"

#include <string.h>

struct saved {
	uint64_t lines[KEY_LINES][KEY_LINE_WORDS]; // the live ones
	struct rte_mbuf *mbuf; // with a reference of its own
	struct packet_layout layout;
	struct stack_mark stack;
	uint16_t dirty;
};

// What lies on the packet's stack now is out of reach until it is restored.
static inline void saved_take(struct saved *saved, struct vector *vector, unsigned int packet)
{
	saved->mbuf = vector->packets[packet];
	rte_pktmbuf_refcnt_update(saved->mbuf, 1);
	saved->layout = vector->layout[packet];
	saved->stack = vector->stacks[packet];
	vector->stacks[packet].floor = saved->stack.n_used;
	saved->dirty = vector->dirty[packet];
	for (unsigned int line = 0; line < KEY_LINES; line++)
		if (vector->live_lines & 1u << line)
			memcpy(saved->lines[line], vector->lines[line][packet], KEY_LINE_SIZE);
}

// Gives the reference back.
static inline void saved_restore(const struct saved *saved, struct vector *vector,
				 unsigned int packet)
{
	rte_pktmbuf_free(vector->packets[packet]);
	vector->packets[packet] = saved->mbuf;
	vector->layout[packet] = saved->layout;
	vector_note_bare(vector, packet);
	vector->stacks[packet] = saved->stack;
	vector->dirty[packet] = saved->dirty;
	for (unsigned int line = 0; line < KEY_LINES; line++)
		if (vector->live_lines & 1u << line)
			memcpy(vector->lines[line][packet], saved->lines[line], KEY_LINE_SIZE);
}

#endif
