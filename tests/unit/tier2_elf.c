/* SPDX-License-Identifier: MIT */
/* The loader: places what it knows, refuses what it does not, survives anything. */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "jit/elf_load.h"
#include "jit/jit_internal.h"
#include "tests/unit/ir_gen.h"

#define MUTATIONS 60000
#define N_LINKS   2

enum { S_NULL, S_TEXT, S_RELA, S_CONST, S_SYMTAB, S_STRTAB, NUM_SECTIONS };
enum { Y_NULL, Y_CONST, Y_LINK, Y_STUB, Y_OTHER, NUM_SYMBOLS };

/* One function of 32 bytes and 16 of constants, laid out by hand. */
struct object {
	Elf64_Ehdr eh;
	Elf64_Shdr sh[NUM_SECTIONS];
	uint8_t text[32], constants[16];
	Elf64_Rela rela[4];
	Elf64_Sym sym[NUM_SYMBOLS];
	char names[128];
};

static uint32_t name(struct object *o, uint32_t *end, const char *s)
{
	uint32_t at = *end;

	cr_assert_lt(at + strlen(s) + 1, sizeof(o->names));
	memcpy(o->names + at, s, strlen(s) + 1);
	*end += (uint32_t)strlen(s) + 1;
	return at;
}

#define SECTION(o, n, ty, fl, member, inf, lnk, each)                                                                  \
	(o)->sh[n].sh_type = (ty), (o)->sh[n].sh_flags = (fl), (o)->sh[n].sh_offset = offsetof(struct object, member), \
	(o)->sh[n].sh_size = sizeof((o)->member), (o)->sh[n].sh_info = (inf), (o)->sh[n].sh_link = (lnk),              \
	(o)->sh[n].sh_entsize = (each), (o)->sh[n].sh_addralign = 8

static Elf64_Rela rela(uint64_t at, unsigned symbol, unsigned type, int64_t addend)
{
	return (Elf64_Rela){at, ELF64_R_INFO((uint64_t)symbol, type), addend};
}

static void build(struct object *o)
{
	uint32_t end = 1;

	memset(o, 0, sizeof(*o));
	memcpy(o->eh.e_ident, ELFMAG, SELFMAG);
	o->eh.e_ident[EI_CLASS] = ELFCLASS64;
	o->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	o->eh.e_ident[EI_VERSION] = EV_CURRENT;
	o->eh.e_type = ET_REL;
	o->eh.e_machine = EM_X86_64;
	o->eh.e_version = EV_CURRENT;
	o->eh.e_ehsize = sizeof(o->eh);
	o->eh.e_shoff = offsetof(struct object, sh);
	o->eh.e_shentsize = sizeof(o->sh[0]);
	o->eh.e_shnum = NUM_SECTIONS;
	o->eh.e_shstrndx = S_STRTAB;
	SECTION(o, S_TEXT, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, text, 0, 0, 0);
	SECTION(o, S_CONST, SHT_PROGBITS, SHF_ALLOC | SHF_MERGE, constants, 0, 0, 0);
	SECTION(o, S_RELA, SHT_RELA, 0, rela, S_TEXT, S_SYMTAB, sizeof(Elf64_Rela));
	SECTION(o, S_SYMTAB, SHT_SYMTAB, 0, sym, 1, S_STRTAB, sizeof(Elf64_Sym));
	SECTION(o, S_STRTAB, SHT_STRTAB, 0, names, 0, 0, 0);
	o->sh[S_TEXT].sh_name = name(o, &end, ".text.r3");
	o->sh[S_CONST].sh_name = name(o, &end, ".rodata.cst16");
	o->sym[Y_CONST] = (Elf64_Sym){.st_shndx = S_CONST, .st_value = 4};
	o->sym[Y_LINK].st_name = name(o, &end, "r3.link1");
	o->sym[Y_STUB].st_name = name(o, &end, "exit_side");
	o->sym[Y_OTHER].st_name = name(o, &end, "memcpy");
	o->rela[0] = rela(4, Y_CONST, R_X86_64_PC32, -4);
	o->rela[1] = rela(8, Y_LINK, R_X86_64_PC32, -4);
	o->rela[2] = rela(12, Y_STUB, R_X86_64_PLT32, -4);
	o->rela[3] = rela(16, Y_CONST, R_X86_64_64, 1);
	memset(o->text, 0xcc, sizeof(o->text));
	memset(o->constants, 0xdd, sizeof(o->constants));
}

static enum tier2_refusal load(const struct object *o, struct tier2_image **im)
{
	return elf_load(o, sizeof(*o), 3, N_LINKS, im);
}

/* Where the rip-relative field at `off` points. */
static uintptr_t field_target(const uint8_t *code, unsigned off)
{
	int32_t v;

	memcpy(&v, code + off, sizeof(v));
	return (uintptr_t)code + off + 4 + (uintptr_t)(intptr_t)v;
}

