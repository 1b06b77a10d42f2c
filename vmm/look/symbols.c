/* SPDX-License-Identifier: MIT */
#include "vmm/look/symbols.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/boot/loader_internal.h"
#include "vmm/look/elf_image.h"
#include "vmm/look/symbols_internal.h"

/* A symbol without a size ends where the next begins; the last one after this much. */
#define LAST_BYTES 4096u

struct symbols {
	struct symbol *s;
	size_t n, cap;
	char *text; /* names, each with its NUL; offset 0 is "" */
	size_t text_bytes, text_cap;
	uint32_t moved_low, moved_high, slide; /* symbols_set_slide() */
};

struct symbols *symbols_new(void) { return calloc(1, sizeof(struct symbols)); }

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	free(s->s);
	free(s->text);
	free(s);
}

size_t symbols_count(const struct symbols *s) { return s->n; }

/* Names go to the user's terminal and into JSON: those with anything but visible ASCII are left out. */
static bool good_name(const char *name, size_t len)
{
	if (len == 0 || len > SYMBOLS_MAX_NAME)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] <= 0x20 || name[i] >= 0x7f)
			return false;
	return true;
}

static int reserve(void **p, size_t *cap, size_t want, size_t each)
{
	size_t room = want + want / 2 + 1024;
	void *bigger;

	if (want <= *cap)
		return 0;
	bigger = realloc(*p, room * each);
	if (!bigger)
		return -ENOMEM;
	*p = bigger;
	*cap = room;
	return 0;
}

int symbols_add(struct symbols *s, struct symbol sym, const char *name, size_t len)
{
	int r;

	if (!good_name(name, len))
		return 0;
	if (s->n == SYMBOLS_MAX)
		return -E2BIG;
	r = reserve((void **)&s->s, &s->cap, s->n + 1, sizeof(*s->s));
	if (!r)
		r = reserve((void **)&s->text, &s->text_cap, s->text_bytes + len + 1, 1);
	if (r)
		return r;
	sym.name = (uint32_t)s->text_bytes;
	memcpy(s->text + s->text_bytes, name, len);
	s->text[s->text_bytes + len] = 0;
	s->text_bytes += len + 1;
	s->s[s->n++] = sym;
	return 0;
}

/* ---- ELF ---- */

static bool in_code(Elf *elf, size_t section)
{
	Elf_Scn *scn = elf_getscn(elf, section);
	GElf_Shdr h;

	return scn && gelf_getshdr(scn, &h) && h.sh_flags & SHF_EXECINSTR;
}

/* Section numbers from SHN_LORESERVE on are not sections. */
static int add_elf_symbol(struct symbols *s, Elf *elf, const GElf_Sym *sym, const char *name)
{
	unsigned type = GELF_ST_TYPE(sym->st_info);
	bool code;

	if (!name || sym->st_shndx == SHN_UNDEF || sym->st_shndx >= SHN_LORESERVE || sym->st_value > UINT32_MAX ||
	    (type != STT_FUNC && type != STT_NOTYPE && type != STT_OBJECT))
		return 0;
	code = in_code(elf, sym->st_shndx);
	/* local labels of the assembler */
	if (type == STT_NOTYPE && (name[0] == '$' || (name[0] == '.' && name[1] == 'L')))
		return 0;
	return symbols_add(s,
			   (struct symbol){.address = (uint32_t)sym->st_value,
					   .bytes = sym->st_size > UINT32_MAX ? 0 : (uint32_t)sym->st_size,
					   .code = code,
					   .global = GELF_ST_BIND(sym->st_info) != STB_LOCAL},
			   name, strlen(name));
}

static int add_table(struct symbols *s, Elf *elf, Elf_Scn *scn, const GElf_Shdr *h)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t n = data ? data->d_size / sizeof(Elf32_Sym) : 0;
	int r = 0;

	for (size_t i = 1; !r && i < n && i <= INT32_MAX; i++) {
		GElf_Sym sym;

		if (gelf_getsym(data, (int)i, &sym))
			r = add_elf_symbol(s, elf, &sym, elf_strptr(elf, h->sh_link, sym.st_name));
	}
	return r;
}

static int add_tables(struct symbols *s, Elf *elf, uint32_t type)
{
	int r = 0;

	for (Elf_Scn *scn = elf_nextscn(elf, NULL); !r && scn; scn = elf_nextscn(elf, scn)) {
		GElf_Shdr h;

		if (gelf_getshdr(scn, &h) && h.sh_type == type)
			r = add_table(s, elf, scn, &h);
	}
	return r;
}

