// The reference, the generator and the judge must be right before they may judge anything: known
// frames with known fields, and each of the three checked against the others.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/packets.h"

static void read_hex(const char *hex, struct ref_packet *packet)
{
	unsigned int byte;

	packet->size = 0;
	for (; *hex; hex += 2) {
		while (*hex == ' ')
			hex++;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		packet->bytes[packet->size++] = (uint8_t)byte;
	}
}

// An ICMP echo request and a DNS query whose checksums were not computed by code of this project:
// the IPv4 header is the example of RFC 1071's readers, known to sum up to 0xb861.
static void known_checksums_are_good(void **state)
{
	struct ref_packet packet = { .size = 0 };

	(void)state;
	read_hex("020000000001 020000000002 0800"
		 "450000730000400040 11 b861 c0a80001 c0a800c7"
		 "00350035 005f 0000",
		 &packet);
	memset(packet.bytes + packet.size, 0, 0x73 - 28);
	packet.size += 0x73 - 28;
	assert_int_equal(packet_judge(&packet), PACKET_GOOD);
	packet.bytes[14 + 15] ^= 1;
	assert_int_equal(packet_judge(&packet), PACKET_BAD);

	// Echo request without data but for the sequence: type 8, checksum 0xf7fd (0x0800 + 2).
	read_hex("020000000001 020000000002 0800"
		 "4500001c 00000000 4001 f98a 7f000001 00000065"
		 "0800 f7fd 0000 0002",
		 &packet);
	packet.bytes[24] = packet.bytes[25] = 0;
	{
		uint32_t sum = 0;

		for (unsigned int i = 14; i < 34; i += 2)
			sum += ref_get16(packet.bytes + i);
		sum = (sum & 0xffff) + (sum >> 16);
		ref_put16(packet.bytes + 24, 0xffff - sum);
	}
	assert_int_equal(packet_judge(&packet), PACKET_GOOD);
	packet.bytes[41] ^= 4;
	assert_int_equal(packet_judge(&packet), PACKET_BAD);
}

static void fields_of_a_tagged_tcp_frame(void **state)
{
	struct ref_packet packet = { .size = 0 };
	struct ref_layout layout;
	struct key key;
	static const uint8_t destination[] = { 2, 0, 0, 0, 0, 1 };

	(void)state;
	memset(&key, 0xee, sizeof(key));
	read_hex("020000000001 020000000002 88a8 7064 8100 2005 0800"
		 "4510002800004000 40 06 0000 0a000001 0a000002"
		 "0050 01bb 00000000 00000000 5012 0000 0000 0000",
		 &packet);
	assert_true(ref_parse(&packet, &key, &layout));
	assert_memory_equal(key.core.eth_dst, destination, 6);
	assert_int_equal(rte_be_to_cpu_16(key.core.vlan_tci0), 0x7064);
	assert_int_equal(rte_be_to_cpu_16(key.core.vlan_tci1), 0x3005);
	assert_int_equal(rte_be_to_cpu_16(key.core.eth_type), 0x0800);
	assert_int_equal(rte_be_to_cpu_32(key.core.ip_dst), 0x0a000002);
	assert_int_equal(key.core.ip_tos, 0x10);
	assert_int_equal(key.core.ip_ttl, 0x40);
	assert_int_equal(key.core.ip_proto, 6);
	assert_int_equal(key.core.ip_frag, 0);
	assert_int_equal(rte_be_to_cpu_16(key.core.tp_src), 80);
	assert_int_equal(rte_be_to_cpu_16(key.core.tp_dst), 443);
	assert_int_equal(rte_be_to_cpu_16(key.core.tcp_flags), 0x012);
	assert_int_equal(layout.n_vlans, 2);
	assert_int_equal(layout.l4, 42);
	assert_int_equal(layout.l4_end, 62);
	// Fields that are no headers stay.
	assert_int_equal(key.core.in_port, 0xeeeeeeee);
	assert_int_equal(key.registers.reg[15], 0xeeeeeeee);

	// Cut inside the TCP header: the ports are gone, the IP fields too, as the length lies.
	packet.size--;
	assert_true(ref_parse(&packet, &key, &layout));
	assert_int_equal(key.core.ip_dst, 0);
	packet.size = 13;
	assert_false(ref_parse(&packet, &key, &layout));
}

