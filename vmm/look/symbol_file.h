/* SPDX-License-Identifier: MIT */
#ifndef VMM_SYMBOL_FILE_H
#define VMM_SYMBOL_FILE_H

/*
 * The names that a Linux kernel carries inside itself (vmm/look/kallsyms.h) as an ELF file that debuggers read: a symbol table, and
 * one section that says where the code is, and has no bytes.
 */
#include <stdio.h>

#include "base/panic.h"

struct elf_image;

/* 0; -ENOENT: it has none; -ENOMEM; -EIO: out cannot be written. */
MUST_CHECK int symbol_file_write(FILE *out, const struct elf_image *image);

#endif
