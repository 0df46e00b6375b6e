// Fields: named bit ranges of the flow key. field.def has one row for each.
//
// All of a field's knowledge is in its row: place, width, how it is written as text, whether it
// may be masked or written, what must be matched before it makes sense. A value or mask of a
// field is a `struct field_value`: the field's bits, right-aligned, most significant byte first.
// Any thread: rows are constant.
#ifndef FLOWTABLE_FIELD_H
#define FLOWTABLE_FIELD_H

#include "flowtable/key.h"

#include <stdbool.h>
#include <stddef.h>

enum field_id {
#define FIELD(id, ...) FIELD_##id,
#include "flowtable/field.def"
#undef FIELD
	N_FIELDS
};

// How values look as text.
enum field_format {
	FORMAT_DECIMAL, // 80
	FORMAT_HEXADECIMAL, // 0x50
	FORMAT_ETHERNET, // 00:11:22:33:44:55
	FORMAT_IPV4, // 10.0.0.1, 10.0.0.0/8
	FORMAT_IPV6, // fe80::1, fe80::/64
	FORMAT_PORT, // 1, vm1, LOCAL
	FORMAT_PORT16, // the same; actions see the low 16 bits
	FORMAT_ETH_TYPE, // 0x0800
	FORMAT_IPV6_LABEL, // 0x00005
	FORMAT_TOS, // 184: the DSCP in place, ECN bits zero
	FORMAT_VLAN_TCI, // 0x1005/0x1fff
	FORMAT_VLAN_VID, // 4101: the present bit counts
	FORMAT_DL_VLAN, // 5, or 0xffff without a tag
	FORMAT_DL_VLAN_PCP, // 3, of a tag that is there
	FORMAT_FRAG, // no, yes, first, later, not_later
	FORMAT_TCP_FLAGS, // +syn-ack, 0x002/0x012
	FORMAT_CT_STATE, // +trk-new
	FORMAT_TUN_FLAGS, // +oam
	FORMAT_PACKET_TYPE, // (1,0x800)
};

enum field_maskable { FIELD_MASK_NONE, FIELD_MASK_ANY };

// What a match must say before it may name the field.
enum field_prerequisite {
	PREREQ_NONE,
	PREREQ_ETHERNET,
	PREREQ_VLAN, // vlan_tci with the present bit
	PREREQ_VLAN1, // the same of the second tag
	PREREQ_ARP, // ARP or RARP
	PREREQ_IPV4,
	PREREQ_IPV6,
	PREREQ_IP, // IPv4 or IPv6
	PREREQ_MPLS,
	PREREQ_TCP,
	PREREQ_UDP,
	PREREQ_SCTP,
	PREREQ_ICMPV4,
	PREREQ_ICMPV6,
	PREREQ_ND, // neighbour solicitation or advertisement
	PREREQ_ND_SOLICIT,
	PREREQ_ND_ADVERT,
	PREREQ_NSH,
	PREREQ_CT,
};

// Which header a change of the field must be written back to; one bit each in a packet's dirty
// mask. Metadata fields have none.
enum dirty_header {
	DIRTY_NONE = 0,
	DIRTY_ETHERNET = 1 << 0,
	DIRTY_VLAN = 1 << 1, // outer tag; inner tag
	DIRTY_MPLS = 1 << 2,
	DIRTY_IPV4 = 1 << 3,
	DIRTY_IPV6 = 1 << 4,
	DIRTY_IP = 1 << 5, // tos, ttl: IPv4 or IPv6, whichever the packet has
	DIRTY_TRANSPORT = 1 << 6, // TCP, UDP, SCTP ports
	DIRTY_ICMP = 1 << 7, // ICMP and ICMPv6 type and code
	DIRTY_ARP = 1 << 8,
	DIRTY_ND = 1 << 9,
	DIRTY_NSH = 1 << 10,
};

struct field {
	enum field_id id;
	const char *name; // as set_field prints it
	const char *alias; // other spellings on input, separated by '|', or NULL
	const char *shown; // as a match prints it: name or one of alias
	const char *nxm; // NXM or OXM name, as in "load:1->NXM_NX_REG0[]", or NULL
	const char *oxm; // the other of the two, or several separated by '|', or NULL
	uint16_t offset; // in bytes, into struct key, of the container's first byte
	uint8_t size; // bytes of the container: 1, 2, 4, 6, 8, 16; up to 124: tun_metadata
	uint8_t shift; // how many low bits of the container lie below the field
	uint16_t n_bits;
	enum field_maskable maskable;
	enum field_format format;
	enum field_prerequisite prerequisite;
	bool writable;
	uint16_t dirty; // enum dirty_header
};

extern const struct field fields[N_FIELDS];

#define FIELD_VALUE_SIZE 128
struct field_value {
	uint8_t bytes[FIELD_VALUE_SIZE]; // right-aligned, big-endian
};

// By name, alias, NXM or OXM name (`length` bytes); NULL if there is none. Of several fields with
// one spelling it is the one that prints so: nw_src is ip_src.
const struct field *field_find(const char *name, size_t length);

// All fields with that name: tp_src is a field of TCP, UDP and more, and the match tells which.
// Returns how many there are; at most `max` are stored.
unsigned int field_find_all(const char *name, size_t length, const struct field *found[],
			    unsigned int max);

// The field whose name is most like `name`, for "did you mean"; NULL if none is.
const char *field_nearest(const char *name);

// How many of the field's bits load, move and output can name: fewer than n_bits where the rest
// of the field is not the packet's (the present bit of vlan_vid, the high half of in_port).
unsigned int field_subfield_bits(const struct field *field);

// The field's bits in one key, right-aligned; and the other way round (other bits are kept).
void field_get(const struct field *field, const struct key *key, struct field_value *value);
void field_set(const struct field *field, const struct field_value *value, struct key *key);

// All bits of the field set.
struct field_value field_all_ones(const struct field *field);
struct field_value field_value_from_u64(uint64_t value);
uint64_t field_value_to_u64(const struct field_value *value);
bool field_value_is_u64(const struct field_value *value); // the upper bits are 0
bool field_value_is_zero(const struct field_value *value);

// The lowest `n_bits` bits set; and shifts over all bits of a value, by fewer than it has.
struct field_value field_value_ones(unsigned int n_bits);
void field_value_shift_left(struct field_value *value, unsigned int n);
void field_value_shift_right(struct field_value *value, unsigned int n);

// A part of a field, as in "NXM_NX_REG0[0..15]".
struct subfield {
	const struct field *field;
	uint16_t offset; // lowest bit
	uint16_t n_bits;
	uint32_t reserved; // 0: ops are compared byte by byte
};

#endif
