/* SPDX-License-Identifier: MIT */
#include "vmm/cli/options_internal.h"

#include "frontend/cp0.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <string.h>

/* A comma-separated list of words, appended. "-" alone: standard input. */
static int add_words(const char *text, struct dump_options *out, struct options_error *err)
{
	if (strcmp(text, "-") == 0) {
		out->words_from_stdin = true;
		return 0;
	}
	for (const char *p = text;;) {
		size_t len = strcspn(p, ",");

		if (out->n_words == DUMP_MAX_WORDS)
			return options_bad(err, "--words: more than %u of them", DUMP_MAX_WORDS);
		if (!options_parse_hex(p, len, &out->words[out->n_words]))
			return options_bad(err, "--words %.*s: not a 32-bit hexadecimal number", (int)len, p);
		out->n_words++;
		if (!p[len])
			return 0;
		p += len + 1;
	}
}

int options_read_words(FILE *in, struct dump_options *out, struct options_error *err)
{
	char word[32];
	int len;

	/* separators and words in turn; one that fills the buffer is too long for a number */
	while (fscanf(in, "%*[ \t\r\n,]") != EOF && fscanf(in, "%31[^ \t\r\n,]%n", word, &len) == 1) {
		if (out->n_words == DUMP_MAX_WORDS)
			return options_bad(err, "--words -: more than %u of them", DUMP_MAX_WORDS);
		if (!options_parse_hex(word, (size_t)len, &out->words[out->n_words]))
			return options_bad(err, "--words -: '%.31s' is not a 32-bit hexadecimal number", word);
		out->n_words++;
	}
	if (ferror(in))
		return options_bad(err, "--words -: standard input: %s", strerror(errno));
	return out->n_words ? 0 : options_bad(err, "--words -: no words on standard input");
}

OPTION_TYPE(words, uint32_t[DUMP_MAX_WORDS]);
static int option_words(void *field, const struct option_value *v) { return add_words(v->text, v->all, v->err); }

/* A comma-separated list of addresses and symbols, appended. */
OPTION_TYPE(at, struct dump_at[DUMP_MAX_ADDRS]);
static int option_at(void *field, const struct option_value *v)
{
	struct dump_options *out = v->all;

	for (const char *p = v->text;;) {
		struct dump_at at = {.text = p, .len = strcspn(p, ",")};

		if (out->n_at == DUMP_MAX_ADDRS)
			return options_bad(v->err, "--at: more than %u of them", DUMP_MAX_ADDRS);
		at.is_number = options_parse_hex(p, at.len, &at.address);
		if (at.len == 0 || (isdigit((unsigned char)*p) && !at.is_number))
			return options_bad(v->err, "--at %.*s: not a 32-bit hexadecimal number", (int)at.len, p);
		if (isdigit((unsigned char)*p) && at.address % 4)
			return options_bad(v->err, "--at %.*s: not a multiple of 4", (int)at.len, p);
		out->at[out->n_at++] = at;
		if (!p[at.len])
			return 0;
		p += at.len + 1;
	}
}

OPTION_TYPE(dump_tier, int);
static int option_dump_tier(void *field, const struct option_value *v)
{
	int i, r = option_choice(&i, v);

	if (!r)
		*(int *)field = i + 1;
	return r;
}

const struct option_row options_dump_rows[] = {
#define DUMP_OPTION(...) OPTION_ROW(struct dump_options, __VA_ARGS__),
#define DUMP_LIST(field, name, argument, parser, rows, help_)                                                          \
	OPTION_ROW(struct dump_options, field, name, argument, parser, help_, .sub = rows),
#include "vmm/cli/options.def"
    OPTION_END};

static int dump_check(struct dump_options *out, struct options_error *err)
{
	bool words = out->n_words || out->words_from_stdin;

	out->file = out->kernel ? out->kernel : out->elf;
	if (!out->file && !words)
		return options_bad(err, "--kernel, --elf or --words: one is needed; see 'disco help dump'");
	if (out->kernel && out->elf)
		return options_bad(err, "--elf: not together with --kernel, which is the same");
	if (out->file && words)
		return options_bad(err, "--words: not together with %s", out->kernel ? "--kernel" : "--elf");
	if (out->n_words && out->words_from_stdin)
		return options_bad(err, "--words -: not together with words on the command line");
	if (out->file && !out->n_at)
		return options_bad(err, "--at: missing; which addresses of %s?", out->file);
	if (out->file && out->big_endian)
		return options_bad(err, "--be: only for --words; %s says its own byte order", out->file);
	if (words && out->n_at > 1)
		return options_bad(err, "--at: --words are at one address");
	for (unsigned i = 0; i < out->n_at; i++)
		if (!out->file && !out->symbols && !out->at[i].is_number)
			return options_bad(
			    err, "--at %.*s: not a hexadecimal number, and a name needs --kernel, --elf or --symbols",
			    (int)out->at[i].len, out->at[i].text);
	if (!out->stages)
		out->stages = out->tier == 2 ? DUMP_LETTERS_TIER2 : DUMP_LETTERS_TIER1;
	if (out->tier != 2 && strpbrk(out->stages, "lL"))
		return options_bad(err, "--stage %s: l and L need --tier 2", out->stages);
	return options_check_files(options_dump_rows, out, err);
}

/* What nobody has said. */
static void complete(struct dump_options *out)
{
	if (!out->tier)
		out->tier = 1;
	if (!out->cpu)
		out->cpu = cpu_model_find(CPU_DEFAULT);
}

/* --diff A B: B is a plain argument. All but --json is for what translates. */
static int diff_check(int argc, char **argv, struct dump_options *out, struct options_error *err)
{
	const struct {
		bool given;
		const char *name;
	} others[] = {{out->kernel, "--kernel"},   {out->elf, "--elf"},
		      {out->n_at, "--at"},         {out->n_words || out->words_from_stdin, "--words"},
		      {out->symbols, "--symbols"}, {out->stages, "--stage"},
		      {out->tier, "--tier"},       {out->user >= 0, "--mode"},
		      {out->big_endian, "--be"},   {out->stable, "--stable"},
		      {out->cpu, "--cpu"}};

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (others[i].given)
			return options_bad(err, "%s: not together with --diff, which compares what is there",
					   others[i].name);
	if (argc - optind != 1)
		return options_bad(err, "--diff %.300s: with which? It takes two files, and here %s", out->diff,
				   argc == optind ? "is one" : "are more");
	out->diff_with = argv[optind];
	if (options_check_file("--diff", out->diff_with, err))
		return -EINVAL;
	return options_check_files(options_dump_rows, out, err);
}

int options_parse_dump(int argc, char **argv, struct dump_options *out, struct options_error *err)
{
	int r;

	*out = (struct dump_options){.user = -1};
	r = options_parse(options_dump_rows, true, argc, argv, out, NULL, err);
	if (!r && out->diff)
		return diff_check(argc, argv, out, err);
	complete(out);
	/* "--words 24020001 03e00008": the words after the first are plain arguments. */
	for (; !r && optind < argc; optind++) {
		if (!out->n_words && !out->words_from_stdin)
			return options_bad(err, "'%s': not an option; see 'disco help dump'", argv[optind]);
		r = add_words(argv[optind], out, err);
	}
	return r ? r : dump_check(out, err);
}
