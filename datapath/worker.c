#include "datapath/worker.h"

#include "common/clock.h"
#include "common/hash.h"
#include "common/rcu.h"
#include "datapath/cache.h"
#include "datapath/datapath.h"
#include "datapath/hot.h"
#include "datapath/learn.h"
#include "datapath/qos.h"
#include "datapath/stack.h"
#include "datapath/worker_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_pause.h>

// A worker looks for packets this long in vain before it goes to sleep.
#define IDLE_POLL_NS (200 * NS_PER_US)
#define EVENTS_PER_WORKER 4096
// Even with nothing to poll it looks at the world now and then.
#define LONGEST_SLEEP_NS (1000 * (int64_t)NS_PER_MS)
// Naps between looks at queues that cannot ring begin short. A timer that wakes a virtual core
// costs 25 to 30 microseconds (measured), so that after some hundred naps in vain they become
// longer: within two seconds an idle core is idle.
#define FIRST_NAP_NS (60 * (int64_t)NS_PER_US)
#define LAST_NAP_NS (2 * (int64_t)NS_PER_MS)
#define NAPS_BEFORE_LONGER 512
// A sleep that is shorter than this is not worth its beginning and end.
#define DEPARTURE_SOON_NS (100 * NS_PER_US)

struct worker *worker_create(unsigned int id)
{
	struct worker *worker = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*worker), 64));
	const ssize_t ring_size =
		rte_ring_get_memsize_elem(sizeof(struct worker_event), EVENTS_PER_WORKER);

	if (!worker)
		return NULL;
	memset(worker, 0, sizeof(*worker));
	worker->id = id;
	worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	// Nobody outside can tell what comes next, and no two workers draw the same.
	worker->random = hash_finish(hash_word(rte_rdtsc(), id)) | 1;
	worker->counters = counter_set_create();
	// Pages of ports that do not exist are never touched.
	worker->ports = calloc(PACKET_OUT_INDEX + 1, sizeof(*worker->ports));
	worker->tx = calloc(VPORT_MAX, sizeof(*worker->tx));
	worker->stacks = calloc(VECTOR_SIZE, sizeof(*worker->stacks));
	worker->events = aligned_alloc(RTE_CACHE_LINE_SIZE,
				       RTE_ALIGN_CEIL((size_t)ring_size, RTE_CACHE_LINE_SIZE));
	worker->learn = learn_queue_create();
	worker->cache = cache_create();
	worker->silent_queues = calloc(1, sizeof(*worker->silent_queues) +
						  SLEEP_MAX_QUEUES * sizeof(struct poll_queue));
	if (worker->wake_fd < 0 || !worker->silent_queues || !worker->counters || !worker->ports ||
	    !worker->tx || !worker->stacks || !worker->events || !worker->learn || !worker->cache) {
		worker_destroy(worker);
		return NULL;
	}
	rte_ring_init(worker->events, "events", EVENTS_PER_WORKER, RING_F_SP_ENQ | RING_F_SC_DEQ);
	return worker;
}

void worker_destroy(struct worker *worker)
{
	if (!worker)
		return;
	if (worker->wake_fd >= 0)
		close(worker->wake_fd);
	if (worker->cache && worker->counters)
		hot->cache_fold(worker, UINT32_MAX);
	cache_destroy(worker->cache);
	counter_set_destroy(worker->counters);
	free(worker->ports);
	free(worker->tx);
	free(worker->stacks);
	free(worker->events);
	learn_queue_destroy(worker->learn);
	free(worker->poll_list);
	free(worker->shapers);
	free(worker->silent_queues);
	free(worker);
}

// Receive one burst and carry it to its end. Returns how many packets there were.
static uint16_t poll_queue(struct worker *worker, const struct poll_queue *queue)
{
	struct vport *vport = queue->vport;
	struct rte_mbuf *packets[BURST_SIZE];
	struct forwarding *forwarding;
	struct forwarding_port *port;
	uint16_t n;

	PROFILE_BEGIN(worker);
	n = vport->class->rx(vport, queue->queue, packets, BURST_SIZE);
	if (!n)
		return 0;
	forwarding = rcu_read(&vport->forwarding);
	port = forwarding ? forwarding_port(forwarding, vport->ofport) : NULL;
	if (likely(port)) {
		hot->forward(worker, forwarding, port, packets, n);
	} else {
		worker->ports[vport->index].rx_packets += n;
		worker_count_rx_drop(worker, vport, DROP_RX_NO_BRIDGE, n);
		rte_pktmbuf_free_bulk(packets, n);
	}
	worker->n_packets += n;
	worker->n_vectors++;
	PROFILE_END(worker, n);
	return n;
}

