/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "vmm/debug/inspect_internal.h"
#include "vmm/debug/registers.h"

/* What `info` shows. */

void info_registers(struct inspection *i)
{
	unsigned column = 0;

	for (unsigned n = 0; n < debug_reg_count(); n++) {
		char name[16];

		debug_reg_name(n, name);
		fprintf(i->out, "%9s %0*" PRIx64 "%s", name, (int)(2 * debug_reg_bytes(n)), debug_reg_read(i->v, n),
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
