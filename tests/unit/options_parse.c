/* SPDX-License-Identifier: MIT */
/* The command line: what is accepted gives the documented values, what is refused names the option. */
#include "frontend/cp0.h"
#include "ir/mode.h"
#include "jit/jit.h"
#include "numa/numa.h"
#include "vmm/cli/options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_ARGS 32

/* getopt_long permutes nothing here, but takes char **. */
struct args {
	char *argv[MAX_ARGS];
	int argc;
	char text[2048];
};

/* Split at spaces; "%s" stands for a file that exists. */
static void split(struct args *a, const char *line)
{
	char *p;

	snprintf(a->text, sizeof(a->text), "%s", line);
	a->argc = 0;
	for (p = strtok(a->text, " "); p && a->argc < MAX_ARGS - 1; p = strtok(NULL, " "))
		a->argv[a->argc++] = strcmp(p, "@") == 0 ? (char *)"/proc/self/exe" : p;
	a->argv[a->argc] = NULL;
}

static int run(const char *line, struct run_options *out, struct options_error *err)
{
	static struct args a;           /* options point into it */
	static struct run_options last; /* what it allocated lives until the next one */
	int r;

	options_free_run(&last);
	split(&a, line);
	r = options_parse_run(a.argc, a.argv, out, err);
	last = *out;
	return r;
}

static int dump(const char *line, struct dump_options *out, struct options_error *err)
{
	static struct args a;

	split(&a, line);
	return options_parse_dump(a.argc, a.argv, out, err);
}

Test(options, sizes)
{
	static const struct {
		const char *text;
		int result;
		uint64_t bytes;
	} t[] = {
	    {"256M", 0, 256ull << 20},
	    {"256", 0, 256ull << 20},
	    {"1g", 0, 1ull << 30},
	    {"524288K", 0, 512ull << 20},
	    {"0", 0, 0},
	    {"", -EINVAL, 0},
	    {"M", -EINVAL, 0},
	    {"-1", -EINVAL, 0},
	    {" 1", -EINVAL, 0},
	    {"+1", -EINVAL, 0},
	    {"1MB", -EINVAL, 0},
	    {"1.5G", -EINVAL, 0},
	    {"0x10", -EINVAL, 0},
	    {"1T", -EINVAL, 0},
	    {"99999999999999999999", -ERANGE, 0},
	    {"17179869184G", -ERANGE, 0},
	    {"17179869183G", 0, 17179869183ull << 30},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		uint64_t bytes = 0;

		cr_assert_eq(option_size(t[i].text, &bytes), t[i].result, "%s", t[i].text);
		cr_assert_eq(bytes, t[i].bytes, "%s", t[i].text);
	}
}

Test(options, run_defaults)
{
	struct options_error err;
	struct run_options o;

	cr_assert_eq(run("run --kernel @", &o, &err), 0, "%s", err.text);
	cr_assert_str_eq(o.kernel, "/proc/self/exe");
	cr_assert_null(o.initrd);
	cr_assert_str_eq(o.append, "");
	cr_assert_eq(o.mem_bytes, 256ull << 20);
	cr_assert_str_eq(o.cpu->name, CPU_DEFAULT);
	cr_assert(o.tier1 && o.tier2 && !o.icount && !o.stats && !o.no_reboot && !o.dump);
	cr_assert_eq(o.dump_filter.mode, -1);
	cr_assert(o.dump_filter.tier == -1 && !o.dump_filter.symbol && !o.symbols);
	cr_assert_eq(o.dump_filter.pc_low, 0);
	cr_assert_eq(o.dump_filter.pc_high, UINT32_MAX);
}

