// Random frames. A frame is put together from front to back; checksums are filled in at the end of
// each header by plain full sums.
#include "tests/unit/packets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

// --- Numbers ---

uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15ULL; // splitmix64

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

unsigned int random_below(struct random *random, unsigned int n)
{
	return (unsigned int)(random_next(random) % n);
}

bool random_chance(struct random *random, unsigned int percent)
{
	return random_below(random, 100) < percent;
}

uint64_t random_seed(void)
{
	const char *text = getenv("TEST_SEED");
	uint64_t seed = 1;

	if (text)
		seed = strtoull(text, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = 1;
	printf("seed: TEST_SEED=0x%llx\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

unsigned int random_iterations(unsigned int usual)
{
	const char *text = getenv("TEST_SCALE");
	double scale = text ? strtod(text, NULL) : 1;
	double n = usual * (scale > 0 ? scale : 1);

	return n < 1 ? 1 : n > 4e9 ? 4000000000u : (unsigned int)n;
}

// --- Putting bytes together ---

static uint8_t *extend(struct ref_packet *packet, unsigned int size)
{
	uint8_t *at = packet->bytes + packet->size;

	memset(at, 0, size);
	packet->size += size;
	return at;
}

static void put16(struct ref_packet *packet, unsigned int value)
{
	ref_put16(extend(packet, 2), value);
}

static void put_random(struct random *random, struct ref_packet *packet, unsigned int size)
{
	uint8_t *at = extend(packet, size);

	for (unsigned int i = 0; i < size; i++)
		at[i] = (uint8_t)random_next(random);
}

static void fill_mac(struct random *random, uint8_t *at)
{
	static const uint8_t macs[][6] = {
		{ 0x02, 0, 0, 0, 0, 1 },       { 0x02, 0, 0, 0, 0, 2 },
		{ 0x02, 0, 0, 0, 1, 1 },       { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		{ 0x01, 0x00, 0x5e, 0, 0, 1 },
	};

	memcpy(at, macs[random_below(random, 5)], 6);
}

static void fill_ipv4(struct random *random, uint8_t *at)
{
	at[0] = 10;
	at[1] = 0;
	at[2] = (uint8_t)random_below(random, 2);
	at[3] = (uint8_t)(1 + random_below(random, 3));
}

static void fill_ipv6(struct random *random, uint8_t *at)
{
	memset(at, 0, 16);
	at[0] = random_chance(random, 20) ? 0xfe : 0x20;
	at[1] = at[0] == 0xfe ? 0x80 : 0x01;
	at[7] = (uint8_t)random_below(random, 2);
	at[15] = (uint8_t)(1 + random_below(random, 3));
}

static unsigned int small_port(struct random *random)
{
	static const uint16_t ports[] = { 1, 2, 3, 80, 443, 0x1001 };

	return random_chance(random, 3) ? 0 : ports[random_below(random, 6)];
}

static unsigned int small_tos(struct random *random)
{
	static const uint8_t values[] = { 0, 0x10, 0x28, 0xb8, 0x03 };

	return values[random_below(random, 5)];
}

static unsigned int small_ttl(struct random *random)
{
	static const uint8_t values[] = { 0, 1, 2, 3, 64, 64, 64, 255 };

	return values[random_below(random, 8)];
}

// --- Checksums, the full way ---

static unsigned int fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (unsigned int)sum;
}

static uint64_t words(const uint8_t *bytes, unsigned int size)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i + 1 < size; i += 2)
		sum += ref_get16(bytes + i);
	return size % 2 ? sum + ((uint64_t)bytes[size - 1] << 8) : sum;
}

static uint32_t castagnoli(const uint8_t *bytes, unsigned int size)
{
	static uint32_t table[256];
	uint32_t crc = ~0u;

	if (!table[1])
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t value = i;

			for (int bit = 0; bit < 8; bit++)
				value = value & 1 ? value >> 1 ^ 0x82f63b78u : value >> 1;
			table[i] = value;
		}
	for (unsigned int i = 0; i < size; i++)
		crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
	return ~crc;
}

// What a transport needs of its IP header for the checksum.
struct pseudo {
	uint64_t sum; // of the two addresses
	bool ipv6;
};

