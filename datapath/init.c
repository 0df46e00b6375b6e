#include "datapath/datapath.h"

#include "common/error.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/rcu.h"
#include "datapath/cache.h"
#include "datapath/hot.h"

#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_EAL_ARGS 64
// One packet buffer with its mbuf, private area and pool overhead.
#define PACKET_BUFFER_SIZE 2560

static char memory_text[160];
static bool uses_hugepages;

// 2 MiB pages that are reserved and free.
static unsigned long free_hugepages(void)
{
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
	unsigned long n = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%lu", &n) != 1)
		n = 0;
	fclose(file);
	return n;
}

static int choose_memory(const struct datapath_options *options, unsigned int mib,
			 struct error *error)
{
	const unsigned long reserved = free_hugepages() * 2;

	uses_hugepages = options->hugepages != HUGEPAGES_NO && reserved >= mib;
	if (options->hugepages == HUGEPAGES_YES && !uses_hugepages)
		return error_set(
			error, ENOMEM,
			"--hugepages yes needs %u MiB of free hugepages, but there are %lu "
			"MiB; reserve them with: echo %u > /proc/sys/vm/nr_hugepages",
			mib, reserved, (mib + 1) / 2);
	if (uses_hugepages)
		snprintf(memory_text, sizeof(memory_text), "%u MiB of hugepages", mib);
	else
		snprintf(memory_text, sizeof(memory_text), "%u MiB of ordinary pages (%s)", mib,
			 options->hugepages == HUGEPAGES_NO ? "hugepages are switched off"
			 : reserved                         ? "too few hugepages are free"
							    : "no hugepages are reserved");
	return 0;
}

// EAL keeps pointers into its arguments: they live as long as the process.
static int start_eal(const struct datapath_options *options, unsigned int mib, struct error *error)
{
	static char memory[32], prefix[48], lcore[32], program[] = "vswitchd";
	static char *args[MAX_EAL_ARGS + 1];
	cpu_set_t allowed;
	int n = 0, core = 0;
	char *extra, *word, *state;

	// EAL wants a core for its main thread; ours stays free to run anywhere (see below).
	if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
		while (core < CPU_SETSIZE - 1 && !CPU_ISSET(core, &allowed))
			core++;
	snprintf(memory, sizeof(memory), "%u", mib);
	snprintf(prefix, sizeof(prefix), "--file-prefix=vswitchd-%d", (int)getpid());
	snprintf(lcore, sizeof(lcore), "0@%d", core);
	args[n++] = program;
	args[n++] = (char *)"--lcores";
	args[n++] = lcore;
	args[n++] = (char *)"-m";
	args[n++] = memory;
	args[n++] = prefix;
	args[n++] = (char *)"--no-telemetry";
	args[n++] = (char *)"--no-shconf";
	if (uses_hugepages) {
		args[n++] = (char *)"--in-memory";
	} else {
		args[n++] = (char *)"--no-huge";
	}
	// No device is ours before a port names it: an address that no device has allows none, and
	// ports add theirs.
	if (!options->dpdk_args || !strstr(options->dpdk_args, "-a")) {
		args[n++] = (char *)"-a";
		args[n++] = (char *)"ffff:ff:1f.7";
	}
	extra = options->dpdk_args ? strdup(options->dpdk_args) : NULL;
	for (word = extra ? strtok_r(extra, " ", &state) : NULL; word;
	     word = strtok_r(NULL, " ", &state)) {
		if (n == MAX_EAL_ARGS)
			return error_set(error, E2BIG, "--dpdk-args has too many words");
		args[n++] = word;
	}
	if (rte_eal_init(n, args) < 0)
		return error_set(error, rte_errno ? rte_errno : EINVAL,
				 "DPDK cannot start: %s (try --hugepages no, or look at the log)",
				 rte_strerror(rte_errno));
	// EAL pinned this thread: give the scheduler its freedom back (but see workers_start()).
	sched_setaffinity(0, sizeof(allowed), &allowed);
	return 0;
}

int datapath_init(const struct datapath_options *options, struct error *error)
{
	// Packets are most of the memory, ethdev rings and the like a little.
	const unsigned int mib =
		options->memory_mib ? options->memory_mib : DATAPATH_DEFAULT_MEMORY_MIB;
	unsigned int n_packets;
	int status;

	if (mib < 16)
		return error_set(error, EINVAL, "--memory %u is too little: give at least 16 MiB",
				 mib);
	if (mib > 1 << 20)
		return error_set(error, EINVAL, "--memory %u is more than 1 TiB", mib);
	status = hash_init();
	if (status < 0)
		return error_set(error, -status, "no random numbers from the kernel: %s",
				 strerror(-status));
	if (rcu_init() < 0)
		return error_set(error, ENOMEM, "out of memory");
	status = hot_select(options->cpu_level, error);
	if (status < 0)
		return status;
	status = choose_memory(options, mib, error);
	if (status < 0)
		return status;
	workers_set_idle_sleep(options->idle_sleep_ns);
	cache_mode = (uint8_t)options->cache;
	rte_log_set_global_level(RTE_LOG_WARNING);
	status = start_eal(options, mib, error);
	if (status < 0)
		return status;
	n_packets = (unsigned int)((uint64_t)mib * 1024 * 1024 * 3 / 4 / PACKET_BUFFER_SIZE);
	status = packet_pool_init(n_packets, error);
	if (status < 0)
		return status;
	log_info("memory for packets: %s, %u packet buffers; code for %s", memory_text, n_packets,
		 hot->level);
	return 0;
}

void datapath_exit(void)
{
	packet_pool_destroy();
	rte_eal_cleanup();
}

const char *datapath_memory_text(void)
{
	return memory_text;
}

bool datapath_uses_hugepages(void)
{
	return uses_hugepages;
}
