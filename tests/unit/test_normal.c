// NORMAL against what ovs-actions(7) and ovs-vswitchd.conf.db(5) say: frames in, frames out for each
// VLAN mode, to one port and to all; protected ports, reserved addresses, VLANs without learning,
// storm control.
#include "tests/unit/l2_rig.h"

#include <string.h>

#define BROADCAST "ff:ff:ff:ff:ff:ff"
#define HOST "02:00:00:00:00:0a"
#define PEER "02:00:00:00:00:0b"
#define N_MODE_PORTS 9
#define NOT "-" // the port must not send it

static const char payload[] = "forty-six bytes or more are in an Ethernet frame";

static void make(struct ref_packet *frame, const char *tags, const char *destination)
{
	l2_frame(frame, tags, destination, HOST, 0x88b5, payload, sizeof(payload));
}

static void add_vlans(struct vlan_set *set, bool *listed, uint16_t first, uint16_t second)
{
	*listed = true;
	set->words[first / 64] |= 1ULL << first % 64;
	set->words[second / 64] |= 1ULL << second % 64;
}

// Ports as the table below has them.
static void configure(struct l2_rig *rig)
{
	static const struct {
		enum vlan_mode mode;
		int tag;
		uint16_t trunks[2], cvlans[2]; // 0: not listed
		enum priority_tags priority_tags;
		bool service_is_8021q;
	} settings[N_MODE_PORTS + 1] = {
		[1] = { VLAN_TRUNK, -1, { 0, 0 }, { 0, 0 }, PRIORITY_TAGS_NEVER, false },
		[2] = { VLAN_TRUNK, -1, { 10, 20 }, { 0, 0 }, PRIORITY_TAGS_NEVER, false },
		[3] = { VLAN_ACCESS, 10, { 0, 0 }, { 0, 0 }, PRIORITY_TAGS_NEVER, false },
		[4] = { VLAN_NATIVE_TAGGED, 10, { 20, 20 }, { 0, 0 }, PRIORITY_TAGS_NEVER, false },
		[5] = { VLAN_NATIVE_UNTAGGED,
			10,
			{ 20, 20 },
			{ 0, 0 },
			PRIORITY_TAGS_NEVER,
			false },
		[6] = { VLAN_TUNNEL, 10, { 0, 0 }, { 0, 0 }, PRIORITY_TAGS_NEVER, false },
		[7] = { VLAN_TUNNEL, 10, { 0, 0 }, { 30, 40 }, PRIORITY_TAGS_NEVER, true },
		[8] = { VLAN_ACCESS, 10, { 0, 0 }, { 0, 0 }, PRIORITY_TAGS_IF_NONZERO, false },
		[9] = { VLAN_TRUNK, -1, { 0, 0 }, { 0, 0 }, PRIORITY_TAGS_ALWAYS, false },
	};

	for (unsigned int i = 1; i <= N_MODE_PORTS; i++) {
		struct bridge_vlan *vlan = &rig->ports[i].port.vlan;

		vlan->mode = settings[i].mode;
		vlan->tag = settings[i].tag;
		vlan->priority_tags = settings[i].priority_tags;
		vlan->service_is_8021q = settings[i].service_is_8021q;
		if (settings[i].trunks[0])
			add_vlans(&vlan->trunks, &vlan->lists_trunks, settings[i].trunks[0],
				  settings[i].trunks[1]);
		if (settings[i].cvlans[0])
			add_vlans(&vlan->cvlans, &vlan->lists_cvlans, settings[i].cvlans[0],
				  settings[i].cvlans[1]);
		l2_rig_refresh(rig, i);
	}
	rig->forwarding.flood->n = N_MODE_PORTS;
}

struct mode_case {
	unsigned int port;
	const char *tags;
	int vlan; // -1: the port does not admit it
	// What each port sends: trunk; trunk of 10 and 20; access 10; native-tagged 10 and 20;
	// native-untagged 10 and 20; tunnel 10; tunnel 10 for customers 30 and 40, by 802.1q; access
	// 10 with priority-tags=if-nonzero; trunk with priority-tags=always.
	const char *out[N_MODE_PORTS];
};

#define NOWHERE                                                                                    \
	{                                                                                          \
		NOT, NOT, NOT, NOT, NOT, NOT, NOT, NOT, NOT                                        \
	}
#define T10 "8100/10"
#define T20 "8100/20"
#define P10 "8100/5.10"
#define S10 "88a8/10"

