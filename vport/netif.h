// Settings of the kernel's network interfaces, by ioctl. Interfaces are known by index, because
// names change; neither survives a move to another network namespace, which is -ENODEV here.
// Main thread. Only this folder includes it.
#ifndef VPORT_NETIF_H
#define VPORT_NETIF_H

#include <stdbool.h>
#include <stdint.h>

#define NETIF_NAME_SIZE 16 // IFNAMSIZ

struct error;

struct netif_state {
	char name[NETIF_NAME_SIZE];
	bool up;
	bool running;
	uint8_t mac[6];
	unsigned int mtu;
	uint64_t speed; // bits per second, 0 unknown
	bool full_duplex;
};

// Is it a name that the kernel takes?
int netif_check_name(const char *name, struct error *error);

// 0 when there is no such interface.
int netif_index(const char *name);

// All return 0 or -errno (-ENODEV: gone, or moved to another namespace).
int netif_get(int ifindex, struct netif_state *state);
int netif_set_mtu(int ifindex, unsigned int mtu);
int netif_set_up(int ifindex, bool up);
int netif_set_mac(int ifindex, const uint8_t mac[6]);

#endif
