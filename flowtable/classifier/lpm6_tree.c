#include "flowtable/classifier/lpm6_tree.h"

#include <stdlib.h>

#include "common/rcu.h"

static uint32_t common_length(const struct lpm6_node *node, struct lpm6_address address,
			      uint32_t length)
{
	const uint64_t high = node->address.high ^ address.high;
	const uint64_t low = node->address.low ^ address.low;
	uint32_t common = high  ? (uint32_t)__builtin_clzll(high)
			  : low ? 64 + (uint32_t)__builtin_clzll(low)
				: LPM6_BITS;

	if (common > node->length)
		common = node->length;
	return common < length ? common : length;
}

static struct lpm6_node **child_link(struct lpm6_node *node, struct lpm6_address address)
{
	return &node->child[lpm6_bit(address, node->length)];
}

// The link at which the prefix's node is or belongs, and the node above it. The prefix is longer
// than that of the top.
static struct lpm6_node **tree_link(struct lpm6_trie *trie, struct lpm6_address address,
				    uint32_t length, struct lpm6_node **above)
{
	struct lpm6_node **link = child_link(trie->top, address);

	*above = trie->top;
	while (*link && (*link)->length < length &&
	       common_length(*link, address, length) == (*link)->length) {
		*above = *link;
		link = child_link(*link, address);
	}
	return link;
}

struct lpm6_node *lpm6_tree_find(struct lpm6_trie *trie, struct lpm6_address address,
				 uint32_t length)
{
	struct lpm6_node *above, *node;

	if (length == 0)
		return trie->top;
	node = *tree_link(trie, address, length, &above);
	return node && node->length == length && lpm6_equal(node->address, address) ? node : NULL;
}

struct lpm6_node *lpm6_tree_add(struct lpm6_trie *trie, struct lpm6_address address,
				uint32_t length, struct lpm6_node *spare[2])
{
	struct lpm6_node *above, **link = tree_link(trie, address, length, &above);
	struct lpm6_node *below = *link, *node = spare[0], *fork = spare[1];
	uint32_t common;

	spare[0] = NULL;
	*node = (struct lpm6_node){ .address = address, .length = length, .best = above->best };
	trie->n_nodes++;
	if (!below) {
		rcu_publish(link, node);
		return node;
	}
	common = common_length(below, address, length);
	if (common == length) {
		*child_link(node, below->address) = below;
		rcu_publish(link, node);
		return node;
	}
	spare[1] = NULL;
	*fork = (struct lpm6_node){
		.address = lpm6_prefix(address, common),
		.length = common,
		.best = above->best,
	};
	*child_link(fork, below->address) = below;
	*child_link(fork, address) = node;
	trie->n_nodes++;
	rcu_publish(link, fork);
	return node;
}

void lpm6_tree_prune(struct lpm6_trie *trie, struct lpm6_address address, uint32_t length)
{
	struct lpm6_node **links[LPM6_BITS + 2];
	unsigned int n = 0;

	if (length == 0)
		return;
	links[n++] = child_link(trie->top, address);
	while (*links[n - 1] && (*links[n - 1])->length < length) {
		struct lpm6_node *node = *links[n - 1];

		links[n++] = child_link(node, address);
	}
	while (n-- > 0) {
		struct lpm6_node *node = *links[n];

		if (!node || node->entries.first || node->n_longer ||
		    (node->child[0] && node->child[1]))
			return;
		rcu_publish(links[n], node->child[0] ? node->child[0] : node->child[1]);
		rcu_defer(free, node);
		trie->n_nodes--;
	}
}

struct flow *lpm6_tree_above(struct lpm6_trie *trie, const struct lpm6_node *node)
{
	struct lpm6_node *above;

	if (node == trie->top)
		return NULL;
	tree_link(trie, node->address, node->length, &above);
	return above->best;
}

// These go at most 129 calls deep: each node is longer than the one before. Where a node has a
// better flow, so have all below it.
void lpm6_tree_paint(struct lpm6_node *node, struct flow *flow)
{
	if (!node || (node->best && node->best->rank > flow->rank))
		return;
	rcu_publish(&node->best, flow);
	lpm6_tree_paint(node->child[0], flow);
	lpm6_tree_paint(node->child[1], flow);
}

void lpm6_tree_repaint(struct lpm6_node *node, const struct flow *gone, struct flow *above)
{
	struct flow *best = above;

	if (!node || node->best != gone)
		return;
	if (node->entries.first && (!best || node->entries.first->flow->rank > best->rank))
		best = node->entries.first->flow;
	rcu_publish(&node->best, best);
	lpm6_tree_repaint(node->child[0], gone, best);
	lpm6_tree_repaint(node->child[1], gone, best);
}

void lpm6_tree_replace(struct lpm6_node *node, const struct flow *old, struct flow *flow)
{
	if (!node || node->best != old)
		return;
	rcu_publish(&node->best, flow);
	lpm6_tree_replace(node->child[0], old, flow);
	lpm6_tree_replace(node->child[1], old, flow);
}

void lpm6_tree_free(struct lpm6_node *node)
{
	if (!node)
		return;
	lpm6_tree_free(node->child[0]);
	lpm6_tree_free(node->child[1]);
	lpm_entries_free(&node->entries);
	free(node);
}
