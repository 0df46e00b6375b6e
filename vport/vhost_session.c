#include "vport/vhost_session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"

#define VHOST_SIZE_TABLE (-1)
#define VHOST_FDS_TABLE (-1)
#define VHOST_FDS_RING (-2)

#define PAGE 4096u
#define RING_INDEX_MASK 0xffu
#define RING_NO_FD 0x100u
#define F_LOG_ALL (1ULL << 26)
#define F_IOMMU_PLATFORM (1ULL << 33)
#define F_RING_PACKED (1ULL << 34)
#define MAX_STATUS 0xffu
#define MIN_MTU 68u
#define MAX_MTU 65535u

static const struct request {
	const char *name;
	int size;
	int fds;
	bool replied;
} requests[] = {
#define VHOST_MESSAGE(id, name, size, fds, replied) [id] = { #name, size, fds, replied },
#include "vport/vhost_message.def"
#undef VHOST_MESSAGE
};

static const struct request *request_find(uint32_t id)
{
	if (id >= sizeof(requests) / sizeof(requests[0]) || !requests[id].name)
		return NULL;
	return &requests[id];
}

const char *vhost_message_name(uint32_t request, char buffer[24])
{
	const struct request *known = request_find(request);

	if (known)
		return known->name;
	snprintf(buffer, 24, "request %" PRIu32, request);
	return buffer;
}

bool vhost_message_replied(uint32_t request)
{
	const struct request *known = request_find(request);

	return known && known->replied;
}

int vhost_header_check(const struct vhost_header *header, struct error *error)
{
	const struct request *request = request_find(header->request);
	uint32_t table = sizeof(((struct vhost_message *)NULL)->payload.table);

	if ((header->flags & VHOST_VERSION_MASK) != VHOST_VERSION)
		return error_set(error, EPROTO, "protocol version %u instead of %u",
				 header->flags & VHOST_VERSION_MASK, VHOST_VERSION);
	if (header->flags & ~(VHOST_VERSION_MASK | VHOST_FLAG_NEED_REPLY))
		return error_set(error, EPROTO, "message with flags 0x%" PRIx32 ", unknown here",
				 header->flags);
	if (!request)
		return error_set(error, EPROTO,
				 "request %" PRIu32 ", which is unknown or needs a feature that "
				 "was not offered",
				 header->request);
	if (request->size == VHOST_SIZE_TABLE ? header->size < 8 || header->size > table
					      : header->size != (uint32_t)request->size)
		return error_set(error, EPROTO, "%s with a payload of %" PRIu32 " bytes",
				 request->name, header->size);
	return 0;
}

// --- memory ---

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static int region_check(const struct vhost_region *regions, uint32_t i, struct error *error)
{
	const struct vhost_region *region = &regions[i];

	if (!region->size)
		return error_set(error, EINVAL, "memory region %" PRIu32 " is empty", i);
	if ((region->guest | region->user | region->size | region->offset) % PAGE)
		return error_set(error, EINVAL,
				 "memory region %" PRIu32 " is not made of whole pages", i);
	if (region->guest + region->size < region->guest ||
	    region->user + region->size < region->user ||
	    region->offset + region->size < region->offset ||
	    region->offset + region->size > INT64_MAX)
		return error_set(error, EINVAL,
				 "memory region %" PRIu32 " reaches over the end of all addresses",
				 i);
	for (uint32_t j = 0; j < i; j++)
		if (overlap(regions[j].guest, regions[j].size, region->guest, region->size) ||
		    overlap(regions[j].user, regions[j].size, region->user, region->size))
			return error_set(error, EINVAL,
					 "memory regions %" PRIu32 " and %" PRIu32 " overlap", j,
					 i);
	return 0;
}

static const char *ring_problem(const struct vhost_session *session,
				const struct vhost_region *regions, uint32_t n_regions,
				const struct vhost_ring *ring);

static int table_check(struct vhost_session *session, const struct vhost_message *message,
		       const int *fds, struct error *error)
{
	struct vhost_region regions[VHOST_MAX_REGIONS];
	struct vhost_file files[VHOST_MAX_REGIONS];
	uint32_t n = message->payload.table.n;

	memcpy(regions, message->payload.table.regions, n * sizeof(regions[0]));
	for (uint32_t i = 0; i < n; i++) {
		char what[32];

		snprintf(what, sizeof(what), "memory region %" PRIu32, i);
		if (region_check(regions, i, error) ||
		    vhost_memory_check(fds[i], regions[i].offset, regions[i].size, what, &files[i],
				       error))
			return -EINVAL;
	}
	for (uint32_t i = 0; i < VHOST_MAX_RINGS; i++) {
		const struct vhost_ring *ring = &session->rings[i];
		const char *problem =
			ring->running ? ring_problem(session, regions, n, ring) : NULL;

		if (problem)
			return error_set(error, EINVAL,
					 "new memory table, with which running ring %" PRIu32
					 " has %s",
					 i, problem);
	}
	memcpy(session->regions, regions, sizeof(regions));
	memcpy(session->files, files, sizeof(files));
	session->n_regions = n;
	return 0;
}

