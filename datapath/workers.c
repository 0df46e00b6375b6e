#include "datapath/datapath.h"

#include "common/error.h"
#include "common/log.h"
#include "common/rcu.h"
#include "datapath/learn.h"
#include "datapath/qos.h"
#include "datapath/worker_run.h"
#include "datapath/workers_internal.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

// While one set of workers takes the place of another, both are here.
#define MAX_RUNNING (2 * WORKERS_MAX)
_Static_assert(MAX_RUNNING <= PLACEMENT_WORKERS_MAX, "room for the decision");

static struct worker *workers[MAX_RUNNING];
static unsigned int n_workers;
static struct worker *main_worker; // NULL until it has something to send
// Stopped, until what they said has been heard: then the main thread's has their counts.
static struct worker *retired[MAX_RUNNING];
static unsigned int n_retired;
static int64_t idle_sleep_ns = IDLE_SLEEP_AUTO;
static int learn_fd = -1;

// What a closed port had counted, so that totals stay whole.
static struct worker_totals gone;

static cpu_set_t all_cores; // that the process may use; empty before workers start

// All workers that count or counted, the main thread's last; NULL past the end.
static struct worker *worker_at(unsigned int i)
{
	if (i < n_workers)
		return workers[i];
	i -= n_workers;
	return i < n_retired ? retired[i] : i == n_retired ? main_worker : NULL;
}

struct worker *worker_running(unsigned int i)
{
	return i < n_workers ? workers[i] : NULL;
}

const struct cache *workers_cache(unsigned int i)
{
	return i < n_workers ? workers[i]->cache : NULL;
}

struct worker *workers_main(void)
{
	if (!main_worker)
		main_worker = worker_create(WORKERS_MAX);
	return main_worker;
}

struct forwarding_port *workers_packet_out_port(void)
{
	static struct vport vport = { .index = PACKET_OUT_INDEX, .name = "packet-out" };
	static struct forwarding_port port = { .vport = &vport, .admin_up = true, .vlan_tag = -1 };

	return &port;
}

void thread_yield_to_workers(pthread_t thread, bool yield)
{
	const struct sched_param parameters = { 0 };
	cpu_set_t cores = all_cores;

	// Failing at any of this makes nothing worse than it was.
	if (!yield)
		sched_getaffinity(0, sizeof(cores), &cores);
	if (CPU_COUNT(&cores))
		pthread_setaffinity_np(thread, sizeof(cores), &cores);
	pthread_setschedparam(thread, yield ? SCHED_IDLE : SCHED_OTHER, &parameters);
}

void workers_set_idle_sleep(int64_t ns)
{
	idle_sleep_ns = ns;
}