static void seal_sctp(struct ref_packet *packet, unsigned int l4)
{
	uint32_t crc;

	memset(packet->bytes + l4 + 8, 0, 4);
	crc = castagnoli(packet->bytes + l4, packet->size - l4);
	for (int i = 0; i < 4; i++)
		packet->bytes[l4 + 8 + i] = (uint8_t)(crc >> 8 * i);
}

// Fill in the checksum of the transport that begins at `l4` and ends where the packet ends.
static void seal_l4(struct random *random, struct ref_packet *packet, unsigned int l4,
		    uint8_t proto, const struct pseudo *pseudo)
{
	static const struct {
		uint8_t proto;
		uint8_t at;
		bool addresses;
	} kinds[] = { { 6, 16, true }, { 17, 6, true }, { 1, 2, false }, { 58, 2, true } };
	unsigned int size = packet->size - l4, sum;

	if (proto == 132)
		seal_sctp(packet, l4);
	for (unsigned int i = 0; i < 4; i++) {
		uint8_t *checksum = packet->bytes + l4 + kinds[i].at;

		if (kinds[i].proto != proto)
			continue;
		ref_put16(checksum, 0);
		if (proto == 17 && !pseudo->ipv6 && random_chance(random, 15))
			return; // the sender did not compute one
		sum = fold(words(packet->bytes + l4, size) +
			   (kinds[i].addresses ? pseudo->sum + proto + size : 0));
		sum = 0xffff - sum;
		ref_put16(checksum, proto == 17 && sum == 0 ? 0xffff : sum);
	}
}

// --- Transport ---

static void make_tcp(struct random *random, struct ref_packet *packet)
{
	uint8_t *tcp;

	put16(packet, small_port(random));
	put16(packet, small_port(random));
	put_random(random, packet, 8);
	tcp = extend(packet, 8);
	tcp[0] = (uint8_t)(0x50 | random_below(random, 16));
	tcp[1] = (uint8_t)(1u << random_below(random, 8) | 0x10);
	put_random(random, packet, random_below(random, 30));
}

static void make_udp(struct random *random, struct ref_packet *packet)
{
	unsigned int payload = random_below(random, 30);

	put16(packet, small_port(random));
	put16(packet, small_port(random));
	put16(packet, 8 + payload);
	put16(packet, 0);
	put_random(random, packet, payload);
}

static void make_sctp(struct random *random, struct ref_packet *packet)
{
	put16(packet, small_port(random));
	put16(packet, small_port(random));
	put_random(random, packet, 8);
	put_random(random, packet, 4 * random_below(random, 8));
}

static void make_icmp(struct random *random, struct ref_packet *packet)
{
	static const uint8_t types[] = { 8, 0, 3, 11 };
	uint8_t *icmp = extend(packet, 4);

	icmp[0] = types[random_below(random, 4)];
	icmp[1] = (uint8_t)random_below(random, 3);
	put_random(random, packet, 4 + random_below(random, 20));
}

static void make_nd_option(struct random *random, struct ref_packet *packet)
{
	static const uint8_t types[] = { 1, 2, 1, 2, 1, 2, 3, 5 };
	uint8_t *option = extend(packet, 8);

	option[0] = types[random_below(random, 8)];
	option[1] = 1;
	fill_mac(random, option + 2);
	if (random_chance(random, 10)) {
		option[1] = 2;
		put_random(random, packet, 8);
	}
}

static void make_icmp6(struct random *random, struct ref_packet *packet)
{
	static const uint8_t types[] = { 128, 129, 1, 135, 136, 135, 136, 133 };
	uint8_t *icmp = extend(packet, 8);
	unsigned int n_options = random_below(random, 8);

	icmp[0] = types[random_below(random, 8)];
	icmp[1] = (uint8_t)(random_chance(random, 15) ? 1 : 0);
	icmp[4] = (uint8_t)(random_below(random, 8) << 5);
	if (icmp[0] != 135 && icmp[0] != 136) {
		put_random(random, packet, random_below(random, 40));
		return;
	}
	fill_ipv6(random, extend(packet, 16));
	for (unsigned int i = 0; i < (n_options > 2 ? 1 : n_options); i++)
		make_nd_option(random, packet);
}

static uint8_t pick_proto(struct random *random, bool ipv6)
{
	static const uint8_t protos[] = { 6, 6, 6, 17, 17, 17, 132, 1, 1, 47 };
	uint8_t proto = protos[random_below(random, 10)];

	if (random_chance(random, 2))
		return ipv6 ? 1 : 58; // the other family's ICMP
	return ipv6 && (proto == 1 || random_chance(random, 30)) ? 58 : proto;
}

