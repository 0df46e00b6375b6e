// Where the workers' cycles go (datapath/profile.h).
#include "common/error.h"
#include "ctl/handlers.h"
#include "datapath/datapath.h"
#include "datapath/profile.h"

#include <errno.h>

// What had been counted at the last --reset: workers' own memory is theirs to write.
static struct profile base[WORKERS_MAX];

static void subtract(struct profile *profile, const struct profile *from)
{
	profile->packets -= from->packets;
	profile->bursts -= from->bursts;
	for (unsigned int i = 0; i < N_PROFILE_STAGES; i++) {
		profile->stages[i].cycles -= from->stages[i].cycles;
		profile->stages[i].changes -= from->stages[i].changes;
		profile->stages[i].entries -= from->stages[i].entries;
	}
}

static json_t *describe(unsigned int worker, const struct profile *profile, uint64_t cost)
{
	json_t *stages = json_array();

	for (unsigned int i = 0; i < N_PROFILE_STAGES; i++) {
		const struct profile_count *count = &profile->stages[i];
		const uint64_t taken = cost * count->changes;
		const uint64_t cycles = count->cycles > taken ? count->cycles - taken : 0;

		json_array_append_new(stages, json_pack("{s:s, s:s, s:I, s:I}", "stage",
							profile_stage_texts[i].name, "what",
							profile_stage_texts[i].what, "cycles",
							(json_int_t)cycles, "entries",
							(json_int_t)count->entries));
	}
	return json_pack("{s:I, s:I, s:I, s:o}", "worker", (json_int_t)worker, "packets",
			 (json_int_t)profile->packets, "bursts", (json_int_t)profile->bursts,
			 "stages", stages);
}

int handle_profile(const struct handler_call *call, json_t **result, struct error *error)
{
	const uint64_t cost = profile_change_cost();
	json_t *list;
	struct profile now;

	if (!workers_profile(0, &now))
		return error_set(error, ENOTSUP,
				 "this vswitchd does not count the cycles of its stages; 'make "
				 "PROFILE=1' builds one that does, in build/profile");
	list = json_array();
	for (unsigned int i = 0; workers_profile(i, &now); i++) {
		struct profile since = now;

		subtract(&since, &base[i]);
		json_array_append_new(list, describe(i, &since, cost));
		if (call_flag(call, "reset"))
			base[i] = now;
	}
	*result = json_pack("{s:o, s:I}", "workers", list, "clock_cost", (json_int_t)cost);
	return 0;
}
