/* SPDX-License-Identifier: MIT */
/* Images: a good one lands where it should; each way of being bad is refused with its reason and loads nothing. */
#include "numa/numa.h"
#include "vmm/boot/loader.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAM_BYTES (16ull << 20)
#define TEXT_PA   0x100000u
#define HEAD      (sizeof(Elf32_Ehdr) + 2 * sizeof(Elf32_Phdr))
#define TEXT      64u

static struct machine_memory *memory;
static struct pmap *ram;

static void setup(void)
{
	struct machine_memory_config cfg = {.bytes = 64ull << 20, .nodes = 1};

	cr_assert_eq(machine_memory_new(&memory, &cfg), 0);
	cr_assert_eq(pmap_new(&ram, memory, RAM_BYTES), 0);
}

static void teardown(void)
{
	pmap_free(ram);
	machine_memory_free(memory);
}

TestSuite(loader, .init = setup, .fini = teardown);

/* A little-endian image in host order, which is little-endian too. */
struct image {
	Elf32_Ehdr eh;
	Elf32_Phdr ph[2];
	uint8_t text[TEXT];
};

_Static_assert(sizeof(struct image) == HEAD + TEXT, "no padding");

static void good(struct image *im)
{
	memset(im, 0, sizeof(*im));
	memcpy(im->eh.e_ident, ELFMAG, SELFMAG);
	im->eh.e_ident[EI_CLASS] = ELFCLASS32;
	im->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	im->eh.e_ident[EI_VERSION] = EV_CURRENT;
	im->eh.e_type = ET_EXEC;
	im->eh.e_machine = EM_MIPS;
	im->eh.e_version = EV_CURRENT;
	im->eh.e_entry = 0x80000000u + TEXT_PA + 8;
	im->eh.e_phoff = sizeof(Elf32_Ehdr);
	im->eh.e_flags = EF_MIPS_ARCH_32R2;
	im->eh.e_ehsize = sizeof(Elf32_Ehdr);
	im->eh.e_phentsize = sizeof(Elf32_Phdr);
	im->eh.e_phnum = 2;
	im->ph[0] = (Elf32_Phdr){
	    .p_type = PT_LOAD, .p_offset = HEAD, .p_vaddr = 0x80000000u + TEXT_PA, .p_filesz = TEXT, .p_memsz = 0x3000};
	im->ph[1] =
	    (Elf32_Phdr){.p_type = PT_LOAD, .p_offset = HEAD, .p_vaddr = 0xa0200000u, .p_filesz = 16, .p_memsz = 16};
	for (unsigned i = 0; i < TEXT; i++)
		im->text[i] = (uint8_t)(i + 1);
}

static int load(const struct image *im, size_t bytes, struct loaded_image *out, struct loader_error *err)
{
	/* A buffer of exactly these bytes, so that ASan sees a read past them. */
	uint8_t *copy = malloc(bytes ? bytes : 1);
	int r;

	memcpy(copy, im, bytes);
	memset(err, 0, sizeof(*err));
	r = loader_load_elf_mem(ram, "k", copy, bytes, out, err);
	free(copy);
	return r;
}

Test(loader, loads)
{
	struct loaded_image out;
	struct loader_error err;
	struct image im;
	uint8_t mem[0x3000];

	good(&im);
	/* What was there before the load must not show in the zeroed part. */
	memset(mem, 0xaa, sizeof(mem));
	cr_assert_eq(pmap_write(ram, gpa(TEXT_PA), mem, sizeof(mem)), 0);
	cr_assert_eq(load(&im, sizeof(im), &out, &err), 0, "%s", err.text);
	cr_assert_eq(out.entry, 0x80000000u + TEXT_PA + 8);
	cr_assert_eq(out.low_gpa, TEXT_PA);
	cr_assert_eq(out.high_gpa, 0x200010);
	cr_assert(!out.big_endian);
	cr_assert_eq(pmap_read(ram, gpa(TEXT_PA), mem, sizeof(mem)), 0);
	cr_assert_arr_eq(mem, im.text, TEXT);
	for (size_t i = TEXT; i < sizeof(mem); i++)
		cr_assert_eq(mem[i], 0, "byte %zu", i);
	cr_assert_eq(pmap_read(ram, gpa(0x200000), mem, 16), 0);
	cr_assert_arr_eq(mem, im.text, 16);
}