Test(options, run_all)
{
	struct options_error err;
	struct run_options o;

	cr_assert_eq(
	    run("run --kernel=@x --kernel @ --initrd @ --append a=b --mem 64M --cpu 24Kf --icount --tiers 1 "
		"--stats=f.json --dump gh --dump-filter pc=80001000-80001fff,mode=user,tier=1,sym=do_it --symbols @ "
		"--jit-mem 512M "
		"--no-reboot",
		&o, &err),
	    0, "%s", err.text);
	cr_assert_str_eq(o.initrd, "/proc/self/exe");
	cr_assert_str_eq(o.append, "a=b");
	cr_assert_eq(o.mem_bytes, 64ull << 20);
	cr_assert_str_eq(o.cpu->name, "24Kf");
	cr_assert(o.icount && o.tier1 && !o.tier2 && o.stats && o.no_reboot);
	cr_assert_str_eq(o.stats_file, "f.json");
	cr_assert_str_eq(o.dump, "gh");
	cr_assert_eq(o.dump_filter.pc_low, 0x80001000);
	cr_assert_eq(o.dump_filter.pc_high, 0x80001fff);
	cr_assert_eq(o.dump_filter.mode, MODE_USER);
	cr_assert_eq(o.dump_filter.tier, TIER_1);
	cr_assert_str_eq(o.dump_filter.symbol, "do_it");
	cr_assert_str_eq(o.symbols, "/proc/self/exe");
	cr_assert_eq(o.jit_bytes, 512ull << 20);
	cr_assert_eq(run("run --kernel @ --stats --tiers interp --dump-filter mode=kernel,pc=0x10 --dump i", &o, &err),
		     0);
	cr_assert(o.stats && !o.stats_file && !o.tier1 && !o.tier2);
	cr_assert(o.dump_filter.pc_low == 0x10 && o.dump_filter.pc_high == 0x10 && o.dump_filter.mode == MODE_KERNEL);
	cr_assert_eq(run("run --kernel @ --tiers interp --dump grfdo --dump-filter tier=interp", &o, &err), 0);
	cr_assert_eq(o.dump_filter.tier, TIER_INTERP);
	cr_assert_eq(run("run --kernel @ --tiers 2", &o, &err), 0);
	cr_assert(!o.tier1 && o.tier2);
}

Test(options, run_hot)
{
	struct options_error err;
	struct run_options o;

	cr_assert_eq(run("run --kernel @", &o, &err), 0, "%s", err.text);
	cr_assert(o.hot.executions == 0 && !o.hot.sync);
	cr_assert_eq(run("run --kernel @ --hot 1", &o, &err), 0, "%s", err.text);
	cr_assert(o.hot.executions == 1 && !o.hot.sync);
	cr_assert_eq(run("run --kernel @ --hot 1000000000,sync", &o, &err), 0, "%s", err.text);
	cr_assert(o.hot.executions == 1000000000 && o.hot.sync);
}

