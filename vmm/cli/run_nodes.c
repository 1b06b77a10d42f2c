/* SPDX-License-Identifier: MIT */
#include "vmm/cli/run_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/segments.h"
#include "numa/move.h"
#include "numa/watch.h"
#include "vmm/boot/loader.h"
#include "vmm/control/control.h"
#include "vmm/look/elf_image.h"
#include "vmm/look/slide.h"
#include "vmm/look/symbols.h"
#include "vmm/monitor/monitor.h"

/* The simulated nodes of the session, as the control socket shows them. */

/*
 * What the kernel of the first machine calls its addresses; those of other files have no names.  A vmlinuz takes half a second to be
 * unpacked: it is done on a thread, when somebody looks for the first time.
 */
struct run_names {
	const char *kernel; /* its file */
	pthread_t thread;
	bool ready; /* atomic; then these are there, or symbols is NULL: */
	struct symbols *symbols;
	struct slide slide;
};

static void *read_names(void *arg)
{
	struct run_names *n = arg;
	struct loader_error why; /* who has booted the kernel has heard it */
	struct elf_image *image;

	if (elf_image_open(&image, n->kernel, &why) == 0) {
		slide_init(&n->slide, image);
		if (symbols_open(&n->symbols, image, n->kernel, NULL, &why))
			n->symbols = NULL;
		elf_image_free(image);
	}
	__atomic_store_n(&n->ready, true, __ATOMIC_RELEASE);
	return NULL;
}

static void want_names(struct session *s)
{
	struct run_names *n = s->names || !s->n ? NULL : calloc(1, sizeof(*n));

	if (!n)
		return;
	n->kernel = s->first->opt->kernel;
	if (pthread_create(&n->thread, NULL, read_names, n))
		free(n);
	else
		__atomic_store_n(&s->names, n, __ATOMIC_RELEASE);
}

void session_forget_names(struct session *s)
{
	if (!s->names)
		return;
	pthread_join(s->names->thread, NULL);
	symbols_free(s->names->symbols);
	free(s->names);
	s->names = NULL;
}

/* NULL: not yet, or this machine has another kernel. */
static const struct run_names *names_of(const struct run *r)
{
	const struct run_names *n = __atomic_load_n(&r->session->names, __ATOMIC_ACQUIRE);

	return n && __atomic_load_n(&n->ready, __ATOMIC_ACQUIRE) && n->symbols && strcmp(n->kernel, r->opt->kernel) == 0
		   ? n
		   : NULL;
}

void run_find_slide(struct run *r)
{
	const struct run_names *n;

	if (__atomic_load_n(&r->slide_is, __ATOMIC_ACQUIRE) != RUN_SLIDE_WANTED)
		return;
	n = names_of(r);
	if (!n)
		return;
	r->slide = n->slide.low ? slide_find(&n->slide, r->vm->ram) : 0;
	__atomic_store_n(&r->slide_is, RUN_SLIDE_KNOWN, __ATOMIC_RELEASE);
}

/* What a page of memory is in the kernel's image: the function that it begins in, or that it is of the image at all. */
static void name_page(struct run *r, uint64_t gpn, char *out, size_t bytes)
{
	const struct run_names *n = names_of(r);
	int is = __atomic_load_n(&r->slide_is, __ATOMIC_ACQUIRE);
	uint64_t va = KSEG0 + gpn * PAGE_BYTES;

	*out = '\0';
	if (n && is == RUN_SLIDE_UNKNOWN)
		__atomic_store_n(&r->slide_is, RUN_SLIDE_WANTED, __ATOMIC_RELEASE);
	if (!n || is != RUN_SLIDE_KNOWN || va - r->slide < n->slide.low || va - r->slide >= n->slide.high)
		return;
	symbols_describe(n->symbols, va - r->slide, out, bytes);
	if (!*out)
		snprintf(out, bytes, "(kernel's data)");
}

/* With session.lock. */
static struct run *machine_of(const struct session *s, unsigned number)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->run[i]->opt->number == number)
			return s->run[i];
	return NULL; /* it is gone */
}

void session_look_at_nodes(struct session *s, struct control_nodes *out)
{
	struct numa_look *l = &out->look;

	if (!__atomic_load_n(&s->open, __ATOMIC_ACQUIRE))
		return;
	numa_watch_look(s->watch, l);
	if (l->n_nodes)
		want_names(s);
	for (unsigned n = 0; n < l->n_nodes; n++) {
		uint64_t free;

		machine_memory_node(s->monitor->memory, n, &l->node[n].pages, &free);
		l->node[n].used = machine_memory_pages_used(s->monitor->memory, (int)n);
	}
	for (unsigned i = 0; i < l->n_hot; i++) {
		struct run *r = machine_of(s, l->hot[i].machine);

		snprintf(out->hot[i].machine, sizeof(out->hot[i].machine), "%s", r ? r->opt->name : "(gone)");
		if (r)
			name_page(r, l->hot[i].gpn, out->hot[i].symbol, sizeof(out->hot[i].symbol));
	}
}
