/* SPDX-License-Identifier: MIT */
/* A kernel's own symbols: every layout, decoys, damage; and how far a kernel has moved. */
#include "base/segments.h"
#include "numa/numa.h"
#include "tests/unit/look_kernel.h"
#include "vmm/boot/loader.h"
#include "vmm/look/elf_image.h"
#include "vmm/look/slide.h"
#include "vmm/look/symbols.h"

#include <elf.h>
#include <lzma.h>
#include <stdlib.h>
#include <time.h>

static struct made made;
static struct kallsyms k;

static int compare(void *ctx, const struct kallsyms_symbol *s)
{
	unsigned *i = ctx;
	char want[400];

	made_name(*i, want);
	cr_assert_eq(s->address, MADE_BASE + *i * MADE_STEP);
	cr_assert_eq(s->type, want[0]);
	cr_assert_str_eq(s->name, want + 1);
	cr_assert_eq(s->name_bytes, strlen(want + 1));
	++*i;
	return 0;
}

Test(look_kallsyms, layouts)
{
	for (unsigned i = 0; i < 2 * 2 * 2 * 3 * 3; i++) {
		static const unsigned pads[] = {0, 3, 700}, seqs[] = {0, 3, 4};
		struct layout l = {i & 1, i & 2, i & 4, seqs[i / 8 % 3], pads[i / 24]};
		unsigned n = 0;

		make_kernel(&made, l);
		cr_assert(kallsyms_find(&k, made.b, made.n, l.big_endian), "layout %u", i);
		cr_assert_eq(k.n, MADE_SYMBOLS);
		cr_assert_eq(k.relative, l.relative);
		cr_assert_eq(k.pointer, made.pointer);
		cr_assert_eq(kallsyms_first(&k), MADE_BASE);
		cr_assert_eq(kallsyms_each(&k, compare, &n), 0);
		cr_assert_eq(n, MADE_SYMBOLS);
		cr_assert_not(kallsyms_find(&k, made.b, made.n, !l.big_endian), "the other byte order");
	}
}

static int stop(void *ctx, const struct kallsyms_symbol *s) { return --*(int *)ctx ? 0 : -7; }

Test(look_kallsyms, stops)
{
	int n = 5;

	make_kernel(&made, (struct layout){.relative = true});
	cr_assert(kallsyms_find(&k, made.b, made.n, false));
	cr_assert_eq(kallsyms_each(&k, stop, &n), -7);
	cr_assert_eq(n, 0);
}

/* Whatever is wrong with one of the arrays, the table is not taken for one. */
Test(look_kallsyms, refused)
{
	static const struct layout l = {.relative = true};
	uint8_t *p;

	make_kernel(&made, l);
	p = made.b + made.addresses + 4 * 10;
	p[2] = 0xff; /* not ascending */
	cr_assert_not(kallsyms_find(&k, made.b, made.n, false));
	make_kernel(&made, l);
	made.b[made.pointer + 3] = 0x10; /* a base in useg */
	cr_assert_not(kallsyms_find(&k, made.b, made.n, false));
	make_kernel(&made, l);
	made.b[made.names] += 1; /* the lengths do not lead to the markers */
	cr_assert_not(kallsyms_find(&k, made.b, made.n, false));
	make_kernel(&made, l);
	made.b[made.names - 4] += 1; /* one name more than there are addresses for */
	cr_assert_not(kallsyms_find(&k, made.b, made.n, false));
	make_kernel(&made, l);
	made.b[made.tokens + 30] = 7; /* no character of a name */
	cr_assert_not(kallsyms_find(&k, made.b, made.n, false));
}

static int count(void *ctx, const struct kallsyms_symbol *s)
{
	cr_assert_leq(s->name_bytes, KALLSYMS_MAX_NAME);
	cr_assert_eq(s->name[s->name_bytes], 0);
	++*(unsigned *)ctx;
	return 0;
}

/* Each truncation, and bytes set to values that break things. The image is a heap block of its size, for ASan. */
Test(look_kallsyms, damaged, .timeout = 120)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	unsigned found = 0, n = 0;

	for (unsigned behind = 0; behind < 2; behind++) {
		make_kernel(&made, (struct layout){.relative = behind, .behind = behind});
		for (uint32_t cut = 1; cut < made.n; cut += 37) {
			uint8_t *b = malloc(cut);

			memcpy(b, made.b, cut);
			if (kallsyms_find(&k, b, cut, false))
				cr_assert_eq(kallsyms_each(&k, count, &n), 0);
			free(b);
		}
		for (uint32_t at = 0; at < made.n; at += 13) {
			uint8_t *b = malloc(made.n);

			memcpy(b, made.b, made.n);
			b[at] = values[at % 5];
			if (kallsyms_find(&k, b, made.n, false)) {
				found++;
				cr_assert_eq(kallsyms_each(&k, count, &n), 0);
			}
			free(b);
		}
	}
	cr_assert_gt(found, 100, "some damage is harmless");
}

