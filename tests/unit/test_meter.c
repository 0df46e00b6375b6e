// Meters: how exact they are on a simulated clock, for many rates, sizes and patterns, alone and
// shared by threads; and how they change. What they do to packets is compared with the reference in
// test_pipeline.c and test_actions.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/counters.h"
#include "common/error.h"
#include "common/rcu.h"
#include "common/text.h"
#include "datapath/meter.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/flow_mod.h"
#include "ofproto/meter.h"
#include "tests/unit/eal.h"
#include "tests/unit/packets.h"

#include <pthread.h>

#define YEAR_S (365.25 * 24 * 3600)

static struct meter *make(const char *string, const struct meter *old, uint64_t hz, uint64_t cycles)
{
	struct error error = { 0 };
	struct meter_text text;
	struct meter *meter;

	if (meter_text_parse(string, METER_TEXT_ADD, &text, &error))
		fail_msg("%s: column %d: %s", string, error.column, error.message);
	meter = meter_create(&text, old, hz, cycles);
	assert_non_null(meter);
	return meter;
}

static struct meter *make_drop(const char *unit, uint64_t rate, uint64_t burst, uint64_t hz,
			       uint64_t cycles)
{
	char string[256];

	snprintf(string, sizeof(string),
		 "meter=1,%s,burst,bands=type=drop,rate=%llu,burst_size=%llu", unit,
		 (unsigned long long)rate, (unsigned long long)burst);
	return make(string, NULL, hz, cycles);
}

// What of a vector passes the meter's only band: the sum of `amounts`.
static uint64_t offer(struct meter *meter, uint64_t cycles, const uint32_t *amounts, unsigned int n)
{
	uint64_t treated[METER_MAX_BANDS], passed = 0;

	meter_judge(meter, cycles, amounts, vector_mask(n), false, treated);
	for_each_packet(i, vector_mask(n) & ~treated[0]) passed += amounts[i];
	return passed;
}

// --- Exactness ---

enum sizes { SIZES_SMALL, SIZES_FULL, SIZES_JUMBO, SIZES_MIXED, SIZES_RANDOM, N_SIZES };

static uint32_t size_of(enum sizes sizes, struct random *random)
{
	static const uint32_t mix[] = { 60, 60, 60, 60, 60, 60, 60, 590, 590, 590, 590, 1514 };

	switch (sizes) {
	case SIZES_SMALL:
		return 60;
	case SIZES_FULL:
		return 1514;
	case SIZES_JUMBO:
		return 9014;
	case SIZES_MIXED:
		return mix[random_below(random, 12)];
	default:
		return 60 + random_below(random, 1455);
	}
}

struct pattern {
	uint64_t hz;
	uint64_t rate; // of tokens a second
	double load; // what is offered, as a multiple of the rate
	unsigned int vector; // packets that come together
	unsigned int train; // vectors that come together
	enum sizes sizes;
	bool packets;
};

// The rate that the meter lets through, as a multiple of what it was told.
static double measure(const struct pattern *pattern, struct random *random)
{
	const uint64_t tokens = pattern->packets ? 1 : 8;
	const uint64_t most =
		(uint64_t)pattern->vector * pattern->train * (pattern->packets ? 1 : 9014 * 8);
	const uint64_t kilo = pattern->packets ? 1 : 1000;
	const uint64_t base = random_next(random) >> 5; // of a machine that runs for long
	struct meter *meter = make_drop(pattern->packets ? "pktps" : "kbps", pattern->rate / kilo,
					2 * most / kilo + 1, pattern->hz, base);
	// Some thousand packets pass, so that one more or less makes no difference.
	const double enough = 300 + 5000 * pattern->load / (pattern->train * pattern->vector);
	double now = 0, begun = -1, passed = 0, offered = 0;
	unsigned int n_after = 0;

	while (n_after < enough) {
		for (unsigned int t = 0; t < pattern->train; t++) {
			uint32_t amounts[VECTOR_SIZE];
			uint64_t sum = 0, through;

			for (unsigned int i = 0; i < pattern->vector; i++) {
				amounts[i] = pattern->packets ? 1 : size_of(pattern->sizes, random);
				sum += amounts[i] * tokens;
			}
			through = offer(meter, base + (uint64_t)now, amounts, pattern->vector) *
				  tokens;
			offered += (double)sum;
			// Counted from when the bucket was empty first.
			if (begun >= 0)
				passed += (double)through;
			else if (through < sum && t + 1 == pattern->train)
				begun = now;
		}
		n_after += begun >= 0;
		now = offered / ((double)pattern->rate * pattern->load) * (double)pattern->hz;
		if (begun < 0 && offered > 1000.0 * (double)most)
			break; // not overloaded
	}
	meter_free(meter);
	if (begun < 0)
		return 0;
	// The last train came when `now` was what it is now minus its own length.
	return passed / ((now - begun) / (double)pattern->hz * (double)pattern->rate);
}

