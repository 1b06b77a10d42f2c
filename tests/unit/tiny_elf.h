/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_TINY_ELF_H
#define TESTS_UNIT_TINY_ELF_H

/* The smallest kernel that loads: one page at the physical address 0x4000, behind the boot arguments. */
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "base/types.h"

struct tiny_elf {
	Elf32_Ehdr eh;
	Elf32_Phdr ph;
	uint8_t text[64];
};

static inline struct tiny_elf tiny_elf(void)
{
	struct tiny_elf e = {.eh = {.e_type = ET_EXEC,
				    .e_machine = EM_MIPS,
				    .e_version = EV_CURRENT,
				    .e_entry = 0x80004000u,
				    .e_phoff = sizeof(Elf32_Ehdr),
				    .e_flags = EF_MIPS_ARCH_32R2,
				    .e_ehsize = sizeof(Elf32_Ehdr),
				    .e_phentsize = sizeof(Elf32_Phdr),
				    .e_phnum = 1},
			     .ph = {.p_type = PT_LOAD,
				    .p_offset = sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr),
				    .p_vaddr = 0x80004000u,
				    .p_filesz = 64,
				    .p_memsz = 0x1000}};

	memcpy(e.eh.e_ident, ELFMAG, SELFMAG);
	e.eh.e_ident[EI_CLASS] = ELFCLASS32;
	e.eh.e_ident[EI_DATA] = ELFDATA2LSB;
	e.eh.e_ident[EI_VERSION] = EV_CURRENT;
	return e;
}

/* False: it cannot be written. */
static inline bool tiny_elf_write(const char *path)
{
	struct tiny_elf e = tiny_elf();
	FILE *f = fopen(path, "w");
	bool good = f && fwrite(&e, 1, sizeof(e), f) == sizeof(e);

	return f && !fclose(f) && good;
}

#endif
