/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "vmm/devices/guest_devices.h"

#include "vmm/cli/options.h"
#include "vmm/devices/agent.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/host/stream.h"
#include "vmm/host/terminal.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pv-drivers/virtio/devices.h"
#include "pv-drivers/disk/disk.h"
#include "pv-drivers/net/net.h"
#include "pv-drivers/net/net_tape.h"

struct terminal_port {
	struct guest_devices *m;
	unsigned n;
};

struct guest_devices {
	const struct run_options *opt;
	struct wakeup *wakeup;
	struct disk *disk[RUN_MAX_DISKS];
	char *disk_name[RUN_MAX_DISKS];
	struct net *net[RUN_MAX_NETS];
	char net_name[RUN_MAX_NETS][16];
	struct region *region[RUN_MAX_REGIONS];
	struct terminal *terminal[RUN_MAX_TERMINALS];
	struct terminal_port port[RUN_MAX_TERMINALS];

	/* Of the machine that runs now. */
	struct virtio_device *terminals;
};

/* Any thread. */
static void complain(void *opaque, const char *line)
{
	const struct guest_devices *m = opaque;

	options_say(m->opt, "%s", line);
}

static int open_disk(struct guest_devices *m, unsigned i)
{
	const struct run_disk *d = &m->opt->disk[i];
	struct disk_config cfg = {.path = d->path,
				  .mode = d->mode,
				  .format = d->format,
				  .overlay = d->overlay,
				  .werror = d->werror,
				  .rerror = d->rerror,
				  .complain = complain,
				  .opaque = m};
	struct disk_error err = {{0}};
	int r;

	if (asprintf(&m->disk_name[i], "disk %s", d->path) < 0) {
		m->disk_name[i] = NULL;
		options_say(m->opt, "the host has no memory left");
		return -ENOMEM;
	}
	r = disk_open(&m->disk[i], &cfg, &err);
	if (r)
		options_say(m->opt, "--disk %s", err.text);
	return r;
}

static bool is_taped(const struct run_options *o) { return o->record || o->replay; }

static void kick(void *opaque) { wakeup_kick(opaque); }

/* Between the card and its cable, if that is there. */
static int put_tape(struct guest_devices *m, unsigned i, const struct net_config *cfg)
{
	struct net *cable = m->net[i];
	int r = net_tape_new(&m->net[i], cfg, cable, kick, m->wakeup);

	if (r) {
		m->net[i] = cable;
		options_say(m->opt, "--net: %s", strerror(-r));
	}
	return r;
}

static int open_net(struct guest_devices *m, unsigned i, struct net_switch *sw)
{
	struct net_config cfg = m->opt->net[i];
	struct net_error err = {{0}};
	int r;

	cfg.complain = complain;
	cfg.opaque = m;
	cfg.net_switch = sw;
	cfg.machine = m->opt->number;
	cfg.card = i;
	/* Locally administered; the same in every run that is to be repeated. */
	if (m->opt->icount && !cfg.has_mac && cfg.kind != NET_LAN) {
		unsigned n = m->opt->number;
		const uint8_t mac[6] = {2, 0, 0, (uint8_t)(n >> 8), (uint8_t)n, (uint8_t)(1 + i)};

		cfg.has_mac = true;
		memcpy(cfg.mac, mac, sizeof(mac));
	}
	snprintf(m->net_name[i], sizeof(m->net_name[i]), "net %u", i);
	r = m->opt->replay ? 0 : net_open(&m->net[i], &cfg, &err);
	if (r)
		options_say(m->opt, "--net: %s", err.text);
	return r || !is_taped(m->opt) ? r : put_tape(m, i, &cfg);
}

static int open_region(struct guest_devices *m, unsigned i, struct machine_memory *memory)
{
	const struct run_region *g = &m->opt->region[i];
	int r = region_get(&m->region[i], memory, g->name, g->bytes);

	if (r == -EEXIST)
		options_say(m->opt, "--shared-region %s: another machine has it with another size than %lluK", g->name,
			    (unsigned long long)g->bytes >> 10);
	else if (r)
		options_say(m->opt, "--shared-region %s: %s", g->name, strerror(-r));
	return r;
}

static int open_terminal(struct guest_devices *m, unsigned i, struct wakeup *w)
{
	const char *path = m->opt->terminal[i].path;
	int r = terminal_open(&m->terminal[i], path, w, m->opt->speaker);

	m->port[i] = (struct terminal_port){m, i};
	if (r)
		options_say(m->opt, "--terminal %s%s: %s", path ? "unix=" : "pty", path ? path : "", strerror(-r));
	return r;
}

int guest_devices_open(struct guest_devices **out, const struct run_options *opt, struct monitor *mon, struct wakeup *w)
{
	struct guest_devices *m = calloc(1, sizeof(*m));
	int r = 0;

	if (!m) {
		options_say(opt, "the host has no memory left");
		return -ENOMEM;
	}
	m->opt = opt;
	m->wakeup = w;
	for (unsigned i = 0; !r && i < opt->n_disks; i++)
		r = open_disk(m, i);
	for (unsigned i = 0; !r && i < opt->n_nets; i++)
		r = open_net(m, i, mon->net_switch);
	for (unsigned i = 0; !r && i < opt->n_regions; i++)
		r = open_region(m, i, mon->memory);
	for (unsigned i = 0; !r && i < opt->n_terminals; i++)
		r = open_terminal(m, i, w);
	if (r) {
		(void)guest_devices_close(m);
		return r;
	}
	*out = m;
	return 0;
}

