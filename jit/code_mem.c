/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "jit/code_mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/resident.h"

static size_t round_up(size_t v, size_t to) { return (v + to - 1) & ~(to - 1); }

/*
 * Both views of the code, and the data half behind the executable one.  Shared memory without a file: what has one, a memfd too, perf
 * takes for that file's and does not look up in its map (vmm/look/perf_map.h).  A second view of it is what mremap() of nothing makes.
 */
static int map_all(struct code_mem *m)
{
	size_t n = m->code_bytes, all = n + m->data_bytes;
	void *region = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region == MAP_FAILED)
		return -errno;
	m->rx = region;
	m->data = m->rx + n;
	if (mprotect(m->data, m->data_bytes, PROT_READ | PROT_WRITE) != 0)
		return -errno;
	void *rw = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rw == MAP_FAILED)
		return -errno;
	m->rw = rw;
	if (mremap(rw, 0, n, MREMAP_MAYMOVE | MREMAP_FIXED, m->rx) == MAP_FAILED ||
	    mprotect(m->rx, n, PROT_READ | PROT_EXEC) != 0)
		return -errno;
	return 0;
}

static size_t code_bytes(uint64_t bytes)
{
	if (bytes == 0)
		bytes = CODE_MEM_DEFAULT_BYTES;
	if (bytes < CODE_MEM_MIN_BYTES)
		bytes = CODE_MEM_MIN_BYTES;
	if (bytes > CODE_MEM_MAX_BYTES)
		bytes = CODE_MEM_MAX_BYTES;
	return round_up((size_t)bytes, PAGE_BYTES);
}

/* Two views of the code, and the data. */
uint64_t jit_address_bytes(uint64_t bytes) { return 3 * (uint64_t)code_bytes(bytes); }

int code_mem_init(struct code_mem *m, uint64_t bytes)
{
	*m = (struct code_mem){.code_bytes = code_bytes(bytes)};
	m->data_bytes = m->code_bytes;
	m->cold_start = m->cold_used = m->cold_keep = round_up(m->code_bytes / 16 * 7, PAGE_BYTES);
	int err = map_all(m);
	if (err)
		code_mem_fini(m);
	return err;
}

void code_mem_fini(struct code_mem *m)
{
	if (m->rx)
		munmap(m->rx, m->code_bytes + m->data_bytes);
	if (m->rw)
		munmap(m->rw, m->code_bytes);
	*m = (struct code_mem){0};
}

struct code_span code_mem_alloc(struct code_mem *m, size_t bytes, size_t align)
{
	size_t at = round_up(m->code_used, align);
	if (at > m->cold_start || bytes > m->cold_start - at)
		return (struct code_span){NULL, NULL, false};
	m->code_used = at + bytes;
	return (struct code_span){m->rw + at, m->rx + at, false};
}

void *code_mem_alloc_data(struct code_mem *m, size_t bytes)
{
	size_t at = round_up(m->data_used, CODE_MEM_DATA_ALIGN);
	if (at > m->data_bytes || bytes > m->data_bytes - at)
		return NULL;
	m->data_used = at + bytes;
	return memset(m->data + at, 0, bytes);
}

struct code_span code_mem_open(const struct code_mem *m, bool cold, size_t *room)
{
	size_t at = cold ? round_up(m->cold_used, CODE_MEM_COLD_ALIGN) : round_up(m->code_used, 16);
	size_t end = cold ? m->code_bytes : m->cold_start;

	if (at > end)
		at = end;
	*room = end - at;
	return (struct code_span){m->rw + at, m->rx + at, cold};
}

void code_mem_commit(struct code_mem *m, const struct code_span *s, size_t bytes)
{
	size_t end = (size_t)(s->rx - m->rx) + bytes, *used = s->cold ? &m->cold_used : &m->code_used;
	ASSERT(end <= (s->cold ? m->code_bytes : m->cold_start) && end >= *used);
	*used = end;
}

void code_mem_keep(struct code_mem *m)
{
	m->code_keep = m->code_used;
	m->cold_keep = m->cold_used;
	m->data_keep = m->data_used;
}

void code_mem_reset(struct code_mem *m)
{
	m->code_used = m->code_keep;
	m->cold_used = m->cold_keep;
	m->data_used = m->data_keep;
}

void code_mem_takes(const struct code_mem *m, uint64_t *code, uint64_t *data)
{
	*code = resident_bytes(m->rw, m->code_bytes);
	*data = resident_bytes(m->data, m->data_bytes);
}
