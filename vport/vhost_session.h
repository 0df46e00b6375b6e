// What a guest's side may say on a vhost-user connection, and in which order.
//
// Everything here came from another process, which may be hostile: the front door (vhost_door.h)
// shows each message to the session before the vhost library sees it. The session remembers what
// was said so far (memory, sizes and addresses of the rings) and refuses, in a sentence, what the
// protocol does not allow or what the library is known not to survive. Nothing here reads the
// guest's memory. Pure but for fstat() and fcntl() on the descriptors that came with the message.
//
// Where the library trusts what it is told. With the first two a guest ended the whole daemon when
// they were tried without this check (22.11.11):
//   - a packed ring's base beyond its size is used as an index;
//   - a ring that is started again without SET_VRING_NUM has no shadow ring;
//   - and one that is made smaller, without a base, goes on where the larger one stopped;
//   - a dirty log at an offset is written behind its mapping;
//   - the "call" descriptor is written to by workers, whatever kind of file it is;
//   - memory may be in a file whose pages come from another process (FUSE).
//
// The front door's thread, and tests.
#ifndef VPORT_VHOST_SESSION_H
#define VPORT_VHOST_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHOST_MAX_REGIONS 8
#define VHOST_MAX_RINGS 32 // 2 * VPORT_MAX_QUEUES
#define VHOST_MAX_RING_SIZE 32768
#define VHOST_MAX_FDS VHOST_MAX_REGIONS

// The protocol features that we offer: queues, the dirty log, RARP, acknowledgements, MTU, status.
#define VHOST_PROTOCOL_FEATURES (1u << 0 | 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 16)

enum {
#define VHOST_MESSAGE(id, name, size, fds, replied) REQUEST_##name = id,
#include "vport/vhost_message.def"
#undef VHOST_MESSAGE
};

#define VHOST_VERSION 1u
#define VHOST_VERSION_MASK 3u
#define VHOST_FLAG_REPLY 4u
#define VHOST_FLAG_NEED_REPLY 8u

struct vhost_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; // of the payload
} __attribute__((packed));

struct vhost_region {
	uint64_t guest; // physical address in the guest
	uint64_t size;
	uint64_t user; // address in the peer's process; ring addresses are of this kind
	uint64_t offset; // in its file
};

struct vhost_message {
	struct vhost_header header;
	union {
		uint64_t u64;
		struct {
			uint32_t ring;
			uint32_t value;
		} state;
		struct {
			uint32_t ring;
			uint32_t flags;
			uint64_t descriptors, used, available, log;
		} addresses;
		struct {
			uint32_t n;
			uint32_t padding;
			struct vhost_region regions[VHOST_MAX_REGIONS];
		} table;
		struct {
			uint64_t size, offset;
		} log;
		uint8_t bytes[8 + VHOST_MAX_REGIONS * sizeof(struct vhost_region)];
	} payload;
} __attribute__((packed));

// The file behind a part of the guest's memory, as fstat() knows it.
struct vhost_file {
	uint64_t device;
	uint64_t inode;
};

struct vhost_ring {
	uint32_t size; // 0: not told since it was stopped
	uint32_t base;
	bool has_base, has_addresses, running;
	uint64_t descriptors, used, available;
};

struct vhost_session {
	uint64_t features;
	uint32_t n_regions;
	struct vhost_region regions[VHOST_MAX_REGIONS];
	struct vhost_file files[VHOST_MAX_REGIONS];
	struct vhost_file log;
	bool has_log;
	struct vhost_ring rings[VHOST_MAX_RINGS];
};

struct error;

// Is this the header of a message that may follow? Before its payload is read.
int vhost_header_check(const struct vhost_header *header, struct error *error);

// Is the whole message, with the descriptors that came along, allowed now? If so the session
// remembers it. Sealable memory is sealed against being cut shorter.
int vhost_session_check(struct vhost_session *session, const struct vhost_message *message,
			const int *fds, unsigned int n_fds, struct error *error);

// Has this request an answer of its own, besides an acknowledgement?
bool vhost_message_replied(uint32_t request);

// "SET_FEATURES"; "request 99" for those we do not know, in `buffer`.
const char *vhost_message_name(uint32_t request, char buffer[24]);

// May the file `fd` be memory that is shared with a guest, `size` bytes of it from `offset`?
// `what` begins the sentence ("memory region 2"). Fills `file`.
int vhost_memory_check(int fd, uint64_t offset, uint64_t size, const char *what,
		       struct vhost_file *file, struct error *error);

#endif
