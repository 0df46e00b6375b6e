#include "flowtable/flow_pool.h"

#include <stdlib.h>
#include <string.h>

#define LINE 64
#define SLAB_SIZE 65536

// Room for a flow that matches every word of the key.
#define N_CLASSES 24

struct free_object {
	struct free_object *next;
};

static struct free_object *free_objects[N_CLASSES];

static size_t class_of(size_t size)
{
	return (size + LINE - 1) / LINE;
}

// A sanitizer watches objects that have an allocation of their own.
#ifdef __SANITIZE_ADDRESS__
#define POOLED(class) ((void)(class), false)
#else
#define POOLED(class) ((class) < N_CLASSES)
#endif

static bool add_slab(size_t class)
{
	const size_t size = class * LINE;
	char *slab = aligned_alloc(LINE, SLAB_SIZE);

	if (!slab)
		return false;
	// In rising order of address, as they will be used.
	for (size_t i = SLAB_SIZE / size; i-- > 0;) {
		struct free_object *object = (struct free_object *)(slab + i * size);

		object->next = free_objects[class];
		free_objects[class] = object;
	}
	return true;
}

void *flow_pool_alloc(size_t size)
{
	const size_t class = class_of(size);
	struct free_object *object;

	if (!POOLED(class)) {
		object = aligned_alloc(LINE, class * LINE);
	} else {
		if (!free_objects[class] && !add_slab(class))
			return NULL;
		object = free_objects[class];
		free_objects[class] = object->next;
	}
	if (object)
		memset(object, 0, size);
	return object;
}

void flow_pool_free(void *pointer, size_t size)
{
	const size_t class = class_of(size);
	struct free_object *object = pointer;

	if (!POOLED(class)) {
		free(pointer);
		return;
	}
	object->next = free_objects[class];
	free_objects[class] = object;
}
