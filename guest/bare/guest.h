/* SPDX-License-Identifier: MIT */
#ifndef GUEST_BARE_GUEST_H
#define GUEST_BARE_GUEST_H

/*
 * What programs without an operating system share (tests/guest/, bench/micro/): console, end of the machine, and guest_run(), which runs code under test until an
 * exception ends it.  The same ELF runs on QEMU and on Disco; what it prints must be the same.
 */
#include <stdbool.h>
#include <stdint.h>

#define KSEG0(pa)     ((uint32_t)(pa) | 0x80000000u)
#define KSEG1(pa)     ((uint32_t)(pa) | 0xa0000000u)
#define PHYS(p)       ((uint32_t)(uintptr_t)(p)&0x1fffffffu)
#define ARRAY_LEN(a)  (sizeof(a) / sizeof((a)[0]))
#define PAGE          4096u
#define PAGE_ALIGNED  __attribute__((aligned(4096)))
#define STATUS_KERNEL 0x30000000u /* CU1, CU0: as guest_main starts, and after guest_run() */
#define STATUS_CU1    0x20000000u
#define STATUS_CU0    0x10000000u
#define STATUS_USER   0x00000010u
#define STATUS_ERL    0x00000004u
#define STATUS_EXL    0x00000002u
#define STATUS_IE     0x00000001u

enum { EXC_INT = 0, EXC_ADEL = 4, EXC_ADES = 5, EXC_SYS = 8, EXC_CPU = 11 };

/* The exception that came last; layout known to start.S. */
struct trap {
	uint32_t vector; /* address the CPU went to, from 0x80000000 */
	uint32_t cause, epc, badvaddr, entryhi, context, status, errorepc;
	uint32_t hi, lo, fcsr, fpr[2]; /* f20 and f21; these and fcsr only after guest_run() */
	uint32_t gpr[32];              /* not k0, k1 */
};
extern volatile struct trap trap;
#define TRAP_CODE (trap.cause >> 2 & 31)

/* Not NULL: called in exception state (EXL), which then ends by ERET; otherwise an exception ends guest_run(). */
extern void (*volatile trap_resume)(volatile struct trap *t);

/* ERET to pc with this Status and these registers (k0, k1 excepted; HI = LO = 0), until an exception. */
void guest_run(uint32_t pc, uint32_t status, const uint32_t gpr[32]);

/* Each guest's own.  Returning ends the machine.  argv as the boot loader passed it: argv[1] is the command line. */
void guest_main(uint32_t argc, const uint32_t *argv);
void guest_end(void) __attribute__((noreturn));

/* Copy the vector stubs (refill, general, interrupt, vectored interrupts with this spacing) to KSEG0 base. */
void guest_put_vectors(uint32_t base, uint32_t spacing);

void put_char(char c);
void put_text(const char *s);
void put_hex(uint32_t v);
void put_dec(uint32_t v);
/* " name=00000000" */
void put_field(const char *name, uint32_t v);
/* "name: ok" or "name: WRONG", and what was seen. */
void put_check(const char *name, bool ok, uint32_t seen);

/* FNV-1a over words; start with HASH_START. */
#define HASH_START 0x811c9dc5u
uint32_t hash_word(uint32_t h, uint32_t w);
/* xorshift32; *state not 0 */
uint32_t random_next(uint32_t *state);

#define READ_C0(reg, sel)                                                                                              \
	({                                                                                                             \
		uint32_t v_;                                                                                           \
		__asm__ volatile("mfc0 %0, $" #reg ", " #sel : "=r"(v_)::"memory");                                    \
		v_;                                                                                                    \
	})
#define WRITE_C0(reg, sel, value)                                                                                      \
	__asm__ volatile("mtc0 %0, $" #reg ", " #sel "\n\tehb" ::"r"((uint32_t)(value)) : "memory")

/* A TLB entry by index.  mask, hi, lo0, lo1 as in the registers; EntryHi and Index are changed. */
void tlb_put(uint32_t index, uint32_t mask, uint32_t hi, uint32_t lo0, uint32_t lo1);
/* All entries to addresses that match nothing. */
void tlb_clear(void);
uint32_t tlb_entries(void);

#define LO_G             1u
#define LO_V             2u
#define LO_D             4u
#define LO(pa, flags)    ((uint32_t)(pa) >> 6 | 3u << 3 | (flags))
#define TLB_NOWHERE(i)   (0x80000000u + ((uint32_t)(i) << 13)) /* unmapped segment: never looked up */
#define PAGEMASK_4K      0u
#define PAGEMASK_BITS(n) (((1u << (n)) - 1) << 13) /* n = 0, 2, 4 .. 16: 4 KiB .. 256 MiB */

#endif
