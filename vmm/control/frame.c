/* SPDX-License-Identifier: MIT */
#include "vmm/control/frame.h"

enum frame_next frame_byte(struct frame *f, char byte)
{
	if (f->garbage) {
		f->garbage = byte != '\n';
		return f->garbage ? FRAME_MORE : FRAME_GARBAGE;
	}
	if (!f->depth) {
		if (byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n')
			return FRAME_NOTHING;
		f->garbage = byte != '{';
		f->depth = !f->garbage;
		return FRAME_MORE;
	}
	if (f->text) {
		f->text = f->escape || byte != '"';
		f->escape = !f->escape && byte == '\\';
		return FRAME_MORE;
	}
	f->text = byte == '"';
	if (byte == '{' || byte == '[')
		f->depth++;
	else if (byte == '}' || byte == ']')
		f->depth--;
	return f->depth ? FRAME_MORE : FRAME_OBJECT;
}
