// Virtual ports: what packets enter and leave through. vport.def has one row per type.
//
// The main thread opens, configures and closes ports; workers call rx and tx. A port that is being
// closed is first unpublished (no worker polls it or sends to it after a grace period), then
// closed. A port whose peer is away (no guest connected) is open with link down: rx returns 0 and
// tx takes nothing.
//
// Options are the Interface columns and options of ovs-vswitchd.conf.db(5).
#ifndef VPORT_VPORT_H
#define VPORT_VPORT_H

#include "vport/offload.h"
#include "vport/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_spinlock.h>

#define VPORT_NAME_SIZE 64
#define VPORT_MAX 4096 // ports in one daemon; `index` is below it
#define VPORT_MAX_QUEUES 16
#define VPORT_DEFAULT_MTU 1500
#define VPORT_MIN_MTU 68 // RFC 791
#define VPORT_MAX_MTU 9702

struct error;
struct forwarding;
struct ingress;
struct egress;
struct vport;

// A lock that shares its cache line with nothing, wherever it is.
struct vport_lock {
	char before[60];
	rte_spinlock_t lock;
	char after[64];
};

// One option as the user gave it ("options:path=/run/vm1.sock": key "path").
struct vport_option {
	const char *key;
	const char *value;
};

struct vport_config {
	const char *name;
	const char *type; // a row of vport.def, or an alias
	const struct vport_option *options;
	unsigned int n_options;
	unsigned int mtu_request; // 0: default
	uint32_t no_offloads; // OFFLOAD_* that stay off
	unsigned int n_rxq; // 0: default
};

// What `list Interface` shows besides counters.
struct vport_status {
	bool link_up;
	bool admin_up;
	uint64_t link_speed; // bits per second, 0 unknown
	bool full_duplex;
	uint8_t mac[6];
	unsigned int mtu;
	int ifindex; // 0 without
	uint64_t link_resets; // how often link_up changed
	bool stopped; // the peer is connected and takes nothing: what is sent to it is lost
	uint64_t refused_peers; // connections that were cut off for what came over them
	const char *driver; // of the device, where there is one below the class; static text
	const char *problem; // a sentence why the port cannot work now, or NULL; static text
	uint32_t offloads_rx; // OFFLOAD_*: what the peer may leave undone
	uint32_t offloads_tx; // what may be left to it
};

// Counts that the class keeps itself because only it can know them (a worker counts the rest).
struct vport_class_stats {
	uint64_t rx_errors;
	uint64_t rx_missed_errors; // lost before we could read them
	uint64_t tx_errors;
	bool has_guest; // the two below mean something: since the guest's driver started
	uint64_t guest_interrupts; // that the guest got from us
	uint64_t guest_kicks; // that we got from it, for packets that it sent
};

struct vport_class {
	const char *type; // as in Interface.type
	const char *alias; // other accepted names, separated by spaces, or NULL
	const char *const *options; // NULL-terminated: every option it knows, for refusing others
	size_t size; // of the class' own struct, which begins with struct vport

	// Main thread. Open the port described by vport->config_* and `config`: fill n_rxq, n_txq,
	// status. An error is told in a sentence and leaves nothing behind.
	int (*open)(struct vport *vport, const struct vport_config *config, struct error *error);
	void (*close)(struct vport *vport);

	// Worker. Up to n packets of one receive queue; packets are owned by the caller.
	uint16_t (*rx)(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n);

	// Worker. Send up to n packets, in order, and take those sent; returns how many. The caller
	// drops the rest at once: a slow receiver delays nobody. Called by one thread per queue
	// unless tx_thread_safe.
	uint16_t (*tx)(struct vport *vport, uint16_t queue, struct rte_mbuf **packets, uint16_t n);
	bool tx_thread_safe;

	// Worker, before it sleeps and while still online (common/rcu.h): ask the queue to make a descriptor readable when packets come
	// (vring kick, tap). Returns the descriptor, or -1 if the queue can only be polled. After
	// waking, disarm is called before rx. NULL: can only be polled.
	int (*arm)(struct vport *vport, uint16_t queue);
	void (*disarm)(struct vport *vport, uint16_t queue);