// One look into every queue. *now is the time before it and, if there were packets, becomes the time
// when the last of them had been sent: looking into empty queues counts for the one after them.
static uint32_t poll_all(struct worker *worker, const struct poll_list *list, uint64_t *now)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < list->n; i++) {
		struct queue_counters *counters = list->queues[i].counters;
		const uint16_t n = poll_queue(worker, &list->queues[i]);
		const uint64_t before = *now;

		if (!n)
			continue;
		*now = rte_rdtsc();
		counters->cycles += *now - before;
		counters->packets += n;
		counters->vectors++;
		worker->busy_cycles += *now - before;
		total += n;
	}
	return total;
}

static uint32_t poll_again(struct worker *worker, const struct poll_list *list)
{
	uint64_t now = rte_rdtsc();

	return poll_all(worker, list, &now);
}

static void disarm_all(const struct poll_list *list)
{
	for (uint32_t i = 0; i < list->n; i++) {
		struct vport *vport = list->queues[i].vport;

		if (vport->class->disarm)
			vport->class->disarm(vport, list->queues[i].queue);
	}
}

// Ask every queue to wake us. `silent` gets those that cannot wake anybody.
static void arm_all(const struct poll_list *list, int epoll, struct poll_list *silent)
{
	silent->n = 0;
	for (uint32_t i = 0; i < list->n; i++) {
		struct vport *vport = list->queues[i].vport;
		int fd = vport->class->arm ? vport->class->arm(vport, list->queues[i].queue) : -1;
		struct epoll_event event = { .events = EPOLLIN };

		// Added each time: the number may mean another file than the last time, and a
		// file that is there already costs one short call.
		if (fd < 0 || (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 && errno != EEXIST))
			silent->queues[silent->n++] = list->queues[i];
	}
}

// True if something rang before the time was over.
static bool wait_ns(int epoll, int64_t ns)
{
	const struct timespec timeout = { ns / (int64_t)NS_PER_SECOND,
					  ns % (int64_t)NS_PER_SECOND };
	struct epoll_event events[16];

	return epoll_pwait2(epoll, events, 16, &timeout, NULL) > 0;
}

static void drain_wake_fd(struct worker *worker)
{
	uint64_t n;

	while (read(worker->wake_fd, &n, sizeof(n)) > 0)
		;
}

// One sleep. Nothing that was published is held meanwhile. Returns true if something rang.
static bool doze(struct worker *worker, int epoll, int64_t ns)
{
	bool rang;

	worker->n_sleeps++;
	rcu_offline(worker->id);
	rang = wait_ns(epoll, ns);
	rcu_online(worker->id);
	return rang;
}

// A shaped port's next packet ends a sleep.
static int64_t until_departure(const struct worker *worker, int64_t ns)
{
	const uint64_t next_ns = worker->shapers_next_ns;
	int64_t left;

	if (!rcu_read(&worker->shapers) || next_ns == SHAPER_NEVER)
		return ns;
	left = (int64_t)(next_ns - qos_now_ns());
	return left < 0 ? 0 : left < ns ? left : ns;
}

// Others that hand over a packet from now on wake us; what they handed over before is seen here.
static bool may_sleep(struct worker *worker)
{
	if (!rcu_read(&worker->shapers))
		return true;
	__atomic_store_n(&worker->handed.asleep, 1, __ATOMIC_SEQ_CST);
	return !__atomic_load_n(&worker->handed.any, __ATOMIC_SEQ_CST);
}