/* Each with the words that the one line must have. */
static const struct {
	const char *line, *says;
} refused[] = {
    {"run", "--kernel"},
    {"run --kernel", "--kernel: needs a value"},
    {"run --kernel /nonexistent/k", "--kernel /nonexistent/k: No such file"},
    {"run --kernel /", "--kernel /: is a directory"},
    {"run --kernel @ --initrd /nonexistent/i", "--initrd /nonexistent/i: No such file"},
    {"run --kernel @ --mem 0", "--mem 0"},
    {"run --kernel @ --mem 100000K", "multiple of 64K"},
    {"run --kernel @ --mem 257M", "at most 256M"},
    {"run --kernel @ --mem 99999999999G", "--mem"},
    {"run --kernel @ --mem lots", "--mem lots: not a size"},
    {"run --kernel @ --cpu R9999", "--cpu R9999"},
    {"run --kernel @ --tiers 3", "--tiers 3"},
    {"run --kernel @ --tiers 21", "--tiers 21"},
    {"run --kernel @ --stats=", "--stats="},
    {"run --kernel @ --dump z", "'z'"},
    {"run --kernel @ --symbols @", "needs --dump"},
    {"run --kernel @ --json", "--json: needs --dump"},
    {"run --kernel @ --stable", "--stable: needs --dump"},
    {"run --kernel @ --dump g --symbols /nonexistent/s", "--symbols /nonexistent/s: No such file"},
    {"run --kernel @ --dump g --dump-filter tier=3", "tier=3"},
    {"run --kernel @ --dump g --dump-filter tier=", "tier="},
    {"run --kernel @ --dump g --tiers 1 --dump-filter tier=2", "tier=2: --tiers left it out"},
    {"run --kernel @ --dump g --tiers 2 --dump-filter tier=1", "tier=1: --tiers left it out"},
    {"run --kernel @ --dump g --dump-filter sym=", "sym="},
    {"run --kernel @ --dump g --dump-filter pc=1,pc=2", "pc= is there already"},
    {"run --kernel @ --tiers 1 --dump L", "need tier 2"},
    {"run --kernel @ --dump=", "--dump"},
    {"run --kernel @ --tiers interp --dump h", "--dump h"},
    {"run --kernel @ --dump-filter pc=0", "needs --dump"},
    {"run --kernel @ --dump g --dump-filter pc=", "pc="},
    {"run --kernel @ --dump g --dump-filter pc=2-1", "ends before"},
    {"run --kernel @ --dump g --dump-filter pc=1-", "pc=1-"},
    {"run --kernel @ --dump g --dump-filter pc=123456789", "pc=123456789"},
    {"run --kernel @ --dump g --dump-filter mode=", "mode="},
    {"run --kernel @ --dump g --dump-filter ,", "--dump-filter"},
    {"run --kernel @ --jit-mem 0", "--jit-mem 0"},
    {"run --kernel @ --hot 0", "--hot 0: must be from 1"},
    {"run --kernel @ --hot 1000000001", "must be from 1 to 1000000000"},
    {"run --kernel @ --hot 99999999999999999999", "must be from 1"},
    {"run --kernel @ --hot 5,syn", "--hot 5,syn: must be N or N,sync"},
    {"run --kernel @ --hot -1", "must be N"},
    {"run --kernel @ --hot ,sync", "must be N"},
    {"run --kernel @ --hot 5 --tiers 1", "--hot: needs both tiers"},
    {"run --kernel @ --jit-mem 2G", "--jit-mem 2G"},
    {"run --kernel @ --jit-mem 513M", "must be from 1M to 512M"},
    {"run --kernel @ --icount=5", "--icount=5: takes no value"},
    {"run --kernel @ --no-such", "--no-such: no such option"},
    {"run --kernel @ -k", "-k: no such option"},
    {"run --kernel @ extra", "'extra'"},
};

Test(options, run_refused)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct options_error err = {{0}};
		struct run_options o;

		cr_expect_eq(run(refused[i].line, &o, &err), -EINVAL, "%s", refused[i].line);
		cr_expect(strstr(err.text, refused[i].says), "%s: '%s' lacks '%s'", refused[i].line, err.text,
			  refused[i].says);
		cr_expect_null(strchr(err.text, '\n'), "%s: more than one line", refused[i].line);
	}
}

Test(options, help)
{
	struct options_error err;
	struct run_options o;
	struct dump_options d;

	cr_assert_eq(run("run --help", &o, &err), OPTIONS_HELP);
	cr_assert_eq(run("run -h --kernel /nonexistent", &o, &err), OPTIONS_HELP);
	cr_assert_eq(run("run --cpu help", &o, &err), OPTIONS_CPU_LIST);
	cr_assert_eq(dump("dump --help", &d, &err), OPTIONS_HELP);
	cr_assert_eq(dump("dump --cpu help", &d, &err), OPTIONS_CPU_LIST);
}

Test(options, dump_words)
{
	struct options_error err;
	struct dump_options d;

	cr_assert_eq(dump("dump --words 24020001,0x03e00008 --be 00000000", &d, &err), 0, "%s", err.text);
	cr_assert_eq(d.n_words, 3);
	cr_assert(d.words[0] == 0x24020001 && d.words[1] == 0x03e00008 && d.words[2] == 0);
	cr_assert(d.big_endian && d.user == -1 && d.tier == 1 && d.n_at == 0 && !d.json && !d.words_from_stdin);
	cr_assert_str_eq(d.stages, DUMP_LETTERS_TIER1);
	cr_assert_eq(dump("dump --words 1 2 --stage g 3 --at 80100000", &d, &err), 0, "%s", err.text);
	cr_assert(d.n_words == 3 && d.words[1] == 2 && d.words[2] == 3 && d.n_at == 1 && d.at[0].address == 0x80100000);
	cr_assert_str_eq(d.stages, "g");
	cr_assert_eq(dump("dump --kernel @ --at 80100000,80100010 --tier 2 --mode user --stage lLh", &d, &err), 0, "%s",
		     err.text);
	cr_assert(d.n_at == 2 && d.at[1].is_number && d.at[1].address == 0x80100010 && d.user == 1 && d.tier == 2);
	cr_assert_str_eq(d.stages, "lLh");
	cr_assert_eq(dump("dump --kernel @ --at add,memcpy+10 --json --symbols @", &d, &err), 0, "%s", err.text);
	cr_assert(d.n_at == 2 && d.at[0].is_number && d.at[0].address == 0xadd && !d.at[1].is_number && d.json);
	cr_assert(d.at[1].len == 9 && strncmp(d.at[1].text, "memcpy+10", 9) == 0);
	cr_assert_eq(dump("dump --words - --stage irfd", &d, &err), 0, "%s", err.text);
	cr_assert(d.words_from_stdin && d.n_words == 0);
}

