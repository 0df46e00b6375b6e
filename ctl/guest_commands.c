// vsctl port-guest: the guest at a vhost-user port, and how to attach one (guest_attach.c).
#include "ctl/guest_attach.h"
#include "ctl/handlers.h"

#include "common/error.h"
#include "ofproto/bridge.h"
#include "vport/guest.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define MIN_IPV6_MTU 1280

struct feature {
	unsigned int bit;
	const char *name;
	const char *meaning;
};

// Bits by number, as the specifications of virtio and vhost-user have them: the host's headers may
// be older.
static const struct feature features[] = {
	{ 0, "VIRTIO_NET_F_CSUM", "the guest may leave checksums to us" },
	{ 1, "VIRTIO_NET_F_GUEST_CSUM", "the guest takes packets without checksums" },
	{ 2, "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS", "the guest changes its offloads while it runs" },
	{ 3, "VIRTIO_NET_F_MTU", "the guest is told its MTU" },
	{ 5, "VIRTIO_NET_F_MAC", "the guest is told its MAC address" },
	{ 7, "VIRTIO_NET_F_GUEST_TSO4", "the guest takes large TCP segments (IPv4)" },
	{ 8, "VIRTIO_NET_F_GUEST_TSO6", "the guest takes large TCP segments (IPv6)" },
	{ 9, "VIRTIO_NET_F_GUEST_ECN", "the guest takes large TCP segments with ECN" },
	{ 10, "VIRTIO_NET_F_GUEST_UFO", "the guest takes large UDP datagrams" },
	{ 11, "VIRTIO_NET_F_HOST_TSO4", "the guest sends large TCP segments (IPv4)" },
	{ 12, "VIRTIO_NET_F_HOST_TSO6", "the guest sends large TCP segments (IPv6)" },
	{ 13, "VIRTIO_NET_F_HOST_ECN", "the guest sends large TCP segments with ECN" },
	{ 14, "VIRTIO_NET_F_HOST_UFO", "the guest sends large UDP datagrams" },
	{ 15, "VIRTIO_NET_F_MRG_RXBUF", "a packet may span several of the guest's buffers" },
	{ 16, "VIRTIO_NET_F_STATUS", "the guest sees whether its link is up" },
	{ 17, "VIRTIO_NET_F_CTRL_VQ", "the guest has a control queue" },
	{ 18, "VIRTIO_NET_F_CTRL_RX", "the guest sets receive modes" },
	{ 19, "VIRTIO_NET_F_CTRL_VLAN", "the guest sets VLAN filters" },
	{ 21, "VIRTIO_NET_F_GUEST_ANNOUNCE", "the guest announces itself after a migration" },
	{ 22, "VIRTIO_NET_F_MQ", "several queues" },
	{ 23, "VIRTIO_NET_F_CTRL_MAC_ADDR", "the guest sets its MAC address" },
	{ 24, "VIRTIO_F_NOTIFY_ON_EMPTY", "interrupt when a ring is empty" },
	{ 26, "VHOST_F_LOG_ALL", "writes are logged: the guest is being migrated" },
	{ 27, "VIRTIO_F_ANY_LAYOUT", "headers and data in one buffer" },
	{ 28, "VIRTIO_RING_F_INDIRECT_DESC", "descriptors in tables of their own" },
	{ 29, "VIRTIO_RING_F_EVENT_IDX", "interrupts and kicks at a chosen packet only" },
	{ 30, "VHOST_USER_F_PROTOCOL_FEATURES", "the protocol has features of its own" },
	{ 32, "VIRTIO_F_VERSION_1", "virtio 1.0" },
	{ 33, "VIRTIO_F_ACCESS_PLATFORM", "memory is reached through an IOMMU" },
	{ 34, "VIRTIO_F_RING_PACKED", "packed rings" },
	{ 35, "VIRTIO_F_IN_ORDER", "buffers are used in order" },
};

