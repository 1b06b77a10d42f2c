/* SPDX-License-Identifier: MIT */
/*
 * ELF object -> image.  The object comes from LLVM, but nothing here trusts it: what is not expected is refused.
 * Source: System V ABI, "Object Files"; its AMD64 supplement, "Relocation Types".
 */
#include "jit/elf_load.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jit/llvm_gen.h"

#define IMAGE_MAX_BYTES (1u << 24)
#define NOT_PLACED      UINT32_MAX

struct loader {
	Elf *elf;
	size_t n_sections, strings; /* strings: section of section names */
	Elf_Data *symbols;
	size_t symbol_names;
	uint32_t *placed; /* [n_sections] offset in the image, or NOT_PLACED */
	size_t *queue;    /* [n_sections] sections in the order they were placed */
	size_t n_queue;
	unsigned fn_index;
	uint32_t n_links;
	struct tier2_image *im;
	uint32_t cap_bytes, cap_relocs;
};

static void *grow(void *p, uint32_t *cap, uint32_t want, size_t each)
{
	if (want <= *cap)
		return p;
	*cap = want + want / 2 + 64;
	p = realloc(p, *cap * each);
	if (!p)
		panic("out of memory for an image of %u", want);
	return p;
}

/* Copy a section to the end of the image. */
static enum tier2_refusal place(struct loader *l, size_t index)
{
	Elf_Scn *scn = elf_getscn(l->elf, index);
	GElf_Shdr h;
	Elf_Data *data;
	uint32_t at;

	if (!scn || !gelf_getshdr(scn, &h) || h.sh_type != SHT_PROGBITS || !(h.sh_flags & SHF_ALLOC) ||
	    h.sh_flags & (SHF_TLS | SHF_WRITE) || h.sh_addralign > IMAGE_ALIGN || h.sh_size == 0 ||
	    h.sh_size > IMAGE_MAX_BYTES)
		return TIER2_REFUSED_ELF;
	data = elf_rawdata(scn, NULL);
	if (!data || data->d_size != h.sh_size || l->im->n_bytes > IMAGE_MAX_BYTES)
		return TIER2_REFUSED_ELF;
	at = (l->im->n_bytes + IMAGE_ALIGN - 1) & ~(uint32_t)(IMAGE_ALIGN - 1);
	l->im->bytes = grow(l->im->bytes, &l->cap_bytes, at + (uint32_t)h.sh_size, 1);
	memset(l->im->bytes + l->im->n_bytes, 0, at - l->im->n_bytes);
	memcpy(l->im->bytes + at, data->d_buf, h.sh_size);
	l->im->n_bytes = at + (uint32_t)h.sh_size;
	l->placed[index] = at;
	l->queue[l->n_queue++] = index;
	return TIER2_REFUSED_NONE;
}

/* A symbol that is not in the object: a stub, or a link of this function. */
static enum tier2_refusal resolve_outside(const struct loader *l, const char *name, struct image_reloc *r)
{
	unsigned fn, link;
	int end = 0;

	for (unsigned s = 0; s < NUM_STUB_SYMS; s++) {
		if (!stub_sym_name(s) || strcmp(stub_sym_name(s), name) != 0)
			continue;
		r->to = IMAGE_TO_STUB;
		r->index = s;
		return TIER2_REFUSED_NONE;
	}
	if (sscanf(name, "r%u.link%u%n", &fn, &link, &end) != 2 || name[end] || fn != l->fn_index || link >= l->n_links)
		return TIER2_REFUSED_RELOC;
	r->to = IMAGE_TO_LINK;
	r->index = link;
	return TIER2_REFUSED_NONE;
}

static enum tier2_refusal resolve_inside(struct loader *l, const GElf_Sym *sym, struct image_reloc *r)
{
	enum tier2_refusal why = TIER2_REFUSED_NONE;

	if (sym->st_shndx >= l->n_sections)
		return TIER2_REFUSED_RELOC;
	if (l->placed[sym->st_shndx] == NOT_PLACED)
		why = place(l, sym->st_shndx);
	if (why != TIER2_REFUSED_NONE)
		return why;
	if (sym->st_value > IMAGE_MAX_BYTES)
		return TIER2_REFUSED_RELOC;
	r->to = IMAGE_TO_SELF;
	r->index = l->placed[sym->st_shndx] + (uint32_t)sym->st_value;
	return TIER2_REFUSED_NONE;
}

static bool kind_of(uint64_t type, struct image_reloc *r)
{
	switch (type) {
	case R_X86_64_PC32:
	case R_X86_64_PLT32: /* no PLT: targets are near */
		r->kind = IMAGE_PC32;
		return true;
	case R_X86_64_32S:
		r->kind = IMAGE_ABS32S;
		return true;
	case R_X86_64_64:
		r->kind = IMAGE_ABS64;
		return true;
	}
	return false;
}

static uint32_t field_bytes(uint8_t kind) { return kind == IMAGE_ABS64 ? 8 : 4; }

static enum tier2_refusal relocate(struct loader *l, uint32_t at, uint32_t size, const GElf_Rela *rela)
{
	struct image_reloc r = {.addend = rela->r_addend};
	enum tier2_refusal why;
	GElf_Sym sym;

	if (!kind_of(GELF_R_TYPE(rela->r_info), &r) || rela->r_offset > size ||
	    size - rela->r_offset < field_bytes(r.kind) ||
	    !gelf_getsym(l->symbols, (int)GELF_R_SYM(rela->r_info), &sym))
		return TIER2_REFUSED_RELOC;
	r.off = at + (uint32_t)rela->r_offset;
	if (sym.st_shndx == SHN_UNDEF) {
		const char *name = elf_strptr(l->elf, l->symbol_names, sym.st_name);

		why = name ? resolve_outside(l, name, &r) : TIER2_REFUSED_RELOC;
	} else {
		why = resolve_inside(l, &sym, &r);
	}
	if (why != TIER2_REFUSED_NONE)
		return why;
	l->im->relocs = grow(l->im->relocs, &l->cap_relocs, l->im->n_relocs + 1, sizeof(r));
	l->im->relocs[l->im->n_relocs++] = r;
	return TIER2_REFUSED_NONE;
}

