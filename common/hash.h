// Keyed, non-linear hash for every table whose keys a peer can choose.
//
// A multiply-and-fold of 64x64 to 128 bits per word, keyed with 128 random bits drawn at start.
// CRC-like hashes are linear, so a set of colliding keys collides under every seed; this one has
// no such structure. Any thread after hash_init().
#ifndef COMMON_HASH_H
#define COMMON_HASH_H

#include <stddef.h>
#include <stdint.h>

extern uint64_t hash_key[2];

// Draw the process key from the kernel. Returns 0 or -errno. Until then a fixed key serves.
int hash_init(void);

// Tests: set the key, so that a failure can be repeated.
void hash_set_key(uint64_t k0, uint64_t k1);

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// One more word into a running hash. The second factor depends on the key and on earlier words and
// is odd, so that it is never zero and no running hash makes the word be ignored.
static inline uint64_t hash_word(uint64_t hash, uint64_t word)
{
	return hash_fold(word ^ hash_key[0], (hash ^ hash_key[1]) | 1) + (hash << 1 | hash >> 63);
}

static inline uint64_t hash_finish(uint64_t hash)
{
	return hash_fold(hash ^ hash_key[1], 0x9e3779b97f4a7c15ULL);
}

static inline uint64_t hash_words(const uint64_t *words, size_t n)
{
	uint64_t hash = hash_key[0] ^ n;

	for (size_t i = 0; i < n; i++)
		hash = hash_word(hash, words[i]);
	return hash_finish(hash);
}

// Any bytes; for names and texts, not for the fast path.
uint64_t hash_bytes(const void *data, size_t size);

#endif
