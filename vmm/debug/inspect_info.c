/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "frontend/cp0.h"
#include "numa/share.h"
#include "pv-drivers/virtio/virtio.h"
#include "vmm/board/i8259.h"
#include "vmm/board/pci.h"
#include "vmm/debug/inspect_internal.h"
#include "vmm/debug/registers.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/monitor/monitor.h"

/* What `info` shows. */

void info_registers(struct inspection *i)
{
	unsigned column = 0;

	for (unsigned n = 0; n < debug_reg_count(); n++) {
		char name[16];

		debug_reg_name(n, name);
		fprintf(i->out, "%10s %0*" PRIx64 "%s", name, (int)(2 * debug_reg_bytes(n)), debug_reg_read(i->v, n),
			++column % 4 ? "" : "\n");
	}
	fprintf(i->out, "%s", column % 4 ? "\n" : "");
}

static void put_half(FILE *out, uint64_t lo)
{
	fprintf(out, "  %09" PRIx64 " C%u %c%c%c%c", (lo >> 6 & 0xffffff) << PAGE_SHIFT, (unsigned)(lo >> 3 & 7),
		lo & ENTRYLO_V ? 'v' : '-', lo & ENTRYLO_D ? 'd' : '-', lo & ENTRYLO_RI ? 'r' : '-',
		lo & ENTRYLO_XI ? 'x' : '-');
}

void info_tlb(struct inspection *i)
{
	const struct guest_tlb *tlb = &i->v->tlb;
	unsigned used = 0;

	for (unsigned k = 0; k < tlb->n; k++) {
		const struct guest_tlb_entry *e = &tlb->e[k];

		if (e->hw_invalid)
			continue;
		used++;
		fprintf(i->out, "%2u  %08" PRIx64 " %6" PRIu64 "K ", k, e->vpn2, guest_tlb_entry_bytes(e) >> 11);
		if (e->global)
			fprintf(i->out, "global ");
		else
			fprintf(i->out, "asid %02x", e->asid);
		put_half(i->out, e->lo[0]);
		put_half(i->out, e->lo[1]);
		fputc('\n', i->out);
	}
	fprintf(i->out, "%u of %u entries written since reset; v valid, d may be written, r no reads, x no execution\n",
		used, tlb->n);
}

/* ---- what the monitor has made of it ---- */

void info_l2tlb(struct inspection *i)
{
	const struct l2tlb_stats *s = l2tlb_stats(i->v->l2tlb);
	struct l2tlb_counts c;

	l2tlb_count(i->v->l2tlb, &c);
	fprintf(i->out,
		"%" PRIu64 " entries in %u tables of %u; %u translations kept that the guest's TLB has evicted\n",
		c.entries, c.tables, L2TLB_ENTRIES, c.kept);
	fprintf(i->out,
		"refills: %" PRIu64 " by the guest's TLB, %" PRIu64 " by kept ones, %" PRIu64
		" by the guest's handler\n",
		s->refills_arch, s->refills_bank, s->refills_guest);
	fprintf(i->out,
		"%" PRIu64 " changes of the address space, %" PRIu64 " banks that overflowed, %" PRIu64
		" tables recycled, %" PRIu64 " pages shot down\n",
		s->bank_swaps, s->banks_dropped, s->tables_recycled, s->shootdowns);
}

static const char *const class_names[NUM_MEMORY_CLASSES] = {
    [MEMORY_PRIVATE] = "private", [MEMORY_BLOCK] = "disk block", [MEMORY_EQUAL] = "equal to another",
    [MEMORY_ZERO] = "zero",       [MEMORY_REGION] = "region",
};

