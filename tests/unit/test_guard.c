// Anti-spoofing: frames that a guarded port may and may not send, each refusal under its reason.
#include "tests/unit/l2_rig.h"

#include "common/error.h"
#include "common/text.h"
#include "ctl/apply_l2.h"

#include <string.h>

#define OWN "52:54:00:00:00:01"
#define OTHER "52:54:00:00:00:02"
#define FINE N_DROPS

enum frame_kind { PLAIN, ARP, IPV4, DHCP, IPV6, SOLICITATION, ADVERTISEMENT, ROUTERS, REPORT };

struct guard_case {
	const char *allowed; // separated by spaces
	enum frame_kind kind;
	const char *source; // of the frame
	const char *speaker; // Ethernet address in ARP and options
	const char *address; // source of the packet, sender of ARP
	const char *target;
	enum drop_reason want;
};

static const struct guard_case cases[] = {
	// Addresses of Ethernet alone.
	{ OWN, PLAIN, OWN, NULL, NULL, NULL, FINE },
	{ OWN, PLAIN, OTHER, NULL, NULL, NULL, DROP_SPOOFED_MAC },
	{ OWN " " OTHER, PLAIN, OTHER, NULL, NULL, NULL, FINE },
	{ OWN, IPV4, OWN, NULL, "9.9.9.9", NULL, FINE },
	{ OWN, IPV6, OWN, NULL, "2001:db8::9", NULL, FINE },
	{ OWN, ARP, OWN, OWN, "9.9.9.9", "10.0.0.1", FINE },
	{ OWN, ARP, OWN, OTHER, "10.0.0.5", "10.0.0.1", DROP_SPOOFED_ARP },
	{ OWN, ADVERTISEMENT, OWN, OWN, "2001:db8::9", "2001:db8::9", FINE },
	{ OWN, ADVERTISEMENT, OWN, OTHER, "2001:db8::9", "2001:db8::9", DROP_SPOOFED_ND },
	// IPv4.
	{ "10.0.0.5", IPV4, OWN, NULL, "10.0.0.5", NULL, FINE },
	{ "10.0.0.5", IPV4, OTHER, NULL, "10.0.0.5", NULL, FINE },
	{ "10.0.0.5", IPV4, OWN, NULL, "10.0.0.6", NULL, DROP_SPOOFED_IP },
	{ "10.0.0.5 10.1.0.0/16", IPV4, OWN, NULL, "10.1.255.6", NULL, FINE },
	{ "10.0.0.5 10.1.0.0/16", IPV4, OWN, NULL, "10.2.0.1", NULL, DROP_SPOOFED_IP },
	{ "0.0.0.0/0", IPV4, OWN, NULL, "10.2.0.1", NULL, FINE },
	{ OWN " 10.0.0.5", IPV4, OTHER, NULL, "10.0.0.5", NULL, DROP_SPOOFED_MAC },
	{ OWN " 10.0.0.5", IPV4, OWN, NULL, "10.0.0.6", NULL, DROP_SPOOFED_IP },
	{ "10.0.0.5", IPV6, OWN, NULL, "2001:db8::9", NULL, DROP_SPOOFED_IP },
	{ "10.0.0.5", PLAIN, OWN, NULL, NULL, NULL, FINE },
	{ "10.0.0.5", DHCP, OWN, NULL, "0.0.0.0", NULL, FINE },
	{ "10.0.0.5", IPV4, OWN, NULL, "0.0.0.0", NULL, DROP_SPOOFED_IP },
	{ "10.0.0.5", ARP, OWN, OWN, "10.0.0.5", "10.0.0.1", FINE },
	{ "10.0.0.5", ARP, OWN, OWN, "10.0.0.1", "10.0.0.1", DROP_SPOOFED_ARP },
	{ "10.0.0.5", ARP, OWN, OWN, "0.0.0.0", "10.0.0.5", FINE },
	{ "10.0.0.5", ARP, OWN, OWN, "0.0.0.0", "10.0.0.1", DROP_SPOOFED_ARP },
	// IPv6.
	{ "2001:db8::5", IPV6, OWN, NULL, "2001:db8::5", NULL, FINE },
	{ "2001:db8::5", IPV6, OWN, NULL, "2001:db8::6", NULL, DROP_SPOOFED_IP },
	{ "2001:db8::/64", IPV6, OWN, NULL, "2001:db8::6", NULL, FINE },
	{ "2001:db8:0:0:8000::/65", IPV6, OWN, NULL, "2001:db8::6", NULL, DROP_SPOOFED_IP },
	{ "2001:db8:0:0:8000::/65", IPV6, OWN, NULL, "2001:db8::9000:0:0:6", NULL, FINE },
	{ "2001:db8::5", IPV6, OWN, NULL, "fe80::5054:ff:fe00:1", NULL, FINE },
	{ "2001:db8::5", IPV6, OWN, NULL, "fe80::5054:ff:fe00:2", NULL, DROP_SPOOFED_IP },
	{ "2001:db8::5", IPV4, OWN, NULL, "10.0.0.5", NULL, DROP_SPOOFED_IP },
	{ "2001:db8::5", ADVERTISEMENT, OWN, OWN, "2001:db8::5", "2001:db8::5", FINE },
	{ "2001:db8::5", ADVERTISEMENT, OWN, OWN, "2001:db8::5", "2001:db8::6", DROP_SPOOFED_ND },
	{ "2001:db8::5", ADVERTISEMENT, OWN, OWN, "2001:db8::6", "2001:db8::5", DROP_SPOOFED_IP },
	{ "2001:db8::5", SOLICITATION, OWN, OWN, "2001:db8::5", "2001:db8::6", FINE },
	{ "2001:db8::5", SOLICITATION, OWN, OWN, "::", "2001:db8::5", FINE },
	{ "2001:db8::5", SOLICITATION, OWN, OWN, "::", "2001:db8::6", DROP_SPOOFED_ND },
	{ "2001:db8::5", ROUTERS, OWN, OWN, "::", NULL, FINE },
	{ "2001:db8::5", REPORT, OWN, NULL, "::", NULL, FINE },
	{ "2001:db8::5", IPV6, OWN, NULL, "::", NULL, DROP_SPOOFED_IP },
	{ OWN " 2001:db8::5", SOLICITATION, OWN, OTHER, "2001:db8::5", "2001:db8::6",
	  DROP_SPOOFED_ND },
	{ OWN " 2001:db8::5", ROUTERS, OWN, OTHER, "fe80::5054:ff:fe00:1", NULL, DROP_SPOOFED_ND },
};

