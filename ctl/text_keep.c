#include "ctl/text_keep.h"

#include "ofproto/bridge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void touch(struct text_keep *keep, const struct bridge *bridge, uint32_t id)
{
	if (keep->n == keep->size) {
		const size_t size = keep->size ? keep->size * 2 : 64;
		struct text_key *grown = realloc(keep->touched, size * sizeof(*grown));

		if (!grown) {
			keep->failure = -ENOMEM;
			return;
		}
		keep->touched = grown;
		keep->size = size;
	}
	keep->touched[keep->n] = (struct text_key){ .id = id };
	strncpy(keep->touched[keep->n++].bridge, bridge_name(bridge), VPORT_NAME_SIZE - 1);
}

void text_keep_changed(struct text_keep *keep, const struct bridge *bridge, uint32_t id,
		       struct text *text)
{
	touch(keep, bridge, id);
	if (text->failed && !keep->failure)
		keep->failure = -ENOMEM;
	// A full disk may have ended the transaction: nothing more may be written in its name.
	if (!keep->failure)
		keep->failure =
			keep->put(keep->store, bridge_name(bridge), id, text->data, &keep->error);
	text_free(text);
}

void text_keep_removed(struct text_keep *keep, const struct bridge *bridge, uint32_t id)
{
	touch(keep, bridge, id);
	if (!keep->failure)
		keep->failure = keep->remove(keep->store, bridge_name(bridge), id, &keep->error);
}

void text_keep_begin(struct text_keep *keep)
{
	keep->in_request = keep->store != NULL;
	keep->failure = 0;
	error_clear(&keep->error);
}

int text_keep_check(const struct text_keep *keep, struct error *error)
{
	if (!keep->failure)
		return 0;
	if (!keep->error.code)
		return error_set(error, ENOMEM, "out of memory");
	return error_set(error, keep->error.code, "%s", keep->error.message);
}

void text_keep_forget(struct text_keep *keep)
{
	free(keep->touched);
	keep->touched = NULL;
	keep->n = keep->size = 0;
	keep->in_request = false;
}