void worker_wake(struct worker *worker)
{
	const uint64_t one = 1;

	// A full counter is as good as a higher one.
	if (write(worker->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static int start_thread(struct worker *worker, struct error *error)
{
	char name[16];
	pthread_attr_t attributes;
	cpu_set_t cores;
	int status;

	CPU_ZERO(&cores);
	CPU_SET(worker->core, &cores);
	pthread_attr_init(&attributes);
	status = pthread_attr_setaffinity_np(&attributes, sizeof(cores), &cores);
	if (!status)
		status = pthread_create(&worker->thread, &attributes, worker_run, worker);
	pthread_attr_destroy(&attributes);
	if (status)
		return error_set(error, status,
				 "no worker can run on core %u: %s (nproc says how many there are)",
				 worker->core, strerror(status));
	snprintf(name, sizeof(name), "worker-%u", worker->id);
	pthread_setname_np(worker->thread, name);
	return 0;
}

// What the control thread does, and threads that it starts later, must not take time from a worker:
// a worker that polls would wait for milliseconds until the scheduler gives its core back. Where
// workers have all cores that we may use, that cannot be helped.
static void leave_cores(void)
{
	cpu_set_t allowed;

	if (!CPU_COUNT(&all_cores) && sched_getaffinity(0, sizeof(all_cores), &all_cores))
		return;
	allowed = all_cores;
	for (unsigned int i = 0; i < n_workers; i++)
		if (workers[i]->core < CPU_SETSIZE)
			CPU_CLR(workers[i]->core, &allowed);
	if (!CPU_COUNT(&allowed))
		allowed = all_cores;
	sched_setaffinity(0, sizeof(allowed), &allowed);
}

// The lowest number that no worker has.
static unsigned int free_id(void)
{
	for (unsigned int id = 0;; id++) {
		unsigned int i = 0;

		while (i < n_workers && workers[i]->id != id)
			i++;
		if (i == n_workers)
			return id;
	}
}

static int start_worker(unsigned int core, struct error *error)
{
	const unsigned int id = free_id();
	struct worker *worker = worker_create(id);
	int status;

	if (!worker)
		return error_set(error, ENOMEM, "out of memory");
	worker->learn->fd = learn_fd;
	worker->core = core;
	worker->idle_sleep_ns = idle_sleep_ns;
	worker->poll_list = calloc(1, sizeof(*worker->poll_list));
	if (!worker->poll_list || rcu_reader_register(id) < 0) {
		worker_destroy(worker);
		return error_set(error, ENOMEM, "out of memory");
	}
	status = start_thread(worker, error);
	if (status < 0) {
		rcu_reader_unregister(id);
		worker_destroy(worker);
		return status;
	}
	workers[n_workers++] = worker;
	return 0;
}

// It must poll nothing any more. Its counts stay in the sums.
static void stop_worker(struct worker *worker)
{
	unsigned int i = 0;

	rcu_publish(&worker->stop, 1);
	worker_wake(worker);
	pthread_join(worker->thread, NULL);
	rcu_reader_unregister(worker->id);
	while (workers[i] != worker)
		i++;
	for (n_workers--; i < n_workers; i++)
		workers[i] = workers[i + 1];
	retired[n_retired++] = worker;
}

static void add(struct port_counters *sum, const struct port_counters *counters)
{
	sum->rx_packets += counters->rx_packets;
	sum->rx_bytes += counters->rx_bytes;
	sum->tx_packets += counters->tx_packets;
	sum->tx_bytes += counters->tx_bytes;
	sum->tx_joined += counters->tx_joined;
	for (unsigned int r = 0; r < N_DROPS; r++) {
		sum->rx_drops[r] += counters->rx_drops[r];
		sum->tx_drops[r] += counters->tx_drops[r];
	}
}

static void inherit_counts(struct worker *heir, const struct worker *worker)
{
	for (unsigned int i = 0; i <= PACKET_OUT_INDEX; i++)
		add(&heir->ports[i], &worker->ports[i]);
	heir->n_copies += worker->n_copies;
	heir->n_events_lost += worker->n_events_lost;
	heir->learn->n_lost += worker->learn->n_lost;
}

void workers_bury_stopped(void)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < n_retired; i++) {
		struct worker *worker = retired[i];

		if (rte_ring_empty(worker->events) && rte_ring_empty(worker->learn->ring)) {
			inherit_counts(main_worker, worker);
			worker_destroy(worker);
		} else {
			retired[kept++] = worker;
		}
	}
	n_retired = kept;
}

static int check_number(unsigned int n, struct error *error)
{
	if (n > 0 && n <= WORKERS_MAX)
		return 0;
	return error_set(error, EINVAL, "there can be 1 to %u workers, not %u", WORKERS_MAX, n);
}

int workers_start(const unsigned int *cores, unsigned int n, struct error *error)
{
	int status = check_number(n, error);

	if (status < 0)
		return status;
	learn_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (learn_fd < 0)
		return error_set(error, errno, "no event descriptor: %s", strerror(errno));
	for (unsigned int i = 0; i < n && !status; i++)
		status = start_worker(cores[i], error);
	if (!status)
		leave_cores();
	return status;
}

static bool is_wanted(const struct worker *worker, const unsigned int *cores, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (cores[i] == worker->core)
			return true;
	return false;
}

static bool has_worker(unsigned int core)
{
	for (unsigned int i = 0; i < n_workers; i++)
		if (workers[i]->core == core)
			return true;
	return false;
}

// Those that are leaving, if their queues have found others.
static void stop_leaving(void)
{
	for (unsigned int i = n_workers; i-- > 0;)
		if (workers[i]->leaving && workers[i]->poll_list->n == 0)
			stop_worker(workers[i]);
}

// Have others poll what these poll, and stop them.
static int dismiss(const unsigned int *cores, unsigned int n)
{
	int status;

	for (unsigned int i = 0; i < n_workers; i++)
		workers[i]->leaving = !is_wanted(workers[i], cores, n);
	status = workers_distribute();
	if (!status)
		status = qos_place_shapers();
	if (status < 0)
		for (unsigned int i = 0; i < n_workers; i++)
			workers[i]->leaving = false;
	else
		stop_leaving();
	return status;
}

int workers_set_cores(const unsigned int *cores, unsigned int n, struct error *error)
{
	const unsigned int n_before = n_workers;
	unsigned int before[MAX_RUNNING];
	int status = check_number(n, error);

	for (unsigned int i = 0; i < n_before; i++)
		before[i] = workers[i]->core;
	// Room for those that stop; there is always somebody to have their counts.
	workers_bury_stopped();
	if (!status && (!workers_main() || n_retired + n_before > MAX_RUNNING))
		return error_set(error, EAGAIN,
				 "workers that were stopped are not gone yet: try again");
	for (unsigned int i = 0; i < n && !status; i++)
		if (!has_worker(cores[i]))
			status = start_worker(cores[i], error);
	if (status < 0) {
		dismiss(before, n_before);
		return status;
	}
	if (n_workers == n && n == n_before)
		return 0; // the same
	status = dismiss(cores, n);
	if (status < 0) {
		dismiss(before, n_before);
		return error_set(error, -status, "out of memory");
	}
	vport_set_n_workers(n_workers);
	leave_cores();
	workers_distribute(); // queues may be pinned to cores that have a worker now
	rx_balance_spread();
	return 0;
}

void workers_stop(void)
{
	for (unsigned int i = 0; i < n_workers; i++) {
		rcu_publish(&workers[i]->stop, 1);
		worker_wake(workers[i]);
	}
	for (unsigned int i = 0; i < n_workers; i++) {
		pthread_join(workers[i]->thread, NULL);
		rcu_reader_unregister(workers[i]->id);
		worker_destroy(workers[i]);
		workers[i] = NULL;
	}
	n_workers = 0;
	for (unsigned int i = 0; i < n_retired; i++)
		worker_destroy(retired[i]);
	n_retired = 0;
	rx_queues_clear();
	worker_destroy(main_worker);
	main_worker = NULL;
	if (learn_fd >= 0)
		close(learn_fd);
	learn_fd = -1;
}

unsigned int workers_count(void)
{
	return n_workers;
}

void workers_synchronize(void)
{
	rcu_synchronize();
}

void workers_drain_events(void (*handle)(void *context, const struct worker_event *event),
			  void *context)
{
	struct worker *worker;

	for (unsigned int i = 0; (worker = worker_at(i)); i++) {
		struct worker_event events[64];
		unsigned int n;

		// Bounded: what comes meanwhile waits for the next turn.
		for (unsigned int turn = 0; turn < 64; turn++) {
			n = rte_ring_sc_dequeue_burst_elem(worker->events, events, sizeof(*events),
							   64, NULL);
			for (unsigned int e = 0; e < n; e++)
				handle(context, &events[e]);
			if (n < 64)
				break;
		}
	}
}

int workers_learn_fd(void)
{
	return learn_fd;
}

unsigned int workers_drain_learned(void (*handle)(void *context,
						  const struct learn_request *request),
				   void *context)
{
	struct learn_request requests[32];
	unsigned int total = 0;
	struct worker *worker;
	uint64_t rings;

	while (learn_fd >= 0 && read(learn_fd, &rings, sizeof(rings)) > 0)
		;
	for (unsigned int i = 0; (worker = worker_at(i)); i++) {
		// Bounded: what comes meanwhile waits for the next turn.
		for (unsigned int turn = 0; turn < LEARN_RING_SIZE / 32; turn++) {
			const unsigned int n = rte_ring_sc_dequeue_burst_elem(
				worker->learn->ring, requests, sizeof(*requests), 32, NULL);

			for (unsigned int r = 0; r < n; r++)
				handle(context, &requests[r]);
			total += n;
			if (n < 32)
				break;
		}
	}
	return total;
}

void workers_rest_learned(void)
{
	for (unsigned int i = 0; i < n_workers; i++)
		__atomic_store_n(&workers[i]->learn->told, 0, __ATOMIC_SEQ_CST);
}

void workers_port_counters(unsigned int vport_index, struct port_counters *sum)
{
	const struct worker *worker;

	memset(sum, 0, sizeof(*sum));
	for (unsigned int i = 0; (worker = worker_at(i)); i++)
		add(sum, &worker->ports[vport_index]);
}

static void add_totals(struct worker_totals *totals, const struct port_counters *counters)
{
	totals->received += counters->rx_packets;
	totals->transmitted += counters->tx_packets;
	for (unsigned int r = 0; r < N_DROPS; r++) {
		const uint64_t drops = counters->rx_drops[r] + counters->tx_drops[r];

		totals->drops[r] += drops;
		totals->dropped += drops;
	}
}

void workers_port_forget(unsigned int vport_index)
{
	struct port_counters sum;
	struct worker *worker;

	workers_port_counters(vport_index, &sum);
	add_totals(&gone, &sum);
	for (unsigned int i = 0; (worker = worker_at(i)); i++)
		memset(&worker->ports[vport_index], 0, sizeof(*worker->ports));
	rx_queues_forget_port(vport_index);
}

void workers_totals(struct worker_totals *totals)
{
	const struct worker *worker;

	*totals = gone;
	for (unsigned int i = 0; i <= PACKET_OUT_INDEX; i++) {
		struct port_counters sum;

		if (i < VPORT_MAX && !vport_by_index(i))
			continue;
		workers_port_counters(i, &sum);
		add_totals(totals, &sum);
	}
	for (unsigned int i = 0; (worker = worker_at(i)); i++)
		totals->copies += worker->n_copies;
}

bool workers_info(unsigned int i, struct worker_info *info)
{
	const struct worker *worker = worker_running(i);
	struct rx_workers state;

	if (!worker)
		return false;
	rx_workers_read(&state);
	*info = (struct worker_info){
		.id = worker->id,
		.core = worker->core,
		.isolated = state.workers[i].closed,
		.packets = worker->n_packets,
		.vectors = worker->n_vectors,
		.sleeps = worker->n_sleeps,
		.busy_cycles = worker->busy_cycles,
		.idle_cycles = worker->idle_cycles,
		.learn_lost = worker->learn->n_lost,
		.events_lost = worker->n_events_lost,
		.load = worker->gauge.load * 100,
		.packet_rate = worker->gauge.packet_rate,
		.cycles_per_packet = worker->gauge.cycles_per_packet,
	};
	return true;
}

bool workers_profile(unsigned int i, struct profile *profile)
{
#ifdef PROFILE
	if (i < n_workers) {
		*profile = workers[i]->profile;
		return true;
	}
#endif
	(void)i;
	(void)profile;
	return false;
}
