// What the fields tun_metadata0 to tun_metadata63 stand for: options of tunnels, by class and type.
//
// A bridge has a map (add-tlv-map of ovs-ofctl(8)). Each option in it has its bytes at a place of
// its own among the key's tun_metadata bytes, and the map has a row like those of field.def that
// tells the place. Programs point to these rows, so a row changes only while nothing uses it. The
// rows of field.def are what the fields are where there is no map, as for parse-flow: 4 bytes each.
// Control thread; workers read rows of mapped fields.
#ifndef FLOWTABLE_TUN_MAP_H
#define FLOWTABLE_TUN_MAP_H

#include "flowtable/program.h"

struct error;
struct text;

#define TUN_MAP_FIELDS 64
#define TUN_MAP_SPACE 256 // bytes of the key
#define TUN_MAP_MAX_BYTES 252 // of all mapped options together (ovs-fields(7), tun_metadata0)
#define TUN_MAP_MAX_LENGTH 124 // of one option
#define TUN_MAP_TEXT_SIZE 80

struct tun_option {
	uint16_t class;
	uint8_t type;
	uint8_t length; // bytes of the body; 0: not mapped
};

struct tun_map {
	struct field fields[TUN_MAP_FIELDS];
	struct tun_option options[TUN_MAP_FIELDS];
};

static inline bool field_is_tun_metadata(const struct field *field)
{
	return field->id >= FIELD_TUN_METADATA0 && field->id <= FIELD_TUN_METADATA63;
}

static inline unsigned int tun_metadata_number(const struct field *field)
{
	return (unsigned int)field->id - FIELD_TUN_METADATA0;
}

// The bit of tun_present that says that the option is there.
static inline rte_be64_t tun_metadata_bit(const struct field *field)
{
	return rte_cpu_to_be_64(UINT64_C(1) << tun_metadata_number(field));
}

void tun_map_init(struct tun_map *map);

// "{class=0xffff,type=0,len=4}->tun_metadata0", and back. What follows the mapping (a comma and
// another one) is in *rest, if that is not NULL; else nothing may follow.
int tun_option_parse(const char *text, struct tun_option *option, unsigned int *number,
		     const char **rest, struct error *error);
void tun_option_format(const struct tun_option *option, unsigned int number,
		       char text[TUN_MAP_TEXT_SIZE]);

// Find room for the option and write its row. The caller has seen to it that no worker can use the
// row's former self.
int tun_map_add(struct tun_map *map, const struct tun_option *option, unsigned int number,
		struct error *error);
// The row stays as it was, for who may still use it.
void tun_map_remove(struct tun_map *map, unsigned int number);

// The field as the bridge has it, or NULL if the bridge does not map it.
const struct field *tun_map_field(const struct port_names *names, const struct field *field);

#endif
