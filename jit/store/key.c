/* SPDX-License-Identifier: MIT */
/* What a stored translation is only good for: this build of Disco on a host processor like this one, and its flavour of code. */
#include <cpuid.h>

#include "base/build_id.h"
#include "jit/store/store_internal.h"

struct key_parts {
	uint32_t format;
	uint32_t build_bytes;
	uint8_t build[BUILD_ID_MAX];
	uint32_t cpu[16];
};

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

	k.build_bytes = (uint32_t)build_id(k.build);
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