static const struct mode_case cases[] = {
	// From a trunk.
	{ 1, "", 0, { NOT, NOT, NOT, NOT, NOT, NOT, NOT, NOT, "8100/0" } },
	{ 1, "8100/5.0", 0, { NOT, NOT, NOT, NOT, NOT, NOT, NOT, NOT, "8100/5.0" } },
	{ 1, T10, 10, { NOT, T10, "", T10, "", "", NOT, "", T10 } },
	{ 1, P10, 10, { NOT, P10, "", P10, "", "", NOT, "8100/5.0", P10 } },
	{ 1, T20, 20, { NOT, T20, NOT, T20, T20, NOT, NOT, NOT, T20 } },
	{ 1, "8100/30", 30, { NOT, NOT, NOT, NOT, NOT, NOT, NOT, NOT, "8100/30" } },
	{ 1, S10, 10, { NOT, S10, "", S10, "", "", NOT, "", S10 } },
	{ 1,
	  "88a8/5.10",
	  10,
	  { NOT, "88a8/5.10", "", "88a8/5.10", "", "", NOT, "88a8/5.0", "88a8/5.10" } },
	{ 1,
	  "88a8/10 8100/30",
	  10,
	  { NOT, "88a8/10 8100/30", "", "88a8/10 8100/30", "8100/30", "8100/30", "8100/30", "",
	    "88a8/10 8100/30" } },
	{ 1,
	  "88a8/10 8100/31",
	  10,
	  { NOT, "88a8/10 8100/31", "", "88a8/10 8100/31", "8100/31", "8100/31", NOT, "",
	    "88a8/10 8100/31" } },
	// From a trunk of some VLANs.
	{ 2, "", -1, NOWHERE },
	{ 2, "8100/30", -1, NOWHERE },
	{ 2, T20, 20, { T20, NOT, NOT, T20, T20, NOT, NOT, NOT, T20 } },
	// From an access port.
	{ 3, "", 10, { T10, T10, NOT, T10, "", "", NOT, "", T10 } },
	{ 3, "8100/5.0", 10, { P10, P10, NOT, P10, "", "", NOT, "8100/5.0", P10 } },
	{ 3, T10, -1, NOWHERE },
	{ 3, T20, -1, NOWHERE },
	// From native-tagged and native-untagged ports.
	{ 4, "", 10, { T10, T10, "", NOT, "", "", NOT, "", T10 } },
	{ 4, T10, 10, { T10, T10, "", NOT, "", "", NOT, "", T10 } },
	{ 4, T20, 20, { T20, T20, NOT, NOT, T20, NOT, NOT, NOT, T20 } },
	{ 4, "8100/30", -1, NOWHERE },
	{ 5, "", 10, { T10, T10, "", T10, NOT, "", NOT, "", T10 } },
	{ 5, "8100/5.0", 10, { P10, P10, "", P10, NOT, "", NOT, "8100/5.0", P10 } },
	{ 5, T10, 10, { T10, T10, "", T10, NOT, "", NOT, "", T10 } },
	{ 5, "8100/30", -1, NOWHERE },
	// From tunnels.
	{ 6, "", 10, { S10, S10, "", S10, "", NOT, NOT, "", S10 } },
	{ 6,
	  "8100/30",
	  10,
	  { "88a8/10 8100/30", "88a8/10 8100/30", "", "88a8/10 8100/30", "8100/30", NOT, "8100/30",
	    "", "88a8/10 8100/30" } },
	{ 6,
	  "8100/3.31 8100/7",
	  10,
	  { "88a8/10 8100/3.31 8100/7", "88a8/10 8100/3.31 8100/7", "", "88a8/10 8100/3.31 8100/7",
	    "8100/3.31 8100/7", NOT, NOT, "", "88a8/10 8100/3.31 8100/7" } },
	{ 7,
	  "8100/40",
	  10,
	  { "8100/10 8100/40", "8100/10 8100/40", "", "8100/10 8100/40", "8100/40", "8100/40", NOT,
	    "", "8100/10 8100/40" } },
	{ 7, "8100/31", -1, NOWHERE },
	{ 7, "", -1, NOWHERE },
	// From an access port with priority-tags.
	{ 8, "8100/5.0", 10, { P10, P10, "", P10, "", "", NOT, NOT, P10 } },
	{ 9, "8100/5.0", 0, { "", NOT, NOT, NOT, NOT, NOT, NOT, NOT, NOT } },
};

