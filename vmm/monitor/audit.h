/* SPDX-License-Identifier: MIT */
#ifndef VMM_AUDIT_H
#define VMM_AUDIT_H

/*
 * Does all that the monitor has written down in more than one place agree?  Rows of pmaps and users of machine pages, names, flags
 * and bytes of shared pages (numa/), every tag of every L2TLB and what stands behind it (tlb/), code records, their pages and
 * translations (jit/), and between these: exec words and tables of unmapped code against the records of the pages.
 */
#include "base/types.h"

struct monitor;
struct rendezvous_member;

struct monitor_audit {
	unsigned errors;
	char first[300]; /* of them, as text */
	unsigned machines;
	uint64_t pages, shared,
	    compared;     /* machine pages in use; with names; of these those whose bytes were looked at */
	uint64_t entries; /* of L2TLBs, that have a tag */
	uint64_t records, translations;
	uint64_t wait_ns, audit_ns; /* until all were stopped; that they were */
};

/* Nobody runs, or they are stopped.  Cost: O(memory): some 10 ms for a few hundred MiB. */
void monitor_audit(struct monitor *mon, struct monitor_audit *out);
/*
 * The same while machines run, come and go: they are stopped (vmm/monitor/rendezvous.h).
 * self: as for rendezvous().  Context: any thread.
 */
void monitor_audit_live(struct monitor *mon, struct rendezvous_member *self, struct monitor_audit *out);

#endif
