// What happens when a peer cuts off memory that it shares with us, while we use it.
//
// Touching a page that the file no longer has raises SIGBUS. The guard knows the files that peers
// gave us; where one of them lies under the address, the handler puts private zeroed memory over
// the whole mapping, marks the file as broken and returns: the worker goes on, reads zeroes, and
// whoever owns the file (the front door of its port) is told by a descriptor and cuts the peer off.
// A SIGBUS anywhere else goes to whoever handled it before. Nothing is paid per access.
//
// Files are found by device and inode in /proc/self/maps, not by address, because the vhost library
// maps them and itself touches them before it tells where.
//
// Add and remove: one thread at a time (the front door's, under its lock). The handler: any thread.
#ifndef VPORT_MEMORY_GUARD_H
#define VPORT_MEMORY_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#define MEMORY_GUARD_MAX 8192

// Install the handler, once. Returns a descriptor that is readable after a file broke, or -errno.
int memory_guard_install(void);

// Watch over a file until it is removed; a slot from 0, or -ENOSPC.
int memory_guard_add(uint64_t device, uint64_t inode);
void memory_guard_remove(int slot);

// Has memory of this file been cut off under us?
bool memory_guard_broken(int slot);

#endif