static void rates_are_exact(void **state)
{
	static const uint64_t rates[] = { 100000,     250000,     1000000,    3333000,
					  10000000,   64000000,   100000000,  1000000000,
					  2500000000, 7777777000, 10000000000 };
	static const uint64_t clocks[] = { 1000000000, 2095078000, 3700000000 };
	static const double loads[] = { 1.1, 1.5, 3, 20 };
	static const unsigned int vectors[] = { 1, 4, 32, 64 };
	struct random random = { random_seed() };
	double worst = 0;
	unsigned int n = 0;

	(void)state;
	for (unsigned int r = 0; r < sizeof(rates) / sizeof(*rates); r++)
		for (unsigned int sizes = 0; sizes < N_SIZES; sizes++)
			for (unsigned int v = 0; v < 4; v++) {
				const struct pattern pattern = {
					.hz = clocks[random_below(&random, 3)],
					.rate = rates[r],
					.load = loads[random_below(&random, 4)],
					.vector = vectors[v],
					.train = 1 + random_below(&random, 5),
					.sizes = (enum sizes)sizes,
				};
				double off = measure(&pattern, &random) - 1;

				off = off < 0 ? -off : off;
				worst = off > worst ? off : worst;
				n++;
				if (off > 0.02)
					fail_msg("%llu bit/s, sizes %u, vectors of %u, trains of "
						 "%u, load %g: off by %.2f %%",
						 (unsigned long long)pattern.rate, sizes,
						 pattern.vector, pattern.train, pattern.load,
						 off * 100);
			}
	printf("%u patterns: at most %.3f %% off\n", n, worst * 100);
}

static void packet_rates_are_exact(void **state)
{
	static const uint64_t rates[] = { 1, 7, 1000, 123456, 14880952, 148809523 };
	struct random random = { random_seed() };
	double worst = 0;

	(void)state;
	for (unsigned int r = 0; r < sizeof(rates) / sizeof(*rates); r++)
		for (unsigned int vector = 1; vector <= 64; vector *= 4) {
			const struct pattern pattern = {
				.hz = 2095078000,
				.rate = rates[r],
				.load = 2.5,
				.vector = vector,
				.train = 2,
				.packets = true,
			};
			double off = measure(&pattern, &random) - 1;

			off = off < 0 ? -off : off;
			worst = off > worst ? off : worst;
			if (off > 0.02)
				fail_msg("%llu packets/s, vectors of %u: off by %.2f %%",
					 (unsigned long long)rates[r], vector, off * 100);
		}
	printf("packet rates: at most %.3f %% off\n", worst * 100);
}

// What stays below the rate passes, all of it.
static void what_conforms_passes(void **state)
{
	struct random random = { random_seed() };

	(void)state;
	for (unsigned int i = 0; i < 20; i++) {
		const struct pattern pattern = { .hz = 2095078000,
						 .rate = 100000ULL << i % 17,
						 .load = 0.97,
						 .vector = 1 + random_below(&random, 64),
						 .train = 1 + random_below(&random, 4),
						 .sizes = SIZES_RANDOM };

		// No packet was dropped: the measurement has not begun.
		assert_true(measure(&pattern, &random) == 0);
	}
}

