// Rows of Flow_Table, put in force. Main thread.
#ifndef CTL_APPLY_TABLE_H
#define CTL_APPLY_TABLE_H

#include "ctl/config.h"
#include "ofproto/table_config.h"

// The settings of all flow tables of a Bridge row.
int apply_tables(struct bridge *bridge, const struct config *config, const json_t *row,
		 struct error *error);

// mod-port's words, as Interface.port_config keeps them, in the order of the bits of PORT_*.
extern const char *const port_config_words[N_PORT_FLAGS];
int apply_port_config(struct bridge_port *port, const json_t *interface, struct error *error);

#endif
