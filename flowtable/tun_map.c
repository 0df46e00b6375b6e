#include "flowtable/tun_map.h"

#include "common/error.h"
#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tun_map_init(struct tun_map *map)
{
	memset(map, 0, sizeof(*map));
	memcpy(map->fields, &fields[FIELD_TUN_METADATA0], sizeof(map->fields));
}

// "class=0xffff", up to one of `ends`. Returns what follows, or NULL.
static const char *parse_part(const char *at, const char *name, char end, uint64_t *number)
{
	const size_t length = strlen(name);
	const char *stop;

	if (strncmp(at, name, length) != 0)
		return NULL;
	at += length;
	stop = strchr(at, end);
	if (!stop || parse_u64_n(at, (size_t)(stop - at), number))
		return NULL;
	return stop + 1;
}

static int parse_parts(const char *text, uint64_t parts[4], const char **rest)
{
	const char *at = parse_part(text, "{class=", ',', &parts[0]);
	size_t length;

	if (at)
		at = parse_part(at, "type=", ',', &parts[1]);
	if (at)
		at = parse_part(at, "len=", '}', &parts[2]);
	if (!at || strncmp(at, "->tun_metadata", 14) != 0)
		return -EINVAL;
	at += 14;
	length = strspn(at, "0123456789");
	*rest = at + length;
	return parse_u64_n(at, length, &parts[3]) ? -EINVAL : 0;
}

int tun_option_parse(const char *text, struct tun_option *option, unsigned int *number,
		     const char **rest, struct error *error)
{
	uint64_t parts[4];
	const char *end;

	if (parse_parts(text, parts, &end) || (!rest && *end) || (rest && *end && *end != ','))
		return error_set(error, EINVAL,
				 "a mapping looks like {class=0xffff,type=0,len=4}->tun_metadata0, "
				 "not '%.80s'",
				 text);
	if (parts[0] > UINT16_MAX)
		return error_set(error, EINVAL, "an option's class is at most 0xffff");
	if (parts[1] > UINT8_MAX)
		return error_set(error, EINVAL, "an option's type is at most 0xff");
	if (!parts[2] || parts[2] % 4 || parts[2] > TUN_MAP_MAX_LENGTH)
		return error_set(
			error, EINVAL,
			"an option's length is 4, 8 or another multiple of 4 up to %d, not "
			"%llu",
			TUN_MAP_MAX_LENGTH, (unsigned long long)parts[2]);
	if (parts[3] >= TUN_MAP_FIELDS)
		return error_set(error, EINVAL,
				 "there are the fields tun_metadata0 to tun_metadata%d",
				 TUN_MAP_FIELDS - 1);
	*option = (struct tun_option){ (uint16_t)parts[0], (uint8_t)parts[1], (uint8_t)parts[2] };
	*number = (unsigned int)parts[3];
	if (rest)
		*rest = *end ? end + 1 : end;
	return 0;
}

void tun_option_format(const struct tun_option *option, unsigned int number,
		       char text[TUN_MAP_TEXT_SIZE])
{
	snprintf(text, TUN_MAP_TEXT_SIZE, "{class=0x%x,type=0x%x,len=%u}->tun_metadata%u",
		 option->class, option->type, option->length, number);
}

// The first place with room, in bytes from the start of the tun_metadata bytes; TUN_MAP_SPACE: none.
static unsigned int find_room(const struct tun_map *map, unsigned int length)
{
	bool used[TUN_MAP_SPACE / 4] = { false };
	unsigned int run = 0;

	for (unsigned int i = 0; i < TUN_MAP_FIELDS; i++) {
		const unsigned int start =
			map->fields[i].offset - (unsigned int)offsetof(struct key, tun_metadata);

		for (unsigned int b = 0; b < map->options[i].length; b += 4)
			used[(start + b) / 4] = true;
	}
	for (unsigned int at = 0; at < TUN_MAP_SPACE; at += 4) {
		run = used[at / 4] ? 0 : run + 4;
		if (run == length)
			return at + 4 - length;
	}
	return TUN_MAP_SPACE;
}

int tun_map_add(struct tun_map *map, const struct tun_option *option, unsigned int number,
		struct error *error)
{
	struct field *field = &map->fields[number];
	unsigned int total = option->length;
	unsigned int at;

	if (map->options[number].length)
		return error_set(error, EEXIST,
				 "tun_metadata%u is mapped already: del-tlv-map it first", number);
	for (unsigned int i = 0; i < TUN_MAP_FIELDS; i++) {
		const struct tun_option *other = &map->options[i];

		total += other->length;
		if (other->length && other->class == option->class && other->type == option->type)
			return error_set(error, EEXIST,
					 "the option of class 0x%x and type 0x%x is mapped to "
					 "tun_metadata%u already",
					 option->class, option->type, i);
	}
	if (total > TUN_MAP_MAX_BYTES)
		return error_set(
			error, ENOSPC,
			"with tun_metadata%u, mapped options would have %u bytes together: "
			"there are %d",
			number, total, TUN_MAP_MAX_BYTES);
	at = find_room(map, option->length);
	if (at == TUN_MAP_SPACE)
		return error_set(error, ENOSPC,
				 "there are not %u bytes in one piece for tun_metadata%u: delete "
				 "mappings and add the longest ones first",
				 option->length, number);
	field->offset = (uint16_t)(offsetof(struct key, tun_metadata) + at);
	field->size = option->length;
	field->n_bits = (uint16_t)(option->length * 8u);
	map->options[number] = *option;
	return 0;
}

void tun_map_remove(struct tun_map *map, unsigned int number)
{
	map->options[number].length = 0;
}

const struct field *tun_map_field(const struct port_names *names, const struct field *field)
{
	unsigned int number;

	if (!field_is_tun_metadata(field) || !names || !names->tun_map)
		return field;
	number = tun_metadata_number(field);
	return names->tun_map->options[number].length ? &names->tun_map->fields[number] : NULL;
}
