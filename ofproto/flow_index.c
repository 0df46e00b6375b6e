#include "ofproto/flow_index.h"

#include "common/hash.h"
#include "flowtable/meter_text.h"

#include <errno.h>
#include <stdlib.h>

#define MIN_CHAINS 64
#define NO_SLOT UINT32_MAX

static struct flow **chain(const struct flow_index *index, uint64_t cookie)
{
	return &index->cookies[hash_words(&cookie, 1) & (index->n_cookie_chains - 1)];
}

static void push(struct flow **head, struct flow *flow)
{
	flow->cookie_prev = NULL;
	flow->cookie_next = *head;
	if (*head)
		(*head)->cookie_prev = flow;
	*head = flow;
}

// Without memory the chains just get longer.
static int cookies_grow(struct flow_index *index)
{
	struct flow_index grown = { .n_cookie_chains = index->n_cookie_chains * 2 };

	if (!grown.n_cookie_chains)
		grown.n_cookie_chains = MIN_CHAINS;
	grown.cookies = calloc(grown.n_cookie_chains, sizeof(*grown.cookies));
	if (!grown.cookies)
		return index->n_cookie_chains ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < index->n_cookie_chains; i++) {
		struct flow *next;

		for (struct flow *flow = index->cookies[i]; flow; flow = next) {
			next = flow->cookie_next;
			push(chain(&grown, flow->cookie), flow);
		}
	}
	free(index->cookies);
	index->cookies = grown.cookies;
	index->n_cookie_chains = grown.n_cookie_chains;
	return 0;
}

static int cookie_add(struct flow_index *index, struct flow *flow)
{
	int result = 0;

	if (!flow->cookie)
		return 0;
	if (index->n_cookies >= index->n_cookie_chains)
		result = cookies_grow(index);
	if (result)
		return result;
	push(chain(index, flow->cookie), flow);
	index->n_cookies++;
	return 0;
}

static void cookie_remove(struct flow_index *index, struct flow *flow)
{
	if (!flow->cookie)
		return;
	if (flow->cookie_prev)
		flow->cookie_prev->cookie_next = flow->cookie_next;
	else
		*chain(index, flow->cookie) = flow->cookie_next;
	if (flow->cookie_next)
		flow->cookie_next->cookie_prev = flow->cookie_prev;
	index->n_cookies--;
}

// Ports that the ops send to: OFPP_ANY for none so far, OFPP_UNSET for several.
static void add_port(uint32_t *ports, uint32_t port)
{
	if (*ports == OFPP_ANY)
		*ports = port;
	else if (*ports != port)
		*ports = OFPP_UNSET;
}

static void add_members(uint32_t *ports, const struct op_bundle *bundle)
{
	for (unsigned int i = 0; i < bundle->n_members && !bundle->is_load; i++)
		add_port(ports, bundle->members[i]);
}

static void add_ports(const uint8_t *at, size_t size, uint32_t *ports)
{
	const uint8_t *end = at + size;

	for (; at < end; at += ((const struct op *)at)->size) {
		const struct op *op = (const struct op *)at;

		switch (op->code) {
		case OP_OUTPUT:
			add_port(ports, ((const struct op_output *)op)->port);
			break;
		case OP_CONTROLLER:
			add_port(ports, OFPP_CONTROLLER);
			break;
		case OP_ENQUEUE:
			add_port(ports, ((const struct op_enqueue *)op)->port);
			break;
		case OP_BUNDLE:
			add_members(ports, (const struct op_bundle *)op);
			break;
		case OP_WRITE_ACTIONS:
		case OP_CLONE: {
			const struct op_nested *nested = (const struct op_nested *)op;

			add_ports((const uint8_t *)nested->ops, nested->length, ports);
			break;
		}
		default:
			break;
		}
	}
}

static uint32_t ports_of(const struct flow *flow)
{
	uint32_t ports = OFPP_ANY;

	add_ports(flow->program->ops, flow->program->size, &ports);
	return ports;
}

static struct flow_port_list *list_find(const struct flow_index *index, uint32_t port)
{
	struct flow_port_list *list = index->ports[port % FLOW_INDEX_PORT_CHAINS];

	while (list && list->port != port)
		list = list->next;
	return list;
}

