#include "ctl/apply_l2.h"

#include "common/error.h"
#include "common/text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define RESERVED_VLAN 4095

// The place of `word` among so many, or -1.
static int find_word(const char *word, const char *const *words, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (!strcmp(word, words[i]))
			return (int)i;
	return -1;
}

// --- VLANs ---

static int reserved_vlan(const json_t *row, const char *column, struct error *error)
{
	return error_set(error, EINVAL,
			 "'%s': %s has VLAN %d, which is reserved (IEEE 802.1Q): VLANs are 1 to "
			 "4094, and 0 for untagged frames",
			 config_string(row, "name"), column, RESERVED_VLAN);
}

// *listed: the column has numbers.
static int read_vlans(const json_t *row, const char *column, struct vlan_set *set, bool *listed,
		      struct error *error)
{
	const json_t *list = json_object_get(row, column);
	json_t *number;
	size_t i;

	memset(set, 0, sizeof(*set));
	*listed = json_array_size(list) > 0;
	json_array_foreach ((json_t *)list, i, number) {
		const json_int_t vlan = json_integer_value(number);

		if (vlan < 0 || vlan >= RESERVED_VLAN)
			return reserved_vlan(row, column, error);
		set->words[vlan / 64] |= 1ULL << vlan % 64;
	}
	return 0;
}

// One of the words, the first without the key.
static int read_choice(const json_t *port, const char *key, const char *const *words,
		       unsigned int n, const char *list, unsigned int *choice, struct error *error)
{
	const char *text = config_key(port, "other_config", key);
	const int found = text ? find_word(text, words, n) : 0;

	if (found < 0)
		return error_set(error, EINVAL, "port '%s': other_config:%s=%.64s: %s is wanted",
				 config_string(port, "name"), key, text, list);
	*choice = (unsigned int)found;
	return 0;
}

static int read_tag(const json_t *port, struct bridge_vlan *vlan, struct error *error)
{
	const json_t *tag = json_object_get(port, "tag");
	const json_int_t number = json_integer_value(tag); // 0 without one

	vlan->tag = -1;
	if (json_is_integer(tag) && number >= RESERVED_VLAN)
		return reserved_vlan(port, "tag", error);
	if (vlan->mode == VLAN_TRUNK)
		return 0;
	if (vlan->mode == VLAN_TUNNEL && !json_is_integer(tag))
		return error_set(error, EINVAL,
				 "port '%s': vlan_mode dot1q-tunnel needs a tag: the service VLAN "
				 "that all of its packets are in",
				 config_string(port, "name"));
	vlan->tag = (int)number;
	return 0;
}

int apply_read_vlan(const json_t *port, struct bridge_vlan *vlan, struct error *error)
{
	static const char *const modes[N_VLAN_MODES] = {
		[VLAN_TRUNK] = "trunk",
		[VLAN_ACCESS] = "access",
		[VLAN_NATIVE_TAGGED] = "native-tagged",
		[VLAN_NATIVE_UNTAGGED] = "native-untagged",
		[VLAN_TUNNEL] = "dot1q-tunnel",
	};
	static const char *const priority[] = { "never", "if-nonzero", "always" };
	static const char *const types[] = { "802.1ad", "802.1q" };
	const char *mode = config_string(port, "vlan_mode");
	unsigned int choice = 0;
	int result;

	memset(vlan, 0, sizeof(*vlan));
	if (*mode)
		vlan->mode = (enum vlan_mode)find_word(mode, modes, N_VLAN_MODES);
	else if (json_is_integer(json_object_get(port, "tag")))
		vlan->mode = VLAN_ACCESS;
	result = read_tag(port, vlan, error);
	if (!result)
		result = read_vlans(port, "trunks", &vlan->trunks, &vlan->lists_trunks, error);
	if (!result)
		result = read_vlans(port, "cvlans", &vlan->cvlans, &vlan->lists_cvlans, error);
	if (!result)
		result = read_choice(port, "priority-tags", priority, 3,
				     "never, if-nonzero or always", &choice, error);
	vlan->priority_tags = (enum priority_tags)choice;
	if (!result)
		result = read_choice(port, "qinq-ethtype", types, 2, "802.1ad or 802.1q", &choice,
				     error);
	vlan->service_is_8021q = choice == 1;
	return result;
}

