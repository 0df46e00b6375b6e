// What the main thread finds out about guests at every tick: that one takes nothing, that its
// memory is not ours to see.
//
// The guest's memory is there as long as `vid` is and the events lock is held: destroy_device()
// waits for that lock before the library unmaps anything.
#include "vport/vhost.h"
#include "vport/vhost_door.h"

#include "common/clock.h"

#include <stdlib.h>
#include <unistd.h>

#include <rte_vhost.h>

// Two ticks in a row without a new buffer are no accident.
#define STOPPED_NS (100 * NS_PER_MS)
// So long a front end may think about its next message.
#define PATIENCE_NS NS_PER_SECOND
// Where every guest that got as far as starting a driver has written something.
#define LOOK_AT (1024 * 1024)

bool vhost_is_packed(int vid)
{
	uint64_t features = 0;

	rte_vhost_get_negotiated_features(vid, &features);
	return features >> VIRTIO_F_RING_PACKED & 1;
}

static bool packed_available(const struct rte_vhost_vring *vring, unsigned int index, bool wrap)
{
	const uint16_t flags = __atomic_load_n(&vring->desc_packed[index].flags, __ATOMIC_RELAXED);
	const bool avail = flags >> VRING_PACKED_DESC_F_AVAIL & 1;
	const bool used = flags >> VRING_PACKED_DESC_F_USED & 1;

	return avail == wrap && used != wrap;
}

// How many of a packed ring's descriptors are ours, up to `most`: it has to be counted.
static unsigned int packed_waiting(const struct rte_vhost_vring *vring, uint16_t base,
				   unsigned int most)
{
	unsigned int index = base & 0x7fff, n = 0;
	bool wrap = base >> 15;

	while (n < RTE_MIN(most, vring->size) && index < vring->size &&
	       packed_available(vring, index, wrap)) {
		n++;
		if (++index == vring->size) {
			index = 0;
			wrap = !wrap;
		}
	}
	return n;
}

unsigned int vhost_ring_waiting(int vid, unsigned int ring, const struct rte_vhost_vring *vring,
				unsigned int most)
{
	uint16_t avail = 0, used = 0, waiting;

	if (!vring->desc || !vring->size ||
	    rte_vhost_get_vring_base(vid, (uint16_t)ring, &avail, &used))
		return 0;
	if (vhost_is_packed(vid))
		return packed_waiting(vring, avail, most);
	waiting = (uint16_t)(__atomic_load_n(&vring->avail->idx, __ATOMIC_RELAXED) - avail);
	// The guest may write anything there.
	return waiting <= vring->size ? waiting : 0;
}

// Where the guest is in giving buffers: changes with every one it gives (split), or that we use.
static unsigned int ring_position(int vid, unsigned int ring, const struct rte_vhost_vring *vring)
{
	uint16_t avail = 0, used = 0;

	if (!vhost_is_packed(vid))
		return vring->avail ? __atomic_load_n(&vring->avail->idx, __ATOMIC_RELAXED) : 0;
	rte_vhost_get_vring_base(vid, (uint16_t)ring, &avail, &used);
	return avail;
}

// Is this ring without a buffer for us, and did the guest give none since the last look?
static bool watch_ring(struct vhost_port *port, struct vhost_queue *queue, unsigned int ring,
		       uint64_t now_ns)
{
	const bool refused = __atomic_exchange_n(&queue->refused, false, __ATOMIC_RELAXED);
	struct rte_vhost_vring vring;
	unsigned int position;
	bool stuck;

	if (rte_vhost_get_vhost_vring(port->vid, (uint16_t)ring, &vring))
		return false;
	position = ring_position(port->vid, ring, &vring);
	// Few buffers may be too few for a large packet, which only trying shows.
	stuck = position == queue->position &&
		(refused || !vhost_ring_waiting(port->vid, ring, &vring, 1));
	queue->position = position;
	if (!stuck)
		queue->stuck_since_ns = 0;
	else if (!queue->stuck_since_ns)
		queue->stuck_since_ns = now_ns;
	return stuck;
}

// One queue that moves means that the guest is alive.
static bool is_stopped(struct vhost_port *port, uint64_t now_ns)
{
	bool all_stuck = true;

	for (unsigned int i = 0; i < VPORT_MAX_QUEUES; i++) {
		struct vhost_queue *queue = &port->queues[i];

		if (!(port->enabled >> vhost_tx_ring(i) & 1))
			continue;
		if (!watch_ring(port, queue, vhost_tx_ring(i), now_ns) ||
		    now_ns - queue->stuck_since_ns < STOPPED_NS)
			all_stuck = false;
	}
	return all_stuck;
}

