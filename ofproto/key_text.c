#include "ofproto/key_text.h"

#include "flowtable/tun_map.h"

static bool is_matched(const struct match *match, const struct field *field)
{
	struct field_value mask;

	field_get(field, &match->mask, &mask);
	return !field_value_is_zero(&mask);
}

void key_describe(const struct key *key, const struct port_names *names, struct match *match)
{
	// What every frame has; other fields depend on it.
	static const enum field_id always[] = { FIELD_IN_PORT_OXM, FIELD_ETH_SRC, FIELD_ETH_DST,
						FIELD_ETH_TYPE, FIELD_VLAN_TCI };
	struct field_value value;

	match_init(match);
	match->value.tunnel.tun_present = match->mask.tunnel.tun_present = key->tunnel.tun_present;
	for (unsigned int i = 0; i < sizeof(always) / sizeof(*always); i++) {
		field_get(&fields[always[i]], key, &value);
		match_set(match, &fields[always[i]], &value);
	}
	for (unsigned int i = 0; i < N_FIELDS; i++) {
		const struct field *field = tun_map_field(names, &fields[i]);

		if (!field)
			continue;
		// Several fields may name the same bits: the first one says it.
		if (is_matched(match, field) || !match_has_prerequisite(match, field))
			continue;
		field_get(field, key, &value);
		if (field->id == FIELD_ACTSET_OUTPUT && field_value_to_u64(&value) == OFPP_UNSET)
			continue;
		if (field->prerequisite > PREREQ_VLAN || !field_value_is_zero(&value))
			match_set(match, field, &value);
	}
}
