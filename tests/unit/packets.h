// Random packets for tests, and a judge of finished ones.
//
// Every kind of frame that the parser knows comes up, from small ranges of values so that random
// rules hit; checksums and lengths are right until packet_damage() spoils something. The judge
// knows nothing of the generator, the reference or the switch: it reads a frame from front to back
// and adds up. All is decided by the seed.
#ifndef TESTS_UNIT_PACKETS_H
#define TESTS_UNIT_PACKETS_H

#include "tests/unit/reference.h"

struct random {
	uint64_t state;
};

uint64_t random_next(struct random *random);
unsigned int random_below(struct random *random, unsigned int n); // 0 to n - 1
bool random_chance(struct random *random, unsigned int percent);

// The seed of this run: TEST_SEED, or drawn and different each time. The number is printed so that
// a failure can be repeated.
uint64_t random_seed(void);

// A count of iterations: `usual`, times TEST_SCALE (a number such as 0.1 or 50) if that is set.
unsigned int random_iterations(unsigned int usual);

// A well-formed frame of any kind.
void packet_make(struct random *random, struct ref_packet *packet);

// Spoil a frame: cut it, lie about a length, turn bytes over, break a checksum.
void packet_damage(struct random *random, struct ref_packet *packet);

// packet_make(), and in one of four cases packet_damage().
void packet_random(struct random *random, struct ref_packet *packet);

enum packet_verdict {
	PACKET_UNJUDGED, // carries no checksum, or its lengths are wrong
	PACKET_GOOD, // every checksum that can be judged is right
	PACKET_BAD, // one is wrong
};
enum packet_verdict packet_judge(const struct ref_packet *packet);

// The frame in hexadecimal, for messages; a static buffer of a few turns.
const char *packet_hex(const struct ref_packet *packet);

#endif
