// Internal ports: the host's own interface on a bridge. A tap device of the port's name that is
// ours alone, with a MAC address of choice (options:mac).
#include "vport/tap.h"

#include <errno.h>
#include <string.h>

#include "common/error.h"
#include "common/text.h"

static const char *const internal_options[] = { "mac", NULL };

static int internal_open(struct vport *vport, const struct vport_config *config,
			 struct error *error)
{
	const char *text = vport_config_option(config, "mac");
	uint8_t mac[6];
	int ret;

	if (text && parse_mac(text, mac))
		return error_set(error, EINVAL,
				 "option 'mac' is a MAC address such as 02:00:00:00:00:01, not "
				 "'%s'",
				 text);
	if (text && mac[0] & 1)
		return error_set(error, EINVAL, "MAC address %s is a group address", text);
	ret = tap_open_device(vport, true, error);
	if (ret || !text)
		return ret;
	ret = netif_set_mac(((struct frame_fd *)vport)->ifindex, mac);
	if (ret) {
		frame_fd_close(vport);
		return error_set(error, -ret, "cannot give interface '%s' the MAC address %s: %s",
				 vport->name, text, strerror(-ret));
	}
	return 0;
}

const struct vport_class vport_class_internal = {
	.type = "internal",
	.options = internal_options,
	.size = sizeof(struct frame_fd),
	.open = internal_open,
	.close = frame_fd_close,
	.rx = frame_fd_rx,
	.tx = frame_fd_tx,
	.tx_thread_safe = true,
	.arm = frame_fd_arm,
	.disarm = frame_fd_disarm,
	.get_status = tap_get_status,
	.get_stats = frame_fd_get_stats,
	.set_mtu = frame_fd_set_mtu,
	.set_offloads = tap_set_offloads,
	.set_admin = frame_fd_set_admin,
};
