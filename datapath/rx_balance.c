#include "datapath/workers_internal.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>

// A second's measurement counts for so much of the average.
#define WEIGHT 0.3
// A queue is moved for its load when that is known for so many seconds.
#define SAMPLES_TO_MOVE 3
// At a time, by itself; and when somebody asks for it.
#define MAX_MOVES 8
#define MAX_MOVES_ASKED 256
#define MIN_MOVED_LOAD (1 * PLACEMENT_PERCENT)
#define MIN_GAIN (5 * PLACEMENT_PERCENT)
// What a queue weighs that is idle: idle queues are spread, too.
#define IDLE_LOAD (PLACEMENT_PERCENT / 10)
// A queue that was moved stays for so long, and twice as long each time it is moved again soon.
#define FIRST_HOLD_NS (15 * (uint64_t)NS_PER_SECOND)
#define LAST_HOLD_NS (600 * (uint64_t)NS_PER_SECOND)
#define SOON 8 // times as long as it was held

static uint64_t next_move_ns;

// --- Measuring ---

static void average(double *value, double sample, bool first)
{
	*value = first ? sample : *value + WEIGHT * (sample - *value);
}

static void measure_queue(struct rx_queue *queue, double cycles, double seconds)
{
	const uint64_t busy = __atomic_load_n(&queue->counters->cycles, __ATOMIC_RELAXED);
	const uint64_t packets = __atomic_load_n(&queue->counters->packets, __ATOMIC_RELAXED);
	const double n = (double)(packets - queue->packets);
	const bool first = !queue->n_samples++;

	average(&queue->load, (double)(busy - queue->cycles) / cycles, first);
	average(&queue->packet_rate, n / seconds, first);
	if (n > 0)
		average(&queue->cycles_per_packet, (double)(busy - queue->cycles) / n,
			!(queue->cycles_per_packet > 0));
	queue->cycles = busy;
	queue->packets = packets;
}

static void measure_worker(struct worker *worker, double cycles, double seconds)
{
	struct worker_gauge *gauge = &worker->gauge;
	const uint64_t busy = __atomic_load_n(&worker->busy_cycles, __ATOMIC_RELAXED);
	const uint64_t packets = __atomic_load_n(&worker->n_packets, __ATOMIC_RELAXED);
	const double n = (double)(packets - gauge->packets);
	const bool first = !gauge->measured;

	gauge->measured = true;
	average(&gauge->load, (double)(busy - gauge->busy_cycles) / cycles, first);
	average(&gauge->packet_rate, n / seconds, first);
	if (n > 0)
		average(&gauge->cycles_per_packet, (double)(busy - gauge->busy_cycles) / n,
			!(gauge->cycles_per_packet > 0));
	gauge->busy_cycles = busy;
	gauge->packets = packets;
}

// False if it is too early for it.
static bool measure(void)
{
	static uint64_t before;
	const uint64_t now = rte_rdtsc();
	const double cycles = (double)(now - before);
	const double seconds = cycles / (double)rte_get_tsc_hz();
	struct worker *worker;

	if (before && seconds < 0.9)
		return false;
	for (unsigned int i = 0; before && i < rx_queues_count(); i++)
		measure_queue(rx_queue_at(i), cycles, seconds);
	for (unsigned int i = 0; before && (worker = worker_running(i)); i++)
		measure_worker(worker, cycles, seconds);
	before = now;
	return true;
}

// --- Moving ---

static bool is_held(const struct rx_queue *queue, uint64_t now_ns)
{
	return queue->n_samples < SAMPLES_TO_MOVE ||
	       (queue->moved_ns && now_ns - queue->moved_ns < queue->hold_ns);
}

static uint32_t index_of(const struct worker *worker)
{
	uint32_t i = 0;

	while (worker_running(i) && worker_running(i) != worker)
		i++;
	return i;
}

struct plan {
	struct rx_workers state;
	struct placement_queue *queues;
	struct placement_move moves[MAX_MOVES_ASKED];
	unsigned int n_moves;
	uint64_t before[PLACEMENT_WORKERS_MAX], after[PLACEMENT_WORKERS_MAX];
};

// `now_ns` 0: queues are moved although they were moved a short time ago.
static int make_plan(struct plan *plan, const struct placement_options *options, uint64_t now_ns,
		     uint32_t idle_load)
{
	const unsigned int n = rx_queues_count();

	plan->n_moves = 0;
	plan->queues = calloc(n + 1, sizeof(*plan->queues));
	if (!plan->queues)
		return -ENOMEM;
	rx_workers_read(&plan->state);
	for (unsigned int i = 0; i < n; i++) {
		const struct rx_queue *queue = rx_queue_at(i);
		const uint32_t load = (uint32_t)(queue->load * PLACEMENT_FULL);

		plan->queues[i] = (struct placement_queue){
			.load = load > idle_load ? load : idle_load,
			.worker = index_of(queue->worker),
			.fixed = queue->pinned || (now_ns && is_held(queue, now_ns)),
		};
	}
	plan->n_moves = placement_balance(plan->queues, n, plan->state.workers, plan->state.n,
					  options, plan->moves, plan->before, plan->after);
	free(plan->queues);
	plan->queues = NULL;
	return 0;
}

