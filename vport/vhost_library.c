// DPDK's vhost library behind the interface of vhost_backend.h.
#include "vport/vhost_backend.h"

#include <errno.h>

#include <rte_log.h>
#include <rte_version.h>
#include <rte_vhost.h>

#include "common/error.h"
#include "common/log.h"
#include "vport/vhost.h"
#include "vport/vhost_session.h"

// Reading a guest's header twice, checking only the first copy, was mended in these releases.
static bool library_is_mended(void)
{
	unsigned int year = rte_version_year(), month = rte_version_month();
	unsigned int minor = rte_version_minor();

	if (year > 25 || (year == 25 && month >= 11))
		return true;
	return (year == 22 && month == 11 && minor >= 11) ||
	       (year == 23 && month == 11 && minor >= 6) ||
	       (year == 24 && month == 11 && minor >= 4);
}

static void library_check(void)
{
	static bool checked;
	int type = rte_log_register("lib.vhost.config");

	// Connections are reported by ourselves, once; the library does it at every attempt.
	if (type >= 0)
		rte_log_set_level((uint32_t)type, RTE_LOG_ERR);

	if (!checked && !library_is_mended())
		log_warning("%s has a known flaw that a guest can use against the switch (it reads "
			    "a packet's header twice): use 22.11.11, 23.11.6, 24.11.4, 25.11 or a "
			    "later one of these",
			    rte_version());
	checked = true;
}

// What the library offers: of the protocol, only what the front door lets through.
static int library_offers(struct vhost_port *port)
{
	uint64_t protocol = 0;

	if (rte_vhost_driver_get_protocol_features(port->private_path, &protocol))
		return -EINVAL;
	return rte_vhost_driver_set_protocol_features(port->private_path,
						      protocol & VHOST_PROTOCOL_FEATURES);
}

static void detach(struct vhost_port *port)
{
	rte_vhost_driver_unregister(port->private_path);
}

static int attach(struct vhost_port *port, struct error *error)
{
	library_check();
	if (rte_vhost_driver_register(port->private_path, RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS))
		return error_set(error, ENOMEM, "the vhost library takes no more ports");
	if (library_offers(port) ||
	    rte_vhost_driver_disable_features(port->private_path, vhost_hidden_features(port)) ||
	    rte_vhost_driver_callback_register(port->private_path, &vhost_device_ops) ||
	    rte_vhost_driver_start(port->private_path)) {
		detach(port);
		return error_set(error, EACCES, "cannot listen on socket '%s'", port->private_path);
	}
	return 0;
}

static void notify(int vid, uint16_t ring, bool wanted)
{
	rte_vhost_enable_guest_notification(vid, ring, wanted);
}

const struct vhost_backend vhost_library = {
	.attach = attach,
	.detach = detach,
	.receive = rte_vhost_dequeue_burst,
	.transmit = rte_vhost_enqueue_burst,
	.notify = notify,
};
