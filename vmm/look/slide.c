/* SPDX-License-Identifier: MIT */
#include "vmm/look/slide.h"

#include <string.h>

#include "base/segments.h"
#include "numa/numa.h"
#include "vmm/look/elf_image.h"

void slide_init(struct slide *s, const struct elf_image *image)
{
	const struct elf_part *k = image->kernel;
	uint32_t value;

	*s = (struct slide){.big_endian = image->big_endian};
	if (!k || SLIDE_SIGN_BYTES > image->kallsyms.bytes - image->kallsyms.tokens)
		return;
	s->pointer = k->va + image->kallsyms.pointer;
	s->sign = k->va + image->kallsyms.tokens;
	memcpy(&value, k->data + image->kallsyms.pointer, sizeof(value));
	s->value = s->big_endian ? __builtin_bswap32(value) : value;
	memcpy(s->bytes, k->data + image->kallsyms.tokens, SLIDE_SIGN_BYTES);
	s->low = k->va;
	s->high = k->va + k->bytes;
}

bool slide_suspected(const struct slide *s, uint64_t pc)
{
	return s->low && segment_is_unmapped(pc) && pc < KSEG1 && (pc < s->low || pc >= s->high);
}

uint32_t slide_find(const struct slide *s, struct pmap *ram)
{
	uint64_t end = KSEG0 + (pmap_bytes(ram) <= UNMAPPED_MASK ? pmap_bytes(ram) : UNMAPPED_MASK);

	for (uint64_t slide = SLIDE_UNIT; s->high + slide <= end; slide += SLIDE_UNIT) {
		uint8_t bytes[SLIDE_SIGN_BYTES];
		uint32_t value;

		if (pmap_read(ram, gpa((s->pointer + slide) & UNMAPPED_MASK), &value, sizeof(value)))
			break;
		value = s->big_endian ? __builtin_bswap32(value) : value;
		if (value != s->value + slide)
			continue;
		if (!pmap_read(ram, gpa((s->sign + slide) & UNMAPPED_MASK), bytes, sizeof(bytes)) &&
		    memcmp(bytes, s->bytes, sizeof(bytes)) == 0)
			return (uint32_t)slide;
	}
	return 0;
}
