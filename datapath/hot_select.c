#include "common/error.h"
#include "datapath/hot.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>

extern const struct hot hot_x86_64_v2, hot_x86_64_v3, hot_x86_64_v4;

const struct hot *hot = &hot_x86_64_v2;

// clang 14 does not know these two by name. The answer is remembered: under a hypervisor the
// instruction takes as long as a system call.
static bool cpu_has_lzcnt_and_movbe(void)
{
	static int known = -1;
	unsigned int a, b, c, d;

	if (known < 0)
		known = __get_cpuid(0x80000001, &a, &b, &c, &d) && c & bit_LZCNT &&
			__get_cpuid(1, &a, &b, &c, &d) && c & bit_MOVBE;
	return known;
}

static bool cpu_has_v3(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
	       __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma") &&
	       cpu_has_lzcnt_and_movbe();
}

static bool cpu_has_v4(void)
{
	return cpu_has_v3() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

int hot_select(const char *level, struct error *error)
{
	// Best first.
	const struct {
		const struct hot *hot;
		bool runs;
	} builds[] = {
		{ &hot_x86_64_v4, cpu_has_v4() },
		{ &hot_x86_64_v3, cpu_has_v3() },
		{ &hot_x86_64_v2, true },
	};

	for (unsigned int i = 0; i < sizeof(builds) / sizeof(*builds); i++) {
		if (level ? strcmp(level, builds[i].hot->level) != 0 : !builds[i].runs)
			continue;
		if (!builds[i].runs)
			return error_set(error, ENOTSUP, "this machine cannot run code for %s",
					 level);
		hot = builds[i].hot;
		return 0;
	}
	return error_set(error, EINVAL,
			 "unknown CPU level '%s'; known: x86-64-v2, x86-64-v3, x86-64-v4", level);
}
