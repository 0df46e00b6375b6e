#include "common/rcu.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_rcu_qsbr.h>

struct deferred {
	struct deferred *next;
	uint64_t token;
	void (*free_function)(void *object);
	void *object;
};

static struct rte_rcu_qsbr *qsbr;

// The writer's own, in a cache line that readers do not look into.
static struct {
	struct deferred *first;
	struct deferred **last;
	unsigned int n;
} __attribute__((aligned(RTE_CACHE_LINE_SIZE))) queue = { .last = &queue.first };

int rcu_init(void)
{
	size_t size = rte_rcu_qsbr_get_memsize(RCU_MAX_READERS);

	if (qsbr)
		return 0;
	// Plain memory, so that unit tests need no EAL.
	qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
	if (!qsbr)
		return -ENOMEM;
	return rte_rcu_qsbr_init(qsbr, RCU_MAX_READERS) ? -EINVAL : 0;
}

int rcu_reader_register(unsigned int id)
{
	return rte_rcu_qsbr_thread_register(qsbr, id) ? -EINVAL : 0;
}

void rcu_reader_unregister(unsigned int id)
{
	rte_rcu_qsbr_thread_unregister(qsbr, id);
}

void rcu_online(unsigned int id)
{
	rte_rcu_qsbr_thread_online(qsbr, id);
}

void rcu_offline(unsigned int id)
{
	rte_rcu_qsbr_thread_offline(qsbr, id);
}

void rcu_quiescent(unsigned int id)
{
	rte_rcu_qsbr_quiescent(qsbr, id);
}

void rcu_synchronize(void)
{
	rte_rcu_qsbr_synchronize(qsbr, RTE_QSBR_THRID_INVALID);
}

void rcu_defer(void (*free_function)(void *object), void *object)
{
	struct deferred *deferred;

	if (!object)
		return;
	deferred = malloc(sizeof(*deferred));
	if (!deferred) {
		// Without memory to remember it, wait right now.
		rcu_synchronize();
		free_function(object);
		return;
	}
	*deferred = (struct deferred){
		.token = rte_rcu_qsbr_start(qsbr),
		.free_function = free_function,
		.object = object,
	};
	*queue.last = deferred;
	queue.last = &deferred->next;
	queue.n++;
}

unsigned int rcu_reclaim(void)
{
	while (queue.first && rte_rcu_qsbr_check(qsbr, queue.first->token, false) == 1) {
		struct deferred *deferred = queue.first;

		queue.first = deferred->next;
		if (!queue.first)
			queue.last = &queue.first;
		queue.n--;
		deferred->free_function(deferred->object);
		free(deferred);
	}
	return queue.n;
}

void rcu_barrier(void)
{
	while (queue.first) {
		rcu_synchronize();
		rcu_reclaim();
	}
}