static unsigned int make_arp(const struct guard_case *c, uint8_t *at)
{
	static const uint8_t head[] = { 0, 1, 8, 0, 6, 4, 0, 1 };
	uint32_t address;

	memcpy(at, head, sizeof(head));
	assert_int_equal(parse_mac(c->speaker, at + 8), 0);
	assert_int_equal(parse_ipv4(c->address, &address), 0);
	memcpy(at + 14, &address, 4);
	assert_int_equal(parse_ipv4(c->target, &address), 0);
	memcpy(at + 24, &address, 4);
	return 46;
}

static unsigned int make_ipv4(const struct guard_case *c, uint8_t *at)
{
	const bool dhcp = c->kind == DHCP;
	uint32_t address;

	at[0] = 0x45;
	ref_put16(at + 2, 46);
	at[8] = 64;
	at[9] = 17;
	assert_int_equal(parse_ipv4(c->address, &address), 0);
	memcpy(at + 12, &address, 4);
	memset(at + 16, 0xff, 4);
	ref_put16(at + 20, dhcp ? 68 : 5000);
	ref_put16(at + 22, dhcp ? 67 : 5001);
	ref_put16(at + 24, 26);
	return 46;
}

// Returns the message's length.
static unsigned int make_nd(const struct guard_case *c, uint8_t *at)
{
	unsigned int size = 24;

	at[0] = c->kind == SOLICITATION ? 135 : c->kind == ADVERTISEMENT ? 136 : 133;
	if (c->kind == REPORT) {
		at[0] = 143;
		return 28;
	}
	if (c->kind == ROUTERS)
		size = 8;
	else
		assert_int_equal(parse_ipv6(c->target, at + 8), 0);
	at[size] = c->kind == ADVERTISEMENT ? 2 : 1;
	at[size + 1] = 1;
	assert_int_equal(parse_mac(c->speaker, at + size + 2), 0);
	return size + 8;
}

