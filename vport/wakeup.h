// What a sleeping worker waits for on behalf of one receive queue.
//
// A worker must be able to wait on one descriptor that stays the same while the port is open,
// whereas what really wakes it comes and goes: the kick descriptor of a guest that restarts, a tap
// that somebody deletes. So a wakeup is an epoll instance (readable when one of its members is)
// that holds those descriptors, and an eventfd of our own, by which any thread can wake the worker.
// Members that a peer gave us are watched edge-triggered and never read: a peer cannot make a
// worker block, whatever kind of file it sent.
//
// Open and close: main thread. Add and remove: one thread at a time. Signal: any thread. Clear:
// the worker.
#ifndef VPORT_WAKEUP_H
#define VPORT_WAKEUP_H

#include <stdbool.h>

struct wakeup {
	int epoll_fd;
	int event_fd;
};

// Returns 0 or -errno with nothing left open (both descriptors -1, which close, signal and clear
// take as nothing to do).
int wakeup_open(struct wakeup *wakeup);
void wakeup_close(struct wakeup *wakeup);

// Watch `fd` for reading: `edge` for descriptors that nobody reads.
int wakeup_add(struct wakeup *wakeup, int fd, bool edge);
void wakeup_remove(struct wakeup *wakeup, int fd);

// Make the descriptor readable now.
void wakeup_signal(struct wakeup *wakeup);

// Forget what was signalled (level-triggered members stay readable until they are read).
void wakeup_clear(struct wakeup *wakeup);

#endif
