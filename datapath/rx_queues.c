#include "datapath/workers_internal.h"

#include "common/rcu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEW_QUEUE_LOAD (10 * PLACEMENT_PERCENT)

static struct rx_queue **queues; // by port and number
static unsigned int n_queues;

// By port: cores that queues are pinned to; NULL: none.
static struct queue_pins *pins[VPORT_MAX];

static struct balancing balancing = BALANCING_DEFAULT;

void workers_set_balancing(const struct balancing *wanted)
{
	const bool same_rules =
		balancing.by_load == wanted->by_load && balancing.isolate == wanted->isolate;

	balancing = *wanted;
	if (!same_rules)
		workers_distribute();
}

const struct balancing *workers_balancing(void)
{
	return &balancing;
}

struct rx_queue *rx_queue_at(unsigned int i)
{
	return i < n_queues ? queues[i] : NULL;
}

unsigned int rx_queues_count(void)
{
	return n_queues;
}

// --- Which queues there are ---

static void free_queue(struct rx_queue *queue)
{
	rcu_defer(free, queue->counters);
	free(queue);
}

static struct rx_queue *create_queue(struct vport *vport, uint16_t number)
{
	struct rx_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return NULL;
	queue->counters = aligned_alloc(64, sizeof(*queue->counters));
	if (!queue->counters) {
		free(queue);
		return NULL;
	}
	memset(queue->counters, 0, sizeof(*queue->counters));
	queue->vport = vport;
	queue->index = vport->index;
	queue->queue = number;
	queue->pinned_core = -1;
	return queue;
}

static bool is_polled(const struct vport *vport)
{
	return vport && vport->polled && vport->forwarding;
}

static unsigned int count_wanted(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < VPORT_MAX; i++) {
		const struct vport *vport = vport_by_index(i);

		if (is_polled(vport))
			n += vport->n_rxq;
	}
	return n;
}

// An array of all queues that there should be; those that were there already are the same objects.
static int list_queues(struct rx_queue **list, unsigned int *n)
{
	unsigned int old = 0;

	for (unsigned int i = 0; i < VPORT_MAX; i++) {
		struct vport *vport = vport_by_index(i);

		for (uint16_t q = 0; is_polled(vport) && q < vport->n_rxq; q++) {
			while (old < n_queues &&
			       (queues[old]->index < i ||
				(queues[old]->index == i && queues[old]->queue < q)))
				old++;
			if (old < n_queues && queues[old]->vport == vport &&
			    queues[old]->queue == q)
				list[*n] = queues[old];
			else
				list[*n] = create_queue(vport, q);
			if (!list[*n])
				return -ENOMEM;
			list[(*n)++]->wanted = true;
		}
	}
	return 0;
}

// --- Which worker is to poll them ---

static struct worker *worker_on_core(int core)
{
	struct worker *worker;

	for (unsigned int i = 0; (worker = worker_running(i)); i++)
		if ((int)worker->core == core && !worker->leaving)
			return worker;
	return NULL;
}

static unsigned int index_of(const struct worker *worker)
{
	unsigned int i = 0;

	while (worker_running(i) && worker_running(i) != worker)
		i++;
	return i;
}

static void read_pin(struct rx_queue *queue)
{
	const struct queue_pins *port = pins[queue->index];

	queue->pinned_core =
		port && queue->queue < VPORT_MAX_QUEUES ? port->cores[queue->queue] : -1;
	queue->pinned = queue->pinned_core >= 0 && worker_on_core(queue->pinned_core);
}

static bool all_closed(const struct rx_workers *state)
{
	for (unsigned int w = 0; w < state->n; w++)
		if (!state->workers[w].closed)
			return false;
	return true;
}

void rx_workers_read(struct rx_workers *state)
{
	memset(state, 0, sizeof(*state));
	while (worker_running(state->n)) {
		state->workers[state->n].closed = worker_running(state->n)->leaving;
		state->n++;
	}
	for (unsigned int i = 0; i < n_queues; i++) {
		const struct rx_queue *queue = queues[i];
		const unsigned int w = index_of(queue->worker);

		if (w == state->n)
			continue;
		state->n_queues[w]++;
		state->loads[w] += queue->n_samples ? (uint64_t)(queue->load * PLACEMENT_FULL)
						    : NEW_QUEUE_LOAD;
		if (queue->pinned && balancing.isolate)
			state->workers[w].closed = true;
	}
	// Where all workers have pinned queues, others must go there too.
	if (all_closed(state))
		for (unsigned int w = 0; w < state->n; w++)
			state->workers[w].closed = worker_running(w)->leaving;
}