/* All relocations of one placed section. */
static enum tier2_refusal relocate_section(struct loader *l, size_t index)
{
	GElf_Shdr of, h;

	if (!gelf_getshdr(elf_getscn(l->elf, index), &of))
		return TIER2_REFUSED_ELF;
	for (Elf_Scn *scn = elf_nextscn(l->elf, NULL); scn; scn = elf_nextscn(l->elf, scn)) {
		Elf_Data *data;

		if (!gelf_getshdr(scn, &h) || h.sh_type == SHT_REL)
			return TIER2_REFUSED_ELF;
		if (h.sh_type != SHT_RELA || h.sh_info != index)
			continue;
		data = elf_getdata(scn, NULL);
		if (!data || h.sh_entsize == 0)
			return TIER2_REFUSED_ELF;
		for (size_t i = 0; i < h.sh_size / h.sh_entsize; i++) {
			enum tier2_refusal why;
			GElf_Rela rela;

			if (!gelf_getrela(data, (int)i, &rela))
				return TIER2_REFUSED_ELF;
			why = relocate(l, l->placed[index], (uint32_t)of.sh_size, &rela);
			if (why != TIER2_REFUSED_NONE)
				return why;
		}
	}
	return TIER2_REFUSED_NONE;
}

/* The symbol table, and the section of the function; 0 if there is none. */
static size_t find_sections(struct loader *l)
{
	char want[32];
	size_t text = 0;

	snprintf(want, sizeof(want), ".text.r%u", l->fn_index);
	for (Elf_Scn *scn = elf_nextscn(l->elf, NULL); scn; scn = elf_nextscn(l->elf, scn)) {
		const char *name;
		GElf_Shdr h;

		if (!gelf_getshdr(scn, &h))
			return 0;
		if (h.sh_type == SHT_SYMTAB) {
			l->symbols = elf_getdata(scn, NULL);
			l->symbol_names = h.sh_link;
		}
		name = elf_strptr(l->elf, l->strings, h.sh_name);
		if (name && strcmp(name, want) == 0)
			text = elf_ndxscn(scn);
	}
	return l->symbols ? text : 0;
}

static enum tier2_refusal load(struct loader *l)
{
	enum tier2_refusal why;
	size_t text;

	if (elf_getshdrnum(l->elf, &l->n_sections) != 0 || elf_getshdrstrndx(l->elf, &l->strings) != 0)
		return TIER2_REFUSED_ELF;
	l->placed = malloc(l->n_sections * sizeof(*l->placed));
	l->queue = malloc(l->n_sections * sizeof(*l->queue));
	if (!l->placed || !l->queue)
		panic("out of memory for %zu sections", l->n_sections);
	memset(l->placed, 0xff, l->n_sections * sizeof(*l->placed));
	text = find_sections(l);
	if (!text)
		return TIER2_REFUSED_ELF;
	why = place(l, text);
	for (size_t i = 0; why == TIER2_REFUSED_NONE && i < l->n_queue; i++)
		why = relocate_section(l, l->queue[i]);
	return why;
}

enum tier2_refusal elf_load(const void *object, size_t bytes, unsigned fn_index, uint32_t n_links,
			    struct tier2_image **out)
{
	struct loader l = {.fn_index = fn_index, .n_links = n_links, .im = calloc(1, sizeof(*l.im))};
	enum tier2_refusal why = TIER2_REFUSED_ELF;

	if (!l.im)
		panic("out of memory for an image");
	*out = NULL;
	elf_version(EV_CURRENT);
	l.elf = elf_memory((char *)(uintptr_t)object, bytes);
	if (l.elf)
		why = load(&l);
	elf_end(l.elf);
	free(l.placed);
	free(l.queue);
	if (why == TIER2_REFUSED_NONE)
		*out = l.im;
	else
		image_free(l.im);
	return why;
}

void image_free(struct tier2_image *im)
{
	if (!im)
		return;
	free(im->bytes);
	free(im->relocs);
	free(im);
}

static uint64_t target_address(const struct image_reloc *r, const struct image_symbols *sym, const uint8_t *rx)
{
	switch ((enum image_reloc_to)r->to) {
	case IMAGE_TO_SELF:
		return (uintptr_t)rx + r->index;
	case IMAGE_TO_LINK:
		return (uintptr_t)sym->ways[r->index];
	case IMAGE_TO_STUB:
		return (uintptr_t)stub_sym_address(sym->stubs, r->index);
	}
	panic("relocation to %u", r->to);
}

int image_place(const struct tier2_image *im, const struct image_symbols *sym, uint8_t *rw, const uint8_t *rx)
{
	memcpy(rw, im->bytes, im->n_bytes);
	for (uint32_t i = 0; i < im->n_relocs; i++) {
		const struct image_reloc *r = &im->relocs[i];
		uint64_t v = target_address(r, sym, rx) + (uint64_t)r->addend;
		int32_t v32;

		if (r->kind == IMAGE_PC32)
			v -= (uintptr_t)rx + r->off;
		v32 = (int32_t)v;
		if (r->kind == IMAGE_ABS64) {
			memcpy(rw + r->off, &v, sizeof(v));
			continue;
		}
		if ((int64_t)v != v32)
			return -ERANGE;
		memcpy(rw + r->off, &v32, sizeof(v32));
	}
	return 0;
}
