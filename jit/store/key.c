/* SPDX-License-Identifier: MIT */
/* What a stored translation is only good for: this build of Disco on a host processor like this one, and its flavour of code. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include <cpuid.h>
#include <elf.h>
#include <link.h>
#include <string.h>

#include "jit/store/store_internal.h"

enum { BUILD_ID_MAX = 64 };

struct key_parts {
	uint32_t format;
	uint32_t build_bytes;
	uint8_t build[BUILD_ID_MAX];
	uint32_t cpu[16];
};

static const uint8_t *after(const uint8_t *p, size_t bytes) { return p + ((bytes + 3) & ~(size_t)3); }

/* The linker's hash of the program is a note of it. */
static void find_build_id(const uint8_t *note, size_t bytes, struct key_parts *k)
{
	const uint8_t *end = note + bytes, *name, *text;
	ElfW(Nhdr) h;

	while (note < end && (size_t)(end - note) >= sizeof(h)) {
		memcpy(&h, note, sizeof(h));
		name = note + sizeof(h);
		text = after(name, h.n_namesz);
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == 4 && memcmp(name, "GNU", 4) == 0 &&
		    h.n_descsz <= BUILD_ID_MAX) {
			k->build_bytes = h.n_descsz;
			memcpy(k->build, text, h.n_descsz);
		}
		note = after(text, h.n_descsz);
	}
}

/* The first object is the program itself. */
static int look_at_program(struct dl_phdr_info *info, size_t bytes, void *ctx)
{
	for (unsigned i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_NOTE)
			find_build_id((const uint8_t *)(uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
				      info->dlpi_phdr[i].p_memsz, ctx);
	return 1;
}

/* Family and model, and what it can do: not which of its cores this is, which leaf 1 has in ebx. */
static void describe_cpu(struct key_parts *k)
{
	uint32_t ignored;

	__get_cpuid(0, &ignored, &k->cpu[0], &k->cpu[1], &k->cpu[2]);
	__get_cpuid(1, &k->cpu[3], &ignored, &k->cpu[4], &k->cpu[5]);
	__get_cpuid_count(7, 0, &ignored, &k->cpu[6], &k->cpu[7], &k->cpu[8]);
	__get_cpuid_count(7, 1, &k->cpu[9], &ignored, &ignored, &k->cpu[10]);
	__get_cpuid(0x80000001u, &ignored, &ignored, &k->cpu[11], &k->cpu[12]);
}

bool store_make_key(const void *flavour, size_t flavour_bytes, struct store_key *out)
{
	struct key_parts k = {.format = STORE_FORMAT};
	XXH3_state_t *state;

	dl_iterate_phdr(look_at_program, &k);
	describe_cpu(&k);
	state = XXH3_createState();
	if (!k.build_bytes || !state) {
		XXH3_freeState(state);
		return false;
	}
	XXH3_128bits_reset(state);
	XXH3_128bits_update(state, &k, sizeof(k));
	XXH3_128bits_update(state, flavour, flavour_bytes);
	out->hash = XXH3_128bits_digest(state);
	XXH3_freeState(state);
	return true;
}
