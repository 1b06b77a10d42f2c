/* SPDX-License-Identifier: MIT */
#ifndef VMM_SYMBOLS_H
#define VMM_SYMBOLS_H

/*
 * Names of guest addresses, for people: dumps show them, and --at and --dump-filter take them.  From an ELF file's symbol
 * tables, from a Linux kernel's own (vmm/look/kallsyms.h), and from listings (System.map, nm).  Several sources may be
 * added; then symbols_sort() once.
 */
#include "base/panic.h"
#include "base/types.h"

struct loader_error; /* vmm/boot/loader.h: the one line for the user */
struct elf_image;    /* vmm/look/elf_image.h */
struct symbols;

#define SYMBOLS_MAX_NAME   255        /* longer ones are left out */
#define SYMBOLS_MAX        (1u << 22) /* more are refused */
#define SYMBOLS_TEXT_BYTES (SYMBOLS_MAX_NAME + 16)

/* NULL: no host memory. */
struct symbols *symbols_new(void);
void symbols_free(struct symbols *s);

/*
 * All that is known of an image, and a listing on top of it, sorted.  image, listing: NULL for none; path: image's.
 * 0, or with err filled what the functions below return.
 */
MUST_CHECK int symbols_open(struct symbols **out, const struct elf_image *image, const char *path, const char *listing,
			    struct loader_error *err);

/*
 * The symbols of an ELF32 MIPS file's SHT_SYMTAB, or else of its SHT_DYNSYM: functions and labels in code.  A file without any, or that is not a
 * regular one, adds nothing; so does an entry that is not what it should be.  0, -errno, -ENOMEM, -E2BIG, with err filled.
 */
MUST_CHECK int symbols_add_elf(struct symbols *s, const char *path, struct loader_error *err);
/*
 * Dynamic symbols by way of the segments (PT_DYNAMIC), for a file without sections.  0, -ENOMEM, -E2BIG.
 */
MUST_CHECK int symbols_add_dynamic(struct symbols *s, const struct elf_image *image);
/* The symbols that a Linux kernel carries.  0, -ENOMEM, -E2BIG. */
MUST_CHECK int symbols_add_kallsyms(struct symbols *s, const struct elf_image *image);
/*
 * A listing: lines of "ADDRESS [SIZE] TYPE NAME [MODULE]" in hexadecimal, as `nm`, `nm -S`, System.map and /proc/kallsyms
 * have them; undefined symbols (no address) are skipped.  -ENOEXEC: a line that is none, or no address at all.
 */
MUST_CHECK int symbols_add_map(struct symbols *s, const char *path, struct loader_error *err);
/* After the last add, before the first look-up. */
void symbols_sort(struct symbols *s);
size_t symbols_count(const struct symbols *s);

/*
 * A kernel that was linked to [low, high) has moved itself up by `slide` bytes (KASLR): from now on, addresses in
 * [low + slide, high + slide) have the names of those in [low, high), which keep them as well.
 */
void symbols_set_slide(struct symbols *s, uint32_t low, uint32_t high, uint32_t slide);
/* The address that pc was linked to: less the slide, if it is in what has moved. */
uint64_t symbols_linked(const struct symbols *s, uint64_t pc);

/*
 * The n-th symbol of this name: [*low, *high] as linked, both inclusive.  False: there are not so many.  Static functions share names.
 */
bool symbols_find(const struct symbols *s, const char *name, size_t name_len, unsigned n, uint32_t *low,
		  uint32_t *high);
/* "name" or "name+0x10" of an address, cut to out_bytes; "" if it is in none, or s is NULL. Cost O(log n). */
void symbols_describe(const struct symbols *s, uint64_t pc, char *out, size_t out_bytes);

#endif