// --- Idle time ---

// However long a meter was idle, no more than the burst passes at once; and, unless the clock has
// wrapped in between, no less.
static void idle_time_gives_no_more_than_the_burst(void **state)
{
	static const double idle_s[] = { 0.001,  0.5,        10,          86400,
					 YEAR_S, 3 * YEAR_S, 12 * YEAR_S, 100 * YEAR_S };
	struct random random = { random_seed() };

	(void)state;
	for (unsigned int i = 0; i < 4000; i++) {
		const uint64_t hz = 2000000000 + random_next(&random) % 2000000000;
		const uint64_t rate = 100 + random_next(&random) % 10000000;
		const uint64_t burst = 100 + random_next(&random) % 100000;
		const double idle = idle_s[random_below(&random, 8)];
		uint64_t cycles = random_next(&random) >> 6;
		struct meter *meter = make_drop("kbps", rate, burst, hz, cycles);
		uint32_t amounts[VECTOR_SIZE];
		uint64_t passed, all = 0;

		for (unsigned int p = 0; p < VECTOR_SIZE; p++)
			amounts[p] = 60 + random_below(&random, 1455);
		amounts[0] = 60; // what the others leave
		for (unsigned int round = 0; round < 3; round++) {
			all = 0;
			while ((passed = offer(meter, cycles, amounts, VECTOR_SIZE)))
				all += passed;
			// A few parts of a cycle are lost to rounding.
			if (all * 8 > burst * 1000 + burst / 100 + 8)
				fail_msg("%llu bits of a burst of %llu kbit after %g s",
					 (unsigned long long)all * 8, (unsigned long long)burst,
					 idle);
			if ((!round ||
			     (idle * (double)rate > (double)burst * 1.01 && idle < 2 * YEAR_S)) &&
			    (all + 61) * 8 < burst * 1000 - burst)
				fail_msg("only %llu bits of a burst of %llu kbit after %g s",
					 (unsigned long long)all * 8, (unsigned long long)burst,
					 idle);
			cycles += (uint64_t)(idle * (double)hz);
		}
		meter_free(meter);
	}
}

// A clock that wraps blocks nothing for longer than the bucket takes to fill, and a second.
static void a_clock_that_wraps_does_no_harm(void **state)
{
	const uint64_t hz = 3000000000;
	uint32_t amount = 1000;

	(void)state;
	// Sixteenths of a cycle wrap after 2^60 cycles.
	for (uint64_t before = 0; before < 40; before++) {
		struct meter *meter = make_drop("kbps", 1000, 1000, hz, 0);
		uint64_t cycles = (1ULL << 60) - before * hz / 10;

		while (offer(meter, cycles, &amount, 1))
			;
		assert_int_equal(offer(meter, cycles + 3 * hz, &amount, 1), amount);
		meter_free(meter);
	}
}

// A worker whose clock is behind gets nothing extra, and takes nothing from others.
static void clocks_of_cores_may_differ(void **state)
{
	const uint64_t hz = 3000000000, start = 5 * hz;
	struct meter *meter = make_drop("kbps", 1000, 1000, hz, start);
	uint32_t amounts[2] = { 1000, 1000 };
	uint64_t passed = 0;

	(void)state;
	for (unsigned int i = 0; i < 1000; i++) {
		passed += offer(meter, start + hz / 1000, amounts, 2);
		passed += offer(meter, start - hz / 1000, amounts, 2);
		passed += offer(meter, start, amounts, 2);
	}
	assert_in_range(passed * 8, 990000, 1010000);
	meter_free(meter);
}