static int read_words(const char *text, size_t bytes, struct dump_options *d, struct options_error *err)
{
	FILE *f = fmemopen((void *)(uintptr_t)text, bytes, "r");
	int r;

	memset(d, 0, sizeof(*d));
	r = options_read_words(f, d, err);
	fclose(f);
	return r;
}

Test(options, words_from_stream)
{
	static const char good[] = " 24020001,0x03e00008\n\t0 ,\nffffffff", nul[] = "24020001\0z";
	struct options_error err;
	struct dump_options d;
	char many[2 * DUMP_MAX_WORDS + 3];

	cr_assert_eq(read_words(good, strlen(good), &d, &err), 0, "%s", err.text);
	cr_assert(d.n_words == 4 && d.words[0] == 0x24020001 && d.words[1] == 0x03e00008);
	cr_assert(d.words[2] == 0 && d.words[3] == 0xffffffff);
	cr_assert_eq(read_words("\n", 1, &d, &err), -EINVAL);
	cr_assert(strstr(err.text, "no words"));
	cr_assert_eq(read_words("1 lw 2", 6, &d, &err), -EINVAL);
	cr_assert(strstr(err.text, "'lw'"), "%s", err.text);
	cr_assert_eq(read_words(nul, sizeof(nul) - 1, &d, &err), -EINVAL);
	cr_assert_eq(read_words("0000000000000000000000000000000000000001", 40, &d, &err), -EINVAL);
	for (size_t i = 0; i < sizeof(many); i += 2)
		memcpy(many + i, "1 ", i + 2 > sizeof(many) ? 1 : 2);
	cr_assert_eq(read_words(many, (size_t)2 * DUMP_MAX_WORDS, &d, &err), 0, "%s", err.text);
	cr_assert_eq(d.n_words, DUMP_MAX_WORDS);
	cr_assert_eq(read_words(many, sizeof(many), &d, &err), -EINVAL);
	cr_assert(strstr(err.text, "more than 1024"), "%s", err.text);
}

Test(options, dump_refused)
{
	static const struct {
		const char *line, *says;
	} t[] = {
	    {"dump", "--kernel, --elf or --words"},
	    {"dump --kernel @", "--at"},
	    {"dump --kernel @ --at 80000000 --words 0", "--words"},
	    {"dump --kernel @ --at 80000000 --be", "--be"},
	    {"dump --elf @ --words 0 --at 0", "not together with --elf"},
	    {"dump --elf @ --kernel @ --at 0", "--elf: not together with --kernel"},
	    {"dump --elf /nonexistent/e --at 0", "--elf /nonexistent/e: No such file"},
	    {"dump --kernel @ --at 80000002", "multiple of 4"},
	    {"dump --kernel @ --at 80zz", "--at 80zz"},
	    {"dump --kernel @ --at main,,x", "--at"},
	    {"dump --words 0 --at main", "--at main"},
	    {"dump --words 0 --symbols /nonexistent/s", "--symbols /nonexistent/s: No such file"},
	    {"dump --words - 1", "--words -"},
	    {"dump --kernel @ --at 0 --words -", "--words"},
	    {"dump --words 0 --at 0,4", "--at"},
	    {"dump --words 123456789", "123456789"},
	    {"dump --words 0,,1", "--words"},
	    {"dump --words 0 xyz", "xyz"},
	    {"dump 24020001", "'24020001'"},
	    {"dump --words 0 --stage q", "'q'"},
	    {"dump --words 0 --stage L", "need --tier 2"},
	    {"dump --words 0 --tier 3", "--tier 3"},
	    {"dump --words 0 --mode super", "--mode super"},
	    {"dump --diff @", "with which"},
	    {"dump --diff @ @ @", "here are more"},
	    {"dump --diff /nonexistent/a @", "--diff /nonexistent/a: No such file"},
	    {"dump --diff @ /nonexistent/b", "--diff /nonexistent/b: No such file"},
	    {"dump --diff @ @ --tier 1", "--tier: not together with --diff"},
	    {"dump --diff @ @ --stable", "--stable: not together with --diff"},
	    {"dump --diff @ @ --words 0", "--words: not together with --diff"},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct options_error err = {{0}};
		struct dump_options d;

		cr_expect_eq(dump(t[i].line, &d, &err), -EINVAL, "%s", t[i].line);
		cr_expect(strstr(err.text, t[i].says), "%s: '%s' lacks '%s'", t[i].line, err.text, t[i].says);
	}
}

