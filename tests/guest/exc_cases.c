/* SPDX-License-Identifier: MIT */
#include "tests/guest/exc_cases.h"

#include "tests/guest/words.h"

/*
 * Not here, because QEMU 7.2 does not do what the manual says, or the two differ where the manual leaves a choice:
 *  - SC without an LL of the same address in front: QEMU fails it before it looks at the address (no TLBS, no AdES).
 *  - COP2 moves and branches: QEMU raises RI for words of opcode COP2, CpU(2) only for the loads and stores.
 *  - CpU(3): release 2 has COP1X in the place of coprocessor 3 (volume I, table "opcode field"), which is CpU(1).
 *  - Watch, machine check, cache error, EJTAG: no CPU model of Disco has them.
 *  - DSP, MT and MIPS16 words, which are RI on Disco's 34Kf: QEMU's 34Kf has these extensions.
 *  - After AdEL and AdES the manual leaves EntryHi.VPN2 and Context undefined: not printed.
 */
#define USER         .status = STATUS_USER
#define EXL          .pre = MTC0(T8, 12), .t8 = STATUS_KERNEL | STATUS_EXL
#define FPE(enables) .fcsr = (enables) << 7
enum { FE_I = 1, FE_U = 2, FE_O = 4, FE_Z = 8, FE_V = 16 };

#define DATA_LOADS(kind, base, off)                                                                                    \
	{.name = kind ".lb", .word = LB(T0, off, base)}, {.name = kind ".lbu", .word = LBU(T0, off, base)},            \
	    {.name = kind ".lh", .word = LH(T0, off, base)}, {.name = kind ".lhu", .word = LHU(T0, off, base)},        \
	    {.name = kind ".lw", .word = LW(T0, off, base)}, {.name = kind ".lwl", .word = LWL(T0, (off) + 2, base)},  \
	    {.name = kind ".lwr", .word = LWR(T0, (off) + 1, base)}, {.name = kind ".ll", .word = LL(T0, off, base)},  \
	    {.name = kind ".lwc1", .word = LWC1(20, off, base)}, {.name = kind ".ldc1", .word = LDC1(20, off, base)},  \
	{                                                                                                              \
		.name = kind ".lw0", .word = LW(ZERO, off, base)                                                       \
	}
#define DATA_STORES(kind, base, off)                                                                                   \
	{.name = kind ".sb", .word = SB(T0, off, base)}, {.name = kind ".sh", .word = SH(T0, off, base)},              \
	    {.name = kind ".sw", .word = SW(T0, off, base)}, {.name = kind ".swl", .word = SWL(T0, (off) + 2, base)},  \
	    {.name = kind ".swr", .word = SWR(T0, (off) + 1, base)},                                                   \
	    {.name = kind ".swc1", .word = SWC1(20, off, base)},                                                       \
	{                                                                                                              \
		.name = kind ".sdc1", .word = SDC1(20, off, base)                                                      \
	}

