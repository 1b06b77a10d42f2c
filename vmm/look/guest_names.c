/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include "vmm/look/guest_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/array.h"
#include "vmm/boot/loader_internal.h"
#include "vmm/look/elf_image.h"
#include "vmm/look/slide.h"

enum { MAX_DEPTH = 40 };

struct program {
	char *name; /* its last part */
	struct symbols *symbols;
};

/* A page of a program: what is in memory where the guest has mapped it. */
struct known_page {
	uint64_t content[2];
	uint32_t va; /* as linked */
	uint32_t program;
};

struct guest_names {
	struct symbols *kernel;
	struct slide slide; /* of the kernel: where it is linked to */
	struct program *program;
	struct known_page *page;
	uint32_t n_programs;
	size_t programs_room, n_pages, pages_room;
};

/* ---- programs ---- */

static int compare_pages(const void *a, const void *b)
{
	const struct known_page *x = a, *y = b;

	for (unsigned i = 0; i < 2; i++)
		if (x->content[i] != y->content[i])
			return x->content[i] < y->content[i] ? -1 : 1;
	return x->program != y->program ? (x->program < y->program ? -1 : 1) : x->va < y->va ? -1 : x->va > y->va;
}

/* Of what the guest's page cache has: pages of the file, the last one filled with zeroes. */
static int add_page(struct guest_names *m, const struct elf_image *image, size_t at, uint32_t va)
{
	size_t left = image->file_bytes - at;
	uint8_t last[PAGE_BYTES] = {0};
	const uint8_t *bytes = image->file + at;
	XXH128_hash_t h;

	if (!array_room((void **)&m->page, m->n_pages, &m->pages_room, sizeof(*m->page)))
		return -ENOMEM;
	if (left < PAGE_BYTES) {
		memcpy(last, bytes, left);
		bytes = last;
	}
	h = XXH3_128bits(bytes, PAGE_BYTES);
	m->page[m->n_pages++] = (struct known_page){.content = {h.low64, h.high64}, .va = va, .program = m->n_programs};
	return 0;
}

static int add_pages(struct guest_names *m, const struct elf_image *image)
{
	int r = 0;

	for (unsigned i = 0; i < image->n_parts; i++) {
		const struct elf_part *p = &image->part[i];
		size_t from, at;

		/* of a vmlinuz some parts are not of the file; pages are mapped where both agree */
		if (p->data < image->file || p->data >= image->file + image->file_bytes)
			continue;
		from = (size_t)(p->data - image->file);
		if ((from & PAGE_MASK) != (p->va & PAGE_MASK))
			continue;
		for (at = from & ~(size_t)PAGE_MASK; !r && at < from + p->data_bytes; at += PAGE_BYTES)
			r = add_page(m, image, at, (uint32_t)(p->va + (at - from)));
	}
	return r;
}

static bool is_elf(int folder, const char *name)
{
	char magic[4] = "";
	struct stat st;
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	bool is = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read(fd, magic, 4) == 4 &&
		  memcmp(magic, "\177ELF", 4) == 0;

	if (fd >= 0)
		close(fd);
	return is;
}

/* -ENOMEM only: what is no program of such a guest is skipped. */
static int add_program(struct guest_names *m, const char *path, const char *name)
{
	struct loader_error err;
	struct elf_image *image;
	struct program p = {0};
	int r = elf_image_open(&image, path, &err);

	if (r)
		return r == -ENOMEM ? r : 0;
	if (!array_room((void **)&m->program, m->n_programs, &m->programs_room, sizeof(*m->program)))
		r = -ENOMEM;
	r = r ? r : symbols_open(&p.symbols, image, path, NULL, &err);
	p.name = r ? NULL : strdup(name);
	if (!r && !p.name)
		r = -ENOMEM;
	if (!r)
		r = add_pages(m, image);
	elf_image_free(image);
	if (p.name) {
		m->program[m->n_programs++] = p;
		for (char *c = p.name; *c; c++) /* it stands in a line */
			*c = *c > ' ' && *c < 0x7f ? *c : '?';
	}
	return r == -ENOMEM ? r : 0;
}

