/* SPDX-License-Identifier: MIT */
#include "vmm/host/line_edit.h"

#include <histedit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEPT_LINES = 1000 };

struct line_edit {
	EditLine *el; /* NULL: standard input is no terminal */
	History *history;
	char prompt[64];
	const struct line_edit_word *words;
	char *line;
	size_t room;
};

static struct line_edit *of(EditLine *el)
{
	struct line_edit *e;

	el_get(el, EL_CLIENTDATA, &e);
	return e;
}

static char *prompt(EditLine *el) { return of(el)->prompt; }

/* The word that the cursor is in, and the one before it; of the line up to there. */
static const char *words_at(const LineInfo *at, size_t *n, const char **before, size_t *before_n)
{
	const char *word = at->cursor, *end;

	while (word > at->buffer && word[-1] != ' ')
		word--;
	*n = (size_t)(at->cursor - word);
	for (end = word; end > at->buffer && end[-1] == ' '; end--)
		;
	for (*before = end; *before > at->buffer && (*before)[-1] != ' '; (*before)--)
		;
	*before_n = (size_t)(end - *before);
	return word;
}

static bool fits(const struct line_edit_word *w, const char *word, size_t n, const char *before, size_t before_n)
{
	if (strncmp(w->word, word, n) != 0)
		return false;
	return w->before ? strlen(w->before) == before_n && strncmp(w->before, before, before_n) == 0 : !before_n;
}

/* As far as all that fit are the same; the only one with a blank behind it. */
static unsigned char complete(EditLine *el, int key)
{
	const struct line_edit *e = of(el);
	const char *before, *first = NULL, *word;
	size_t n, before_n, same = 0;
	unsigned many = 0;
	char more[64];

	word = words_at(el_line(el), &n, &before, &before_n);
	for (const struct line_edit_word *w = e->words; w->word; w++) {
		size_t k = 0;

		if (!fits(w, word, n, before, before_n))
			continue;
		many++;
		if (!first) {
			first = w->word;
			same = strlen(first);
		}
		while (k < same && w->word[k] == first[k])
			k++;
		same = k;
	}
	if (!many)
		return CC_ERROR;
	snprintf(more, sizeof(more), "%.*s%s", (int)(same - n), first + n, many == 1 ? " " : "");
	if (*more)
		return el_insertstr(el, more) ? CC_ERROR : CC_REFRESH;
	putchar('\n');
	for (const struct line_edit_word *w = e->words; w->word; w++)
		if (fits(w, word, n, before, before_n))
			printf("%s  ", w->word);
	putchar('\n');
	return CC_REDISPLAY;
}

static bool open_terminal(struct line_edit *e)
{
	HistEvent event;

	e->el = el_init("disco", stdin, stdout, stderr);
	e->history = history_init();
	if (!e->el || !e->history)
		return false;
	el_set(e->el, EL_CLIENTDATA, e);
	el_set(e->el, EL_PROMPT, prompt);
	el_set(e->el, EL_EDITOR, "emacs");
	el_set(e->el, EL_SIGNAL, 1);
	history(e->history, &event, H_SETSIZE, KEPT_LINES);
	history(e->history, &event, H_SETUNIQUE, 1);
	el_set(e->el, EL_HIST, history, e->history);
	el_set(e->el, EL_ADDFN, "complete", "complete the word", complete);
	el_set(e->el, EL_BIND, "^I", "complete", NULL);
	return true;
}

struct line_edit *line_edit_open(const char *text, const struct line_edit_word *words)
{
	struct line_edit *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	snprintf(e->prompt, sizeof(e->prompt), "%s", text);
	e->words = words;
	if (!isatty(STDIN_FILENO) || open_terminal(e))
		return e;
	line_edit_close(e);
	return NULL;
}

void line_edit_close(struct line_edit *e)
{
	if (e->history)
		history_end(e->history);
	if (e->el)
		el_end(e->el);
	free(e->line);
	free(e);
}

static char *read_terminal(struct line_edit *e)
{
	HistEvent event;
	const char *line;
	int n = 0;

	line = el_gets(e->el, &n);
	if (!line || n <= 0)
		return NULL;
	if (strspn(line, " \t\n") != strlen(line))
		history(e->history, &event, H_ENTER, line);
	free(e->line);
	e->line = strdup(line);
	return e->line;
}

char *line_edit_read(struct line_edit *e)
{
	char *line = e->el ? read_terminal(e) : getline(&e->line, &e->room, stdin) > 0 ? e->line : NULL;

	if (line)
		line[strcspn(line, "\r\n")] = '\0';
	return line;
}