static void check_port(const struct l2_rig *rig, const struct mode_case *c, unsigned int port,
		       const char *want)
{
	const struct l2_port *out = &rig->ports[port];
	const struct ref_packet *sent = &out->sent[0];
	struct ref_packet whole;

	if (!strcmp(want, NOT)) {
		if (out->n_sent)
			fail_msg("port %u, '%s': port %u sent '%s', and must not", c->port, c->tags,
				 port, l2_tags(sent));
		return;
	}
	if (out->n_sent != 1)
		fail_msg("port %u, '%s': port %u sent %u frames, not one", c->port, c->tags, port,
			 out->n_sent);
	make(&whole, want, "00:00:00:00:00:00");
	memcpy(whole.bytes, sent->bytes, 6);
	if (whole.size != sent->size || memcmp(whole.bytes, sent->bytes, sent->size) != 0)
		fail_msg("port %u, '%s': port %u sent '%s', not '%s'", c->port, c->tags, port,
			 l2_tags(sent), want);
}

// To all ports, and to each one that an address was learned at.
static void check_case(struct l2_rig *rig, const struct mode_case *c)
{
	struct mac_table *table = rig->forwarding.mac_table;
	const uint8_t peer[6] = { 2, 0, 0, 0, 0, 0x0b };
	const uint64_t drops = l2_rig_drops(rig, c->port, DROP_NORMAL_VLAN);
	struct ref_packet frame;

	make(&frame, c->tags, BROADCAST);
	l2_rig_send(rig, c->port, &frame);
	for (unsigned int i = 0; i < N_MODE_PORTS; i++)
		check_port(rig, c, i + 1, c->out[i]);
	assert_int_equal(l2_rig_drops(rig, c->port, DROP_NORMAL_VLAN) - drops, c->vlan < 0);
	if (c->vlan < 0)
		return;
	make(&frame, c->tags, PEER);
	for (unsigned int i = 0; i < N_MODE_PORTS; i++) {
		if (!strcmp(c->out[i], NOT))
			continue;
		mac_table_learn(table, (uint16_t)c->vlan, peer, i + 1);
		l2_rig_send(rig, c->port, &frame);
		for (unsigned int k = 0; k < N_MODE_PORTS; k++)
			check_port(rig, c, k + 1, k == i ? c->out[i] : NOT);
		mac_table_remove(table, (uint16_t)c->vlan, peer);
	}
}

static void on_all_levels(void (*test)(struct l2_rig *rig))
{
	for (const char *const *level = test_hot_levels(); *level; level++) {
		struct l2_rig *rig;

		assert_int_equal(hot_select(*level, NULL), 0);
		rig = l2_rig_create();
		test(rig);
		l2_rig_destroy(rig);
	}
}

static void check_modes(struct l2_rig *rig)
{
	configure(rig);
	for (unsigned int i = 0; i < RTE_DIM(cases); i++)
		check_case(rig, &cases[i]);
}

static void test_vlan_modes(void **state)
{
	(void)state;
	on_all_levels(check_modes);
}

static unsigned int n_sending(const struct l2_rig *rig)
{
	unsigned int n = 0;

	for (unsigned int i = 1; i <= L2_PORTS; i++)
		n += rig->ports[i].n_sent;
	return n;
}

static void check_protected(struct l2_rig *rig)
{
	const uint8_t peer[6] = { 2, 0, 0, 0, 0, 0x0b };
	struct ref_packet frame;

	for (unsigned int i = 1; i <= 4; i++) {
		rig->ports[i].port.l2.is_protected = true;
		l2_rig_refresh(rig, i);
	}
	make(&frame, "", BROADCAST);
	l2_rig_send(rig, 1, &frame);
	assert_int_equal(n_sending(rig), L2_PORTS - 4);
	l2_rig_send(rig, 5, &frame);
	assert_int_equal(n_sending(rig), L2_PORTS - 1);
	mac_table_learn(rig->forwarding.mac_table, 0, peer, 2);
	make(&frame, "", PEER);
	l2_rig_send(rig, 1, &frame);
	assert_int_equal(n_sending(rig), 0);
	assert_int_equal(l2_rig_drops(rig, 1, DROP_NORMAL_PROTECTED), 1);
	l2_rig_send(rig, 5, &frame);
	assert_int_equal(rig->ports[2].n_sent, 1);
}

static void test_protected(void **state)
{
	(void)state;
	on_all_levels(check_protected);
}

