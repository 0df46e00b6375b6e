#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vport/vhost_relay.h"

struct disposal {
	struct disposal *next;
	struct vhost_door *door; // NULL: gone meanwhile
	unsigned int n;
	int fds[];
};

static struct disposal *disposals; // under the door's lock

static void close_each(const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		close(fds[i]);
}

static void unlist(struct disposal *disposal)
{
	struct disposal **at = &disposals;

	while (*at != disposal)
		at = &(*at)->next;
	*at = disposal->next;
	if (disposal->door)
		disposal->door->n_disposals--;
}

static void *run(void *context)
{
	struct disposal *disposal = context;

	close_each(disposal->fds, disposal->n);
	pthread_mutex_lock(&door_lock);
	unlist(disposal);
	pthread_mutex_unlock(&door_lock);
	free(disposal);
	return NULL;
}

static int start(struct disposal *disposal)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int ret;

	if (pthread_attr_init(&attributes))
		return -1;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	ret = pthread_create(&thread, &attributes, run, disposal);
	pthread_attr_destroy(&attributes);
	return ret;
}

void dispose(struct vhost_door *door, const int *fds, unsigned int n)
{
	struct disposal *disposal = malloc(sizeof(*disposal) + n * sizeof(*fds));

	if (!disposal) {
		close_each(fds, n);
		return;
	}
	disposal->door = door;
	disposal->n = n;
	memcpy(disposal->fds, fds, n * sizeof(*fds));
	disposal->next = disposals;
	disposals = disposal;
	door->n_disposals++;
	if (!start(disposal))
		return;
	unlist(disposal);
	free(disposal);
	close_each(fds, n);
}

void disposal_forget(struct vhost_door *door)
{
	for (struct disposal *disposal = disposals; disposal; disposal = disposal->next)
		if (disposal->door == door)
			disposal->door = NULL;
}
