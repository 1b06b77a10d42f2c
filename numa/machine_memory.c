/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/resident.h"
#include "numa/machine_memory.h"
#include "numa/host_nodes.h"
#include "numa/mesh.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORD_BITS     64u
#define RECLAIM_PAGES 64u

#define LARGE_PAGE_BYTES ((size_t)2 << 20)

uint64_t machine_memory_host_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);

	return pages <= 0 || bytes <= 0 ? 0 : (uint64_t)pages * (uint64_t)bytes;
}

/* ---- topology ---- */

/* Insertion sort of all nodes by hops from `from`; the lower number wins a tie. */
static void sort_nearest(uint8_t *out, unsigned n, unsigned from)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned j = i, hops = numa_node_hops(n, from, i);

		for (; j > 0 && numa_node_hops(n, from, out[j - 1]) > hops; j--)
			out[j] = out[j - 1];
		out[j] = (uint8_t)i;
	}
}

/* ---- making a machine ---- */

static int node_map(struct machine_memory *m, struct node *nd)
{
	size_t bytes = (size_t)nd->pages * PAGE_BYTES;
	uint8_t *at = m->base + (size_t)nd->first_mpn * PAGE_BYTES;
	void *p;

	nd->fd = memfd_create("disco-node", MFD_CLOEXEC);
	if (nd->fd < 0)
		return -errno;
	if (ftruncate(nd->fd, (off_t)bytes) < 0)
		return -errno;
	p = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, nd->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	nd->base = p;
	/* Hints: a host that refuses them works the same. */
	(void)madvise(p, bytes, MADV_HUGEPAGE);
	(void)madvise(p, bytes, MADV_DONTDUMP);
	return 0;
}

static int node_init(struct machine_memory *m, unsigned i, uint32_t first_mpn, uint32_t pages)
{
	struct node *nd = &m->node[i];

	nd->first_mpn = first_mpn;
	nd->pages = pages;
	nd->words = (pages + WORD_BITS - 1) / WORD_BITS;
	nd->bitmap = calloc(nd->words, sizeof(*nd->bitmap));
	nd->nearest = malloc(m->n_nodes);
	nd->kept = malloc(NODE_KEEPS * sizeof(*nd->kept));
	if (!nd->bitmap || !nd->nearest || !nd->kept)
		return -ENOMEM;
	if (pages % WORD_BITS)
		nd->bitmap[nd->words - 1] = ~0ull << pages % WORD_BITS;
	sort_nearest(nd->nearest, m->n_nodes, i);
	return node_map(m, nd);
}

/*
 * Of the host's addresses, for all nodes: one beside the other, so that a page's number follows from its address.  Where the host's large
 * pages can begin.
 */
