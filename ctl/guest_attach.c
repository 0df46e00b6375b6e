#include "ctl/guest_attach.h"

#include "common/text.h"
#include "ctl/config.h"
#include "vport/guest.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

struct attachment {
	const struct vport *vport;
	const struct vport_guest *guest;
	char id[VPORT_NAME_SIZE]; // the port's name, as QEMU allows in ids
	char mac[18];
	unsigned int queues;
	unsigned int mtu; // 0: QEMU's default will do
};

// QEMU's ids are of letters, digits and "-._"; they begin with a letter, which a prefix sees to.
static void make_id(const char *name, char *id, size_t size)
{
	size_t i;

	for (i = 0; i < size - 1 && name[i]; i++)
		id[i] = isalnum((unsigned char)name[i]) || name[i] == '.' || name[i] == '_'
				? name[i]
				: '-';
	id[i] = '\0';
}

// The address that the configuration names; else one made from the port's name, which stays the
// same. 52:54:00 is what QEMU's own defaults begin with.
static void choose_mac(const json_t *interface, const char *name, char mac[18])
{
	const char *attached = config_key(interface, "external_ids", "attached-mac");
	uint8_t bytes[6];
	uint32_t hash = 2166136261u;

	if (attached && !parse_mac(attached, bytes)) {
		snprintf(mac, 18, "%s", attached);
		return;
	}
	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	snprintf(mac, 18, "52:54:00:%02x:%02x:%02x", hash >> 24, hash >> 16 & 0xff,
		 hash >> 8 & 0xff);
}

static unsigned int choose_queues(const json_t *interface)
{
	const char *n_rxq = config_key(interface, "options", "n_rxq");
	uint64_t number;

	return n_rxq && !parse_u64(n_rxq, &number) && number <= VPORT_MAX_QUEUES
		       ? (unsigned int)number
		       : 1;
}

// --- QEMU ---

// QEMU ends a value at a comma, unless there are two.
static void add_value(struct text *text, const char *value)
{
	for (; *value; value++) {
		if (*value == ',')
			text_add_char(text, ',');
		text_add_char(text, *value);
	}
}

static void add_argument(json_t *list, const char *option, struct text *value)
{
	json_array_append_new(list, json_string(option));
	json_array_append_new(list, json_string(value->data ? value->data : ""));
	text_free(value);
}

static json_t *qemu_arguments(const struct attachment *a)
{
	json_t *list = json_array();
	struct text text = { 0 };

	text_add(&text, "memory-backend-memfd,id=mem,size=1G,share=on");
	add_argument(list, "-object", &text);
	text_add(&text, "memory-backend=mem");
	add_argument(list, "-machine", &text);
	text_addf(&text, "socket,id=char-%s,path=", a->id);
	add_value(&text, a->guest->path);
	// When we connect, QEMU listens; when we listen, QEMU tries again after a second.
	text_add(&text, a->guest->server ? ",reconnect=1" : ",server=on,wait=off");
	add_argument(list, "-chardev", &text);
	text_addf(&text, "vhost-user,id=net-%s,chardev=char-%s", a->id, a->id);
	if (a->queues > 1)
		text_addf(&text, ",queues=%u", a->queues);
	add_argument(list, "-netdev", &text);
	text_addf(&text, "virtio-net-pci,netdev=net-%s,mac=%s", a->id, a->mac);
	// A vector for each ring, one for the configuration, one for the control queue.
	if (a->queues > 1)
		text_addf(&text, ",mq=on,vectors=%u", 2 * a->queues + 2);
	if (a->mtu)
		text_addf(&text, ",host_mtu=%u", a->mtu);
	add_argument(list, "-device", &text);
	return list;
}

// --- libvirt ---

static void add_xml(struct text *text, const char *value)
{
	for (; *value; value++)
		switch (*value) {
		case '&':
			text_add(text, "&amp;");
			break;
		case '<':
			text_add(text, "&lt;");
			break;
		case '>':
			text_add(text, "&gt;");
			break;
		case '\'':
			text_add(text, "&apos;");
			break;
		default:
			text_add_char(text, *value);
		}
}

static json_t *libvirt_xml(const struct attachment *a)
{
	struct text text = { 0 };
	json_t *xml;

	text_add(&text, "<!-- once in the domain: memory that the switch can see -->\n"
			"<memoryBacking>\n"
			"  <source type='memfd'/>\n"
			"  <access mode='shared'/>\n"
			"</memoryBacking>\n"
			"<!-- in its devices -->\n"
			"<interface type='vhostuser'>\n");
	text_addf(&text, "  <mac address='%s'/>\n  <source type='unix' path='", a->mac);
	add_xml(&text, a->guest->path);
	if (a->guest->server)
		text_add(&text, "' mode='client'>\n"
				"    <reconnect enabled='yes' timeout='1'/>\n"
				"  </source>\n");
	else
		text_add(&text, "' mode='server'/>\n");
	text_add(&text, "  <model type='virtio'/>\n");
	if (a->queues > 1)
		text_addf(&text, "  <driver queues='%u'/>\n", a->queues);
	if (a->mtu)
		text_addf(&text, "  <mtu size='%u'/>\n", a->mtu);
	text_add(&text, "</interface>");
	xml = json_string(text.data ? text.data : "");
	text_free(&text);
	return xml;
}

json_t *guest_attach(const json_t *interface, const struct vport *vport,
		     const struct vport_guest *guest, bool libvirt)
{
	struct attachment attachment = {
		.vport = vport,
		.guest = guest,
		.queues = choose_queues(interface),
		.mtu = vport->mtu == VPORT_DEFAULT_MTU ? 0 : vport->mtu,
	};

	make_id(vport->name, attachment.id, sizeof(attachment.id));
	choose_mac(interface, vport->name, attachment.mac);
	if (libvirt)
		return json_pack("{s:s, s:o}", "port", vport->name, "xml",
				 libvirt_xml(&attachment));
	return json_pack("{s:s, s:o}", "port", vport->name, "arguments",
			 qemu_arguments(&attachment));
}
