// A packet's key as the match that describes it exactly, for people. Main thread.
#ifndef OFPROTO_KEY_TEXT_H
#define OFPROTO_KEY_TEXT_H

#include "flowtable/flow_text.h"

// Every field that the packet has, and every piece of metadata that is not zero.
void key_describe(const struct key *key, const struct port_names *names, struct match *match);

#endif
