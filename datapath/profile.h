// Where a worker's cycles go, stage by stage (profile.def): only in a build with `make PROFILE=1`.
// In any other build there is no code of it and no memory.
//
// Each cycle is counted for exactly one stage: a stage that is entered interrupts the one under way,
// which goes on when it is left. The clock is read once for each change, as a rule per vector and not
// per packet; what reading it costs is measured and taken off by whoever shows the result.
#ifndef DATAPATH_PROFILE_H
#define DATAPATH_PROFILE_H

#include <stdint.h>
#include <x86intrin.h>

enum profile_stage {
#define STAGE(id, name, what) PROFILE_##id,
#include "datapath/profile.def"
#undef STAGE
	N_PROFILE_STAGES
};

struct profile_stage_text {
	const char *name;
	const char *what;
};
extern const struct profile_stage_text profile_stage_texts[N_PROFILE_STAGES];

// Written by the worker alone, read by the main thread.
struct profile {
	uint64_t since; // when the stage under way was entered
	enum profile_stage stage;
	uint64_t packets, bursts;
	struct profile_count {
		uint64_t cycles;
		uint64_t changes; // times that the clock was read to end the stage
		uint64_t entries;
	} stages[N_PROFILE_STAGES];
};

static inline void profile_charge(struct profile *profile)
{
	const uint64_t now = __rdtsc();

	profile->stages[profile->stage].cycles += now - profile->since;
	profile->stages[profile->stage].changes++;
	profile->since = now;
}

// Returns the stage that is interrupted, for profile_leave().
static inline enum profile_stage profile_enter(struct profile *profile, enum profile_stage stage)
{
	const enum profile_stage before = profile->stage;

	profile_charge(profile);
	profile->stages[stage].entries++;
	profile->stage = stage;
	return before;
}

static inline void profile_leave(struct profile *profile, enum profile_stage before)
{
	profile_charge(profile);
	profile->stage = before;
}

// A look at a queue begins; what it costs counts only if profile_end() follows.
static inline void profile_begin(struct profile *profile)
{
	profile->since = __rdtsc();
	profile->stage = PROFILE_RECEIVE;
}

static inline void profile_end(struct profile *profile, uint16_t n)
{
	profile_charge(profile);
	profile->stages[PROFILE_RECEIVE].entries++;
	profile->packets += n;
	profile->bursts++;
}

// Cycles that a change of stage costs. Any thread.
uint64_t profile_change_cost(void);

// What the hot path calls; nothing at all without PROFILE.
#ifdef PROFILE
#define PROFILE_BEGIN(worker) profile_begin(&(worker)->profile)
#define PROFILE_END(worker, n) profile_end(&(worker)->profile, n)
#define PROFILE_ENTER(worker, id)                                                                  \
	const enum profile_stage profile_before_##id =                                             \
		profile_enter(&(worker)->profile, PROFILE_##id)
#define PROFILE_LEAVE(worker, id) profile_leave(&(worker)->profile, profile_before_##id)
#else
#define PROFILE_BEGIN(worker) ((void)0)
#define PROFILE_END(worker, n) ((void)0)
#define PROFILE_ENTER(worker, id) ((void)0)
#define PROFILE_LEAVE(worker, id) ((void)0)
#endif

#endif
