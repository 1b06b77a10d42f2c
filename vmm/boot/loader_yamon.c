/* SPDX-License-Identifier: MIT */
#include "vmm/boot/loader.h"

#include "base/segments.h"
#include "numa/numa.h"
#include "vmm/boot/loader_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * What the Malta's boot monitor hands to a program (YAMON User's Manual, "Application interface"), as the Linux port
 * reads it: a0 = argc, a1 = argv, a2 = environment, a3 = memory size.  One block, from LOADER_ARGS_GPA on:
 *
 *	argv[argc], NULL                           KSEG0 pointers of 32 bits, guest byte order
 *	(name, value) ..., NULL                    pairs of pointers, not "name=value"
 *	the strings
 */
#define MAX_ARGS       2
#define MAX_VARS       4
#define STRINGS_OFFSET 0x100u /* past all pointers */
#define LOW_RAM_BYTES  (256ull << 20)

/* Linux's COMMAND_LINE_SIZE on MIPS, with the terminator. */
#define COMMAND_LINE_BYTES 4096

struct block {
	uint8_t bytes[LOADER_ARGS_BYTES];
	uint32_t pointers; /* offset of the next pointer */
	uint32_t strings;  /* offset of the next string */
	bool big_endian;
};

_Static_assert((MAX_ARGS + 1 + 2 * MAX_VARS + 1) * 4 <= STRINGS_OFFSET, "the pointers run into the strings");
_Static_assert(STRINGS_OFFSET + LOADER_NAME_BYTES + COMMAND_LINE_BYTES + MAX_VARS * 64 <= LOADER_ARGS_BYTES,
	       "the strings do not fit");

static void put_pointer(struct block *b, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		b->bytes[b->pointers + i] = (uint8_t)(value >> 8 * (b->big_endian ? 3 - i : i));
	b->pointers += 4;
}

/* Callers keep to the sizes that the assertion above adds up. */
static void put_string(struct block *b, const char *s)
{
	size_t n = strlen(s) + 1;

	if (n > sizeof(b->bytes) - b->strings)
		panic("YAMON argument block overflows");
	put_pointer(b, KSEG0 + LOADER_ARGS_GPA + b->strings);
	memcpy(b->bytes + b->strings, s, n);
	b->strings += (uint32_t)n;
}

static void put_var(struct block *b, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	put_string(b, name);
	put_string(b, text);
}

int loader_put_yamon(struct pmap *ram, const char *kernel_name, const char *append, uint64_t initrd_gpa,
		     uint64_t initrd_bytes, uint64_t ram_bytes, bool big_endian, uint32_t regs[4],
		     struct loader_error *err)
{
	struct block b = {.strings = STRINGS_OFFSET, .big_endian = big_endian};
	uint64_t low = ram_bytes < LOW_RAM_BYTES ? ram_bytes : LOW_RAM_BYTES;
	char line[COMMAND_LINE_BYTES], name[LOADER_NAME_BYTES];
	int n, r;

	/* The sign-extended KSEG0 address, as YAMON users type it; a 32-bit kernel takes its low half. */
	if (initrd_bytes)
		n = snprintf(line, sizeof(line), "rd_start=0x%016" PRIx64 " rd_size=%" PRIu64 "%s%s",
			     0xffffffff00000000u | KSEG0 | initrd_gpa, initrd_bytes, *append ? " " : "", append);
	else
		n = snprintf(line, sizeof(line), "%s", append);
	if (n < 0 || (size_t)n >= sizeof(line))
		return loader_fail(err, -E2BIG, "--append: the kernel's command line is %d bytes, and at most %zu fit",
				   n, sizeof(line) - 1);
	snprintf(name, sizeof(name), "%s", kernel_name);

	regs[0] = *line ? 2 : 1;
	regs[1] = KSEG0 + LOADER_ARGS_GPA + b.pointers;
	put_string(&b, name);
	if (*line)
		put_string(&b, line);
	put_pointer(&b, 0);
	regs[2] = KSEG0 + LOADER_ARGS_GPA + b.pointers;
	put_var(&b, "memsize", low);
	put_var(&b, "ememsize", ram_bytes);
	put_string(&b, "modetty0");
	put_string(&b, "38400n8r");
	put_pointer(&b, 0);
	regs[3] = (uint32_t)low;

	r = pmap_write(ram, gpa(LOADER_ARGS_GPA), b.bytes, sizeof(b.bytes));
	if (r)
		return loader_fail(err, r, "--mem: the boot arguments at %08x do not fit into %" PRIu64 " bytes: %s",
				   LOADER_ARGS_GPA, ram_bytes, strerror(-r));
	return 0;
}

const struct loader_poke *loader_yamon_pokes(size_t *n)
{
	/*
	 * GT-64120 data sheet, register maps; windows in units of 2 MiB (bits 35:21 of the address; high bound in
	 * bits 27:21).  ISD is written at its reset address, the others where it moves the registers to.
	 */
	static const struct loader_poke pokes[] = {
	    {0x14000068, 0x0df}, /* ISD: registers at 0x1be00000 */
	    {0x1be00048, 0x0c0}, /* PCI0 I/O low: 0x18000000 */
	    {0x1be00050, 0x040}, /* PCI0 I/O high */
	    {0x1be00058, 0x080}, /* PCI0 memory 0 low: 0x10000000 */
	    {0x1be00060, 0x03f}, /* PCI0 memory 0 high: to 0x17ffffff */
	    {0x1be00080, 0x0c1}, /* PCI0 memory 1 low: 0x18200000 */
	    {0x1be00088, 0x05e}, /* PCI0 memory 1 high: to 0x1bdfffff */
	};

	*n = ARRAY_LEN(pokes);
	return pokes;
}