void info_mem(struct inspection *i)
{
	const struct vm *vm = i->v->vm;
	uint64_t bytes = pmap_bytes(vm->ram), touched = 0;
	struct gpa last = vm_ram_physical(gpa(bytes - 1));

	fprintf(i->out, "%" PRIu64 "M of memory, up to physical address %08" PRIx64 "\n", bytes >> 20, last.v);
	for (unsigned c = 0; c < NUM_MEMORY_CLASSES; c++) {
		uint64_t pages = pmap_class_pages(vm->ram, c);

		touched += pages;
		fprintf(i->out, "%8" PRIu64 "K %s\n", pages << (PAGE_SHIFT - 10), class_names[c]);
	}
	fprintf(i->out, "%8" PRIu64 "K never touched\n", (bytes >> 10) - (touched << (PAGE_SHIFT - 10)));
}

/* What a guest page is, for people; equal texts are one run. */
static void describe_page(const struct machine_page *page, char out[64])
{
	if (!page)
		snprintf(out, 64, "-");
	else
		snprintf(out, 64, "node %u%s%s", page->node,
			 page_has(page, PAGE_ZERO)     ? ", zero"
			 : page_has(page, PAGE_REGION) ? ", region"
			 : page_has(page, PAGE_EQUAL)  ? ", shared: equal"
			 : page_has(page, PAGE_SHARED) ? ", shared: disk block"
						       : "",
			 page_has(page, PAGE_CODE) ? ", code" : "");
}

static void put_run(struct inspection *i, uint64_t from, uint64_t to, const char *what)
{
	fprintf(i->out, "%08" PRIx64 "-%08" PRIx64 " %7" PRIu64 "K  %s\n", vm_ram_physical(gpa(from)).v,
		vm_ram_physical(gpa(to - 1)).v, (to - from) >> 10, what);
}

void info_pmap(struct inspection *i)
{
	enum { MOST = 1000 };
	const struct vm *vm = i->v->vm;
	uint64_t from = 0, bytes = pmap_bytes(vm->ram);
	char was[64] = "", now[64];
	unsigned runs = 0;

	for (uint64_t at = 0; at < bytes && runs < MOST; at += PAGE_BYTES) {
		describe_page(pmap_peek(vm->ram, gpa(at)), now);
		if (at && strcmp(was, now) != 0) {
			put_run(i, from, at, was);
			from = at;
			runs++;
		}
		memcpy(was, now, sizeof(was));
	}
	if (runs < MOST)
		put_run(i, from, bytes, was);
	else
		fprintf(i->out, "and so on\n");
}

void info_jit(struct inspection *i)
{
	struct jit_stats s;

	if (!i->v->jit) {
		fprintf(i->out, "nothing is translated (--tiers=interp)\n");
		return;
	}
	s = jit_stats(i->v->jit);
	for (unsigned tier = TIER_1; tier <= TIER_2; tier++)
		fprintf(i->out,
			"tier %u: %" PRIu64 " blocks, %" PRIu64 " guest instructions, %" PRIu64
			"K of host code, %.1f s\n",
			tier, s.blocks[tier], s.guest_insns_translated[tier], s.host_bytes[tier] >> 10,
			(double)(tier == TIER_1 ? s.ns_tier1 : s.ns_tier2) / 1e9);
	fprintf(i->out,
		"%" PRIu64 " regions, %" PRIu64 " links, %" PRIu64 " translations dropped, %" PRIu64 " flushes\n",
		s.regions, s.links_made, s.invalidated, s.flushes);
	fprintf(i->out, "%" PRIu64 " pages of code: %" PRIu64 " found what others had, %" PRIu64 " were written to\n",
		s.records + s.records_shared, s.records_shared, s.pages_changed);
	fprintf(i->out, "of all machines of this monitor; this vCPU had %" PRIu64 " blocks translated\n",
		jit_made(i->v->jit).blocks);
}

/* ---- the board ---- */

static void put_bars(FILE *out, const struct pci_device *d)
{
	for (unsigned n = 0; n < PCI_BARS; n++) {
		uint32_t bar = pci_get32(d, PCI_REG_BAR0 + 4 * n);

		if (d->bar[n].bytes)
			fprintf(out, "  %s %08x+%x", d->bar[n].is_io ? "io" : "memory",
				bar & ~(d->bar[n].is_io ? 3u : 15u), d->bar[n].bytes);
	}
}

