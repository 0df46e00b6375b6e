// Offloads of a vhost-user port: virtio features on one side, OFFLOAD_* on the other (virtio 1.2,
// section 5.1.3).
//
// A feature is negotiated when the guest's driver starts, so that what is switched off later still
// comes from a guest that was promised it; what goes to the guest follows at once. A guest whose
// connection ends meanwhile insists on what it has: the process that had it is offered it again.
#include "vport/vhost.h"

#include <linux/virtio_net.h>
#include <sys/socket.h>

#include <rte_vhost.h>

#define FEATURE(name) (1ULL << VIRTIO_NET_F_##name)

// The guest leaves it to us.
static const struct feature {
	uint32_t offload;
	uint64_t feature;
} from_guest[] = {
	{ OFFLOAD_CHECKSUM, FEATURE(CSUM) },   { OFFLOAD_TSO4, FEATURE(HOST_TSO4) },
	{ OFFLOAD_TSO6, FEATURE(HOST_TSO6) },  { OFFLOAD_ECN, FEATURE(HOST_ECN) },
	{ OFFLOAD_UFO, FEATURE(HOST_UFO) },
},
  // We leave it to the guest. The library cannot tell a guest of ECN.
	to_guest[] = {
		{ OFFLOAD_CHECKSUM, FEATURE(GUEST_CSUM) },
		{ OFFLOAD_TSO4, FEATURE(GUEST_TSO4) },
		{ OFFLOAD_TSO6, FEATURE(GUEST_TSO6) },
	};

#define NEVER (FEATURE(GUEST_ECN) | FEATURE(GUEST_UFO))

uint64_t vhost_hidden_features(const struct vhost_port *port)
{
	const uint32_t wanted = __atomic_load_n(&port->vport.offloads_wanted, __ATOMIC_RELAXED);
	uint64_t hidden = NEVER;

	for (unsigned int i = 0; i < RTE_DIM(from_guest); i++)
		hidden |= wanted & from_guest[i].offload ? 0 : from_guest[i].feature;
	for (unsigned int i = 0; i < RTE_DIM(to_guest); i++)
		hidden |= wanted & to_guest[i].offload ? 0 : to_guest[i].feature;
	return hidden;
}

static uint32_t offloads_of(uint64_t features, const struct feature *known, unsigned int n)
{
	uint32_t offloads = 0;

	for (unsigned int i = 0; i < n; i++)
		offloads |= features & known[i].feature ? known[i].offload : 0;
	return offloads;
}

void vhost_publish_offloads(struct vhost_port *port)
{
	const uint64_t features = __atomic_load_n(&port->features, __ATOMIC_RELAXED);
	const uint32_t offloads = offloads_of(features, to_guest, RTE_DIM(to_guest)) | OFFLOAD_GRO;
	const uint32_t wanted = __atomic_load_n(&port->vport.offloads_wanted, __ATOMIC_RELAXED);

	__atomic_store_n(&port->vport.offloads, offload_sensible(offloads & wanted),
			 __ATOMIC_RELAXED);
}

void vhost_hide(const struct vhost_port *port, uint64_t hidden)
{
	uint64_t all = 0;

	hidden |= NEVER;
	for (unsigned int i = 0; i < RTE_DIM(from_guest); i++)
		all |= from_guest[i].feature;
	for (unsigned int i = 0; i < RTE_DIM(to_guest); i++)
		all |= to_guest[i].feature;
	rte_vhost_driver_enable_features(port->private_path, all & ~hidden);
	rte_vhost_driver_disable_features(port->private_path, hidden);
}

void vhost_set_offloads(struct vport *vport)
{
	struct vhost_port *port = (struct vhost_port *)vport;

	vhost_publish_offloads(port);
	// For the next guest that connects.
	if (port->registered)
		vhost_hide(port, vhost_hidden_features(port));
}

uint64_t vhost_missed_features(const struct vhost_port *port)
{
	const int pid = __atomic_load_n(&port->peer_pid, __ATOMIC_RELAXED);
	const uint64_t promised = pid && pid == port->promised_pid ? port->promised : 0;

	return vhost_hidden_features(port) & ~NEVER & ~promised;
}

void vhost_note_peer(struct vport *vport, int socket)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		peer.pid = 0;
	__atomic_store_n(&((struct vhost_port *)vport)->peer_pid, peer.pid, __ATOMIC_RELAXED);
}

void vhost_fill_offloads(const struct vhost_port *port, struct vport_status *status)
{
	const uint64_t features = __atomic_load_n(&port->features, __ATOMIC_RELAXED);

	status->offloads_rx = offloads_of(features, from_guest, RTE_DIM(from_guest));
	status->offloads_tx = vport_offloads(&port->vport);
}

uint16_t vhost_describe(struct vhost_port *port, struct rte_mbuf **packets, uint16_t n)
{
	const uint64_t mask = RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_LRO;
	uint64_t flags = 0;
	uint16_t good = 0;

	for (uint16_t i = 0; i < n; i++)
		flags |= packets[i]->ol_flags;
	if (likely(!(flags & mask)))
		return n;
	for (uint16_t i = 0; i < n; i++) {
		if (unlikely(packets[i]->ol_flags & mask) && offload_from_vhost(packets[i])) {
			__atomic_fetch_add(&port->rx_errors, 1, __ATOMIC_RELAXED);
			rte_pktmbuf_free(packets[i]);
			continue;
		}
		packets[good++] = packets[i];
	}
	return good;
}
