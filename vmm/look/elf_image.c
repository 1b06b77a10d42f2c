/* SPDX-License-Identifier: MIT */
#include "vmm/boot/unpack.h"
#include "vmm/look/elf_image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/segments.h"
#include "vmm/boot/loader_internal.h"

/* A vmlinuz has one; the board has no more memory for it. */
#define MAX_UNPACKED_BYTES (256u << 20)
/* Load addresses of kernels are multiples of it; head.S may leave room for exception vectors before the first symbol. */
#define LOAD_ALIGN 0x10000u

struct reader {
	struct elf_image *image;
	const char *path;
	struct loader_error *err;
};

#define FAIL(r, code, fmt, ...) loader_fail((r)->err, code, "%.300s: " fmt, (r)->path __VA_OPT__(, ) __VA_ARGS__)

/* at + 2 (+ 4) <= file_bytes was checked by the caller. */
static uint32_t get16(const struct elf_image *m, uint64_t at)
{
	const uint8_t *p = m->file + at;

	return m->big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t get32(const struct elf_image *m, uint64_t at)
{
	return m->big_endian ? get16(m, at) << 16 | get16(m, at + 2) : get16(m, at + 2) << 16 | get16(m, at);
}

static int read_all(struct reader *r, int fd, size_t bytes)
{
	struct elf_image *m = r->image;

	m->file = malloc(bytes + 1);
	if (!m->file)
		return FAIL(r, -ENOMEM, "%s", strerror(ENOMEM));
	while (m->file_bytes < bytes) {
		ssize_t n = read(fd, m->file + m->file_bytes, bytes - m->file_bytes);

		if (n < 0)
			return FAIL(r, -errno, "%s", strerror(errno));
		if (n == 0)
			break;
		m->file_bytes += (size_t)n;
	}
	return 0;
}

/* Read and not mapped: the file may be cut while it is looked at. Not held up by a FIFO. */
static int read_file(struct reader *r)
{
	int fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;
	struct stat st;

	if (fd < 0)
		return FAIL(r, -errno, "%s", strerror(errno));
	if (fstat(fd, &st))
		err = FAIL(r, -errno, "%s", strerror(errno));
	else if (!S_ISREG(st.st_mode))
		err = FAIL(r, -ENOEXEC, "not a regular file");
	else if ((uint64_t)st.st_size > ELF_IMAGE_MAX_FILE_BYTES)
		err = FAIL(r, -E2BIG, "has more than %llu MiB", ELF_IMAGE_MAX_FILE_BYTES >> 20);
	else
		err = read_all(r, fd, (size_t)st.st_size);
	close(fd);
	return err;
}

static int check_header(struct reader *r)
{
	struct elf_image *m = r->image;
	const uint8_t *p = m->file;
	uint32_t type;

	if (m->file_bytes < sizeof(Elf32_Ehdr) || memcmp(p, ELFMAG, SELFMAG) != 0)
		return FAIL(r, -ENOEXEC, "not an ELF file");
	if (p[EI_CLASS] != ELFCLASS32 || (p[EI_DATA] != ELFDATA2LSB && p[EI_DATA] != ELFDATA2MSB))
		return FAIL(r, -ENOEXEC, "not a 32-bit ELF file");
	m->big_endian = p[EI_DATA] == ELFDATA2MSB;
	if (get16(m, offsetof(Elf32_Ehdr, e_machine)) != EM_MIPS)
		return FAIL(r, -ENOEXEC, "for ELF machine %u, not MIPS (8)", get16(m, offsetof(Elf32_Ehdr, e_machine)));
	type = get16(m, offsetof(Elf32_Ehdr, e_type));
	if (type != ET_EXEC && type != ET_DYN)
		return FAIL(r, -ENOEXEC, "%s; its code has no addresses yet",
			    type == ET_REL ? "an object file or kernel module" : "neither an executable nor a library");
	return 0;
}

static int add_part(struct reader *r, const char *what, unsigned i, struct elf_part part, uint64_t offset)
{
	struct elf_image *m = r->image;

	if (part.bytes == 0)
		return 0;
	if (part.data_bytes > part.bytes)
		part.data_bytes = part.bytes;
	if (part.bytes > (1ull << 32) - part.va)
		return FAIL(r, -ENOEXEC, "%s %u ends beyond 4 GiB", what, i);
	if (offset > m->file_bytes || part.data_bytes > m->file_bytes - offset)
		return FAIL(r, -ENOEXEC, "truncated: %s %u ends at byte %llu, the file at %zu", what, i,
			    (unsigned long long)offset + part.data_bytes, m->file_bytes);
	if (m->n_parts == ELF_IMAGE_MAX_PARTS - 1) /* one is for what is unpacked */
		return FAIL(r, -E2BIG, "more than %u segments or sections", ELF_IMAGE_MAX_PARTS - 1);
	part.data = m->file + offset;
	m->part[m->n_parts++] = part;
	return 0;
}

/* A table of n entries that the header names; -ENOEXEC if it is not in the file. */
static int check_table(struct reader *r, const char *what, uint32_t at, uint32_t n, uint32_t each, uint32_t want)
{
	if (n && (each < want || at > r->image->file_bytes || (uint64_t)n * each > r->image->file_bytes - at))
		return FAIL(r, -ENOEXEC, "truncated: its table of %s is not in the file", what);
	return 0;
}

static int add_segments(struct reader *r)
{
	struct elf_image *m = r->image;
	uint32_t at = get32(m, offsetof(Elf32_Ehdr, e_phoff)), n = get16(m, offsetof(Elf32_Ehdr, e_phnum));
	uint32_t each = get16(m, offsetof(Elf32_Ehdr, e_phentsize));
	int err = check_table(r, "segments", at, n, each, sizeof(Elf32_Phdr));

	for (uint32_t i = 0; !err && i < n; i++) {
		uint64_t h = at + (uint64_t)i * each;

		if (get32(m, h + offsetof(Elf32_Phdr, p_type)) == PT_DYNAMIC)
			m->dynamic = get32(m, h + offsetof(Elf32_Phdr, p_vaddr));
		if (get32(m, h + offsetof(Elf32_Phdr, p_type)) == PT_LOAD)
			err = add_part(r, "segment", i,
				       (struct elf_part){.va = get32(m, h + offsetof(Elf32_Phdr, p_vaddr)),
							 .bytes = get32(m, h + offsetof(Elf32_Phdr, p_memsz)),
							 .data_bytes = get32(m, h + offsetof(Elf32_Phdr, p_filesz))},
				       get32(m, h + offsetof(Elf32_Phdr, p_offset)));
	}
	return err;
}

static int add_sections(struct reader *r)
{
	struct elf_image *m = r->image;
	uint32_t at = get32(m, offsetof(Elf32_Ehdr, e_shoff)), n = get16(m, offsetof(Elf32_Ehdr, e_shnum));
	uint32_t each = get16(m, offsetof(Elf32_Ehdr, e_shentsize));
	int err = check_table(r, "sections", at, n, each, sizeof(Elf32_Shdr));

	for (uint32_t i = 0; !err && i < n; i++) {
		uint64_t h = at + (uint64_t)i * each;
		uint32_t type = get32(m, h + offsetof(Elf32_Shdr, sh_type));
		uint32_t bytes = get32(m, h + offsetof(Elf32_Shdr, sh_size));

		if (get32(m, h + offsetof(Elf32_Shdr, sh_flags)) & SHF_ALLOC)
			err = add_part(r, "section", i,
				       (struct elf_part){.va = get32(m, h + offsetof(Elf32_Shdr, sh_addr)),
							 .bytes = bytes,
							 .data_bytes = type == SHT_NOBITS ? 0 : bytes},
				       get32(m, h + offsetof(Elf32_Shdr, sh_offset)));
	}
	return err;
}

/* The kernel in a vmlinuz becomes a part like any other; where it belongs, its own symbols say. */
static void unpack_kernel(struct elf_image *m)
{
	struct elf_part *p = &m->part[m->n_parts];
	struct kallsyms k;

	if (!unpack_xz(m->file, m->file_bytes, MAX_UNPACKED_BYTES, &m->unpacked, &m->unpacked_bytes) ||
	    !kallsyms_find(&k, m->unpacked, m->unpacked_bytes, m->big_endian))
		return;
	p->va = kallsyms_first(&k) & ~(LOAD_ALIGN - 1);
	p->bytes = p->data_bytes = (uint32_t)m->unpacked_bytes;
	p->data = m->unpacked;
	if (!segment_is_unmapped(p->va) || p->bytes > KSEG2 - p->va)
		return;
	m->kallsyms = k;
	m->kernel = p;
	m->n_parts++;
}

static void find_kernel(struct elf_image *m)
{
	bool any = false;

	for (unsigned i = 0; i < m->n_parts && !m->kernel; i++) {
		if (!segment_is_unmapped(m->part[i].va))
			continue;
		any = true;
		if (kallsyms_find(&m->kallsyms, m->part[i].data, m->part[i].data_bytes, m->big_endian))
			m->kernel = &m->part[i];
	}
	if (any && !m->kernel)
		unpack_kernel(m);
}

static int look_at(struct reader *r)
{
	int e = check_header(r);

	if (!e)
		e = add_segments(r);
	if (!e && !r->image->n_parts)
		e = add_sections(r);
	if (!e && !r->image->n_parts)
		e = FAIL(r, -ENOEXEC, "nothing in it has an address");
	if (!e)
		find_kernel(r->image);
	return e;
}

/* From a file, or these bytes. */
static int open_image(struct elf_image **out, struct reader *r, const void *data, size_t bytes)
{
	int e = 0;

	*out = NULL;
	r->image = calloc(1, sizeof(*r->image));
	if (!r->image)
		return FAIL(r, -ENOMEM, "%s", strerror(ENOMEM));
	if (!data) {
		e = read_file(r);
	} else if ((r->image->file = malloc(bytes + 1))) {
		memcpy(r->image->file, data, bytes);
		r->image->file_bytes = bytes;
	} else {
		e = FAIL(r, -ENOMEM, "%s", strerror(ENOMEM));
	}
	if (!e)
		e = look_at(r);
	if (e)
		elf_image_free(r->image);
	else
		*out = r->image;
	return e;
}

int elf_image_open(struct elf_image **out, const char *path, struct loader_error *err)
{
	return open_image(out, &(struct reader){.path = path, .err = err}, NULL, 0);
}

int elf_image_open_mem(struct elf_image **out, const char *name, const void *data, size_t bytes,
		       struct loader_error *err)
{
	return open_image(out, &(struct reader){.path = name, .err = err}, data, bytes);
}

void elf_image_free(struct elf_image *image)
{
	if (!image)
		return;
	free(image->file);
	free(image->unpacked);
	free(image);
}

static bool in_part(const struct elf_part *p, uint32_t va) { return va - p->va < p->bytes; }

/* KSEG1 shows what KSEG0 has, and the other way round. */
static const struct elf_part *part_of(const struct elf_image *image, uint32_t *va)
{
	for (unsigned turn = 0; turn < 2; turn++) {
		for (unsigned i = 0; i < image->n_parts; i++)
			if (in_part(&image->part[i], *va))
				return &image->part[i];
		if (!segment_is_unmapped(*va))
			break;
		*va ^= KSEG0 ^ KSEG1;
	}
	return NULL;
}

bool elf_image_read(const struct elf_image *image, uint32_t va, void *to, uint32_t bytes)
{
	uint8_t *out = to;

	while (bytes) {
		uint32_t at = va, off, n, have;
		const struct elf_part *p = part_of(image, &at);

		if (!p)
			return false;
		off = at - p->va;
		n = p->bytes - off < bytes ? p->bytes - off : bytes;
		have = off < p->data_bytes ? p->data_bytes - off : 0;
		if (have > n)
			have = n;
		if (have)
			memcpy(out, p->data + off, have);
		memset(out + have, 0, n - have);
		out += n;
		va += n;
		bytes -= n;
	}
	return true;
}