// Sleep until there is something to do. Queues that cannot ring are looked at between short naps.
static void sleep_until_work(struct worker *worker, int epoll)
{
	const struct poll_list *list = rcu_read(&worker->poll_list);
	struct poll_list *silent = worker->silent_queues;
	const uint64_t generation = list->generation;
	const bool fixed = worker->idle_sleep_ns != IDLE_SLEEP_AUTO;
	unsigned int naps = 0;
	int64_t ns;

	if (list->n > SLEEP_MAX_QUEUES)
		return;
	arm_all(list, epoll, silent);
	ns = !silent->n ? LONGEST_SLEEP_NS : fixed ? worker->idle_sleep_ns : FIRST_NAP_NS;
	// What came while arming does not ring the bell.
	if (poll_again(worker, list) == 0)
		while (!rcu_read(&worker->stop) && may_sleep(worker) &&
		       !doze(worker, epoll, until_departure(worker, ns))) {
			// The list may have changed while we were away, and ports with it.
			if (qos_is_due(worker, 0) ||
			    rcu_read(&worker->poll_list)->generation != generation ||
			    poll_again(worker, silent))
				break;
			if (!fixed && ++naps % NAPS_BEFORE_LONGER == 0 && ns < LAST_NAP_NS)
				ns *= 2;
		}
	__atomic_store_n(&worker->handed.asleep, 0, __ATOMIC_RELAXED);
	drain_wake_fd(worker);
	disarm_all(rcu_read(&worker->poll_list));
}

// Descriptors that ring for this worker: none at first. Queues are added when it goes to sleep.
static int epoll_open(const struct worker *worker)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll >= 0)
		epoll_ctl(epoll, EPOLL_CTL_ADD, worker->wake_fd, &event);
	return epoll;
}

// Another list of queues: those that went must not wake us any more, and those that came may have
// been armed by the worker that had them.
static int epoll_renew(const struct worker *worker, const struct poll_list *list, int epoll)
{
	close(epoll);
	disarm_all(list);
	return epoll_open(worker);
}

// The packets that the pool keeps ready for this thread.
static void give_back_packets(void)
{
	struct rte_mempool_cache *cache = rte_mempool_default_cache(packet_pool(), rte_lcore_id());

	if (cache)
		rte_mempool_cache_flush(cache, packet_pool());
}

static void go_to_sleep(struct worker *worker, int epoll, uint64_t now)
{
	const uint64_t busy = worker->busy_cycles;

	sleep_until_work(worker, epoll);
	worker->idle_cycles += rte_rdtsc() - now - (worker->busy_cycles - busy);
}

// What is sent for shaped ports is work as well.
static uint32_t run_shapers(struct worker *worker, uint64_t *now)
{
	const uint64_t before = rte_rdtsc();
	const uint32_t n = hot->run_shapers(worker);

	if (n) {
		*now = rte_rdtsc();
		worker->busy_cycles += *now - before;
	}
	return n;
}

void *worker_run(void *argument)
{
	struct worker *worker = argument;
	const uint64_t patience = IDLE_POLL_NS * (rte_get_tsc_hz() / 1000) / (NS_PER_SECOND / 1000);
	uint64_t now = rte_rdtsc(), last_packet = now, generation = 0;
	int epoll = epoll_open(worker);

	// Lets mempool caches and the like work in this thread.
	rte_thread_register();
	// Sleep as long as asked, not 50 microseconds longer.
	prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
	rcu_online(worker->id);
	while (!rcu_read(&worker->stop)) {
		const struct poll_list *list = rcu_read(&worker->poll_list);
		const uint64_t before = now;
		uint32_t n;

		if (unlikely(list->generation != generation)) {
			generation = list->generation;
			epoll = epoll_renew(worker, list, epoll);
		}
		n = poll_all(worker, list, &now);
		if (unlikely(rcu_read(&worker->shapers)))
			n += run_shapers(worker, &now);
		rcu_quiescent(worker->id);
		if (n) {
			last_packet = now;
			continue;
		}
		now = rte_rdtsc();
		worker->idle_cycles += now - before;
		if (worker->cache->n_pending) { // and no sleep before they are done
			hot->cache_fold(worker, CACHE_IDLE_FOLD);
			now = rte_rdtsc();
		} else if (worker->idle_sleep_ns >= 0 && now - last_packet > patience &&
			   epoll >= 0 && !qos_is_due(worker, DEPARTURE_SOON_NS)) {
			go_to_sleep(worker, epoll, now);
			now = rte_rdtsc();
		} else {
			rte_pause();
		}
	}
	hot->cache_fold(worker, UINT32_MAX);
	rcu_offline(worker->id);
	if (packet_pool())
		give_back_packets();
	rte_thread_unregister();
	close(epoll);
	return NULL;
}
