/* SPDX-License-Identifier: MIT */
#include "vmm/look/stats.h"

#include <inttypes.h>

#include "pv-drivers/net/net.h"
#include "pv-drivers/virtio/devices.h"
#include "numa/move.h"
#include "numa/share.h"
#include "vmm/look/json.h"

#include "vmm/cpu/exception.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/monitor/follow.h"
#include "vmm/monitor/footprint.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/simulation.h"

enum unit { GROUP_ROW, INSNS, COUNT, BYTES, NS };

struct row {
	const char *name, *text;
	enum unit unit;
	uint64_t value;
};

enum {
#define GROUP(...)   +1
#define COUNTER(...) +1
	NUM_ROWS = 0
#include "vmm/look/counters.def"
#undef COUNTER
#undef GROUP
};

static const char *const exit_names[NUM_EXITS] = {
    [EXIT_NONE] = "none",     [EXIT_LINK] = "link",     [EXIT_INDIRECT] = "indirect",
    [EXIT_POLL] = "poll",     [EXIT_BUDGET] = "budget", [EXIT_EXCEPTION] = "exception",
    [EXIT_PC_SET] = "pc_set", [EXIT_HOT] = "hot",       [EXIT_SIDE] = "side",
    [EXIT_SMC] = "smc",
};

const char *stats_exit_name(int exit) { return exit_names[exit]; }

/* Bytes of guest memory of a class; NUM_MEMORY_CLASSES: of all of them. */
static uint64_t pages(const struct vcpu *v, enum memory_class class)
{
	uint64_t n = 0;

	for (unsigned c = 0; c < NUM_MEMORY_CLASSES; c++)
		if (class == NUM_MEMORY_CLASSES || class == c)
			n += pmap_class_pages(v->vm->ram, c);
	return n * PAGE_BYTES;
}

/* Bytes of guest memory on the node of the processor that it runs on; on others. */
static uint64_t near(const struct vcpu *v)
{
	return v->vm->follow ? pmap_node_pages(v->vm->ram, v->node) * PAGE_BYTES : 0;
}

static uint64_t far(const struct vcpu *v)
{
	return v->vm->follow ? pages(v, NUM_MEMORY_CLASSES) - pages(v, MEMORY_ZERO) - near(v) : 0;
}

static uint64_t left_of(const uint64_t left[NUM_POLICY_REASONS])
{
	uint64_t n = 0;

	for (unsigned i = 0; i < NUM_POLICY_REASONS; i++)
		n += left[i];
	return n;
}

/* Of all simulated processors; zeroes: there are none. */
static struct flash_stats sim_totals(const struct vm *vm)
{
	return vm->monitor->simulation ? simulation_totals(vm->monitor->simulation) : (struct flash_stats){0};
}

static uint64_t sim_cycles(const struct vcpu *v)
{
	return v->caches.flash ? simulation_cycles(v->vm->monitor->simulation) : 0;
}

static uint64_t sim_ns(const struct vcpu *v)
{
	return v->caches.flash ? sim_cycles(v) * 1000 / v->vm->monitor->numa.clock_mhz : 0;
}

static unsigned collect(struct vm *vm, struct row *rows)
{
	const struct vcpu *v = vm->vcpu;
	struct jit_stats cache = v->jit ? jit_stats(v->jit) : (struct jit_stats){0};
	struct jit_made made = v->jit ? jit_made(v->jit) : (struct jit_made){0};
	const struct jit_stats *j = &cache;
	const struct l2tlb_stats *l = l2tlb_stats(v->l2tlb);
	const struct pmap_stats *s = pmap_stats(vm->ram);
	struct machine_memory *m = vm->monitor->memory;
	struct follow_stats f = follow_stats(vm);
	struct flash_stats p = sim_totals(vm);
	struct simulation_counts d = {0};
	struct footprint process = footprint(vm->monitor);
	unsigned n = 0;

	if (vm->monitor->simulation)
		d = simulation_counts(vm->monitor->simulation);
#define GROUP(name, title)               rows[n++] = (struct row){name, title, GROUP_ROW, 0};
#define COUNTER(name, unit, value, text) rows[n++] = (struct row){name, text, unit, value};
#include "vmm/look/counters.def"
#undef COUNTER
#undef GROUP
	return n;
}

static void print_row(FILE *out, const struct row *r)
{
	if (r->unit == GROUP_ROW)
		fprintf(out, "%s\n", r->text);
	else if (r->unit == NS)
		fprintf(out, "  %15.3f ms  %s\n", (double)r->value / 1e6, r->text);
	else if (r->unit == BYTES)
		fprintf(out, "  %15.1f KiB %s\n", (double)r->value / 1024, r->text);
	else
		fprintf(out, "  %15" PRIu64 "     %s\n", r->value, r->text);
}

static void print_names(FILE *out, const char *title, const char *const *names, const uint64_t *values, unsigned n)
{
	fprintf(out, "%s\n", title);
	for (unsigned i = 0; i < n; i++)
		if (values[i])
			fprintf(out, "  %15" PRIu64 "     %s\n", values[i], names[i] ? names[i] : "?");
}

