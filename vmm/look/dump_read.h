/* SPDX-License-Identifier: MIT */
#ifndef VMM_DUMP_READ_H
#define VMM_DUMP_READ_H

/* What `disco dump` or `disco run --dump` has written, read again, text or JSON.  The file is not trusted. */
#include "vmm/boot/loader.h"
#include "vmm/look/line_diff.h"

enum { DUMP_READ_MODE_BYTES = 12 };

/* A block or region. */
struct dump_entry {
	bool region;
	uint64_t pc;
	char mode[DUMP_READ_MODE_BYTES]; /* "kernel" */
	char *symbol, *again;            /* of the heading, or NULL */
	unsigned tier;                   /* 0: the interpreter */
	unsigned instructions, blocks;   /* blocks: of a region */
	bool has_host;                   /* its host code is there: */
	uint64_t host_bytes;             /* all of it */
	struct diff_line *line;          /* without the heading */
	size_t n_lines;
	uint64_t hash; /* of the heading and of all lines */
	size_t at;     /* which of the file it is */
};

struct dump_file {
	const char *path;
	bool json;
	struct dump_entry *entry;
	size_t n;
	/* of the reader */
	char *text;
	char **owned; /* text made of JSON */
	size_t n_owned;
};

/*
 * Lines that Disco itself puts between (its messages) are left out.
 * Returns 0, or -errno with err filled: it cannot be read, or is no dump, or has nothing in it.
 */
MUST_CHECK int dump_file_read(struct dump_file *f, const char *path, struct loader_error *err);
void dump_file_free(struct dump_file *f);

/* The lines that begin a stage: of a text dump those with one blank in front, of JSON "KEY:". */
bool dump_line_is_title(const char *text);

#endif
