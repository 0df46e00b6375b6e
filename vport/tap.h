// Tap devices: what tap.c (type tap) and internal.c (type internal) share.
// Main thread. Only this folder includes it.
#ifndef VPORT_TAP_H
#define VPORT_TAP_H

#include "vport/frame_fd.h"

// Create the device vport->name, or attach to a persistent one unless `exclusive`; bring it up
// with the port's MTU.
int tap_open_device(struct vport *vport, bool exclusive, struct error *error);
void tap_set_offloads(struct vport *vport);
void tap_get_status(struct vport *vport, struct vport_status *status);

#endif
