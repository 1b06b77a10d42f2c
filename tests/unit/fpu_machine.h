/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_FPU_MACHINE_H
#define TESTS_UNIT_FPU_MACHINE_H

/* The least that the IR of one FPU instruction runs on: guest state, helpers, 256 bytes of memory. */
#include <criterion/criterion.h>
#include <string.h>

#include "frontend/fpu.h"
#include "frontend/frontend.h"

#define PROGRAM    0x00010000u
#define DATA       0x00200000u
#define DATA_BYTES 256u

struct machine {
	struct guest_state gs; /* first: helpers cast */
	uint32_t exc;
	uint8_t data[DATA_BYTES];
	helper_fn *helpers[NUM_HELPERS];
	struct frontend *frontend;
	struct arena arena;
};

static inline uint64_t machine_raise(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)
{
	struct machine *m = (struct machine *)gs;
	m->exc = (uint32_t)a & 0xff;
	gs->leave = EXIT_EXCEPTION;
	return 0;
}

static inline uint8_t *machine_data(struct machine *m, uint64_t va, uint64_t meta, uint32_t exc)
{
	uint32_t bytes = META_SIZE(meta);
	if (va & (bytes - 1)) {
		machine_raise(&m->gs, exc, 0, 0);
		return NULL;
	}
	cr_assert(va >= DATA && va + bytes <= DATA + DATA_BYTES, "access at %lx", (unsigned long)va);
	return m->data + (va - DATA);
}

static inline uint64_t machine_load(struct guest_state *gs, uint64_t va, uint64_t meta, uint64_t c)
{
	uint64_t v = 0;
	const uint8_t *p = machine_data((struct machine *)gs, va, meta, EXC_ADEL);
	if (p)
		memcpy(&v, p, META_SIZE(meta));
	if (meta & MEM_BE)
		v = META_SIZE(meta) == 8 ? __builtin_bswap64(v) : __builtin_bswap32((uint32_t)v);
	return v;
}

static inline uint64_t machine_store(struct guest_state *gs, uint64_t va, uint64_t v, uint64_t meta)
{
	uint8_t *p = machine_data((struct machine *)gs, va, meta, EXC_ADES);
	if (meta & MEM_BE)
		v = META_SIZE(meta) == 8 ? __builtin_bswap64(v) : __builtin_bswap32((uint32_t)v);
	if (p)
		memcpy(p, &v, META_SIZE(meta));
	return 0;
}

static inline void machine_open(struct machine *m)
{
	memset(m, 0, sizeof(*m));
	fpu_helpers_fill(m->helpers);
	m->helpers[HELPER_RAISE] = machine_raise;
	m->helpers[HELPER_MEM_LOAD] = machine_load;
	m->helpers[HELPER_MEM_STORE] = machine_store;
	m->gs.helpers = m->helpers;
	m->gs.fcr0 = 0x00739300;
	m->frontend = frontend_new(ISA_MIPS32R1 | ISA_MIPS32R2 | ISA_FPU);
	cr_assert_not_null(m->frontend);
}

static inline void machine_close(struct machine *m)
{
	frontend_free(m->frontend);
	arena_free(&m->arena);
}

static inline struct ir_block *machine_lift(struct machine *m, uint32_t mode, const uint32_t *words, uint32_t n)
{
	struct ir_block *b;
	struct lift_request rq = {.mode = mode | MODE_ABS, .abs_page = PROGRAM, .words = words, .n_words = n};
	rq.max_guest = 1;
	arena_reset(&m->arena);
	cr_assert_eq(frontend_lift(m->frontend, &m->arena, &rq, &b), LIFT_OK);
	const char *wrong = ir_verify(b);
	cr_assert_null(wrong, "%08x: %s", words[0], wrong);
	return b;
}

#endif
