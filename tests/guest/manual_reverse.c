/* SPDX-License-Identifier: MIT */
/*
 * Status.RE (volume III, "Status register"; pseudo code of the loads and stores in volume II): in user mode bytes and
 * halfwords change places within their word, LWL, LWR, SWL and SWR count from the other end, and words, doublewords and
 * instructions are as they were.  So with RE everything is as an access of the other byte order sees words that were written
 * by this one: byte n of a word is byte n ^ 3 without it.
 */
#include "tests/guest/manual.h"

static volatile uint8_t *data_byte(uint32_t i) { return (volatile uint8_t *)manual_data + i; }

static bool big_endian(void)
{
	uint32_t one = 1;

	return *(volatile uint8_t *)&one == 0;
}

/* Run one instruction in user mode with RE, off A0. */
static void run(uint32_t word, uint32_t status, uint32_t base, uint32_t t0)
{
	uint32_t gpr[32] = {[A0] = base, [T0] = t0};

	manual_put(0, word);
	manual_put(1, ADDIU(T1, ZERO, 6));
	manual_put(2, SYSCALL(1));
	guest_run(MANUAL_CODE_VA, status, gpr);
}

static void fill(void)
{
	for (uint32_t i = 0; i < 32; i++)
		*data_byte(i) = 0x81 + 7 * i;
}

static const uint32_t re_user = STATUS_KERNEL | STATUS_USER | STATUS_RE;

static void check(const char *what, uint32_t want)
{
	put_text(what);
	put_check("", TRAP_CODE == EXC_SYS && trap.gpr[T1] == 6 && trap.gpr[T0] == want, trap.gpr[T0]);
}

static uint32_t half(uint32_t at)
{
	uint32_t first = *data_byte(at), second = *data_byte(at + 1);

	return big_endian() ? first << 8 | second : second << 8 | first;
}

static void loads(void)
{
	for (uint32_t i = 0; i < 8; i++) {
		run(LB(T0, i, A0), re_user, MANUAL_DATA_VA, 0);
		check("re lb", (uint32_t)(int8_t)*data_byte(i ^ 3));
		run(LBU(T0, 0, A0), re_user, MANUAL_DATA_VA + i, 0);
		check("re lbu", *data_byte(i ^ 3));
		if (i & 1)
			continue;
		run(LH(T0, i, A0), re_user, MANUAL_DATA_VA, 0);
		check("re lh", (uint32_t)(int16_t)half(i ^ 2));
		run(LHU(T0, 0, A0), re_user, MANUAL_DATA_VA + i, 0);
		check("re lhu", half(i ^ 2));
	}
	run(LW(T0, 4, A0), re_user, MANUAL_DATA_VA, 0);
	check("re lw", manual_data[1]);
	run(LL(T0, 4, A0), re_user, MANUAL_DATA_VA, 0);
	check("re ll", manual_data[1]);
}

/* As an access of the other byte order: the part of the word from the address to its end (LWL) or start (LWR). */
static void unaligned_loads(void)
{
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t m = manual_data[0], r = 0xa1b2c3d4,
			 byte = big_endian() ? i : i ^ 3; /* vAddr xor BigEndianCPU */
		uint32_t left = 24 - 8 * byte, right = 8 * byte;

		run(LWL(T0, i, A0), re_user, MANUAL_DATA_VA, r);
		check("re lwl", m << left | (left ? r & ((1u << left) - 1) : 0));
		run(LWR(T0, i, A0), re_user, MANUAL_DATA_VA, r);
		check("re lwr", right ? m >> right | (r & ~(~0u >> right)) : m);
		run(SWL(T0, i, A0), re_user, MANUAL_DATA_VA, r);
		put_text("re swl");
		put_check("", manual_data[0] == ((left ? m & ~(~0u >> left) : 0) | r >> left), manual_data[0]);
		manual_data[0] = m;
		run(SWR(T0, i, A0), re_user, MANUAL_DATA_VA, r);
		put_text("re swr");
		put_check("", manual_data[0] == ((m & ((1u << right) - 1)) | r << right), manual_data[0]);
		manual_data[0] = m;
	}
}

static void stores(void)
{
	for (uint32_t i = 0; i < 8; i++) {
		bool ok = true;

		fill();
		run(SB(T0, i, A0), re_user, MANUAL_DATA_VA, 0x42);
		for (uint32_t k = 0; k < 8; k++)
			ok = ok && *data_byte(k) == (k == (i ^ 3) ? 0x42 : (uint8_t)(0x81 + 7 * k));
		put_check("re sb", ok, manual_data[i / 4]);
		if (i & 1)
			continue;
		fill();
		run(SH(T0, i, A0), re_user, MANUAL_DATA_VA, 0x1234);
		put_check("re sh",
			  half(i ^ 2) == 0x1234 &&
			      half(i) == (big_endian() ? (0x81 + 7 * i) << 8 | ((0x88 + 7 * i) & 0xff)
						       : (0x81 + 7 * i) | (0x88 + 7 * i) << 8),
			  manual_data[i / 4]);
	}
	fill();
	run(SW(T0, 8, A0), re_user, MANUAL_DATA_VA, 0x12345678);
	put_check("re sw", manual_data[2] == 0x12345678, manual_data[2]);
}