// A transport header with payload and its checksum. A fragment carries the checksum of a datagram
// that is longer than what is here; any number serves.
static void make_l4(struct random *random, struct ref_packet *packet, uint8_t proto,
		    const struct pseudo *pseudo)
{
	unsigned int l4 = packet->size;

	switch (proto) {
	case 6:
		make_tcp(random, packet);
		break;
	case 17:
		make_udp(random, packet);
		break;
	case 132:
		make_sctp(random, packet);
		break;
	case 1:
		make_icmp(random, packet);
		break;
	case 58:
		make_icmp6(random, packet);
		break;
	default:
		put_random(random, packet, random_below(random, 40));
		return;
	}
	if ((proto == 1 && pseudo->ipv6) || (proto == 58 && !pseudo->ipv6))
		return;
	seal_l4(random, packet, l4, proto, pseudo);
}

// --- Network ---

static void make_ipv4(struct random *random, struct ref_packet *packet)
{
	unsigned int at = packet->size;
	unsigned int header = random_chance(random, 20) ? 20 + 4 * random_below(random, 11) : 20;
	unsigned int offset = random_chance(random, 30) ? 0x4000 : 0;
	uint8_t proto = pick_proto(random, false);
	struct pseudo pseudo = { .ipv6 = false };
	uint8_t *ip = extend(packet, header);

	if (random_chance(random, 12))
		offset = 0x2000;
	if (random_chance(random, 12))
		offset = (random_chance(random, 50) ? 0x2000 : 0) | (1 + random_below(random, 300));
	ip[0] = (uint8_t)(0x40 | header / 4);
	ip[1] = (uint8_t)small_tos(random);
	ref_put16(ip + 4, random_below(random, 65536));
	ref_put16(ip + 6, offset);
	ip[8] = (uint8_t)small_ttl(random);
	ip[9] = proto;
	fill_ipv4(random, ip + 12);
	fill_ipv4(random, ip + 16);
	memset(ip + 20, 1, header - 20); // no-operation options
	pseudo.sum = words(ip + 12, 8);
	make_l4(random, packet, proto, &pseudo);
	ref_put16(ip + 2, packet->size - at);
	ref_put16(ip + 10, 0);
	ref_put16(ip + 10, 0xffff - fold(words(ip, header)));
}

// A routing header of type 0 with one address; while that is still to be visited, it and not the
// header's destination is in the pseudo header.
static void make_routing(struct random *random, struct ref_packet *packet, struct pseudo *pseudo,
			 const uint8_t *ip)
{
	uint8_t *header = extend(packet, 24);

	header[1] = 2;
	header[3] = (uint8_t)random_below(random, 2);
	fill_ipv6(random, header + 8);
	if (header[3])
		pseudo->sum = words(ip + 8, 16) + words(header + 8, 16);
}

static void make_extension(struct random *random, struct ref_packet *packet, uint8_t type,
			   struct pseudo *pseudo, const uint8_t *ip)
{
	unsigned int units = random_below(random, 3);
	uint8_t *header;

	if (type == 43) {
		make_routing(random, packet, pseudo, ip);
		return;
	}
	if (type == 44) {
		header = extend(packet, 8);
		if (random_chance(random, 40))
			ref_put16(header + 2, 1); // first
		else if (random_chance(random, 60))
			ref_put16(header + 2,
				  random_below(random, 100) << 3 | random_below(random, 2));
		return;
	}
	header = extend(packet, 8 + 8 * units);
	header[1] = (uint8_t)(type == 51 ? 2 * units : units);
}

static void make_ipv6(struct random *random, struct ref_packet *packet)
{
	static const uint8_t types[] = { 0, 43, 60, 51, 44, 44 };
	unsigned int at = packet->size;
	unsigned int n = random_chance(random, 40) ? 1 + random_below(random, 3) : 0;
	uint8_t proto = pick_proto(random, true);
	uint8_t *ip = extend(packet, 40), *next = ip + 6;
	struct pseudo pseudo = { .ipv6 = true };

	ip[0] = 0x60;
	ref_put16(ip, 0x6000 | small_tos(random) << 4 | random_below(random, 2));
	ref_put16(ip + 2, random_below(random, 3));
	ip[7] = (uint8_t)small_ttl(random);
	fill_ipv6(random, ip + 8);
	fill_ipv6(random, ip + 24);
	pseudo.sum = words(ip + 8, 32);
	for (unsigned int i = 0; i < n; i++) {
		uint8_t type = types[random_below(random, 6)];

		*next = type;
		next = packet->bytes + packet->size;
		make_extension(random, packet, type, &pseudo, ip);
	}
	*next = proto;
	make_l4(random, packet, proto, &pseudo);
	ref_put16(ip + 4, packet->size - at - 40);
}

