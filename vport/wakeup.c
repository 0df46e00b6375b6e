#include "vport/wakeup.h"

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int wakeup_open(struct wakeup *wakeup)
{
	int ret;

	wakeup->epoll_fd = -1;
	wakeup->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (wakeup->event_fd < 0)
		return -errno;
	wakeup->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (wakeup->epoll_fd < 0) {
		ret = -errno;
		wakeup_close(wakeup);
		return ret;
	}
	ret = wakeup_add(wakeup, wakeup->event_fd, true);
	if (ret)
		wakeup_close(wakeup);
	return ret;
}

void wakeup_close(struct wakeup *wakeup)
{
	if (wakeup->epoll_fd >= 0)
		close(wakeup->epoll_fd);
	if (wakeup->event_fd >= 0)
		close(wakeup->event_fd);
	wakeup->epoll_fd = -1;
	wakeup->event_fd = -1;
}

int wakeup_add(struct wakeup *wakeup, int fd, bool edge)
{
	struct epoll_event event = {
		.events = EPOLLIN | (edge ? EPOLLET : 0),
		.data.fd = fd,
	};

	return epoll_ctl(wakeup->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

void wakeup_remove(struct wakeup *wakeup, int fd)
{
	epoll_ctl(wakeup->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

void wakeup_signal(struct wakeup *wakeup)
{
	uint64_t one = 1;

	if (wakeup->event_fd < 0)
		return;
	// The count is never read: each write is an edge, and 2^64 of them do not happen.
	if (write(wakeup->event_fd, &one, sizeof(one)) < 0)
		return;
}

void wakeup_clear(struct wakeup *wakeup)
{
	struct epoll_event events[4];

	if (wakeup->epoll_fd >= 0)
		epoll_wait(wakeup->epoll_fd, events, 4, 0);
}