static uint64_t rng_state = 88172645463325252ull;
static uint32_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	return (uint32_t)((rng_state ^= rng_state << 17) >> 16);
}

/*
 * Images that cost as much as they can: nothing but tables of tokens, each of which asks for the names before it, and before
 * them numbers and names that never come to an end.  The search gives up.
 */
Test(look_kallsyms, hostile_costs, .timeout = 60)
{
	size_t bytes = 48u << 20, table;
	uint8_t *b = calloc(1, bytes);
	clock_t from = clock();

	make_kernel(&made, (struct layout){.relative = true});
	table = made.n - made.tokens;
	for (size_t at = 0; at + 4 <= bytes / 2; at += 4) { /* many names of one byte, each place a possible number */
		b[at] = 1;
		b[at + 1] = 't';
		b[at + 2] = 1;
		b[at + 3] = at % 4096 ? 't' : 0;
	}
	for (size_t at = 0; at + 1 < bytes / 2; at += 2)
		if (at % 8 == 6)
			b[at + 1] = 0;
	for (size_t at = bytes / 2; at + table < bytes; at += table)
		memcpy(b + at, made.b + made.tokens, table);
	cr_assert_not(kallsyms_find(&k, b, bytes, false));
	for (size_t at = 0; at < bytes; at += 4)
		memcpy(b + at, &(uint32_t){rng()}, 4);
	cr_assert_not(kallsyms_find(&k, b, bytes, false), "noise");
	cr_assert_lt((double)(clock() - from) / CLOCKS_PER_SEC, 30);
	free(b);
}

/* ---- in an ELF file ---- */

#define PART_VA 0x80100000u

static size_t make_elf(uint8_t *out, const void *data, size_t bytes, uint32_t va)
{
	Elf32_Ehdr eh = {.e_type = ET_EXEC,
			 .e_machine = EM_MIPS,
			 .e_phoff = sizeof(eh),
			 .e_phentsize = sizeof(Elf32_Phdr),
			 .e_phnum = 1};
	Elf32_Phdr ph = {.p_type = PT_LOAD,
			 .p_offset = 0x1000,
			 .p_vaddr = va,
			 .p_filesz = (uint32_t)bytes,
			 .p_memsz = (uint32_t)bytes + 0x100};

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS32;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	memset(out, 0, 0x1000);
	memcpy(out, &eh, sizeof(eh));
	memcpy(out + sizeof(eh), &ph, sizeof(ph));
	memcpy(out + 0x1000, data, bytes);
	return 0x1000 + bytes;
}

static uint8_t file[2 * MADE_BYTES];

static struct elf_image *open_kernel(const void *data, size_t bytes, uint32_t va)
{
	struct loader_error err;
	struct elf_image *image;

	cr_assert_eq(elf_image_open_mem(&image, "k", file, make_elf(file, data, bytes, va), &err), 0, "%s", err.text);
	return image;
}

static void expect_symbols(const struct elf_image *image)
{
	struct symbols *s = symbols_new();
	char name[SYMBOLS_TEXT_BYTES];
	uint32_t low, high;

	cr_assert_eq(symbols_add_kallsyms(s, image), 0);
	symbols_sort(s);
	cr_assert(symbols_find(s, "init_fn1", 8, 0, &low, &high));
	cr_assert_eq(low, MADE_BASE + MADE_STEP);
	cr_assert_eq(high, low + MADE_STEP - 1);
	symbols_describe(s, MADE_BASE + 4, name, sizeof(name));
	cr_assert_str_eq(name, "do_sys_call_0.part.0+0x4");
	/* moved: both places have the names, and nothing else */
	symbols_set_slide(s, PART_VA, PART_VA + 0x10000, 0x1230000);
	symbols_describe(s, MADE_BASE + 0x1230000 + 4, name, sizeof(name));
	cr_assert_str_eq(name, "do_sys_call_0.part.0+0x4");
	symbols_describe(s, MADE_BASE + 4, name, sizeof(name));
	cr_assert_str_eq(name, "do_sys_call_0.part.0+0x4");
	symbols_describe(s, MADE_BASE + 0x1240000, name, sizeof(name));
	cr_assert_str_eq(name, "");
	symbols_free(s);
}

