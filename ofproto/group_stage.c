#include "ofproto/group_stage.h"

#include "common/error.h"
#include "common/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int group_stage_begin(struct group_stage *stage, struct bridge *bridge, struct error *error)
{
	const struct group_table *table = bridge_group_table(bridge);
	const uint32_t n = table ? table->n : 0;

	memset(stage, 0, sizeof(*stage));
	stage->bridge = bridge;
	stage->size = n + 16;
	stage->groups = calloc(stage->size, sizeof(*stage->groups));
	if (!stage->groups)
		return error_set(error, ENOMEM, "out of memory");
	for (; stage->n < n; stage->n++) {
		stage->groups[stage->n].id = table->all[stage->n]->id;
		stage->groups[stage->n].old = table->all[stage->n];
	}
	return 0;
}

void group_stage_end(struct group_stage *stage)
{
	for (uint32_t i = 0; i < stage->n; i++)
		group_text_release(&stage->groups[i].text);
	free(stage->groups);
}

// The first group with this id or a higher one.
static uint32_t position(const struct group_stage *stage, uint32_t id)
{
	uint32_t low = 0, high = stage->n;

	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;

		if (stage->groups[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct staged_group *find(const struct group_stage *stage, uint32_t id)
{
	const uint32_t at = position(stage, id);

	if (at == stage->n || stage->groups[at].id != id || stage->groups[at].gone)
		return NULL;
	return &stage->groups[at];
}

bool group_stage_has(const struct group_stage *stage, uint32_t id)
{
	return find(stage, id) != NULL;
}

static const struct group_text *text_of(const struct staged_group *staged)
{
	return staged->change ? &staged->text : &staged->old->text;
}

bool group_stage_deletes(const struct group_stage *stage, uint32_t id)
{
	const uint32_t at = position(stage, id);

	return at == stage->n || stage->groups[at].id != id || stage->groups[at].deleted;
}

// --- Single changes ---

static int no_group(const struct group_stage *stage, uint32_t id, struct error *error)
{
	return error_set(error, ENOENT, "bridge '%s' has no group %u", bridge_name(stage->bridge),
			 id);
}

static struct staged_group *make_room(struct group_stage *stage, uint32_t id, struct error *error)
{
	const uint32_t at = position(stage, id);

	if (at < stage->n && stage->groups[at].id == id) { // it was deleted by this list
		stage->groups[at].gone = false;
		stage->n_gone--;
		return &stage->groups[at];
	}
	if (stage->n - stage->n_gone >= GROUP_MAX_GROUPS) {
		error_set(error, ENOSPC, "a bridge has at most %u groups", GROUP_MAX_GROUPS);
		return NULL;
	}
	if (stage->n == stage->size) {
		struct staged_group *groups =
			realloc(stage->groups, stage->size * 2 * sizeof(*groups));

		if (!groups) {
			error_set(error, ENOMEM, "out of memory");
			return NULL;
		}
		stage->groups = groups;
		stage->size *= 2;
	}
	memmove(&stage->groups[at + 1], &stage->groups[at],
		(stage->n++ - at) * sizeof(*stage->groups));
	memset(&stage->groups[at], 0, sizeof(*stage->groups));
	stage->groups[at].id = id;
	return &stage->groups[at];
}

static int put(struct group_stage *stage, struct group_mod *mod, unsigned int number,
	       struct error *error)
{
	const uint32_t id = mod->text.group_id;
	struct staged_group *staged = find(stage, id);

	if (staged && mod->command == GROUP_MOD_ADD)
		return error_set(error, EEXIST,
				 "group %u exists already on bridge '%s': change it with mod-group",
				 id, bridge_name(stage->bridge));
	if (!staged && mod->command == GROUP_MOD_MODIFY)
		return no_group(stage, id, error);
	if (!staged)
		staged = make_room(stage, id, error);
	if (!staged)
		return -ENOMEM;
	group_text_release(&staged->text);
	staged->text = mod->text;
	memset(&mod->text, 0, sizeof(mod->text));
	staged->change = number;
	return 0;
}

static void delete (struct group_stage *stage, uint32_t id, unsigned int number)
{
	for (uint32_t i = 0; i < stage->n; i++) {
		struct staged_group *staged = &stage->groups[i];

		if (staged->gone || (id != GROUP_ID_ALL && staged->id != id))
			continue;
		group_text_release(&staged->text);
		staged->change = number;
		staged->gone = staged->deleted = stage->deletes = true;
		stage->n_gone++;
	}
}

// The group's text, to be changed.
static int open_text(struct group_stage *stage, uint32_t id, unsigned int number,
		     struct staged_group **staged, struct error *error)
{
	struct staged_group *found = find(stage, id);

	if (!found)
		return no_group(stage, id, error);
	if (text_of(found)->type == GROUP_INDIRECT)
		return error_set(error, EINVAL,
				 "group %u is of type indirect, which has exactly one bucket", id);
	if (!found->change && group_text_copy(&found->old->text, &found->text))
		return error_set(error, ENOMEM, "out of memory");
	found->change = number;
	*staged = found;
	return 0;
}

// Which bucket a command means: its index, or how many there are.
static int find_bucket(const struct group_text *text, uint32_t id, unsigned int *index,
		       struct error *error)
{
	*index = 0;
	while (*index < text->n_buckets && text->buckets[*index].id != id)
		++*index;
	if (*index < text->n_buckets)
		return 0;
	return error_set(error, ENOENT, "group %u has no bucket %u", text->group_id, id);
}

static int check_inserted(const struct group_text *text, struct group_text *added,
			  struct error *error)
{
	if (text->n_buckets + added->n_buckets > GROUP_MAX_BUCKETS)
		return error_set(error, ENOSPC, "a group has at most %d buckets",
				 GROUP_MAX_BUCKETS);
	for (unsigned int i = 0; i < added->n_buckets; i++) {
		struct bucket_text *bucket = &added->buckets[i];

		if (!bucket->has_weight)
			bucket->weight = text->type == GROUP_SELECT;
		if (bucket->weight && text->type != GROUP_SELECT)
			return error_set(error, EINVAL,
					 "only buckets of a select group have a weight");
		if (text->type == GROUP_FAST_FAILOVER && bucket->watch_port == OFPP_ANY &&
		    bucket->watch_group == GROUP_ID_ANY)
			return error_set(error, EINVAL,
					 "a bucket of a fast_failover group needs watch_port or "
					 "watch_group");
		for (unsigned int k = 0; bucket->id != BUCKET_ID_NONE && k < text->n_buckets; k++)
			if (text->buckets[k].id == bucket->id)
				return error_set(error, EEXIST, "group %u has a bucket %u already",
						 text->group_id, bucket->id);
	}
	return 0;
}

static int insert(struct group_stage *stage, struct group_mod *mod, unsigned int number,
		  struct error *error)
{
	struct group_text *added = &mod->text, *text;
	struct staged_group *staged;
	struct bucket_text *buckets;
	unsigned int at = 0;
	int status = open_text(stage, added->group_id, number, &staged, error);

	if (status)
		return status;
	text = &staged->text;
	if (added->command_bucket_id == BUCKET_ID_LAST)
		at = text->n_buckets;
	else if (added->command_bucket_id != BUCKET_ID_FIRST)
		status = find_bucket(text, added->command_bucket_id, &at, error);
	if (!status)
		status = check_inserted(text, added, error);
	if (status)
		return status;
	buckets =
		realloc(text->buckets, (text->n_buckets + added->n_buckets) * sizeof(*buckets) + 1);
	if (!buckets)
		return error_set(error, ENOMEM, "out of memory");
	text->buckets = buckets;
	memmove(&buckets[at + added->n_buckets], &buckets[at],
		(text->n_buckets - at) * sizeof(*buckets));
	memcpy(&buckets[at], added->buckets, added->n_buckets * sizeof(*buckets));
	text->n_buckets += added->n_buckets;
	added->n_buckets = 0;
	group_text_number_buckets(text);
	return 0;
}

static int remove_buckets(struct group_stage *stage, struct group_mod *mod, unsigned int number,
			  struct error *error)
{
	const uint32_t id = mod->text.command_bucket_id;
	struct staged_group *staged;
	struct group_text *text;
	unsigned int at = 0, n = 1;
	int status = open_text(stage, mod->text.group_id, number, &staged, error);

	if (status)
		return status;
	text = &staged->text;
	if (id == BUCKET_ID_ALL || !text->n_buckets)
		n = text->n_buckets;
	if (id == BUCKET_ID_LAST && text->n_buckets)
		at = text->n_buckets - 1;
	else if (id != BUCKET_ID_ALL && id != BUCKET_ID_FIRST && id != BUCKET_ID_LAST)
		status = find_bucket(text, id, &at, error);
	if (status)
		return status;
	for (unsigned int i = at; i < at + n; i++)
		free(text->buckets[i].program);
	text->n_buckets -= n;
	memmove(&text->buckets[at], &text->buckets[at + n],
		(text->n_buckets - at) * sizeof(*text->buckets));
	return 0;
}

int group_stage_apply(struct group_stage *stage, struct group_mod *mod, unsigned int number,
		      struct error *error)
{
	int status = 0;

	switch (mod->command) {
	case GROUP_MOD_DELETE:
		delete (stage, mod->text.group_id, number);
		break;
	case GROUP_MOD_INSERT_BUCKETS:
		status = insert(stage, mod, number, error);
		break;
	case GROUP_MOD_REMOVE_BUCKETS:
		status = remove_buckets(stage, mod, number, error);
		break;
	default:
		status = put(stage, mod, number, error);
		break;
	}
	if (status && error)
		error->line = (int)number;
	return status;
}

// --- The whole ---

// A walk through the groups that groups lead to. NOT_SEEN, on the way to where the walk is, or done.
enum { NOT_SEEN, ON_THE_WAY, DONE };
#define MAX_CHAIN 32

struct walk {
	struct group_stage *stage;
	struct staged_group *chain[MAX_CHAIN];
	unsigned int n;
	struct error *error;
};

static int walk_group(struct walk *walk, struct staged_group *staged);

static int blame(struct walk *walk)
{
	unsigned int line = 0;

	// The last change that has to do with it.
	for (unsigned int i = 0; i < walk->n; i++)
		if (walk->chain[i]->change > line)
			line = walk->chain[i]->change;
	if (walk->error)
		walk->error->line = (int)line;
	return walk->error ? -walk->error->code : -EINVAL;
}

static int tell_loop(struct walk *walk, const struct staged_group *to)
{
	struct text chain = { 0 };
	unsigned int i = 0;

	while (walk->chain[i] != to)
		i++;
	for (; i < walk->n; i++)
		text_addf(&chain, "%u -> ", walk->chain[i]->id);
	text_addf(&chain, "%u", to->id);
	error_set(walk->error, ELOOP, "groups would lead in a circle: %s",
		  chain.data ? chain.data : "?");
	text_free(&chain);
	return blame(walk);
}

static int tell_missing(struct walk *walk, uint32_t id)
{
	const struct staged_group *from = walk->chain[walk->n - 1];
	const uint32_t at = position(walk->stage, id);
	const bool deleted = at < walk->stage->n && walk->stage->groups[at].id == id;

	if (deleted && walk->stage->groups[at].old)
		error_set(walk->error, EBUSY,
			  "group %u cannot be deleted: group %u goes to it or watches it", id,
			  from->id);
	else
		error_set(walk->error, ENOENT,
			  "group %u goes to group %u or watches it, which does not exist", from->id,
			  id);
	blame(walk);
	if (deleted && walk->error && walk->stage->groups[at].change)
		walk->error->line = (int)walk->stage->groups[at].change;
	return walk->error ? -walk->error->code : -EINVAL;
}

static int follow(void *context, uint32_t id)
{
	struct walk *walk = context;
	struct staged_group *to = find(walk->stage, id);
	struct staged_group *from = walk->chain[walk->n - 1];
	int status = 0;

	if (!to)
		return tell_missing(walk, id);
	if (to->visit == ON_THE_WAY)
		return tell_loop(walk, to);
	if (to->visit != DONE)
		status = walk_group(walk, to);
	if (!status && from->height <= to->height)
		from->height = (uint8_t)(to->height + 1);
	if (status || from->height < MAX_CHAIN)
		return status;
	error_set(walk->error, E2BIG, "more than %d groups lead to each other in a row", MAX_CHAIN);
	return blame(walk);
}

static int walk_group(struct walk *walk, struct staged_group *staged)
{
	const struct group_text *text = text_of(staged);
	int status = 0;

	if (walk->n == MAX_CHAIN) {
		error_set(walk->error, E2BIG, "more than %d groups lead to each other in a row",
			  MAX_CHAIN);
		return blame(walk);
	}
	walk->chain[walk->n++] = staged;
	staged->visit = ON_THE_WAY;
	for (unsigned int i = 0; i < text->n_buckets && !status; i++) {
		const struct bucket_text *bucket = &text->buckets[i];

		status = program_each_group(bucket->program, follow, walk);
		if (!status && bucket->watch_group != GROUP_ID_ANY)
			status = follow(walk, bucket->watch_group);
	}
	staged->visit = DONE;
	walk->n--;
	return status;
}

int group_stage_check(struct group_stage *stage, struct error *error)
{
	struct error unread = { 0 };
	struct walk walk = { .stage = stage, .error = error ? error : &unread };
	int status = 0;

	for (uint32_t i = 0; i < stage->n && !status; i++)
		if (!stage->groups[i].gone && !stage->groups[i].visit)
			status = walk_group(&walk, &stage->groups[i]);
	return status;
}