/* A segment outside KSEG0/1 goes to its physical address. */
Test(loader, physical_address)
{
	struct loaded_image out;
	struct loader_error err;
	struct image im;

	good(&im);
	im.ph[1].p_vaddr = 0xc0000000u;
	im.ph[1].p_paddr = 0x300000;
	cr_assert_eq(load(&im, sizeof(im), &out, &err), 0, "%s", err.text);
	cr_assert_eq(out.high_gpa, 0x300010);
}

static void swap16(uint16_t *v) { *v = __builtin_bswap16(*v); }
static void swap32(uint32_t *v) { *v = __builtin_bswap32(*v); }

Test(loader, big_endian)
{
	struct loaded_image out;
	struct loader_error err;
	struct image im;

	good(&im);
	im.eh.e_ident[EI_DATA] = ELFDATA2MSB;
	cr_assert_eq(load(&im, sizeof(im), &out, &err), -ENOEXEC);
	cr_assert(strstr(err.text, "byte order mark"), "%s", err.text);
	for (uint8_t *p = (uint8_t *)&im.eh.e_type; p < (uint8_t *)&im.eh.e_version; p += 2)
		swap16((uint16_t *)(void *)p);
	for (uint8_t *p = (uint8_t *)&im.eh.e_version; p < (uint8_t *)&im.eh.e_ehsize; p += 4)
		swap32((uint32_t *)(void *)p);
	for (uint8_t *p = (uint8_t *)&im.eh.e_ehsize; p < (uint8_t *)(&im.eh + 1); p += 2)
		swap16((uint16_t *)(void *)p);
	for (uint8_t *p = (uint8_t *)im.ph; p < (uint8_t *)(im.ph + 2); p += 4)
		swap32((uint32_t *)(void *)p);
	cr_assert_eq(load(&im, sizeof(im), &out, &err), 0, "%s", err.text);
	cr_assert(out.big_endian);
	cr_assert_eq(out.entry, 0x80000000u + TEXT_PA + 8);
}

/* One or two numbers of a good image overwritten, and what the message then says. */
struct spoiled {
	const char *says;
	struct {
		size_t at;
		unsigned bytes;
		uint32_t value;
	} put[2];
};

#define EH(field, value)                                                                                               \
	{                                                                                                              \
		offsetof(struct image, eh.field), sizeof(((struct image *)0)->eh.field), value                         \
	}
#define ID(index, value)                                                                                               \
	{                                                                                                              \
		offsetof(struct image, eh.e_ident) + (index), 1, value                                                 \
	}
#define PH(n, field, value)                                                                                            \
	{                                                                                                              \
		offsetof(struct image, ph) + (n) * sizeof(Elf32_Phdr) + offsetof(Elf32_Phdr, field), 4, value          \
	}

static const struct spoiled spoiled[] = {
    {"not an ELF", {ID(1, 'X')}},
    {"64-bit", {ID(EI_CLASS, ELFCLASS64)}},
    {"class 9", {ID(EI_CLASS, 9)}},
    {"byte order 9", {ID(EI_DATA, 9)}},
    {"not MIPS", {EH(e_machine, EM_386)}},
    {"shared object", {EH(e_type, ET_DYN)}},
    {"object file", {EH(e_type, ET_REL)}},
    {"MIPS level", {EH(e_flags, EF_MIPS_ARCH_64R2)}},
    {"microMIPS", {EH(e_flags, EF_MIPS_ARCH_32R2 | 0x02000000)}},
    {"program headers of 0", {EH(e_phentsize, 0)}},
    {"truncated", {EH(e_phoff, 0xffffffffu)}},
    {"truncated", {EH(e_phnum, 0xffff)}},
    {"more bytes in the file", {PH(0, p_memsz, TEXT - 1)}},
    {"truncated", {PH(0, p_offset, HEAD + 1)}},
    {"truncated", {PH(0, p_offset, 0u - 8)}},
    {"--mem", {PH(1, p_vaddr, 0x80000000u + RAM_BYTES - 15)}},
    {"--mem", {PH(1, p_memsz, 0xffffffffu)}},
    {"--mem", {PH(1, p_vaddr, 0xfffffff8u), PH(1, p_paddr, 0xfffffff8u)}},
    {"overlaps", {PH(1, p_vaddr, 0x80000000u + TEXT_PA + 0x2fff)}},
    {"boot arguments", {PH(1, p_vaddr, 0x80000000u + LOADER_ARGS_GPA - 15)}},
    {"multiple of 4", {EH(e_entry, 0x80000000u + TEXT_PA + 2)}},
    {"outside KSEG0", {EH(e_entry, TEXT_PA)}},
    {"outside what", {EH(e_entry, 0x80000000u + TEXT_PA - 4)}},
    {"outside what", {EH(e_entry, 0x80000000u + TEXT_PA + TEXT)}},
    {"no loadable", {PH(0, p_type, PT_NOTE), PH(1, p_type, PT_NOTE)}},
};

