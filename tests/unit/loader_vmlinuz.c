/* SPDX-License-Identifier: MIT */
/* A vmlinuz becomes the kernel inside, with the entry that its program jumps to. */
#include <criterion/criterion.h>
#include <elf.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>

#include "base/types.h"
#include "vmm/boot/loader.h"

#define KERNEL_BYTES 20000u
#define LOAD         0x80100000u

struct file {
	uint8_t data[65536];
	size_t bytes;
	bool big_endian;
};

static void put(struct file *f, uint32_t w)
{
	if (f->big_endian)
		w = __builtin_bswap32(w);
	memcpy(f->data + f->bytes, &w, 4);
	f->bytes += 4;
}

static void fill(uint8_t *kernel)
{
	for (unsigned i = 0; i < KERNEL_BYTES; i++)
		kernel[i] = (uint8_t)(i * 7 + i / 255);
}

/* A header, calls in the way of head.S, and the kernel; jump 0: none leads into it. */
static void make(struct file *f, bool big_endian, uint32_t jump, bool add)
{
	static uint8_t kernel[KERNEL_BYTES];
	Elf32_Ehdr eh = {
	    .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, big_endian ? ELFDATA2MSB : ELFDATA2LSB, 1}};
	size_t used = 0;

	memset(f, 0, sizeof(*f));
	f->big_endian = big_endian;
	eh.e_machine = big_endian ? __builtin_bswap16(EM_MIPS) : EM_MIPS;
	memcpy(f->data, &eh, sizeof(eh));
	f->bytes = sizeof(eh);
	put(f, 0x3c198090); /* a function of the program's own, far above */
	put(f, 0x37391234);
	put(f, 0x0320f809);
	if (jump) {
		put(f, 0x3c190000 | ((jump + (add ? 0x8000 : 0)) >> 16));
		put(f, (add ? 0x27390000 : 0x37390000) | (jump & 0xffff));
		put(f, 0x03200008);
	}
	fill(kernel);
	cr_assert_eq(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, kernel, sizeof(kernel), f->data + f->bytes,
					     &used, sizeof(f->data) - f->bytes),
		     LZMA_OK);
	f->bytes += used;
}

static uint32_t field(const uint8_t *elf, size_t at, bool big_endian)
{
	uint32_t w;

	memcpy(&w, elf + at, 4);
	return big_endian ? __builtin_bswap32(w) : w;
}

static void check(bool big_endian, uint32_t jump, bool add)
{
	static struct file f;
	uint8_t kernel[KERNEL_BYTES], *elf;
	size_t bytes;

	make(&f, big_endian, jump, add);
	cr_assert(loader_unpack_vmlinuz(f.data, f.bytes, &elf, &bytes));
	fill(kernel);
	cr_assert_eq(bytes, PAGE_BYTES + KERNEL_BYTES);
	cr_assert_eq(memcmp(elf + PAGE_BYTES, kernel, KERNEL_BYTES), 0);
	cr_assert_eq(field(elf, offsetof(Elf32_Ehdr, e_entry), big_endian), jump);
	cr_assert_eq(field(elf, sizeof(Elf32_Ehdr) + offsetof(Elf32_Phdr, p_vaddr), big_endian), LOAD);
	cr_assert_eq(field(elf, sizeof(Elf32_Ehdr) + offsetof(Elf32_Phdr, p_filesz), big_endian), KERNEL_BYTES);
	cr_assert_eq(elf[EI_DATA], big_endian ? ELFDATA2MSB : ELFDATA2LSB);
	free(elf);
}

Test(loader_vmlinuz, entry)
{
	for (int be = 0; be < 2; be++) {
		check(be, LOAD, false);
		check(be, LOAD + 0x1a40, false);
		check(be, LOAD + 0x1a40, true);
		check(be, LOAD + KERNEL_BYTES - 4, false);
	}
}

static void refuse(const struct file *f, size_t bytes, const char *what)
{
	size_t n = 1;
	uint8_t *elf = (uint8_t *)1;

	cr_assert_not(loader_unpack_vmlinuz(f->data, bytes, &elf, &n), "%s", what);
	cr_assert_null(elf, "%s", what);
}

Test(loader_vmlinuz, not_one)
{
	static struct file f;

	make(&f, false, 0, false);
	refuse(&f, f.bytes, "no jump into the kernel");
	make(&f, false, LOAD + KERNEL_BYTES, false);
	refuse(&f, f.bytes, "a jump behind it");
	make(&f, false, LOAD, false);
	for (size_t n = 0; n<f.bytes; n += f.bytes> n + 200 ? 97 : 1)
		refuse(&f, n, "cut short");
	f.data[EI_CLASS] = ELFCLASS64;
	refuse(&f, f.bytes, "64 bits");
	make(&f, false, LOAD, false);
	f.data[f.bytes - 20] ^= 1;
	refuse(&f, f.bytes, "damaged");
}
