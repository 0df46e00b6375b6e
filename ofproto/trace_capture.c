#include "ofproto/trace_capture.h"

#include "common/clock.h"
#include "common/error.h"
#include "ofproto/trace.h"

#include <errno.h>
#include <pcap.h>
#include <stdio.h>

static pcap_t *open_capture(const uint8_t *bytes, size_t size, struct error *error)
{
	char reason[PCAP_ERRBUF_SIZE] = "";
	const char *type;
	FILE *file;
	pcap_t *pcap;

	if (!size || size > TRACE_CAPTURE_MAX) {
		error_set(error, EINVAL, "a capture has 1 byte to %u MiB, not %zu bytes",
			  TRACE_CAPTURE_MAX >> 20, size);
		return NULL;
	}
	file = fmemopen((void *)(uintptr_t)bytes, size, "r");
	if (!file) {
		error_set(error, errno, "cannot read the capture: out of memory");
		return NULL;
	}
	pcap = pcap_fopen_offline(file, reason);
	if (!pcap) {
		fclose(file);
		error_set(error, EINVAL, "this is no pcap or pcapng file: %s", reason);
		return NULL;
	}
	if (pcap_datalink(pcap) == DLT_EN10MB)
		return pcap;
	type = pcap_datalink_val_to_description(pcap_datalink(pcap));
	error_set(error, EINVAL,
		  "the capture has packets of link type %s, and only Ethernet can be traced",
		  type ? type : "unknown");
	pcap_close(pcap);
	return NULL;
}

static int no_such_packet(uint64_t number, uint64_t n, const char *broken, struct error *error)
{
	if (broken)
		return error_set(
			error, EINVAL,
			"there is no packet %llu: the capture breaks off behind packet %llu "
			"(%s)",
			(unsigned long long)number, (unsigned long long)n, broken);
	return error_set(error, ENOENT, "there is no packet %llu: the capture has %llu",
			 (unsigned long long)number, (unsigned long long)n);
}

int trace_capture_read(const uint8_t *bytes, size_t size, uint64_t number,
		       int (*visit)(void *context, const struct trace_captured *captured,
				    struct error *error),
		       void *context, struct trace_capture_end *end, struct error *error)
{
	const uint64_t until = clock_monotonic_ns() + TRACE_CAPTURE_MS * NS_PER_MS;
	pcap_t *pcap = open_capture(bytes, size, error);
	struct pcap_pkthdr *header;
	struct trace_captured captured = { 0 };
	int more = 0, status = 0;

	*end = (struct trace_capture_end){ 0 };
	if (!pcap)
		return -error->code;
	while (!status && (more = pcap_next_ex(pcap, &header, &captured.bytes)) == 1) {
		if (!number && end->n_packets == TRACE_CAPTURE_PACKETS) {
			end->stopped = "there are more packets: so many are traced at most";
			break;
		}
		if (!number && clock_monotonic_ns() > until) {
			end->stopped =
				"tracing so many took the second that it may take; there are "
				"more packets";
			break;
		}
		captured.number++;
		if (number && captured.number != number)
			continue;
		captured.size = header->caplen;
		captured.wire_size = header->len;
		status = visit(context, &captured, error);
		if (status)
			error_prefix(error, "packet %llu", (unsigned long long)captured.number);
		end->n_packets++;
		if (number)
			break;
	}
	if (!status && number && !end->n_packets)
		status = no_such_packet(number, captured.number,
					more == -1 ? pcap_geterr(pcap) : NULL, error);
	else if (!status && more == -1 && !end->n_packets)
		status = error_set(error, EINVAL, "the capture cannot be read: %s",
				   pcap_geterr(pcap));
	else if (more == -1)
		end->stopped = "the capture breaks off there: it is cut short or damaged";
	else if (!status && !number && !end->n_packets)
		status = error_set(error, EINVAL, "the capture has no packets");
	pcap_close(pcap);
	return status;
}