static void say_why(struct rx_queue *queue, const char *reason)
{
	if (queue->pinned_core >= 0 && !queue->pinned)
		snprintf(queue->why, sizeof(queue->why),
			 "pinned to core %d, which has no worker: %s", queue->pinned_core, reason);
	else
		snprintf(queue->why, sizeof(queue->why), "%s", reason);
}

static void place_pinned(void)
{
	for (unsigned int i = 0; i < n_queues; i++) {
		struct rx_queue *queue = queues[i];
		const bool was_pinned = queue->pinned, had_core = queue->pinned_core >= 0;

		read_pin(queue);
		if (queue->pinned) {
			queue->worker = worker_on_core(queue->pinned_core);
			snprintf(queue->why, sizeof(queue->why),
				 "pinned to core %d by pmd-rxq-affinity", queue->pinned_core);
		} else if (queue->worker && (was_pinned || had_core != (queue->pinned_core >= 0))) {
			say_why(queue, "not moved since it was pinned here");
		}
	}
}

// True if the queue must leave its worker.
static bool is_homeless(const struct rx_queue *queue, const struct rx_workers *state)
{
	const unsigned int w = queue->worker ? index_of(queue->worker) : state->n;

	if (queue->pinned)
		return false;
	return w == state->n || queue->worker->leaving || state->workers[w].closed;
}

static uint32_t choose(const struct rx_workers *state)
{
	static const uint64_t no_loads[PLACEMENT_WORKERS_MAX];

	return placement_choose(state->workers, balancing.by_load ? state->loads : no_loads,
				state->n_queues, state->n);
}

static void place_homeless(void)
{
	struct rx_workers state;

	rx_workers_read(&state);
	for (unsigned int i = 0; i < n_queues; i++) {
		struct rx_queue *queue = queues[i];
		const struct worker *old = queue->worker;
		const unsigned int before = old ? index_of(old) : state.n;
		char reason[64];
		uint32_t w;

		if (!is_homeless(queue, &state))
			continue;
		w = choose(&state);
		queue->worker = worker_running(w);
		if (!old)
			snprintf(reason, sizeof(reason), "%s when it was added",
				 balancing.by_load ? "the least loaded worker" : "in turn");
		else if (old->leaving)
			snprintf(reason, sizeof(reason), "its worker on core %u was removed",
				 old->core);
		else
			snprintf(reason, sizeof(reason), "core %u was kept for queues pinned to it",
				 old->core);
		say_why(queue, reason);
		if (before < state.n)
			state.n_queues[before]--;
		state.n_queues[w]++;
		state.loads[w] += queue->n_samples ? (uint64_t)(queue->load * PLACEMENT_FULL)
						   : NEW_QUEUE_LOAD;
	}
}

// --- Telling the workers ---

static struct poll_list *make_list(const struct worker *worker, bool only_kept)
{
	struct poll_list *list = calloc(1, sizeof(*list) + n_queues * sizeof(*list->queues));

	for (unsigned int i = 0; list && i < n_queues; i++) {
		const struct rx_queue *queue = queues[i];

		if (queue->worker == worker &&
		    (!only_kept || !queue->polled_by || queue->polled_by == worker))
			list->queues[list->n++] = (struct poll_queue){
				.vport = queue->vport,
				.counters = queue->counters,
				.queue = queue->queue,
			};
	}
	return list;
}

static bool same_lists(const struct poll_list *a, const struct poll_list *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (a->queues[i].vport != b->queues[i].vport ||
		    a->queues[i].counters != b->queues[i].counters ||
		    a->queues[i].queue != b->queues[i].queue)
			return false;
	return true;
}

static void publish_list(struct worker *worker, struct poll_list *list)
{
	struct poll_list *old = worker->poll_list;

	if (same_lists(old, list)) {
		free(list);
		return;
	}
	list->generation = old->generation + 1;
	rcu_publish(&worker->poll_list, list);
	rcu_defer(free, old);
	worker_wake(worker);
}

static int make_lists(struct poll_list **lists, bool only_kept)
{
	struct worker *worker;

	for (unsigned int i = 0; (worker = worker_running(i)); i++) {
		lists[i] = make_list(worker, only_kept);
		if (lists[i])
			continue;
		while (i-- > 0)
			free(lists[i]);
		return -ENOMEM;
	}
	return 0;
}

static void publish_lists(struct poll_list **lists)
{
	struct worker *worker;

	for (unsigned int i = 0; (worker = worker_running(i)); i++)
		publish_list(worker, lists[i]);
}

static bool any_changes_hands(void)
{
	for (unsigned int i = 0; i < n_queues; i++)
		if (queues[i]->polled_by && queues[i]->polled_by != queues[i]->worker)
			return true;
	return false;
}