// The list that was used last comes first: many flows that come together go to the same port.
static struct flow_port_list *list_get(struct flow_index *index, uint32_t port)
{
	struct flow_port_list **chain_head = &index->ports[port % FLOW_INDEX_PORT_CHAINS];
	struct flow_port_list **link = chain_head, *list;

	while (*link && (*link)->port != port)
		link = &(*link)->next;
	list = *link;
	if (list)
		*link = list->next;
	else
		list = calloc(1, sizeof(*list));
	if (!list)
		return NULL;
	list->port = port;
	list->next = *chain_head;
	*chain_head = list;
	return list;
}

static int port_add(struct flow_index *index, struct flow *flow)
{
	const uint32_t port = ports_of(flow);
	struct flow_port_list *list;

	flow->port_slot = NO_SLOT;
	if (port == OFPP_ANY)
		return 0;
	list = list_get(index, port);
	if (list && list->n == list->size) {
		uint32_t size = list->size ? list->size + list->size / 2 : 16;
		struct flow **flows = realloc(list->flows, size * sizeof(struct flow *));

		if (flows) {
			list->flows = flows;
			list->size = size;
		}
	}
	if (!list || list->n == list->size)
		return -ENOMEM;
	flow->port_slot = list->n;
	list->flows[list->n++] = flow;
	return 0;
}

static void port_remove(struct flow_index *index, struct flow *flow)
{
	struct flow_port_list *list;
	struct flow *last;

	if (flow->port_slot == NO_SLOT)
		return;
	list = list_get(index, ports_of(flow));
	last = list->flows[--list->n];
	list->flows[flow->port_slot] = last;
	last->port_slot = flow->port_slot;
	if (list->n)
		return;
	index->ports[list->port % FLOW_INDEX_PORT_CHAINS] = list->next;
	free(list->flows);
	free(list);
}

// Counts by meter; number 0 has the sum.
static int meter_add_flow(struct flow_index *index, const struct flow *flow)
{
	const uint32_t id = program_meter(flow->program);

	if (!id)
		return 0;
	if (!index->meters)
		index->meters = calloc(METER_ID_MAX + 1, sizeof(*index->meters));
	if (!index->meters)
		return -ENOMEM;
	index->meters[0]++;
	index->meters[id]++;
	return 0;
}

static void meter_remove_flow(struct flow_index *index, const struct flow *flow)
{
	const uint32_t id = program_meter(flow->program);

	if (!id)
		return;
	index->meters[0]--;
	index->meters[id]--;
}

uint32_t flow_index_count_meter(const struct flow_index *index, uint32_t id)
{
	return index->meters ? index->meters[id == METER_ID_ALL ? 0 : id] : 0;
}

int flow_index_add(struct flow_index *index, struct flow *flow)
{
	int result = meter_add_flow(index, flow);

	if (result)
		return result;
	result = port_add(index, flow);
	if (!result) {
		result = cookie_add(index, flow);
		if (result)
			port_remove(index, flow);
	}
	if (result)
		meter_remove_flow(index, flow);
	return result;
}

void flow_index_remove(struct flow_index *index, struct flow *flow)
{
	meter_remove_flow(index, flow);
	cookie_remove(index, flow);
	port_remove(index, flow);
}

void flow_index_free(struct flow_index *index)
{
	for (unsigned int i = 0; i < FLOW_INDEX_PORT_CHAINS; i++)
		for (struct flow_port_list *list = index->ports[i], *next; list; list = next) {
			next = list->next;
			free(list->flows);
			free(list);
		}
	free(index->cookies);
	free(index->meters);
	*index = (struct flow_index){ 0 };
}

int flow_index_each_cookie(const struct flow_index *index, uint64_t cookie,
			   int (*visit)(void *context, struct flow *flow), void *context)
{
	struct flow *flow = index->n_cookie_chains ? *chain(index, cookie) : NULL;
	int result = 0;

	for (; !result && flow; flow = flow->cookie_next)
		result = visit(context, flow);
	return result;
}

int flow_index_each_port(const struct flow_index *index, uint32_t port,
			 int (*visit)(void *context, struct flow *flow), void *context)
{
	const uint32_t wanted[] = { port, OFPP_UNSET };
	int result = 0;

	for (unsigned int w = 0; w < 2; w++) {
		const struct flow_port_list *list = list_find(index, wanted[w]);

		for (uint32_t i = 0; !result && list && i < list->n; i++)
			result = visit(context, list->flows[i]);
	}
	return result;
}
