/* SPDX-License-Identifier: MIT */
#include "jit/fpu_rows.h"

/* clang-format off */
#define BOTH(NAME, ...) [HELPER_FPU_##NAME##_S] = {__VA_ARGS__, .d = false}, [HELPER_FPU_##NAME##_D] = {__VA_ARGS__, .d = true}
const struct fpu_row fpu_rows[NUM_HELPERS] = {
	BOTH(ADD,   .form = FORM_BINARY, .op = SSE_ADD, .n_args = 2),
	BOTH(SUB,   .form = FORM_BINARY, .op = SSE_SUB, .n_args = 2),
	BOTH(MUL,   .form = FORM_BINARY, .op = SSE_MUL, .n_args = 2),
	BOTH(DIV,   .form = FORM_BINARY, .op = SSE_DIV, .n_args = 2),
	BOTH(SQRT,  .form = FORM_SQRT, .n_args = 1),
	BOTH(ABS,   .form = FORM_ABS, .exact = true),
	BOTH(NEG,   .form = FORM_NEG, .exact = true),
	BOTH(RECIP, .form = FORM_RECIP, .n_args = 1),
	BOTH(RSQRT, .form = FORM_RSQRT, .n_args = 1),
	BOTH(MADD,  .form = FORM_MADD, .op = SSE_ADD, .n_args = 3),
	BOTH(MSUB,  .form = FORM_MADD, .op = SSE_SUB, .n_args = 3),
	BOTH(NMADD, .form = FORM_MADD, .op = SSE_ADD, .negates = true, .n_args = 3),
	BOTH(NMSUB, .form = FORM_MADD, .op = SSE_SUB, .negates = true, .n_args = 3),
	BOTH(C,     .form = FORM_COMPARE, .exact = true),
	[HELPER_FPU_CVT_S_D] = {.form = FORM_OTHER, .d = true, .n_args = 1},
	[HELPER_FPU_CVT_D_S] = {.form = FORM_OTHER, .exact = true},
	[HELPER_FPU_CVT_S_W] = {.form = FORM_FROM_INT, .n_args = 1},
	[HELPER_FPU_CVT_S_L] = {.form = FORM_FROM_INT, .wide = true, .n_args = 1},
	[HELPER_FPU_CVT_D_W] = {.form = FORM_FROM_INT, .d = true, .exact = true},
	[HELPER_FPU_CVT_D_L] = {.form = FORM_FROM_INT, .d = true, .wide = true, .n_args = 1},
	[HELPER_FPU_CVT_W_S] = {.form = FORM_TO_INT, .n_args = 2},
	[HELPER_FPU_CVT_W_D] = {.form = FORM_TO_INT, .d = true, .n_args = 2},
	[HELPER_FPU_CVT_L_S] = {.form = FORM_TO_INT, .wide = true, .n_args = 2},
	[HELPER_FPU_CVT_L_D] = {.form = FORM_TO_INT, .d = true, .wide = true, .n_args = 2},
};
/* clang-format on */