static void extreme_settings_work(void **state)
{
	const uint64_t hz = 3000000000;
	uint32_t amounts[VECTOR_SIZE];
	struct meter *meter = make_drop("kbps", 1, UINT32_MAX, hz, 77);
	double passed = 0;

	(void)state;
	// A bucket that takes 136 years to fill.
	for (unsigned int i = 0; i < VECTOR_SIZE; i++)
		amounts[i] = 1u << 26;
	for (unsigned int i = 0; i < 1000; i++)
		passed += (double)offer(meter, 77 + i, amounts, VECTOR_SIZE) * 8;
	assert_true(passed > 0.999 * UINT32_MAX * 1000.0 && passed <= UINT32_MAX * 1000.0);
	meter_free(meter);
	// Nothing at all, and everything.
	meter = make_drop("pktps", 0, 5, hz, 0);
	amounts[0] = 1;
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(offer(meter, i * hz, amounts, 1), 0);
	meter_free(meter);
	meter = make("meter=1,kbps,bands=type=drop,rate=4294967295", NULL, hz, 0);
	amounts[0] = 9000;
	for (unsigned int i = 0; i < 1000000; i++)
		assert_int_equal(offer(meter, i * 60, amounts, 1), 9000);
	meter_free(meter);
	// Without a burst size it is a second's worth.
	meter = make("meter=1,pktps,burst,bands=type=drop,rate=1000", NULL, hz, 0);
	amounts[0] = 1;
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(offer(meter, 1, amounts, 1), 1);
	assert_int_equal(offer(meter, 1, amounts, 1), 0);
	meter_free(meter);
}

// --- Threads ---

#define THREADS 4
#define THREAD_VECTORS 100000

struct shared {
	struct meter *meter;
	uint64_t clock; // atomic: vectors that came, in cycles
	uint64_t step;
	uint64_t passed; // atomic
	uint64_t seed; // atomic
};

static void *offer_much(void *context)
{
	struct shared *shared = context;
	struct random random = { __atomic_add_fetch(&shared->seed, 7919, __ATOMIC_RELAXED) };
	uint64_t passed = 0;

	for (unsigned int i = 0; i < THREAD_VECTORS; i++) {
		const uint64_t now =
			__atomic_add_fetch(&shared->clock, shared->step, __ATOMIC_RELAXED);
		uint32_t amounts[32];

		for (unsigned int p = 0; p < 32; p++)
			amounts[p] = 60 + random_below(&random, 1455);
		// Not all cores have quite the same time.
		passed += offer(shared->meter, now - random_below(&random, 300), amounts, 32);
	}
	__atomic_fetch_add(&shared->passed, passed, __ATOMIC_RELAXED);
	return NULL;
}

static void workers_share_a_rate(void **state)
{
	static const uint64_t rates[] = { 100, 10000, 1000000, 10000000 }; // kbit/s
	const uint64_t hz = 2000000000;

	(void)state;
	for (unsigned int r = 0; r < 4; r++) {
		// Some 200 kbit in each vector: three times the rate.
		const double step = 32 * 787 * 8 / (3.0 * (double)rates[r] * 1000) * (double)hz;
		const uint64_t burst = 2000;
		struct shared shared = { .meter = make_drop("kbps", rates[r], burst, hz, 0),
					 .clock = hz,
					 .step = (uint64_t)step,
					 .seed = random_seed() };
		pthread_t threads[THREADS];
		double seconds, ratio;

		for (unsigned int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, offer_much, &shared), 0);
		for (unsigned int i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		seconds = (double)(shared.clock - hz) / (double)hz;
		ratio = ((double)shared.passed * 8 - (double)burst * 1000) /
			((double)rates[r] * 1000 * seconds);
		printf("%d threads, %llu kbit/s: %.3f %% off\n", THREADS,
		       (unsigned long long)rates[r], (ratio - 1) * 100);
		assert_true(ratio > 0.95 && ratio < 1.05);
		meter_free(shared.meter);
	}
}

// --- Bands ---