static void make_arp(struct random *random, struct ref_packet *packet)
{
	static const uint8_t ethernet_ipv4[] = { 0, 1, 8, 0, 6, 4 };
	uint8_t *arp = extend(packet, 28);

	memcpy(arp, ethernet_ipv4, sizeof(ethernet_ipv4));
	if (random_chance(random, 10))
		arp[random_below(random, 6)] ^= (uint8_t)(1 + random_below(random, 4));
	ref_put16(arp + 6, random_chance(random, 5) ? 0x101 : 1 + random_below(random, 3));
	fill_mac(random, arp + 8);
	fill_ipv4(random, arp + 14);
	fill_mac(random, arp + 18);
	fill_ipv4(random, arp + 24);
}

static void make_mpls(struct random *random, struct ref_packet *packet)
{
	unsigned int n = 1 + random_below(random, 4);

	for (unsigned int i = 0; i < n; i++) {
		uint8_t *entry = extend(packet, 4);

		entry[1] = (uint8_t)random_below(random, 4);
		entry[2] = (uint8_t)(random_below(random, 8) << 1 | (i == n - 1));
		entry[3] = (uint8_t)small_ttl(random);
	}
	switch (random_below(random, 3)) {
	case 0:
		make_ipv4(random, packet);
		break;
	case 1:
		make_ipv6(random, packet);
		break;
	default:
		put_random(random, packet, random_below(random, 40));
		break;
	}
}

static void make_nsh(struct random *random, struct ref_packet *packet)
{
	static const uint8_t ttls[] = { 0, 1, 2, 63 };
	const bool fixed = random_chance(random, 60);
	const unsigned int words = fixed ? 6 : 2 + random_below(random, 6);
	uint8_t *nsh = extend(packet, 4 * words);

	ref_put16(nsh, random_below(random, 4) << 12 |
			       (unsigned int)ttls[random_below(random, 4)] << 6 | words);
	nsh[2] = fixed ? 1 : 2;
	nsh[3] = (uint8_t)(1 + random_below(random, 4));
	nsh[6] = (uint8_t)random_below(random, 3);
	nsh[7] = (uint8_t)random_below(random, 3);
	for (unsigned int i = 8; i < 4 * words; i++)
		nsh[i] = (uint8_t)random_below(random, 2);
	if (random_chance(random, 10))
		nsh[random_below(random, 3)] ^= (uint8_t)(1u << random_below(random, 8));
	if (nsh[3] == 1)
		make_ipv4(random, packet);
	else if (nsh[3] == 2)
		make_ipv6(random, packet);
	else
		put_random(random, packet, random_below(random, 40));
}

// An 802.3 frame: a length where the type would be, then LLC, perhaps with SNAP.
static void make_llc(struct random *random, struct ref_packet *packet)
{
	static const uint8_t snap[] = { 0xaa, 0xaa, 0x03, 0, 0, 0 };
	unsigned int at = packet->size;

	put16(packet, 0);
	memcpy(extend(packet, 6), snap, 6);
	if (random_chance(random, 30))
		packet->bytes[at + 2 + random_below(random, 6)] ^= 0x11;
	if (random_chance(random, 60)) {
		put16(packet, 0x0800);
		make_ipv4(random, packet);
	} else {
		put16(packet, random_chance(random, 50) ? 0x88cc : 0x0100);
		put_random(random, packet, random_below(random, 20));
	}
	ref_put16(packet->bytes + at, packet->size - at - 2);
}

static void make_tags(struct random *random, struct ref_packet *packet)
{
	static const uint16_t vids[] = { 0, 1, 10, 100, 4095 };
	unsigned int kind = random_below(random, 20);
	unsigned int n = kind < 9 ? 0 : kind < 14 ? 1 : kind < 18 ? 2 : 3;

	for (unsigned int i = 0; i < n; i++) {
		put16(packet, random_chance(random, 70) ? 0x8100 : 0x88a8);
		put16(packet, random_below(random, 4) << 13 | random_below(random, 2) << 12 |
				      vids[random_below(random, 5)]);
	}
}

