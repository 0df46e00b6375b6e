// Queues, samples, timeouts and tunnel options: actions that only leave word for others.
#include "common/text.h"
#include "flowtable/action.h"
#include "flowtable/flow_text.h"
#include "flowtable/tun_map.h"

#include <errno.h>

// enqueue:PORT:QUEUE, enqueue(PORT,QUEUE)
ACTION_PARSER(action_parse_enqueue)
{
	struct op_enqueue *enqueue;
	struct span port_text, queue_text;
	uint32_t port;
	uint64_t queue;
	int error;

	(void)word;
	if (!span_split(argument, ',', &port_text, &queue_text) &&
	    !span_split(argument, ':', &port_text, &queue_text))
		return parser_error(&parser->parser, name.at,
				    "enqueue is written enqueue:PORT:QUEUE");
	error = parse_port(&parser->parser, span_trim(port_text), &port);
	if (error)
		return error;
	if (port >= OFPP_MAX && port != OFPP_IN_PORT && port != OFPP_LOCAL)
		return parser_error(&parser->parser, port_text.at,
				    "enqueue takes one port, in_port or local");
	error = parse_number(&parser->parser, span_trim(queue_text), "a queue", 0, UINT32_MAX - 1,
			     &queue);
	if (error)
		return error;
	enqueue = program_add(&parser->builder, OP_ENQUEUE, sizeof(*enqueue));
	if (enqueue) {
		enqueue->port = port;
		enqueue->queue = (uint32_t)queue;
	}
	program_reads(&parser->builder, &fields[FIELD_IN_PORT]);
	program_writes(&parser->builder, &fields[FIELD_SKB_PRIORITY]);
	return 0;
}

ACTION_FORMATTER(action_format_enqueue)
{
	const struct op_enqueue *enqueue = (const struct op_enqueue *)op;

	text_add(text, "enqueue:");
	port_format(enqueue->port, ports, text);
	text_addf(text, ":%u", enqueue->queue);
}

ACTION_PARSER(action_parse_set_queue)
{
	struct op_number *set;
	uint64_t queue;
	int error = parse_number(&parser->parser, argument, word->name, 0, UINT32_MAX, &queue);

	(void)name;
	if (error)
		return error;
	set = program_add(&parser->builder, OP_SET_QUEUE, sizeof(*set));
	if (set)
		set->number = (uint32_t)queue;
	program_writes(&parser->builder, &fields[FIELD_SKB_PRIORITY]);
	return 0;
}

ACTION_FORMATTER(action_format_number)
{
	(void)ports;
	text_addf(text, "%s:%u", action_kinds[op->code].name,
		  ((const struct op_number *)op)->number);
}

ACTION_PARSER(action_parse_pop_queue)
{
	program_writes(&parser->builder, &fields[FIELD_SKB_PRIORITY]);
	return action_parse_bare(parser, word, name, argument);
}

// delete_field:tun_metadataN
ACTION_PARSER(action_parse_delete_field)
{
	struct subfield subfield = { 0 };
	struct op_stack *delete;
	bool satisfied;

	(void)name;
	(void)word;
	if (argument.length && field_find_all(argument.at, argument.length, NULL, 0)) {
		subfield.field = parse_field_name(&parser->parser, argument, NULL, &satisfied);
		if (!subfield.field)
			return -EINVAL;
	}
	if (!subfield.field || !field_is_tun_metadata(subfield.field))
		return parser_error(&parser->parser, argument.at,
				    "delete_field takes tun_metadata0 to tun_metadata%d",
				    TUN_MAP_FIELDS - 1);
	subfield.n_bits = subfield.field->n_bits;
	delete = program_add(&parser->builder, OP_DELETE_FIELD, sizeof(*delete));
	if (delete)
		delete->subfield = subfield;
	program_reads(&parser->builder, subfield.field);
	program_writes(&parser->builder, subfield.field);
	return 0;
}

ACTION_FORMATTER(action_format_delete_field)
{
	(void)ports;
	text_addf(text, "delete_field:%s", ((const struct op_stack *)op)->subfield.field->name);
}

static int parse_sample_pair(struct action_parser *parser, struct span key, struct span value,
			     struct op_sample *sample)
{
	static const char *const names[] = { "collector_set_id", "obs_domain_id", "obs_point_id" };
	uint32_t *const numbers[] = { &sample->collector_set_id, &sample->obs_domain_id,
				      &sample->obs_point_id };
	uint64_t number = 0;
	int error;

	if (span_is(key, "probability")) {
		error = parse_number(&parser->parser, value, "probability", 1, UINT16_MAX, &number);
		sample->probability = (uint16_t)number;
		return error;
	}
	for (unsigned int i = 0; i < 3; i++) {
		if (!span_is(key, names[i]))
			continue;
		error = parse_number(&parser->parser, value, names[i], 0, UINT32_MAX, &number);
		*numbers[i] = (uint32_t)number;
		return error;
	}
	if (span_is(key, "sampling_port"))
		return parse_port(&parser->parser, value, &sample->sampling_port);
	if (span_is(key, "ingress") && !value.length)
		sample->direction = SAMPLE_INGRESS;
	else if (span_is(key, "egress") && !value.length)
		sample->direction = SAMPLE_EGRESS;
	else
		return parser_error(&parser->parser, key.at,
				    "sample takes probability, collector_set_id, obs_domain_id, "
				    "obs_point_id, sampling_port, ingress and egress, not '%.*s'",
				    SPAN_ARGS(key));
	return 0;
}

ACTION_PARSER(action_parse_sample)
{
	struct op_sample head = { .sampling_port = OFPP_ANY };
	struct op_sample *sample;
	struct span key, value;

	(void)word;
	while (action_next_pair(&argument, &key, &value)) {
		int error = parse_sample_pair(parser, key, value, &head);

		if (error)
			return error;
	}
	if (!head.probability)
		return parser_error(&parser->parser, name.at,
				    "sample needs probability=1 to 65535");
	sample = program_add(&parser->builder, OP_SAMPLE, sizeof(*sample));
	if (sample) {
		head.op = sample->op;
		*sample = head;
	}
	return 0;
}

ACTION_FORMATTER(action_format_sample)
{
	const struct op_sample *sample = (const struct op_sample *)op;

	text_addf(text,
		  "sample(probability=%u,collector_set_id=%u,obs_domain_id=%u,obs_point_id=%u",
		  sample->probability, sample->collector_set_id, sample->obs_domain_id,
		  sample->obs_point_id);
	if (sample->sampling_port != OFPP_ANY) {
		text_add(text, ",sampling_port=");
		port_format(sample->sampling_port, ports, text);
	}
	if (sample->direction != SAMPLE_ANY)
		text_add(text, sample->direction == SAMPLE_EGRESS ? ",egress" : ",ingress");
	text_add(text, ")");
}
