/* SPDX-License-Identifier: MIT */
#include <elf.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/boot/loader.h"

/* What an image says of itself in notes (ELF, "Note Section"). */

struct image {
	const uint8_t *data;
	size_t bytes;
	bool big;
};

static uint32_t half(const struct image *m, uint64_t at)
{
	const uint8_t *p = m->data + at;

	return m->big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t word(const struct image *m, uint64_t at)
{
	return m->big ? half(m, at) << 16 | half(m, at + 2) : half(m, at + 2) << 16 | half(m, at);
}

static bool inside(const struct image *m, uint64_t at, uint64_t bytes)
{
	return at <= m->bytes && bytes <= m->bytes - at;
}

static bool has_note(const struct image *m, uint64_t at, uint64_t bytes)
{
	uint64_t end = at + bytes;

	while (at + 12 <= end && inside(m, at, 12)) {
		uint64_t name = word(m, at), desc = word(m, at + 4);

		if (word(m, at + 8) == LOADER_NOTE_VCPUS && name == sizeof("Disco") && inside(m, at + 12, name) &&
		    memcmp(m->data + at + 12, "Disco", name) == 0)
			return true;
		at += 12 + ((name + 3) & ~3ull) + ((desc + 3) & ~3ull);
	}
	return false;
}

static bool any_note(const struct image *m)
{
	uint64_t at = word(m, offsetof(Elf32_Ehdr, e_phoff)), size = half(m, offsetof(Elf32_Ehdr, e_phentsize));

	for (uint32_t n = half(m, offsetof(Elf32_Ehdr, e_phnum)); n && size >= sizeof(Elf32_Phdr); n--, at += size) {
		if (!inside(m, at, size))
			return false;
		if (word(m, at) == PT_NOTE && has_note(m, word(m, at + offsetof(Elf32_Phdr, p_offset)),
						       word(m, at + offsetof(Elf32_Phdr, p_filesz))))
			return true;
	}
	return false;
}

bool loader_starts_vcpus(const char *path)
{
	struct loader_error err;
	struct image m = {0};
	uint8_t *data;
	bool does;

	if (loader_read_file(path, &data, &m.bytes, &err))
		return false;
	m.data = data;
	does = m.bytes >= sizeof(Elf32_Ehdr) && memcmp(data, ELFMAG, SELFMAG) == 0 && data[EI_CLASS] == ELFCLASS32;
	m.big = does && data[EI_DATA] == ELFDATA2MSB;
	does = does && any_note(&m);
	free(data);
	return does;
}