void info_devices(struct inspection *i)
{
	const struct pci_bus *bus = board_pci(i->v->vm->board);
	const struct virtio_device *v;

	for (unsigned k = 0; k < bus->count; k++) {
		const struct pci_device *d = bus->device[k];

		fprintf(i->out, "pci %02x.%x %04x:%04x class %02x%02x", d->devfn >> 3, d->devfn & 7,
			pci_get16(d, PCI_REG_VENDOR), pci_get16(d, PCI_REG_DEVICE), d->s.config[PCI_REG_CLASS + 2],
			d->s.config[PCI_REG_CLASS + 1]);
		put_bars(i->out, d);
		fprintf(i->out, "%s\n", d->s.intx ? "  wants an interrupt" : "");
	}
	for (unsigned k = 0; (v = virtio_bus_device(i->v->vm, k)) != NULL; k++)
		fprintf(i->out, "virtio %s: status %02x, %u queues, features %" PRIx64 " of %" PRIx64 "%s\n", v->name,
			v->status, v->n_queues, v->features, v->features_offered,
			v->paused ? ", has paused the machine" : "");
}

static void put_bits(FILE *out, const char *name, uint32_t bits)
{
	fprintf(out, "  %s", name);
	for (unsigned n = 0; n < 16; n++)
		if (bits >> n & 1)
			fprintf(out, " %u", n);
	fprintf(out, "%s", bits ? "" : " none");
}

void info_irq(struct inspection *i)
{
	const struct i8259_pair *pic = board_interrupts(i->v->vm->board);
	const struct i8259_state *m = &pic->chip[0].s, *s = &pic->chip[1].s;
	uint32_t status = (uint32_t)i->v->gs.cp0[CP0_Status], cause = vcpu_cause(i->v);

	fprintf(i->out, "vCPU %u: %s;", i->v->number,
		status & (ST_EXL | ST_ERL) ? "in an exception"
		: status & ST_IE           ? "interrupts on"
					   : "interrupts off");
	put_bits(i->out, "pending", cause >> 8 & 0xff);
	put_bits(i->out, "enabled", status >> 8 & 0xff);
	fprintf(i->out, "\ni8259: ");
	put_bits(i->out, "lines", m->lines | (uint32_t)s->lines << 8);
	put_bits(i->out, "requested", m->irr | (uint32_t)s->irr << 8);
	put_bits(i->out, "in service", m->isr | (uint32_t)s->isr << 8);
	put_bits(i->out, "masked", m->imr | (uint32_t)s->imr << 8);
	fputc('\n', i->out);
}

void info_numa(struct inspection *i)
{
	const struct vm *vm = i->v->vm;
	uint64_t pages[NUMA_MAX_NODES] = {0};
	unsigned last = 0;

	for (uint64_t at = 0; at < pmap_bytes(vm->ram); at += PAGE_BYTES) {
		const struct machine_page *page = pmap_peek(vm->ram, gpa(at));

		if (!page || page_has(page, PAGE_ZERO) || page->node >= NUMA_MAX_NODES)
			continue;
		pages[page->node]++;
		last = page->node > last ? page->node : last;
	}
	for (unsigned n = 0; n <= last; n++)
		fprintf(i->out, "node %2u: %8" PRIu64 "K of this machine, %8" PRIu64 "K of all\n", n,
			pages[n] << (PAGE_SHIFT - 10),
			machine_memory_pages_used(vm->monitor->memory, (int)n) << (PAGE_SHIFT - 10));
	for (unsigned k = 0; k < vm->n_vcpus; k++)
		fprintf(i->out, "vCPU %u: node %u\n", k, vm->vcpu[k].node);
}
