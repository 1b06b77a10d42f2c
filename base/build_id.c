/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "base/build_id.h"

#include <elf.h>
#include <link.h>
#include <string.h>

struct found {
	size_t bytes;
	uint8_t *id;
};

static const uint8_t *after(const uint8_t *p, size_t bytes) { return p + ((bytes + 3) & ~(size_t)3); }

static void find(const uint8_t *note, size_t bytes, struct found *f)
{
	const uint8_t *end = note + bytes, *name, *text;
	ElfW(Nhdr) h;

	while (note < end && (size_t)(end - note) >= sizeof(h)) {
		memcpy(&h, note, sizeof(h));
		name = note + sizeof(h);
		text = after(name, h.n_namesz);
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == 4 && memcmp(name, "GNU", 4) == 0 &&
		    h.n_descsz <= BUILD_ID_MAX) {
			f->bytes = h.n_descsz;
			memcpy(f->id, text, h.n_descsz);
		}
		note = after(text, h.n_descsz);
	}
}

/* The first object is the program itself. */
static int look_at_program(struct dl_phdr_info *info, size_t bytes, void *ctx)
{
	(void)bytes;
	for (unsigned i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_NOTE)
			find((const uint8_t *)(uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
			     info->dlpi_phdr[i].p_memsz, ctx);
	return 1;
}

size_t build_id(uint8_t id[BUILD_ID_MAX])
{
	struct found f = {0, id};

	dl_iterate_phdr(look_at_program, &f);
	return f.bytes;
}