static void the_highest_exceeded_band_treats(void **state)
{
	const uint64_t hz = 1000000000;
	struct meter *meter = make("meter=1,pktps,burst,bands=type=dscp_remark,prec_level=1,"
				   "rate=100,burst_size=9,type=drop,rate=300,burst_size=9,"
				   "type=dscp_remark,prec_level=2,rate=200,burst_size=9",
				   NULL, hz, 0);
	const uint32_t amount = 1;
	struct random random = { random_seed() };
	unsigned int untouched = 0, by_index[3] = { 0 };
	uint64_t now = 0;

	(void)state;
	// 1000 packets a second for ten seconds.
	for (unsigned int i = 0; i < 10000; i++) {
		uint64_t treated[METER_MAX_BANDS];
		unsigned int n = 0;

		now += random_below(&random, (unsigned int)hz / 500);
		meter_judge(meter, now, &amount, 1, false, treated);
		for (unsigned int b = 0; b < 3; b++) {
			n += treated[b] != 0;
			by_index[meter->bands[b].index] += treated[b] != 0;
		}
		assert_true(n <= 1);
		untouched += !n;
	}
	// 700 of 1000 exceed 300 a second. Those that exceed less are left to lower bands.
	assert_in_range(by_index[1], 6500, 7500);
	assert_true(by_index[2] > 500);
	assert_int_equal(untouched + by_index[0] + by_index[1] + by_index[2], 10000);
	assert_true(by_index[0] > 0 && by_index[2] > 0 && untouched > 0);
	meter_free(meter);
}

static void looking_takes_no_tokens(void **state)
{
	struct meter *meter = make_drop("pktps", 1, 1, 1000, 0);
	const uint32_t amount = 1;
	uint64_t treated[METER_MAX_BANDS];

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		meter_judge(meter, 10, &amount, 1, true, treated);
		assert_int_equal(treated[0], 0);
	}
	assert_int_equal(offer(meter, 10, &amount, 1), 1);
	meter_judge(meter, 10, &amount, 1, true, treated);
	assert_int_equal(treated[0], 1);
	meter_free(meter);
}

static void drop_precedence_rises(void **state)
{
	(void)state;
	for (unsigned int tos = 0; tos < 256; tos++)
		for (unsigned int level = 1; level < 256; level++) {
			const unsigned int dscp = tos >> 2, class = dscp / 8, y = dscp % 8 / 2;
			const bool assured = class >= 1 && class <= 4 && y && dscp % 2 == 0;
			const unsigned int raised = y + level > 3 ? 3 : y + level;

			assert_int_equal(meter_remark((uint8_t)tos, level),
					 assured ? (class * 8 + raised * 2) << 2 | (tos & 3) : tos);
		}
	assert_int_equal(meter_remark(10 << 2, 1), 12 << 2); // AF11, AF12
	assert_int_equal(meter_remark(46 << 2, 1), 46 << 2); // EF
}

// --- Changes ---

static struct forwarding forwarding;
static struct bridge bridge;
static unsigned int n_changed, n_removed, n_flows_removed;

static void changed(void *context, struct bridge *where, const struct meter *meter)
{
	(void)context;
	(void)where;
	(void)meter;
	n_changed++;
}

static void removed(void *context, struct bridge *where, uint32_t id)
{
	(void)context;
	(void)where;
	(void)id;
	n_removed++;
}

static void flow_removed(void *context, struct bridge *where, const struct flow *flow,
			 enum flow_removed_reason reason)
{
	(void)context;
	(void)where;
	(void)flow;
	n_flows_removed += reason == FLOW_REMOVED_METER_DELETE;
}

static int set_up(void **state)
{
	static const struct meter_observer observer = { .changed = changed, .removed = removed };
	static const struct flow_observer flow_observer = { .removed = flow_removed };

	(void)state;
	memset(&forwarding, 0, sizeof(forwarding));
	memset(&bridge, 0, sizeof(bridge));
	strcpy(bridge.name, "br0");
	bridge.forwarding = &forwarding;
	n_changed = n_removed = n_flows_removed = 0;
	meter_set_observer(&observer);
	flow_mod_set_observer(&flow_observer);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	meter_set_observer(NULL);
	flow_mod_set_observer(NULL);
	bridge_meters_destroy(&bridge);
	for (unsigned int i = 0; i < N_TABLES; i++)
		if (forwarding.tables[i])
			table_destroy(forwarding.tables[i]);
	flow_index_free(&bridge.index);
	rcu_barrier();
	return 0;
}

