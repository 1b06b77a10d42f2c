/* SPDX-License-Identifier: MIT */
#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local void (*hook_fn)(void *);
static _Thread_local void *hook_arg;
static _Thread_local void (*last_words_fn)(void *);
static _Thread_local void *last_words_arg;

void panic_set_hook(void (*fn)(void *arg), void *arg)
{
	hook_fn = fn;
	hook_arg = arg;
}

void panic_get_hook(void (**fn)(void *arg), void **arg)
{
	*fn = hook_fn;
	*arg = hook_arg;
}

void panic_set_last_words(void (*fn)(void *arg), void *arg)
{
	last_words_fn = fn;
	last_words_arg = arg;
}

_Noreturn void panic_at(const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	void (*fn)(void *) = hook_fn;

	hook_fn = NULL;
	if (fn)
		fn(hook_arg);
	fprintf(stderr, "disco: internal error at %s:%d: ", file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	fn = last_words_fn;
	last_words_fn = NULL;
	if (fn)
		fn(last_words_arg);
	abort();
}
