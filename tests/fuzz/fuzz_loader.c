/* SPDX-License-Identifier: MIT */
/*
 * Hostile kernels: any bytes are refused with a reason, or loaded inside guest memory with an entry point in it.
 * The first byte chooses the memory size, the rest is the file.
 */
#include "numa/numa.h"
#include "vmm/boot/loader.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct machine_memory_config cfg = {.bytes = 16ull << 20, .nodes = 1};
	struct loader_error err = {{0}};
	struct loaded_image out;
	struct machine_memory *memory;
	struct pmap *ram;
	uint64_t ram_bytes;
	uint32_t word;
	int r;

	if (bytes < 1)
		return 0;
	ram_bytes = (1 + (uint64_t)(data[0] & 15)) << 20;
	if (machine_memory_new(&memory, &cfg))
		return 0;
	if (pmap_new(&ram, memory, ram_bytes)) {
		machine_memory_free(memory);
		return 0;
	}
	r = loader_load_elf_mem(ram, "fuzz", data + 1, bytes - 1, &out, &err);
	if (r) {
		if (!err.text[0] || strchr(err.text, '\n'))
			panic("refused without one line that says why");
	} else if (out.low_gpa >= out.high_gpa || out.high_gpa > ram_bytes || out.entry % 4 ||
		   pmap_read(ram, gpa(out.entry & 0x1fffffff), &word, 4)) {
		panic("loaded outside memory");
	}
	pmap_free(ram);
	machine_memory_free(memory);
	return 0;
}
