/* SPDX-License-Identifier: MIT */
#include "vmm/control/frame.h"

enum frame_next frame_byte(struct frame *f, char byte)
{
	bool blank = byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';

	if (f->garbage) {
		f->garbage = !blank;
		return f->garbage ? FRAME_MORE : FRAME_GARBAGE;
	}
	if (f->text) {
		f->text = f->escape || byte != '"';
		f->escape = !f->escape && byte == '\\';
		return f->text || f->depth ? FRAME_MORE : FRAME_OBJECT;
	}
	if (!f->depth) {
		if (blank)
			return FRAME_NOTHING;
		f->depth = byte == '{' || byte == '[';
		f->text = byte == '"';
		f->garbage = !f->depth && !f->text;
		return FRAME_MORE;
	}
	f->text = byte == '"';
	if (byte == '{' || byte == '[')
		f->depth++;
	else if (byte == '}' || byte == ']')
		f->depth--;
	return f->depth ? FRAME_MORE : FRAME_OBJECT;
}
