/* SPDX-License-Identifier: MIT */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Addresses of a guest (SOSP'97, section 4.2.2).  Mixing them does not compile.
 *
 * gva  guest virtual.  On a 32-bit guest the value is zero-extended.
 * gpa  guest physical; per VM, starts at 0.
 *
 * The paper's third kind, machine addresses, does not occur: a page of machine memory is a struct machine_page (numa/).
 */
struct gva {
	uint64_t v;
};
struct gpa {
	uint64_t v;
};

#define PAGE_SHIFT 12
#define PAGE_BYTES 4096u
#define PAGE_MASK  ((uint64_t)PAGE_BYTES - 1)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline struct gva gva(uint64_t v) { return (struct gva){v}; }
static inline struct gpa gpa(uint64_t v) { return (struct gpa){v}; }

#endif
