/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "numa/machine_memory.h"

/* A VM's memory as it was at one moment: one more user of each of its pages, none of which anybody writes to any more. */

struct pmap_kept {
	struct machine_page *page[0]; /* by gpn; NULL: not touched yet */
};

static void give_back(struct pmap *p, struct pmap_kept *k, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		if (k->page[i])
			share_give_back(p->memory, k->page[i]);
	free(k);
}

void pmap_kept_free(struct pmap *p, struct pmap_kept *kept)
{
	if (kept)
		give_back(p, kept, p->pages);
}

int pmap_keep(struct pmap *p, struct pmap_kept **out)
{
	struct pmap_kept *k;

	if (!share_is_on(p->memory))
		return -ENOTSUP;
	k = calloc(p->pages, sizeof(k->page[0]));
	if (!k)
		return -ENOMEM;
	for (uint64_t i = 0; i < p->pages; i++) {
		const struct machine_page *page = p->row[i].page;

		if (!page)
			continue;
		k->page[i] = pmap_lend(p, page->host);
		if (!k->page[i]) {
			give_back(p, k, i);
			return -EBUSY;
		}
	}
	*out = k;
	return 0;
}

/* page, of the kept ones, stands for the guest page again. */
static int bring_back(struct pmap *p, uint64_t gpn, struct machine_page *page)
{
	int err;

	pthread_mutex_lock(&p->memory->lock);
	err = page_user_add(p->memory, page, p, gpn);
	pthread_mutex_unlock(&p->memory->lock);
	if (err)
		return err;
	err = pmap_replace(p, gpn, page);
	if (err && !page_has(page, PAGE_ZERO))
		page_user_leave(p->memory, page, p, gpn);
	return err;
}

int pmap_go_back(struct pmap *p, const struct pmap_kept *kept)
{
	int err = 0;

	for (uint64_t i = 0; i < p->pages && !err; i++) {
		struct machine_page *old = p->row[i].page, *page = kept->page[i];

		if (!page && old) /* not touched yet: of zeroes */
			page = &p->memory->zero;
		if (page != old)
			err = bring_back(p, i, page);
	}
	return err;
}
