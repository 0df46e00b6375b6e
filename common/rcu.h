// Read-copy-update between the control thread and the workers (rte_rcu_qsbr underneath).
//
// The control thread is the only writer: it builds a new object, publishes it with rcu_publish(),
// and hands the old one to rcu_defer(). A worker reads with rcu_read() and may use what it read
// until its next rcu_quiescent(), which it calls once per polling loop. A worker that is about to
// sleep goes offline first: it holds no references then and no writer waits for it.
//
// Writer functions: control thread only. rcu_synchronize() may also be called by library threads
// that hold no references (the vhost event thread does when a guest leaves).
#ifndef COMMON_RCU_H
#define COMMON_RCU_H

#include <stdint.h>

#define RCU_MAX_READERS 64

// Prepare for up to RCU_MAX_READERS readers. Returns 0 or -errno. Call once, before any worker.
int rcu_init(void);

// Reader side. `id` is unique among the workers and below RCU_MAX_READERS. A registered reader
// starts offline.
int rcu_reader_register(unsigned int id);
void rcu_reader_unregister(unsigned int id);
void rcu_online(unsigned int id);
void rcu_offline(unsigned int id);
void rcu_quiescent(unsigned int id);

// Wait until every online reader has been quiescent once.
void rcu_synchronize(void);

// Call free_function(object) once every reader that may hold `object` has been quiescent.
void rcu_defer(void (*free_function)(void *object), void *object);

// Run what rcu_defer() holds and what is due; never waits. Returns how many are still held.
unsigned int rcu_reclaim(void);

// Wait and run everything that rcu_defer() holds.
void rcu_barrier(void);

#define rcu_publish(location, value) __atomic_store_n(location, value, __ATOMIC_RELEASE)
#define rcu_read(location) __atomic_load_n(location, __ATOMIC_ACQUIRE)

#endif
