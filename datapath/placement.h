// Which worker polls which receive queue: the decision, without anything that carries it out.
//
// Numbers in, moves out: no thread, no port, no clock, so that it is tested with random input.
// datapath/rx_queues.c measures, asks and carries out. Loads are parts per million of a core.
//
// A worker that is loaded beyond a threshold gives queues to the least loaded one, or exchanges
// queues with it where no single queue fits, as long as that brings the two nearer to each other.
// What comes out is worth it or nothing: the variance of the workers that take part must fall by a
// given share, and the most loaded of them by more than a measurement can be wrong. Each move makes
// the sum of the squares of the loads smaller, so that the same loads never lead in a circle.
#ifndef DATAPATH_PLACEMENT_H
#define DATAPATH_PLACEMENT_H

#include <stdbool.h>
#include <stdint.h>

#define PLACEMENT_WORKERS_MAX 64
#define PLACEMENT_FULL 1000000u // a whole core
#define PLACEMENT_PERCENT (PLACEMENT_FULL / 100)

struct placement_queue {
	uint32_t load;
	uint32_t worker; // index of the worker that polls it
	bool fixed; // stays where it is: pinned, or moved a short time ago
};

struct placement_worker {
	bool closed; // takes no queues and gives none: kept for pinned ones
};

struct placement_options {
	uint32_t load_threshold; // below it a worker keeps its queues
	uint32_t min_load; // queues with less load are not worth a move
	uint32_t min_gain; // by which the most loaded worker must get better
	unsigned int improvement_percent; // by which the variance must fall
	unsigned int max_moves; // an exchange is two
};

struct placement_move {
	uint32_t queue; // index
	uint32_t from, to; // workers
};

// Returns how many moves to make, in order; `moves` has room for options->max_moves. `loads` becomes
// what each worker is loaded with, and would be after the moves.
unsigned int placement_balance(const struct placement_queue *queues, unsigned int n_queues,
			       const struct placement_worker *workers, unsigned int n_workers,
			       const struct placement_options *options,
			       struct placement_move *moves, uint64_t *loads_before,
			       uint64_t *loads_after);

// The worker for a queue of which nothing is known: the one with the least load, and among those
// that are alike in it the one with the fewest queues. Closed ones only where all are.
uint32_t placement_choose(const struct placement_worker *workers, const uint64_t *loads,
			  const uint32_t *n_queues, unsigned int n_workers);

#endif
