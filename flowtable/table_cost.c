#include "flowtable/table_cost.h"

#include <stdlib.h>

#include <rte_cycles.h>

#include "flowtable/key.h"
#include "flowtable/table_internal.h"

#define KIB 1024.0
#define LINE_SIZE 64

// What a line of memory costs that was prefetched together with those of the vector's other
// packets, if lookups go through so much memory.
struct footprint {
	double bytes;
	double cycles;
};
#define N_FOOTPRINTS 4
#define N_MEASURED 3 // beyond, what was measured last grows in proportion
static const struct footprint nominal[N_FOOTPRINTS] = {
	{ 128 * KIB, 1.5 },
	{ 2048 * KIB, 4 },
	{ 16384 * KIB, 10 },
	{ 131072 * KIB, 16 },
};
// A chain of as many multiplications takes so long on the machine that the figures are from.
#define CHAIN_LENGTH 20000
#define CHAIN_CYCLES (CHAIN_LENGTH * 3 / 1.3)

struct machine {
	double speed; // cycles here for a cycle there
	struct footprint lines[N_FOOTPRINTS];
};

static double smaller(double a, double b)
{
	return a < b ? a : b;
}

// By straight lines between the sizes that are known.
static double line_cycles(const struct footprint *lines, double bytes)
{
	unsigned int i = 1;

	if (bytes <= lines[0].bytes)
		return lines[0].cycles;
	while (i < N_FOOTPRINTS - 1 && bytes > lines[i].bytes)
		i++;
	if (bytes >= lines[i].bytes)
		return lines[i].cycles;
	return lines[i - 1].cycles + (lines[i].cycles - lines[i - 1].cycles) *
					     (bytes - lines[i - 1].bytes) /
					     (lines[i].bytes - lines[i - 1].bytes);
}

static double cost(const struct machine *machine, enum classifier_template_id id, uint32_t n_flows,
		   size_t memory)
{
	// Packets that have routes meet few lines of a trie's blocks for each of them.
	const double own = id == CLASSIFIER_LPM ? smaller((double)memory, 8.0 * n_flows * LINE_SIZE)
						: (double)memory;
	const double line = line_cycles(machine->lines, own + (double)n_flows * LINE_SIZE);

	switch (id) {
	case CLASSIFIER_CONST:
		return 1 * machine->speed;
	case CLASSIFIER_LINEAR:
		return (2.5 + 0.55 * n_flows) * machine->speed;
	case CLASSIFIER_HASH: // a bucket and a flow
		return 5 * machine->speed + 2 * line;
	case CLASSIFIER_LPM: // one to three slots and a flow
		return 5.5 * machine->speed + 2.5 * line;
	case CLASSIFIER_LPM6: // five lengths or so, a node and a flow
		return 50 * machine->speed + 7 * line;
	case CLASSIFIER_REFERENCE:
		return (5 + 5.0 * n_flows) * machine->speed;
	default: // bit vectors: a bit for each flow
		return (40 + 0.021 * n_flows) * machine->speed;
	}
}

double table_cost_nominal(enum classifier_template_id id, uint32_t n_flows, size_t memory)
{
	struct machine machine = { .speed = 1 };

	for (unsigned int i = 0; i < N_FOOTPRINTS; i++)
		machine.lines[i] = nominal[i];
	return cost(&machine, id, n_flows, memory);
}

// ---- This machine -------------------------------------------------------------------------------

static double measure_speed(void)
{
	double least = 1e9;
	volatile uint64_t sink;

	for (unsigned int tries = 0; tries < 5; tries++) {
		uint64_t value = 3, start = rte_rdtsc();

		for (unsigned int i = 0; i < CHAIN_LENGTH; i++) {
			value *= value | 5;
			__asm__ volatile("" : "+r"(value));
		}
		least = smaller(least, (double)(rte_rdtsc() - start));
		sink = value;
	}
	(void)sink;
	return least / CHAIN_CYCLES;
}

// Random lines of the first `n_lines`, a vector at a time.
static double measure_lines(const char *memory, uint32_t n_lines)
{
	double least = 1e9;
	uint32_t state = 1;
	volatile char sink;

	for (unsigned int tries = 0; tries < 64; tries++) {
		uint32_t list[VECTOR_SIZE];
		uint64_t start;
		char sum = 0;

		for (unsigned int i = 0; i < VECTOR_SIZE; i++) {
			state = state * 1664525 + 1013904223;
			list[i] = (uint32_t)((uint64_t)state * n_lines >> 32) * LINE_SIZE;
		}
		start = rte_rdtsc();
		for (unsigned int i = 0; i < VECTOR_SIZE; i++)
			__builtin_prefetch(memory + list[i]);
		for (unsigned int i = 0; i < VECTOR_SIZE; i++)
			sum = (char)(sum ^ memory[list[i]]);
		// The smallest footprint is warm only after some rounds.
		if (tries >= 16)
			least = smaller(least, (double)(rte_rdtsc() - start) / VECTOR_SIZE);
		sink = sum;
	}
	(void)sink;
	return least;
}

static void measure(struct machine *machine)
{
	const size_t size = (size_t)nominal[N_MEASURED - 1].bytes;
	char *memory = aligned_alloc(LINE_SIZE, size);
	double ratio = 1;

	machine->speed = measure_speed();
	for (size_t i = 0; memory && i < size; i += LINE_SIZE)
		memory[i] = 1; // all of it, so that what is larger than a cache is not in it
	for (unsigned int i = 0; i < N_FOOTPRINTS; i++) {
		machine->lines[i] = nominal[i];
		if (memory && i < N_MEASURED) {
			machine->lines[i].cycles =
				measure_lines(memory, (uint32_t)(nominal[i].bytes / LINE_SIZE));
			ratio = machine->lines[i].cycles / nominal[i].cycles;
		} else {
			machine->lines[i].cycles *= ratio;
		}
	}
	free(memory);
}

static struct machine here;

void table_cost_calibrate(void)
{
	if (here.speed == 0)
		measure(&here);
}

double table_cost_here(enum classifier_template_id id, uint32_t n_flows, size_t memory)
{
	table_cost_calibrate();
	return cost(&here, id, n_flows, memory);
}

double table_cost_measured(const struct classifier *classifier)
{
	if (classifier->id == CLASSIFIER_SPLIT)
		return table_split_cost(classifier, table_cost_measured);
	return table_cost_here((enum classifier_template_id)classifier->id, classifier->n_flows,
			       classifier->template->memory(classifier));
}
