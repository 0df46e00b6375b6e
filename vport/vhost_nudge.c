// DPDK's vhost library waits for its sockets with poll(), a second at a time. A connection that it
// makes or takes wakes it; a socket that it begins to listen on does not, so that the first guest
// of each port would wait up to a second. So let it make a connection, to ourselves, that is ended
// at once.
#include "vport/vhost.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_vhost.h>

void vhost_nudge(const char *private_path)
{
	static const struct rte_vhost_device_ops nothing = { .new_device = NULL };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, n;

	n = snprintf(address.sun_path, sizeof(address.sun_path), "%s.n", private_path);
	// Without it all works, but later.
	if (n < 0 || (size_t)n >= sizeof(address.sun_path))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	unlink(address.sun_path);
	if (!bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 1) &&
	    !rte_vhost_driver_register(address.sun_path,
				       RTE_VHOST_USER_CLIENT | RTE_VHOST_USER_NO_RECONNECT)) {
		if (!rte_vhost_driver_callback_register(address.sun_path, &nothing))
			rte_vhost_driver_start(address.sun_path);
		rte_vhost_driver_unregister(address.sun_path);
	}
	unlink(address.sun_path);
	close(fd);
}
