/* SPDX-License-Identifier: MIT */
#ifndef VMM_LOADER_H
#define VMM_LOADER_H

#include "base/panic.h"
#include "base/types.h"

struct pmap;

/* One line for the user: "disco: FILE: what is wrong".  Filled whenever a loader function fails. */
struct loader_error {
	char text[512];
};

struct loaded_image {
	uint64_t entry;	      /* gva, zero-extended */
	bool big_endian;
	uint64_t low_gpa;     /* lowest and one past the highest physical byte loaded */
	uint64_t high_gpa;
};

/*
 * Load an ELF32 MIPS executable (ET_EXEC) through the pmap; every offset, size and address is checked before use:
 * machine, class, segments inside RAM (KSEG0/KSEG1 or physical p_paddr), no overlap, entry inside a loaded segment.
 * Returns 0, -errno (file), -ENOEXEC (format), -E2BIG (does not fit), with err filled.
 */
MUST_CHECK int loader_load_elf(struct pmap *ram, const char *path, struct loaded_image *out, struct loader_error *err);
/* Same from memory (the fuzz target's entry point). name is used in messages. */
MUST_CHECK int loader_load_elf_mem(struct pmap *ram, const char *name, const void *data, size_t bytes, struct loaded_image *out, struct loader_error *err);

/* Load a raw file at the highest 64 KiB-aligned address that keeps it inside the first 256 MiB of RAM, above `floor`. */
MUST_CHECK int loader_load_initrd(struct pmap *ram, const char *path, uint64_t floor, uint64_t *gpa_out, uint64_t *bytes_out, struct loader_error *err);

/*
 * The YAMON argument block (argc, argv, envp, memsize) as the Linux Malta port reads it: registers a0..a3 of the boot CPU are
 * returned in regs[4]. Also the boot stub of the board (GT-64120 remapped to 0x1be00000).
 */
MUST_CHECK int loader_put_yamon(struct pmap *ram, const char *kernel_name, const char *append, uint64_t initrd_gpa, uint64_t initrd_bytes, uint64_t ram_bytes, bool big_endian, uint32_t regs[4], struct loader_error *err);

#endif
