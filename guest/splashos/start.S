/* SPDX-License-Identifier: MIT */
/* Where vCPUs begin: the first one from the boot loader, the others from START; and where exceptions end the run. */
#define STATUS 0x30000200 /* CU1, CU0; IM1: a doorbell ends WAIT. No interrupt is taken. */

	.set noreorder
	.set mips32r2

	.section .text.start, "ax"
	.globl _start
_start:
	li	$8, STATUS
	mtc0	$8, $12
	ehb
	ctc1	$0, $31
	lui	$29, %hi(boot_stack_top)
	addiu	$29, $29, %lo(boot_stack_top)
	lui	$28, %hi(_gp)
	addiu	$28, $28, %lo(_gp)
	j	sp_boot
	 nop

	/* $4: number of the thread; $29: its stack */
	.globl sp_begin
sp_begin:
	ctc1	$0, $31
	lui	$28, %hi(_gp)
	addiu	$28, $28, %lo(_gp)
	j	sp_thread
	 nop

	/* sp_boot() copies these words to the vectors. */
	.globl sp_vector
sp_vector:
	lui	$26, %hi(trap)
	addiu	$26, $26, %lo(trap)
	jr	$26
	 nop
trap:
	mfc0	$4, $13
	mfc0	$5, $14
	mfc0	$6, $8
	lui	$29, %hi(trap_stack_top)
	j	sp_trap
	 addiu	$29, $29, %lo(trap_stack_top)

	/* int sp_call(number, a0, a1): a monitor call */
	.text
	.globl sp_call
sp_call:
	move	$2, $4
	move	$4, $5
	move	$5, $6
	.word	0x42000828
	jr	$31
	 nop

	.section .note.Disco, "a"
	.align	2
	.word	6, 0, 1 /* type 1: starts vCPUs */
	.asciz	"Disco"
	.align	2

	.bss
	.align	7
	.space	65536
boot_stack_top: .space 128
	.space	8192
trap_stack_top: .space 128
