#include "vport/vhost.h"

#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "common/log.h"
#include "vport/vhost_backend.h"
#include "vport/vhost_door.h"

// `path` and OVS's `vhost-server-path` mean the same.
static const char *const vhost_options[] = { "path", "vhost-server-path", "interrupt-delay", NULL };

// --- registration ---

static void port_unregister(struct vhost_port *port)
{
	vhost_door_shut(port->door);
	if (port->registered) {
		port->backend->detach(port);
		vhost_connections_forget(port);
		port->registered = false;
	}
	vhost_door_free(port->door);
	port->door = NULL;
}

// The library listens on a socket that only the front door can reach, in both modes; the peer's
// socket is the door's.
static int port_register(struct vhost_port *port, struct error *error)
{
	if (vhost_door_private_path(port->private_path, sizeof(port->private_path), error) ||
	    port->backend->attach(port, error))
		return -EACCES;
	port->registered = true;
	vhost_nudge(port->private_path);
	port->door =
		vhost_door_open(&port->vport, port->path, port->private_path, port->server, error);
	if (!port->door) {
		port_unregister(port);
		return -EACCES;
	}
	return 0;
}

// --- opening ---

static int path_check(const char *path, struct error *error)
{
	char directory[VHOST_PATH_SIZE];
	struct stat status;

	if (*path != '/')
		return error_set(error, EINVAL, "socket path '%s' must be absolute", path);
	if (strlen(path) >= VHOST_PATH_SIZE)
		return error_set(error, ENAMETOOLONG,
				 "socket path '%s' is too long: at most %zu characters", path,
				 VHOST_PATH_SIZE - 1);
	memcpy(directory, path, strlen(path) + 1);
	dirname(directory);
	if (stat(directory, &status) || !S_ISDIR(status.st_mode))
		return error_set(error, ENOENT, "directory '%s' of socket path '%s' does not exist",
				 directory, path);
	if (!stat(path, &status) && !S_ISSOCK(status.st_mode))
		return error_set(error, ENOTSOCK, "'%s' exists and is not a socket", path);
	return 0;
}

// A socket file that nobody listens on was left by a process that was killed.
static int stale_socket_remove(const char *path, struct error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat status;
	int fd, ret;

	if (stat(path, &status))
		return 0;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(error, errno, "cannot create a socket: %s", strerror(errno));
	memcpy(address.sun_path, path, strlen(path) + 1);
	ret = connect(fd, (struct sockaddr *)&address, sizeof(address)) ? errno : 0;
	close(fd);
	if (ret != ECONNREFUSED)
		return error_set(error, EADDRINUSE,
				 "socket '%s' is in use by another process; for a guest that "
				 "listens there, use type=vhost-user",
				 path);
	if (unlink(path))
		return error_set(error, errno, "cannot remove the stale socket '%s': %s", path,
				 strerror(errno));
	return 0;
}

static int path_choose(struct vhost_port *port, const struct vport_config *config,
		       struct error *error)
{
	const char *path = vport_config_option(config, "path");
	const char *ovs_path = vport_config_option(config, "vhost-server-path");
	char own[sizeof(port->path) + VPORT_NAME_SIZE];

	if (path && ovs_path && strcmp(path, ovs_path))
		return error_set(error, EINVAL,
				 "options path and vhost-server-path mean the same: give one");
	if (!path)
		path = ovs_path;
	if (!path && port->server) {
		snprintf(own, sizeof(own), "%s/%s", vport_run_dir(), port->vport.name);
		path = own;
	}
	if (!path)
		return error_set(error, EINVAL,
				 "port '%s' needs options:path=SOCKET, where the guest listens",
				 port->vport.name);
	if (path_check(path, error))
		return -EINVAL;
	if (vhost_list_find(path))
		return error_set(error, EADDRINUSE, "socket path '%s' is used by port '%s'", path,
				 vhost_list_find(path)->vport.name);
	memcpy(port->path, path, strlen(path) + 1); // path_check() saw to the length
	return 0;
}

static void queues_close(struct vhost_port *port)
{
	for (unsigned int i = 0; i < VPORT_MAX_QUEUES; i++) {
		struct vhost_queue *queue = &port->queues[i];

		rte_pktmbuf_free_bulk(queue->stash + queue->stash_first,
				      (unsigned int)(queue->stash_end - queue->stash_first));
		wakeup_close(&queue->wakeup);
	}
	vhost_calls_close(port);
}

static int queues_open(struct vhost_port *port, struct error *error)
{
	int ret;

	for (unsigned int i = 0; i < VPORT_MAX_QUEUES; i++) {
		port->queues[i].kick_fd = -1;
		port->queues[i].call_fd = -1;
		port->queues[i].wakeup = (struct wakeup){ .epoll_fd = -1, .event_fd = -1 };
	}
	ret = vhost_calls_open(port, port->delay_us);
	if (!ret)
		ret = wakeup_open(&port->queues[0].wakeup);
	return ret ? error_set(error, -ret, "cannot create descriptors for port '%s': %s",
			       port->vport.name, strerror(-ret))
		   : 0;
}

static void vhost_close(struct vport *vport)
{
	struct vhost_port *port = (struct vhost_port *)vport;

	port_unregister(port);
	vhost_list_remove(port);
	queues_close(port);
}

