/* SPDX-License-Identifier: MIT */
#ifndef BASE_BUILD_ID_H
#define BASE_BUILD_ID_H

#include <stddef.h>
#include <stdint.h>

enum { BUILD_ID_MAX = 64 };

/*
 * What tells this build of the program from all others: the linker's hash of it (an ELF note).  Returns its bytes in id; 0: the program has
 * none.  Any thread.  Cost: a walk over the program's headers.
 */
size_t build_id(uint8_t id[BUILD_ID_MAX]);

#endif
