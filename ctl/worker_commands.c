// vsctl workers and rebalance-workers: who polls what, what it costs, and why.
#include "common/error.h"
#include "ctl/handlers.h"
#include "datapath/datapath.h"

#include <errno.h>

static json_t *describe_queue(const struct queue_info *info)
{
	json_t *queue =
		json_pack("{s:s, s:I, s:f, s:f, s:f, s:I, s:s}", "port", info->vport->name, "queue",
			  (json_int_t)info->queue, "load", info->load, "cycles_per_packet",
			  info->cycles_per_packet, "packet_rate", info->packet_rate, "packets",
			  (json_int_t)info->packets, "why", info->why);

	if (info->pinned_core >= 0)
		json_object_set_new(queue, "pinned_core", json_integer(info->pinned_core));
	return queue;
}

static json_t *queues_of(unsigned int worker)
{
	json_t *list = json_array();
	struct queue_info info;

	for (unsigned int i = 0; workers_queue_info(i, &info); i++)
		if (info.worker == worker)
			json_array_append_new(list, describe_queue(&info));
	return list;
}

static json_t *describe_worker(const struct worker_info *info)
{
	const uint64_t cycles = info->busy_cycles + info->idle_cycles;

	return json_pack(
		"{s:I, s:I, s:f, s:f, s:f, s:b, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:o}", "worker",
		(json_int_t)info->id, "core", (json_int_t)info->core, "load", info->load,
		"cycles_per_packet", info->cycles_per_packet, "packet_rate", info->packet_rate,
		"isolated", info->isolated, "packets", (json_int_t)info->packets, "vectors",
		(json_int_t)info->vectors, "sleeps", (json_int_t)info->sleeps, "learn_lost",
		(json_int_t)info->learn_lost, "events_lost", (json_int_t)info->events_lost, "busy",
		cycles ? 100.0 * (double)info->busy_cycles / (double)cycles : 0.0, "busy_cycles",
		(json_int_t)info->busy_cycles, "queues", queues_of(info->id));
}

int handle_status_workers(const struct handler_call *call, json_t **result, struct error *error)
{
	struct worker_info info;
	struct worker_totals totals;
	json_t *list = json_array();

	(void)call;
	(void)error;
	for (unsigned int i = 0; workers_info(i, &info); i++)
		json_array_append_new(list, describe_worker(&info));
	workers_totals(&totals);
	*result = json_pack("{s:o, s:I, s:I, s:I, s:I}", "workers", list, "received",
			    (json_int_t)totals.received, "copies", (json_int_t)totals.copies,
			    "transmitted", (json_int_t)totals.transmitted, "dropped",
			    (json_int_t)totals.dropped);
	return 0;
}

static void visit_move(void *context, const struct vport *vport, uint16_t queue, unsigned int from,
		       unsigned int to)
{
	json_array_append_new(context, json_pack("{s:s, s:I, s:I, s:I}", "port", vport->name,
						 "queue", (json_int_t)queue, "from",
						 (json_int_t)from, "to", (json_int_t)to));
}

int handle_workers_rebalance(const struct handler_call *call, json_t **result, struct error *error)
{
	const bool dry_run = call_flag(call, "dry-run");
	json_t *moves = json_array();
	struct rebalance rebalance;

	if (workers_rebalance(dry_run, visit_move, moves, &rebalance) < 0) {
		json_decref(moves);
		return error_set(error, ENOMEM, "out of memory");
	}
	*result = json_pack("{s:b, s:o, s:f, s:f}", "dry_run", dry_run, "moves", moves,
			    "highest_load_before", rebalance.before, "highest_load_after",
			    rebalance.after);
	return 0;
}
