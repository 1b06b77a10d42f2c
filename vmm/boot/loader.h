/* SPDX-License-Identifier: MIT */
#ifndef VMM_LOADER_H
#define VMM_LOADER_H

#include "base/panic.h"
#include "base/types.h"

struct pmap;

/* Where the YAMON argument block is, and so no segment of an image. */
#define LOADER_ARGS_GPA   0x2000u
#define LOADER_ARGS_BYTES 0x2000u
/* argv[0] is cut to this, with its terminator. */
#define LOADER_NAME_BYTES 256

/* One line for the user: "FILE: what is wrong" ("--append: ..." for an option).  Filled whenever a loader function fails. */
struct loader_error {
	char text[512];
};

struct loaded_image {
	uint64_t entry; /* gva, zero-extended */
	bool big_endian;
	uint64_t low_gpa; /* lowest and one past the highest physical byte loaded */
	uint64_t high_gpa;
};

/*
 * Load an ELF32 MIPS executable (ET_EXEC) through the pmap; every offset, size and address is checked before use:
 * machine, class, segments inside RAM (KSEG0/KSEG1 or physical p_paddr), no overlap, entry inside a loaded segment.
 * Returns 0, -errno (file), -ENOEXEC (format), -E2BIG (does not fit), with err filled.
 */
MUST_CHECK int loader_load_elf(struct pmap *ram, const char *path, struct loaded_image *out, struct loader_error *err);
/* Same from memory (the fuzz target's entry point). name is used in messages. */
MUST_CHECK int loader_load_elf_mem(struct pmap *ram, const char *name, const void *data, size_t bytes,
				   struct loaded_image *out, struct loader_error *err);

/* All of a file of at most 1 GiB, in *data (to be freed). 0 or -errno with err filled. */
MUST_CHECK int loader_read_file(const char *path, uint8_t **data, size_t *bytes, struct loader_error *err);

/* Load a raw file at the highest 64 KiB-aligned address that keeps it inside the first 256 MiB of RAM, above `floor`. */
MUST_CHECK int loader_load_initrd(struct pmap *ram, const char *path, uint64_t floor, uint64_t *gpa_out,
				  uint64_t *bytes_out, struct loader_error *err);

/*
 * Could these be loaded, as far as can be said without doing so?  initrd: or NULL.  unpacks: a vmlinuz is unpacked before it is
 * loaded, so that what is inside is to fit, not itself.
 *
 * Returns  0, also of what can be read once only (a pipe); as loader_load_elf() and loader_load_initrd(), *initrd_is_bad saying which
 * Cost     two short reads; of what fits only unpacked, or is no usual image, as much as to load it
 */
MUST_CHECK int loader_check(const char *kernel, const char *initrd, uint64_t ram_bytes, bool unpacks,
			    bool *initrd_is_bad, struct loader_error *err);

/* ---- loader_note.c ---- */
/*
 * Does the executable say that it starts vCPUs by monitor calls: a PT_NOTE with name "Disco", type LOADER_NOTE_VCPUS? False too for what
 * cannot be read, or is none: the loader will say that.
 */
enum { LOADER_NOTE_VCPUS = 1 };
bool loader_starts_vcpus(const char *path);

/* ---- loader_vmlinuz.c ---- */
/*
 * The kernel inside a Linux vmlinuz as an ELF file of its own, in *out (to be freed): what the program around it would make of it in
 * memory, for each machine anew.  False: none is found, or none that is known; the file is then to be loaded as it is.
 * Cost: 0.5 s.
 */
MUST_CHECK bool loader_unpack_vmlinuz(const uint8_t *data, size_t bytes, uint8_t **out, size_t *out_bytes);

/* ---- loader_linux.c ---- */
/*
 * One past the last byte that a Linux in this image may move itself to as it begins (CONFIG_RANDOMIZE_BASE), without a look at
 * what is there: an initrd below is lost, and so is a kernel that lands beyond memory.  0: too small for a Linux.
 * Source  arch/mips/kernel/relocate.c
 */
uint64_t loader_moves_to(const struct loaded_image *image);
/*
 * How much memory a Linux needs to come to its userland, roughly: itself, the initrd (initrd_bytes may be 0), what that unpacks
 * to, and some.  0: no Linux.
 */
uint64_t loader_likely_needs(struct pmap *ram, const struct loaded_image *image, uint64_t initrd_gpa,
			     uint64_t initrd_bytes);

/*
 * The YAMON argument block (argc, argv, envp, memsize) as the Linux Malta port reads it, at LOADER_ARGS_GPA: registers a0..a3
 * of the boot CPU are returned in regs[4].  The command line is "rd_start=... rd_size=... append", the first two with an
 * initrd (initrd_bytes > 0) only.  Returns 0, -E2BIG (append does not fit in the kernel's 4095 bytes), -EFAULT, -ENOMEM.
 */
MUST_CHECK int loader_put_yamon(struct pmap *ram, const char *kernel_name, const char *append, uint64_t initrd_gpa,
				uint64_t initrd_bytes, uint64_t ram_bytes, bool big_endian, uint32_t regs[4],
				struct loader_error *err);

/*
 * What YAMON has written to the GT-64120 before it starts a program: 32-bit writes in this order through board_write()
 * after a reset, before the first instruction, so that the registers are at 0x1be00000 and the PCI windows where the Malta
 * has them.  Values are the little-endian register's; on a big-endian board, byte-swap them (the guest would, too).
 */
struct loader_poke {
	uint32_t pa, value;
};
const struct loader_poke *loader_yamon_pokes(size_t *n);

#endif
