// Workers and who polls what, as the configuration says: other_config:pmd-* of the switch, and
// other_config:pmd-rxq-affinity of interfaces. Names and meaning are those of
// ovs-vswitchd.conf.db(5); what is not set is chosen by measured load. Main thread.
#ifndef CTL_APPLY_WORKERS_H
#define CTL_APPLY_WORKERS_H

#include "ctl/config.h"
#include "ofproto/bridge.h"

// The cores of the command line: those that workers have without a pmd-cpu-mask.
void apply_workers_default(const unsigned int *cores, unsigned int n);

// pmd-cpu-mask, pmd-rxq-assign, pmd-rxq-isolate, pmd-auto-lb*. On an error nothing changes.
int apply_workers(const struct config *config, struct error *error);

// pmd-rxq-affinity of an open port.
int apply_queue_pins(struct bridge_port *port, const json_t *interface, struct error *error);

#endif
