#include "vport/netif.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/error.h"

_Static_assert(NETIF_NAME_SIZE == IFNAMSIZ, "the kernel's names");

static int netif_ioctl(unsigned long request, void *argument)
{
	static int fd = -1; // main thread only

	if (fd < 0)
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	return ioctl(fd, request, argument) < 0 ? -errno : 0;
}

int netif_check_name(const char *name, struct error *error)
{
	if (strlen(name) >= IFNAMSIZ)
		return error_set(error, ENAMETOOLONG,
				 "interface name '%s' is too long: the kernel takes at most %d "
				 "characters",
				 name, IFNAMSIZ - 1);
	if (strchr(name, ':') || strchr(name, '%'))
		return error_set(error, EINVAL, "interface name '%s' may not contain ':' or '%%'",
				 name);
	return 0;
}

int netif_index(const char *name)
{
	return (int)if_nametoindex(name);
}

static int request_init(int ifindex, struct ifreq *request)
{
	memset(request, 0, sizeof(*request));
	request->ifr_ifindex = ifindex;
	return netif_ioctl(SIOCGIFNAME, request);
}

static void speed_get(struct netif_state *state)
{
	struct ethtool_cmd command = { .cmd = ETHTOOL_GSET };
	struct ifreq request = { 0 };
	uint32_t speed;

	memcpy(request.ifr_name, state->name, sizeof(request.ifr_name));
	request.ifr_data = (void *)&command;
	if (netif_ioctl(SIOCETHTOOL, &request))
		return;
	speed = ethtool_cmd_speed(&command);
	state->speed = speed == (uint32_t)SPEED_UNKNOWN ? 0 : speed * 1000000ULL;
	state->full_duplex = command.duplex == DUPLEX_FULL;
}

int netif_get(int ifindex, struct netif_state *state)
{
	struct ifreq request;
	int ret = request_init(ifindex, &request);

	if (ret)
		return ret;
	memset(state, 0, sizeof(*state));
	memcpy(state->name, request.ifr_name, sizeof(state->name));
	ret = netif_ioctl(SIOCGIFFLAGS, &request);
	if (ret)
		return ret;
	state->up = request.ifr_flags & IFF_UP;
	state->running = state->up && request.ifr_flags & IFF_RUNNING;
	ret = netif_ioctl(SIOCGIFMTU, &request);
	if (ret)
		return ret;
	state->mtu = (unsigned int)request.ifr_mtu;
	ret = netif_ioctl(SIOCGIFHWADDR, &request);
	if (ret)
		return ret;
	memcpy(state->mac, request.ifr_hwaddr.sa_data, sizeof(state->mac));
	speed_get(state);
	return 0;
}

int netif_set_mtu(int ifindex, unsigned int mtu)
{
	struct ifreq request;
	int ret = request_init(ifindex, &request);

	if (ret)
		return ret;
	request.ifr_mtu = (int)mtu;
	return netif_ioctl(SIOCSIFMTU, &request);
}

int netif_set_up(int ifindex, bool up)
{
	struct ifreq request;
	int ret = request_init(ifindex, &request);

	if (!ret)
		ret = netif_ioctl(SIOCGIFFLAGS, &request);
	if (ret)
		return ret;
	if (up)
		request.ifr_flags |= IFF_UP;
	else
		request.ifr_flags &= ~IFF_UP;
	return netif_ioctl(SIOCSIFFLAGS, &request);
}

int netif_set_mac(int ifindex, const uint8_t mac[6])
{
	struct ifreq request;
	int ret = request_init(ifindex, &request);

	if (ret)
		return ret;
	request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(request.ifr_hwaddr.sa_data, mac, 6);
	return netif_ioctl(SIOCSIFHWADDR, &request);
}
