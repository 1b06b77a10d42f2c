/* SPDX-License-Identifier: MIT */
#ifndef VMM_LOADER_INTERNAL_H
#define VMM_LOADER_INTERNAL_H

/* Between loader.c and loader_yamon.c. */
#include "vmm/boot/loader.h"

/* Fill err and return code, so that callers can end with it. */
int loader_fail(struct loader_error *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
