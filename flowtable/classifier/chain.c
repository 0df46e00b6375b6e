#include "flowtable/classifier/chain.h"

#include <stdlib.h>

#include <rte_common.h>

#include "common/hash.h"
#include "flowtable/classifier/rank_set.h"

// A chain gets an index when a place is found after so many steps, and loses it with so few flows.
#define LONG_WALK 64
#define SHORT_CHAIN 32

struct long_chain {
	struct table_index_node node; // by the address of the head
	struct flow *head;
	struct rank_set set; // all its flows
};

struct chain_index {
	struct table_index chains;
};

static uint64_t head_hash(const struct flow *head)
{
	const uint64_t address = (uintptr_t)head;

	return hash_words(&address, 1);
}

static struct long_chain *find(const struct classifier *classifier, const struct flow *head)
{
	const struct chain_index *index = classifier->chains;

	if (!index || !index->chains.n || !head)
		return NULL;
	for (struct table_index_node *node = table_index_chain(&index->chains, head_hash(head));
	     node; node = node->next) {
		struct long_chain *chain = container_of(node, struct long_chain, node);

		if (chain->head == head)
			return chain;
	}
	return NULL;
}

static void index_add(struct chain_index *index, struct long_chain *chain, struct flow *head)
{
	chain->head = head;
	chain->node.hash = head_hash(head);
	table_index_add(&index->chains, &chain->node);
}

static void forget(struct classifier *classifier, struct long_chain *chain)
{
	table_index_remove(&classifier->chains->chains, &chain->node);
	rank_set_free(&chain->set);
	free(chain);
}

// The head is another one, or the chain has become short.
static void settle(struct classifier *classifier, struct long_chain *chain, struct flow *head)
{
	if (chain->set.n < SHORT_CHAIN) {
		forget(classifier, chain);
	} else if (chain->head != head) {
		table_index_remove(&classifier->chains->chains, &chain->node);
		index_add(classifier->chains, chain, head);
	}
}

static struct chain_index *get_index(struct classifier *classifier)
{
	if (!classifier->chains)
		classifier->chains = calloc(1, sizeof(*classifier->chains));
	if (!classifier->chains || table_index_reserve(&classifier->chains->chains) < 0)
		return NULL;
	return classifier->chains;
}

// NULL without memory.
static struct long_chain *make_long(struct classifier *classifier, struct flow *head)
{
	struct chain_index *index = get_index(classifier);
	struct long_chain *chain = index ? calloc(1, sizeof(*chain)) : NULL;

	if (!chain)
		return NULL;
	for (struct flow *flow = head; flow; flow = flow->next) {
		const struct rank_place end = rank_set_place(&chain->set, 0);

		if (rank_set_add(&chain->set, end, flow->rank, flow) < 0) {
			rank_set_free(&chain->set);
			free(chain);
			return NULL;
		}
	}
	index_add(index, chain, head);
	return chain;
}

static void link_in(struct flow **link, struct flow *flow)
{
	rcu_publish(&flow->next, *link);
	rcu_publish(link, flow);
}

// By the index; false without memory for it: the index is gone then.
static bool insert_long(struct classifier *classifier, struct long_chain *chain, struct flow **head,
			struct flow *flow)
{
	const struct rank_place place = rank_set_place(&chain->set, flow->rank);
	struct flow *before = rank_set_before(&chain->set, place);

	if (rank_set_add(&chain->set, place, flow->rank, flow) < 0) {
		forget(classifier, chain);
		return false;
	}
	link_in(before ? &before->next : head, flow);
	settle(classifier, chain, *head);
	return true;
}

struct flow *chain_insert(struct classifier *classifier, struct flow *head, struct flow *flow)
{
	struct long_chain *chain = find(classifier, head);
	struct flow **link = &head;
	unsigned int n_steps = 0;

	if (chain && insert_long(classifier, chain, &head, flow))
		return head;
	while (*link && (*link)->rank > flow->rank) {
		link = &(*link)->next;
		if (++n_steps != LONG_WALK)
			continue;
		chain = make_long(classifier, head);
		if (chain && insert_long(classifier, chain, &head, flow))
			return head;
	}
	link_in(link, flow);
	return head;
}

// The link that points to the flow, which is in the chain; *chain: its index, or NULL.
static struct flow **find_link(struct classifier *classifier, struct flow **head,
			       const struct flow *flow, struct long_chain **chain)
{
	struct flow **link = head;
	unsigned int n_steps = 0;

	*chain = find(classifier, *head);
	while (!*chain && *link && *link != flow) {
		link = &(*link)->next;
		if (++n_steps == LONG_WALK)
			*chain = make_long(classifier, *head);
	}
	if (*chain) {
		struct flow *before = rank_set_before(
			&(*chain)->set, rank_set_find(&(*chain)->set, flow->rank, flow));

		link = before ? &before->next : head;
	}
	return link;
}

struct flow *chain_remove(struct classifier *classifier, struct flow *head, struct flow *flow)
{
	struct long_chain *chain;
	struct flow **link = find_link(classifier, &head, flow, &chain);

	if (*link)
		rcu_publish(link, flow->next);
	if (chain) {
		rank_set_remove(&chain->set, rank_set_find(&chain->set, flow->rank, flow));
		settle(classifier, chain, head);
	}
	return head;
}

struct flow *chain_replace(struct classifier *classifier, struct flow *head, struct flow *old,
			   struct flow *flow)
{
	struct long_chain *chain;
	struct flow **link = find_link(classifier, &head, old, &chain);

	if (!*link)
		return head;
	rcu_publish(&flow->next, old->next);
	rcu_publish(link, flow);
	if (chain) {
		rank_set_replace(&chain->set, rank_set_find(&chain->set, old->rank, old), flow);
		settle(classifier, chain, head);
	}
	return head;
}

void chains_free(struct classifier *classifier)
{
	struct chain_index *index = classifier->chains;

	if (!index)
		return;
	for (uint32_t i = 0; i < index->chains.n_buckets; i++)
		while (index->chains.buckets[i])
			forget(classifier,
			       container_of(index->chains.buckets[i], struct long_chain, node));
	table_index_free(&index->chains);
	free(index);
	classifier->chains = NULL;
}
