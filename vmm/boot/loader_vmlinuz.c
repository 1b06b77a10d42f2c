/* SPDX-License-Identifier: MIT */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/segments.h"
#include "vmm/boot/loader.h"
#include "vmm/boot/unpack.h"

/*
 * A vmlinuz is a small program with the compressed kernel inside (arch/mips/boot/compressed/).  It unpacks that to the load address
 * of the kernel, which is a constant of the board, and jumps to the kernel's entry, a constant in its last instructions
 * (head.S: "PTR_LI t9, KERNEL_ENTRY; jr t9").
 */

#define LOAD_ADDRESS     0x80100000u  /* arch/mips/mti-malta/Platform: load-$(CONFIG_MIPS_MALTA) */
#define MAX_KERNEL_BYTES (128u << 20) /* half of the board's memory */
#define BSS_BYTES        (1u << 20)   /* what the kernel clears itself; at least, it tells nobody */
#define KERNEL_OFFSET    PAGE_BYTES   /* in the file that is made */

enum { LUI_T9 = 0x3c190000, ORI_T9 = 0x37390000, ADDIU_T9 = 0x27390000, JALR_T9 = 0x0320f809, JR_T9 = 0x03200008 };

static uint32_t word(const uint8_t *p, bool big_endian)
{
	uint32_t w;

	memcpy(&w, p, sizeof(w));
	return big_endian ? __builtin_bswap32(w) : w;
}

/* Where the program jumps to in the kernel (it calls functions of its own in the same way); 0: nowhere. */
static uint32_t find_entry(const uint8_t *data, size_t bytes, bool big_endian, size_t kernel_bytes)
{
	for (size_t at = 0; at + 12 <= bytes; at += 4) {
		uint32_t a = word(data + at, big_endian), b, c, target;

		if ((a & 0xffff0000u) != LUI_T9)
			continue;
		b = word(data + at + 4, big_endian);
		c = word(data + at + 8, big_endian);
		if (c != JALR_T9 && c != JR_T9)
			continue;
		if ((b & 0xffff0000u) == ORI_T9)
			target = a << 16 | (b & 0xffff);
		else if ((b & 0xffff0000u) == ADDIU_T9)
			target = (a << 16) + (uint32_t)(int32_t)(int16_t)b;
		else
			continue;
		if (target >= LOAD_ADDRESS && target - LOAD_ADDRESS < kernel_bytes)
			return target;
	}
	return 0;
}

static uint32_t order32(uint32_t v, bool big_endian) { return big_endian ? __builtin_bswap32(v) : v; }
static uint16_t order16(uint16_t v, bool big_endian) { return big_endian ? __builtin_bswap16(v) : v; }

/* The kernel as an executable with one segment; identification, machine and flags as those of the file it comes from. */
static uint8_t *as_elf(const uint8_t *vmlinuz, const uint8_t *kernel, size_t bytes, uint32_t entry, bool be)
{
	uint8_t *elf = calloc(1, KERNEL_OFFSET + bytes);
	Elf32_Phdr ph = {
	    .p_type = order32(PT_LOAD, be),
	    .p_offset = order32(KERNEL_OFFSET, be),
	    .p_vaddr = order32(LOAD_ADDRESS, be),
	    .p_paddr = order32(LOAD_ADDRESS, be),
	    .p_filesz = order32((uint32_t)bytes, be),
	    .p_memsz = order32((uint32_t)bytes + BSS_BYTES, be),
	    .p_flags = order32(PF_R | PF_W | PF_X, be),
	};
	Elf32_Ehdr eh;

	if (!elf)
		return NULL;
	memcpy(&eh, vmlinuz, sizeof(eh));
	eh.e_entry = order32(entry, be);
	eh.e_phoff = order32(sizeof(eh), be);
	eh.e_phentsize = order16(sizeof(ph), be);
	eh.e_phnum = order16(1, be);
	eh.e_shoff = 0;
	eh.e_shnum = eh.e_shstrndx = 0;
	memcpy(elf, &eh, sizeof(eh));
	memcpy(elf + sizeof(eh), &ph, sizeof(ph));
	memcpy(elf + KERNEL_OFFSET, kernel, bytes);
	return elf;
}

bool loader_unpack_vmlinuz(const uint8_t *data, size_t bytes, uint8_t **out, size_t *out_bytes)
{
	uint8_t *kernel;
	size_t kernel_bytes;
	uint32_t entry;
	bool be;

	*out = NULL;
	if (bytes < sizeof(Elf32_Ehdr) || memcmp(data, ELFMAG, SELFMAG) != 0 || data[EI_CLASS] != ELFCLASS32)
		return false;
	be = data[EI_DATA] == ELFDATA2MSB;
	if (!unpack_xz(data, bytes, MAX_KERNEL_BYTES, &kernel, &kernel_bytes))
		return false;
	entry = find_entry(data, bytes, be, kernel_bytes);
	if (entry)
		*out = as_elf(data, kernel, kernel_bytes, entry, be);
	free(kernel);
	*out_bytes = *out ? KERNEL_OFFSET + kernel_bytes : 0;
	return *out != NULL;
}
