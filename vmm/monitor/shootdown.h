/* SPDX-License-Identifier: MIT */
#ifndef VMM_SHOOTDOWN_H
#define VMM_SHOOTDOWN_H

/*
 * Sets for a rendezvous (rendezvous.h), and the shootdown: what every vCPU knows of a machine page goes, and only the machines that
 * use the page are stopped for it.
 *
 * A machine's own changes (the break of a copy-on-write, a merge) need neither: a shared page has no write tag anywhere, so who breaks
 * it takes away his own entries only, on his own thread, and nobody else has to know.
 */
#include "vmm/monitor/rendezvous.h"

struct machine_memory;
struct machine_page;
struct monitor;

/* The vCPUs of one machine, and its own thread. */
struct rendezvous_set rendezvous_set_machine(struct vm *vm);
/* Of those that use a machine page at the moment; who comes to use it while the others are waited for is stopped too. */
struct page_users {
	struct machine_memory *memory;
	struct machine_page *page;
};
struct rendezvous_set rendezvous_set_users(struct page_users *of);

/*
 * Take page away from all L2TLBs and tables of unmapped code; the next access of each guest comes to the door.  Not the page of zeroes.
 * act: called while all that use it are stopped, after that, and may take the page from its place; or NULL.
 * self, context: as for rendezvous().  Returns how many guest pages it stood for; -EAGAIN: of act only, one that uses it is in the
 *	    middle of something, and nothing was done.
 */
MUST_CHECK int monitor_shootdown(struct monitor *mon, struct rendezvous_member *self, struct machine_page *page,
				 void (*act)(void *arg), void *arg);

#endif
