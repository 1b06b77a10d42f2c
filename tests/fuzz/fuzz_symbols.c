/* SPDX-License-Identifier: MIT */
/*
 * Hostile images that are only looked at: any bytes are refused with a reason, or every part can be read, and every symbol has
 * a name that may be shown.  Once as a file, once as what a kernel has in memory.
 */
#include <string.h>

#include "vmm/boot/loader.h"
#include "vmm/look/elf_image.h"
#include "vmm/look/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int look_at(void *ctx, const struct kallsyms_symbol *s)
{
	if (s->name_bytes > KALLSYMS_MAX_NAME || strlen(s->name) != s->name_bytes)
		panic("a name that does not end");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct loader_error err = {{0}};
	struct symbols *symbols = symbols_new();
	struct elf_image *image;
	struct kallsyms k;
	uint8_t buf[64];

	if (kallsyms_find(&k, data, bytes, false) && kallsyms_each(&k, look_at, NULL))
		panic("stopped early");
	if (elf_image_open_mem(&image, "fuzz", data, bytes, &err)) {
		if (!err.text[0] || strchr(err.text, '\n'))
			panic("refused without one line that says why");
	} else {
		for (unsigned i = 0; i < image->n_parts; i++)
			if (!elf_image_read(image, image->part[i].va, buf,
					    image->part[i].bytes < sizeof(buf) ? image->part[i].bytes : sizeof(buf)))
				panic("a part that cannot be read");
		if (symbols && (symbols_add_dynamic(symbols, image) || symbols_add_kallsyms(symbols, image)))
			panic("symbols refused");
		elf_image_free(image);
	}
	symbols_free(symbols);
	return 0;
}
