/* SPDX-License-Identifier: MIT */
#include "vmm/boot/loader.h"

#include "base/segments.h"
#include "numa/numa.h"
#include "vmm/boot/loader_internal.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * ELF by hand and not by libelf: every number in the file is hostile, and here each is visibly compared before it is
 * used.  Layout: System V ABI, MIPS supplement; only the 32-bit class.
 */

/* A kernel with all its debug information has a quarter of this. */
#define MAX_FILE_BYTES (1ull << 30)
#define MAX_SEGMENTS   32
#define INITRD_ALIGN   0x10000ull
#define LOW_RAM_BYTES  (256ull << 20)

/* linux/elf.h and <elf.h> lack these; MIPS ABI, e_flags. */
#define FLAG_MICROMIPS 0x02000000u

struct elf_file {
	const char *name;
	const uint8_t *data;
	size_t bytes, there; /* of the file; of it in data, from its beginning on */
	bool big_endian;
	struct loader_error *err;
};

struct segment {
	uint32_t offset, file_bytes, pa, mem_bytes;
};

int loader_fail(struct loader_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

/* "FILE: what": the name is cut so that what is wrong always fits. */
#define FAIL(f, code, fmt, ...) loader_fail((f)->err, code, "%.300s: " fmt, (f)->name __VA_OPT__(, ) __VA_ARGS__)

/* at + 2 (+ 4) <= bytes was checked by the caller. */
static uint32_t get16(const struct elf_file *f, uint64_t at)
{
	const uint8_t *p = f->data + at;

	return f->big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t get32(const struct elf_file *f, uint64_t at)
{
	return f->big_endian ? get16(f, at) << 16 | get16(f, at + 2) : get16(f, at + 2) << 16 | get16(f, at);
}

static int check_ident(struct elf_file *f)
{
	const uint8_t *p = f->data;

	if (f->there < EI_NIDENT || memcmp(p, ELFMAG, SELFMAG) != 0)
		return FAIL(f, -ENOEXEC, "not an ELF file");
	if (p[EI_CLASS] == ELFCLASS64)
		return FAIL(f, -ENOEXEC, "a 64-bit ELF file; this machine is MIPS32");
	if (p[EI_CLASS] != ELFCLASS32)
		return FAIL(f, -ENOEXEC, "ELF class %u is neither 32-bit nor 64-bit", p[EI_CLASS]);
	if (p[EI_DATA] != ELFDATA2LSB && p[EI_DATA] != ELFDATA2MSB)
		return FAIL(f, -ENOEXEC, "ELF byte order %u is neither little- nor big-endian", p[EI_DATA]);
	if (p[EI_VERSION] != EV_CURRENT)
		return FAIL(f, -ENOEXEC, "ELF version %u; there is only version 1", p[EI_VERSION]);
	if (f->there < sizeof(Elf32_Ehdr))
		return FAIL(f, -ENOEXEC, "truncated: %zu bytes do not hold an ELF header", f->bytes);
	f->big_endian = p[EI_DATA] == ELFDATA2MSB;
	return 0;
}

static int check_machine(const struct elf_file *f)
{
	uint32_t type = get16(f, offsetof(Elf32_Ehdr, e_type)), machine = get16(f, offsetof(Elf32_Ehdr, e_machine));
	uint32_t flags = get32(f, offsetof(Elf32_Ehdr, e_flags)), arch = flags & EF_MIPS_ARCH;

	if (machine != EM_MIPS)
		return FAIL(f, -ENOEXEC, "for ELF machine %u, not MIPS (8)%s", machine,
			    machine == (EM_MIPS << 8) ? "; its byte order mark is wrong" : "");
	if (type != ET_EXEC)
		return FAIL(f, -ENOEXEC, "%s, not an executable",
			    type == ET_DYN   ? "a shared object or PIE"
			    : type == ET_REL ? "an object file or kernel module"
					     : "of an unknown ELF type");
	if (arch != EF_MIPS_ARCH_1 && arch != EF_MIPS_ARCH_2 && arch != EF_MIPS_ARCH_32 && arch != EF_MIPS_ARCH_32R2)
		return FAIL(f, -ENOEXEC, "code for another MIPS level (e_flags %08x); this machine is MIPS32 release 2",
			    flags);
	if (flags & FLAG_MICROMIPS)
		return FAIL(f, -ENOEXEC, "microMIPS code (e_flags %08x); this machine has none", flags);
	return 0;
}

/* The physical address of a segment: where its KSEG0 or KSEG1 address says, otherwise its p_paddr. */
static uint32_t segment_pa(uint32_t vaddr, uint32_t paddr)
{
	if (segment_is_unmapped(vaddr))
		return vaddr & UNMAPPED_MASK;
	return segment_is_unmapped(paddr) ? paddr & UNMAPPED_MASK : paddr;
}

static int check_segment(const struct elf_file *f, const struct segment *s, unsigned i, uint64_t ram_bytes)
{
	uint64_t end = (uint64_t)s->pa + s->mem_bytes;

	if (s->file_bytes > s->mem_bytes)
		return FAIL(f, -ENOEXEC, "segment %u has more bytes in the file than in memory", i);
	if ((uint64_t)s->offset + s->file_bytes > f->bytes)
		return FAIL(f, -ENOEXEC, "truncated: segment %u ends at byte %llu, the file at %zu", i,
			    (unsigned long long)s->offset + s->file_bytes, f->bytes);
	if (end > ram_bytes || end > LOW_RAM_BYTES)
		return FAIL(f, -E2BIG, "segment %u is at physical %08x to %08llx, and memory (--mem) ends at %08llx", i,
			    s->pa, (unsigned long long)end,
			    (unsigned long long)(ram_bytes < LOW_RAM_BYTES ? ram_bytes : LOW_RAM_BYTES));
	if (s->pa < LOADER_ARGS_GPA + LOADER_ARGS_BYTES && end > LOADER_ARGS_GPA)
		return FAIL(f, -ENOEXEC, "segment %u is at physical %08x, over the boot arguments at %08x", i, s->pa,
			    LOADER_ARGS_GPA);
	return 0;
}

/*
 * Program headers into seg[0..*n); nothing is written to memory before all of them are good.  -EAGAIN: they are not in what is there
 * of the file.
 */
static int read_segments(const struct elf_file *f, struct segment *seg, unsigned *n, uint64_t ram_bytes)
{
	uint32_t phoff = get32(f, offsetof(Elf32_Ehdr, e_phoff)), phnum = get16(f, offsetof(Elf32_Ehdr, e_phnum));
	uint32_t phentsize = get16(f, offsetof(Elf32_Ehdr, e_phentsize));

	*n = 0;
	if (phnum && phentsize != sizeof(Elf32_Phdr))
		return FAIL(f, -ENOEXEC, "program headers of %u bytes, not 32", phentsize);
	if (phoff + (uint64_t)phnum * sizeof(Elf32_Phdr) > f->there && f->there < f->bytes)
		return -EAGAIN;
	if (phoff + (uint64_t)phnum * sizeof(Elf32_Phdr) > f->bytes)
		return FAIL(f, -ENOEXEC, "truncated: the program headers are outside the file");
	for (uint32_t i = 0; i < phnum; i++) {
		uint64_t at = phoff + (uint64_t)i * sizeof(Elf32_Phdr);
		struct segment s = {
		    .offset = get32(f, at + offsetof(Elf32_Phdr, p_offset)),
		    .file_bytes = get32(f, at + offsetof(Elf32_Phdr, p_filesz)),
		    .mem_bytes = get32(f, at + offsetof(Elf32_Phdr, p_memsz)),
		    .pa = segment_pa(get32(f, at + offsetof(Elf32_Phdr, p_vaddr)),
				     get32(f, at + offsetof(Elf32_Phdr, p_paddr))),
		};
		int r;

		if (get32(f, at + offsetof(Elf32_Phdr, p_type)) != PT_LOAD || (!s.mem_bytes && !s.file_bytes))
			continue;
		r = check_segment(f, &s, i, ram_bytes);
		if (r)
			return r;
		if (*n == MAX_SEGMENTS)
			return FAIL(f, -ENOEXEC, "more than %u loadable segments", MAX_SEGMENTS);
		for (unsigned j = 0; j < *n; j++)
			if (s.pa < (uint64_t)seg[j].pa + seg[j].mem_bytes && seg[j].pa < (uint64_t)s.pa + s.mem_bytes)
				return FAIL(f, -ENOEXEC, "segment %u overlaps another at physical %08x", i, s.pa);
		seg[(*n)++] = s;
	}
	return *n ? 0 : FAIL(f, -ENOEXEC, "no loadable segments");
}

static int check_entry(const struct elf_file *f, const struct segment *seg, unsigned n, uint64_t *entry_out)
{
	uint32_t entry = get32(f, offsetof(Elf32_Ehdr, e_entry)), pa = entry & UNMAPPED_MASK;

	if (entry % 4)
		return FAIL(f, -ENOEXEC, "entry point %08x is not a multiple of 4", entry);
	if (!segment_is_unmapped(entry))
		return FAIL(f, -ENOEXEC, "entry point %08x is outside KSEG0 and KSEG1", entry);
	for (unsigned i = 0; i < n; i++)
		if (pa >= seg[i].pa && pa - seg[i].pa < seg[i].file_bytes) {
			*entry_out = entry;
			return 0;
		}
	return FAIL(f, -ENOEXEC, "entry point %08x is outside what the file loads", entry);
}

/* Without a look at what the segments hold. */
static int check_image(struct elf_file *f, uint64_t ram_bytes, struct segment seg[MAX_SEGMENTS], unsigned *n,
		       struct loaded_image *out)
{
	uint64_t entry = 0;
	int r = check_ident(f);

	if (!r)
		r = check_machine(f);
	if (!r)
		r = read_segments(f, seg, n, ram_bytes);
	if (!r)
		r = check_entry(f, seg, *n, &entry);
	if (r)
		return r;
	*out = (struct loaded_image){.entry = entry, .big_endian = f->big_endian, .low_gpa = UINT64_MAX};
	for (unsigned i = 0; i < *n; i++) {
		uint64_t end = (uint64_t)seg[i].pa + seg[i].mem_bytes;

		if (seg[i].pa < out->low_gpa)
			out->low_gpa = seg[i].pa;
		if (end > out->high_gpa)
			out->high_gpa = end;
	}
	return 0;
}

/* Zero memory; a page never touched is zero as it is. */
static int zero_range(struct pmap *ram, uint64_t pa, uint64_t end)
{
	static const uint8_t zeroes[PAGE_BYTES];

	while (pa < end) {
		uint64_t next = (pa | PAGE_MASK) + 1;
		int r = 0;

		if (next > end)
			next = end;
		if (pmap_peek(ram, gpa(pa)))
			r = pmap_write(ram, gpa(pa), zeroes, next - pa);
		if (r)
			return r;
		pa = next;
	}
	return 0;
}

int loader_load_elf_mem(struct pmap *ram, const char *name, const void *data, size_t bytes, struct loaded_image *out,
			struct loader_error *err)
{
	struct elf_file f = {.name = name, .data = data, .bytes = bytes, .there = bytes, .err = err};
	struct segment seg[MAX_SEGMENTS];
	unsigned n = 0;
	int r = check_image(&f, pmap_bytes(ram), seg, &n, out);

	for (unsigned i = 0; !r && i < n; i++) {
		uint64_t end = (uint64_t)seg[i].pa + seg[i].mem_bytes;

		r = pmap_write(ram, gpa(seg[i].pa), f.data + seg[i].offset, seg[i].file_bytes);
		if (!r)
			r = zero_range(ram, (uint64_t)seg[i].pa + seg[i].file_bytes, end);
		if (r)
			return FAIL(&f, r, "cannot be copied into guest memory: %s", strerror(-r));
	}
	return r;
}

/*
 * All of a file, into memory that the caller frees.  Read, not mapped: a mapping of a file that somebody truncates kills
 * the monitor.  Sizes from stat() are not believed either (pipes, /proc).
 */
static int read_file(const char *path, uint64_t max_bytes, uint8_t **data_out, size_t *bytes_out,
		     struct loader_error *err)
{
	size_t used = 0, room = 1 << 20;
	uint8_t *data = malloc(room), *bigger;
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = fd < 0 ? -errno : 0;

	while (!r && data) {
		ssize_t got = read(fd, data + used, room - used);

		if (got == 0)
			break;
		if (got < 0) {
			r = errno == EINTR ? 0 : -errno;
			continue;
		}
		used += (size_t)got;
		if (used > max_bytes) {
			r = -E2BIG;
		} else if (used == room) {
			room *= 2;
			bigger = realloc(data, room);
			if (!bigger)
				r = -ENOMEM;
			else
				data = bigger;
		}
	}
	if (fd >= 0)
		close(fd);
	if (!r && !data)
		r = -ENOMEM;
	if (r) {
		free(data);
		if (r == -E2BIG)
			return loader_fail(err, r, "%.300s: larger than %llu bytes", path,
					   (unsigned long long)max_bytes);
		return loader_fail(err, r, "%.300s: %s", path, strerror(-r));
	}
	*data_out = data;
	*bytes_out = used;
	return 0;
}

int loader_read_file(const char *path, uint8_t **data, size_t *bytes, struct loader_error *err)
{
	return read_file(path, MAX_FILE_BYTES, data, bytes, err);
}

int loader_load_elf(struct pmap *ram, const char *path, struct loaded_image *out, struct loader_error *err)
{
	uint8_t *data;
	size_t bytes;
	int r = read_file(path, MAX_FILE_BYTES, &data, &bytes, err);

	if (r)
		return r;
	r = loader_load_elf_mem(ram, path, data, bytes, out, err);
	free(data);
	return r;
}

static int place_initrd(const char *path, uint64_t bytes, uint64_t ram_bytes, uint64_t floor, uint64_t *at,
			struct loader_error *err)
{
	uint64_t top = ram_bytes < LOW_RAM_BYTES ? ram_bytes : LOW_RAM_BYTES;

	*at = bytes <= top ? (top - bytes) & ~(INITRD_ALIGN - 1) : 0;
	if (bytes == 0)
		return loader_fail(err, -ENOEXEC, "%.300s: is empty", path);
	if (bytes > top || *at < floor || *at < LOADER_ARGS_GPA + LOADER_ARGS_BYTES)
		return loader_fail(err, -E2BIG,
				   "%.300s: %llu bytes do not fit between the kernel, which ends at %08llx, and "
				   "the end of memory, %08llx",
				   path, (unsigned long long)bytes, (unsigned long long)floor, (unsigned long long)top);
	return 0;
}

int loader_load_initrd(struct pmap *ram, const char *path, uint64_t floor, uint64_t *gpa_out, uint64_t *bytes_out,
		       struct loader_error *err)
{
	uint64_t at = 0;
	uint8_t *data;
	size_t bytes;
	int r = read_file(path, LOW_RAM_BYTES, &data, &bytes, err);

	if (r)
		return r;
	r = place_initrd(path, bytes, pmap_bytes(ram), floor, &at, err);
	if (!r) {
		r = pmap_write(ram, gpa(at), data, bytes);
		if (r)
			loader_fail(err, r, "%.300s: cannot be copied into guest memory: %s", path, strerror(-r));
	}
	free(data);
	if (r)
		return r;
	*gpa_out = at;
	*bytes_out = bytes;
	return 0;
}

/* ---- before there is a machine ---- */

enum { LOOK_BYTES = 64 << 10 };

/*
 * The first bytes of a file, and how many it has.  Of what can be read once only (a pipe): *bytes is 0, and that is all that is
 * known.
 */
static int look_at_file(const char *path, uint8_t *first, size_t *there, uint64_t *bytes, struct loader_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), e = fd < 0 ? -errno : 0;
	struct stat st = {0};
	ssize_t n = 0;

	*there = 0;
	*bytes = 0;
	if (!e && fstat(fd, &st))
		e = -errno;
	if (!e && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode)) {
		n = pread(fd, first, LOOK_BYTES, 0);
		e = n < 0 ? -errno : 0;
		*there = n > 0 ? (size_t)n : 0;
		*bytes = S_ISREG(st.st_mode) && (uint64_t)st.st_size > *there ? (uint64_t)st.st_size : *there;
	}
	if (fd >= 0)
		close(fd);
	if (e)
		return loader_fail(err, e, "%.300s: %s", path, strerror(-e));
	return !n && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode)
		   ? loader_fail(err, -ENOEXEC, "%.300s: is empty", path)
		   : 0;
}