static int add_elf(struct symbols *s, Elf *elf)
{
	size_t before = s->n;
	GElf_Ehdr eh;
	int r;

	if (!elf || !gelf_getehdr(elf, &eh) || eh.e_machine != EM_MIPS || gelf_getclass(elf) != ELFCLASS32)
		return 0;
	r = add_tables(s, elf, SHT_SYMTAB);
	return !r && s->n == before ? add_tables(s, elf, SHT_DYNSYM) : r;
}

static int failed(struct loader_error *err, const char *path, int r)
{
	if (r == -E2BIG)
		return loader_fail(err, r, "%.300s: more than %u symbols", path, SYMBOLS_MAX);
	return loader_fail(err, r, "%.300s: %s", path, strerror(-r));
}

int symbols_add_elf(struct symbols *s, const char *path, struct loader_error *err)
{
	/* not blocked by a FIFO; read and not mapped: the file may be cut while it is read */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = fd < 0 ? -errno : 0;
	struct stat st;
	Elf *elf;

	if (!r && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		elf_version(EV_CURRENT);
		elf = elf_begin(fd, ELF_C_READ, NULL);
		r = add_elf(s, elf);
		elf_end(elf);
	}
	if (fd >= 0)
		close(fd);
	return r ? failed(err, path, r) : 0;
}

/* ---- a kernel's own ---- */

static int add_kallsym(void *ctx, const struct kallsyms_symbol *k)
{
	return symbols_add(ctx,
			   (struct symbol){.address = k->address,
					   .code = strchr("tTwW", k->type) && k->type,
					   .global = isupper((unsigned char)k->type)},
			   k->name, k->name_bytes);
}

int symbols_add_kallsyms(struct symbols *s, const struct elf_image *image)
{
	return image->kernel ? kallsyms_each(&image->kallsyms, add_kallsym, s) : 0;
}

/* ---- listings ---- */

/* The next word of a line; NULL at its end. */
static const char *next_word(const char **p, size_t *len)
{
	const char *word = *p + strspn(*p, " \t\r\n");

	*len = strcspn(word, " \t\r\n");
	*p = word + *len;
	return *len ? word : NULL;
}