const struct exc_case exc_cases[] = {
    /* TLB: refill (offset 0), invalid, modified (0x180) */
    DATA_LOADS("TLBL.refill", A2, 0x128),
    DATA_STORES("TLBS.refill", A2, 0x128),
    DATA_LOADS("TLBL.invalid", A3, 0x248),
    DATA_STORES("TLBS.invalid", A3, 0x248),
    DATA_STORES("Mod", A1, 0x368),
    {.name = "Mod.sc", .pre = LL(T1, 0x40, A1), .word = SC(T0, 0x40, A1)},
    {.name = "Mod.last", .word = SW(T0, 0xffc, A1)},
    {.name = "TLBL.refill.user", .word = LW(T0, 4, A2), USER},
    {.name = "TLBS.refill.user", .word = SW(T0, 4, A2), USER},
    {.name = "TLBL.invalid.user", .word = LW(T0, 4, A3), USER},
    {.name = "Mod.user", .word = SW(T0, 4, A1), USER},
    {.name = "TLBL.refill.exl", .word = LW(T0, 8, A2), EXL},
    {.name = "TLBS.refill.exl", .word = SW(T0, 8, A2), EXL},
    {.name = "TLBL.invalid.exl", .word = LW(T0, 8, A3), EXL},
    {.name = "Mod.exl", .word = SW(T0, 8, A1), EXL},

    /* address errors */
    {.name = "AdEL.lw1", .word = LW(T0, 1, A0)},
    {.name = "AdEL.lw2", .word = LW(T0, 2, A0)},
    {.name = "AdEL.lh", .word = LH(T0, 3, A0)},
    {.name = "AdEL.lhu", .word = LHU(T0, 1, A0)},
    {.name = "AdEL.ll", .word = LL(T0, 2, A0)},
    {.name = "AdEL.lwc1", .word = LWC1(20, 2, A0)},
    {.name = "AdEL.ldc1", .word = LDC1(20, 4, A0)},
    {.name = "AdES.sw", .word = SW(T0, 1, A0)},
    {.name = "AdES.sh", .word = SH(T0, 1, A0)},
    {.name = "AdES.swc1", .word = SWC1(20, 1, A0)},
    {.name = "AdES.sdc1", .word = SDC1(20, 4, A0)},
    {.name = "AdEL.none", .word = LW(T0, 2, A2)}, /* before the TLB is asked */
    {.name = "AdES.ro", .word = SW(T0, 2, A1)},
    {.name = "AdEL.page_end", .word = LW(T0, 0xffe, A0)},
    {.name = "AdEL.user.lw", .word = LW(T0, 0, S4), USER},
    {.name = "AdEL.user.lb", .word = LB(T0, 1, S4), USER},
    {.name = "AdES.user.sw", .word = SW(T0, 0, S4), USER},
    {.name = "AdES.user.sb", .word = SB(T0, 1, S4), USER},
    {.name = "AdEL.user.last", .word = LW(T0, 1, S0), USER}, /* 0x80000000 */
    {.name = "AdEL.exl", .word = LW(T0, 2, A0), EXL},

    /* bus errors: a valid page where nothing answers */
    {.name = "DBE.lw", .word = LW(T0, 0x10, S5)},
    {.name = "DBE.lb", .word = LB(T0, 0x11, S5)},
    {.name = "DBE.lwc1", .word = LWC1(20, 0x14, S5)},
    {.name = "DBE.sw", .word = SW(T0, 0x10, S5)},
    {.name = "DBE.sb", .word = SB(T0, 0x13, S5)},

    /* system call, breakpoint, reserved */
    {.name = "Sys", .word = SYSCALL(0)},
    {.name = "Sys.code", .word = SYSCALL(0xabcde)},
    {.name = "Sys.user", .word = SYSCALL(1), USER},
    {.name = "Sys.exl", .word = SYSCALL(2), EXL},
    {.name = "Bp", .word = BREAK(0)},
    {.name = "Bp.code", .word = BREAK(0x7c007)},
    {.name = "Bp.user", .word = BREAK(3), USER},
    {.name = "RI.special", .word = 0x0000003f},
    {.name = "RI.daddu", .word = 0x0109502d},
    {.name = "RI.ld", .word = 0xdc880000},
    {.name = "RI.sd", .word = 0xfc880000},
    {.name = "RI.regimm", .word = 0x041d0000},
    {.name = "RI.lwu", .word = 0x9c880000},
    {.name = "RI.cop1_fmt", .word = W_FP(23, 4, 2, 20, 0)},
    {.name = "RI.cop1_function", .word = W_FP(FMT_S, 4, 2, 20, 0x3f & 0x17)},
    {.name = "RI.user", .word = 0x0000003f, USER},
    {.name = "RI.rdhwr_user", .word = RDHWR(T0, 29), USER},
    {.name = "RI.rdhwr_user0", .word = RDHWR(T0, 0), USER},
    {.name = "RI.exl", .word = 0x0000003f, EXL},

    /* coprocessor unusable */
    {.name = "CpU0.mfc0", .word = MFC0(T0, 12), USER, .no_cu1 = true},
    {.name = "CpU0.mtc0", .word = MTC0(T0, 12), USER},
    {.name = "CpU0.tlbwi", .word = TLBWI, USER},
    {.name = "CpU0.eret", .word = ERET, USER},
    {.name = "CpU0.wait", .word = WAIT, USER},
    {.name = "CpU0.cache", .word = CACHE(0x15, 0, A0), USER},
    {.name = "CpU0.di", .word = DI(T0), USER},
    {.name = "CpU0.ei", .word = EI(T0), USER},
    {.name = "CpU1.add_s", .word = W_FP(FMT_S, 0, 0, 20, 0), .no_cu1 = true},
    {.name = "CpU1.lwc1", .word = LWC1(20, 0, A0), .no_cu1 = true},
    {.name = "CpU1.lwc1_none", .word = LWC1(20, 0, A2), .no_cu1 = true}, /* before the address is looked at */
    {.name = "CpU1.sdc1", .word = SDC1(20, 0, A0), .no_cu1 = true},
    {.name = "CpU1.mfc1", .word = W_COP(17, 0, T0, 20, 0), .no_cu1 = true},
    {.name = "CpU1.cfc1", .word = W_COP(17, 2, T0, 31, 0), .no_cu1 = true},
    {.name = "CpU1.ctc1", .word = W_COP(17, 6, T0, 31, 0), .no_cu1 = true},
    {.name = "CpU1.movf", .word = W_R(T1, 0, T0, 0, 1), .no_cu1 = true},
    {.name = "CpU1.user", .word = W_FP(FMT_D, 12, 12, 20, 2), .no_cu1 = true, USER},
    {.name = "CpU1.exl", .word = W_FP(FMT_S, 0, 0, 20, 0), .pre = MTC0(T8, 12), .t8 = STATUS_EXL, .no_cu1 = true},
    {.name = "CpU2.lwc2", .word = LWC2(T0, 0, A0)},
    {.name = "CpU2.sdc2", .word = SDC2(T0, 0, A0)},
    {.name = "CpU2.swc2_user", .word = SWC2(T0, 0, A0), USER},
    {.name = "CpU2.ldc2_none", .word = LDC2(T0, 0, A2)},

    /* overflow: 0x7fffffff + 1, 0x80000000 - 1, 0x80000000 + -1 */
    {.name = "Ov.add", .word = ADD(T0, S0, S1)},
    {.name = "Ov.add_neg", .word = ADD(T0, S2, S3)},
    {.name = "Ov.addi", .word = ADDI(T0, S0, 1)},
    {.name = "Ov.addi_same", .word = ADDI(S2, S2, 0xffff)},
    {.name = "Ov.sub", .word = SUB(T0, S2, S1)},
    {.name = "Ov.sub_pos", .word = SUB(T0, S0, S3)},
    {.name = "Ov.user", .word = ADD(T0, S0, S0), USER},
    {.name = "Ov.exl", .word = ADD(T0, S0, S0), EXL},
    {.name = "Ov.none.add", .word = ADD(T0, S0, S2)},
    {.name = "Ov.none.addu", .word = ADDU(T0, S0, S1)},

    /* traps, taken and not */
    {.name = "Tr.tge", .word = TRAP(0x30, S0, S2)},
    {.name = "Tr.tge_equal", .word = TRAP(0x30, S0, S0)},
    {.name = "Tr.tge_not", .word = TRAP(0x30, S2, S0)},
    {.name = "Tr.tgeu", .word = TRAP(0x31, S2, S0)},
    {.name = "Tr.tgeu_not", .word = TRAP(0x31, S0, S2)},
    {.name = "Tr.tlt", .word = TRAP(0x32, S2, S0)},
    {.name = "Tr.tltu", .word = TRAP(0x33, S0, S2)},
    {.name = "Tr.tltu_not", .word = TRAP(0x33, S0, S0)},
    {.name = "Tr.teq", .word = TRAP(0x34, S1, S1)},
    {.name = "Tr.tne", .word = TRAP(0x36, S1, S0)},
    {.name = "Tr.tne_not", .word = TRAP(0x36, S1, S1)},
    {.name = "Tr.tgei", .word = TRAPI(8, S1, 0xffff)},
    {.name = "Tr.tgeiu", .word = TRAPI(9, S3, 0xffff)},
    {.name = "Tr.tlti", .word = TRAPI(10, S2, 0)},
    {.name = "Tr.tltiu", .word = TRAPI(11, S0, 0x8000)},
    {.name = "Tr.teqi", .word = TRAPI(12, S3, 0xffff)},
    {.name = "Tr.tnei", .word = TRAPI(14, S3, 0xfffe)},
    {.name = "Tr.user", .word = TRAP(0x34, S1, S1), USER},

    /* floating point, single and double */
    {.name = "FPE.V.div_s", .word = W_FP(FMT_S, 2, 2, 20, 3), FPE(FE_V)},
    {.name = "FPE.Z.div_s", .word = W_FP(FMT_S, 2, 0, 20, 3), FPE(FE_Z)},
    {.name = "FPE.O.mul_s", .word = W_FP(FMT_S, 4, 4, 20, 2), FPE(FE_O)},
    {.name = "FPE.I.mul_s", .word = W_FP(FMT_S, 4, 4, 20, 2), FPE(FE_I)},
    {.name = "FPE.U.mul_s", .word = W_FP(FMT_S, 6, 6, 20, 2), FPE(FE_U)},
    {.name = "FPE.V.add_s_snan", .word = W_FP(FMT_S, 8, 0, 20, 0), FPE(FE_V)},
    {.name = "FPE.none.add_s_qnan", .word = W_FP(FMT_S, 16, 0, 20, 0), FPE(FE_V)},
    {.name = "FPE.V.sqrt_s", .word = W_FP(FMT_S, 0, 10, 20, 4), FPE(FE_V)},
    {.name = "FPE.V.cvt_w_s", .word = W_FP(FMT_S, 0, 4, 20, 0x24), FPE(FE_V)},
    {.name = "FPE.V.c_lt_s", .word = W_FP(FMT_S, 16, 0, 0, 0x3c), FPE(FE_V)},
    {.name = "FPE.none.c_eq_s", .word = W_FP(FMT_S, 16, 0, 0, 0x32), FPE(FE_V)},
    {.name = "FPE.Z.div_d", .word = W_FP(FMT_D, 14, 12, 20, 3), FPE(FE_Z)},
    {.name = "FPE.V.div_d", .word = W_FP(FMT_D, 14, 14, 20, 3), FPE(FE_V)},
    {.name = "FPE.none.Z", .word = W_FP(FMT_S, 2, 0, 20, 3), FPE(FE_V)},
    {.name = "FPE.ctc1", .word = W_COP(17, 6, T8, 31, 0), .t8 = 1u << 15 | 1u << 10},
    {.name = "FPE.ctc1_E", .word = W_COP(17, 6, T8, 31, 0), .t8 = 1u << 17},
    {.name = "FPE.user", .word = W_FP(FMT_S, 2, 0, 20, 3), FPE(FE_Z), USER},
    {.name = "FPE.exl", .word = W_FP(FMT_S, 2, 0, 20, 3), FPE(FE_Z), EXL},
};
const unsigned exc_num_cases = ARRAY_LEN(exc_cases);