static void check_reserved(struct l2_rig *rig)
{
	struct ref_packet frame;

	make(&frame, "", "01:80:c2:00:00:0e");
	l2_rig_send(rig, 1, &frame);
	assert_int_equal(n_sending(rig), 0);
	assert_int_equal(l2_rig_drops(rig, 1, DROP_NORMAL_RESERVED), 1);
	rig->forwarding.forward_bpdu = true;
	l2_rig_send(rig, 1, &frame);
	assert_int_equal(n_sending(rig), L2_PORTS - 1);
}

static void test_reserved(void **state)
{
	(void)state;
	on_all_levels(check_reserved);
}

static void check_flood_vlans(struct l2_rig *rig)
{
	struct vlan_set vlans = { 0 };
	const uint8_t peer[6] = { 2, 0, 0, 0, 0, 0x0b };
	struct mac_table_stats stats;
	struct ref_packet frame;

	vlans.words[0] = 1 << 7;
	mac_table_learn(rig->forwarding.mac_table, 7, peer, 2);
	mac_table_learn(rig->forwarding.mac_table, 8, peer, 2);
	assert_int_equal(bridge_set_normal(&rig->bridge, false, &vlans), 0);
	mac_table_get_stats(rig->forwarding.mac_table, &stats);
	assert_int_equal(stats.n_entries, 1);
	make(&frame, "8100/7", PEER);
	l2_rig_send(rig, 1, &frame);
	assert_int_equal(n_sending(rig), L2_PORTS - 1);
	mac_table_get_stats(rig->forwarding.mac_table, &stats);
	assert_int_equal(stats.n_entries, 1);
	make(&frame, "8100/8", PEER);
	l2_rig_send(rig, 1, &frame);
	assert_int_equal(n_sending(rig), 1);
	assert_int_equal(bridge_set_normal(&rig->bridge, false, NULL), 0);
	make(&frame, "8100/7", PEER);
	l2_rig_send(rig, 1, &frame);
	mac_table_get_stats(rig->forwarding.mac_table, &stats);
	assert_int_equal(stats.n_entries, 3);
}

static void test_flood_vlans(void **state)
{
	(void)state;
	on_all_levels(check_flood_vlans);
}

// A burst of frames at once: what passes is the bucket, and what little comes back meanwhile.
static unsigned int n_passing(struct l2_rig *rig, const char *destination)
{
	const uint64_t drops = l2_rig_drops(rig, 1, DROP_STORM);
	struct ref_packet frame;
	unsigned int n = 0;

	make(&frame, "", destination);
	for (unsigned int i = 0; i < 100; i++) {
		l2_rig_send(rig, 1, &frame);
		n += rig->ports[2].n_sent;
	}
	assert_int_equal(l2_rig_drops(rig, 1, DROP_STORM) - drops, 100 - n);
	return n;
}

static void check_storm(struct l2_rig *rig)
{
	struct storm_limit limits[N_STORM_KINDS] = {
		[STORM_BROADCAST] = { true, METER_PKTPS, 1 },
		[STORM_UNKNOWN] = { true, METER_KBPS, 1 },
	};
	struct l2_port *port = &rig->ports[1];

	port->port.storm = storm_create(limits, NULL);
	assert_non_null(port->port.storm);
	l2_rig_refresh(rig, 1);
	assert_in_range(n_passing(rig, BROADCAST), 10, 12);
	assert_int_equal(n_passing(rig, "01:00:5e:00:00:01"), 100);
	// 600 kbit are 75000 bytes.
	assert_int_equal(n_passing(rig, PEER), 100);
	limits[STORM_UNKNOWN].rate = 0;
	limits[STORM_MULTICAST] = (struct storm_limit){ true, METER_PKTPS, 0 };
	rcu_defer(storm_free, port->port.storm);
	port->port.storm = storm_create(limits, port->port.storm);
	assert_non_null(port->port.storm);
	l2_rig_refresh(rig, 1);
	// The broadcasts' bucket is as empty as it was.
	assert_in_range(n_passing(rig, BROADCAST), 0, 2);
	assert_int_equal(n_passing(rig, "01:00:5e:00:00:01"), 0);
	assert_int_equal(n_passing(rig, PEER), 0);
}

static void test_storm(void **state)
{
	(void)state;
	on_all_levels(check_storm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vlan_modes), cmocka_unit_test(test_protected),
		cmocka_unit_test(test_reserved),   cmocka_unit_test(test_flood_vlans),
		cmocka_unit_test(test_storm),
	};
	int failed;

	test_eal_init(4095);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
