/* SPDX-License-Identifier: MIT */
#ifndef IR_MODE_H
#define IR_MODE_H

/*
 * What a translation is specialised on besides its words: bits of guest_state.mode.  vmm/ recomputes the word
 * whenever Status, FCSR.FR, Debug or the segment of the pc changes.
 */
enum ir_mode {
	MODE_KSU = 3u << 0, /* 0 kernel (or EXL/ERL set), 1 supervisor, 2 user */
	MODE_KERNEL = 0u,
	MODE_SUPERVISOR = 1u,
	MODE_USER = 2u,
	MODE_FR = 1u << 2,  /* Status.FR: 64-bit FPRs */
	MODE_CU1 = 1u << 3, /* Status.CU1: FPU usable */
	MODE_CU0 = 1u << 4, /* Status.CU0: CP0 usable from user mode */
	MODE_BE = 1u << 5,  /* memory is big-endian (Config.BE): words, doublewords and instructions */
	MODE_ERL = 1u << 6, /* Status.ERL: kuseg is unmapped and uncached */
	MODE_FPX = 1u << 7, /* FCSR.Enables, FS or RM is not 0: FP arithmetic goes through helpers */
	/*
	 * The code runs in an unmapped segment: its virtual address never changes, so guest pcs are constants,
	 * and the key also holds the virtual page.  Without it code is position-independent: every pc is
	 * guest_state.pc_page plus a constant.
	 */
	MODE_ABS = 1u << 8,
	/* Status.RE in user mode: bytes and halfwords are at the places of the other byte order, words stay. */
	MODE_RE = 1u << 9,
	/* Others use the memory at the same time: LL, SC and SYNC must mean something to them (frontend/lift_mem.c). */
	MODE_MP = 1u << 10,
	MODE_BITS = 11,
};

#endif
