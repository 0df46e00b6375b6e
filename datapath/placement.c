#include "datapath/placement.h"

#include <string.h>

// Loads that differ by less than this are alike to a new queue.
#define ALIKE (5 * PLACEMENT_PERCENT)
#define NO_QUEUE UINT32_MAX

struct balance {
	const struct placement_queue *queues;
	unsigned int n_queues;
	const struct placement_worker *workers;
	unsigned int n_workers;
	const struct placement_options *options;
	struct placement_move *moves;
	unsigned int n_moves;
	const uint64_t *before;
	uint64_t *loads; // as they are after the moves so far
};

// Queues that were moved already are not moved again, so that no list of moves leads back.
static bool is_movable(const struct balance *balance, uint32_t queue)
{
	const struct placement_queue *q = &balance->queues[queue];

	if (q->fixed || q->load < balance->options->min_load || !q->load)
		return false;
	for (unsigned int i = 0; i < balance->n_moves; i++)
		if (balance->moves[i].queue == queue)
			return false;
	return true;
}

static uint32_t least_loaded(const struct balance *balance)
{
	uint32_t best = balance->n_workers;

	for (uint32_t w = 0; w < balance->n_workers; w++)
		if (!balance->workers[w].closed &&
		    (best == balance->n_workers || balance->loads[w] < balance->loads[best]))
			best = w;
	return best;
}

// The most loaded worker that may give something; `tried` are those that have nothing to give.
static uint32_t most_loaded(const struct balance *balance, const bool *tried)
{
	uint32_t best = balance->n_workers;

	for (uint32_t w = 0; w < balance->n_workers; w++) {
		if (balance->workers[w].closed || tried[w] ||
		    balance->before[w] < balance->options->load_threshold)
			continue;
		if (best == balance->n_workers || balance->loads[w] > balance->loads[best])
			best = w;
	}
	return best;
}

// By how much half the sum of the squares falls when `load` goes where `gap` less is.
static uint64_t gain(uint64_t load, uint64_t gap)
{
	return load < gap ? load * (gap - load) : 0;
}

struct step {
	uint32_t give, take; // queues; take: NO_QUEUE unless it is an exchange
	uint64_t gain;
};

static void find_exchange(const struct balance *balance, uint32_t give, uint32_t to, uint64_t gap,
			  struct step *best)
{
	const uint64_t load = balance->queues[give].load;

	for (uint32_t r = 0; r < balance->n_queues; r++) {
		const uint64_t other = balance->queues[r].load;

		if (balance->queues[r].worker == to && other < load &&
		    gain(load - other, gap) > best->gain && is_movable(balance, r))
			*best = (struct step){ give, r, gain(load - other, gap) };
	}
}

// The smaller of two queues that help as much is the one that is disturbed.
static bool is_better(const struct balance *balance, uint32_t queue, uint64_t gained,
		      const struct step *best)
{
	return gained > best->gain ||
	       (gained && gained == best->gain &&
		balance->queues[queue].load < balance->queues[best->give].load);
}

// The best thing to do between two workers. One move is preferred to an exchange unless that is
// better by a tenth.
static struct step find_step(const struct balance *balance, uint32_t from, uint32_t to)
{
	const uint64_t gap = balance->loads[from] - balance->loads[to];
	struct step single = { NO_QUEUE, NO_QUEUE, 0 }, exchange = single;

	if (gap < balance->options->min_gain)
		return single;
	for (uint32_t q = 0; q < balance->n_queues; q++) {
		const uint64_t load = balance->queues[q].load;

		if (balance->queues[q].worker != from || !is_movable(balance, q))
			continue;
		if (is_better(balance, q, gain(load, gap), &single))
			single = (struct step){ q, NO_QUEUE, gain(load, gap) };
		// Less than half of the gap is better moved as a whole.
		if (load > gap / 2 && balance->n_moves + 2 <= balance->options->max_moves)
			find_exchange(balance, q, to, gap, &exchange);
	}
	return exchange.gain > single.gain + single.gain / 10 ? exchange : single;
}

