#include "ctl/apply_offload.h"

#include "common/error.h"

#include <errno.h>
#include <string.h>

#define LARGE (OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN | OFFLOAD_USO | OFFLOAD_UFO)

// Off for ports that say nothing themselves.
static uint32_t switch_no_offloads;

static const struct {
	const char *key;
	uint32_t offloads;
} keys[] = {
	{ "checksum", OFFLOAD_CHECKSUM }, // which the others need (offload_sensible())
	{ "tso", OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN },
	{ "uso", OFFLOAD_USO },
	{ "ufo", OFFLOAD_UFO },
	{ "gro", OFFLOAD_GRO },
};

// 1: true, 0: false, -1: not there, -EINVAL: neither.
static int read_key(const json_t *row, const char *key, struct error *error)
{
	const char *text = config_key(row, "other_config", key);

	if (!text)
		return -1;
	if (!strcmp(text, "true"))
		return 1;
	return !strcmp(text, "false")
		       ? 0
		       : error_set(error, EINVAL,
				   "other_config:%s=%s: true (the default) or false is wanted", key,
				   text);
}

int apply_offload_defaults(const struct config *config, struct error *error)
{
	int value =
		read_key(config_single(config, TABLE_Open_vSwitch), "userspace-tso-enable", error);

	if (value < -1)
		return value;
	switch_no_offloads = value == 0 ? LARGE : 0;
	return 0;
}

int apply_read_offloads(const json_t *interface, uint32_t *no_offloads, struct error *error)
{
	uint32_t off = switch_no_offloads;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		int value = read_key(interface, keys[i].key, error);

		if (value < -1) {
			error_prefix(error, "interface '%s'", config_string(interface, "name"));
			return value;
		}
		if (value == 0)
			off |= keys[i].offloads;
		else if (value == 1)
			off &= ~keys[i].offloads;
	}
	*no_offloads = off;
	return 0;
}

int apply_offloads(struct bridge_port *port, const json_t *interface, struct error *error)
{
	uint32_t no_offloads;
	int result = apply_read_offloads(interface, &no_offloads, error);

	if (!result)
		vport_set_offloads(bridge_port_vport(port), no_offloads);
	return result;
}
