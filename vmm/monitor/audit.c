/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/audit.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/host_clock.h"
#include "numa/share.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/rendezvous.h"
#include "vmm/monitor/vm.h"

/* What one folder found: `errors`, of which the first is in more[] unless there was one before. */
struct part {
	struct monitor_audit *out;
	char more[sizeof(((struct monitor_audit *)0)->first)];
};

static char *room(struct part *p) { return p->out->errors ? p->more : p->out->first; }

static void PRINTF_LIKE(2, 3) wrong(struct part *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!p->out->errors++)
		vsnprintf(p->out->first, sizeof(p->out->first), fmt, ap);
	va_end(ap);
}

static struct guest_page *row_of(void *opaque, struct gpa pa)
{
	const struct vcpu *v = opaque;
	struct gpa ram;

	return vm_ram(v->vm, pa, &ram) ? pmap_row_on(v->vm->ram, ram, __atomic_load_n(&v->node, __ATOMIC_RELAXED))
				       : NULL;
}

/* The interpreter's blocks are known by their machine page, and nothing compares: mem.c has 1 for all of them. */
static uint32_t code_id(void *opaque, const struct machine_page *page)
{
	const struct vm *vm = ((const struct vcpu *)opaque)->vm;
	const struct code_page *cp = __atomic_load_n(&page->code, __ATOMIC_ACQUIRE);

	return !vm->vcpu->jit ? 1 : cp ? jit_code_id(cp) : 0;
}

/* Unmapped code: which record a page has is in a table of its own. */
static void check_unmapped(struct part *p, struct vcpu *v)
{
	for (uint32_t i = 0; i < ABS_CODE_ENTRIES; i++) {
		uint64_t pa = (uint64_t)i << PAGE_SHIFT;
		const struct guest_page *g;

		if (!v->abs_code[i])
			continue;
		g = row_of(v, gpa(pa));
		if (!g || !g->page || code_id(v, g->page) != v->abs_code[i])
			wrong(p, "guest page %#llx is executed by record %u, and has %u", (unsigned long long)pa,
			      v->abs_code[i], g && g->page ? code_id(v, g->page) : 0);
	}
}

static void check_machine(struct part *p, struct vm *vm)
{
	p->out->machines++;
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		struct vcpu *v = &vm->vcpu[i];
		const struct l2tlb_audit ask = {.row = row_of, .code_id = code_id, .opaque = v};

		p->out->errors += l2tlb_audit(v->l2tlb, &ask, &p->out->entries, room(p), sizeof(p->more));
		if (v->jit)
			check_unmapped(p, v);
	}
}

/* A request of some machine's is in flight that has the page. */
static bool changing(void *opaque, const void *host)
{
	const struct monitor *mon = opaque;

	for (const struct vm *vm = mon->machines; vm; vm = vm->next)
		if (virtio_bus_uses(vm, NULL, host, false))
			return true;
	return false;
}

static void check_code(struct part *p, struct monitor *mon, uint64_t with_code)
{
	const struct jit_audit ask = {.changing = changing, .opaque = mon};
	struct jit_audited got = {0};

	if (mon->code)
		code_cache_audit(mon->code, &ask, &got, room(p), sizeof(p->more));
	p->out->errors += got.errors;
	p->out->records = got.records;
	p->out->translations = got.translations;
	if (got.pages != with_code)
		wrong(p, "records have %llu pages, %llu pages have records", (unsigned long long)got.pages,
		      (unsigned long long)with_code);
}

void monitor_audit(struct monitor *mon, struct monitor_audit *out)
{
	struct part p = {.out = out};
	struct memory_audited memory;

	*out = (struct monitor_audit){0};
	out->errors = machine_memory_audit(mon->memory, &memory, out->first, sizeof(out->first));
	out->pages = memory.pages;
	out->shared = memory.shared;
	out->compared = memory.compared;
	pthread_mutex_lock(&mon->lock);
	for (struct vm *vm = mon->machines; vm; vm = vm->next)
		check_machine(&p, vm);
	check_code(&p, mon, memory.with_code);
	pthread_mutex_unlock(&mon->lock);
}

struct live {
	struct monitor *mon;
	struct monitor_audit *out;
};

static void audit_stopped(void *arg)
{
	struct live *l = arg;
	uint64_t from = host_now_ns();

	monitor_audit(l->mon, l->out);
	l->out->audit_ns = host_now_ns() - from;
}

void monitor_audit_live(struct monitor *mon, struct rendezvous_member *self, struct monitor_audit *out)
{
	struct live l = {mon, out};
	uint64_t wait_ns = rendezvous(mon->rendezvous, self, (struct rendezvous_set){0}, audit_stopped, &l);

	out->wait_ns = wait_ns;
}
