// The trie of an IPv6 routing table's nodes. Control thread; lookups in a view read it meanwhile.
#ifndef FLOWTABLE_CLASSIFIER_LPM6_TREE_H
#define FLOWTABLE_CLASSIFIER_LPM6_TREE_H

#include "flowtable/classifier/lpm6.h"

// The node of exactly this prefix, or NULL.
struct lpm6_node *lpm6_tree_find(struct lpm6_trie *trie, struct lpm6_address address,
				 uint32_t length);

// Make a node for a prefix that has none. Takes over what it uses of two nodes, and sets it to NULL.
struct lpm6_node *lpm6_tree_add(struct lpm6_trie *trie, struct lpm6_address address,
				uint32_t length, struct lpm6_node *spare[2]);

// Take out the node if it is neither a prefix nor a marker nor a fork, and forks above it that it
// was the reason for.
void lpm6_tree_prune(struct lpm6_trie *trie, struct lpm6_address address, uint32_t length);

// The best flow of the prefixes that the node lies in, itself not counted.
struct flow *lpm6_tree_above(struct lpm6_trie *trie, const struct lpm6_node *node);

// The node has a new flow: it is the best of all nodes below that have no better one.
void lpm6_tree_paint(struct lpm6_node *node, struct flow *flow);
// A flow of the node has gone; `above` as before.
void lpm6_tree_repaint(struct lpm6_node *node, const struct flow *gone, struct flow *above);
void lpm6_tree_replace(struct lpm6_node *node, const struct flow *old, struct flow *flow);

void lpm6_tree_free(struct lpm6_node *node);

#endif