static void print_devices(FILE *out, const struct vm *vm)
{
	const struct virtio_device *d;

	for (unsigned i = 0; (d = virtio_bus_device(vm, i)); i++) {
		if (!i)
			fprintf(out, "Devices: requests, traps to make them, interrupts, KiB to and from the guest\n");
		fprintf(out, "  %11" PRIu64 " %9" PRIu64 " %9" PRIu64 " %11.1f %11.1f  %s\n", d->stats.requests,
			d->stats.notifies, d->stats.interrupts, (double)d->stats.bytes_in / 1024,
			(double)d->stats.bytes_out / 1024, d->name);
	}
}

enum {
#define NET_COUNTER(...) +1
	NUM_NET_ROWS = 0
#include "pv-drivers/net/net_counters.def"
#undef NET_COUNTER
};

/* False: d is no network card. */
static bool collect_net(const struct virtio_device *d, struct row *rows)
{
	struct net_counters c;
	unsigned n = 0;

	if (!virtio_net_count(d, &c))
		return false;
#define NET_COUNTER(name, unit, text) rows[n++] = (struct row){#name, text, unit, c.name};
#include "pv-drivers/net/net_counters.def"
#undef NET_COUNTER
	return true;
}

/* What was not lost is not said. */
static void print_nets(FILE *out, const struct vm *vm)
{
	struct row rows[NUM_NET_ROWS];
	const struct virtio_device *d;

	for (unsigned i = 0; (d = virtio_bus_device(vm, i)); i++) {
		if (!collect_net(d, rows))
			continue;
		fprintf(out, "Network card, %s\n", d->name);
		for (unsigned k = 0; k < NUM_NET_ROWS; k++)
			if (rows[k].value)
				print_row(out, &rows[k]);
	}
}

void stats_print(struct vm *vm, FILE *out)
{
	struct row rows[NUM_ROWS];
	unsigned n = collect(vm, rows);

	for (unsigned i = 0; i < n; i++)
		print_row(out, &rows[i]);
	if (!vm->cfg.count_insns)
		fprintf(out, "(instructions are counted with --stats only)\n");
	print_names(out, "Exits from translated code, by reason", exit_names, vm->vcpu->stats.exits, NUM_EXITS);
	print_names(out, "Guest exceptions, by code", exception_names, vm->vcpu->stats.exceptions, 32);
	print_devices(out, vm);
	print_nets(out, vm);
}

static void json_names(FILE *out, const char *key, const char *const *names, const uint64_t *values, unsigned n)
{
	const char *sep = "";

	fprintf(out, ",\n  \"%s\": {", key);
	for (unsigned i = 0; i < n; i++) {
		if (!names[i])
			continue;
		fprintf(out, "%s\"%s\": %" PRIu64, sep, names[i], values[i]);
		sep = ", ";
	}
	fprintf(out, "}");
}

static void json_net(FILE *out, const struct virtio_device *d)
{
	struct row rows[NUM_NET_ROWS];

	if (!collect_net(d, rows))
		return;
	fprintf(out, ", \"net\": {");
	for (unsigned k = 0; k < NUM_NET_ROWS; k++)
		fprintf(out, "%s\"%s\": %" PRIu64, k ? ", " : "", rows[k].name, rows[k].value);
	fprintf(out, "}");
}

static void json_devices(FILE *out, const struct vm *vm)
{
	const struct virtio_device *d;

	fprintf(out, ",\n  \"devices\": [");
	for (unsigned i = 0; (d = virtio_bus_device(vm, i)); i++) {
		fprintf(out, "%s{\"name\": ", i ? ", " : "");
		json_print_string(out, d->name);
		fprintf(out,
			", \"virtio_id\": %u, \"requests\": %" PRIu64 ", \"notifies\": %" PRIu64
			", \"interrupts\": %" PRIu64 ", \"bytes_in\": %" PRIu64 ", \"bytes_out\": %" PRIu64,
			d->id, d->stats.requests, d->stats.notifies, d->stats.interrupts, d->stats.bytes_in,
			d->stats.bytes_out);
		json_net(out, d);
		fprintf(out, "}");
	}
	fprintf(out, "]");
}

void stats_print_json(struct vm *vm, FILE *out)
{
	struct row rows[NUM_ROWS];
	unsigned n = collect(vm, rows);
	bool first = true;

	fprintf(out, "{\n  \"virtual_ns\": %" PRIu64, clock_now_ns(vm->clock));
	for (unsigned i = 0; i < n; i++) {
		if (rows[i].unit == GROUP_ROW) {
			fprintf(out, "%s,\n  \"%s\": {", i ? "}" : "", rows[i].name);
			first = true;
			continue;
		}
		fprintf(out, "%s\"%s\": %" PRIu64, first ? "" : ", ", rows[i].name, rows[i].value);
		first = false;
	}
	fprintf(out, "}");
	json_names(out, "exits", exit_names, vm->vcpu->stats.exits, NUM_EXITS);
	json_names(out, "exceptions", exception_names, vm->vcpu->stats.exceptions, 32);
	json_devices(out, vm);
	fprintf(out, "\n}\n");
}