Test(loader, refuses)
{
	for (size_t i = 0; i < ARRAY_LEN(spoiled); i++) {
		const struct spoiled *s = &spoiled[i];
		struct loaded_image out;
		struct loader_error err;
		struct image im;
		int r;

		good(&im);
		for (unsigned j = 0; j < 2; j++)
			memcpy((uint8_t *)&im + s->put[j].at, &s->put[j].value, s->put[j].bytes);
		r = load(&im, sizeof(im), &out, &err);
		cr_expect(r == -ENOEXEC || r == -E2BIG, "row %zu: %d", i, r);
		cr_expect(strstr(err.text, s->says), "row %zu: '%s' lacks '%s'", i, err.text, s->says);
		cr_expect(strncmp(err.text, "k: ", 3) == 0, "no file name: %s", err.text);
	}
	cr_assert_eq(machine_memory_pages_used(memory, -1), 0, "a refused image touched memory");
}

/* Every prefix of the file is refused, without a read past it. */
Test(loader, every_truncation)
{
	struct loaded_image out;
	struct loader_error err;
	struct image im;

	good(&im);
	for (size_t n = 0; n < sizeof(im); n++)
		cr_assert_lt(load(&im, n, &out, &err), 0, "%zu bytes", n);
	cr_assert_eq(load(&im, sizeof(im), &out, &err), 0);
}

/* Every single-byte change of the headers: refused or loaded inside memory, never a crash. */
Test(loader, every_byte)
{
	struct loaded_image out;
	struct loader_error err;
	struct image im;

	for (size_t at = 0; at < HEAD; at++)
		for (unsigned v = 0; v < 256; v++) {
			good(&im);
			((uint8_t *)&im)[at] = (uint8_t)v;
			if (load(&im, sizeof(im), &out, &err) == 0)
				cr_assert(out.low_gpa < out.high_gpa && out.high_gpa <= RAM_BYTES);
			else
				cr_assert_neq(err.text[0], 0);
		}
}