static int table_size_check(const struct vhost_message *message, struct error *error)
{
	uint32_t n = message->payload.table.n;

	if (!n)
		return error_set(error, EINVAL,
				 "no memory regions: the guest's memory is not shared; give it "
				 "memory-backend-memfd with share=on");
	if (n > VHOST_MAX_REGIONS)
		return error_set(error, EINVAL, "%" PRIu32 " memory regions: at most %u are served",
				 n, VHOST_MAX_REGIONS);
	if (message->header.size != 8 + n * sizeof(struct vhost_region))
		return error_set(error, EPROTO,
				 "SET_MEM_TABLE of %" PRIu32 " bytes for %" PRIu32 " regions",
				 message->header.size, n);
	return 0;
}

// The log is mapped from its beginning: a bit per page, in bytes.
static int log_check(struct vhost_session *session, const struct vhost_message *message,
		     const int *fds, struct error *error)
{
	uint64_t size = message->payload.log.size;

	if (message->payload.log.offset)
		return error_set(error, EINVAL, "dirty log at offset %" PRIu64 " instead of 0",
				 message->payload.log.offset);
	if (!size || size > INT64_MAX)
		return error_set(error, EINVAL, "dirty log of %" PRIu64 " bytes", size);
	if (vhost_memory_check(fds[0], 0, size, "the dirty log", &session->log, error))
		return -EINVAL;
	session->has_log = true;
	return 0;
}

// --- rings ---

static bool inside(const struct vhost_region *regions, uint32_t n, uint64_t address, uint64_t size)
{
	for (uint32_t i = 0; i < n; i++)
		if (address >= regions[i].user && size <= regions[i].size &&
		    address - regions[i].user <= regions[i].size - size)
			return true;
	return false;
}

// What is wrong with a ring's place in this memory, in a few words, or NULL.
static const char *ring_problem(const struct vhost_session *session,
				const struct vhost_region *regions, uint32_t n_regions,
				const struct vhost_ring *ring)
{
	bool packed = session->features & F_RING_PACKED;
	uint64_t descriptors = 16ULL * ring->size;
	uint64_t available = packed ? 4 : 6 + 2ULL * ring->size;
	uint64_t used = packed ? 4 : 6 + 8ULL * ring->size;

	if (ring->descriptors % 16 || ring->available % (packed ? 4 : 2) || ring->used % 4)
		return "addresses that are not aligned";
	if (!inside(regions, n_regions, ring->descriptors, descriptors))
		return "descriptors outside the guest's memory";
	if (!inside(regions, n_regions, ring->available, available))
		return packed ? "a driver area outside the guest's memory"
			      : "an available ring outside the guest's memory";
	if (!inside(regions, n_regions, ring->used, used))
		return packed ? "a device area outside the guest's memory"
			      : "a used ring outside the guest's memory";
	return NULL;
}

// A packed ring's base is two indices, each with a wrap counter above it.
static int base_check(const struct vhost_session *session, uint32_t index, struct error *error)
{
	const struct vhost_ring *ring = &session->rings[index];
	bool packed = session->features & F_RING_PACKED;

	if (!ring->has_base)
		return 0;
	if (!packed && ring->base > UINT16_MAX)
		return error_set(error, EINVAL, "ring %" PRIu32 " starts at %" PRIu32, index,
				 ring->base);
	if (packed && ring->size &&
	    ((ring->base & 0x7fff) >= ring->size || (ring->base >> 16 & 0x7fff) >= ring->size))
		return error_set(error, EINVAL,
				 "packed ring %" PRIu32 " of size %" PRIu32 " starts at %" PRIu32
				 ", behind its end",
				 index, ring->size, ring->base & 0x7fff);
	return 0;
}

static int place_check(const struct vhost_session *session, uint32_t index, struct error *error)
{
	const char *problem =
		ring_problem(session, session->regions, session->n_regions, &session->rings[index]);

	if (problem)
		return error_set(error, EINVAL, "ring %" PRIu32 " has %s", index, problem);
	return 0;
}

