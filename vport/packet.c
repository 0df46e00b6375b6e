#include "vport/packet.h"

#include <errno.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf_pool_ops.h>

#include "common/error.h"

// Room for a frame of 1518 bytes with tags, behind the usual headroom for pushed headers.
#define DATA_ROOM (RTE_PKTMBUF_HEADROOM + 2048)
#define POOL_CACHE 256u

static struct rte_mempool *pool;

// Like rte_pktmbuf_pool_create(), which would put one packet into each page of 4 KiB where there
// are no hugepages: devices address such memory by virtual addresses, in which it is contiguous.
static struct rte_mempool *create_pool(unsigned int n)
{
	struct rte_pktmbuf_pool_private private = {
		.mbuf_data_room_size = DATA_ROOM,
	};
	struct rte_mempool *created = rte_mempool_create_empty(
		"packets", n, sizeof(struct rte_mbuf) + DATA_ROOM, RTE_MIN(POOL_CACHE, n / 2),
		sizeof(private), SOCKET_ID_ANY,
		rte_eal_has_hugepages() ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG);

	if (!created)
		return NULL;
	rte_pktmbuf_pool_init(created, &private);
	// Without this the pool gets whichever driver happens to be registered first.
	if (rte_mempool_set_ops_byname(created, rte_mbuf_best_mempool_ops(), NULL) < 0 ||
	    rte_mempool_populate_default(created) < 0) {
		rte_mempool_free(created);
		rte_errno = ENOMEM;
		return NULL;
	}
	rte_mempool_obj_iter(created, rte_pktmbuf_init, NULL);
	return created;
}

int packet_pool_init(unsigned int n, struct error *error)
{
	if (pool)
		return error_set(error, EEXIST, "the packet pool exists already");
	pool = create_pool(n);
	if (!pool)
		return error_set(error, rte_errno,
				 "cannot create a pool of %u packets: %s; give the daemon more "
				 "memory (--memory)",
				 n, rte_strerror(rte_errno));
	return 0;
}

void packet_pool_destroy(void)
{
	rte_mempool_free(pool);
	pool = NULL;
}

struct rte_mempool *packet_pool(void)
{
	return pool;
}

struct rte_mbuf *packet_copy(struct rte_mbuf *packet)
{
	return rte_pktmbuf_copy(packet, pool, 0, UINT32_MAX);
}

// One more segment at the end of `packet`, or NULL.
static struct rte_mbuf *segment_add(struct rte_mbuf *packet)
{
	struct rte_mbuf *segment = rte_pktmbuf_alloc(pool);

	if (!segment)
		return NULL;
	segment->data_off = 0;
	if (rte_pktmbuf_chain(packet, segment)) {
		rte_pktmbuf_free(segment);
		return NULL;
	}
	return segment;
}

bool packet_append(struct rte_mbuf *packet, const void *data, uint32_t length)
{
	struct rte_mbuf *segment = rte_pktmbuf_lastseg(packet);
	const uint8_t *from = data;

	for (;;) {
		uint32_t size = RTE_MIN(length, rte_pktmbuf_tailroom(segment));

		memcpy(rte_pktmbuf_mtod_offset(segment, void *, segment->data_len), from, size);
		segment->data_len = (uint16_t)(segment->data_len + size);
		packet->pkt_len += size;
		from += size;
		length -= size;
		if (!length)
			return true;
		segment = segment_add(packet);
		if (!segment)
			return false;
	}
}

struct rte_mbuf *packet_from_bytes(const void *data, uint32_t length)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(pool);

	if (!packet)
		return NULL;
	if (packet_append(packet, data, length))
		return packet;
	rte_pktmbuf_free(packet);
	return NULL;
}

// Move the first `size` bytes of the second segment to the end of the first.
static void pull(struct rte_mbuf *packet, uint32_t size)
{
	struct rte_mbuf *second = packet->next;

	memcpy(rte_pktmbuf_mtod_offset(packet, void *, packet->data_len),
	       rte_pktmbuf_mtod(second, void *), size);
	packet->data_len = (uint16_t)(packet->data_len + size);
	second->data_off = (uint16_t)(second->data_off + size);
	second->data_len = (uint16_t)(second->data_len - size);
	if (second->data_len)
		return;
	packet->next = second->next;
	packet->nb_segs--;
	second->next = NULL;
	rte_pktmbuf_free_seg(second);
}

struct rte_mbuf *packet_gather(struct rte_mbuf *packet)
{
	const uint32_t wanted = RTE_MIN((uint32_t)PACKET_HEADERS, packet->pkt_len);
	struct rte_mbuf *copy;

	if (packet->data_len + rte_pktmbuf_tailroom(packet) < wanted) {
		copy = packet_copy(packet); // which fills its segments
		if (copy)
			rte_pktmbuf_free(packet);
		return copy;
	}
	while (packet->data_len < wanted)
		pull(packet, RTE_MIN(wanted - packet->data_len, (uint32_t)packet->next->data_len));
	return packet;
}