/* nm writes addresses of 32-bit MIPS in 8 digits, or in 16 with the sign extended. */
static bool parse_address(const char *word, size_t len, uint64_t *out)
{
	uint64_t v = 0;

	if (!word || len == 0 || len > 16)
		return false;
	for (size_t i = 0; i < len; i++) {
		int c = tolower((unsigned char)word[i]);

		if (!isxdigit(c))
			return false;
		v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*out = v;
	return true;
}

static bool is_type(const char *word, size_t len)
{
	return word && len == 1 && (isalpha((unsigned char)*word) || *word == '?' || *word == '-');
}

/* One line. 1: added or skipped, 0: not of this form, -errno. */
static int add_line(struct symbols *s, const char *line)
{
	size_t len, type_len, name_len, rest_len;
	const char *p = line, *word = next_word(&p, &len), *type, *name, *rest;
	uint64_t address, bytes = 0;
	int r;

	if (!word)
		return 1;
	if (len == 1 && strchr("Uwv", *word)) /* undefined: no address */
		return next_word(&p, &len) && !next_word(&p, &rest_len);
	if (!parse_address(word, len, &address))
		return 0;
	type = next_word(&p, &type_len);
	name = next_word(&p, &name_len);
	if (type && type_len > 1 && is_type(name, name_len)) {
		if (!parse_address(type, type_len, &bytes))
			return 0;
		type = name;
		type_len = name_len;
		name = next_word(&p, &name_len);
	}
	rest = next_word(&p, &rest_len);
	if (!is_type(type, type_len) || !name || (rest && *rest != '['))
		return 0;
	if (address > UINT32_MAX && address < 0xffffffff80000000u)
		return 0; /* not an address of this machine */
	r = symbols_add(s,
			(struct symbol){.address = (uint32_t)address,
					.bytes = bytes > UINT32_MAX ? 0 : (uint32_t)bytes,
					.code = strchr("tTwWi", *type),
					.global = isupper((unsigned char)*type)},
			name, name_len);
	return r ? r : 1;
}

int symbols_add_map(struct symbols *s, const char *path, struct loader_error *err)
{
	char line[1024];
	size_t before = s->n;
	unsigned n = 0;
	int r = 1;
	FILE *f = fopen(path, "re");

	if (!f)
		return failed(err, path, -errno);
	while (r > 0 && fgets(line, sizeof(line), f)) {
		n++;
		/* too long for any symbol, or with NUL bytes: what was read does not end in a newline */
		r = strchr(line, '\n') || (feof(f) && strlen(line) < sizeof(line) - 1) ? add_line(s, line) : 0;
	}
	if (r > 0 && ferror(f))
		r = -EIO;
	fclose(f);
	if (r < 0)
		return failed(err, path, r);
	if (r == 0)
		return loader_fail(err, -ENOEXEC,
				   "%.300s: line %u is not 'ADDRESS TYPE NAME' as in a System.map or nm's", path, n);
	if (s->n == before)
		return loader_fail(err, -ENOEXEC, "%.300s: no symbols in it", path);
	return 0;
}

/* ---- looking up ---- */

/* By address; at the same one the best name first: code, with a size, global, then as in the files. */
static int compare(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	if (x->code != y->code)
		return x->code ? -1 : 1;
	if (!x->bytes != !y->bytes)
		return x->bytes ? -1 : 1;
	if (x->global != y->global)
		return x->global ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

void symbols_sort(struct symbols *s)
{
	if (s->n)
		qsort(s->s, s->n, sizeof(*s->s), compare);
}

/* One past the last byte of symbol i. */
static uint64_t end_of(const struct symbols *s, size_t i)
{
	const struct symbol *sym = &s->s[i];

	if (sym->bytes)
		return (uint64_t)sym->address + sym->bytes;
	while (++i < s->n)
		if (s->s[i].address != sym->address)
			return s->s[i].address;
	return (uint64_t)sym->address + LAST_BYTES;
}

int symbols_open(struct symbols **out, const struct elf_image *image, const char *path, const char *listing,
		 struct loader_error *err)
{
	struct symbols *s = symbols_new();
	int r = 0;

	*out = s;
	if (!s)
		return loader_fail(err, -ENOMEM, "%s", strerror(ENOMEM));
	if (image)
		r = symbols_add_elf(s, path, err);
	if (!r && image && !s->n) {
		r = symbols_add_dynamic(s, image);
		if (!r)
			r = symbols_add_kallsyms(s, image);
		if (r)
			(void)failed(err, path, r);
	}
	if (!r && listing)
		r = symbols_add_map(s, listing, err);
	symbols_sort(s);
	if (r) {
		symbols_free(s);
		*out = NULL;
	}
	return r;
}

void symbols_set_slide(struct symbols *s, uint32_t low, uint32_t high, uint32_t slide)
{
	s->moved_low = low;
	s->moved_high = high;
	s->slide = slide;
}

uint64_t symbols_linked(const struct symbols *s, uint64_t pc)
{
	return s && s->slide && pc - s->slide >= s->moved_low && pc - s->slide < s->moved_high ? pc - s->slide : pc;
}

bool symbols_find(const struct symbols *s, const char *name, size_t name_len, unsigned n, uint32_t *low, uint32_t *high)
{
	for (size_t i = 0; i < s->n; i++) {
		const char *have = s->text + s->s[i].name;
		uint64_t end;

		if (!s->s[i].code || strlen(have) != name_len || memcmp(have, name, name_len) != 0 || n-- > 0)
			continue;
		end = end_of(s, i) - 1;
		*low = s->s[i].address;
		*high = end > UINT32_MAX ? UINT32_MAX : (uint32_t)end;
		return true;
	}
	return false;
}

void symbols_describe(const struct symbols *s, uint64_t pc, char *out, size_t out_bytes)
{
	size_t low = 0, high = s ? s->n : 0;

	pc = symbols_linked(s, pc);
	out[0] = 0;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->s[mid].address <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return;
	/* the best of those at the nearest address */
	for (low--; low > 0 && s->s[low - 1].address == s->s[low].address; low--)
		;
	if (!s->s[low].code || pc >= end_of(s, low))
		return;
	if (pc == s->s[low].address)
		snprintf(out, out_bytes, "%s", s->text + s->s[low].name);
	else
		snprintf(out, out_bytes, "%s+0x%" PRIx64, s->text + s->s[low].name, pc - s->s[low].address);
}