static void temp_file(char path[32], const void *data, size_t n)
{
	int fd;

	strcpy(path, "/tmp/disco-loader-XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, n), (ssize_t)n);
	close(fd);
}

Test(loader, files)
{
	struct loaded_image out;
	struct loader_error err;
	struct image im;
	char path[32];

	good(&im);
	temp_file(path, &im, sizeof(im));
	cr_assert_eq(loader_load_elf(ram, path, &out, &err), 0, "%s", err.text);
	unlink(path);
	cr_assert_eq(loader_load_elf(ram, path, &out, &err), -ENOENT);
	cr_assert(strstr(err.text, path), "%s", err.text);
	cr_assert_eq(loader_load_elf(ram, "/", &out, &err), -EISDIR);
}

/* What loader_check() says of a file is what loading it would. */
Test(loader, check)
{
	struct loader_error err, said;
	struct loaded_image out;
	struct image im;
	bool initrd;
	char path[32];

	for (size_t i = 0; i < ARRAY_LEN(spoiled) + sizeof(im); i++) {
		size_t bytes = i < ARRAY_LEN(spoiled) ? sizeof(im) : i - ARRAY_LEN(spoiled);
		int r;

		good(&im);
		for (unsigned j = 0; i < ARRAY_LEN(spoiled) && j < 2; j++)
			memcpy((uint8_t *)&im + spoiled[i].put[j].at, &spoiled[i].put[j].value,
			       spoiled[i].put[j].bytes);
		temp_file(path, &im, bytes);
		r = loader_load_elf(ram, path, &out, &err);
		cr_assert_lt(r, 0);
		for (int unpacks = 0; unpacks < 2; unpacks++) {
			cr_expect_eq(loader_check(path, NULL, RAM_BYTES, unpacks, &initrd, &said), r);
			cr_expect(!initrd);
			if (bytes)
				cr_expect_str_eq(said.text, err.text);
			else
				cr_expect(strstr(said.text, "is empty"), "%s", said.text);
		}
		unlink(path);
	}
}

/* Program headers behind what is read at first; files that are to be read once only; initrds. */
Test(loader, check_more)
{
	static uint8_t far[200000];
	struct loader_error said;
	struct image im;
	bool initrd;
	char path[32], other[32];

	good(&im);
	im.eh.e_phoff = sizeof(far) - sizeof(im.ph);
	memcpy(far, &im, sizeof(im));
	memcpy(far + im.eh.e_phoff, im.ph, sizeof(im.ph));
	temp_file(path, far, sizeof(far));
	cr_expect_eq(loader_check(path, NULL, RAM_BYTES, false, &initrd, &said), 0, "%s", said.text);
	cr_expect_eq(loader_check(path, path, RAM_BYTES, false, &initrd, &said), 0, "%s", said.text);
	temp_file(other, far, 100);
	cr_expect_eq(loader_check(path, other, 0x210000, false, &initrd, &said), -E2BIG);
	cr_expect(initrd && strstr(said.text, "do not fit"), "%s", said.text);
	cr_expect_eq(loader_check(path, "/nonexistent", RAM_BYTES, false, &initrd, &said), -ENOENT);
	cr_expect(initrd);
	cr_expect_eq(loader_check("/nonexistent", other, RAM_BYTES, false, &initrd, &said), -ENOENT);
	cr_expect(!initrd);
	cr_expect_eq(loader_check(path, "/proc/self/mem", RAM_BYTES, false, &initrd, &said), -EIO);
	cr_expect_eq(loader_check("/dev/null", NULL, RAM_BYTES, false, &initrd, &said), -ENOEXEC);
	unlink(other);
	cr_assert_eq(mkfifo(other, 0600), 0);
	cr_expect_eq(loader_check(other, other, RAM_BYTES, false, &initrd, &said), 0, "%s", said.text);
	unlink(other);
	unlink(path);
}

Test(loader, initrd)
{
	static uint8_t data[0x23456], back[0x23456];
	uint64_t at = 0, n = 0;
	struct loader_error err;
	char path[32];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	temp_file(path, data, sizeof(data));
	cr_assert_eq(loader_load_initrd(ram, path, 0x100000, &at, &n, &err), 0, "%s", err.text);
	cr_assert_eq(at, RAM_BYTES - 0x30000);
	cr_assert_eq(n, sizeof(data));
	cr_assert_eq(pmap_read(ram, gpa(at), back, n), 0);
	cr_assert_arr_eq(back, data, sizeof(data));
	cr_assert_eq(loader_load_initrd(ram, path, RAM_BYTES - 0x30000, &at, &n, &err), 0);
	cr_assert_eq(loader_load_initrd(ram, path, RAM_BYTES - 0x30000 + 1, &at, &n, &err), -E2BIG);
	cr_assert(strstr(err.text, path) && strstr(err.text, "do not fit"), "%s", err.text);
	cr_assert_eq(truncate(path, 0), 0);
	cr_assert_eq(loader_load_initrd(ram, path, 0, &at, &n, &err), -ENOEXEC);
	cr_assert_eq(truncate(path, RAM_BYTES + 1), 0);
	cr_assert_eq(loader_load_initrd(ram, path, 0, &at, &n, &err), -E2BIG);
	unlink(path);
	/* A file without an end. */
	cr_assert_eq(loader_load_initrd(ram, "/dev/zero", 0, &at, &n, &err), -E2BIG);
}
