/* SPDX-License-Identifier: MIT */
#ifndef VMM_TRACE_FILE_H
#define VMM_TRACE_FILE_H

/*
 * Events of --trace (base/trace.h), written: as text, a line each; as JSON, an object on a line each; or for Perfetto, in Chrome's
 * trace event format, which ui.perfetto.dev and chrome://tracing open: machines are processes, vCPUs threads.
 */
#include <stdio.h>

#include "base/trace.h"

enum trace_file_format { TRACE_FILE_TEXT, TRACE_FILE_JSON, TRACE_FILE_PERFETTO };

struct trace_file;

/*
 * A thread drains t's rings into path (NULL: standard error) from here on, each 50 ms; nothing is left out, whoever finds his ring
 * full writes himself.  0 or -errno.
 */
MUST_CHECK int trace_file_open(struct trace_file **out, struct trace *t, const char *path,
			       enum trace_file_format format);
/* What is there is written.  0, or the first -errno of writing.  NULL is fine. */
int trace_file_close(struct trace_file *f);
/* What there is so far, to the file. Any thread. */
void trace_file_flush(struct trace_file *f);
/* Lines on standard error, so that the last ones need not be shown there again. */
bool trace_file_is_stderr(const struct trace_file *f);

/* A trace_show, whose opaque is a FILE: a line. */
void trace_print(void *file, const struct trace_record *r);
/* At a panic(): the last events, on standard error. trace NULL, or without any: nothing. */
void trace_last_words(void *trace);
/* Names, fields and help of all events. */
void trace_print_help(FILE *out);

#endif