// --- Limits ---

static int bad_rate(const json_t *port, const char *key, const char *text, struct error *error)
{
	return error_set(error, EINVAL,
			 "port '%s': other_config:%s=%.64s: a whole number up to %" PRIu32
			 " and a unit are wanted, such as 500pps, 100kbps or 10mbps",
			 config_string(port, "name"), key, text, UINT32_MAX);
}

static int read_storm(const json_t *port, const char *key, struct storm_limit *limit,
		      struct error *error)
{
	static const struct {
		const char *name;
		enum meter_unit unit;
		uint32_t scale;
	} units[] = { { "pps", METER_PKTPS, 1 },
		      { "kbps", METER_KBPS, 1 },
		      { "mbps", METER_KBPS, 1000 },
		      { "gbps", METER_KBPS, 1000000 } };
	const char *text = config_key(port, "other_config", key);
	size_t digits;
	uint64_t number;

	memset(limit, 0, sizeof(*limit));
	if (!text)
		return 0;
	digits = strspn(text, "0123456789");
	if (!digits || parse_u64_n(text, digits, &number))
		return bad_rate(port, key, text, error);
	for (unsigned int i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcasecmp(text + digits, units[i].name))
			continue;
		if (number > UINT32_MAX / units[i].scale)
			break;
		*limit = (struct storm_limit){ true, units[i].unit,
					       (uint32_t)number * units[i].scale };
		return 0;
	}
	return bad_rate(port, key, text, error);
}

static int read_mac_limit(const json_t *port, uint32_t *limit, struct error *error)
{
	const char *text = config_key(port, "other_config", "mac-limit");
	uint64_t number;

	*limit = 0;
	if (!text)
		return 0;
	if (parse_u64(text, &number) || number < 1 || number > 1000000)
		return error_set(error, ERANGE,
				 "port '%s': other_config:mac-limit=%.64s: a number from 1 to "
				 "1000000 is wanted, or no mac-limit at all",
				 config_string(port, "name"), text);
	*limit = (uint32_t)number;
	return 0;
}

int apply_read_l2(const json_t *port, struct bridge_port_l2 *l2, struct error *error)
{
	static const char *const keys[N_STORM_KINDS] = { "storm-broadcast", "storm-multicast",
							 "storm-unknown" };
	int result = read_mac_limit(port, &l2->mac_limit, error);

	l2->is_protected = json_is_true(json_object_get(port, "protected"));
	for (unsigned int i = 0; i < N_STORM_KINDS && !result; i++)
		result = read_storm(port, keys[i], &l2->storm[i], error);
	return result;
}

// --- Who may send ---

static int bad_address(const json_t *interface, const char *text, const char *why,
		       struct error *error)
{
	return error_set(error, EINVAL,
			 "interface '%s': allowed_addresses has '%.64s': %s; 52:54:00:00:00:01, "
			 "10.0.0.5, 10.1.0.0/24 and 2001:db8::/64 are what it takes",
			 config_string(interface, "name"), text, why);
}

// The number behind the slash; *length becomes that of the address.
static int read_prefix(const char *text, uint64_t most, size_t *length, uint64_t *bits)
{
	const char *slash = strchr(text, '/');

	*length = slash ? (size_t)(slash - text) : strlen(text);
	*bits = most;
	if (!slash)
		return 0;
	return parse_u64(slash + 1, bits) || *bits > most || strspn(slash + 1, "0123456789") == 0 ||
			       slash[1] == '\0'
		       ? -EINVAL
		       : 0;
}

static uint64_t mask64(uint64_t bits)
{
	return bits ? rte_cpu_to_be_64(UINT64_MAX << (64 - bits)) : 0;
}

