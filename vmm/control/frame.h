/* SPDX-License-Identifier: MIT */
#ifndef VMM_CONTROL_FRAME_H
#define VMM_CONTROL_FRAME_H

/* Where a JSON object, array or text in a stream of bytes ends, without knowing what is in it. Each byte is looked at once. */
#include <stddef.h>

#include "base/types.h"

/* All zeroes at first. */
struct frame {
	unsigned depth;
	bool text, escape; /* in a string; behind a backslash there */
	bool garbage;      /* what is none of these: until the next blank */
};

enum frame_next {
	FRAME_MORE,    /* the byte belongs to what is not whole yet */
	FRAME_NOTHING, /* the byte is between objects */
	FRAME_OBJECT,  /* the byte is the last of one */
	FRAME_GARBAGE, /* the byte is behind something that is none */
};
enum frame_next frame_byte(struct frame *f, char byte);

#endif