static int ring_size_set(struct vhost_session *session, const struct vhost_message *message,
			 struct error *error)
{
	uint32_t index = message->payload.state.ring, size = message->payload.state.value;
	struct vhost_ring *ring = &session->rings[index];

	if (!size || size > VHOST_MAX_RING_SIZE || (size & (size - 1)))
		return error_set(error, EINVAL,
				 "ring %" PRIu32 " has size %" PRIu32
				 ", which is no power of two up to %u",
				 index, size, VHOST_MAX_RING_SIZE);
	if (ring->running)
		return error_set(error, EINVAL, "ring %" PRIu32 " is resized while it runs", index);
	ring->size = size;
	return base_check(session, index, error);
}

static int ring_base_set(struct vhost_session *session, const struct vhost_message *message,
			 struct error *error)
{
	uint32_t index = message->payload.state.ring;
	struct vhost_ring *ring = &session->rings[index];

	if (ring->running)
		return error_set(error, EINVAL, "ring %" PRIu32 " is moved while it runs", index);
	ring->base = message->payload.state.value;
	ring->has_base = true;
	return base_check(session, index, error);
}

// Also while it runs: a migration tells the addresses again, with the log's.
static int ring_addresses_set(struct vhost_session *session, const struct vhost_message *message,
			      struct error *error)
{
	uint32_t index = message->payload.addresses.ring;
	struct vhost_ring *ring = &session->rings[index];

	if (message->payload.addresses.flags & ~1u)
		return error_set(error, EPROTO, "ring %" PRIu32 " has unknown flags 0x%" PRIx32,
				 index, message->payload.addresses.flags);
	if (!session->n_regions)
		return error_set(error, EPROTO, "ring %" PRIu32 " has addresses before any memory",
				 index);
	if (!ring->size)
		return error_set(error, EPROTO, "ring %" PRIu32 " has addresses before its size",
				 index);
	ring->descriptors = message->payload.addresses.descriptors;
	ring->used = message->payload.addresses.used;
	ring->available = message->payload.addresses.available;
	ring->has_addresses = true;
	return place_check(session, index, error);
}

