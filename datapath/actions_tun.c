// Tunnel options as fields: moving and deleting them. Their bytes may lie across lines of the key.
#include "datapath/actions.h"
#include "flowtable/tun_map.h"

void actions_tun_present(struct forward *forward, unsigned int packet, const struct field *field)
{
	vector_tunnel(forward->vector, packet)->tun_present |= tun_metadata_bit(field);
}

// Bits that cannot be held at once go one by one; where both sides overlap, from the end that is
// not overwritten before it is read.
static void move_bits(struct vector *vector, unsigned int packet, const struct op_move *op)
{
	const struct field *from = op->source.field, *to = op->destination.field;
	const unsigned int first = from->shift + op->source.offset;
	const unsigned int to_first = to->shift + op->destination.offset;
	const bool up = from != to || to_first <= first;

	for (unsigned int n = 0; n < op->source.n_bits; n++) {
		const unsigned int bit = up ? n : op->source.n_bits - 1 - n;

		key_bit_put(vector, packet, to, to_first + bit,
			    key_bit_get(vector, packet, from, first + bit));
	}
}

void actions_tun_move(struct forward *forward, const struct op_move *op, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		if (op->source.n_bits <= BITS_SIZE * 8) {
			struct bits bits;

			subfield_get(forward->vector, (unsigned int)i, &op->source, &bits);
			actions_write(forward, (unsigned int)i, &op->destination, &bits);
			continue;
		}
		// Only options are so wide.
		move_bits(forward->vector, (unsigned int)i, op);
		actions_tun_present(forward, (unsigned int)i, op->destination.field);
	}
}

void actions_tun_delete(struct forward *forward, const struct field *field, uint64_t packets)
{
	for_each_packet(i, packets)
	{
		for (unsigned int b = 0; b < field->size; b++)
			*key_byte(forward->vector, (unsigned int)i, field->offset + b) = 0;
		vector_tunnel(forward->vector, (unsigned int)i)->tun_present &=
			~tun_metadata_bit(field);
	}
}