int rx_queues_publish(void)
{
	struct poll_list *kept[PLACEMENT_WORKERS_MAX], *all[PLACEMENT_WORKERS_MAX];
	const bool handover = any_changes_hands();

	if (make_lists(all, false) < 0)
		return -ENOMEM;
	if (handover && make_lists(kept, true) < 0) {
		for (unsigned int i = 0; worker_running(i); i++)
			free(all[i]);
		return -ENOMEM;
	}
	if (handover) {
		publish_lists(kept);
		// Until here a worker may be sending what it received from a queue that it had.
		rcu_synchronize();
	}
	publish_lists(all);
	for (unsigned int i = 0; i < n_queues; i++)
		queues[i]->polled_by = queues[i]->worker;
	return 0;
}

static bool is_listed(const struct poll_queue *queue)
{
	for (unsigned int i = 0; i < n_queues; i++)
		if (queues[i]->counters == queue->counters)
			return true;
	return false;
}

// Without memory for new lists: no worker may go on with a queue that is gone. The lists are changed in
// place while nobody uses them.
static void strike_gone(void)
{
	static struct poll_list nothing = { .generation = UINT64_MAX };
	struct worker *worker;

	for (unsigned int i = 0; (worker = worker_running(i)); i++) {
		struct poll_list *list = worker->poll_list;
		uint32_t n = 0;

		rcu_publish(&worker->poll_list, &nothing);
		worker_wake(worker);
		rcu_synchronize();
		for (uint32_t q = 0; q < list->n; q++)
			if (is_listed(&list->queues[q]))
				list->queues[n++] = list->queues[q];
		list->n = n;
		list->generation++;
		rcu_publish(&worker->poll_list, list);
		worker_wake(worker);
	}
}

// Take over a new list of queues and make it so.
static int change_queues(struct rx_queue **list, unsigned int n)
{
	struct rx_queue **old = queues;
	const unsigned int n_old = n_queues;
	int status;

	queues = list;
	n_queues = n;
	place_pinned();
	place_homeless();
	status = rx_queues_publish();
	if (status < 0)
		strike_gone();
	// Workers have left them, or will have done so before their counters are freed.
	for (unsigned int i = 0; i < n_old; i++)
		if (!old[i]->wanted)
			free_queue(old[i]);
	free(old);
	return status;
}

// The part of the old list that is still there comes first, the rest behind it.
static void part_old_queues(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < n_queues; i++) {
		struct rx_queue *queue = queues[i];

		queue->wanted = is_polled(queue->vport) && queue->queue < queue->vport->n_rxq;
		if (queue->wanted) {
			queues[i] = queues[n];
			queues[n++] = queue;
		}
	}
	n_queues = n;
}

static int distribute(void)
{
	struct rx_queue **list = calloc(count_wanted() + 1, sizeof(*list));
	const unsigned int n_old = n_queues;
	unsigned int n = 0;

	for (unsigned int i = 0; i < n_queues; i++)
		queues[i]->wanted = false;
	if (list && list_queues(list, &n) == 0)
		return change_queues(list, n);
	for (unsigned int i = 0; i < n; i++)
		if (!list[i]->worker)
			free_queue(list[i]);
	free(list);
	part_old_queues();
	strike_gone();
	for (unsigned int i = n_queues; i < n_old; i++)
		free_queue(queues[i]);
	return -ENOMEM;
}

int workers_distribute(void)
{
	return worker_running(0) ? distribute() : 0;
}

// --- Pinning ---

int workers_pin_queues(unsigned int vport_index, const struct queue_pins *wanted)
{
	struct queue_pins *port = pins[vport_index];
	bool any = false;

	for (unsigned int i = 0; wanted && i < VPORT_MAX_QUEUES; i++)
		any |= wanted->cores[i] >= 0;
	if (!any && !port)
		return 0;
	if (any && port && !memcmp(port, wanted, sizeof(*port)))
		return 0;
	if (!any) {
		free(port);
		pins[vport_index] = NULL;
	} else {
		if (!port)
			port = malloc(sizeof(*port));
		if (!port)
			return -ENOMEM;
		*port = *wanted;
		pins[vport_index] = port;
	}
	return workers_distribute();
}

void rx_queues_forget_port(unsigned int vport_index)
{
	free(pins[vport_index]);
	pins[vport_index] = NULL;
}

void rx_queues_clear(void)
{
	for (unsigned int i = 0; i < n_queues; i++)
		free_queue(queues[i]);
	free(queues);
	queues = NULL;
	n_queues = 0;
	for (unsigned int i = 0; i < VPORT_MAX; i++)
		rx_queues_forget_port(i);
}
