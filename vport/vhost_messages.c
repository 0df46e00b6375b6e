// What we look at, and in one case answer, of the vhost-user messages that the library handles.
//
// The hook runs on the library's events thread before the library handles a message. (One for
// afterwards would hide from the other side that the library refused it.)
#include "vport/vhost.h"

#include "common/clock.h"

#include <string.h>

#include <rte_vhost.h>

// Numbers of the vhost-user protocol.
enum {
	REQUEST_GET_FEATURES = 1,
	REQUEST_SET_FEATURES = 2,
	REQUEST_SET_MEM_TABLE = 5,
	REQUEST_SET_VRING_CALL = 13,
	REQUEST_GET_QUEUE_NUM = 17,
	REQUEST_SEND_RARP = 19,
};

// A message begins like this, on the socket and in the library.
struct message {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
	uint64_t number; // the payload of most requests
} __attribute__((packed));

static void remember(int vid, uint32_t seen)
{
	struct vhost_port *port = vhost_port_lock(vid);

	if (!port)
		return;
	port->seen |= VHOST_SEEN_ANY | seen;
	if (seen & VHOST_SEEN_FEATURES)
		port->features_ns = clock_monotonic_ns();
	vhost_port_unlock();
}

// What was switched off is not offered, but to a guest that has it already.
static void offer_features(int vid)
{
	struct vhost_port *port = vhost_port_lock(vid);

	uint64_t missed;

	if (!port)
		return;
	missed = vhost_missed_features(port);
	vhost_port_unlock();
	// It stays as long as one of its messages is looked at.
	vhost_hide(port, missed);
}

// The library refuses what it does not offer; the reason is worth more than that.
static void choose_features(int vid, const struct message *message)
{
	struct vhost_port *port = vhost_port_lock(vid);

	if (!port)
		return;
	port->insists = message->number & vhost_missed_features(port);
	vhost_port_unlock();
}

// The library would offer more queues than we serve; QEMU refuses to start with more than it is
// told here, and says so.
static enum rte_vhost_msg_result answer_queue_number(int vid, struct message *message)
{
	struct vhost_port *port = vhost_port_lock(vid);

	if (!port)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	message->number = port->offered;
	message->size = sizeof(message->number);
	vhost_port_unlock();
	return RTE_VHOST_MSG_RESULT_REPLY;
}

// The library closes the descriptor that it had of this ring, and has another one after that.
static void call_changes(int vid, const struct message *message)
{
	const unsigned int ring = message->number & 0xff;
	struct vhost_port *port = ring < 2 * VPORT_MAX_QUEUES ? vhost_port_lock(vid) : NULL;

	if (!port)
		return;
	if (port->vid == vid && !(ring & 1)) {
		port->queues[ring / 2].call_taken = false;
		port->queues[ring / 2].call_changed_ns = clock_monotonic_ns();
	}
	vhost_port_unlock();
}

// A guest that came from elsewhere and cannot tell the network itself: the library makes a RARP
// packet of it, which the next receive call finds. The tick wakes a worker that sleeps.
static void announce(int vid)
{
	struct vhost_port *port = vhost_port_lock(vid);

	if (!port)
		return;
	port->announces++;
	port->announcing = 2; // the library may be at it still when the first one comes
	vhost_port_unlock();
}

static enum rte_vhost_msg_result before(int vid, void *argument)
{
	struct message *message = argument;

	switch (message->request) {
	case REQUEST_GET_QUEUE_NUM:
		remember(vid, 0);
		return answer_queue_number(vid, message);
	case REQUEST_GET_FEATURES:
		remember(vid, 0);
		offer_features(vid);
		break;
	case REQUEST_SET_FEATURES:
		choose_features(vid, message);
		remember(vid, VHOST_SEEN_FEATURES);
		break;
	case REQUEST_SET_MEM_TABLE:
		remember(vid, VHOST_SEEN_MEMORY);
		break;
	case REQUEST_SET_VRING_CALL:
		remember(vid, 0);
		call_changes(vid, message);
		break;
	case REQUEST_SEND_RARP:
		remember(vid, 0);
		announce(vid);
		break;
	default:
		remember(vid, 0);
	}
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

void vhost_messages_watch(int vid)
{
	static const struct rte_vhost_user_extern_ops hooks = { .pre_msg_handle = before };

	rte_vhost_extern_callback_register(vid, &hooks, NULL);
}
