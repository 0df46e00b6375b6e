// Patch ports: where two bridges meet. The datapath goes through them while it translates
// (forwarding.h), so nothing is ever received from or sent to one; the peer's name is all there is.
#include "vport/vport.h"

#include <errno.h>
#include <string.h>

#include "common/error.h"

struct patch {
	struct vport vport;
	char peer[VPORT_NAME_SIZE];
};

static const char *const patch_options[] = { "peer", NULL };

static int patch_open(struct vport *vport, const struct vport_config *config, struct error *error)
{
	const char *peer = vport_config_option(config, "peer");

	if (!peer || !*peer)
		return error_set(error, EINVAL,
				 "patch port '%s' needs options:peer=NAME, the patch port at the "
				 "other end",
				 vport->name);
	if (!strcmp(peer, vport->name))
		return error_set(error, EINVAL, "patch port '%s' cannot be its own peer",
				 vport->name);
	if (strlen(peer) >= VPORT_NAME_SIZE)
		return error_set(error, ENAMETOOLONG,
				 "peer name '%s' is too long: at most %u characters", peer,
				 VPORT_NAME_SIZE - 1);
	strcpy(((struct patch *)vport)->peer, peer);
	vport->polled = false;
	vport->n_rxq = 0;
	vport->status.link_up = false; // until its owner finds the other end
	return 0;
}

static void patch_close(struct vport *vport)
{
	(void)vport;
}

static uint16_t patch_rx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	(void)vport, (void)queue, (void)packets, (void)n;
	return 0;
}

static uint16_t patch_tx(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	(void)vport, (void)queue, (void)packets, (void)n;
	return 0;
}

static int patch_set_mtu(struct vport *vport, unsigned int mtu, struct error *error)
{
	(void)error;
	vport->mtu = mtu;
	vport->status.mtu = mtu;
	return 0;
}

const struct vport_class vport_class_patch = {
	.type = "patch",
	.options = patch_options,
	.size = sizeof(struct patch),
	.open = patch_open,
	.close = patch_close,
	.rx = patch_rx,
	.tx = patch_tx,
	.tx_thread_safe = true,
	.set_mtu = patch_set_mtu,
};

const char *vport_patch_peer(const struct vport *vport)
{
	return vport->class == &vport_class_patch ? ((const struct patch *)vport)->peer : NULL;
}
