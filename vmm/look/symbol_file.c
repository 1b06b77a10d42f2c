/* SPDX-License-Identifier: MIT */
#include "vmm/look/symbol_file.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/look/elf_image.h"

#define ABI_O32 0x1000 /* EF_MIPS_ABI_O32, which glibc has by no name */

enum { NONE, TEXT, SYMTAB, STRTAB, SHSTRTAB, SECTIONS };

/* Offsets into it are in the section headers. */
static const char section_names[] = "\0.text\0.symtab\0.strtab\0.shstrtab";
enum { TEXT_NAME = 1, SYMTAB_NAME = 7, STRTAB_NAME = 15, SHSTRTAB_NAME = 23 };

struct table {
	bool big_endian;
	uint32_t n, room, text_bytes;
	Elf32_Sym *symbol;
	FILE *text;
};

static uint32_t word(const struct table *t, uint32_t x) { return t->big_endian ? __builtin_bswap32(x) : x; }
static uint16_t half(const struct table *t, uint32_t x)
{
	return t->big_endian ? __builtin_bswap16((uint16_t)x) : (uint16_t)x;
}

static int add(void *ctx, const struct kallsyms_symbol *s)
{
	struct table *t = ctx;
	bool code = tolower((unsigned char)s->type) == 't' || tolower((unsigned char)s->type) == 'w';

	if (t->n == t->room) {
		Elf32_Sym *more = realloc(t->symbol, 2 * (size_t)t->room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->symbol = more;
		t->room *= 2;
	}
	/* each goes as far as the next one */
	if (t->n > 1)
		t->symbol[t->n - 1].st_size = word(t, s->address - word(t, t->symbol[t->n - 1].st_value));
	t->symbol[t->n++] = (Elf32_Sym){
	    .st_name = word(t, t->text_bytes),
	    .st_value = word(t, s->address),
	    .st_info = ELF32_ST_INFO(STB_GLOBAL, code ? STT_FUNC : STT_OBJECT),
	    .st_shndx = half(t, TEXT),
	};
	fwrite(s->name, 1, s->name_bytes, t->text);
	fputc('\0', t->text);
	t->text_bytes += s->name_bytes + 1;
	return 0;
}

static void put_header(FILE *out, const struct table *t)
{
	Elf32_Ehdr h = {
	    .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, t->big_endian ? ELFDATA2MSB : ELFDATA2LSB,
			EV_CURRENT},
	    .e_type = half(t, ET_EXEC),
	    .e_machine = half(t, EM_MIPS),
	    .e_version = word(t, EV_CURRENT),
	    .e_shoff = word(t, sizeof(Elf32_Ehdr)),
	    .e_flags = word(t, EF_MIPS_ARCH_32R2 | ABI_O32 | EF_MIPS_NOREORDER),
	    .e_ehsize = half(t, sizeof(Elf32_Ehdr)),
	    .e_shentsize = half(t, sizeof(Elf32_Shdr)),
	    .e_shnum = half(t, SECTIONS),
	    .e_shstrndx = half(t, SHSTRTAB),
	};

	fwrite(&h, sizeof(h), 1, out);
}

static void put_section(FILE *out, const struct table *t, const Elf32_Shdr *s)
{
	Elf32_Shdr h = {
	    .sh_name = word(t, s->sh_name),
	    .sh_type = word(t, s->sh_type),
	    .sh_flags = word(t, s->sh_flags),
	    .sh_addr = word(t, s->sh_addr),
	    .sh_offset = word(t, s->sh_offset),
	    .sh_size = word(t, s->sh_size),
	    .sh_link = word(t, s->sh_link),
	    .sh_info = word(t, s->sh_info),
	    .sh_addralign = word(t, s->sh_addralign),
	    .sh_entsize = word(t, s->sh_entsize),
	};

	fwrite(&h, sizeof(h), 1, out);
}

static void put_all(FILE *out, const struct table *t, const struct elf_image *image, const char *text)
{
	uint32_t first = sizeof(Elf32_Ehdr) + SECTIONS * sizeof(Elf32_Shdr),
		 symbols = t->n * (uint32_t)sizeof(Elf32_Sym);
	const Elf32_Shdr sections[SECTIONS] = {
	    [TEXT] = {.sh_name = TEXT_NAME,
		      .sh_type = SHT_NOBITS,
		      .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
		      .sh_addr = image->kernel->va,
		      .sh_offset = first,
		      .sh_size = image->kernel->bytes,
		      .sh_addralign = 4},
	    [SYMTAB] = {.sh_name = SYMTAB_NAME,
			.sh_type = SHT_SYMTAB,
			.sh_offset = first,
			.sh_size = symbols,
			.sh_link = STRTAB,
			.sh_info = 1,
			.sh_addralign = 4,
			.sh_entsize = sizeof(Elf32_Sym)},
	    [STRTAB] = {.sh_name = STRTAB_NAME,
			.sh_type = SHT_STRTAB,
			.sh_offset = first + symbols,
			.sh_size = t->text_bytes,
			.sh_addralign = 1},
	    [SHSTRTAB] = {.sh_name = SHSTRTAB_NAME,
			  .sh_type = SHT_STRTAB,
			  .sh_offset = first + symbols + t->text_bytes,
			  .sh_size = sizeof(section_names),
			  .sh_addralign = 1},
	};

	put_header(out, t);
	for (unsigned i = 0; i < SECTIONS; i++)
		put_section(out, t, &sections[i]);
	fwrite(t->symbol, sizeof(Elf32_Sym), t->n, out);
	fwrite(text, 1, t->text_bytes, out);
	fwrite(section_names, 1, sizeof(section_names), out);
}

int symbol_file_write(FILE *out, const struct elf_image *image)
{
	struct table t = {.big_endian = image->big_endian, .room = 1024};
	char *text = NULL;
	size_t bytes;
	int err;

	if (!image->kallsyms.n)
		return -ENOENT;
	t.symbol = calloc(t.room, sizeof(*t.symbol));
	t.text = open_memstream(&text, &bytes);
	err = t.symbol && t.text ? 0 : -ENOMEM;
	if (!err) { /* the first of both is nobody's */
		t.n = 1;
		t.text_bytes = 1;
		fputc('\0', t.text);
		err = kallsyms_each(&image->kallsyms, add, &t);
	}
	if (t.text && fclose(t.text) && !err)
		err = -ENOMEM;
	if (!err)
		put_all(out, &t, image, text);
	if (!err && fflush(out))
		err = -EIO;
	free(t.symbol);
	free(text);
	return err;
}