static int add_folder(struct guest_names *m, const char *path, unsigned depth)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int r = d ? 0 : -errno;

	while (!r && (e = readdir(d)) != NULL) {
		struct stat st;
		char *sub;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (asprintf(&sub, "%s/%s", path, e->d_name) < 0) {
			r = -ENOMEM;
			break;
		}
		if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) {
			r = add_folder(m, sub, depth + 1);
			r = r == -ENOMEM ? r : 0; /* one that cannot be read is skipped */
		} else if (is_elf(dirfd(d), e->d_name) && m->n_programs < GUEST_NAMES_MAX_FILES) {
			r = add_program(m, sub, e->d_name);
		}
		free(sub);
	}
	if (d)
		closedir(d);
	return r;
}

/* ---- looking up ---- */

static const struct known_page *find_page(const struct guest_names *m, const uint64_t content[2])
{
	size_t low = 0, high = m->n_pages;
	const struct known_page want = {.content = {content[0], content[1]}};

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare_pages(&m->page[mid], &want) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->n_pages && m->page[low].content[0] == content[0] && m->page[low].content[1] == content[1]
		   ? &m->page[low]
		   : NULL;
}

void guest_names_find(const struct guest_names *m, const struct guest_place *at, struct guest_named *n)
{
	uint32_t off = (uint32_t)(at->pc & PAGE_MASK);
	const struct known_page *page = at->unmapped ? NULL : find_page(m, at->content);
	uint64_t va = page ? page->va + off : at->pc;

	n->text[0] = 0;
	n->where = at->unmapped ? "kernel" : page ? m->program[page->program].name : at->user ? "user" : "module";
	if (at->unmapped || page)
		symbols_describe(page ? m->program[page->program].symbols : m->kernel, va, n->text, sizeof(n->text));
	n->known = n->text[0];
	if (n->known)
		return;
	if (at->unmapped || page)
		snprintf(n->text, sizeof(n->text), "%08" PRIx64, va);
	else
		snprintf(n->text, sizeof(n->text), "page-%016" PRIx64 "+0x%" PRIx32, at->content[0], off);
}

void guest_names_set_slide(struct guest_names *m, uint32_t slide)
{
	if (slide && m->slide.low)
		symbols_set_slide(m->kernel, m->slide.low, m->slide.high, slide);
}

/* ---- life ---- */

static int read_files(struct guest_names *m, const char *kernel, const char *listing, const char *folder,
		      const char *option, struct loader_error *err)
{
	struct elf_image *image;
	int r = elf_image_open(&image, kernel, err);

	if (r)
		return r;
	slide_init(&m->slide, image);
	r = symbols_open(&m->kernel, image, kernel, listing, err);
	elf_image_free(image);
	if (r || !folder)
		return r;
	r = add_folder(m, folder, 0);
	if (r)
		return loader_fail(err, r, "%s %.300s: %s", option, folder, strerror(-r));
	if (!m->n_pages)
		return loader_fail(err, -ENOENT, "%s %.300s: no program or library for 32-bit MIPS in it", option,
				   folder);
	qsort(m->page, m->n_pages, sizeof(*m->page), compare_pages);
	return 0;
}

void guest_names_free(struct guest_names *m)
{
	if (!m)
		return;
	symbols_free(m->kernel);
	for (uint32_t i = 0; i < m->n_programs; i++) {
		free(m->program[i].name);
		symbols_free(m->program[i].symbols);
	}
	free(m->program);
	free(m->page);
	free(m);
}

int guest_names_open(struct guest_names **out, const char *kernel, const char *listing, const char *folder,
		     const char *option, struct loader_error *err)
{
	struct guest_names *m = calloc(1, sizeof(*m));
	int r =
	    m ? read_files(m, kernel, listing, folder, option, err) : loader_fail(err, -ENOMEM, "%s", strerror(ENOMEM));

	*out = r ? NULL : m;
	if (r)
		guest_names_free(m);
	return r;
}