// NULL, or what is wrong.
static const char *add_ipv4(struct port_guard *guard, const char *text)
{
	uint32_t address, mask;
	uint64_t bits;
	size_t length;

	if (read_prefix(text, 32, &length, &bits))
		return "the length of an IPv4 prefix is 0 to 32";
	if (parse_ipv4_n(text, length, &address))
		return "it is no address";
	mask = bits ? rte_cpu_to_be_32(UINT32_MAX << (32 - bits)) : 0;
	if (address & ~mask)
		return "its address has bits behind the prefix";
	if (guard->n_ipv4 == GUARD_MAX)
		return "there are more than 32 of this kind";
	guard->ipv4[guard->n_ipv4++] = (struct guard_ipv4){ address, mask };
	return NULL;
}

static const char *add_ipv6(struct port_guard *guard, const char *text)
{
	struct guard_ipv6 entry;
	uint8_t address[16];
	char copy[64];
	uint64_t bits;
	size_t length;

	if (read_prefix(text, 128, &length, &bits))
		return "the length of an IPv6 prefix is 0 to 128";
	if (length >= sizeof(copy))
		return "it is no address";
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (parse_ipv6(copy, address))
		return "it is no address";
	memcpy(entry.address, address, sizeof(address));
	entry.mask[0] = mask64(bits < 64 ? bits : 64);
	entry.mask[1] = mask64(bits > 64 ? bits - 64 : 0);
	if ((entry.address[0] & ~entry.mask[0]) | (entry.address[1] & ~entry.mask[1]))
		return "its address has bits behind the prefix";
	if (guard->n_ipv6 == GUARD_MAX)
		return "there are more than 32 of this kind";
	guard->ipv6[guard->n_ipv6++] = entry;
	return NULL;
}

static const char *add_address(struct port_guard *guard, const char *text)
{
	uint8_t mac[6];

	if (parse_mac(text, mac))
		return strchr(text, ':') ? add_ipv6(guard, text) : add_ipv4(guard, text);
	if (mac[0] & 1)
		return "nobody sends from a group address";
	if (guard->n_macs == GUARD_MAX)
		return "there are more than 32 of this kind";
	memcpy(guard->macs[guard->n_macs++], mac, sizeof(mac));
	return NULL;
}

int apply_read_guard(const json_t *interface, struct port_guard *guard, bool *guarded,
		     struct error *error)
{
	const json_t *list = json_object_get(interface, "allowed_addresses");
	json_t *entry;
	size_t i;

	memset(guard, 0, sizeof(*guard));
	*guarded = json_array_size(list) > 0;
	json_array_foreach ((json_t *)list, i, entry) {
		const char *text = json_string_value(entry);
		const char *why = add_address(guard, text);

		if (why)
			return bad_address(interface, text, why, error);
	}
	return 0;
}

// --- In force ---

int apply_l2(struct bridge_port *live, const json_t *port, const json_t *interface,
	     struct error *error)
{
	struct bridge_vlan vlan;
	struct bridge_port_l2 l2;
	struct port_guard guard;
	bool guarded;
	int result = apply_read_vlan(port, &vlan, error);

	if (!result)
		result = apply_read_l2(port, &l2, error);
	if (!result)
		result = apply_read_guard(interface, &guard, &guarded, error);
	if (result)
		return result;
	result = bridge_set_port_vlan(live, &vlan);
	if (!result)
		result = bridge_set_port_l2(live, &l2);
	if (!result)
		result = bridge_set_port_guard(live, guarded ? &guard : NULL);
	return result ? error_set(error, ENOMEM, "out of memory") : 0;
}

int apply_normal(struct bridge *bridge, const json_t *row, struct error *error)
{
	static const char *const words[] = { "false", "true" };
	const char *text = config_key(row, "other_config", "forward-bpdu");
	const int forward = text ? find_word(text, words, 2) : 0;
	struct vlan_set vlans;
	bool listed;
	int result;

	if (forward < 0)
		return error_set(error, EINVAL,
				 "bridge '%s': other_config:forward-bpdu=%.64s: true or false is "
				 "wanted",
				 config_string(row, "name"), text);
	result = read_vlans(row, "flood_vlans", &vlans, &listed, error);
	if (result)
		return result;
	result = bridge_set_normal(bridge, forward == 1, listed ? &vlans : NULL);
	return result ? error_set(error, ENOMEM, "out of memory") : 0;
}
