/* SPDX-License-Identifier: MIT */
#ifndef VMM_SYMBOLS_INTERNAL_H
#define VMM_SYMBOLS_INTERNAL_H

/* Between the files of vmm/look/ that find symbols. */
#include "vmm/look/symbols.h"

struct symbol {
	uint32_t address, bytes; /* bytes 0: not known */
	uint32_t name;           /* offset into the text of all names */
	bool code, global;
};

/* sym.name is filled in here.  A name that is not fit to be shown is passed over.  0, -ENOMEM, -E2BIG. */
MUST_CHECK int symbols_add(struct symbols *s, struct symbol sym, const char *name, size_t len);

#endif