static int reserve(struct machine_memory *m)
{
	uint8_t *p;

	m->reserved_bytes = (size_t)m->pages * PAGE_BYTES + LARGE_PAGE_BYTES;
	p = mmap(NULL, m->reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	m->reserved = p;
	m->base = p + (-(uintptr_t)p & (LARGE_PAGE_BYTES - 1));
	return 0;
}

static int memmap_init(struct machine_memory *m)
{
	void *p;

	m->memmap_bytes = (size_t)m->pages * sizeof(*m->memmap);
	p = mmap(NULL, m->memmap_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	m->memmap = p;
	/* Not writable: a store that did not come through the door ends the process here, and not in another guest. */
	p = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	m->zero = (struct machine_page){.host = p, .mpn = UINT32_MAX, .flags = PAGE_SHARED | PAGE_ZERO};
	return 0;
}

/* Before anything is touched: what is there stays where it is. */
static int bind_nodes(struct machine_memory *m, const struct numa_binding *binding)
{
	int err = 0;

	for (unsigned i = 0; !err && i < m->n_nodes; i++)
		err = numa_bind_memory(binding, i, m->node[i].base, (size_t)m->node[i].pages * PAGE_BYTES);
	return err;
}

/* Address space for `pages`, of which as many as the configuration says may be used. */
static int make(struct machine_memory **out, const struct machine_memory_config *cfg, uint64_t pages)
{
	struct machine_memory *m = calloc(1, sizeof(*m));
	int err;

	*out = NULL;
	if (!m)
		return -ENOMEM;
	m->n_nodes = cfg->nodes;
	m->pages = (uint32_t)pages;
	m->limit = (uint32_t)(cfg->bytes / PAGE_BYTES);
	pthread_mutex_init(&m->lock, NULL);
	for (unsigned i = 0; i < NUMA_MAX_NODES; i++)
		m->node[i].fd = -1;
	m->sharing.on = cfg->share;
	err = reserve(m);
	err = err ? err : memmap_init(m);
	err = err ? err : sharing_init(m);
	for (unsigned i = 0; !err && i < m->n_nodes; i++)
		err = node_init(m, i, numa_node_first_page(m->pages, m->n_nodes, i),
				numa_node_pages(m->pages, m->n_nodes, i));
	if (!err && cfg->binding) {
		err = bind_nodes(m, cfg->binding);
		if (err) {
			machine_memory_free(m);
			return err;
		}
	}
	if (err) {
		machine_memory_free(m);
		/* EMFILE is the host's word for a limit; everything else that fails here is a lack of memory. */
		return err == -EMFILE || err == -ENFILE ? err : -ENOMEM;
	}
	*out = m;
	return 0;
}

int machine_memory_new(struct machine_memory **out, const struct machine_memory_config *cfg)
{
	uint64_t pages = cfg->bytes / PAGE_BYTES, most = cfg->most / PAGE_BYTES;

	*out = NULL;
	if (!pages || cfg->bytes % PAGE_BYTES || cfg->nodes < 1 || cfg->nodes > NUMA_MAX_NODES || pages < cfg->nodes)
		return -EINVAL;
	if (cfg->bytes > machine_memory_host_bytes() || pages > UINT32_MAX)
		return -ENOMEM;
	if (most > pages && most <= UINT32_MAX && make(out, cfg, most) == 0)
		return 0;
	return make(out, cfg, pages);
}

/* With the lock. */
static uint64_t pages_used(const struct machine_memory *m)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < m->n_nodes; i++)
		n += m->node[i].used;
	return n;
}

int machine_memory_resize(struct machine_memory *m, uint64_t bytes)
{
	bool fits, crowded;

	pthread_mutex_lock(&m->lock);
	fits = bytes / PAGE_BYTES <= m->pages;
	if (fits)
		__atomic_store_n(&m->limit, (uint32_t)(bytes / PAGE_BYTES), __ATOMIC_RELAXED);
	crowded = pages_used(m) > m->limit;
	pthread_mutex_unlock(&m->lock);
	while (fits && crowded && page_reclaim(m, RECLAIM_PAGES)) {
		pthread_mutex_lock(&m->lock);
		crowded = pages_used(m) > m->limit;
		pthread_mutex_unlock(&m->lock);
	}
	if (fits)
		page_reclaim_crowd(m);
	return fits ? 0 : -ENOMEM;
}

