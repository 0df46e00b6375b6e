// What the actions*.c files share. Hot; internal to them.
#ifndef DATAPATH_ACTIONS_H
#define DATAPATH_ACTIONS_H

#include "datapath/forward.h"
#include "datapath/subfield.h"

// actions.c: one op, and a list of them, for all `packets`. `next` may be NULL: then nothing jumps
// on, everything comes back. false: the op ends the list.
bool actions_run_op(struct forward *forward, const struct op *op, uint8_t table_id,
		    uint64_t packets, unsigned int depth, bool last, struct pipeline_next *next);
void actions_run_list(struct forward *forward, const uint8_t *at, size_t size, uint8_t table_id,
		      uint64_t packets, unsigned int depth, struct pipeline_next *next);

// Take the outer tag off, if there is one.
void actions_pop_vlan(struct forward *forward, unsigned int packet);

// Those of `packets` that have the header that the field is in: for the others a write does nothing
// (ovs-actions(7), set_field), neither now nor to what later tables match.
uint64_t actions_having_header(const struct vector *vector, uint16_t dirty, uint64_t packets);

// Write bits that are not constant, with everything that a write entails.
void actions_write(struct forward *forward, unsigned int packet, const struct subfield *to,
		   const struct bits *value);
// A time to live came to its end: the list under way is over for the packet.
void actions_expired(struct forward *forward, unsigned int packet);

// actions_set.c
void actions_write_set(struct forward *forward, const struct op_nested *write, uint64_t packets);

// actions_clone.c: clone, and the stack that it restores.
void actions_clone(struct forward *forward, const struct op_nested *clone, uint8_t table_id,
		   uint64_t packets, unsigned int depth);
void actions_push(struct forward *forward, const struct subfield *from, uint64_t packets);
void actions_pop(struct forward *forward, const struct subfield *to, uint64_t packets);

// actions_multipath.c
void actions_multipath(struct forward *forward, const struct op_multipath *op, uint64_t packets);
void actions_bundle(struct forward *forward, const struct op_bundle *op, uint64_t packets);

// actions_trace.c: tell of an op of a traced packet, before and after it runs.
void actions_trace_begin(struct forward *forward, const struct op *op);
void actions_trace_end(struct forward *forward, const struct op *op);
// actions_meter.c
void actions_meter(struct forward *forward, uint32_t id, uint64_t packets, unsigned int depth);
// actions_tun.c: tunnel options. What is written is there, what is deleted is not.
void actions_tun_present(struct forward *forward, unsigned int packet, const struct field *field);
void actions_tun_move(struct forward *forward, const struct op_move *op, uint64_t packets);
void actions_tun_delete(struct forward *forward, const struct field *field, uint64_t packets);

// actions_encap.c
void actions_encap(struct forward *forward, const struct op_encap *op, uint64_t packets);
void actions_decap(struct forward *forward, const struct op_decap *op, uint64_t packets);

// actions_nsh.c
bool actions_has_nsh(const struct vector *vector, unsigned int packet);
void actions_nsh_written(struct forward *forward, uint64_t packets);
void actions_dec_nsh_ttl(struct forward *forward, uint64_t packets);

// actions_mpls.c
void actions_mpls(struct forward *forward, const struct op *op, uint64_t packets);

void actions_clear_set(struct forward *forward, uint64_t packets);

// actions_ct.c: connection tracking.
void actions_ct(struct forward *forward, uint64_t packets);
void actions_ct_clear(struct forward *forward, uint64_t packets);
// The 5-tuple and that of the connection's original direction change places.
void actions_ct_swap(struct vector *vector, uint64_t packets);

#endif