static void move(struct balance *balance, uint32_t queue, uint32_t from, uint32_t to)
{
	balance->moves[balance->n_moves++] = (struct placement_move){ queue, from, to };
	balance->loads[from] -= balance->queues[queue].load;
	balance->loads[to] += balance->queues[queue].load;
}

// One move or exchange. Returns false if there is nothing left to do.
static bool make_step(struct balance *balance)
{
	bool tried[PLACEMENT_WORKERS_MAX] = { false };
	const uint32_t to = least_loaded(balance);
	uint32_t from;

	while ((from = most_loaded(balance, tried)) < balance->n_workers && from != to &&
	       balance->loads[from] > balance->loads[to]) {
		const struct step step = find_step(balance, from, to);

		if (step.gain) {
			move(balance, step.give, from, to);
			if (step.take != NO_QUEUE)
				move(balance, step.take, to, from);
			return true;
		}
		tried[from] = true;
	}
	return false;
}

static double variance(const struct balance *balance, const uint64_t *loads, const bool *parts)
{
	double sum = 0, squares = 0;
	unsigned int n = 0;

	for (uint32_t w = 0; w < balance->n_workers; w++) {
		if (!parts[w])
			continue;
		sum += (double)loads[w];
		squares += (double)loads[w] * (double)loads[w];
		n++;
	}
	return n ? squares / n - (sum / n) * (sum / n) : 0;
}

static uint64_t highest(const struct balance *balance, const uint64_t *loads, const bool *parts)
{
	uint64_t most = 0;

	for (uint32_t w = 0; w < balance->n_workers; w++)
		if (parts[w] && loads[w] > most)
			most = loads[w];
	return most;
}

static bool is_worth_it(const struct balance *balance)
{
	const uint64_t *before = balance->before;
	const struct placement_options *options = balance->options;
	bool parts[PLACEMENT_WORKERS_MAX] = { false };
	double old, new;

	for (unsigned int i = 0; i < balance->n_moves; i++)
		parts[balance->moves[i].from] = parts[balance->moves[i].to] = true;
	if (highest(balance, before, parts) <
	    highest(balance, balance->loads, parts) + options->min_gain)
		return false;
	old = variance(balance, before, parts);
	new = variance(balance, balance->loads, parts);
	return (old - new) * 100 >= old * options->improvement_percent;
}

unsigned int placement_balance(const struct placement_queue *queues, unsigned int n_queues,
			       const struct placement_worker *workers, unsigned int n_workers,
			       const struct placement_options *options,
			       struct placement_move *moves, uint64_t *loads_before,
			       uint64_t *loads_after)
{
	struct balance balance = {
		.queues = queues,
		.n_queues = n_queues,
		.workers = workers,
		.n_workers = n_workers,
		.options = options,
		.moves = moves,
		.before = loads_before,
		.loads = loads_after,
	};

	memset(loads_before, 0, n_workers * sizeof(*loads_before));
	for (uint32_t q = 0; q < n_queues; q++)
		loads_before[queues[q].worker] += queues[q].load;
	memcpy(loads_after, loads_before, n_workers * sizeof(*loads_after));
	while (balance.n_moves < options->max_moves && make_step(&balance))
		;
	if (is_worth_it(&balance))
		return balance.n_moves;
	memcpy(loads_after, loads_before, n_workers * sizeof(*loads_after));
	return 0;
}

uint32_t placement_choose(const struct placement_worker *workers, const uint64_t *loads,
			  const uint32_t *n_queues, unsigned int n_workers)
{
	bool all_closed = true;
	uint32_t best = n_workers;

	for (uint32_t w = 0; w < n_workers; w++)
		all_closed &= workers[w].closed;
	for (uint32_t w = 0; w < n_workers; w++) {
		if (workers[w].closed && !all_closed)
			continue;
		if (best == n_workers || loads[w] / ALIKE < loads[best] / ALIKE ||
		    (loads[w] / ALIKE == loads[best] / ALIKE && n_queues[w] < n_queues[best]))
			best = w;
	}
	return best;
}