static unsigned int make_ipv6(const struct guard_case *c, uint8_t *at)
{
	unsigned int size = 20;

	at[0] = 0x60;
	at[7] = 255;
	assert_int_equal(parse_ipv6(c->address, at + 8), 0);
	at[24] = 0xff;
	at[25] = 2;
	at[39] = 1;
	at[6] = c->kind == IPV6 ? 6 : 58;
	if (c->kind == IPV6)
		at[52] = 0x50; // TCP
	else
		size = make_nd(c, at + 40);
	ref_put16(at + 4, size);
	return 40 + size;
}

static void make(const struct guard_case *c, const char *tags, struct ref_packet *frame)
{
	uint8_t payload[128] = { 0 };
	unsigned int size = 46, type = 0x88b5;

	switch (c->kind) {
	case PLAIN:
		break;
	case ARP:
		type = 0x0806;
		size = make_arp(c, payload);
		break;
	case IPV4:
	case DHCP:
		type = 0x0800;
		size = make_ipv4(c, payload);
		break;
	default:
		type = 0x86dd;
		size = make_ipv6(c, payload);
		break;
	}
	l2_frame(frame, tags, "ff:ff:ff:ff:ff:ff", c->source, type, payload, size);
}

static json_t *row(const char *allowed)
{
	json_t *list = json_array(), *object = json_object();
	size_t length;

	for (; *allowed; allowed += length + strspn(allowed + length, " ")) {
		length = strcspn(allowed, " ");
		json_array_append_new(list, json_stringn(allowed, length));
	}
	json_object_set_new(object, "name", json_string("vm1"));
	json_object_set_new(object, "allowed_addresses", list);
	return object;
}

static void guard(struct l2_rig *rig, const char *allowed)
{
	json_t *interface = row(allowed);
	struct port_guard made;
	struct error error = { 0 };
	bool guarded;

	if (apply_read_guard(interface, &made, &guarded, &error))
		fail_msg("%s", error.message);
	json_decref(interface);
	rig->ports[1].port.guard = malloc(sizeof(made));
	assert_non_null(rig->ports[1].port.guard);
	*rig->ports[1].port.guard = made;
	l2_rig_refresh(rig, 1);
}

static void check_case(struct l2_rig *rig, const struct guard_case *c, const char *tags)
{
	uint64_t before[N_DROPS];
	struct ref_packet frame;

	for (unsigned int i = 0; i < N_DROPS; i++)
		before[i] = l2_rig_drops(rig, 1, (enum drop_reason)i);
	make(c, tags, &frame);
	l2_rig_send(rig, 1, &frame);
	for (unsigned int i = 0; i < N_DROPS; i++)
		if (l2_rig_drops(rig, 1, (enum drop_reason)i) - before[i] != (i == c->want))
			fail_msg("case %zu: %s, tags '%s': %s under %s", (size_t)(c - cases),
				 c->allowed, tags, i == c->want ? "not counted" : "counted",
				 drop_texts[i].name);
	assert_int_equal(rig->ports[2].n_sent, c->want == FINE);
	// The other direction is free.
	l2_rig_send(rig, 2, &frame);
	assert_int_equal(rig->ports[1].n_sent, 1);
}

static void test_frames(void **state)
{
	(void)state;
	for (const char *const *level = test_hot_levels(); *level; level++) {
		assert_int_equal(hot_select(*level, NULL), 0);
		for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
			struct l2_rig *rig = l2_rig_create();

			guard(rig, cases[i].allowed);
			check_case(rig, &cases[i], "");
			check_case(rig, &cases[i], "8100/7");
			check_case(rig, &cases[i], "88a8/7 8100/8");
			l2_rig_destroy(rig);
		}
	}
}

