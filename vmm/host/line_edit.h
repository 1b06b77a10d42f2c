/* SPDX-License-Identifier: MIT */
#ifndef VMM_LINE_EDIT_H
#define VMM_LINE_EDIT_H

/* Lines from standard input: on a terminal by libedit, with history and completion, else as they come. One thread. */
#include "base/types.h"

struct line_edit;

/* The words that may begin a line, or follow another one, in pairs: before (NULL: none) and the word; NULL, NULL at the end. */
struct line_edit_word {
	const char *before, *word;
};

/* words: outlive it. NULL: the host has no memory left. */
struct line_edit *line_edit_open(const char *prompt, const struct line_edit_word *words);
void line_edit_close(struct line_edit *e);
/* The next line, without its end; good until the next call.  NULL: there is none any more. */
char *line_edit_read(struct line_edit *e);

#endif
