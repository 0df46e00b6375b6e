// Commands on meters. Changes go through ofproto/meter.h.
#include "ctl/switch_bridge.h"

#include "common/clock.h"
#include "common/counters.h"
#include "common/error.h"
#include "common/text.h"
#include "ofproto/bridge_internal.h"
#include "ofproto/bundle.h"

#include <errno.h>

// `bundle`: as one change that packets see all at once, with the flows that go with a meter.
static int apply(const struct handler_call *call, struct bridge *bridge, struct meter_mod *mod,
		 struct error *error)
{
	int result = call_flag(call, "bundle") ? bundle_apply_meters(bridge, mod, 1, error)
					       : meter_mod_apply(bridge, mod, error);

	error->line = 0;
	return result;
}

static int change(const struct handler_call *call, enum meter_mod_command command,
		  struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	struct meter_mod mod = { .command = command };
	int result;

	if (!bridge)
		return -ENOENT;
	result = meter_text_parse(call_arg(call, 1), METER_TEXT_ADD, &mod.text, error);
	return result ? result : apply(call, bridge, &mod, error);
}

int handle_meter_add(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return change(call, METER_MOD_ADD, error);
}

int handle_meter_modify(const struct handler_call *call, json_t **result, struct error *error)
{
	(void)result;
	return change(call, METER_MOD_MODIFY, error);
}

// The bridge and the meters that the arguments name; without a second one all.
static struct bridge *select_meters(const struct handler_call *call, uint32_t *id,
				    struct error *error)
{
	struct bridge *bridge = call_switch_bridge(call, error);
	const char *string = call_arg(call, 1);
	struct meter_text text;

	if (!bridge || meter_text_parse(string ? string : "all", METER_TEXT_SELECT, &text, error))
		return NULL;
	*id = text.id;
	return bridge;
}

int handle_meter_delete(const struct handler_call *call, json_t **result, struct error *error)
{
	struct meter_mod mod = { .command = METER_MOD_DELETE };
	struct bridge *bridge = select_meters(call, &mod.text.id, error);

	(void)result;
	return bridge ? apply(call, bridge, &mod, error) : -EINVAL;
}

// --- Printing ---

static void set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

static json_t *describe_band(const struct meter_band_text *band)
{
	json_t *object = json_object();

	json_object_set_new(object, "type", json_string(meter_band_type_names[band->type]));
	set_number(object, "rate", band->rate);
	if (band->burst_size)
		set_number(object, "burst_size", band->burst_size);
	if (band->type == METER_DSCP_REMARK)
		set_number(object, "prec_level", band->prec_level);
	return object;
}

// "text" is the whole meter, as add-meter takes it.
static json_t *describe_meter(const struct bridge *bridge, const struct meter *meter)
{
	const struct meter_text *config = &meter->text;
	json_t *object = json_object(), *bands = json_array();
	struct text text = { 0 };

	(void)bridge;
	set_number(object, "meter_id", meter->id);
	json_object_set_new(object, "unit", json_string(meter_unit_names[config->unit]));
	json_object_set_new(object, "burst", json_boolean(config->burst));
	json_object_set_new(object, "stats", json_boolean(config->stats));
	for (unsigned int i = 0; i < config->n_bands; i++)
		json_array_append_new(bands, describe_band(&config->bands[i]));
	json_object_set_new(object, "bands", bands);
	meter_text_format(config, &text);
	json_object_set_new(object, "text", json_string(text.data ? text.data : ""));
	text_free(&text);
	return object;
}

static json_t *describe_stats(const struct bridge *bridge, const struct meter *meter)
{
	const uint64_t age_ns = clock_monotonic_ns() - meter->created_ns;
	const struct counter in = counter_read(meter->counter);
	json_t *object = json_object(), *bands = json_array();

	set_number(object, "meter_id", meter->id);
	set_number(object, "flow_count", flow_index_count_meter(&bridge->index, meter->id));
	set_number(object, "packet_in_count", in.packets);
	set_number(object, "byte_in_count", in.bytes);
	json_object_set_new(object, "duration", json_real((double)(age_ns / NS_PER_MS) / 1000.0));
	for (unsigned int i = 0; i < meter->n_bands; i++) {
		const struct counter sum = counter_read(meter_band_counter(meter, i));
		json_t *band = json_object();

		set_number(band, "packet_count", sum.packets);
		set_number(band, "byte_count", sum.bytes);
		json_array_append_new(bands, band);
	}
	json_object_set_new(object, "bands", bands);
	return object;
}

static int dump(const struct handler_call *call,
		json_t *(*describe)(const struct bridge *bridge, const struct meter *meter),
		json_t **result, struct error *error)
{
	uint32_t id;
	struct bridge *bridge = select_meters(call, &id, error);

	if (!bridge)
		return -EINVAL;
	if (id != METER_ID_ALL && !bridge_meter(bridge, id))
		return error_set(error, ENOENT, "bridge '%s' has no meter %u", bridge_name(bridge),
				 id);
	*result = json_array();
	for (const struct meter *meter = bridge_meter_next(bridge, id == METER_ID_ALL ? 1 : id);
	     meter; meter = bridge_meter_next(bridge, meter->id + 1)) {
		json_array_append_new(*result, describe(bridge, meter));
		if (id != METER_ID_ALL)
			break;
	}
	return 0;
}

int handle_meter_dump(const struct handler_call *call, json_t **result, struct error *error)
{
	return dump(call, describe_meter, result, error);
}

int handle_meter_stats(const struct handler_call *call, json_t **result, struct error *error)
{
	return dump(call, describe_stats, result, error);
}

int handle_meter_features(const struct handler_call *call, json_t **result, struct error *error)
{
	json_t *types;

	if (!call_switch_bridge(call, error))
		return -ENOENT;
	types = json_array();
	for (unsigned int i = 0; i < N_METER_BAND_TYPES; i++)
		json_array_append_new(types, json_string(meter_band_type_names[i]));
	*result = json_pack("{s:i, s:i, s:i, s:o, s:[s, s, s, s]}", "max_meter", (int)METER_ID_MAX,
			    "max_bands", METER_MAX_BANDS, "max_color", 0, "band_types", types,
			    "capabilities", meter_unit_names[METER_KBPS],
			    meter_unit_names[METER_PKTPS], "burst", "stats");
	return 0;
}
