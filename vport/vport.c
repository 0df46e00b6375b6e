#include "vport/vport.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/text.h"

#define VPORT(id, class) extern const struct vport_class class;
#include "vport/vport.def"
#undef VPORT

static const struct vport_class *const classes[] = {
#define VPORT(id, class) &class,
#include "vport/vport.def"
#undef VPORT
};

static struct vport *ports[VPORT_MAX];
static unsigned int n_ports; // no port has an index of n_ports or above
static bool changed[VPORT_MAX]; // set by any thread, taken by vport_tick()
static struct vport_events events;
static char run_dir[108] = "/run/vswitch";
static unsigned int n_workers = 1;

void vport_set_events(const struct vport_events *new_events)
{
	events = *new_events;
}

void vport_set_run_dir(const char *path)
{
	snprintf(run_dir, sizeof(run_dir), "%s", path);
}

const char *vport_run_dir(void)
{
	return run_dir;
}

void vport_set_n_workers(unsigned int n)
{
	n_workers = n ? RTE_MIN(n, (unsigned int)VPORT_MAX_QUEUES) : 1;
}

unsigned int vport_n_workers(void)
{
	return n_workers;
}

const struct vport_class *vport_class_at(unsigned int i)
{
	return i < RTE_DIM(classes) ? classes[i] : NULL;
}

// Is `word` one of the words of `list`?
static bool list_contains(const char *list, const char *word)
{
	size_t length = strlen(word);

	if (!length)
		return false;
	while (list && *list) {
		size_t n = strcspn(list, " ");

		if (n == length && !memcmp(list, word, n))
			return true;
		list += n;
		list += strspn(list, " ");
	}
	return false;
}

const struct vport_class *vport_class_find(const char *type)
{
	for (unsigned int i = 0; i < RTE_DIM(classes); i++)
		if (!strcmp(classes[i]->type, type) || list_contains(classes[i]->alias, type))
			return classes[i];
	// No type at all is the type of existing kernel interfaces, as in OVS.
	return *type ? NULL : vport_class_find("system");
}

static int refuse_type(const char *type, struct error *error)
{
	char known[512] = "";
	size_t length = 0;

	for (unsigned int i = 0; i < RTE_DIM(classes) && length < sizeof(known); i++) {
		const char *alias = classes[i]->alias;

		length += (size_t)snprintf(known + length, sizeof(known) - length, "%s%s%s%s%s",
					   i ? ", " : "", classes[i]->type, alias ? " (" : "",
					   alias ? alias : "", alias ? ")" : "");
	}
	return error_set(error, EINVAL, "unknown port type '%s'; known types: %s", type, known);
}

static int refuse_option(const struct vport_class *class, const char *key, struct error *error)
{
	char known[512] = "";
	size_t length = 0;

	for (unsigned int i = 0; class->options[i] && length < sizeof(known); i++)
		length += (size_t)snprintf(known + length, sizeof(known) - length, "%s%s",
					   i ? ", " : "", class->options[i]);
	return error_set(error, EINVAL, "unknown option '%s' for a port of type %s; it knows: %s",
			 key, class->type, *known ? known : "no options");
}

static int options_check(const struct vport_class *class, const struct vport_config *config,
			 struct error *error)
{
	for (unsigned int i = 0; i < config->n_options; i++) {
		const char *key = config->options[i].key;
		unsigned int k = 0;

		while (class->options[k] && strcmp(class->options[k], key))
			k++;
		if (!class->options[k])
			return refuse_option(class, key, error);
		for (unsigned int j = 0; j < i; j++)
			if (!strcmp(config->options[j].key, key))
				return error_set(error, EINVAL, "option '%s' is given twice", key);
	}
	return 0;
}

static int name_check(const char *name, struct error *error)
{
	if (!*name)
		return error_set(error, EINVAL, "a port needs a name");
	if (strlen(name) >= VPORT_NAME_SIZE)
		return error_set(error, ENAMETOOLONG,
				 "port name '%s' is too long: at most %u characters", name,
				 VPORT_NAME_SIZE - 1);
	for (const char *c = name; *c; c++)
		if (*c == '/' || !isgraph((unsigned char)*c))
			return error_set(error, EINVAL,
					 "port name '%s' may not contain '/', white space or "
					 "control characters",
					 name);
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return error_set(error, EINVAL, "a port cannot be named '%s'", name);
	for (unsigned int i = 0; i < n_ports; i++)
		if (ports[i] && !strcmp(ports[i]->name, name))
			return error_set(error, EEXIST, "port '%s' is open already", name);
	return 0;
}

static int config_check(const struct vport_class *class, const struct vport_config *config,
			struct error *error)
{
	int ret = name_check(config->name, error);

	if (!ret)
		ret = options_check(class, config, error);
	if (ret)
		return ret;
	if (config->mtu_request &&
	    (config->mtu_request < VPORT_MIN_MTU || config->mtu_request > VPORT_MAX_MTU))
		return error_set(error, ERANGE, "MTU %u is out of range: %u to %u",
				 config->mtu_request, VPORT_MIN_MTU, VPORT_MAX_MTU);
	if (config->n_rxq > VPORT_MAX_QUEUES)
		return error_set(error, ERANGE, "n_rxq %u is out of range: 1 to %u", config->n_rxq,
				 VPORT_MAX_QUEUES);
	return 0;
}

