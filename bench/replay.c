// Preloaded into every switch alike: replays a capture from memory through DPDK's net_pcap, for what
// its own infinite_rx cannot do, as that holds one packet buffer for each packet of the capture.
//
//   REPLAY=loop      the capture over and over
//   REPLAY=unique    the same, but each packet gets a source MAC, source address and source port of
//                    its own, so that no two packets are of one flow
//   REPLAY_ATTACK=FILE, REPLAY_ATTACK_RATE=N    beside it, N packets of FILE each second
//
// A capture has one reader, as net_pcap's queues do.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include <pcap/pcap.h>

#define FILE_HEADER 24
#define RECORD_HEADER 16

struct capture {
	uint8_t *bytes;
	size_t size, at;
};

struct replay {
	struct capture main, attack;
	uint64_t interval, next; // of attack packets, in TSC cycles
	uint32_t number; // of the packet, where each is unique
	int unique;
	uint8_t packet[2048];
};

static int capture_read(struct capture *capture, const char *path)
{
	FILE *file = fopen(path, "rb");

	if (!file)
		return -1;
	fseek(file, 0, SEEK_END);
	capture->size = (size_t)ftell(file);
	rewind(file);
	// A whole page more: net_pcap may copy in steps that read past a packet's end.
	capture->bytes = malloc(capture->size + 4096);
	capture->at = FILE_HEADER;
	if (!capture->bytes || capture->size <= FILE_HEADER ||
	    fread(capture->bytes, 1, capture->size, file) != capture->size) {
		fclose(file);
		return -1;
	}
	fclose(file);
	return 0;
}

static const uint8_t *capture_next(struct capture *capture, struct pcap_pkthdr *header)
{
	uint8_t *record = capture->bytes + capture->at;
	uint32_t length;

	memcpy(&length, record + 8, sizeof(length));
	header->ts.tv_sec = 0;
	header->ts.tv_usec = 0;
	header->caplen = header->len = length;
	capture->at += RECORD_HEADER + length;
	if (capture->at >= capture->size)
		capture->at = FILE_HEADER;
	__builtin_prefetch(capture->bytes + capture->at + 256);
	__builtin_prefetch(capture->bytes + capture->at + 320);
	return record + RECORD_HEADER;
}

static uint64_t tsc_rate(void)
{
	const char *text = getenv("REPLAY_TSC_MHZ");

	return text ? (uint64_t)(atof(text) * 1e6) : 2000000000;
}

pcap_t *pcap_open_offline(const char *path, char *error)
{
	const char *mode = getenv("REPLAY"), *attack = getenv("REPLAY_ATTACK");
	const char *rate = getenv("REPLAY_ATTACK_RATE");
	struct replay *replay;

	replay = calloc(1, sizeof(*replay));
	if (!replay || capture_read(&replay->main, path) ||
	    (attack && capture_read(&replay->attack, attack))) {
		snprintf(error, PCAP_ERRBUF_SIZE, "the capture cannot be replayed");
		return NULL;
	}
	replay->unique = mode && strcmp(mode, "unique") == 0;
	if (attack && rate && atoi(rate) > 0)
		replay->interval = tsc_rate() / (uint64_t)atoi(rate);
	return (pcap_t *)replay;
}

// Changes the address by way of the header's checksum, too.
static const uint8_t *make_unique(struct replay *replay, const uint8_t *from, uint32_t length)
{
	uint32_t number = replay->number * 2654435761u, sum;
	uint8_t *packet = replay->packet;

	memcpy(packet, from, length < sizeof(replay->packet) ? length : sizeof(replay->packet));
	packet[6] = 2;
	memcpy(packet + 8, &number, 4);
	sum = (uint32_t)(0xffff - (packet[24] << 8 | packet[25])) + 0x1fffe -
	      (uint32_t)(packet[26] << 8 | packet[27]) - (uint32_t)(packet[28] << 8 | packet[29]);
	memcpy(packet + 27, &number, 3);
	sum += (uint32_t)(packet[26] << 8 | packet[27]) + (uint32_t)(packet[28] << 8 | packet[29]);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = 0xffff - (sum & 0xffff);
	packet[24] = (uint8_t)(sum >> 8);
	packet[25] = (uint8_t)sum;
	number ^= number >> 15;
	memcpy(packet + 34, &number, 2);
	return packet;
}

const u_char *pcap_next(pcap_t *pcap, struct pcap_pkthdr *header)
{
	struct replay *replay = (struct replay *)pcap;
	const uint8_t *packet;

	// Reading the clock takes longer than handing out a packet.
	replay->number++;
	if (replay->interval && replay->number % 16 == 0) {
		uint64_t now = __rdtsc();

		if (now >= replay->next) {
			replay->next = now + replay->interval;
			return capture_next(&replay->attack, header);
		}
	}
	packet = capture_next(&replay->main, header);
	return replay->unique ? make_unique(replay, packet, header->caplen) : packet;
}

// net_pcap counts the packets of a capture this way before infinite_rx; and newer ones read so.
int pcap_next_ex(pcap_t *pcap, struct pcap_pkthdr **header, const u_char **data)
{
	static __thread struct pcap_pkthdr here;

	*header = &here;
	*data = pcap_next(pcap, &here);
	return 1;
}

int pcap_stats(pcap_t *pcap, struct pcap_stat *stats)
{
	(void)pcap;
	memset(stats, 0, sizeof(*stats));
	return 0;
}

void pcap_close(pcap_t *pcap)
{
	struct replay *replay = (struct replay *)pcap;

	free(replay->main.bytes);
	free(replay->attack.bytes);
	free(replay);
}
