// What a port's settings for Ethernet switching come to for workers.
#include "ofproto/bridge_internal.h"

#include "common/rcu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE_8021AD RTE_BE16(0x88a8)
#define SERVICE_8021Q RTE_BE16(0x8100)

static void add_vlan(uint64_t words[VLAN_WORDS], int vlan)
{
	words[vlan / 64] |= 1ULL << vlan % 64;
}

static void fill_set(uint64_t words[VLAN_WORDS], bool listed, const struct vlan_set *set)
{
	if (listed)
		memcpy(words, set->words, sizeof(set->words));
	else
		memset(words, 0xff, sizeof(set->words));
}

static bool has_one_vlan(enum vlan_mode mode)
{
	return mode == VLAN_ACCESS || mode == VLAN_TUNNEL;
}

// The VLAN whose untagged packets leave as they are.
static uint16_t plain_vlan(const struct forwarding_port *made)
{
	if (made->priority_tags == PRIORITY_TAGS_ALWAYS)
		return VLAN_NONE;
	switch (made->vlan_mode) {
	case VLAN_ACCESS:
	case VLAN_NATIVE_UNTAGGED:
		return (uint16_t)made->vlan_tag;
	case VLAN_TUNNEL:
		return vlan_set_has(made->cvlans, 0) ? (uint16_t)made->vlan_tag : VLAN_NONE;
	default:
		return 0;
	}
}

static void fill_vlan(const struct bridge_vlan *vlan, struct forwarding_port *made)
{
	made->vlan_mode = (uint8_t)vlan->mode;
	made->vlan_tag = vlan->mode == VLAN_TRUNK ? -1 : vlan->tag;
	made->priority_tags = (uint8_t)vlan->priority_tags;
	made->service_type = vlan->service_is_8021q ? SERVICE_8021Q : SERVICE_8021AD;
	if (!has_one_vlan(vlan->mode))
		fill_set(made->trunks, vlan->lists_trunks, &vlan->trunks);
	// The native VLAN is always there.
	if (made->vlan_tag >= 0)
		add_vlan(made->trunks, made->vlan_tag);
	if (vlan->mode == VLAN_TUNNEL)
		fill_set(made->cvlans, vlan->lists_cvlans, &vlan->cvlans);
	made->untagged_vlan = made->vlan_tag >= 0 ? (uint16_t)made->vlan_tag : 0;
	made->refuses_untagged = !vlan_set_has(made->trunks, made->untagged_vlan) ||
				 (vlan->mode == VLAN_TUNNEL && !vlan_set_has(made->cvlans, 0));
	made->plain_vlan = plain_vlan(made);
}

void port_l2_fill(const struct bridge_port *port, struct forwarding_port *made)
{
	fill_vlan(&port->vlan, made);
	made->is_protected = port->l2.is_protected;
	made->storm = port->storm;
	made->guard = port->guard;
}

void port_l2_exit(struct bridge_port *port)
{
	rcu_defer(storm_free, port->storm);
	rcu_defer(free, port->guard);
	port->storm = NULL;
	port->guard = NULL;
}

int bridge_set_port_vlan(struct bridge_port *port, const struct bridge_vlan *vlan)
{
	const struct bridge_vlan old = port->vlan;
	int status;

	// Where bytes between the fields differ, it is put into force once more, which is harmless.
	if (!memcmp(&old, vlan, sizeof(old)))
		return 0;
	port->vlan = *vlan;
	status = port_publish(port);
	if (status < 0)
		port->vlan = old;
	else
		mac_table_flush_port(port->bridge->forwarding->mac_table, port->ofport);
	return status;
}

static bool has_storm_limit(const struct bridge_port_l2 *l2)
{
	for (unsigned int i = 0; i < N_STORM_KINDS; i++)
		if (l2->storm[i].limited)
			return true;
	return false;
}

// Limits that stay the same keep their buckets.
static int make_storm(const struct bridge_port *port, const struct bridge_port_l2 *l2,
		      struct storm_control **storm)
{
	*storm = NULL;
	if (!has_storm_limit(l2))
		return 0;
	*storm = storm_create(l2->storm, port->storm);
	return *storm ? 0 : -ENOMEM;
}

static int copy_guard(const struct port_guard *guard, struct port_guard **made)
{
	*made = NULL;
	if (!guard)
		return 0;
	*made = malloc(sizeof(**made));
	if (!*made)
		return -ENOMEM;
	**made = *guard;
	return 0;
}

int port_l2_start(struct bridge_port *port, const struct bridge_port_l2 *l2,
		  const struct port_guard *guard)
{
	const int status = copy_guard(guard, &port->guard);

	port->l2 = *l2;
	return status ? status : make_storm(port, l2, &port->storm);
}

static bool same_l2(const struct bridge_port_l2 *a, const struct bridge_port_l2 *b)
{
	for (unsigned int i = 0; i < N_STORM_KINDS; i++)
		if (a->storm[i].limited != b->storm[i].limited ||
		    a->storm[i].unit != b->storm[i].unit || a->storm[i].rate != b->storm[i].rate)
			return false;
	return a->is_protected == b->is_protected && a->mac_limit == b->mac_limit;
}

int bridge_set_port_l2(struct bridge_port *port, const struct bridge_port_l2 *l2)
{
	const struct bridge_port_l2 old = port->l2;
	struct storm_control *old_storm = port->storm, *storm;
	int status;

	if (same_l2(&old, l2))
		return 0;
	status = make_storm(port, l2, &storm);
	if (status < 0)
		return status;
	port->l2 = *l2;
	port->storm = storm;
	status = port_publish(port);
	if (status < 0) {
		port->l2 = old;
		port->storm = old_storm;
		storm_free(storm);
		return status;
	}
	rcu_defer(storm_free, old_storm);
	return 0;
}

int bridge_set_port_guard(struct bridge_port *port, const struct port_guard *guard)
{
	struct port_guard *old = port->guard, *made;
	int status;

	if (old && guard ? !memcmp(old, guard, sizeof(*old)) : old == guard)
		return 0;
	status = copy_guard(guard, &made);
	if (status < 0)
		return status;
	port->guard = made;
	status = port_publish(port);
	if (status < 0) {
		port->guard = old;
		free(made);
		return status;
	}
	rcu_defer(free, old);
	return 0;
}

void bridge_set_damping(struct bridge *bridge, unsigned int moves, unsigned int hold_s)
{
	mac_table_set_damping(bridge->forwarding->mac_table, moves, hold_s);
}

int bridge_set_normal(struct bridge *bridge, bool forward_bpdu, const struct vlan_set *flood_vlans)
{
	struct forwarding *forwarding = bridge->forwarding;
	struct vlan_set *old = forwarding->flood_vlans, *made = NULL;

	__atomic_store_n(&forwarding->forward_bpdu, forward_bpdu, __ATOMIC_RELAXED);
	if (old && flood_vlans ? !memcmp(old, flood_vlans, sizeof(*old)) : old == flood_vlans)
		return 0;
	if (flood_vlans) {
		made = malloc(sizeof(*made));
		if (!made)
			return -ENOMEM;
		*made = *flood_vlans;
	}
	rcu_publish(&forwarding->flood_vlans, made);
	rcu_defer(free, old);
	// What was learned there counts no more.
	for (uint16_t vlan = 0; made && vlan < 4096; vlan++)
		if (vlan_set_has(made->words, vlan) && !(old && vlan_set_has(old->words, vlan)))
			mac_table_flush_vlan(forwarding->mac_table, vlan);
	return 0;
}
