/* SPDX-License-Identifier: MIT */
/*
 * What the dynamic linker knows of a program or library, by the way that it takes itself: PT_DYNAMIC, symbol and string
 * table.  For files that have lost their sections (System V ABI, "Dynamic section"; MIPS supplement, DT_MIPS_SYMTABNO).
 */
#include <elf.h>
#include <string.h>

#include "vmm/look/elf_image.h"
#include "vmm/look/symbols_internal.h"

#define MAX_TAGS 1024

struct dynamic {
	const struct elf_image *image;
	uint32_t symbols, n, strings, string_bytes;
};

static bool read32(const struct elf_image *m, uint32_t va, uint32_t *out)
{
	if (!elf_image_read(m, va, out, sizeof(*out)))
		return false;
	if (m->big_endian)
		*out = __builtin_bswap32(*out);
	return true;
}

static bool read_tags(struct dynamic *d)
{
	uint32_t at = d->image->dynamic;

	for (unsigned i = 0; at && i < MAX_TAGS; i++, at += sizeof(Elf32_Dyn)) {
		uint32_t tag, value;

		if (!read32(d->image, at, &tag) || !read32(d->image, at + 4, &value) || tag == DT_NULL)
			break;
		if (tag == DT_SYMTAB)
			d->symbols = value;
		else if (tag == DT_STRTAB)
			d->strings = value;
		else if (tag == DT_STRSZ)
			d->string_bytes = value;
		else if (tag == DT_MIPS_SYMTABNO)
			d->n = value;
	}
	return d->symbols && d->strings && d->n <= SYMBOLS_MAX;
}

/* A name, cut to what a symbol may have; false: it is not in the string table. */
static bool read_name(const struct dynamic *d, uint32_t offset, char name[SYMBOLS_MAX_NAME + 2], size_t *len)
{
	for (*len = 0; *len <= SYMBOLS_MAX_NAME; ++*len)
		if (offset + *len >= d->string_bytes ||
		    !elf_image_read(d->image, d->strings + offset + (uint32_t)*len, &name[*len], 1))
			return false;
		else if (!name[*len])
			return true;
	return true;
}

static int add_one(struct symbols *s, const struct dynamic *d, uint32_t va, bool *end)
{
	char name[SYMBOLS_MAX_NAME + 2];
	uint32_t offset, value, bytes, info;
	size_t len;

	*end = !read32(d->image, va, &offset) || !read32(d->image, va + 4, &value) ||
	       !read32(d->image, va + 8, &bytes) || !read32(d->image, va + 12, &info);
	if (*end)
		return 0;
	/* st_info, st_other, st_shndx: bytes and a half word in the order of the file */
	if (!d->image->big_endian)
		info = (info & 0xff) << 24 | info >> 16;
	if ((info & 0xffff) == SHN_UNDEF || (info & 0xffff) >= SHN_LORESERVE || ELF32_ST_TYPE(info >> 24) != STT_FUNC ||
	    !read_name(d, offset, name, &len))
		return 0;
	return symbols_add(
	    s,
	    (struct symbol){
		.address = value, .bytes = bytes, .code = true, .global = ELF32_ST_BIND(info >> 24) != STB_LOCAL},
	    name, len);
}

int symbols_add_dynamic(struct symbols *s, const struct elf_image *image)
{
	struct dynamic d = {.image = image};
	bool end = false;
	int r = 0;

	if (!read_tags(&d))
		return 0;
	for (uint32_t i = 1; !r && !end && i < d.n; i++)
		r = add_one(s, &d, d.symbols + i * (uint32_t)sizeof(Elf32_Sym), &end);
	return r;
}