/* The whole of it, unpacked if it is a vmlinuz. */
static int check_kernel_inside(const char *path, uint64_t ram_bytes, struct loaded_image *out, struct loader_error *err)
{
	struct segment seg[MAX_SEGMENTS];
	uint8_t *data, *unpacked;
	size_t bytes, n_unpacked;
	unsigned n = 0;
	int r = loader_read_file(path, &data, &bytes, err);
	struct elf_file f = {.name = path, .err = err};

	if (r)
		return r;
	if (loader_unpack_vmlinuz(data, bytes, &unpacked, &n_unpacked)) {
		free(data);
		data = unpacked;
		bytes = n_unpacked;
	}
	f.data = data;
	f.bytes = f.there = bytes;
	r = check_image(&f, ram_bytes, seg, &n, out);
	free(data);
	return r;
}

static int check_kernel(const char *path, uint64_t ram_bytes, struct loaded_image *out, struct loader_error *err)
{
	struct elf_file f = {.name = path, .err = err};
	struct segment seg[MAX_SEGMENTS];
	uint8_t *first = malloc(LOOK_BYTES);
	unsigned n = 0;
	uint64_t bytes;
	int r = first ? look_at_file(path, first, &f.there, &bytes, err)
		      : loader_fail(err, -ENOMEM, "the host has no memory left");

	if (!r && bytes) {
		f.data = first;
		f.bytes = bytes;
		r = check_image(&f, ram_bytes, seg, &n, out);
	}
	free(first);
	return r;
}

int loader_check(const char *kernel, const char *initrd, uint64_t ram_bytes, bool unpacks, bool *initrd_is_bad,
		 struct loader_error *err)
{
	struct loaded_image image = {0};
	uint8_t *first = NULL;
	uint64_t bytes = 0, at;
	size_t there;
	int r = check_kernel(kernel, ram_bytes, &image, err);

	*initrd_is_bad = false;
	if (r == -EAGAIN || (r == -E2BIG && unpacks))
		r = check_kernel_inside(kernel, ram_bytes, &image, err);
	if (r || !initrd)
		return r;
	*initrd_is_bad = true;
	first = malloc(LOOK_BYTES);
	r = first ? look_at_file(initrd, first, &there, &bytes, err)
		  : loader_fail(err, -ENOMEM, "the host has no memory left");
	free(first);
	if (!r && bytes)
		r = place_initrd(initrd, bytes, ram_bytes, image.high_gpa, &at, err);
	if (r != -E2BIG || !unpacks || check_kernel_inside(kernel, ram_bytes, &image, err))
		return r;
	return place_initrd(initrd, bytes, ram_bytes, image.high_gpa, &at, err);
}
