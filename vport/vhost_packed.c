// Where we were in a packed ring, found out from the ring itself.
//
// A split ring's used index tells a switch that was started again where to go on, and QEMU asks it
// for that. A packed ring has no index: when the connection ends, QEMU keeps the place at which the
// device was started, which may be rounds ago, and the guest would hang for good. But each
// descriptor says in two bits whether it is available or used, and in which round:
//
//     0        p                 q           size
//     | used w | available w      | used !w   |     w: our wrap counter
//
// (or, further on, available w up to the end and available !w from 0 to q). So p and w follow as
// long as each used descriptor was marked, which is so without chains and without IN_ORDER. With
// them the pattern does not come out, and what QEMU said stays.
#include "vport/vhost.h"

#include <rte_vhost.h>

#define LARGEST 32768

struct bits {
	bool avail, used;
};

static struct bits bits_of(const struct rte_vhost_vring *vring, unsigned int i)
{
	const uint16_t flags = __atomic_load_n(&vring->desc_packed[i].flags, __ATOMIC_RELAXED);

	return (struct bits){ flags >> VRING_PACKED_DESC_F_AVAIL & 1,
			      flags >> VRING_PACKED_DESC_F_USED & 1 };
}

static bool is_available(struct bits bits)
{
	return bits.avail != bits.used;
}

// The only place at which the round changes between neighbours; 0 if it never does, -1 if it does
// more than once.
static int only_change(const struct rte_vhost_vring *vring)
{
	int at = 0;

	for (unsigned int i = 1; i < vring->size; i++) {
		if (bits_of(vring, i).avail == bits_of(vring, i - 1).avail)
			continue;
		if (at)
			return -1;
		at = (int)i;
	}
	return at;
}

// The only beginning of a run of available descriptors, seen as a circle; -1 if there are more.
static int only_run(const struct rte_vhost_vring *vring)
{
	int at = -1;

	for (unsigned int i = 0; i < vring->size; i++) {
		if (!is_available(bits_of(vring, i)) ||
		    is_available(bits_of(vring, i ? i - 1 : vring->size - 1u)))
			continue;
		if (at >= 0)
			return -1;
		at = (int)i;
	}
	return at;
}

// Is every descriptor as it must be when we are at `position`, with `n` available?
static bool fits(const struct rte_vhost_vring *vring, unsigned int position, bool wrap,
		 unsigned int n)
{
	for (unsigned int k = 0; k < vring->size; k++) {
		const bool wrapped = position + k >= vring->size;
		const struct bits bits = bits_of(vring, (position + k) % vring->size);
		const bool round = wrap != wrapped;

		// Available ones are of this round, used ones of the one before.
		if (is_available(bits) != (k < n) || bits.avail != (k < n ? round : !round))
			return false;
	}
	return true;
}

int vhost_packed_position(const struct rte_vhost_vring *vring)
{
	unsigned int n = 0;
	bool wrap;
	int at;

	if (!vring->desc_packed || !vring->size || vring->size > LARGEST)
		return -1;
	for (unsigned int i = 0; i < vring->size; i++)
		n += is_available(bits_of(vring, i));
	at = n == 0 || n == vring->size ? only_change(vring) : only_run(vring);
	if (at < 0)
		return -1;
	wrap = bits_of(vring, (unsigned int)at).avail;
	// Nothing is available: what comes next has been used a round ago.
	if (!n)
		wrap = !wrap;
	return fits(vring, (unsigned int)at, wrap, n) ? at | wrap << 15 : -1;
}

void vhost_packed_recover(int vid)
{
	const unsigned int n_rings = rte_vhost_get_vring_num(vid);
	struct rte_vhost_vring vring;
	uint16_t avail, used;
	uint64_t features = 0;

	rte_vhost_get_negotiated_features(vid, &features);
	if (!(features >> VIRTIO_F_RING_PACKED & 1) || features >> VIRTIO_F_IN_ORDER & 1)
		return;
	for (unsigned int ring = 0; ring < n_rings; ring++) {
		int position;

		if (rte_vhost_get_vhost_vring(vid, (uint16_t)ring, &vring) ||
		    rte_vhost_get_vring_base(vid, (uint16_t)ring, &avail, &used))
			continue;
		position = vhost_packed_position(&vring);
		if (position >= 0 && position != avail)
			rte_vhost_set_vring_base(vid, (uint16_t)ring, (uint16_t)position,
						 (uint16_t)position);
	}
}