static void carry_out(const struct plan *plan, const char *reason)
{
	for (unsigned int i = 0; i < plan->n_moves; i++) {
		const struct placement_move *move = &plan->moves[i];
		struct rx_queue *queue = rx_queue_at(move->queue);
		const unsigned int from = queue->worker->id;

		queue->worker = worker_running(move->to);
		snprintf(queue->why, sizeof(queue->why), "%s (worker %u: %u %% -> %u %%)", reason,
			 from, (unsigned int)(plan->before[move->from] / PLACEMENT_PERCENT),
			 (unsigned int)(plan->after[move->from] / PLACEMENT_PERCENT));
		log_info("receive queue %s/%u goes to worker %u: %s", queue->vport->name,
			 queue->queue, queue->worker->id, queue->why);
	}
	// Without memory for new lists the old ones stay, and the next change tries again.
	if (plan->n_moves && rx_queues_publish() < 0)
		log_error("no memory to move receive queues");
}

static void hold_moved(const struct plan *plan, uint64_t now_ns)
{
	for (unsigned int i = 0; i < plan->n_moves; i++) {
		struct rx_queue *queue = rx_queue_at(plan->moves[i].queue);
		const bool again =
			queue->moved_ns && now_ns - queue->moved_ns < SOON * queue->hold_ns;

		queue->hold_ns = again ? queue->hold_ns * 2 : FIRST_HOLD_NS;
		if (queue->hold_ns > LAST_HOLD_NS)
			queue->hold_ns = LAST_HOLD_NS;
		queue->moved_ns = now_ns;
	}
}

static void balance_by_itself(uint64_t now_ns)
{
	const struct balancing *balancing = workers_balancing();
	const struct placement_options options = {
		.load_threshold = balancing->load_threshold * PLACEMENT_PERCENT,
		.min_load = MIN_MOVED_LOAD,
		.min_gain = MIN_GAIN,
		.improvement_percent = balancing->improvement,
		.max_moves = MAX_MOVES,
	};
	static struct plan plan;

	if (!balancing->automatic || !balancing->by_load || now_ns < next_move_ns ||
	    workers_count() < 2 || make_plan(&plan, &options, now_ns, 0) < 0 || !plan.n_moves)
		return;
	carry_out(&plan, "moved for its load");
	hold_moved(&plan, now_ns);
	next_move_ns = now_ns + balancing->interval_s * (uint64_t)NS_PER_SECOND;
}

void workers_tick(uint64_t now_ns)
{
	if (!measure())
		return;
	workers_bury_stopped();
	balance_by_itself(now_ns);
}

static const struct placement_options any_gain = {
	.min_gain = PLACEMENT_PERCENT / 20,
	.max_moves = MAX_MOVES_ASKED,
};

static double highest(const struct plan *plan, const uint64_t *loads)
{
	uint64_t most = 0;

	for (unsigned int w = 0; w < plan->state.n; w++)
		if (loads[w] > most)
			most = loads[w];
	return (double)most / PLACEMENT_PERCENT;
}

int workers_rebalance(bool dry_run,
		      void (*visit)(void *context, const struct vport *vport, uint16_t queue,
				    unsigned int from, unsigned int to),
		      void *context, struct rebalance *result)
{
	static struct plan plan;

	if (make_plan(&plan, &any_gain, 0, IDLE_LOAD) < 0)
		return -ENOMEM;
	for (unsigned int i = 0; i < plan.n_moves; i++) {
		const struct rx_queue *queue = rx_queue_at(plan.moves[i].queue);

		visit(context, queue->vport, queue->queue, queue->worker->id,
		      worker_running(plan.moves[i].to)->id);
	}
	*result = (struct rebalance){
		.n_moves = plan.n_moves,
		.before = highest(&plan, plan.before),
		.after = highest(&plan, plan.after),
	};
	if (!dry_run)
		carry_out(&plan, "moved by hand");
	return 0;
}

void rx_balance_spread(void)
{
	static struct plan plan;

	if (make_plan(&plan, &any_gain, 0, IDLE_LOAD) == 0)
		carry_out(&plan, "moved as workers changed");
}

bool workers_queue_info(unsigned int i, struct queue_info *info)
{
	const struct rx_queue *queue = rx_queue_at(i);

	if (!queue)
		return false;
	*info = (struct queue_info){
		.vport = queue->vport,
		.queue = queue->queue,
		.worker = queue->worker->id,
		.pinned_core = queue->pinned_core,
		.load = queue->load * 100,
		.packet_rate = queue->packet_rate,
		.cycles_per_packet = queue->cycles_per_packet,
		.packets = queue->counters->packets,
		.why = queue->why,
	};
	return true;
}
