#include "datapath/datapath.h"

#include "common/error.h"
#include "common/log.h"
#include "common/rcu.h"
#include "datapath/learn.h"
#include "datapath/worker_run.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct worker *workers[WORKERS_MAX];
static unsigned int n_workers;
static struct worker *main_worker; // NULL until it has something to send
static int64_t idle_sleep_ns = IDLE_SLEEP_AUTO;
static int learn_fd = -1;

// What a closed port had counted, so that totals stay whole.
static struct worker_totals gone;

static cpu_set_t all_cores; // that the process may use; empty before workers start

// All workers, the main thread's last; NULL past the end.
static struct worker *worker_at(unsigned int i)
{
	return i < n_workers ? workers[i] : i == n_workers ? main_worker : NULL;
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

static void wake(struct worker *worker)
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
static void leave_cores(const unsigned int *cores, unsigned int n)
{
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	all_cores = allowed;
	for (unsigned int i = 0; i < n; i++)
		if (cores[i] < CPU_SETSIZE)
			CPU_CLR(cores[i], &allowed);
	if (CPU_COUNT(&allowed))
		sched_setaffinity(0, sizeof(allowed), &allowed);
}

int workers_start(const unsigned int *cores, unsigned int n, struct error *error)
{
	if (n == 0 || n > WORKERS_MAX)
		return error_set(error, EINVAL, "there can be 1 to %u workers, not %u", WORKERS_MAX,
				 n);
	learn_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (learn_fd < 0)
		return error_set(error, errno, "no event descriptor: %s", strerror(errno));
	for (unsigned int i = 0; i < n; i++) {
		struct worker *worker = worker_create(i);
		int status;

		if (!worker)
			return error_set(error, ENOMEM, "out of memory");
		worker->learn->fd = learn_fd;
		worker->core = cores[i];
		worker->idle_sleep_ns = idle_sleep_ns;
		worker->poll_list = calloc(1, sizeof(*worker->poll_list));
		if (!worker->poll_list || rcu_reader_register(i) < 0) {
			worker_destroy(worker);
			return error_set(error, ENOMEM, "out of memory");
		}
		status = start_thread(worker, error);
		if (status < 0) {
			rcu_reader_unregister(i);
			worker_destroy(worker);
			return status;
		}
		workers[n_workers++] = worker;
	}
	leave_cores(cores, n);
	return 0;
}

void workers_stop(void)
{
	for (unsigned int i = 0; i < n_workers; i++) {
		rcu_publish(&workers[i]->stop, 1);
		wake(workers[i]);
	}
	for (unsigned int i = 0; i < n_workers; i++) {
		pthread_join(workers[i]->thread, NULL);
		rcu_reader_unregister(i);
		worker_destroy(workers[i]);
		workers[i] = NULL;
	}
	n_workers = 0;
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

static struct poll_list *make_list(unsigned int worker)
{
	struct poll_list *list = NULL;
	uint32_t n = 0, turn = 0;

	// First count, then fill: the same walk twice.
	for (int fill = 0; fill < 2; fill++) {
		n = 0;
		turn = 0;
		for (unsigned int i = 0; i < VPORT_MAX; i++) {
			struct vport *vport = vport_by_index(i);

			if (!vport || !vport->polled || !vport->forwarding)
				continue;
			for (uint16_t q = 0; q < vport->n_rxq; q++) {
				if (turn++ % n_workers != worker)
					continue;
				if (fill)
					list->queues[n] = (struct poll_queue){ vport, q };
				n++;
			}
		}
		if (!fill) {
			list = calloc(1, sizeof(*list) + n * sizeof(*list->queues));
			if (!list)
				return NULL;
			list->n = n;
		}
	}
	return list;
}

int workers_distribute(void)
{
	struct poll_list *lists[WORKERS_MAX];

	for (unsigned int i = 0; i < n_workers; i++) {
		lists[i] = make_list(i);
		if (!lists[i]) {
			while (i-- > 0)
				free(lists[i]);
			return -ENOMEM;
		}
	}
	for (unsigned int i = 0; i < n_workers; i++) {
		struct poll_list *old = workers[i]->poll_list;

		lists[i]->generation = old->generation + 1;
		rcu_publish(&workers[i]->poll_list, lists[i]);
		rcu_defer(free, old);
		wake(workers[i]);
	}
	return 0;
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

static void add(struct port_counters *sum, const struct port_counters *counters)
{
	sum->rx_packets += counters->rx_packets;
	sum->rx_bytes += counters->rx_bytes;
	sum->tx_packets += counters->tx_packets;
	sum->tx_bytes += counters->tx_bytes;
	for (unsigned int r = 0; r < N_DROPS; r++) {
		sum->rx_drops[r] += counters->rx_drops[r];
		sum->tx_drops[r] += counters->tx_drops[r];
	}
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
	const struct worker *worker;
	const struct poll_list *list;

	if (i >= n_workers)
		return false;
	worker = workers[i];
	list = worker->poll_list;
	*info = (struct worker_info){
		.id = worker->id,
		.core = worker->core,
		.n_queues = list->n,
		.packets = worker->n_packets,
		.vectors = worker->n_vectors,
		.sleeps = worker->n_sleeps,
		.busy_cycles = worker->busy_cycles,
		.idle_cycles = worker->idle_cycles,
		.learn_lost = worker->learn->n_lost,
		.events_lost = worker->n_events_lost,
	};
	for (uint32_t q = 0; q < list->n && q < RTE_DIM(info->queues); q++)
		info->queues[q] = list->queues[q];
	return true;
}
