/* SPDX-License-Identifier: MIT */
#ifndef VMM_SYMBOLS_H
#define VMM_SYMBOLS_H

/*
 * Names of guest addresses, for people: dumps show them, and --at and --dump-filter take them.  From the symbol table of
 * an ELF file and from listings (System.map, nm).  Several sources may be added; then symbols_sort() once.
 */
#include "base/panic.h"
#include "base/types.h"

struct loader_error; /* vmm/boot/loader.h: the one line for the user */
struct symbols;

#define SYMBOLS_MAX_NAME   255        /* longer ones are left out */
#define SYMBOLS_MAX        (1u << 22) /* more are refused */
#define SYMBOLS_TEXT_BYTES (SYMBOLS_MAX_NAME + 16)

/* NULL: no host memory. */
struct symbols *symbols_new(void);
void symbols_free(struct symbols *s);

/*
 * The symbols of an ELF32 MIPS file's SHT_SYMTAB, functions and labels in code.  A file without any, or that is not a
 * regular one, adds nothing; so does an entry that is not what it should be.  0, -errno, -ENOMEM, -E2BIG, with err filled.
 */
MUST_CHECK int symbols_add_elf(struct symbols *s, const char *path, struct loader_error *err);
/*
 * A listing: lines of "ADDRESS [SIZE] TYPE NAME [MODULE]" in hexadecimal, as `nm`, `nm -S`, System.map and /proc/kallsyms
 * have them; undefined symbols (no address) are skipped.  -ENOEXEC: a line that is none, or no address at all.
 */
MUST_CHECK int symbols_add_map(struct symbols *s, const char *path, struct loader_error *err);
/* After the last add, before the first look-up. */
void symbols_sort(struct symbols *s);
size_t symbols_count(const struct symbols *s);

/*
 * The n-th symbol of this name: [*low, *high], both inclusive.  False: there are not so many.  Static functions share names.
 */
bool symbols_find(const struct symbols *s, const char *name, size_t name_len, unsigned n, uint32_t *low,
		  uint32_t *high);
/* "name" or "name+0x10" of an address, cut to out_bytes; "" if it is in none, or s is NULL. Cost O(log n). */
void symbols_describe(const struct symbols *s, uint64_t pc, char *out, size_t out_bytes);

#endif