/* More words and addresses than there is room for. */
Test(options, dump_bounds)
{
	static char words[(DUMP_MAX_WORDS + 1) * 2], addrs[(DUMP_MAX_ADDRS + 1) * 2];
	char *argv[] = {"dump", "--words", words, NULL},
	     *argv2[] = {"dump", "--kernel", "/proc/self/exe", "--at", addrs, NULL};
	struct options_error err;
	struct dump_options d;

	for (unsigned i = 0; i < DUMP_MAX_WORDS; i++)
		memcpy(words + 2 * i, "0,", 2);
	words[2 * DUMP_MAX_WORDS - 1] = 0;
	cr_assert_eq(options_parse_dump(3, argv, &d, &err), 0);
	cr_assert_eq(d.n_words, DUMP_MAX_WORDS);
	memcpy(words + 2 * DUMP_MAX_WORDS - 1, ",0", 3);
	cr_assert_eq(options_parse_dump(3, argv, &d, &err), -EINVAL);
	for (unsigned i = 0; i <= DUMP_MAX_ADDRS; i++)
		memcpy(addrs + 2 * i, "0,", 2);
	addrs[2 * DUMP_MAX_ADDRS + 1] = 0;
	cr_assert_eq(options_parse_dump(5, argv2, &d, &err), -EINVAL);
}

Test(options, timeout)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {{"90", 90000}, {"2.5", 2500},     {"0.25", 250},    {"0.001", 1},
		    {"0.0001", 1}, {"1.99999", 2000}, {"7.0000", 7000}, {"1000000000", 1000000000000}};
	static const char *const bad[][2] = {
	    {"run --kernel @ --timeout 0", "--timeout 0: a run needs"},
	    {"run --kernel @ --timeout 0.000", "--timeout 0.000: a run needs"},
	    {"run --kernel @ --timeout -1", "--timeout -1: not a number"},
	    {"run --kernel @ --timeout 1.", "--timeout 1.: not a number"},
	    {"run --kernel @ --timeout .5", "--timeout .5: not a number"},
	    {"run --kernel @ --timeout 1e3", "--timeout 1e3: not a number"},
	    {"run --kernel @ --timeout 5s", "--timeout 5s: not a number"},
	    {"run --kernel @ --timeout 1,5", "--timeout 1,5: not a number"},
	    {"run --kernel @ --timeout nan", "--timeout nan: not a number"},
	    {"run --kernel @ --timeout 1000000001", "--timeout 1000000001: at most"},
	    {"run --kernel @ --timeout 99999999999999999999999", "at most"},
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct options_error err = {{0}};
		struct run_options o;
		char line[128];

		snprintf(line, sizeof(line), "run --kernel @ --timeout %s", good[i].text);
		cr_assert_eq(run(line, &o, &err), 0, "%s", err.text);
		cr_assert_eq(o.timeout.ms, good[i].ms, "%s", good[i].text);
		cr_assert_str_eq(o.timeout.text, good[i].text);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct options_error err = {{0}};
		struct run_options o;

		cr_assert_eq(run(bad[i][0], &o, &err), -EINVAL, "%s", bad[i][0]);
		cr_assert(strstr(err.text, bad[i][1]), "'%s': '%s'", bad[i][0], err.text);
	}
}