static const struct feature protocol_features[] = {
	{ 0, "MQ", "several queues" },
	{ 1, "LOG_SHMFD", "the log of writes is shared memory: the guest can be migrated" },
	{ 2, "RARP", "the guest is announced after a migration" },
	{ 3, "REPLY_ACK", "messages are acknowledged" },
	{ 4, "NET_MTU", "we are told the guest's MTU" },
	{ 5, "BACKEND_REQ", "we may send messages" },
	{ 6, "CROSS_ENDIAN", "byte order is chosen" },
	{ 7, "CRYPTO_SESSION", "keys of cryptography devices" },
	{ 8, "PAGEFAULT", "memory may come after the guest (postcopy)" },
	{ 9, "CONFIG", "the configuration space is ours" },
	{ 10, "BACKEND_SEND_FD", "we may send descriptors" },
	{ 11, "HOST_NOTIFIER", "kicks go to hardware" },
	{ 12, "INFLIGHT_SHMFD", "buffers in flight are kept" },
	{ 13, "RESET_DEVICE", "the device can be reset" },
	{ 15, "CONFIGURE_MEM_SLOTS", "memory comes and goes by regions" },
	{ 16, "STATUS", "we are told the device's status" },
};

static json_t *list_features(uint64_t bits, const struct feature *known, size_t n)
{
	json_t *list = json_array();

	for (unsigned int bit = 0; bit < 64; bit++) {
		size_t i = 0;

		if (!(bits >> bit & 1))
			continue;
		while (i < n && known[i].bit != bit)
			i++;
		json_array_append_new(list, json_pack("{s:i, s:s, s:s}", "bit", (int)bit, "name",
						      i < n ? known[i].name : "unknown", "meaning",
						      i < n ? known[i].meaning : ""));
	}
	return list;
}

static json_int_t milliseconds(uint64_t ns)
{
	return (json_int_t)(ns / 1000000);
}

// When that was by the calendar, in milliseconds since 1970.
static json_int_t since(uint64_t ago_ns)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - milliseconds(ago_ns);
}

static json_t *describe_ring(const struct vport_guest_ring *ring)
{
	return json_pack("{s:i, s:s, s:b, s:i, s:i, s:b, s:I, s:o, s:I}", "queue", (int)ring->queue,
			 "direction", ring->to_guest ? "to-guest" : "from-guest", "enabled",
			 ring->enabled, "size", (int)ring->size, "waiting", (int)ring->waiting,
			 "interrupt_wanted", ring->interrupt_wanted, "interrupts",
			 (json_int_t)ring->interrupts, "kicks",
			 ring->kicks == VPORT_GUEST_UNKNOWN ? json_null()
							    : json_integer((json_int_t)ring->kicks),
			 "not_taken_ms", milliseconds(ring->stuck_ns));
}

static json_t *describe_rings(const struct vport_guest *guest)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < guest->n_rings; i++)
		if (guest->rings[i].size)
			json_array_append_new(list, describe_ring(&guest->rings[i]));
	return list;
}

static json_t *describe_memory(const struct vport_guest *guest)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < guest->n_regions && i < VPORT_GUEST_MAX_REGIONS; i++)
		json_array_append_new(list,
				      json_pack("{s:I, s:I, s:I}", "address",
						(json_int_t)guest->regions[i].guest_address, "size",
						(json_int_t)guest->regions[i].size, "page_size",
						(json_int_t)guest->regions[i].page_size));
	return list;
}

// In one word, from the most to the least of a guest.
static const char *state_of(const struct vport_guest *guest)
{
	if (!guest->connected)
		return "no-guest";
	if (!guest->running)
		return "connected";
	return guest->stopped ? "stopped" : guest->migrating ? "migrating" : "running";
}

static void add_problem(json_t *problems, const char *format, unsigned int a, unsigned int b)
{
	json_array_append_new(problems, json_sprintf(format, a, b));
}

