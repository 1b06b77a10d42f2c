/* SPDX-License-Identifier: MIT */
#ifndef TESTS_GUEST_WORDS_H
#define TESTS_GUEST_WORDS_H

/* Instruction words that the guests put together at run time: MIPS32 volume II. */
enum {
	ZERO = 0,
	AT = 1,
	V0 = 2,
	V1 = 3,
	A0 = 4,
	A1 = 5,
	A2 = 6,
	A3 = 7,
	T0 = 8,
	T1 = 9,
	T2 = 10,
	T3 = 11,
	T4 = 12,
	T5 = 13,
	T6 = 14,
	T7 = 15,
	S0 = 16,
	S1 = 17,
	S2 = 18,
	S3 = 19,
	S4 = 20,
	S5 = 21,
	S6 = 22,
	S7 = 23,
	T8 = 24,
	T9 = 25,
	SP = 29,
	RA = 31
};

#define W_I(op, rs, rt, imm)       ((uint32_t)(op) << 26 | (uint32_t)(rs) << 21 | (uint32_t)(rt) << 16 | ((imm)&0xffffu))
#define W_R(rs, rt, rd, sa, f)     ((uint32_t)(rs) << 21 | (uint32_t)(rt) << 16 | (uint32_t)(rd) << 11 | (sa) << 6 | (f))
#define W_COP(op, rs, rt, rd, low) (W_I(op, rs, rt, 0) | (uint32_t)(rd) << 11 | (low))
#define W_FP(fmt, ft, fs, fd, f)   W_COP(17, fmt, ft, fs, (uint32_t)(fd) << 6 | (f))

#define NOP                 0u
#define ADDIU(rt, rs, imm)  W_I(9, rs, rt, imm)
#define ADDI(rt, rs, imm)   W_I(8, rs, rt, imm)
#define ORI(rt, rs, imm)    W_I(13, rs, rt, imm)
#define LUI(rt, imm)        W_I(15, 0, rt, imm)
#define ADDU(rd, rs, rt)    W_R(rs, rt, rd, 0, 0x21)
#define ADD(rd, rs, rt)     W_R(rs, rt, rd, 0, 0x20)
#define SUB(rd, rs, rt)     W_R(rs, rt, rd, 0, 0x22)
#define BEQ(rs, rt, words)  W_I(4, rs, rt, words)
#define BNE(rs, rt, words)  W_I(5, rs, rt, words)
#define BEQL(rs, rt, words) W_I(20, rs, rt, words)
#define BGEZAL(rs, words)   W_I(1, rs, 17, words)
#define BC1T(words)         (0x45010000u | (words))
#define J(va)               (2u << 26 | ((va) >> 2 & 0x3ffffffu))
#define JAL(va)             (3u << 26 | ((va) >> 2 & 0x3ffffffu))
#define JR(rs)              W_R(rs, 0, 0, 0, 8)
#define JALR(rd, rs)        W_R(rs, 0, rd, 0, 9)
#define SYSCALL(code)       ((uint32_t)(code) << 6 | 0x0c)
#define BREAK(code)         ((uint32_t)(code) << 6 | 0x0d)
#define EHB                 0xc0u
#define LB(rt, o, b)        W_I(32, b, rt, o)
#define LH(rt, o, b)        W_I(33, b, rt, o)
#define LWL(rt, o, b)       W_I(34, b, rt, o)
#define LW(rt, o, b)        W_I(35, b, rt, o)
#define LBU(rt, o, b)       W_I(36, b, rt, o)
#define LHU(rt, o, b)       W_I(37, b, rt, o)
#define LWR(rt, o, b)       W_I(38, b, rt, o)
#define SB(rt, o, b)        W_I(40, b, rt, o)
#define SH(rt, o, b)        W_I(41, b, rt, o)
#define SWL(rt, o, b)       W_I(42, b, rt, o)
#define SW(rt, o, b)        W_I(43, b, rt, o)
#define SWR(rt, o, b)       W_I(46, b, rt, o)
#define LL(rt, o, b)        W_I(48, b, rt, o)
#define LWC1(ft, o, b)      W_I(49, b, ft, o)
#define LWC2(rt, o, b)      W_I(50, b, rt, o)
#define LDC1(ft, o, b)      W_I(53, b, ft, o)
#define LDC2(rt, o, b)      W_I(54, b, rt, o)
#define SC(rt, o, b)        W_I(56, b, rt, o)
#define SWC1(ft, o, b)      W_I(57, b, ft, o)
#define SWC2(rt, o, b)      W_I(58, b, rt, o)
#define SDC1(ft, o, b)      W_I(61, b, ft, o)
#define SDC2(rt, o, b)      W_I(62, b, rt, o)
#define MFC0(rt, rd)        W_COP(16, 0, rt, rd, 0)
#define MTC0(rt, rd)        W_COP(16, 4, rt, rd, 0)
#define DI(rt)              W_COP(16, 11, rt, 12, 0)
#define EI(rt)              W_COP(16, 11, rt, 12, 0x20)
#define TLBWI               0x42000002u
#define ERET                0x42000018u
#define WAIT                0x42000020u
#define CACHE(op, o, b)     W_I(47, b, op, o)
#define RDHWR(rt, rd)       (0x7c00003bu | (uint32_t)(rt) << 16 | (uint32_t)(rd) << 11)
#define TRAP(f, rs, rt)     W_R(rs, rt, 0, 0, f) /* f: 0x30 tge, 31 tgeu, 32 tlt, 33 tltu, 34 teq, 36 tne */
#define TRAPI(f, rs, imm)   W_I(1, rs, f, imm)   /* f: 8 tgei, 9 tgeiu, 10 tlti, 11 tltiu, 12 teqi, 14 tnei */
enum { FMT_S = 16, FMT_D = 17, FMT_W = 20 };

#endif