// Read the status again; says whether anything differs.
static bool status_refresh(struct vport *vport)
{
	struct vport_status *old = &vport->status;
	struct vport_status new = *old;
	bool differs;

	if (vport->class->get_status)
		vport->class->get_status(vport, &new);
	new.link_resets = old->link_resets + (new.link_up != old->link_up);
	differs = new.link_up != old->link_up || new.admin_up != old->admin_up ||
		  new.link_speed != old->link_speed || new.full_duplex != old->full_duplex ||
		  new.mtu != old->mtu || new.ifindex != old->ifindex ||
		  new.problem != old->problem || new.offloads_rx != old->offloads_rx ||
		  new.offloads_tx != old->offloads_tx || memcmp(new.mac, old->mac, sizeof(new.mac));
	// Workers look into the same cache line. (The padding is the old one's, too.)
	if (memcmp(&new, old, sizeof(new)))
		*old = new;
	return differs;
}

struct vport *vport_open(const struct vport_config *config, struct error *error)
{
	const struct vport_class *class = vport_class_find(config->type);
	unsigned int index = 0;
	struct vport *vport;

	if (!class) {
		refuse_type(config->type, error);
		return NULL;
	}
	if (config_check(class, config, error))
		return NULL;
	while (index < VPORT_MAX && ports[index])
		index++;
	if (index == VPORT_MAX) {
		error_set(error, ENOSPC, "there are %u ports already, which is the most",
			  VPORT_MAX);
		return NULL;
	}
	vport = aligned_alloc(RTE_CACHE_LINE_SIZE,
			      RTE_ALIGN_CEIL(class->size, (size_t)RTE_CACHE_LINE_SIZE));
	if (!vport) {
		error_set(error, ENOMEM, "no memory for port '%s'", config->name);
		return NULL;
	}
	memset(vport, 0, class->size);
	vport->class = class;
	vport->index = (uint16_t)index;
	vport->n_rxq = 1;
	vport->n_txq = (uint16_t)n_workers;
	vport->mtu = config->mtu_request ? config->mtu_request : VPORT_DEFAULT_MTU;
	vport->offloads_wanted = offload_sensible(OFFLOAD_ALL & ~config->no_offloads);
	vport->polled = true;
	vport->status.admin_up = true;
	vport->status.mtu = vport->mtu;
	snprintf(vport->name, sizeof(vport->name), "%s", config->name);
	__atomic_store_n(&changed[index], false, __ATOMIC_RELAXED);
	if (class->open(vport, config, error)) {
		free(vport);
		return NULL;
	}
	ports[index] = vport;
	if (index >= n_ports)
		n_ports = index + 1;
	status_refresh(vport);
	vport->status.link_resets = 0;
	return vport;
}

void vport_close(struct vport *vport)
{
	ports[vport->index] = NULL;
	while (n_ports && !ports[n_ports - 1])
		n_ports--;
	vport->class->close(vport);
	free(vport);
}

void vport_set_offloads(struct vport *vport, uint32_t no_offloads)
{
	const uint32_t wanted = offload_sensible(OFFLOAD_ALL & ~no_offloads);

	if (wanted == vport->offloads_wanted)
		return;
	__atomic_store_n(&vport->offloads_wanted, wanted, __ATOMIC_RELAXED);
	if (vport->class->set_offloads)
		vport->class->set_offloads(vport);
}

struct vport *vport_by_index(unsigned int index)
{
	return index < n_ports ? ports[index] : NULL;
}

void vport_tick(void)
{
	// The owner may open and close ports when it is told of a change: look again each time.
	for (unsigned int i = 0; i < n_ports; i++) {
		struct vport *vport = ports[i];
		bool differs;

		if (!vport)
			continue;
		if (vport->class->tick)
			vport->class->tick(vport);
		differs = __atomic_exchange_n(&changed[i], false, __ATOMIC_ACQUIRE);
		differs |= status_refresh(vport);
		if (differs && events.changed)
			events.changed(events.context, vport);
	}
}

void vport_mark_changed(struct vport *vport)
{
	__atomic_store_n(&changed[vport->index], true, __ATOMIC_RELEASE);
}

const char *vport_config_option(const struct vport_config *config, const char *key)
{
	for (unsigned int i = 0; i < config->n_options; i++)
		if (!strcmp(config->options[i].key, key))
			return config->options[i].value;
	return NULL;
}

int vport_config_bool(const struct vport_config *config, const char *key, bool *value,
		      struct error *error)
{
	const char *text = vport_config_option(config, key);

	if (!text)
		return 0;
	if (strcmp(text, "true") && strcmp(text, "false"))
		return error_set(error, EINVAL, "option '%s' is true or false, not '%s'", key,
				 text);
	*value = *text == 't';
	return 0;
}

int vport_config_number(const struct vport_config *config, const char *key, unsigned int min,
			unsigned int max, unsigned int *value, struct error *error)
{
	const char *text = vport_config_option(config, key);
	uint64_t number;

	if (!text)
		return 0;
	if (parse_u64(text, &number) || number < min || number > max)
		return error_set(error, EINVAL, "option '%s' is a number from %u to %u, not '%s'",
				 key, min, max, text);
	*value = (unsigned int)number;
	return 0;
}