static void fields_of_a_neighbour_solicitation(void **state)
{
	static const char frame[] = "3333ff000001 020000000002 86dd 60000000 0020 3aff"
				    "fe800000000000000000000000000001"
				    "ff0200000000000000000001ff000001"
				    "8700 0000 00000000 fe800000000000000000000000000009"
				    "0101 020000000002";
	struct ref_packet packet = { .size = 0 };
	struct ref_layout layout;
	struct key key = { .words = { 0 } };

	(void)state;
	read_hex(frame, &packet);
	assert_true(ref_parse(&packet, &key, &layout));
	assert_int_equal(key.core.ip_proto, 58);
	assert_int_equal(rte_be_to_cpu_16(key.core.tp_src), 135);
	assert_int_equal(key.ipv6.nd_target[15], 9);
	assert_int_equal(key.rare.arp_sha[5], 2);
	assert_int_equal(key.rare.nd_options_type, 1);
	assert_int_equal(layout.nd_sll, 80);
	packet.bytes[79] = 2; // the option is longer than the packet
	assert_true(ref_parse(&packet, &key, &layout));
	assert_int_equal(rte_be_to_cpu_16(key.core.tp_src), 135);
	assert_int_equal(key.ipv6.nd_target[15], 0);
	assert_int_equal(key.rare.arp_sha[5], 0);
}

struct census {
	unsigned int judged[3];
	unsigned int n_vlans[3], ipv4, ipv6, arp, l4[256], nd_sll, nd_tll, first, later, routed,
		llc;
};

static void count(struct census *census, const struct ref_packet *packet)
{
	struct ref_layout layout;
	struct key key = { .words = { 0 } };

	census->judged[packet_judge(packet)]++;
	ref_parse(packet, &key, &layout);
	census->n_vlans[layout.n_vlans]++;
	census->ipv4 += layout.ipv4 != 0;
	census->ipv6 += layout.ipv6 != 0;
	census->arp += layout.arp != 0;
	census->l4[layout.l4_proto] += layout.l4 != 0;
	census->nd_sll += layout.nd_sll != 0;
	census->nd_tll += layout.nd_tll != 0;
	census->first += key.core.ip_frag == KEY_FRAG_ANY;
	census->later += key.core.ip_frag == (KEY_FRAG_ANY | KEY_FRAG_LATER);
	census->routed += layout.routed;
	census->llc += key.core.eth_type == rte_cpu_to_be_16(KEY_ETH_TYPE_NONE);
}

// Every kind comes up, and what the generator sealed the judge finds sound.
static void generated_packets_are_sound_and_varied(void **state)
{
	struct random random = { random_seed() };
	unsigned int n = random_iterations(100000);
	struct census census = { 0 };
	struct ref_packet packet = { .size = 0 };

	(void)state;
	for (unsigned int i = 0; i < n; i++) {
		packet_make(&random, &packet);
		count(&census, &packet);
		if (packet_judge(&packet) == PACKET_BAD)
			fail_msg("unsound: %s", packet_hex(&packet));
	}
	assert_true(census.judged[PACKET_GOOD] > n / 2);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(census.n_vlans[i] > n / 10);
	assert_true(census.ipv4 > n / 4 && census.ipv6 > n / 5 && census.arp > n / 20);
	assert_true(census.l4[6] > n / 20 && census.l4[17] > n / 20 && census.l4[132] > n / 100);
	assert_true(census.l4[1] > n / 100 && census.l4[58] > n / 50);
	assert_true(census.nd_sll > n / 1000 && census.nd_tll > n / 1000);
	assert_true(census.first > n / 50 && census.later > n / 50);
	assert_true(census.routed > n / 1000 && census.llc > n / 500);
	for (unsigned int i = 0; i < n; i++) {
		packet_make(&random, &packet);
		packet_damage(&random, &packet);
		count(&census, &packet);
	}
	assert_true(census.judged[PACKET_BAD] > n / 50);
}