// Descriptors that are written to or waited for must be events: writing to anything else may
// block, or do what the peer could not do itself.
static int event_check(int fd, uint32_t index, const char *name, struct error *error)
{
	char path[32], target[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return error_set(error, errno, "%s of ring %" PRIu32 ": %s", name, index,
				 strerror(errno));
	target[length] = '\0';
	if (strcmp(target, "anon_inode:[eventfd]"))
		return error_set(error, EINVAL,
				 "%s of ring %" PRIu32 " brings a descriptor that is no eventfd",
				 name, index);
	return 0;
}

// The message that starts a ring: now everything else must be known and fit together.
static int ring_start(struct vhost_session *session, uint32_t index, struct error *error)
{
	struct vhost_ring *ring = &session->rings[index];

	if (!ring->size || !ring->has_addresses)
		return error_set(error, EPROTO, "ring %" PRIu32 " is started before its %s is told",
				 index, ring->size ? "place" : "size");
	// The library would go on where an earlier ring, perhaps a larger one, was stopped.
	if (!ring->has_base && (session->features & F_RING_PACKED))
		return error_set(error, EPROTO,
				 "packed ring %" PRIu32 " is started before its base is told",
				 index);
	if (base_check(session, index, error) || place_check(session, index, error))
		return -EINVAL;
	ring->running = true;
	return 0;
}

static int ring_event_set(struct vhost_session *session, const struct vhost_message *message,
			  const int *fds, struct error *error)
{
	const char *name = requests[message->header.request].name;
	uint32_t index = message->payload.u64 & RING_INDEX_MASK;

	if (message->payload.u64 & ~(uint64_t)(RING_INDEX_MASK | RING_NO_FD))
		return error_set(error, EPROTO, "%s with unknown bits 0x%" PRIx64, name,
				 message->payload.u64);
	if (!(message->payload.u64 & RING_NO_FD) && event_check(fds[0], index, name, error))
		return -EINVAL;
	if (message->header.request == REQUEST_SET_VRING_KICK)
		return ring_start(session, index, error);
	return 0;
}

// --- the rest ---

static int features_set(struct vhost_session *session, const struct vhost_message *message,
			struct error *error)
{
	uint64_t features = message->payload.u64;

	if (features & F_IOMMU_PLATFORM)
		return error_set(error, EPROTO, "feature IOMMU_PLATFORM was not offered");
	for (uint32_t i = 0; i < VHOST_MAX_RINGS; i++) {
		const struct vhost_ring *ring = &session->rings[i];

		if (ring->running && ((features ^ session->features) & ~F_LOG_ALL))
			return error_set(error, EPROTO,
					 "features change while ring %" PRIu32 " runs", i);
		if (ring->size && ((features ^ session->features) & F_RING_PACKED))
			return error_set(error, EPROTO,
					 "the layout of ring %" PRIu32 " changes after its size",
					 i);
	}
	session->features = features;
	return 0;
}

// Every message that names a ring does so in its first word.
static int index_check(const struct vhost_message *message, struct error *error)
{
	uint32_t index = message->payload.state.ring;

	switch (message->header.request) {
	case REQUEST_SET_VRING_KICK:
	case REQUEST_SET_VRING_CALL:
	case REQUEST_SET_VRING_ERR:
		index = message->payload.u64 & RING_INDEX_MASK;
		break;
	case REQUEST_SET_VRING_NUM:
	case REQUEST_SET_VRING_ADDR:
	case REQUEST_SET_VRING_BASE:
	case REQUEST_GET_VRING_BASE:
	case REQUEST_SET_VRING_ENABLE:
		break;
	default:
		return 0;
	}
	if (index >= VHOST_MAX_RINGS)
		return error_set(error, EPROTO, "%s for ring %" PRIu32 ": there are at most %u",
				 requests[message->header.request].name, index, VHOST_MAX_RINGS);
	return 0;
}

static int fds_check(const struct vhost_message *message, unsigned int n_fds, struct error *error)
{
	const struct request *request = &requests[message->header.request];
	unsigned int expected = (unsigned int)request->fds;

	if (request->fds == VHOST_FDS_TABLE)
		expected = message->payload.table.n;
	else if (request->fds == VHOST_FDS_RING)
		expected = message->payload.u64 & RING_NO_FD ? 0 : 1;
	if (n_fds != expected)
		return error_set(error, EPROTO, "%s with %u descriptors instead of %u",
				 request->name, n_fds, expected);
	return 0;
}

static int value_check(const struct vhost_message *message, uint64_t min, uint64_t max,
		       struct error *error)
{
	uint64_t value = message->payload.u64;

	if (value < min || value > max)
		return error_set(error, EINVAL, "%s to %" PRIu64,
				 requests[message->header.request].name, value);
	return 0;
}

int vhost_session_check(struct vhost_session *session, const struct vhost_message *message,
			const int *fds, unsigned int n_fds, struct error *error)
{
	uint32_t request = message->header.request;

	if (vhost_header_check(&message->header, error) ||
	    (request == REQUEST_SET_MEM_TABLE && table_size_check(message, error)) ||
	    fds_check(message, n_fds, error) || index_check(message, error))
		return -EPROTO;
	switch (request) {
	case REQUEST_SET_FEATURES:
		return features_set(session, message, error);
	case REQUEST_SET_PROTOCOL_FEATURES:
		if (message->payload.u64 & ~(uint64_t)VHOST_PROTOCOL_FEATURES)
			return error_set(error, EPROTO,
					 "protocol features 0x%" PRIx64 " were not offered",
					 message->payload.u64 & ~(uint64_t)VHOST_PROTOCOL_FEATURES);
		return 0;
	case REQUEST_RESET_OWNER:
		memset(session, 0, sizeof(*session));
		return 0;
	case REQUEST_SET_MEM_TABLE:
		return table_check(session, message, fds, error);
	case REQUEST_SET_LOG_BASE:
		return log_check(session, message, fds, error);
	case REQUEST_SET_VRING_NUM:
		return ring_size_set(session, message, error);
	case REQUEST_SET_VRING_ADDR:
		return ring_addresses_set(session, message, error);
	case REQUEST_SET_VRING_BASE:
		return ring_base_set(session, message, error);
	case REQUEST_GET_VRING_BASE:
		memset(&session->rings[message->payload.state.ring], 0, sizeof(struct vhost_ring));
		return 0;
	case REQUEST_SET_VRING_KICK:
	case REQUEST_SET_VRING_CALL:
	case REQUEST_SET_VRING_ERR:
		return ring_event_set(session, message, fds, error);
	case REQUEST_NET_SET_MTU:
		return value_check(message, MIN_MTU, MAX_MTU, error);
	case REQUEST_SET_STATUS:
		return value_check(message, 0, MAX_STATUS, error);
	default:
		return 0;
	}
}