	// Main thread. Read status and own counts; may be NULL for fixed ones.
	void (*get_status)(struct vport *vport, struct vport_status *status);
	void (*get_stats)(struct vport *vport, struct vport_class_stats *stats);

	// Main thread. Change the MTU while open; NULL: fixed.
	int (*set_mtu)(struct vport *vport, unsigned int mtu, struct error *error);
	// Main thread. vport->offloads_wanted changed; NULL: the class has none.
	void (*set_offloads)(struct vport *vport);
	// Main thread. Administrative up or down, where the device has it; may be NULL.
	int (*set_admin)(struct vport *vport, bool up, struct error *error);
	// Main thread, every 50 ms or faster: reconnecting and the like. May be NULL.
	void (*tick)(struct vport *vport);
};

struct vport {
	const struct vport_class *class;
	char name[VPORT_NAME_SIZE];
	uint16_t index; // dense and stable while open; for per-worker arrays
	uint16_t n_rxq; // may grow while open: then vport_events.changed is called
	uint16_t n_txq;
	unsigned int mtu; // largest layer-3 size sent through it
	struct vport_status status; // last seen by the main thread
	uint32_t offloads_wanted; // OFFLOAD_* that the user did not switch off; main thread
	uint32_t offloads; // what tx takes as it is; set by the class, read by vport_offloads()
	bool mirror_output; // it gets copies of a mirror and nothing else; set by the owner
	bool polled; // false: nothing to receive from (patch)
	struct vport_lock tx_lock[VPORT_MAX_QUEUES]; // taken where workers share a queue

	// Set by the owner (ofproto): where received packets go. Workers read by rcu_read().
	struct forwarding *forwarding;
	uint32_t ofport;

	// Quality of service (datapath/qos.h), NULL: none. Workers read by rcu_read().
	struct ingress *ingress;
	struct egress *egress;

	// Owner's pointer, main thread.
	void *owner;
};

// Told to the owner from the main loop, never from inside another vport call.
struct vport_events {
	void *context;
	// Status, number of queues or connected peer changed.
	void (*changed)(void *context, struct vport *vport);
};
void vport_set_events(const struct vport_events *events);

// Main thread. Open a port: allocates, validates name, type and options, opens. NULL with a
// sentence in `error` otherwise (unknown type: names the known ones; unknown option: likewise).
struct vport *vport_open(const struct vport_config *config, struct error *error);

// Main thread. No worker may use the port any more (unpublish and rcu_synchronize() first).
void vport_close(struct vport *vport);

// Main thread. Switch these offloads off and all others on, as far as the port has them.
void vport_set_offloads(struct vport *vport, uint32_t no_offloads);

// What tx takes as it is. Any thread.
static inline uint32_t vport_offloads(const struct vport *vport)
{
	return __atomic_load_n(&vport->offloads, __ATOMIC_RELAXED);
}

// Main thread. All open ports, by index; NULL where there is none.
struct vport *vport_by_index(unsigned int index);

// Main thread, from a timer of 50 ms or less: ticks every port, refreshes status, sends events.
void vport_tick(void);

// Main thread. Types for help and errors.
const struct vport_class *vport_class_find(const char *type);
const struct vport_class *vport_class_at(unsigned int i); // NULL past the end

// The name of the patch port at the other end; NULL for ports of other types.
const char *vport_patch_peer(const struct vport *vport);

// For the classes: value of an option or NULL; strict boolean and number readers.
const char *vport_config_option(const struct vport_config *config, const char *key);
int vport_config_bool(const struct vport_config *config, const char *key, bool *value,
		      struct error *error);
int vport_config_number(const struct vport_config *config, const char *key, unsigned int min,
			unsigned int max, unsigned int *value, struct error *error);

// Main thread, before the first port. Where sockets without a path of their own are made (default
// /run/vswitch).
void vport_set_run_dir(const char *path);
const char *vport_run_dir(void);
// Main thread. How many workers will send (default 1): transmit queues of ports that are opened
// later, where they can have several. Beyond that, and beyond VPORT_MAX_QUEUES, workers share them.
void vport_set_n_workers(unsigned int n_workers);
unsigned int vport_n_workers(void);

// For class code on other threads (vhost events): mark a port changed; the main loop picks it up
// within one tick and calls vport_events.changed. Any thread.
void vport_mark_changed(struct vport *vport);

#endif
