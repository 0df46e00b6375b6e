#include "datapath/profile.h"

const struct profile_stage_text profile_stage_texts[N_PROFILE_STAGES] = {
#define STAGE(id, name, what) [PROFILE_##id] = { name, what },
#include "datapath/profile.def"
#undef STAGE
};

// The least of some rounds: whatever interrupts a round makes it longer.
uint64_t profile_change_cost(void)
{
	enum { ROUNDS = 32, CHANGES = 256 };
	struct profile profile = { .since = __rdtsc() };
	uint64_t least = UINT64_MAX;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		const uint64_t start = __rdtsc();
		uint64_t took;

		for (unsigned int i = 0; i < CHANGES / 2; i++) {
			const enum profile_stage before = profile_enter(&profile, PROFILE_PARSE);

			profile_leave(&profile, before);
		}
		took = (__rdtsc() - start) / CHANGES;
		if (took < least)
			least = took;
	}
	return least;
}