Test(tier2_elf, places)
{
	_Alignas(64) static uint8_t code[256];
	static const uint8_t link[N_LINKS];
	const void *ways[N_LINKS];
	static uint8_t stub;
	struct jit_stubs stubs = {.side = &stub};
	struct image_symbols sym = {&stubs, ways};
	struct tier2_image *im;
	struct object o;
	uint64_t v;

	for (unsigned i = 0; i < N_LINKS; i++)
		ways[i] = &link[i];
	build(&o);
	cr_assert_eq(load(&o, &im), TIER2_REFUSED_NONE);
	cr_assert_eq(im->n_bytes, 64 + sizeof(o.constants));
	cr_assert_eq(im->n_relocs, 4);
	cr_assert_eq(image_place(im, &sym, code, code), 0);
	cr_assert_eq(field_target(code, 4), (uintptr_t)code + 64 + 4);
	cr_assert_eq(field_target(code, 8), (uintptr_t)&link[1]);
	cr_assert_eq(field_target(code, 12), (uintptr_t)&stub);
	memcpy(&v, code + 16, sizeof(v));
	cr_assert_eq(v, (uintptr_t)(code + 64 + 4 + 1));
	cr_assert_eq(code[0], 0xcc);
	cr_assert_eq(code[64], 0xdd);
	cr_assert_eq(image_place(im, &sym, code, (uint8_t *)UINT64_C(0x100000000000)), -ERANGE);
	image_free(im);
}

Test(tier2_elf, refuses)
{
	struct tier2_image *im;
	struct object o;

#define REFUSED(change, why)                                                                                           \
	build(&o);                                                                                                     \
	change;                                                                                                        \
	cr_expect_eq(load(&o, &im), why, #change);                                                                     \
	cr_expect_null(im)
	REFUSED(o.rela[0].r_info = ELF64_R_INFO((uint64_t)Y_CONST, R_X86_64_GOTPCREL), TIER2_REFUSED_RELOC);
	REFUSED(o.rela[0].r_info = ELF64_R_INFO((uint64_t)Y_OTHER, R_X86_64_PLT32), TIER2_REFUSED_RELOC);
	REFUSED(o.rela[0].r_info = ELF64_R_INFO((uint64_t)NUM_SYMBOLS, R_X86_64_PC32), TIER2_REFUSED_RELOC);
	REFUSED(o.rela[0].r_offset = 29, TIER2_REFUSED_RELOC);
	REFUSED(o.rela[0].r_offset = UINT64_MAX, TIER2_REFUSED_RELOC);
	REFUSED(o.rela[3].r_offset = 25, TIER2_REFUSED_RELOC);
	REFUSED(o.sym[Y_CONST].st_shndx = SHN_COMMON, TIER2_REFUSED_RELOC);
	REFUSED(o.sym[Y_CONST].st_value = UINT64_MAX, TIER2_REFUSED_RELOC);
	REFUSED(memcpy(strstr(o.names + 24, "link1"), "link2", 5), TIER2_REFUSED_RELOC);
	REFUSED(memcpy(strstr(o.names + 24, "link1"), "link ", 5), TIER2_REFUSED_RELOC);
	REFUSED(o.sh[S_CONST].sh_flags |= SHF_TLS, TIER2_REFUSED_ELF);
	REFUSED(o.sh[S_CONST].sh_flags |= SHF_WRITE, TIER2_REFUSED_ELF);
	REFUSED(o.sh[S_CONST].sh_type = SHT_NOBITS, TIER2_REFUSED_ELF);
	REFUSED(o.sh[S_CONST].sh_addralign = 4096, TIER2_REFUSED_ELF);
	REFUSED(o.sh[S_RELA].sh_type = SHT_REL, TIER2_REFUSED_ELF);
	REFUSED(o.names[o.sh[S_TEXT].sh_name + 7] = '4', TIER2_REFUSED_ELF);
	REFUSED(o.sh[S_SYMTAB].sh_type = SHT_NOTE, TIER2_REFUSED_ELF);
	REFUSED(o.sh[S_TEXT].sh_size = UINT64_MAX, TIER2_REFUSED_ELF);
	REFUSED(o.eh.e_ident[0] = 0, TIER2_REFUSED_ELF);
#undef REFUSED
}

/* Whatever loads stays inside its image. */
static void expect_sane(const struct tier2_image *im)
{
	for (uint32_t i = 0; i < im->n_relocs; i++) {
		const struct image_reloc *r = &im->relocs[i];

		cr_assert_leq(r->off + (r->kind == IMAGE_ABS64 ? 8u : 4u), im->n_bytes);
		if (r->to == IMAGE_TO_LINK)
			cr_assert_lt(r->index, N_LINKS);
		if (r->to == IMAGE_TO_STUB)
			cr_assert_lt(r->index, (uint32_t)NUM_EXITS + 4);
	}
}

Test(tier2_elf, mutations)
{
	struct ir_gen g = {ir_gen_seed(11)};
	unsigned loaded = 0;

	for (int n = 0; n < MUTATIONS; n++) {
		struct object *o = malloc(sizeof(*o)); /* for ASan: nothing outside it is read */
		struct tier2_image *im = NULL;
		uint32_t bytes = sizeof(*o);

		build(o);
		for (uint32_t k = 1 + ir_gen_below(&g, 4); k > 0; k--)
			((uint8_t *)o)[ir_gen_below(&g, sizeof(*o))] = (uint8_t)ir_gen_word(&g);
		if (ir_gen_below(&g, 8) == 0)
			bytes = ir_gen_below(&g, sizeof(*o));
		if (elf_load(o, bytes, 3, N_LINKS, &im) == TIER2_REFUSED_NONE) {
			expect_sane(im);
			loaded++;
		}
		image_free(im);
		free(o);
	}
	cr_assert_gt(loaded, MUTATIONS / 20);
	cr_assert_lt(loaded, MUTATIONS);
}
