/* SPDX-License-Identifier: MIT */
/* Symbols from listings and ELF files: names both ways, what is refused, and damaged files. */
#include "vmm/boot/loader.h"
#include "vmm/look/symbols.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file of these bytes; the caller unlinks it. */
static void write_file(char path[32], const void *data, size_t bytes)
{
	int fd;

	strcpy(path, "/tmp/disco-symbols-XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, bytes), (ssize_t)bytes);
	close(fd);
}

static int add_map(struct symbols *s, const char *text, struct loader_error *err)
{
	char path[32];
	int r;

	memset(err, 0, sizeof(*err));
	write_file(path, text, strlen(text));
	r = symbols_add_map(s, path, err);
	unlink(path);
	symbols_sort(s);
	return r;
}

static void expect_name(const struct symbols *s, uint64_t pc, const char *want)
{
	char name[SYMBOLS_TEXT_BYTES];

	symbols_describe(s, pc, name, sizeof(name));
	cr_expect_str_eq(name, want, "%llx: '%s', not '%s'", (unsigned long long)pc, name, want);
}

Test(dump_symbols, listing)
{
	/* unsorted; nm's 16 digits, sizes, module names, undefined and weak symbols, data as a border */
	static const char text[] = "80100200 t helper\n"
				   "ffffffff80100100 T start_kernel\n"
				   "80100300 00000010 T sized\n"
				   "80100400 D jiffies\n"
				   "80100500 t helper\t[module]\n"
				   "         U printk\n"
				   "80100500 t zz_other\n"
				   "80100600 W last\n";
	struct loader_error err;
	struct symbols *s = symbols_new();
	uint32_t low, high;

	cr_assert_eq(add_map(s, text, &err), 0, "%s", err.text);
	expect_name(s, 0x801000ff, "");
	expect_name(s, 0x80100100, "start_kernel");
	expect_name(s, 0x801001fc, "start_kernel+0xfc");
	expect_name(s, 0x80100200, "helper");
	expect_name(s, 0x8010030c, "sized+0xc");
	expect_name(s, 0x80100310, "");
	expect_name(s, 0x80100404, "");
	expect_name(s, 0x80100500, "helper");
	expect_name(s, 0x80100604, "last+0x4");
	expect_name(s, 0x80200000, "");
	expect_name(NULL, 0x80100100, "");
	cr_assert(symbols_find(s, "helper", 6, 0, &low, &high));
	cr_assert(low == 0x80100200 && high == 0x801002ff);
	cr_assert(symbols_find(s, "helper", 6, 1, &low, &high));
	cr_assert(low == 0x80100500 && high == 0x801005ff);
	cr_assert(!symbols_find(s, "helper", 6, 2, &low, &high));
	cr_assert(!symbols_find(s, "helpe", 5, 0, &low, &high));
	cr_assert(!symbols_find(s, "jiffies", 7, 0, &low, &high), "data is no code");
	cr_assert(!symbols_find(s, "printk", 6, 0, &low, &high));
	symbols_free(s);
}

Test(dump_symbols, listing_refused)
{
	static const struct {
		const char *text, *says;
	} t[] = {
	    {"", "no symbols"},
	    {"\n  \n", "no symbols"},
	    {"         U printk\n", "no symbols"},
	    {"80100000 T a\nhello\n", "line 2"},
	    {"80100000 T\n", "line 1"},
	    {"80100000 TT name\n", "line 1"},
	    {"8010000g T name\n", "line 1"},
	    {"180100000 T name\n", "line 1"},
	    {"80100000 T one two\n", "line 1"},
	    {"12345678901234567 T name\n", "line 1"},
	    /* what Debian's kernel packages have for a System.map */
	    {"ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n", "line 1"},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct symbols *s = symbols_new();
		struct loader_error err;

		cr_expect_eq(add_map(s, t[i].text, &err), -ENOEXEC, "%s", t[i].text);
		cr_expect(strstr(err.text, t[i].says), "'%s' lacks '%s'", err.text, t[i].says);
		symbols_free(s);
	}
}

/* Names go to the terminal: escape sequences and endless names do not. */
Test(dump_symbols, hostile_names)
{
	struct loader_error err;
	struct symbols *s = symbols_new();
	char line[2000];

	cr_assert_eq(add_map(s, "80100000 T \033[2Jevil\n80100100 T good\n", &err), 0, "%s", err.text);
	cr_assert_eq(symbols_count(s), 1);
	expect_name(s, 0x80100000, "");
	memset(line, 'n', sizeof(line));
	memcpy(line, "80100000 T ", 11);
	strcpy(line + 11 + SYMBOLS_MAX_NAME + 1, "\n80100100 T good\n");
	cr_assert_eq(add_map(s, line, &err), 0, "%s", err.text);
	cr_assert_eq(symbols_count(s), 2);
	memset(line, 'n', sizeof(line));
	memcpy(line, "80100000 T ", 11);
	line[sizeof(line) - 1] = 0;
	cr_assert_eq(add_map(s, line, &err), -ENOEXEC);
	symbols_free(s);
}

/* ---- ELF ---- */

static const char sym_names[] = "\0main\0.Llocal\0table\0start\0outside";
static const char section_names[] = "\0.text\0.data\0.symtab\0.strtab\0";

struct image {
	Elf32_Ehdr eh;
	Elf32_Shdr sh[6];
	Elf32_Sym sym[6];
	char names[sizeof(sym_names)], sections[sizeof(section_names)];
};

static Elf32_Sym symbol(uint32_t name, uint32_t at, uint32_t bytes, unsigned type, uint16_t section)
{
	return (Elf32_Sym){.st_name = name,
			   .st_value = at,
			   .st_size = bytes,
			   .st_info = ELF32_ST_INFO(STB_GLOBAL, type),
			   .st_shndx = section};
}

static void make_image(struct image *m)
{
	memset(m, 0, sizeof(*m));
	memcpy(m->eh.e_ident, ELFMAG, SELFMAG);
	m->eh.e_ident[EI_CLASS] = ELFCLASS32;
	m->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	m->eh.e_ident[EI_VERSION] = EV_CURRENT;
	m->eh.e_type = ET_EXEC;
	m->eh.e_machine = EM_MIPS;
	m->eh.e_version = EV_CURRENT;
	m->eh.e_ehsize = sizeof(m->eh);
	m->eh.e_shoff = offsetof(struct image, sh);
	m->eh.e_shentsize = sizeof(m->sh[0]);
	m->eh.e_shnum = 6;
	m->eh.e_shstrndx = 5;
	m->sh[1] = (Elf32_Shdr){.sh_name = 1, .sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR};
	m->sh[2] = (Elf32_Shdr){.sh_name = 7, .sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC | SHF_WRITE};
	m->sh[3] = (Elf32_Shdr){.sh_name = 13,
				.sh_type = SHT_SYMTAB,
				.sh_offset = offsetof(struct image, sym),
				.sh_size = sizeof(m->sym),
				.sh_link = 4,
				.sh_entsize = sizeof(m->sym[0])};
	m->sh[4] = (Elf32_Shdr){.sh_name = 21,
				.sh_type = SHT_STRTAB,
				.sh_offset = offsetof(struct image, names),
				.sh_size = sizeof(m->names)};
	m->sh[5] = (Elf32_Shdr){.sh_name = 21,
				.sh_type = SHT_STRTAB,
				.sh_offset = offsetof(struct image, sections),
				.sh_size = sizeof(m->sections)};
	m->sym[1] = symbol(1, 0x80001000, 0x20, STT_FUNC, 1);
	m->sym[2] = symbol(6, 0x80001010, 0, STT_NOTYPE, 1);
	m->sym[3] = symbol(14, 0x80002000, 4, STT_OBJECT, 2);
	m->sym[4] = symbol(20, 0x80001020, 0, STT_NOTYPE, 1);
	m->sym[5] = symbol(26, 0x80001040, 0, STT_FUNC, SHN_UNDEF);
	memcpy(m->names, sym_names, sizeof(sym_names));
	memcpy(m->sections, section_names, sizeof(section_names));
}

static int add_elf(struct symbols *s, const void *data, size_t bytes)
{
	struct loader_error err = {{0}};
	char path[32];
	int r;

	write_file(path, data, bytes);
	r = symbols_add_elf(s, path, &err);
	unlink(path);
	symbols_sort(s);
	return r;
}

Test(dump_symbols, elf)
{
	struct symbols *s = symbols_new();
	struct loader_error err = {{0}};
	struct image m;

	make_image(&m);
	cr_assert_eq(add_elf(s, &m, sizeof(m)), 0);
	cr_assert_eq(symbols_count(s), 3);
	expect_name(s, 0x80001000, "main");
	expect_name(s, 0x80001010, "main+0x10");
	expect_name(s, 0x80001020, "start");
	expect_name(s, 0x80001040, "start+0x20");
	expect_name(s, 0x80002000, "");
	cr_assert_eq(symbols_add_elf(s, "/dev/null", &err), 0);
	cr_assert_eq(symbols_add_elf(s, "/proc/self/exe", &err), 0, "another machine's: adds nothing");
	cr_assert_eq(symbols_count(s), 3);
	cr_assert_eq(symbols_add_elf(s, "/nonexistent/k", &err), -ENOENT);
	cr_assert(strstr(err.text, "/nonexistent/k: No such file"));
	symbols_free(s);
}

/* Every truncation, and every byte set to values that break things: no crash (under ASan: no stray read). */
Test(dump_symbols, elf_damaged)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	struct image good, m;

	make_image(&good);
	for (size_t n = 0; n < sizeof(good); n += 3) {
		struct symbols *s = symbols_new();

		cr_assert_eq(add_elf(s, &good, n), 0);
		cr_assert_leq(symbols_count(s), 5);
		symbols_free(s);
	}
	for (size_t at = 0; at < sizeof(good); at++)
		for (size_t v = 0; v < sizeof(values); v++) {
			struct symbols *s = symbols_new();
			char name[SYMBOLS_TEXT_BYTES];

			m = good;
			((uint8_t *)&m)[at] = values[v];
			cr_assert_eq(add_elf(s, &m, sizeof(m)), 0);
			for (uint32_t pc = 0x80000ffc; pc < 0x80001048; pc += 4)
				symbols_describe(s, pc, name, sizeof(name));
			symbols_free(s);
		}
}
