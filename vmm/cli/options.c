/* SPDX-License-Identifier: MIT */
#include "vmm/cli/options_internal.h"

#include "frontend/cp0.h"
#include "ir/mode.h"
#include "jit/jit.h"
#include "numa/numa.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char options_dump_letters[] = "gi"
#define PASS(name, letter) #letter
#include "ir/passes.def"
#undef PASS
				    "oxlLh";

int options_bad(struct options_error *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int options_parse_size(const char *text, uint64_t *bytes)
{
	unsigned shift = 20;
	uint64_t n;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		switch (toupper((unsigned char)*end)) {
		case 'K':
			shift = 10;
			break;
		case 'M':
			break;
		case 'G':
			shift = 30;
			break;
		default:
			return -EINVAL;
		}
		if (end[1])
			return -EINVAL;
	}
	if (n > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = n << shift;
	return 0;
}

bool options_parse_hex(const char *text, size_t len, uint32_t *out)
{
	uint32_t v = 0;

	if (len > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		text += 2;
		len -= 2;
	}
	if (len == 0 || len > 8)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = (char)tolower((unsigned char)text[i]);

		if (!isxdigit((unsigned char)c))
			return false;
		v = v << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*out = v;
	return true;
}

static int parse_mem(const char *text, uint64_t *out, struct options_error *err)
{
	uint64_t bytes;
	int r = options_parse_size(text, &bytes);

	if (r == -ERANGE)
		return options_bad(err, "--mem %s: more than 64 bits can count", text);
	if (r)
		return options_bad(err, "--mem %s: not a size; write 256M, 262144K", text);
	if (bytes == 0)
		return options_bad(err, "--mem %s: a machine needs some memory", text);
	if (bytes % MEM_UNIT_BYTES)
		return options_bad(err, "--mem %s: not a multiple of %lluK", text, MEM_UNIT_BYTES >> 10);
	if (bytes > MEM_MAX_BYTES)
		return options_bad(
		    err, "--mem %s: at most %lluM; the board has no memory above its I/O window at 0x10000000", text,
		    MEM_MAX_BYTES >> 20);
	if (bytes > machine_memory_host_bytes())
		return options_bad(err, "--mem %s: this host has only %lluM", text,
				   (unsigned long long)(machine_memory_host_bytes() >> 20));
	*out = bytes;
	return 0;
}

static int parse_jit_mem(const char *text, uint64_t *out, struct options_error *err)
{
	uint64_t bytes;
	int r = options_parse_size(text, &bytes);

	if (r == -EINVAL)
		return options_bad(err, "--jit-mem %s: not a size; write 64M", text);
	if (r || bytes < JIT_MEM_MIN_BYTES || bytes > JIT_MEM_MAX_BYTES)
		return options_bad(err, "--jit-mem %s: must be from %lluM to %lluM", text, JIT_MEM_MIN_BYTES >> 20,
				   JIT_MEM_MAX_BYTES >> 20);
	*out = bytes;
	return 0;
}

int options_check_tiers(const char *text, struct options_error *err)
{
	if (strcmp(text, "interp") != 0 && strcmp(text, "1") != 0 && strcmp(text, "2") != 0 && strcmp(text, "12") != 0)
		return options_bad(err, "--tiers %s: must be 1, 2, 12 or interp", text);
	return 0;
}

static int parse_tiers(const char *text, struct run_options *out, struct options_error *err)
{
	int e = options_check_tiers(text, err);

	if (e)
		return e;
	out->tier1 = strchr(text, '1') != NULL;
	out->tier2 = strchr(text, '2') != NULL;
	return 0;
}

static int parse_letters(const char *option, const char *text, const char *allowed, const char **out,
			 struct options_error *err)
{
	if (!*text)
		return options_bad(err, "%s: needs at least one letter of %s", option, allowed);
	for (const char *p = text; *p; p++)
		if (!strchr(allowed, *p))
			return options_bad(err, "%s %s: nothing has the letter '%c'; they are %s", option, text, *p,
					   allowed);
	*out = text;
	return 0;
}

static int parse_filter_pc(const char *value, size_t len, struct dump_filter *f, struct options_error *err)
{
	const char *dash = memchr(value, '-', len);
	size_t low_len = dash ? (size_t)(dash - value) : len;
	uint32_t low, high;
	bool good = options_parse_hex(value, low_len, &low);

	high = low;
	if (good && dash)
		good = options_parse_hex(dash + 1, len - low_len - 1, &high);
	if (!good)
		return options_bad(err, "--dump-filter pc=%.*s: not pc=HEX or pc=HEX-HEX", (int)len, value);
	if (high < low)
		return options_bad(err, "--dump-filter pc=%.*s: the range ends before it begins", (int)len, value);
	f->pc_low = low;
	f->pc_high = high;
	return 0;
}

/* The index of the bytes [text, text + len) among names, or -1. */
static int name_index(const char *text, size_t len, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (strlen(names[i]) == len && memcmp(text, names[i], len) == 0)
			return i;
	return -1;
}

/* One "key=value" of a filter, of the bytes [text, text + len). seen: bits of the keys that were there. */
static int parse_filter_term(const char *text, size_t len, struct dump_filter *f, unsigned *seen,
			     struct options_error *err)
{
	static const char *const keys[] = {"pc", "mode", "tier", "sym"}, *const tiers[] = {"interp", "1", "2"};
	const char *eq = memchr(text, '=', len), *value = eq ? eq + 1 : text;
	size_t value_len = eq ? len - (size_t)(value - text) : 0;
	int key = eq ? name_index(text, (size_t)(eq - text), keys, ARRAY_LEN(keys)) : -1;

	if (key >= 0 && *seen & 1u << key)
		return options_bad(err, "--dump-filter %.*s: %s= is there already", (int)len, text, keys[key]);
	*seen |= key >= 0 ? 1u << key : 0;
	if (key == 0)
		return parse_filter_pc(value, value_len, f, err);
	if (key == 1 && value_len == 4 && memcmp(value, "user", 4) == 0) {
		f->mode = MODE_USER;
		return 0;
	}
	if (key == 1 && value_len == 6 && memcmp(value, "kernel", 6) == 0) {
		f->mode = MODE_KERNEL;
		return 0;
	}
	if (key == 2) {
		f->tier = name_index(value, value_len, tiers, ARRAY_LEN(tiers));
		if (f->tier >= 0)
			return 0;
	}
	if (key == 3 && value_len) {
		f->symbol = value;
		f->symbol_len = value_len;
		return 0;
	}
	return options_bad(err,
			   "--dump-filter %.*s: must be pc=HEX[-HEX], sym=NAME, mode=user|kernel or tier=1|2|interp",
			   (int)len, text);
}

static int parse_filter(const char *text, struct dump_filter *f, struct options_error *err)
{
	unsigned seen = 0;

	for (const char *p = text;;) {
		size_t len = strcspn(p, ",");
		int r = parse_filter_term(p, len, f, &seen, err);

		if (r)
			return r;
		if (!p[len])
			return 0;
		p += len + 1;
	}
}

int options_check_file(const char *option, const char *path, struct options_error *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return options_bad(err, "%s %s: %s", option, path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return options_bad(err, "%s %s: is a directory", option, path);
	if (access(path, R_OK) != 0)
		return options_bad(err, "%s %s: %s", option, path, strerror(errno));
	return 0;
}

static int parse_cpu(const char *name, const struct cpu_model **out, struct options_error *err)
{
	if (strcmp(name, "help") == 0)
		return OPTIONS_CPU_LIST;
	*out = cpu_model_find(name);
	if (!*out)
		return options_bad(err, "--cpu %s: no such model; --cpu help lists them", name);
	return 0;
}

/* getopt_long returned ':' or '?'. */
static int bad_option(int c, int argc, char **argv, struct options_error *err)
{
	const char *what = optind > 0 && optind <= argc ? argv[optind - 1] : "";

	if (c == ':')
		return options_bad(err, "%s: needs a value", what);
	if (optopt && optopt < 256)
		return options_bad(err, "-%c: no such option; see 'disco help %s'", optopt, argv[0]);
	if (optopt)
		return options_bad(err, "%s: takes no value", what);
	/* A unique prefix is accepted, so this one is unknown or matches several. */
	return options_bad(err, "%s: no such option; see 'disco help %s'", what, argv[0]);
}

enum option_code {
	O_KERNEL = 256,
	O_INITRD,
	O_APPEND,
	O_MEM,
	O_CPU,
	O_ICOUNT,
	O_TIERS,
	O_STATS,
	O_DUMP,
	O_DUMP_FILTER,
	O_SYMBOLS,
	O_JSON,
	O_JIT_MEM,
	O_NO_REBOOT,
	O_DISK,
	O_NET,
	O_SHARE,
	O_TERMINAL,
	O_BALLOON,
	O_SCRIPT,
	O_ENV,
	O_QUIET_BOOT,
	O_AT,
	O_WORDS,
	O_STAGE,
	O_BE,
	O_MODE,
	O_TIER,
};

static const struct option run_table[] = {
    {"kernel", required_argument, NULL, O_KERNEL},
    {"initrd", required_argument, NULL, O_INITRD},
    {"append", required_argument, NULL, O_APPEND},
    {"mem", required_argument, NULL, O_MEM},
    {"cpu", required_argument, NULL, O_CPU},
    {"icount", no_argument, NULL, O_ICOUNT},
    {"tiers", required_argument, NULL, O_TIERS},
    {"stats", optional_argument, NULL, O_STATS},
    {"dump", required_argument, NULL, O_DUMP},
    {"dump-filter", required_argument, NULL, O_DUMP_FILTER},
    {"symbols", required_argument, NULL, O_SYMBOLS},
    {"jit-mem", required_argument, NULL, O_JIT_MEM},
    {"no-reboot", no_argument, NULL, O_NO_REBOOT},
    {"disk", required_argument, NULL, O_DISK},
    {"net", required_argument, NULL, O_NET},
    {"share", required_argument, NULL, O_SHARE},
    {"terminal", required_argument, NULL, O_TERMINAL},
    {"balloon", required_argument, NULL, O_BALLOON},
    {"script", required_argument, NULL, O_SCRIPT},
    {"env", required_argument, NULL, O_ENV},
    {"quiet-boot", no_argument, NULL, O_QUIET_BOOT},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int run_device_option(int c, struct run_options *out, struct options_error *err)
{
	switch (c) {
	case O_DISK:
		return options_add_disk(optarg, out, err);
	case O_NET:
		return options_add_net(optarg, out, err);
	case O_SHARE:
		return options_add_share(optarg, out, err);
	case O_TERMINAL:
		return options_add_terminal(optarg, out, err);
	case O_BALLOON:
		return options_parse_balloon(optarg, out, err);
	case O_SCRIPT:
		out->script = optarg;
		return 0;
	case O_ENV:
		return options_add_env(optarg, out, err);
	case O_QUIET_BOOT:
		out->quiet_boot = true;
		return 0;
	default:
		return OPTIONS_HELP;
	}
}

static int run_option(int c, struct run_options *out, struct options_error *err)
{
	switch (c) {
	case O_KERNEL:
		out->kernel = optarg;
		return 0;
	case O_INITRD:
		out->initrd = optarg;
		return 0;
	case O_APPEND:
		out->append = optarg;
		return 0;
	case O_MEM:
		return parse_mem(optarg, &out->mem_bytes, err);
	case O_CPU:
		return parse_cpu(optarg, &out->cpu, err);
	case O_ICOUNT:
		out->icount = true;
		return 0;
	case O_TIERS:
		return parse_tiers(optarg, out, err);
	case O_STATS:
		out->stats = true;
		out->stats_file = optarg;
		return optarg && !*optarg ? options_bad(err, "--stats=: the file's name is empty") : 0;
	case O_DUMP:
		return parse_letters("--dump", optarg, options_dump_letters, &out->dump, err);
	case O_DUMP_FILTER:
		return parse_filter(optarg, &out->dump_filter, err);
	case O_SYMBOLS:
		out->symbols = optarg;
		return 0;
	case O_JIT_MEM:
		return parse_jit_mem(optarg, &out->jit_bytes, err);
	case O_NO_REBOOT:
		out->no_reboot = true;
		return 0;
	default:
		return run_device_option(c, out, err);
	}
}

/* What only the whole command line shows. */
static int run_check(const struct run_options *out, bool have_filter, struct options_error *err)
{
	int r;

	if (have_filter && !out->dump)
		return options_bad(err, "--dump-filter: needs --dump");
	if (out->dump && !out->tier1 && !out->tier2 && strchr(out->dump, 'h'))
		return options_bad(err, "--dump %s: h is host code, and --tiers interp makes none", out->dump);
	if (out->dump && !out->tier2 && strpbrk(out->dump, "lL"))
		return options_bad(err, "--dump %s: l and L need tier 2, which --tiers left out", out->dump);
	if (out->symbols && !out->dump)
		return options_bad(err, "--symbols: needs --dump");
	if ((out->dump_filter.tier == TIER_1 && !out->tier1) || (out->dump_filter.tier == TIER_2 && !out->tier2))
		return options_bad(err, "--dump-filter tier=%d: --tiers left it out", out->dump_filter.tier);
	r = options_check_file("--kernel", out->kernel, err);
	if (!r && out->initrd)
		r = options_check_file("--initrd", out->initrd, err);
	if (!r && out->symbols)
		r = options_check_file("--symbols", out->symbols, err);
	return r;
}

/*
 * What is behind the options.  last: where optind was after the last of them, so that a "--" which is an option's value
 * is not taken for the one that ends them.
 */
static int run_command_line(int argc, char **argv, int last, struct run_options *out, struct options_error *err)
{
	bool ended = optind == last + 1 && strcmp(argv[last], "--") == 0;

	if (optind < argc && !ended)
		return options_bad(
		    err,
		    "'%s': not an option; a command for the guest goes behind '--', the kernel's arguments "
		    "into --append",
		    argv[optind]);
	out->argc = (unsigned)(argc - optind);
	out->argv = argv + optind;
	out->command = out->argc != 0;
	if (ended && !out->argc && !out->script)
		return options_bad(err, "--: which command?");
	if (out->argc && !out->script && !*out->argv[0])
		return options_bad(err, "-- '': the command's name is empty");
	return 0;
}

int options_parse_run(int argc, char **argv, struct run_options *out, struct options_error *err)
{
	bool have_filter = false;
	int c, r, last = 1;

	*out = (struct run_options){
	    .mem_bytes = MEM_DEFAULT_BYTES,
	    .cpu = cpu_model_find(CPU_DEFAULT),
	    .tier1 = true,
	    .tier2 = true,
	    .jit_bytes = JIT_MEM_DEFAULT_BYTES,
	    .dump_filter = {.pc_high = UINT32_MAX, .mode = -1, .tier = -1},
	};
	optind = 0; /* GNU: start afresh; tests parse more than once */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:h", run_table, NULL)) != -1) {
		if (c == '?' || c == ':')
			return bad_option(c, argc, argv, err);
		have_filter |= c == O_DUMP_FILTER;
		r = run_option(c, out, err);
		if (r)
			return r;
		last = optind;
	}
	r = run_command_line(argc, argv, last, out, err);
	if (!r)
		r = options_complete_run(out, err);
	return r ? r : run_check(out, have_filter, err);
}

static const struct option dump_table[] = {
    {"kernel", required_argument, NULL, O_KERNEL},
    {"at", required_argument, NULL, O_AT},
    {"words", required_argument, NULL, O_WORDS},
    {"stage", required_argument, NULL, O_STAGE},
    {"be", no_argument, NULL, O_BE},
    {"mode", required_argument, NULL, O_MODE},
    {"tier", required_argument, NULL, O_TIER},
    {"cpu", required_argument, NULL, O_CPU},
    {"symbols", required_argument, NULL, O_SYMBOLS},
    {"json", no_argument, NULL, O_JSON},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* A comma-separated list of words, appended. "-" alone: standard input. */
static int parse_words(const char *text, struct dump_options *out, struct options_error *err)
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

/* A comma-separated list of addresses and symbols, appended. */
static int parse_at(const char *text, struct dump_options *out, struct options_error *err)
{
	for (const char *p = text;;) {
		struct dump_at at = {.text = p, .len = strcspn(p, ",")};

		if (out->n_at == DUMP_MAX_ADDRS)
			return options_bad(err, "--at: more than %u of them", DUMP_MAX_ADDRS);
		at.is_number = options_parse_hex(p, at.len, &at.address);
		if (at.len == 0 || (isdigit((unsigned char)*p) && !at.is_number))
			return options_bad(err, "--at %.*s: not a 32-bit hexadecimal number", (int)at.len, p);
		if (isdigit((unsigned char)*p) && at.address % 4)
			return options_bad(err, "--at %.*s: not a multiple of 4", (int)at.len, p);
		out->at[out->n_at++] = at;
		if (!p[at.len])
			return 0;
		p += at.len + 1;
	}
}

static int parse_mode(const char *text, bool *user, struct options_error *err)
{
	*user = strcmp(text, "user") == 0;
	if (!*user && strcmp(text, "kernel") != 0)
		return options_bad(err, "--mode %s: must be user or kernel", text);
	return 0;
}

static int dump_option(int c, struct dump_options *out, struct options_error *err)
{
	switch (c) {
	case O_KERNEL:
		out->kernel = optarg;
		return 0;
	case O_AT:
		return parse_at(optarg, out, err);
	case O_WORDS:
		return parse_words(optarg, out, err);
	case O_STAGE:
		return parse_letters("--stage", optarg, options_dump_letters, &out->stages, err);
	case O_SYMBOLS:
		out->symbols = optarg;
		return 0;
	case O_JSON:
		out->json = true;
		return 0;
	case O_BE:
		out->big_endian = true;
		return 0;
	case O_MODE:
		return parse_mode(optarg, &out->user, err);
	case O_TIER:
		if (strcmp(optarg, "1") != 0 && strcmp(optarg, "2") != 0)
			return options_bad(err, "--tier %s: must be 1 or 2", optarg);
		out->tier = (unsigned)(optarg[0] - '0');
		return 0;
	case O_CPU:
		return parse_cpu(optarg, &out->cpu, err);
	default:
		return OPTIONS_HELP;
	}
}

static int dump_check(struct dump_options *out, struct options_error *err)
{
	bool words = out->n_words || out->words_from_stdin;
	int r = 0;

	if (!out->kernel && !words)
		return options_bad(err, "--kernel or --words: one is needed; see 'disco help dump'");
	if (out->kernel && words)
		return options_bad(err, "--words: not together with --kernel");
	if (out->n_words && out->words_from_stdin)
		return options_bad(err, "--words -: not together with words on the command line");
	if (out->kernel && !out->n_at)
		return options_bad(err, "--at: missing; which addresses of %s?", out->kernel);
	if (out->kernel && out->big_endian)
		return options_bad(err, "--be: only for --words; %s says its own byte order", out->kernel);
	if (words && out->n_at > 1)
		return options_bad(err, "--at: --words are at one address");
	for (unsigned i = 0; i < out->n_at; i++)
		if (!out->kernel && !out->symbols && !out->at[i].is_number)
			return options_bad(
			    err, "--at %.*s: not a hexadecimal number, and a name needs --kernel or --symbols",
			    (int)out->at[i].len, out->at[i].text);
	if (!out->stages)
		out->stages = out->tier == 2 ? DUMP_LETTERS_TIER2 : DUMP_LETTERS_TIER1;
	if (out->tier != 2 && strpbrk(out->stages, "lL"))
		return options_bad(err, "--stage %s: l and L need --tier 2", out->stages);
	if (out->kernel)
		r = options_check_file("--kernel", out->kernel, err);
	if (!r && out->symbols)
		r = options_check_file("--symbols", out->symbols, err);
	return r;
}

int options_parse_dump(int argc, char **argv, struct dump_options *out, struct options_error *err)
{
	int c, r;

	*out = (struct dump_options){.tier = 1, .cpu = cpu_model_find(CPU_DEFAULT)};
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", dump_table, NULL)) != -1) {
		if (c == '?' || c == ':')
			return bad_option(c, argc, argv, err);
		r = dump_option(c, out, err);
		if (r)
			return r;
	}
	/* "--words 24020001 03e00008": the words after the first are plain arguments. */
	for (; optind < argc; optind++) {
		if (!out->n_words && !out->words_from_stdin)
			return options_bad(err, "'%s': not an option; see 'disco help dump'", argv[optind]);
		r = parse_words(argv[optind], out, err);
		if (r)
			return r;
	}
	return dump_check(out, err);
}
