// Changes of flows, groups and meters as text, for tests that apply them in one way and another.
#ifndef TESTS_UNIT_CHANGES_H
#define TESTS_UNIT_CHANGES_H

#include "common/hash.h"
#include "ofproto/bridge.h"
#include "tests/unit/packets.h"

// A line of a bundle.
void changes_random(struct random *random, char *text, size_t size);

// All lines as a bundle; one line as a list of its own that is no bundle.
int changes_apply(struct bridge *bridge, const char *text, struct error *error);
int changes_apply_alone(struct bridge *bridge, char *text, struct error *error);

// Flows in the order in which they win, groups and meters, with what they counted. The caller's.
char *changes_describe(const struct bridge *bridge);

#endif
