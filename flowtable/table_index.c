#include "flowtable/table_index.h"

#include <errno.h>
#include <stdlib.h>

#define MIN_BUCKETS 16

static struct table_index_node **bucket(const struct table_index *index, uint64_t hash)
{
	return &index->buckets[hash & (index->n_buckets - 1)];
}

static int resize(struct table_index *index, uint32_t n_buckets)
{
	struct table_index grown = { .n_buckets = n_buckets, .n = index->n };

	grown.buckets = calloc(n_buckets, sizeof(*grown.buckets));
	if (!grown.buckets)
		return -ENOMEM;
	for (uint32_t i = 0; i < index->n_buckets; i++) {
		struct table_index_node *next;

		for (struct table_index_node *node = index->buckets[i]; node; node = next) {
			struct table_index_node **head = bucket(&grown, node->hash);

			next = node->next;
			node->next = *head;
			*head = node;
		}
	}
	free(index->buckets);
	*index = grown;
	return 0;
}

int table_index_reserve(struct table_index *index)
{
	return index->n_buckets ? 0 : resize(index, MIN_BUCKETS);
}

void table_index_expect(struct table_index *index, uint32_t n)
{
	uint32_t n_buckets = index->n_buckets ? index->n_buckets : MIN_BUCKETS;

	while (n_buckets < index->n + n && n_buckets <= UINT32_MAX / 2)
		n_buckets *= 2;
	if (n_buckets > index->n_buckets)
		resize(index, n_buckets);
}

void table_index_free(struct table_index *index)
{
	free(index->buckets);
	*index = (struct table_index){ 0 };
}

void table_index_add(struct table_index *index, struct table_index_node *node)
{
	struct table_index_node **head;

	if (index->n >= index->n_buckets && index->n_buckets <= UINT32_MAX / 2)
		resize(index, index->n_buckets * 2);
	head = bucket(index, node->hash);
	node->next = *head;
	*head = node;
	index->n++;
}

static struct table_index_node **find(const struct table_index *index,
				      const struct table_index_node *node)
{
	struct table_index_node **link = bucket(index, node->hash);

	while (*link != node)
		link = &(*link)->next;
	return link;
}

void table_index_remove(struct table_index *index, struct table_index_node *node)
{
	*find(index, node) = node->next;
	index->n--;
}

void table_index_replace(struct table_index *index, struct table_index_node *old,
			 struct table_index_node *node)
{
	struct table_index_node **link = find(index, old);

	*node = *old;
	*link = node;
}
