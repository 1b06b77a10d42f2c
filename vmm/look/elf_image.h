/* SPDX-License-Identifier: MIT */
#ifndef VMM_ELF_IMAGE_H
#define VMM_ELF_IMAGE_H

/*
 * What an ELF32 MIPS file has at which address, for looking into it: a kernel, a program, a library.  Nothing is loaded or
 * relocated: addresses are the file's own.  From its segments; from its sections if it has no segments.
 *
 * A vmlinuz is a small program with the kernel inside, compressed (arch/mips/boot/compressed/).  Both are in the image.
 */
#include "vmm/look/kallsyms.h"

struct loader_error; /* vmm/boot/loader.h: the one line for the user */

#define ELF_IMAGE_MAX_PARTS      256
#define ELF_IMAGE_MAX_FILE_BYTES (1ull << 30) /* a kernel with all its debug information has a quarter of this */

struct elf_part {
	uint32_t va, bytes; /* in memory; va + bytes <= 2^32, bytes > 0 */
	const uint8_t *data;
	uint32_t data_bytes; /* of bytes; what is behind them is 0 */
};

struct elf_image {
	bool big_endian;
	unsigned n_parts;
	struct elf_part part[ELF_IMAGE_MAX_PARTS];
	uint32_t dynamic; /* va of the dynamic section, of PT_DYNAMIC; 0: none */

	/* A Linux kernel's own symbols: kallsyms.n is 0 without; then kernel is the part that has them. */
	struct kallsyms kallsyms;
	const struct elf_part *kernel;

	uint8_t *file, *unpacked;
	size_t file_bytes, unpacked_bytes;
};

/*
 * 0, or with err filled: -errno (file), -ENOEXEC (no ELF32 MIPS executable or library, or a damaged one), -E2BIG.
 * Cost: reads the file; unpacks a vmlinuz (0.5 s).
 */
MUST_CHECK int elf_image_open(struct elf_image **out, const char *path, struct loader_error *err);
/* Same from memory, which is copied (tests). name is used in messages. */
MUST_CHECK int elf_image_open_mem(struct elf_image **out, const char *name, const void *data, size_t bytes,
				  struct loader_error *err);
void elf_image_free(struct elf_image *image);

/* Bytes [va, va + bytes) as they are in the file. False: some of them are in no part. */
MUST_CHECK bool elf_image_read(const struct elf_image *image, uint32_t va, void *to, uint32_t bytes);

#endif
