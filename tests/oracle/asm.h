/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ORACLE_ASM_H
#define TESTS_ORACLE_ASM_H

/* The few MIPS32 instructions that the guest side of the oracle and the generator's sequences are written in. */
#include <stdint.h>

#include "frontend/cp0.h"

#define I_TYPE(op, rs, rt, imm)                                                                                        \
	((uint32_t)(op) << 26 | (uint32_t)(rs) << 21 | (uint32_t)(rt) << 16 | ((uint32_t)(imm)&0xffffu))
#define R_TYPE(rs, rt, rd, sa, fn)                                                                                     \
	((uint32_t)(rs) << 21 | (uint32_t)(rt) << 16 | (uint32_t)(rd) << 11 | (uint32_t)(sa) << 6 | (uint32_t)(fn))

enum { A_NOP = 0, A_EHB = 0xc0, A_ERET = 0x42000018, A_TLBWI = 0x42000002 };

#define A_ADDIU(rt, rs, imm)  I_TYPE(0x09, rs, rt, imm)
#define A_ANDI(rt, rs, imm)   I_TYPE(0x0c, rs, rt, imm)
#define A_ORI(rt, rs, imm)    I_TYPE(0x0d, rs, rt, imm)
#define A_LUI(rt, imm)        I_TYPE(0x0f, 0, rt, imm)
#define A_AND(rd, rs, rt)     R_TYPE(rs, rt, rd, 0, 0x24)
#define A_XOR(rd, rs, rt)     R_TYPE(rs, rt, rd, 0, 0x26)
#define A_J(va)               (0x08000000u | ((va) >> 2 & 0x3ffffffu))
#define A_JAL(va)             (0x0c000000u | ((va) >> 2 & 0x3ffffffu))
#define A_BAL                 I_TYPE(0x01, 0, 0x11, 0)
#define A_JR(rs)              R_TYPE(rs, 0, 0, 0, 0x08)
#define A_BEQ(rs, rt, off)    I_TYPE(0x04, rs, rt, off)
#define A_BNE(rs, rt, off)    I_TYPE(0x05, rs, rt, off)
#define A_BGTZ(rs, off)       I_TYPE(0x07, rs, 0, off)
#define A_LW(rt, off, base)   I_TYPE(0x23, base, rt, off)
#define A_SW(rt, off, base)   I_TYPE(0x2b, base, rt, off)
#define A_LL(rt, off, base)   I_TYPE(0x30, base, rt, off)
#define A_SC(rt, off, base)   I_TYPE(0x38, base, rt, off)
#define A_LDC1(ft, off, base) I_TYPE(0x35, base, ft, off)
#define A_SDC1(ft, off, base) I_TYPE(0x3d, base, ft, off)
#define A_MFHI(rd)            R_TYPE(0, 0, rd, 0, 0x10)
#define A_MTHI(rs)            R_TYPE(rs, 0, 0, 0, 0x11)
#define A_MFLO(rd)            R_TYPE(0, 0, rd, 0, 0x12)
#define A_MTLO(rs)            R_TYPE(rs, 0, 0, 0, 0x13)
#define A_CFC1(rt, fs)        (0x44400000u | (uint32_t)(rt) << 16 | (uint32_t)(fs) << 11)
#define A_CTC1(rt, fs)        (0x44c00000u | (uint32_t)(rt) << 16 | (uint32_t)(fs) << 11)
/* c.un.fmt cc, fs, ft (fmt 16: single, 17: double); bc1t cc */
#define A_C_UN(fmt, cc, fs, ft)                                                                                        \
	(0x44000031u | (uint32_t)(fmt) << 21 | (uint32_t)(ft) << 16 | (uint32_t)(fs) << 11 | (uint32_t)(cc) << 8)
#define A_BC1T(cc) (0x45010000u | (uint32_t)(cc) << 18)
/* index: CP0_INDEX, that is CP0_Status and its like */
#define A_MFC0(rt, index) (0x40000000u | (uint32_t)(rt) << 16 | (uint32_t)((index) / 8) << 11 | (uint32_t)((index) % 8))
#define A_MTC0(rt, index) (0x40800000u | (uint32_t)(rt) << 16 | (uint32_t)((index) / 8) << 11 | (uint32_t)((index) % 8))

#endif