// What cannot be read is refused: cut short, behind too many tags, an ND message in fragments.
static void test_hiding(void **state)
{
	const struct guard_case arp = { "10.0.0.5", ARP, OWN, OWN, "10.0.0.5", "10.0.0.1", FINE };
	const struct guard_case ip = { "10.0.0.5", IPV4, OWN, NULL, "10.0.0.5", NULL, FINE };
	const struct guard_case nd = { "2001:db8::5", ADVERTISEMENT, OWN, OWN,
				       "2001:db8::5", "2001:db8::5", FINE };
	struct l2_rig *rig = l2_rig_create();
	struct ref_packet frame;

	(void)state;
	guard(rig, "10.0.0.5 2001:db8::5");
	make(&arp, "", &frame);
	frame.size = 14 + 27;
	l2_rig_send(rig, 1, &frame);
	assert_int_equal(l2_rig_drops(rig, 1, DROP_SPOOFED_ARP), 1);
	make(&ip, "", &frame);
	frame.size = 14 + 19;
	l2_rig_send(rig, 1, &frame);
	assert_int_equal(l2_rig_drops(rig, 1, DROP_SPOOFED_IP), 1);
	make(&ip, "8100/1 8100/2 8100/3", &frame);
	l2_rig_send(rig, 1, &frame);
	assert_int_equal(l2_rig_drops(rig, 1, DROP_SPOOFED_IP), 2);
	// A message of 32 bytes as the first fragment.
	make(&nd, "", &frame);
	memmove(frame.bytes + 14 + 48, frame.bytes + 14 + 40, 32);
	memset(frame.bytes + 14 + 40, 0, 8);
	frame.bytes[14 + 6] = 44;
	frame.bytes[14 + 40] = 58;
	frame.bytes[14 + 43] = 1;
	ref_put16(frame.bytes + 14 + 4, 40);
	frame.size += 8;
	l2_rig_send(rig, 1, &frame);
	assert_int_equal(l2_rig_drops(rig, 1, DROP_SPOOFED_ND), 1);
	// Options that end nowhere.
	make(&nd, "", &frame);
	frame.bytes[14 + 40 + 25] = 0;
	l2_rig_send(rig, 1, &frame);
	assert_int_equal(l2_rig_drops(rig, 1, DROP_SPOOFED_ND), 2);
	assert_int_equal(rig->ports[2].n_sent, 0);
	l2_rig_destroy(rig);
}

static void test_mistyped(void **state)
{
	static const struct {
		const char *allowed, *said;
	} wrong[] = {
		{ "10.0.0", "no address" },
		{ "10.0.0.5/33", "0 to 32" },
		{ "10.0.0.5/", "0 to 32" },
		{ "10.0.0.5/-1", "0 to 32" },
		{ "10.0.0.5/24", "behind the prefix" },
		{ "2001:db8::5/64", "behind the prefix" },
		{ "2001:db8::/129", "0 to 128" },
		{ "2001:db8:::", "no address" },
		{ "52:54:00:00:00", "no address" },
		{ "01:00:5e:00:00:01", "group address" },
		{ "vm1", "no address" },
		{ "10.0.0.5 x", "'x'" },
	};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(wrong); i++) {
		json_t *interface = row(wrong[i].allowed);
		struct port_guard made;
		struct error error = { 0 };
		bool guarded;

		if (!apply_read_guard(interface, &made, &guarded, &error))
			fail_msg("'%s' was accepted", wrong[i].allowed);
		if (!strstr(error.message, wrong[i].said) || !strstr(error.message, "vm1"))
			fail_msg("'%s': %s", wrong[i].allowed, error.message);
		json_decref(interface);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_hiding),
		cmocka_unit_test(test_mistyped),
	};
	int failed;

	test_eal_init(4095);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_eal_end();
	return failed;
}
