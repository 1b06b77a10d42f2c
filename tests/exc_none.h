/* SPDX-License-Identifier: MIT */
#ifndef TESTS_EXC_NONE_H
#define TESTS_EXC_NONE_H

/* Beside enum mips_exc (ir/guest_state.h): what tests write for an instruction that raises nothing. */
enum { EXC_NONE = 255 };

#endif
