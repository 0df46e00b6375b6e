// What we look at, and in one case answer, of the vhost-user messages that the library handles.
//
// The hooks run on the library's events thread, some of them with its ring locks held: see vhost.h.
#include "vport/vhost.h"

#include "common/clock.h"

#include <string.h>

#include <rte_vhost.h>

// Numbers of the vhost-user protocol.
enum {
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
static void call_changes(int vid, const struct message *message, bool changed)
{
	const unsigned int ring = message->number & 0xff;
	struct vhost_port *port = ring < 2 * VPORT_MAX_QUEUES ? vhost_port_lock(vid) : NULL;

	if (!port)
		return;
	if (port->vid == vid && !(ring & 1)) {
		if (changed)
			vhost_calls_take(port, vid, ring);
		else
			port->queues[ring / 2].call_taken = false;
	}
	vhost_port_unlock();
}

static enum rte_vhost_msg_result before(int vid, void *argument)
{
	struct message *message = argument;

	switch (message->request) {
	case REQUEST_GET_QUEUE_NUM:
		remember(vid, 0);
		return answer_queue_number(vid, message);
	case REQUEST_SET_FEATURES:
		remember(vid, VHOST_SEEN_FEATURES);
		break;
	case REQUEST_SET_MEM_TABLE:
		remember(vid, VHOST_SEEN_MEMORY);
		break;
	case REQUEST_SET_VRING_CALL:
		remember(vid, 0);
		call_changes(vid, message, false);
		break;
	default:
		remember(vid, 0);
	}
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

// A guest that came from elsewhere and cannot tell the network itself: the library has made a RARP
// packet of it, which the next receive call finds. A worker that sleeps is woken for it.
static enum rte_vhost_msg_result after(int vid, void *argument)
{
	const struct message *message = argument;
	struct vhost_port *port;

	if (message->request == REQUEST_SET_VRING_CALL)
		call_changes(vid, message, true);
	if (message->request != REQUEST_SEND_RARP)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	port = vhost_port_lock(vid);
	if (port) {
		port->announces++;
		wakeup_signal(&port->queues[0].wakeup);
		vhost_port_unlock();
	}
	return RTE_VHOST_MSG_RESULT_OK;
}

void vhost_messages_watch(int vid)
{
	static const struct rte_vhost_user_extern_ops hooks = {
		.pre_msg_handle = before,
		.post_msg_handle = after,
	};

	rte_vhost_extern_callback_register(vid, &hooks, NULL);
}
