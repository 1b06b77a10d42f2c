/* SPDX-License-Identifier: MIT */
#ifndef VMM_DUMP_DIFF_H
#define VMM_DUMP_DIFF_H

/* `disco dump --diff A B`. */
#include <stdbool.h>

enum { DUMP_DIFF_EQUAL = 0, DUMP_DIFF_DIFFERENT = 1, DUMP_DIFF_TROUBLE = 2 }; /* as of diff(1) */

/* Compare two dumps, on standard output; what is wrong, on standard error.  Returns one of the above, the exit status. */
int dump_diff(const char *a, const char *b, bool json);

#endif
