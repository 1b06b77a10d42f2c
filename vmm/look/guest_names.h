/* SPDX-License-Identifier: MIT */
#ifndef VMM_GUEST_NAMES_H
#define VMM_GUEST_NAMES_H

/*
 * What a guest's code is called that was found somewhere: the kernel's by its address, that of programs by the contents of its
 * page, since they may be mapped anywhere.
 */
#include "base/panic.h"
#include "base/types.h"
#include "vmm/look/symbols.h"

struct loader_error;
struct guest_names;

#define GUEST_NAMES_MAX_FILES 20000u

/*
 * kernel   image with the kernel's own symbols; listing: further ones, or NULL
 * folder   where the guest's programs are, or NULL; what is no ELF32 MIPS file there is skipped.  option: that named it, for messages
 *
 * Returns  0, or -errno with err filled.
 * Cost     reads the files, and hashes their pages (1 GB/s).
 */
MUST_CHECK int guest_names_open(struct guest_names **out, const char *kernel, const char *listing, const char *folder,
				const char *option, struct loader_error *err);
/* NULL is fine. */
void guest_names_free(struct guest_names *m);
/* The kernel has moved itself up by so much (symbols_set_slide()); 0: it has not. */
void guest_names_set_slide(struct guest_names *m, uint32_t slide);

/* A place of code. */
struct guest_place {
	bool unmapped; /* in a segment that the TLB does not map: its address says all, */
	bool user;
	uint64_t pc;         /* which is this; else the bits of the offset in its page count only */
	uint64_t content[2]; /* XXH3-128 of the page's bytes, low half first */
};

struct guest_named {
	char text[SYMBOLS_TEXT_BYTES]; /* function and offset; else its address in the file, or "page-HASH+0xOFFSET" */
	const char *where;             /* "kernel", the file's name; of no file known: "user", "module" */
	bool known;                    /* it is a function's */
};

/* Cost O(log n). */
void guest_names_find(const struct guest_names *m, const struct guest_place *at, struct guest_named *out);

#endif
