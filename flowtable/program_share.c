#include "flowtable/program_share.h"

#include "common/hash.h"
#include "flowtable/flow_text.h"

#include <string.h>

#define N_SLOTS 16384

static struct program *slots[N_SLOTS];

static bool is_same(const struct program *a, const struct program *b)
{
	return a->size == b->size && a->n_ops == b->n_ops && a->lines_read == b->lines_read &&
	       a->lines_written == b->lines_written && a->dirty == b->dirty &&
	       a->flags == b->flags && !memcmp(a->ops, b->ops, a->size);
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

struct program *program_share(struct program *program)
{
	struct program **slot;

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