void guest_devices_flush(struct guest_devices *m)
{
	for (unsigned i = 0; i < RUN_MAX_DISKS; i++)
		if (m->disk[i])
			(void)!disk_flush(m->disk[i]); /* says itself what is wrong */
}

int guest_devices_close(struct guest_devices *m)
{
	int r = 0;

	if (!m)
		return 0;
	for (unsigned i = 0; i < RUN_MAX_DISKS; i++) {
		int one = m->disk[i] ? disk_close(m->disk[i]) : 0; /* says itself what is wrong */

		r = r ? r : one;
		free(m->disk_name[i]);
	}
	for (unsigned i = 0; i < RUN_MAX_NETS; i++)
		if (m->net[i])
			net_close(m->net[i]);
	for (unsigned i = 0; i < RUN_MAX_REGIONS; i++)
		if (m->region[i])
			region_put(m->region[i]);
	for (unsigned i = 0; i < RUN_MAX_TERMINALS; i++)
		terminal_close(m->terminal[i]);
	free(m);
	return r;
}

struct net *guest_devices_tape(const struct guest_devices *m, unsigned i)
{
	return is_taped(m->opt) && i < m->opt->n_nets ? m->net[i] : NULL;
}

struct region *const *guest_devices_regions(const struct guest_devices *m, unsigned *n)
{
	*n = m->opt->n_regions;
	return m->region;
}

/* ---- terminals ---- */

static size_t on_terminal_tx(void *opaque, const uint8_t *data, size_t n)
{
	struct terminal_port *p = opaque;

	return terminal_put(p->m->terminal[p->n], data, n);
}

void guest_devices_poll(struct guest_devices *m)
{
	if (!m || !m->terminals)
		return;
	for (unsigned i = 0; i < m->opt->n_terminals; i++) {
		uint8_t buf[4096];
		size_t room = virtio_console_room(m->terminals, i), n;

		if (room > sizeof(buf))
			room = sizeof(buf);
		n = room ? terminal_get(m->terminal[i], buf, room) : 0;
		if (n)
			(void)virtio_console_send(m->terminals, i, buf, n);
		if (terminal_has_room(m->terminal[i]))
			virtio_console_ready(m->terminals, i);
	}
}

static void on_terminal_room(void *opaque) { guest_devices_poll(((struct terminal_port *)opaque)->m); }

static int plug_terminals(struct guest_devices *m, struct vm *vm)
{
	static const char *const names[] = {"disco.terminal0", "disco.terminal1", "disco.terminal2", "disco.terminal3"};
	struct console_port ports[RUN_MAX_TERMINALS] = {{0}};
	int r;

	if (!m->opt->n_terminals)
		return 0;
	for (unsigned i = 0; i < m->opt->n_terminals; i++)
		ports[i] = (struct console_port){.name = names[i],
						 .is_console = true,
						 .tx = on_terminal_tx,
						 .room = on_terminal_room,
						 .opaque = &m->port[i]};
	r = virtio_console_new(&m->terminals, ports, m->opt->n_terminals);
	return r ? r : vm_add_virtio(vm, m->terminals);
}

/* ---- a boot ---- */

static int plug_disks(struct guest_devices *m, struct vm *vm)
{
	int r = 0;

	for (unsigned i = 0; !r && i < m->opt->n_disks; i++) {
		const char *serial = m->opt->disk[i].serial;
		struct virtio_device *d;

		r = virtio_blk_new(&d, m->disk[i], m->disk_name[i], serial ? serial : "");
		r = r ? r : vm_add_virtio(vm, d);
	}
	return r;
}

static int plug_nets(struct guest_devices *m, struct vm *vm)
{
	int r = 0;

	for (unsigned i = 0; !r && i < m->opt->n_nets; i++) {
		struct virtio_device *d;

		r = virtio_net_new(&d, m->net[i], m->net_name[i]);
		r = r ? r : vm_add_virtio(vm, d);
	}
	return r;
}

static int plug_shares(struct guest_devices *m, struct vm *vm)
{
	int r = 0;

	for (unsigned i = 0; !r && i < m->opt->n_shares; i++) {
		const struct run_share *s = &m->opt->share[i];
		struct virtio_device *d;

		r = virtio_9p_new(&d, s->dir, s->tag, s->read_only);
		r = r ? r : vm_add_virtio(vm, d);
	}
	return r;
}

static int plug_others(struct guest_devices *m, struct vm *vm)
{
	struct virtio_device *d;
	int r = virtio_rng_new(&d);

	r = r ? r : vm_add_virtio(vm, d);
	if (r || !m->opt->balloon)
		return r;
	r = virtio_balloon_new(&d, m->opt->mem_bytes);
	r = r ? r : vm_add_virtio(vm, d);
	if (!r)
		virtio_balloon_set_target(d, (uint32_t)(m->opt->balloon_bytes >> 12));
	return r;
}

int guest_devices_plug(struct guest_devices *m, struct vm *vm, struct agent *agent)
{
	int r = plug_disks(m, vm);

	r = r ? r : plug_nets(m, vm);
	r = r || !agent ? r : agent_plug(agent, vm);
	r = r ? r : plug_terminals(m, vm);
	r = r ? r : plug_shares(m, vm);
	r = r ? r : plug_others(m, vm);
	if (r)
		options_say(m->opt, "cannot make the machine's devices: %s", strerror(-r));
	return r;
}

void guest_devices_unplug(struct guest_devices *m)
{
	if (m)
		m->terminals = NULL;
}