// Change a random header field of the key.
static void scramble(struct random *random, const struct ref_layout *layout, struct key *key)
{
	switch (random_below(random, 8)) {
	case 0:
		key->core.eth_dst[random_below(random, 6)] ^= 0x40;
		break;
	case 1:
		key->core.ip_src ^= (uint32_t)random_next(random);
		break;
	case 2:
		key->core.ip_ttl = (uint8_t)random_next(random);
		break;
	case 3:
		key->core.ip_tos = (uint8_t)random_next(random);
		break;
	case 4:
		// What ICMP and ARP keep there decides which other fields there are.
		if (layout->l4_proto != 1 && layout->l4_proto != 58 && !layout->arp)
			key->core.tp_dst ^= rte_cpu_to_be_16((uint16_t)random_next(random));
		break;
	case 5:
		key->ipv6.ipv6_dst[random_below(random, 16)] ^= 0x80;
		break;
	case 6:
		key->ipv6.ipv6_label = rte_cpu_to_be_32(random_below(random, 1 << 20));
		break;
	default:
		key->ipv6.nd_target[random_below(random, 16)] ^= 0x11;
		break;
	}
}

// Whatever field is written: a sound packet stays sound, an unsound one unsound, and what was
// written is read back where the packet has the field, while nothing else changes.
static void stored_fields_keep_checksums(void **state)
{
	struct random random = { random_seed() };
	unsigned int n = random_iterations(100000), n_changed = 0;
	struct ref_packet packet, before;
	struct ref_layout layout;
	struct key key, want, again;

	(void)state;
	memset(&key, 0, sizeof(key));
	memset(&again, 0, sizeof(again));
	for (unsigned int i = 0; i < n; i++) {
		packet_random(&random, &packet);
		before = packet;
		if (!ref_parse(&packet, &key, &layout))
			continue;
		want = key;
		scramble(&random, &layout, &want);
		ref_store(&packet, &want);
		if (packet_judge(&packet) != packet_judge(&before))
			fail_msg("verdict %d to %d\n%s\n%s", packet_judge(&before),
				 packet_judge(&packet), packet_hex(&before), packet_hex(&packet));
		assert_int_equal(packet.size, before.size);
		ref_parse(&packet, &again, NULL);
		n_changed += memcmp(&again, &key, sizeof(key)) != 0;
		ref_store(&packet, &key);
		if (memcmp(packet.bytes, before.bytes, packet.size) != 0)
			fail_msg("not undone\n%s\n%s", packet_hex(&before), packet_hex(&packet));
	}
	assert_true(n_changed > n / 5);
}

static void tags_come_and_go(void **state)
{
	struct random random = { random_seed() };
	struct ref_packet packet, before;
	struct key key = { .words = { 0 } };

	(void)state;
	for (unsigned int i = 0; i < 10000; i++) {
		rte_be16_t old_outer, type;

		packet_make(&random, &packet);
		before = packet;
		ref_parse(&packet, &key, NULL);
		old_outer = key.core.vlan_tci0;
		type = key.core.eth_type;
		ref_push_vlan(&packet, 0x88a8, 0x2064);
		ref_parse(&packet, &key, NULL);
		assert_int_equal(rte_be_to_cpu_16(key.core.vlan_tci0), 0x3064);
		assert_int_equal(key.core.vlan_tci1, old_outer);
		ref_pop_vlan(&packet);
		ref_parse(&packet, &key, NULL);
		assert_int_equal(key.core.eth_type, type);
		assert_int_equal(packet.size, before.size);
		assert_memory_equal(packet.bytes, before.bytes, packet.size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_checksums_are_good),
		cmocka_unit_test(fields_of_a_tagged_tcp_frame),
		cmocka_unit_test(fields_of_a_neighbour_solicitation),
		cmocka_unit_test(generated_packets_are_sound_and_varied),
		cmocka_unit_test(stored_fields_keep_checksums),
		cmocka_unit_test(tags_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