static void doubles(void)
{
	manual_put(0, LDC1(20, 0, A0));
	manual_put(1, SDC1(20, 8, A0));
	manual_put(2, LWC1(20, 4, A0));
	manual_put(3, SWC1(20, 16, A0));
	manual_put(4, SYSCALL(1));
	fill();
	guest_run(MANUAL_CODE_VA, re_user, (uint32_t[32]){[A0] = MANUAL_DATA_VA});
	put_check("re ldc1, sdc1",
		  TRAP_CODE == EXC_SYS && manual_data[2] == manual_data[0] && manual_data[3] == manual_data[1],
		  manual_data[2]);
	put_check("re lwc1, swc1", manual_data[4] == manual_data[1], manual_data[4]);
}

/* BadVAddr is what the instruction names, not where it would have gone. */
static void faults(void)
{
	static const struct {
		const char *name;
		uint32_t word, base, code, vector;
	} t[] = {
	    {"re lb refill", LB(T0, 1, A0), MANUAL_NONE_VA, EXC_TLBL, 0},
	    {"re lbu invalid", LBU(T0, 1, A0), MANUAL_INVALID_VA, EXC_TLBL, 0x180},
	    {"re lh refill", LH(T0, 2, A0), MANUAL_NONE_VA, EXC_TLBL, 0},
	    {"re lhu odd", LHU(T0, 1, A0), MANUAL_DATA_VA, EXC_ADEL, 0x180},
	    {"re lh odd", LH(T0, 3, A0), MANUAL_DATA_VA, EXC_ADEL, 0x180},
	    {"re lw odd", LW(T0, 2, A0), MANUAL_DATA_VA, EXC_ADEL, 0x180},
	    {"re lb kernel", LB(T0, 2, A0), 0x80000000, EXC_ADEL, 0x180},
	    {"re sb refill", SB(T0, 3, A0), MANUAL_NONE_VA, EXC_TLBS, 0},
	    {"re sb modified", SB(T0, 1, A0), MANUAL_RO_VA, EXC_MOD, 0x180},
	    {"re sh odd", SH(T0, 1, A0), MANUAL_DATA_VA, EXC_ADES, 0x180},
	    {"re sh refill", SH(T0, 2, A0), MANUAL_NONE_VA, EXC_TLBS, 0},
	    {"re lwl refill", LWL(T0, 2, A0), MANUAL_NONE_VA, EXC_TLBL, 0},
	    {"re swr modified", SWR(T0, 3, A0), MANUAL_RO_VA, EXC_MOD, 0x180},
	};

	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		uint32_t bad = t[i].base + (t[i].word & 0xffff);

		run(t[i].word, re_user, t[i].base, 0x77);
		put_check(t[i].name,
			  TRAP_CODE == t[i].code && trap.vector == t[i].vector && trap.badvaddr == bad &&
			      trap.gpr[T0] == 0x77,
			  trap.badvaddr);
	}
}

/* Only user mode is reversed: not the kernel, not under EXL. */
static void elsewhere(void)
{
	uint32_t gpr[32] = {[A0] = MANUAL_DATA_VA, [T8] = re_user | STATUS_EXL};

	fill();
	run(LBU(T0, 1, A0), STATUS_KERNEL | STATUS_RE, MANUAL_DATA_VA, 0);
	check("re kernel", *data_byte(1));
	manual_put(0, MTC0(T8, 12));
	manual_put(1, EHB);
	manual_put(2, LBU(T0, 1, A0));
	manual_put(3, SYSCALL(1));
	guest_run(MANUAL_CODE_VA, STATUS_KERNEL, gpr);
	put_check("re exl", trap.gpr[T0] == *data_byte(1), trap.gpr[T0]);
	run(LBU(T0, 1, A0), STATUS_KERNEL | STATUS_USER, MANUAL_DATA_VA, 0); /* the same code, without */
	check("re off", *data_byte(1));
	run(LBU(T0, 1, A0), re_user, MANUAL_DATA_VA, 0);
	check("re on", *data_byte(1 ^ 3));
}

void manual_reverse(void)
{
	WRITE_C0(12, 0, STATUS_KERNEL | STATUS_RE);
	put_check("re can be set", READ_C0(12, 0) & STATUS_RE, READ_C0(12, 0));
	WRITE_C0(12, 0, STATUS_KERNEL);
	fill();
	loads();
	unaligned_loads();
	stores();
	doubles();
	faults();
	elsewhere();
}