static int vhost_open(struct vhost_port *port, const struct vport_config *config,
		      struct error *error)
{
	port->backend = &vhost_library;
	port->vid = VHOST_NO_DEVICE;
	port->offered = config->n_rxq ? config->n_rxq : VPORT_MAX_QUEUES;
	port->memory_private = -1;
	if (path_choose(port, config, error))
		return -EINVAL;
	if (port->server && stale_socket_remove(port->path, error))
		return -EADDRINUSE;
	if (vport_config_number(config, "interrupt-delay", 0, VHOST_LONGEST_DELAY_US,
				&port->delay_us, error))
		return -EINVAL;
	if (queues_open(port, error)) {
		queues_close(port);
		return -EMFILE;
	}
	vhost_list_add(port);
	// A guest that is not there yet is no error: the door looks for it again and again.
	if (port_register(port, error)) {
		vhost_close(&port->vport);
		return -EACCES;
	}
	return 0;
}

static int client_open(struct vport *vport, const struct vport_config *config, struct error *error)
{
	return vhost_open((struct vhost_port *)vport, config, error);
}

static int server_open(struct vport *vport, const struct vport_config *config, struct error *error)
{
	struct vhost_port *port = (struct vhost_port *)vport;

	port->server = true;
	return vhost_open(port, config, error);
}

// --- while open ---

static void vhost_tick(struct vport *vport)
{
	struct vhost_port *port = (struct vhost_port *)vport;
	unsigned int n_queues;

	vhost_watch(port);
	vhost_calls_tick(port);
	n_queues = vhost_leading_rings(__atomic_load_n(&port->enabled, __ATOMIC_RELAXED), false);
	n_queues = RTE_MAX(n_queues, 1u);
	if (n_queues != vport->n_rxq) {
		__atomic_store_n(&vport->n_rxq, (uint16_t)n_queues, __ATOMIC_RELEASE);
		vport_mark_changed(vport);
	}
}

// Why the last guest was cut off, until one works again. Whoever compares it sees another address
// when it is another reason.
static const char *door_problem(struct vhost_port *port, const struct vhost_door_status *door,
				bool up)
{
	// A guest that was cut off a moment ago may still look up.
	if (up && door->n_connections)
		port->forgiven = door->refused;
	if (door->refused == port->forgiven)
		return NULL;
	if (door->refused != port->explained) {
		port->explanation ^= 1;
		port->explained = door->refused;
		snprintf(port->explanations[port->explanation], sizeof(port->explanations[0]),
			 "the guest was cut off: %s", door->reason);
	}
	return port->explanations[port->explanation];
}

static void vhost_get_status(struct vport *vport, struct vport_status *status)
{
	struct vhost_port *port = (struct vhost_port *)vport;
	bool up = __atomic_load_n(&port->vid, __ATOMIC_RELAXED) != VHOST_NO_DEVICE;

	if (up != status->link_up)
		log_info("port '%s': guest %s (%s)", vport->name, up ? "connected" : "disconnected",
			 port->path);
	status->link_up = up;
	status->full_duplex = true;
	status->mtu = vport->mtu;
	status->stopped = port->stopped;
	status->problem = port->problem;
	if (port->door) {
		struct vhost_door_status door;
		const char *refusal;

		vhost_door_get_status(port->door, &door);
		refusal = door_problem(port, &door, up);
		if (refusal && !port->insists)
			status->problem = refusal;
		status->refused_peers = door.refused;
	}
	vhost_fill_offloads(port, status);
}

static void vhost_get_stats(struct vport *vport, struct vport_class_stats *stats)
{
	stats->rx_errors =
		__atomic_load_n(&((struct vhost_port *)vport)->rx_errors, __ATOMIC_RELAXED);
	vhost_count_guest((struct vhost_port *)vport, stats);
}

static int vhost_set_mtu(struct vport *vport, unsigned int mtu, struct error *error)
{
	// Rings have no MTU of their own; frames span as many of the guest's buffers as needed.
	(void)error;
	vport->mtu = mtu;
	return 0;
}

// A guest is told that its link is down, or up, by ending and making the connection: QEMU has no
// other way for a vhost-user device.
static int vhost_set_admin(struct vport *vport, bool up, struct error *error)
{
	struct vhost_port *port = (struct vhost_port *)vport;

	if (!up)
		port_unregister(port);
	else if (!port->registered)
		return port_register(port, error);
	return 0;
}

const struct vport_class vport_class_vhost_user = {
	.type = "vhost-user",
	.alias = "dpdkvhostuserclient",
	.options = vhost_options,
	.size = sizeof(struct vhost_port),
	.open = client_open,
	.close = vhost_close,
	.rx = vhost_rx,
	.tx = vhost_tx,
	.tx_thread_safe = true,
	.arm = vhost_arm,
	.disarm = vhost_disarm,
	.get_status = vhost_get_status,
	.get_stats = vhost_get_stats,
	.set_mtu = vhost_set_mtu,
	.set_admin = vhost_set_admin,
	.set_offloads = vhost_set_offloads,
	.tick = vhost_tick,
};

const struct vport_class vport_class_vhost_user_server = {
	.type = "vhost-user-server",
	.alias = "dpdkvhostuser",
	.options = vhost_options,
	.size = sizeof(struct vhost_port),
	.open = server_open,
	.close = vhost_close,
	.rx = vhost_rx,
	.tx = vhost_tx,
	.tx_thread_safe = true,
	.arm = vhost_arm,
	.disarm = vhost_disarm,
	.get_status = vhost_get_status,
	.get_stats = vhost_get_stats,
	.set_mtu = vhost_set_mtu,
	.set_admin = vhost_set_admin,
	.set_offloads = vhost_set_offloads,
	.tick = vhost_tick,
};
