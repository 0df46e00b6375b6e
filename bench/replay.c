// Preloaded into every switch alike: replays a capture from memory through DPDK's net_pcap, for what
// its own infinite_rx cannot do, as that holds one packet buffer for each packet of the capture.
//
//   REPLAY=loop      the capture over and over
//   REPLAY=unique    the same, but each packet gets a source MAC, source address and source port of
//                    its own, so that no two packets are of one flow
//   REPLAY_ATTACK=FILE, REPLAY_ATTACK_RATE=N    beside it, N packets of FILE each second
//   REPLAY_CONTROL=FILE    what to replay can be changed meanwhile: a struct control, mapped
//
// A capture has one reader, as net_pcap's queues do.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include <pcap/pcap.h>

#define FILE_HEADER 24
#define RECORD_HEADER 16

struct capture {
	uint8_t *bytes;
	size_t size, at;
};

// Written by the benchmark, `generation` last. All frames of the capture are UDP or TCP over IPv4 and
// as long as the first.
struct control {
	uint32_t generation;
	uint32_t silent; // no packets come
	// Not 0: of so many flows, each packet is of a random one (random_flow()).
	uint32_t flows;
	char path[500];
};

struct replay {
	struct capture main, attack;
	uint64_t interval, next; // of attack packets, in TSC cycles
	uint32_t number; // of the packet, where each is unique
	int unique;
	const struct control *control;
	uint32_t generation, silent;
	uint32_t flows, n_records, record_size;
	uint64_t random;
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

static void follow_control(struct replay *replay)
{
	const struct control *control = replay->control;
	struct capture old = replay->main;
	uint32_t length;

	replay->generation = __atomic_load_n(&control->generation, __ATOMIC_ACQUIRE);
	replay->silent = control->silent;
	replay->flows = control->flows;
	if (control->path[0]) {
		if (capture_read(&replay->main, control->path)) {
			fprintf(stderr, "%s cannot be replayed\n", control->path);
			replay->main = old;
		} else {
			free(old.bytes);
		}
	}
	memcpy(&length, replay->main.bytes + FILE_HEADER + 8, sizeof(length));
	replay->record_size = RECORD_HEADER + length;
	replay->n_records = (uint32_t)((replay->main.size - FILE_HEADER) / replay->record_size);
}

static int open_control(struct replay *replay, const char *path)
{
	const int fd = open(path, O_RDONLY);

	if (fd < 0)
		return -1;
	replay->control = mmap(NULL, sizeof(*replay->control), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (replay->control == MAP_FAILED)
		return -1;
	follow_control(replay);
	return 0;
}

static uint64_t tsc_rate(void)
{
	const char *text = getenv("REPLAY_TSC_MHZ");

	return text ? (uint64_t)(atof(text) * 1e6) : 2000000000;
}

pcap_t *pcap_open_offline(const char *path, char *error)
{
	const char *mode = getenv("REPLAY"), *attack = getenv("REPLAY_ATTACK");
	const char *rate = getenv("REPLAY_ATTACK_RATE"), *control = getenv("REPLAY_CONTROL");
	struct replay *replay;

	replay = calloc(1, sizeof(*replay));
	if (!replay || capture_read(&replay->main, path) ||
	    (attack && capture_read(&replay->attack, attack)) ||
	    (control && open_control(replay, control))) {
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

// The second packet's destination address and ports in the first one; the header's checksum follows.
static void join_flows(uint8_t *packet, const uint8_t *other, uint16_t more)
{
	const unsigned int l3 = packet[12] == 0x81 ? 18 : 14, l4 = l3 + 20;
	uint16_t words[2], before[2], sum16, port;
	uint32_t sum;

	memcpy(before, packet + l3 + 16, 4);
	memcpy(words, other + l3 + 16, 4);
	memcpy(&sum16, packet + l3 + 10, 2);
	sum = (uint16_t)~sum16 + (uint16_t)~before[0] + (uint16_t)~before[1] + words[0] + words[1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum16 = (uint16_t)~sum;
	memcpy(packet + l3 + 10, &sum16, 2);
	memcpy(packet + l3 + 16, words, 4);
	memcpy(packet + l4, other + l4, 4);
	if (more) {
		port = __builtin_bswap16((uint16_t)(1024 + more));
		memcpy(packet + l4, &port, 2);
	}
}

// The same sequence of flows for whoever replays it. Of n frames come n * n flows, each the
// beginning of one and the destination of another; beyond, flows differ in the source port.
static const uint8_t *random_flow(struct replay *replay, struct pcap_pkthdr *header)
{
	const uint8_t *records = replay->main.bytes + FILE_HEADER + RECORD_HEADER;
	const uint32_t n = replay->n_records, length = replay->record_size - RECORD_HEADER;
	uint32_t flow, first, second;

	replay->random = replay->random * 6364136223846793005u + 1442695040888963407u;
	flow = (uint32_t)((replay->random >> 32) * replay->flows >> 32);
	first = flow % n;
	flow /= n;
	second = (first + flow) % n;
	header->ts.tv_sec = 0;
	header->ts.tv_usec = 0;
	header->caplen = header->len = length;
	memcpy(replay->packet, records + (size_t)first * replay->record_size, length);
	join_flows(replay->packet, records + (size_t)second * replay->record_size,
		   (uint16_t)(flow / n));
	return replay->packet;
}

const u_char *pcap_next(pcap_t *pcap, struct pcap_pkthdr *header)
{
	struct replay *replay = (struct replay *)pcap;
	const uint8_t *packet;

	if (replay->control) {
		if (__atomic_load_n(&replay->control->generation, __ATOMIC_RELAXED) !=
		    replay->generation)
			follow_control(replay);
		if (replay->silent)
			return NULL;
		return replay->flows ? random_flow(replay, header)
				     : capture_next(&replay->main, header);
	}
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
	return *data != NULL;
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
