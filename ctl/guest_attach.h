// How to attach a guest to a vhost-user port: QEMU's command line, and XML for libvirt.
#ifndef CTL_GUEST_ATTACH_H
#define CTL_GUEST_ATTACH_H

#include <jansson.h>
#include <stdbool.h>

struct vport;
struct vport_guest;

// {"arguments": [...]} for QEMU, or {"xml": "..."}. `interface`: the port's row of table Interface.
json_t *guest_attach(const json_t *interface, const struct vport *vport,
		     const struct vport_guest *guest, bool libvirt);

#endif
