// Quality of service as the configuration says: ingress_policing_* of interfaces, qos of ports with the
// tables QoS and Queue. Names and meaning are those of ovs-vswitchd.conf.db(5), with more keys of our
// own (README.md of qos/). Main thread.
#ifndef CTL_APPLY_QOS_H
#define CTL_APPLY_QOS_H

#include "ctl/config.h"
#include "ofproto/bridge.h"

// On an error the port's quality of service stays as it is. What is in force already is not touched.
int apply_qos(struct bridge_port *live, const struct config *config, const json_t *port,
	      const json_t *interface, struct error *error);
void apply_qos_stop(void);

// The QoS in force at this port as {"type", "queues": ...}, borrowed; NULL: none.
const json_t *apply_qos_in_force(const char *interface);

#endif