static int put(int (*apply)(struct bridge *bridge, const struct meter_text *text,
			    struct error *error),
	       const char *string, struct error *error)
{
	struct meter_text text;

	error_clear(error);
	assert_int_equal(meter_text_parse(string, METER_TEXT_ADD, &text, error), 0);
	return apply(&bridge, &text, error);
}

static int flow(enum flow_mod_command command, const char *string, struct error *error)
{
	struct flow_mod mod = { .command = command };
	int status;

	error_clear(error);
	assert_int_equal(flow_text_parse(string,
					 command == FLOW_ADD      ? FLOW_TEXT_ADD
					 : command == FLOW_MODIFY ? FLOW_TEXT_MOD
								  : FLOW_TEXT_DELETE,
					 NULL, &mod.text, error),
			 0);
	status = flow_mod_apply(&bridge, &mod, 1, error);
	flow_text_release(&mod.text);
	return status;
}

static void meters_come_and_go(void **state)
{
	struct error error = { 0 };

	(void)state;
	assert_int_equal(put(meter_modify, "meter=5,kbps,bands=type=drop,rate=1", &error), -ENOENT);
	assert_non_null(strstr(error.message, "no meter 5"));
	assert_int_equal(put(meter_add, "meter=5,kbps,bands=type=drop,rate=1", &error), 0);
	assert_int_equal(put(meter_add, "meter=5,kbps,bands=type=drop,rate=1", &error), -EEXIST);
	assert_non_null(strstr(error.message, "exists already"));
	assert_int_equal(put(meter_add, "meter=65535,kbps,bands=type=drop,rate=1", &error), 0);
	assert_int_equal(put(meter_add, "meter=1,kbps,bands=type=drop,rate=1", &error), 0);
	assert_int_equal(bridge_meter_next(&bridge, 1)->id, 1);
	assert_int_equal(bridge_meter_next(&bridge, 2)->id, 5);
	assert_int_equal(bridge_meter_next(&bridge, 6)->id, 65535);
	assert_null(bridge_meter_next(&bridge, 65536));
	assert_int_equal(meter_delete(&bridge, 5, &error), 0);
	assert_int_equal(meter_delete(&bridge, 5, &error), 0); // not there: no mistake
	assert_null(bridge_meter(&bridge, 5));
	assert_non_null(bridge_meter(&bridge, 1));
	assert_int_equal(meter_delete(&bridge, METER_ID_ALL, &error), 0);
	assert_null(bridge_meter_next(&bridge, 1));
	assert_int_equal(n_changed, 3);
	assert_int_equal(n_removed, 3);
}

static void a_change_keeps_counters_and_tokens(void **state)
{
	struct counter_set *set = counter_set_create();
	struct error error = { 0 };
	const uint32_t amount = 1;
	struct meter *meter;
	uint64_t treated[METER_MAX_BANDS];

	(void)state;
	put(meter_add, "meter=1,pktps,bands=type=drop,rate=1,type=drop,rate=2", &error);
	meter = bridge_meter(&bridge, 1);
	counter_add(set, meter->counter, 3, 300);
	counter_add(set, meter_band_counter(meter, 0), 2, 200);
	counter_add(set, meter_band_counter(meter, 1), 1, 100);
	meter_judge(meter, meter->epoch, &amount, 1, false, treated);
	assert_int_equal(treated[0] | treated[1], 0);
	// The same rates: the token that was taken is gone.
	assert_int_equal(put(meter_modify,
			     "meter=1,pktps,stats,bands=type=drop,rate=1,type=drop,rate=2", &error),
			 0);
	meter = bridge_meter(&bridge, 1);
	meter_judge(meter, meter->epoch, &amount, 1, true, treated);
	assert_int_equal(treated[0] | treated[1], 1);
	// Fewer bands, then more.
	put(meter_modify, "meter=1,pktps,bands=type=drop,rate=3", &error);
	meter = bridge_meter(&bridge, 1);
	meter_judge(meter, meter->epoch, &amount, 1, true, treated);
	assert_int_equal(treated[0], 0);
	assert_int_equal(counter_read(meter->counter).packets, 3);
	assert_int_equal(counter_read(meter_band_counter(meter, 0)).bytes, 200);
	put(meter_modify, "meter=1,pktps,bands=type=drop,rate=3,type=drop,rate=9", &error);
	meter = bridge_meter(&bridge, 1);
	assert_int_equal(counter_read(meter_band_counter(meter, 0)).packets, 2);
	assert_int_equal(counter_read(meter_band_counter(meter, 1)).packets, 0);
	assert_int_equal(meter_delete(&bridge, 1, &error), 0);
	rcu_barrier();
	counter_set_destroy(set);
}

