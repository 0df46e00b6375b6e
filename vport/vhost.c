#include "vport/vhost.h"

#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_log.h>
#include <rte_vhost.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"

// The library frees a connection on its own thread just after it told us of its end, and
// unregistering spins until it has: leave it that time.
#define SETTLE_NS (5 * NS_PER_MS)

// `path` and OVS's `vhost-server-path` mean the same.
static const char *const vhost_options[] = { "path", "vhost-server-path", NULL };

// --- registration with the library ---

static void port_unregister(struct vhost_port *port)
{
	if (!port->registered)
		return;
	rte_vhost_driver_unregister(port->path);
	vhost_connections_forget(port);
	port->registered = false;
}

// Register the socket and start: listen, or connect now or never (the library's own reconnecting
// looks once per second; vhost_tick() is faster). A validating front door for the vhost-user
// messages belongs here: it would hold the socket and hand the library one end of a pair.
static int port_register(struct vhost_port *port)
{
	uint64_t flags = RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS;

	if (!port->server)
		flags |= RTE_VHOST_USER_CLIENT | RTE_VHOST_USER_NO_RECONNECT;
	if (rte_vhost_driver_register(port->path, flags))
		return -ENOMEM;
	port->registered = true;
	if (rte_vhost_driver_disable_features(port->path, vhost_hidden_features(port)) ||
	    rte_vhost_driver_callback_register(port->path, &vhost_device_ops) ||
	    rte_vhost_driver_start(port->path)) {
		port_unregister(port);
		return -ECONNREFUSED;
	}
	return 0;
}

static void client_connect(struct vhost_port *port)
{
	struct stat status;
	uint64_t since;

	if (vhost_connected(port, &since) || clock_monotonic_ns() - since < SETTLE_NS)
		return;
	if (stat(port->path, &status) || !S_ISSOCK(status.st_mode))
		return;
	port_unregister(port);
	port_register(port);
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
}

static int queues_open(struct vhost_port *port, struct error *error)
{
	int ret;

	for (unsigned int i = 0; i < VPORT_MAX_QUEUES; i++) {
		port->queues[i].kick_fd = -1;
		port->queues[i].wakeup = (struct wakeup){ .epoll_fd = -1, .event_fd = -1 };
	}
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
	int type = rte_log_register("lib.vhost.config");

	// Connections are reported by ourselves, once; the library does it at every attempt.
	if (type >= 0)
		rte_log_set_level((uint32_t)type, RTE_LOG_ERR);
	port->vid = VHOST_NO_DEVICE;
	if (path_choose(port, config, error))
		return -EINVAL;
	if (port->server && stale_socket_remove(port->path, error))
		return -EADDRINUSE;
	if (queues_open(port, error))
		return -EMFILE;
	vhost_list_add(port);
	// A guest that is not there yet is no error: it is looked for again at every tick.
	if (!port->server) {
		client_connect(port);
		return 0;
	}
	if (port_register(port)) {
		vhost_close(&port->vport);
		return error_set(error, EACCES,
				 "cannot listen on socket '%s': check the directory's permissions",
				 port->path);
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

	if (!port->server)
		client_connect(port);
	n_queues = vhost_leading_rings(__atomic_load_n(&port->enabled, __ATOMIC_RELAXED), false);
	n_queues = RTE_MAX(n_queues, 1u);
	if (n_queues != vport->n_rxq) {
		__atomic_store_n(&vport->n_rxq, (uint16_t)n_queues, __ATOMIC_RELEASE);
		vport_mark_changed(vport);
	}
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
	vhost_fill_offloads(port, status);
}

static void vhost_get_stats(struct vport *vport, struct vport_class_stats *stats)
{
	stats->rx_errors =
		__atomic_load_n(&((struct vhost_port *)vport)->rx_errors, __ATOMIC_RELAXED);
}

static int vhost_set_mtu(struct vport *vport, unsigned int mtu, struct error *error)
{
	// Rings have no MTU of their own; frames span as many of the guest's buffers as needed.
	(void)error;
	vport->mtu = mtu;
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
	.set_offloads = vhost_set_offloads,
	.tick = vhost_tick,
};
