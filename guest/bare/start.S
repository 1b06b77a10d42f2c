/* SPDX-License-Identifier: MIT */
/*
 * Entry, exception vectors, and guest_run(): code under test runs with registers of its own, and whatever exception ends
 * it is recorded in `trap` (guest.h).
 */
#define STATUS_KERNEL 0x30000000 /* CU1, CU0 */
#define T_VECTOR   0
#define T_CAUSE    4
#define T_EPC      8
#define T_BADVADDR 12
#define T_ENTRYHI  16
#define T_CONTEXT  20
#define T_STATUS   24
#define T_ERROREPC 28
#define T_HI       32
#define T_LO       36
#define T_FCSR     40
#define T_FPR      44 /* f20, f21 */
#define T_GPR      52

	.set noreorder
	.set noat
	.set mips32r2

	.section .text.start, "ax"
	.globl _start
_start:
	move	$16, $4
	move	$17, $5
	li	$8, STATUS_KERNEL
	mtc0	$8, $12
	ehb
	lui	$29, %hi(stack_top)
	addiu	$29, $29, %lo(stack_top)
	lui	$28, %hi(_gp)
	addiu	$28, $28, %lo(_gp)
	jal	guest_setup
	 nop
	move	$4, $16
	jal	guest_main
	 move	$5, $17
	jal	guest_end
	 nop

	/* What guest_setup copies to the vectors; the immediate of the last word becomes the vector's offset. */
	.globl vector_stub
vector_stub:
	lui	$27, %hi(trap_entry)
	addiu	$27, $27, %lo(trap_entry)
	jr	$27
	 ori	$26, $0, 0

	.text
	.globl trap_entry
trap_entry:
	lui	$27, %hi(trap)
	addiu	$27, $27, %lo(trap)
	sw	$26, T_VECTOR($27)
	mfc0	$26, $13
	sw	$26, T_CAUSE($27)
	mfc0	$26, $14
	sw	$26, T_EPC($27)
	mfc0	$26, $8
	sw	$26, T_BADVADDR($27)
	mfc0	$26, $10
	sw	$26, T_ENTRYHI($27)
	mfc0	$26, $4
	sw	$26, T_CONTEXT($27)
	mfc0	$26, $12
	sw	$26, T_STATUS($27)
	mfc0	$26, $30
	sw	$26, T_ERROREPC($27)
	.irp r, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,28,29,30,31
	sw	$\r, (T_GPR + 4 * \r)($27)
	.endr
	mfhi	$26
	sw	$26, T_HI($27)
	mflo	$26
	sw	$26, T_LO($27)
	lui	$8, %hi(trap_resume)
	lw	$8, %lo(trap_resume)($8)
	bnez	$8, resume
	 lui	$29, %hi(trap_stack_top)

	/* The end of guest_run(): back to its caller in the kernel's state. */
	li	$26, STATUS_KERNEL | 2
	mtc0	$26, $12
	ehb
	cfc1	$26, $31
	sw	$26, T_FCSR($27)
	mfc1	$26, $f20
	sw	$26, T_FPR($27)
	mfc1	$26, $f21
	sw	$26, (T_FPR + 4)($27)
	ctc1	$0, $31
	lui	$29, %hi(run_sp)
	lw	$29, %lo(run_sp)($29)
	lw	$16, 0($29)
	lw	$17, 4($29)
	lw	$18, 8($29)
	lw	$19, 12($29)
	lw	$20, 16($29)
	lw	$21, 20($29)
	lw	$22, 24($29)
	lw	$23, 28($29)
	lw	$28, 32($29)
	lw	$30, 36($29)
	lw	$31, 40($29)
	addiu	$29, $29, 48
	mtc0	$31, $14
	ehb
	eret

	/* trap_resume(&trap) in exception state, then back to where the exception came from. */
resume:
	addiu	$29, $29, %lo(trap_stack_top)
	lui	$28, %hi(_gp)
	addiu	$28, $28, %lo(_gp)
	jalr	$8
	 move	$4, $27
	lui	$27, %hi(trap)
	addiu	$27, $27, %lo(trap)
	lw	$8, T_HI($27)
	mthi	$8
	lw	$8, T_LO($27)
	mtlo	$8
	.irp r, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,28,29,30,31
	lw	$\r, (T_GPR + 4 * \r)($27)
	.endr
	eret

	/* void guest_run(uint32_t pc, uint32_t status, const uint32_t gpr[32]) */
	.globl guest_run
guest_run:
	addiu	$29, $29, -48
	sw	$16, 0($29)
	sw	$17, 4($29)
	sw	$18, 8($29)
	sw	$19, 12($29)
	sw	$20, 16($29)
	sw	$21, 20($29)
	sw	$22, 24($29)
	sw	$23, 28($29)
	sw	$28, 32($29)
	sw	$30, 36($29)
	sw	$31, 40($29)
	lui	$8, %hi(run_sp)
	sw	$29, %lo(run_sp)($8)
	ori	$5, $5, 2 /* EXL: nothing happens before ERET */
	mtc0	$5, $12
	ehb
	mtc0	$4, $14
	ehb
	mthi	$0
	mtlo	$0
	move	$27, $6
	.irp r, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,28,29,30,31
	lw	$\r, (4 * \r)($27)
	.endr
	eret

	.bss
	.align	3
	.globl trap
trap:	.space	T_GPR + 128
	.globl trap_resume
trap_resume: .space 4
run_sp:	.space	4
	.align	3
	.space	16384
stack_top: .space 64
	.space	8192
trap_stack_top: .space 64