// Did the guest's driver write anything into its rings?
static bool rings_are_used(int vid)
{
	for (unsigned int ring = 0; ring < rte_vhost_get_vring_num(vid); ring++) {
		struct rte_vhost_vring vring;

		if (rte_vhost_get_vhost_vring(vid, (uint16_t)ring, &vring) || !vring.desc)
			continue;
		// Whichever layout it has: the first descriptor is the first to be written.
		if (vring.desc->addr || vring.desc->len || vring.desc->flags)
			return true;
	}
	return false;
}

// Read by the descriptor, which cannot fault, and leaves holes in the file as they are.
static bool is_blank(const struct rte_vhost_mem_region *region)
{
	const uint64_t offset =
		(uint64_t)(region->host_user_addr - (uint64_t)(uintptr_t)region->mmap_addr);
	uint64_t words[512];

	for (uint64_t at = 0; at < LOOK_AT && at < region->size; at += sizeof(words)) {
		ssize_t n = pread(region->fd, words, sizeof(words), (off_t)(offset + at));

		if (n <= 0)
			return false;
		for (size_t i = 0; i < (size_t)n / sizeof(words[0]); i++)
			if (words[i])
				return false;
	}
	return true;
}

// With share=off a guest writes to copies of its own of the pages that it shows us: all that we
// see is zeros, in the rings as well as where a guest has its first megabyte.
static bool is_memory_private(int vid)
{
	struct rte_vhost_memory *memory = NULL;
	bool blank = false;

	if (rings_are_used(vid) || rte_vhost_get_mem_table(vid, &memory))
		return false;
	for (uint32_t i = 0; i < memory->nregions; i++) {
		blank = is_blank(&memory->regions[i]);
		if (!blank)
			break;
	}
	free(memory);
	return blank;
}

static const char *find_problem(struct vhost_port *port, uint64_t now_ns)
{
	static const char not_shared[] =
		"the guest's memory is not shared with the switch: start QEMU with -object "
		"memory-backend-memfd,id=mem,size=SIZE,share=on -machine memory-backend=mem "
		"('vsctl port-guest PORT --qemu' prints all of it)";

	static const char insists[] =
		"the guest insists on offloads that were switched off since it started: start it "
		"again, or switch them on until then (other_config: checksum, tso, ufo)";

	if (port->silent_since_ns && now_ns - port->silent_since_ns >= PATIENCE_NS)
		return "something is connected, but sends no vhost-user messages: is this the "
		       "socket of a guest's vhost-user netdev, and no other switch attached to it?";
	if (port->insists && port->vid == VHOST_NO_DEVICE)
		return insists;
	if (!port->n_connections)
		return NULL;
	// QEMU stops talking when it has nothing that it could share.
	if (port->seen & VHOST_SEEN_FEATURES && !(port->seen & VHOST_SEEN_MEMORY) &&
	    now_ns - port->features_ns >= PATIENCE_NS)
		return not_shared;
	// Told from what is in it, once for each start of the guest's driver.
	if (port->vid != VHOST_NO_DEVICE && port->memory_private < 0 &&
	    now_ns - port->started_ns >= PATIENCE_NS)
		port->memory_private = is_memory_private(port->vid);
	return port->vid != VHOST_NO_DEVICE && port->memory_private > 0 ? not_shared : NULL;
}

// The door hands the library only connections on which something was said.
static bool is_silent(const struct vhost_port *port)
{
	struct vhost_door_status door = { 0 };

	if (port->door)
		vhost_door_get_status(port->door, &door);
	return door.n_connections && !port->n_connections;
}

void vhost_watch(struct vhost_port *port)
{
	const uint64_t now_ns = clock_monotonic_ns();
	const bool silent = is_silent(port);

	vhost_events_lock();
	if (!silent)
		port->silent_since_ns = 0;
	else if (!port->silent_since_ns)
		port->silent_since_ns = now_ns;
	if (port->vid != VHOST_NO_DEVICE)
		port->stopped = is_stopped(port, now_ns);
	else
		port->stopped = silent || port->n_connections > 0;
	port->problem = find_problem(port, now_ns);
	if (port->announcing) {
		wakeup_signal(&port->queues[0].wakeup);
		port->announcing--;
	}
	vhost_port_unlock();
}
