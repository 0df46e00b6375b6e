#include "datapath/nsh.h"

#include <string.h>

#define FLAGS_MAX 3 // O and a bit that is free
#define TTL_MAX 0x3f

uint32_t nsh_size(const uint8_t *nsh, uint32_t left)
{
	uint32_t size;

	if (left < NSH_BASE_SIZE || nsh[0] >> 6)
		return 0;
	size = (nsh[1] & 0x3fu) * 4;
	if (size < NSH_BASE_SIZE || size > left)
		return 0;
	switch (nsh[2] & 0x0f) {
	case 1:
		return size == NSH_MD1_SIZE ? size : 0;
	case 2:
		return size;
	default:
		return 0;
	}
}

void nsh_read(const uint8_t *nsh, struct key_rare *rare)
{
	rare->nsh_flags = nsh[0] >> 4 & FLAGS_MAX;
	rare->nsh_ttl = (uint8_t)((nsh[0] << 2 | nsh[1] >> 6) & TTL_MAX);
	rare->nsh_mdtype = nsh[2] & 0x0f;
	rare->nsh_np = nsh[3];
	rare->nsh_spi = rte_cpu_to_be_32((uint32_t)nsh[4] << 16 | (uint32_t)nsh[5] << 8 | nsh[6]);
	rare->nsh_si = nsh[7];
	memset(rare->nsh_c, 0, sizeof(rare->nsh_c));
	if (rare->nsh_mdtype == 1)
		memcpy(rare->nsh_c, nsh + NSH_BASE_SIZE, sizeof(rare->nsh_c));
}

void nsh_write(uint8_t *nsh, const struct key_rare *rare)
{
	const uint32_t path = rte_be_to_cpu_32(rare->nsh_spi);

	nsh[0] = (uint8_t)((nsh[0] & 0xc0) | (rare->nsh_flags & FLAGS_MAX) << 4 |
			   (rare->nsh_ttl & TTL_MAX) >> 2);
	nsh[1] = (uint8_t)((nsh[1] & 0x3f) | (rare->nsh_ttl & 3) << 6);
	nsh[4] = (uint8_t)(path >> 16);
	nsh[5] = (uint8_t)(path >> 8);
	nsh[6] = (uint8_t)path;
	nsh[7] = rare->nsh_si;
	if ((nsh[2] & 0x0f) == 1)
		memcpy(nsh + NSH_BASE_SIZE, rare->nsh_c, sizeof(rare->nsh_c));
}

void nsh_trim(struct key_rare *rare)
{
	rare->nsh_flags &= FLAGS_MAX;
	rare->nsh_ttl &= TTL_MAX;
	if (rare->nsh_mdtype != 1)
		memset(rare->nsh_c, 0, sizeof(rare->nsh_c));
}