static unsigned int count_flows(uint8_t table_id)
{
	const struct table *table = bridge_table(&bridge, table_id);
	unsigned int n = 0;

	for (struct flow *each = table_first(table); each; each = table_next(table, each))
		n++;
	return n;
}

static void flows_need_their_meter(void **state)
{
	struct error error = { 0 };

	(void)state;
	assert_int_equal(flow(FLOW_ADD, "ip,actions=meter:7,output:1", &error), -ENOENT);
	assert_non_null(strstr(error.message, "no meter 7"));
	put(meter_add, "meter=7,kbps,bands=type=drop,rate=1", &error);
	put(meter_add, "meter=8,kbps,bands=type=drop,rate=1", &error);
	assert_int_equal(flow(FLOW_ADD, "ip,actions=meter:7,output:1", &error), 0);
	assert_int_equal(flow(FLOW_ADD, "table=3,cookie=5,arp,actions=meter:7", &error), 0);
	assert_int_equal(flow(FLOW_ADD, "ipv6,actions=meter:8,output:1", &error), 0);
	assert_int_equal(flow(FLOW_ADD, "tcp,actions=output:1", &error), 0);
	assert_int_equal(flow_index_count_meter(&bridge.index, 7), 2);
	assert_int_equal(flow_index_count_meter(&bridge.index, METER_ID_ALL), 3);
	assert_int_equal(flow(FLOW_MODIFY, "ipv6,actions=meter:9,output:1", &error), -ENOENT);
	assert_int_equal(flow(FLOW_MODIFY, "ipv6,actions=meter:7,output:1", &error), 0);
	assert_int_equal(flow_index_count_meter(&bridge.index, 7), 3);
	assert_int_equal(flow_index_count_meter(&bridge.index, 8), 0);
	assert_int_equal(flow(FLOW_DELETE, "table=0,ipv6", &error), 0);
	assert_int_equal(flow(FLOW_ADD, "ipv6,actions=meter:8,output:1", &error), 0);
	assert_int_equal(flow_index_count_meter(&bridge.index, 7), 2);
	// A meter takes its flows with it.
	assert_int_equal(meter_delete(&bridge, 7, &error), 0);
	assert_int_equal(n_flows_removed, 2);
	assert_int_equal(count_flows(0), 2);
	assert_int_equal(count_flows(3), 0);
	assert_int_equal(meter_delete(&bridge, METER_ID_ALL, &error), 0);
	assert_int_equal(count_flows(0), 1);
	assert_int_equal(flow_index_count_meter(&bridge.index, METER_ID_ALL), 0);
	assert_int_equal(flow(FLOW_DELETE, "", &error), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_are_exact),
		cmocka_unit_test(packet_rates_are_exact),
		cmocka_unit_test(what_conforms_passes),
		cmocka_unit_test(idle_time_gives_no_more_than_the_burst),
		cmocka_unit_test(a_clock_that_wraps_does_no_harm),
		cmocka_unit_test(clocks_of_cores_may_differ),
		cmocka_unit_test(extreme_settings_work),
		cmocka_unit_test(workers_share_a_rate),
		cmocka_unit_test(the_highest_exceeded_band_treats),
		cmocka_unit_test(looking_takes_no_tokens),
		cmocka_unit_test(drop_precedence_rises),
		cmocka_unit_test_setup_teardown(meters_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_change_keeps_counters_and_tokens, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(flows_need_their_meter, set_up, tear_down),
	};
	int failed;

	test_eal_init(63);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