static json_t *list_problems(const struct vport *vport, const struct vport_guest *guest)
{
	json_t *problems = json_array();

	if (vport->status.problem)
		json_array_append_new(problems, json_string(vport->status.problem));
	if (guest->mtu && guest->mtu > vport->mtu)
		add_problem(problems,
			    "the guest was told an MTU of %u, the port has %u: longer packets to "
			    "the guest are dropped (tx-mtu)",
			    guest->mtu, vport->mtu);
	if (guest->running && guest->mtu && guest->mtu < vport->mtu)
		add_problem(problems,
			    "the guest was told an MTU of %u, the port has %u: the guest may drop "
			    "what is longer; QEMU tells a guest its MTU (host_mtu) only when it "
			    "starts",
			    guest->mtu, vport->mtu);
	if (vport->mtu < MIN_IPV6_MTU)
		add_problem(problems, "an MTU of %u carries no IPv6, which needs %u", vport->mtu,
			    MIN_IPV6_MTU);
	return problems;
}

static json_t *describe_peer(const struct vport_guest *guest)
{
	if (!guest->pid)
		return json_null();
	return json_pack("{s:i, s:s, s:i}", "pid", guest->pid, "command", guest->command, "uid",
			 (int)guest->uid);
}

static json_t *describe_guest(const struct bridge *bridge, const struct bridge_port *port,
			      const struct vport_guest *guest)
{
	const struct vport *vport = bridge_port_vport(port);
	struct bridge_port_stats stats;
	json_t *object;

	bridge_port_get_stats(port, &stats);
	object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:o}", "port", vport->name,
			   "bridge", bridge_name(bridge), "type", vport->class->type, "mode",
			   guest->server ? "server" : "client", "socket", guest->path, "state",
			   state_of(guest), "connected_ms", milliseconds(guest->connected_ns),
			   "peer", describe_peer(guest));
	json_object_set_new(object, "connected_since",
			    guest->connected ? json_integer(since(guest->connected_ns))
					     : json_null());
	json_object_set_new(object, "mtu", json_integer(vport->mtu));
	json_object_set_new(object, "guest_mtu",
			    guest->mtu ? json_integer(guest->mtu) : json_null());
	json_object_set_new(object, "queues_offered", json_integer(guest->offered));
	json_object_set_new(object, "queues", json_integer(guest->n_queues));
	json_object_set_new(object, "layout",
			    json_string(guest->features >> 34 & 1 ? "packed" : "split"));
	json_object_set_new(
		object, "features",
		list_features(guest->features, features, sizeof(features) / sizeof(features[0])));
	json_object_set_new(
		object, "protocol_features",
		list_features(guest->protocol_features, protocol_features,
			      sizeof(protocol_features) / sizeof(protocol_features[0])));
	json_object_set_new(object, "rings", describe_rings(guest));
	json_object_set_new(object, "memory", describe_memory(guest));
	json_object_set_new(object, "migrating", json_boolean(guest->migrating));
	json_object_set_new(object, "announces", json_integer((json_int_t)guest->announces));
	json_object_set_new(object, "sent_to_guest", json_integer((json_int_t)stats.tx_packets));
	json_object_set_new(object, "received_from_guest",
			    json_integer((json_int_t)stats.rx_packets));
	json_object_set_new(object, "problems", list_problems(vport, guest));
	return object;
}

int handle_port_guest(const struct handler_call *call, json_t **result, struct error *error)
{
	const bool qemu = call_flag(call, "qemu"), libvirt = call_flag(call, "libvirt");
	const struct config *config = call->transaction->config;
	const char *name = call_arg(call, 0);
	struct bridge *bridge;
	struct bridge_port *port = bridge_port_find(name, &bridge);
	struct vport_guest guest;

	if (qemu && libvirt)
		return error_set(error, EINVAL, "--qemu and --libvirt exclude each other");
	if (!port)
		return error_set(error, ENOENT,
				 "port '%.64s' does not exist or is not open; 'vsctl show' lists "
				 "the ports",
				 name);
	if (vport_guest_read(bridge_port_vport(port), &guest))
		return error_set(error, ENOTSUP,
				 "port '%s' is of type %s, which has no guest: guests are at ports "
				 "of type vhost-user or vhost-user-server",
				 name, bridge_port_vport(port)->class->type);
	if (qemu || libvirt)
		*result = guest_attach(config_find(config, TABLE_Interface, name),
				       bridge_port_vport(port), &guest, libvirt);
	else
		*result = describe_guest(bridge, port, &guest);
	return 0;
}
