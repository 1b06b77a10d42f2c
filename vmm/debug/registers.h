/* SPDX-License-Identifier: MIT */
#ifndef VMM_DEBUG_REGISTERS_H
#define VMM_DEBUG_REGISTERS_H

/*
 * The registers as gdb knows them: numbers and names of its features for MIPS (gdb's manual, "MIPS Features"), and all others of
 * frontend/cp0.def behind them.  FPRs have 64 bits; with Status.FR = 0 an even one is the pair, an odd one its upper half.
 */
#include "base/panic.h"
#include "base/types.h"

struct vcpu;

enum { DEBUG_REG_PC = 37, DEBUG_REG_MAX_BYTES = 8 };

unsigned debug_reg_count(void);
unsigned debug_reg_bytes(unsigned n);
void debug_reg_name(unsigned n, char out[16]);
/* The target description, in XML; the caller's to free. NULL: no memory. */
char *debug_target_xml(void);

/* Its machine is at rest: debug_act(). */
uint64_t debug_reg_read(struct vcpu *v, unsigned n);
/* False: it cannot be written. Not from debug_act(), which it may call. */
bool debug_reg_write(struct vcpu *v, unsigned n, uint64_t value);

#endif
