/* SPDX-License-Identifier: MIT */
/*
 * Hostile code: any words in any mode decode, disassemble, lift and pass the verifier, before and after the passes.
 * Two bytes of mode and offset, then the words of a page from there on.
 */
#include "frontend/frontend.h"
#include "ir/mode.h"

#include <stdlib.h>
#include <string.h>

#define ISA_ALL (ISA_MIPS32R1 | ISA_MIPS32R2 | ISA_FPU)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* The decoder's memo is worth keeping from one input to the next; that makes it state of the fuzzer, not of Disco. */
static struct frontend *frontend;

static void close_frontend(void) { frontend_free(frontend); }

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	frontend = frontend_new(ISA_ALL);
	if (!frontend)
		panic("Capstone does not open");
	return atexit(close_frontend);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint32_t words[PAGE_BYTES / 4], slot = 0, off;
	struct arena arena = {0};
	struct lift_request rq = {0};
	struct ir_block *block = NULL;
	char text[64];

	if (bytes < 8)
		return 0;
	rq.mode = (uint32_t)(data[0] | data[1] << 8) & ((1u << MODE_BITS) - 1);
	off = (uint32_t)(data[2] | data[3] << 8) % PAGE_BYTES & ~3u;
	rq.max_guest = data[4] & 31;
	data += 5;
	bytes -= 5;
	rq.off = off;
	rq.n_words = (PAGE_BYTES - off) / 4;
	if (rq.n_words > bytes / 4)
		rq.n_words = (uint32_t)(bytes / 4);
	if (!rq.n_words)
		return 0;
	memcpy(words, data, 4 * (size_t)rq.n_words);
	rq.words = words;
	rq.abs_page = rq.mode & MODE_ABS ? 0x80123000u : 0;
	for (uint32_t i = 0; i < rq.n_words && i < 8; i++) {
		frontend_decode(frontend, words[i]);
		frontend_disasm(frontend, 0x80123000u + off + 4 * i, words[i], text, sizeof(text));
		if (!memchr(text, 0, sizeof(text)) || !text[0])
			panic("no text for %08x", words[i]);
	}
	if (frontend_lift(frontend, &arena, &rq, &block) == LIFT_NEEDS_SLOT) {
		rq.slot = &slot;
		if (frontend_lift(frontend, &arena, &rq, &block) != LIFT_OK)
			panic("the slot was given");
	}
	/* In builds with DISCO_ASSERT the verifier runs after every pass. */
	ir_run_passes(block, NULL);
	arena_free(&arena);
	return 0;
}
