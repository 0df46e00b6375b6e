// Counters of the sample action, by set of collectors. Main thread.
//
// Nothing exports samples yet: what would be sent is counted. A counter comes with the first action
// that names its set and stays as long as the bridge.
#ifndef OFPROTO_SAMPLE_H
#define OFPROTO_SAMPLE_H

#include "ofproto/bridge.h"

#define SAMPLE_MAX_SETS 4096 // of one bridge

// Before a program is published. 0 or -errno with a sentence.
int bridge_make_samples(struct bridge *bridge, const struct program *program, struct error *error);
// By rising set; NULL: none. Counters are read with counter_read().
const struct sample_table *bridge_samples(const struct bridge *bridge);
// With the bridge, after the last packet.
void bridge_samples_exit(struct bridge *bridge);

#endif