void machine_memory_free(struct machine_memory *m)
{
	if (!m)
		return;
	ASSERT(!m->pmaps && !m->regions);
	share_drop_idle(m);
	for (unsigned i = 0; i < m->n_nodes; i++) {
		struct node *nd = &m->node[i];

		if (nd->fd >= 0)
			close(nd->fd);
		free(nd->bitmap);
		free(nd->nearest);
		free(nd->kept);
	}
	if (m->reserved)
		munmap(m->reserved, m->reserved_bytes);
	sharing_fini(m);
	if (m->zero.host)
		munmap(m->zero.host, PAGE_BYTES);
	if (m->memmap)
		munmap(m->memmap, m->memmap_bytes);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* ---- pages ---- */

/* A free page of a node that has one: its index within the node. */
static uint32_t node_take(struct node *nd)
{
	uint32_t w = nd->cursor, bit;

	if (nd->n_kept) {
		nd->used++;
		return nd->kept[--nd->n_kept];
	}
	while (nd->bitmap[w] == ~0ull)
		w = w + 1 == nd->words ? 0 : w + 1;
	bit = (uint32_t)__builtin_ctzll(~nd->bitmap[w]);
	nd->bitmap[w] |= 1ull << bit;
	nd->cursor = w;
	nd->used++;
	if (nd->high <= w * WORD_BITS + bit)
		nd->high = w * WORD_BITS + bit + 1;
	return w * WORD_BITS + bit;
}

/*
 * Back among the free ones, the lowest of which goes first: each row of the memmap that is ever used takes memory of the host's.  They are not
 * in use already.
 */
static void node_put(struct node *nd, uint32_t k, uint32_t count)
{
	for (uint32_t i = k; i < k + count; i++)
		nd->bitmap[i / WORD_BITS] &= ~(1ull << i % WORD_BITS);
	if (k / WORD_BITS < nd->cursor)
		nd->cursor = k / WORD_BITS;
}

/* The pages of the node that may be used: its part of the capacity, as all its pages are a part of all. */
static uint32_t node_capacity(const struct machine_memory *m, unsigned node)
{
	return numa_node_pages(m->limit, m->n_nodes, node);
}

void machine_memory_node(struct machine_memory *m, unsigned node, uint64_t *pages, uint64_t *free)
{
	pthread_mutex_lock(&m->lock);
	*pages = node_capacity(m, node);
	*free = m->node[node].used < *pages ? *pages - m->node[node].used : 0;
	pthread_mutex_unlock(&m->lock);
}

struct machine_page *machine_page_alloc_there(struct machine_memory *m, unsigned node)
{
	struct node *nd = &m->node[node];
	struct machine_page *page;
	uint32_t k;

	if (nd->used >= node_capacity(m, node))
		return NULL;
	k = node_take(nd);
	page = &m->memmap[nd->first_mpn + k];
	if (page == m->moving) { /* given back, but its mover does not know yet */
		uint32_t other = nd->used == nd->pages ? k : node_take(nd);

		node_put(nd, k, 1);
		nd->used--;
		if (other == k)
			return NULL;
		k = other;
		page = &m->memmap[nd->first_mpn + k];
	}
	*page = (struct machine_page){
	    .host = nd->base + (size_t)k * PAGE_BYTES,
	    .mpn = nd->first_mpn + k,
	    .node = (uint16_t)node,
	};
	return page;
}

/* NULL; *soon: but there are pages that will be free in a moment. */
static struct machine_page *take_page(struct machine_memory *m, unsigned node, bool *soon)
{
	struct machine_page *page = NULL;
	bool has_room;

	pthread_mutex_lock(&m->lock);
	has_room = pages_used(m) < m->limit;
	*soon = m->dropping;
	for (unsigned i = 0; !page && has_room && i < m->n_nodes; i++)
		page = machine_page_alloc_there(m, m->node[node].nearest[i]);
	pthread_mutex_unlock(&m->lock);
	return page;
}

struct machine_page *machine_page_alloc(struct machine_memory *m, unsigned node)
{
	struct machine_page *page;
	bool soon;

	if (node >= m->n_nodes)
		panic("node %u of %u", node, m->n_nodes);
	while (!(page = take_page(m, node, &soon)) && (page_reclaim(m, RECLAIM_PAGES) || soon))
		if (soon)
			sched_yield();
	return page;
}

/* Their memory goes to the host; a hole reads as zeroes, which is what the next owner must find. */
static void make_hole(struct node *nd, uint32_t k, uint32_t count)
{
	off_t at = (off_t)k * PAGE_BYTES, bytes = (off_t)count * PAGE_BYTES;

	if (fallocate(nd->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, bytes) < 0)
		memset(nd->base + at, 0, (size_t)bytes);
}

/* Rows of pages that nobody uses any more. With the lock. */
static void clear_rows(struct machine_memory *m, uint32_t mpn, uint32_t count)
{
	for (uint32_t i = mpn; i < mpn + count; i++) {
		ASSERT(!m->memmap[i].code); /* the next owner knows nothing of it */
		m->memmap[i] = (struct machine_page){0};
	}
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Pages that are kept no longer, and are in nobody's hands meanwhile. */
static void drop_kept(struct machine_memory *m, struct node *nd, uint32_t *k, uint32_t n)
{
	qsort(k, n, sizeof(*k), by_number);
	for (uint32_t i = 0, run; i < n; i += run) {
		for (run = 1; i + run < n && k[i + run] == k[i] + run; run++)
			;
		make_hole(nd, k[i], run);
		pthread_mutex_lock(&m->lock);
		node_put(nd, k[i], run);
		nd->used -= run;
		m->dropping -= run;
		pthread_mutex_unlock(&m->lock);
	}
}

/* The page may be taken again as it is, once it is full of zeroes; of too many the older half goes. */
static void keep_page(struct machine_memory *m, struct node *nd, uint32_t k)
{
	enum { HALF = NODE_KEEPS / 2 };
	uint32_t old[HALF], n = 0;

	memset(nd->base + (size_t)k * PAGE_BYTES, 0, PAGE_BYTES);
	pthread_mutex_lock(&m->lock);
	clear_rows(m, nd->first_mpn + k, 1);
	nd->used--;
	if (nd->n_kept == NODE_KEEPS) {
		n = HALF;
		memcpy(old, nd->kept, sizeof(old));
		memmove(nd->kept, nd->kept + HALF, (NODE_KEEPS - HALF) * sizeof(*nd->kept));
		nd->n_kept -= HALF;
		nd->used += HALF; /* until they can be taken again */
		m->dropping += HALF;
	}
	nd->kept[nd->n_kept++] = k;
	pthread_mutex_unlock(&m->lock);
	drop_kept(m, nd, old, n);
}

void machine_pages_free(struct machine_memory *m, uint32_t mpn, uint32_t count)
{
	struct node *nd = &m->node[m->memmap[mpn].node];
	uint32_t k = mpn - nd->first_mpn;

	ASSERT(k + count <= nd->pages);
	for (uint32_t i = mpn; m->code_gone && i < mpn + count; i++)
		if (m->memmap[i].code)
			m->code_gone(m->opaque, &m->memmap[i]);
	if (count == 1) {
		keep_page(m, nd, k);
		return;
	}
	make_hole(nd, k, count);
	pthread_mutex_lock(&m->lock);
	clear_rows(m, mpn, count);
	node_put(nd, k, count);
	nd->used -= count;
	pthread_mutex_unlock(&m->lock);
}

void machine_memory_on_code_gone(struct machine_memory *m, void (*gone)(void *opaque, struct machine_page *page),
				 void *opaque)
{
	m->code_gone = gone;
	m->opaque = opaque;
}

struct machine_page *machine_page_get(struct machine_memory *m, uint32_t mpn)
{
	if (mpn >= m->pages || !m->memmap[mpn].host)
		return NULL;
	return &m->memmap[mpn];
}

const uint8_t *machine_memory_base(const struct machine_memory *m) { return m->base; }

uint64_t machine_memory_pages_used(const struct machine_memory *m, int node)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&m->lock;
	uint64_t n = 0;

	pthread_mutex_lock(lock);
	for (unsigned i = 0; i < m->n_nodes; i++)
		if (node < 0 || (unsigned)node == i)
			n += m->node[i].used;
	pthread_mutex_unlock(lock);
	return n;
}

uint64_t machine_memory_pages_kept(struct machine_memory *m)
{
	uint64_t n = 0;

	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < m->n_nodes; i++)
		n += m->node[i].n_kept;
	pthread_mutex_unlock(&m->lock);
	return n;
}

uint64_t machine_memory_tables_bytes(struct machine_memory *m)
{
	const struct sharing *s = &m->sharing;
	uint64_t n = resident_bytes(m->memmap, m->memmap_bytes);

	n += resident_bytes(s->bucket, s->buckets * sizeof(*s->bucket));
	n += resident_bytes(s->candidate, 2 * s->candidates * sizeof(*s->candidate));
	pthread_mutex_lock(&m->lock);
	for (const struct pmap *p = m->pmaps; p; p = p->next)
		n += resident_bytes(p->row, p->pages * sizeof(*p->row));
	pthread_mutex_unlock(&m->lock);
	return n;
}

void guest_page_backmap_add(struct guest_page *g, struct l2tlb_entry *e)
{
	for (unsigned i = 0; i < g->n_backmaps; i++)
		if (g->backmap[i].entry == e)
			return;
	if (g->n_backmaps == NUMA_BACKMAPS)
		g->backmaps_overflow = true;
	else
		g->backmap[g->n_backmaps++].entry = e;
}