void packet_make(struct random *random, struct ref_packet *packet)
{
	unsigned int kind = random_below(random, 101);

	packet->size = 0;
	packet->packet_type = packet->n_encap_bytes = 0;
	fill_mac(random, extend(packet, 6));
	fill_mac(random, extend(packet, 6));
	make_tags(random, packet);
	if (kind < 42) {
		put16(packet, 0x0800);
		make_ipv4(random, packet);
	} else if (kind < 77) {
		put16(packet, 0x86dd);
		make_ipv6(random, packet);
	} else if (kind < 87) {
		put16(packet, random_chance(random, 80) ? 0x0806 : 0x8035);
		make_arp(random, packet);
	} else if (kind < 93) {
		make_llc(random, packet);
	} else if (kind < 97) {
		put16(packet, random_chance(random, 70) ? 0x8847 : 0x8848);
		make_mpls(random, packet);
	} else if (kind < 99) {
		put16(packet, 0x894f);
		make_nsh(random, packet);
	} else {
		put16(packet, random_chance(random, 50) ? 0x88cc : 0x0600);
		put_random(random, packet, random_below(random, 60));
	}
	if (packet->size < 60 && random_chance(random, 70))
		extend(packet, 60 - packet->size);
	if (random_chance(random, 10))
		put_random(random, packet, random_below(random, 9));
}

// --- Damage ---

// A checksum of all ones is the one value that has two right answers when the data changes
// (RFC 1624 section 3); keep tests decidable.
static void avoid_all_ones(struct ref_packet *packet)
{
	struct ref_layout layout;
	struct key key;
	uint8_t *at = NULL;

	ref_parse(packet, &key, &layout);
	if (layout.ipv4 && ref_get16(packet->bytes + layout.ipv4 + 10) == 0xffff)
		ref_put16(packet->bytes + layout.ipv4 + 10, 0x1234);
	if (!layout.l4 || layout.l4_proto == 17 || layout.l4_proto == 132)
		return;
	at = packet->bytes + layout.l4 + (layout.l4_proto == 6 ? 16 : 2);
	if (ref_get16(at) == 0xffff)
		ref_put16(at, 0x1234);
}

// Lies are told where lengths are: in the first bytes of the network header.
static void damage_length(struct random *random, struct ref_packet *packet)
{
	struct ref_layout layout;
	struct key key;
	unsigned int at;

	ref_parse(packet, &key, &layout);
	at = layout.ipv4 ? layout.ipv4 : layout.ipv6;
	if (!at)
		return;
	if (layout.ipv4 && random_chance(random, 50))
		packet->bytes[at] = (uint8_t)(0x40 | random_below(random, 16));
	else if (layout.ipv4)
		ref_put16(packet->bytes + at + 2, random_below(random, packet->size + 8));
	else if (random_chance(random, 60))
		ref_put16(packet->bytes + at + 4, random_below(random, packet->size));
	else if (at + 41 < packet->size)
		packet->bytes[at + 41] = (uint8_t)random_below(random, 12);
}

void packet_damage(struct random *random, struct ref_packet *packet)
{
	switch (random_below(random, 4)) {
	case 0:
		packet->size = random_below(random, packet->size + 1);
		break;
	case 1:
		damage_length(random, packet);
		break;
	case 2:
		for (unsigned int n = 1 + random_below(random, 3); n; n--)
			packet->bytes[random_below(random, packet->size)] ^=
				(uint8_t)(1u << random_below(random, 8));
		break;
	default:
		packet->bytes[packet->size - 1 - random_below(random, packet->size / 2)] ^= 0x5a;
		break;
	}
	avoid_all_ones(packet);
}

void packet_random(struct random *random, struct ref_packet *packet)
{
	packet_make(random, packet);
	if (random_chance(random, 25))
		packet_damage(random, packet);
}

const char *packet_hex(const struct ref_packet *packet)
{
	static char buffers[4][2 * REF_PACKET_MAX + 1];
	static unsigned int turn;
	char *out = buffers[turn++ % 4];

	out[0] = '\0';
	for (unsigned int i = 0; i < packet->size; i++)
		snprintf(out + 2 * i, 3, "%02x", packet->bytes[i]);
	return out;
}
