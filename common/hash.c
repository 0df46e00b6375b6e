#include "common/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

uint64_t hash_key[2] = { 0x243f6a8885a308d3ULL, 0x13198a2e03707344ULL };

int hash_init(void)
{
	uint64_t key[2];

	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return -errno;
	hash_set_key(key[0], key[1]);
	return 0;
}

void hash_set_key(uint64_t k0, uint64_t k1)
{
	hash_key[0] = k0;
	hash_key[1] = k1 | 1; // a zero factor would fold every word to nothing
}

uint64_t hash_bytes(const void *data, size_t size)
{
	const unsigned char *bytes = data;
	uint64_t hash = hash_key[0] ^ size;
	uint64_t word;

	for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = hash_word(hash, word);
	}
	word = 0;
	memcpy(&word, bytes, size);
	return hash_finish(hash_word(hash, word));
}
