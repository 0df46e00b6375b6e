#include "flowtable/program_share.h"

#include "common/hash.h"
#include "flowtable/flow_text.h"

#include <stdlib.h>
#include <string.h>

#define N_SLOTS 16384

static struct program *slots[N_SLOTS];

static bool is_same(const struct program *a, const struct program *b)
{
	return a->size == b->size && a->n_ops == b->n_ops && a->lines_read == b->lines_read &&
	       a->lines_written == b->lines_written && a->dirty == b->dirty &&
	       a->flags == b->flags && !memcmp(a->ops, b->ops, a->size);
}

// Ops that keep what their own flow's packets did.
static bool is_private(const struct program *program)
{
	return program->flags & (PROGRAM_LEARNS | PROGRAM_FIN_TIMEOUT);
}

static void forget_packets(uint8_t *at, size_t size)
{
	for (uint8_t *const end = at + size; at < end; at += ((struct op *)at)->size) {
		struct op_nested *nested = (struct op_nested *)at;

		switch (((struct op *)at)->code) {
		case OP_LEARN:
			((struct op_learn *)at)->rule = NULL;
			break;
		case OP_FIN_TIMEOUT:
			((struct op_fin_timeout *)at)->seen = 0;
			break;
		case OP_CLONE:
		case OP_WRITE_ACTIONS:
			forget_packets((uint8_t *)nested->ops, nested->length);
			break;
		}
	}
}

bool program_is_same(const struct program *a, const struct program *b)
{
	struct program *copies[2] = { NULL, NULL };
	const struct program *both[2] = { a, b };
	bool same = false;

	if (a == b || !is_private(a) || !is_private(b) || a->size != b->size)
		return a == b || is_same(a, b);
	for (unsigned int i = 0; i < 2; i++) {
		copies[i] = program_for_one_more((struct program *)(uintptr_t)both[i]);
		if (copies[i])
			forget_packets(copies[i]->ops, copies[i]->size);
	}
	if (copies[0] && copies[1])
		same = is_same(copies[0], copies[1]);
	free(copies[0]);
	free(copies[1]);
	return same;
}

static struct program **slot_of(const struct program *program)
{
	return &slots[program->hash % N_SLOTS];
}

struct program *program_ref(struct program *program)
{
	program->n_more_users++;
	return program;
}

struct program *program_for_one_more(struct program *program)
{
	struct program *copy;

	if (!is_private(program))
		return program_ref(program);
	copy = malloc(sizeof(*copy) + program->size);
	if (copy) {
		memcpy(copy, program, sizeof(*copy) + program->size);
		copy->n_more_users = 0;
	}
	return copy;
}

struct program *program_share(struct program *program)
{
	struct program **slot;

	if (is_private(program))
		return program;
	program->hash = (uint32_t)hash_bytes(program->ops, program->size);
	slot = slot_of(program);
	if (*slot && *slot != program && is_same(*slot, program)) {
		program_free(program);
		return program_ref(*slot);
	}
	*slot = program;
	return program;
}

void program_unshare(struct program *program)
{
	struct program **slot = slot_of(program);

	if (*slot == program)
		*slot = NULL;
}