Test(look_kallsyms, of_a_vmlinux)
{
	struct elf_image *image;

	make_kernel(&made, (struct layout){.relative = true});
	image = open_kernel(made.b, made.n, PART_VA);
	cr_assert_eq(image->kernel, &image->part[0]);
	expect_symbols(image);
	elf_image_free(image);
	image = open_kernel(made.b, made.n, 0x00400000);
	cr_assert_null(image->kernel, "a program is no kernel");
	elf_image_free(image);
}

/* A vmlinuz: a program with a magic that is none, then the compressed kernel. */
Test(look_kallsyms, of_a_vmlinuz)
{
	static uint8_t packed[MADE_BYTES] = {1, 2, 3, 0xfd, '7', 'z', 'X', 'Z', 0, 4};
	size_t n = 32;
	struct elf_image *image;
	uint32_t word;

	make_kernel(&made, (struct layout){.relative = true, .behind = true});
	cr_assert_eq(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, made.b, made.n, packed, &n, sizeof(packed)),
		     LZMA_OK);
	image = open_kernel(packed, n, 0x810f0000);
	cr_assert_eq(image->n_parts, 2);
	cr_assert_eq(image->kernel, &image->part[1]);
	cr_assert_eq(image->part[1].va, PART_VA);
	cr_assert_eq(image->part[1].bytes, made.n);
	expect_symbols(image);
	cr_assert(elf_image_read(image, PART_VA + made.pointer, &word, 4) && word == MADE_BASE);
	cr_assert(elf_image_read(image, PART_VA + 0x20000000 + made.pointer, &word, 4), "KSEG1");
	cr_assert(elf_image_read(image, 0x810f0001, &word, 4) && word == 0x37fd0302);
	elf_image_free(image);
	for (size_t cut = 40; cut < n; cut += 501) { /* damaged: only the program is there */
		image = open_kernel(packed, cut, 0x810f0000);
		cr_assert_null(image->kernel);
		cr_assert_eq(image->n_parts, 1);
		elf_image_free(image);
	}
}

/* ---- moved in memory ---- */

static void put_moved(struct pmap *ram, uint32_t slide)
{
	static uint8_t copy[MADE_BYTES];
	uint32_t base = MADE_BASE + slide;

	memcpy(copy, made.b, made.n);
	memcpy(copy + made.pointer, &base, 4);
	cr_assert_eq(pmap_write(ram, gpa((PART_VA + slide) & UNMAPPED_MASK), copy, made.n), 0);
}

Test(look_kallsyms, slide)
{
	struct machine_memory_config mc = {.bytes = 32u << 20, .nodes = 1};
	struct machine_memory *memory;
	struct elf_image *image;
	struct pmap *ram;
	struct slide s;
	uint8_t zero = 0;

	cr_assert_eq(machine_memory_new(&memory, &mc), 0);
	cr_assert_eq(pmap_new(&ram, memory, 32u << 20), 0);
	make_kernel(&made, (struct layout){.relative = true});
	image = open_kernel(made.b, made.n, PART_VA);
	slide_init(&s, image);
	cr_assert_not(slide_suspected(&s, PART_VA) || slide_suspected(&s, 0x00400000) ||
		      slide_suspected(&s, 0xc0000000));
	cr_assert(slide_suspected(&s, 0x80000180) && slide_suspected(&s, 0x81000000));
	cr_assert_eq(slide_find(&s, ram), 0, "nothing there");
	put_moved(ram, 0);
	cr_assert_eq(slide_find(&s, ram), 0, "not moved");
	put_moved(ram, 0x1a0000);
	cr_assert_eq(slide_find(&s, ram), 0x1a0000);
	cr_assert_eq(pmap_write(ram, gpa(PART_VA - KSEG0 + 0x1a0000 + made.tokens + 1), &zero, 1), 0);
	cr_assert_eq(slide_find(&s, ram), 0, "the pointer alone is no proof");
	/* the last place that memory has for it */
	put_moved(ram, (32u << 20) - (PART_VA - KSEG0) - 0x20000);
	cr_assert_eq(slide_find(&s, ram), (32u << 20) - (PART_VA - KSEG0) - 0x20000);
	elf_image_free(image);
	pmap_free(ram);
	machine_memory_free(memory);
	slide_init(&s, &(struct elf_image){0});
	cr_assert_not(slide_suspected(&s, 0x81000000), "no kernel: never");
}
