/* SPDX-License-Identifier: MIT */
/* The command line: devices, commands, and what follows from them. */
#define _GNU_SOURCE
#include "vmm/cli/options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_ARGS 32

/* A directory with an image, a kernel and an initrd beside it, an image without, and a directory to share. */
struct files {
	char dir[64];
	char old[4096];
};

static void make(const char *name)
{
	FILE *f = fopen(name, "w");

	cr_assert_not_null(f);
	fputs("x", f);
	fclose(f);
}

static void files_make(struct files *f)
{
	strcpy(f->dir, "/tmp/disco-options-XXXXXX");
	cr_assert_not_null(mkdtemp(f->dir));
	cr_assert_not_null(getcwd(f->old, sizeof(f->old)));
	cr_assert_eq(chdir(f->dir), 0);
	make("a.img");
	make("a.vmlinuz");
	make("a.initrd");
	make("b.img");
	make("b.vmlinuz");
	make("b.vmlinux");
	make("c.img");
	make("x,y.img");
	make("script");
	cr_assert_eq(mkdir("share", 0755), 0);
	cr_assert_eq(mkdir("d.d", 0755), 0);
	make("d.d/noext");
}

static void files_remove(const struct files *f)
{
	static const char *const names[] = {"a.img",     "a.vmlinuz", "a.initrd", "b.img",  "b.vmlinuz",
					    "b.vmlinux", "c.img",     "x,y.img",  "script", "d.d/noext"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unlink(names[i]);
	rmdir("share");
	rmdir("d.d");
	cr_assert_eq(chdir(f->old), 0);
	rmdir(f->dir);
}

/* Split at spaces. Options point into it. */
static int run(const char *line, struct run_options *out, struct options_error *err)
{
	static char text[2048];
	static char *argv[MAX_ARGS];
	int argc = 0;

	snprintf(text, sizeof(text), "%s", line);
	for (char *p = strtok(text, " "); p && argc < MAX_ARGS - 1; p = strtok(NULL, " "))
		argv[argc++] = p;
	argv[argc] = NULL;
	return options_parse_run(argc, argv, out, err);
}

Test(options_devices, disks)
{
	struct options_error err = {{0}};
	struct run_options o;
	struct files f;

	files_make(&f);
	cr_assert_eq(run("run --disk a.img --disk x,,y.img,mode=cow,serial=S1 --disk c.img,overlay=o,,v,format=qcow2 "
			 "--disk b.img,mode=ro,format=raw",
			 &o, &err),
		     0, "%s", err.text);
	cr_assert_eq(o.n_disks, 4);
	cr_assert_str_eq(o.disk[0].path, "a.img");
	cr_assert(o.disk[0].mode == DISK_RW && o.disk[0].format == DISK_FORMAT_AUTO && !o.disk[0].serial &&
		  !o.disk[0].overlay);
	cr_assert_str_eq(o.disk[1].path, "x,y.img");
	cr_assert_str_eq(o.disk[1].serial, "S1");
	cr_assert_eq(o.disk[1].mode, DISK_COW);
	/* a layer that is kept is one for copy on write */
	cr_assert(o.disk[2].mode == DISK_COW && o.disk[2].format == DISK_FORMAT_QCOW2);
	cr_assert_str_eq(o.disk[2].overlay, "o,v");
	cr_assert(o.disk[3].mode == DISK_RO && o.disk[3].format == DISK_FORMAT_RAW);
	for (unsigned i = 0; i < 4; i++) /* as QEMU */
		cr_assert(o.disk[i].werror == DISK_ENOSPC && o.disk[i].rerror == DISK_REPORT);
	/* the kernel beside the first */
	cr_assert_str_eq(o.kernel, "a.vmlinuz");
	cr_assert_str_eq(o.initrd, "a.initrd");
	cr_assert_not_null(strstr(o.append, "root=/dev/vda rw"));
	options_free_run(&o);
	cr_assert_eq(run("run --disk a.img,werror=report,rerror=stop --disk b.img,werror=stop,rerror=ignore --disk "
			 "c.img,werror=ignore,rerror=report --disk x,,y.img,werror=enospc",
			 &o, &err),
		     0, "%s", err.text);
	cr_assert(o.disk[0].werror == DISK_REPORT && o.disk[0].rerror == DISK_STOP);
	cr_assert(o.disk[1].werror == DISK_STOP && o.disk[1].rerror == DISK_IGNORE);
	cr_assert(o.disk[2].werror == DISK_IGNORE && o.disk[2].rerror == DISK_REPORT);
	cr_assert(o.disk[3].werror == DISK_ENOSPC);
	options_free_run(&o);
	/* an unpacked one first, no initrd, and a disk that cannot be written */
	cr_assert_eq(run("run --disk b.img,mode=ro", &o, &err), 0, "%s", err.text);
	cr_assert_str_eq(o.kernel, "b.vmlinux");
	cr_assert_null(o.initrd);
	cr_assert_not_null(strstr(o.append, "root=/dev/vda ro"));
	options_free_run(&o);
	/* what the user says goes before */
	cr_assert_eq(run("run --disk a.img --kernel script --append root=LABEL=x", &o, &err), 0, "%s", err.text);
	cr_assert_str_eq(o.kernel, "script");
	cr_assert_null(o.initrd);
	cr_assert_str_eq(o.append, "root=LABEL=x");
	options_free_run(&o);
	files_remove(&f);
}

Test(options_devices, nets)
{
	struct options_error err = {{0}};
	struct run_options o;
	struct files f;

	files_make(&f);
	cr_assert_eq(run("run --kernel script", &o, &err), 0, "%s", err.text);
	cr_assert(o.n_nets == 1 && o.net[0].kind == NET_USER);
	cr_assert_str_eq(o.append, "", "one card behind NAT is what a guest expects");
	options_free_run(&o);
	cr_assert_eq(run("run --kernel script --icount", &o, &err), 0, "%s", err.text);
	cr_assert_eq(o.n_nets, 0);
	options_free_run(&o);
	cr_assert_eq(run("run --kernel script --net none", &o, &err), 0, "%s", err.text);
	cr_assert_eq(o.n_nets, 0);
	options_free_run(&o);
	cr_assert_eq(run("run --kernel script --icount --net socket=/tmp/n --net user,hostfwd=tcp::2222-:22", &o, &err),
		     0, "%s", err.text);
	cr_assert(o.n_nets == 2 && o.net[0].kind == NET_SOCKET && o.net[1].kind == NET_USER);
	cr_assert_eq(o.net[1].n_forwards, 1);
	cr_assert_str_eq(o.append, " disco.net=socket,user");
	options_free_run(&o);
	cr_assert_eq(run("run --kernel script --net lan=a,mac=02:00:00:00:00:09 --net lan,gateway=on", &o, &err), 0,
		     "%s", err.text);
	cr_assert(o.n_nets == 2 && o.net[0].kind == NET_LAN && o.net[1].kind == NET_LAN);
	cr_assert_str_eq(o.append, " disco.net=lan,gateway");
	options_free_run(&o);
	files_remove(&f);
}

Test(options_devices, others)
{
	struct options_error err = {{0}};
	struct run_options o;
	struct files f;

	files_make(&f);
	cr_assert_eq(run("run --kernel script --share share --share share,ro --share share,tag=a.B_c-1 --terminal pty "
			 "--terminal unix=/tmp/t --balloon 64M --mem 128M --quiet-boot",
			 &o, &err),
		     0, "%s", err.text);
	cr_assert(o.n_shares == 3 && !o.share[0].read_only && o.share[1].read_only);
	cr_assert_str_eq(o.share[0].tag, "share");
	cr_assert_str_eq(o.share[1].tag, "share2");
	cr_assert_str_eq(o.share[2].tag, "a.B_c-1");
	cr_assert(o.n_terminals == 2 && !o.terminal[0].path);
	cr_assert_str_eq(o.terminal[1].path, "/tmp/t");
	cr_assert(o.balloon && o.balloon_bytes == 64ull << 20);
	cr_assert(o.quiet_boot && !o.command);
	cr_assert_not_null(strstr(o.append, "console=ttyS0"));
	cr_assert_not_null(strstr(o.append, " quiet disco.agent=ready disco.terminals=2"));
	options_free_run(&o);
	files_remove(&f);
}

/* The last one counts; what is behind "--" is the command's. */
Test(options_devices, tty)
{
	static const struct {
		const char *line;
		enum run_tty tty;
	} t[] = {
	    {"run --kernel a.img -t -- ls", RUN_TTY_ON},
	    {"run --kernel a.img --tty -- ls -T", RUN_TTY_ON},
	    {"run --kernel a.img -t -T -- ls -t", RUN_TTY_OFF},
	    {"run --kernel a.img -Tt -- ls", RUN_TTY_ON},
	    {"run --kernel a.img --no-tty --script script", RUN_TTY_OFF},
	    {"run --kernel a.img -- -t", RUN_TTY_AUTO},
	};
	struct files f;

	files_make(&f);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct options_error err = {{0}};
		struct run_options o;

		cr_expect_eq(run(t[i].line, &o, &err), 0, "%s: %s", t[i].line, err.text);
		cr_expect_eq(o.tty, t[i].tty, "%s", t[i].line);
		options_free_run(&o);
	}
	files_remove(&f);
}

Test(options_devices, commands)
{
	struct options_error err = {{0}};
	struct run_options o;
	struct files f;

	files_make(&f);
	cr_assert_eq(run("run --kernel script --env A=b=c --env B= -- ls -l --mem -- x", &o, &err), 0, "%s", err.text);
	cr_assert(o.command && !o.script && o.argc == 5 && o.n_env == 2 && o.tty == RUN_TTY_AUTO);
	cr_assert_str_eq(o.argv[0], "ls");
	cr_assert_str_eq(o.argv[2], "--mem");
	cr_assert_str_eq(o.argv[3], "--");
	cr_assert_str_eq(o.env[1], "B=");
	cr_assert_not_null(strstr(o.append, "disco.agent=run"));
	options_free_run(&o);
	cr_assert_eq(run("run --kernel script --script script", &o, &err), 0, "%s", err.text);
	cr_assert(o.command && o.argc == 0);
	options_free_run(&o);
	cr_assert_eq(run("run --kernel script --script script --", &o, &err), 0, "%s", err.text);
	cr_assert(o.command && o.argc == 0);
	options_free_run(&o);
	cr_assert_eq(run("run --kernel script --script script -- a b", &o, &err), 0, "%s", err.text);
	cr_assert(o.command && o.argc == 2);
	options_free_run(&o);
	/* a "--" that is an option's value ends nothing */
	cr_assert_eq(run("run --kernel script --append -- --icount", &o, &err), 0, "%s", err.text);
	cr_assert(!o.command && o.icount);
	cr_assert_str_eq(o.append, "--");
	options_free_run(&o);
	files_remove(&f);
}

static void expect_refused(const char *line, const char *says)
{
	struct options_error err = {{0}};
	struct run_options o;

	cr_expect_eq(run(line, &o, &err), -EINVAL, "%s", line);
	cr_expect(strstr(err.text, says), "%s: '%s' lacks '%s'", line, err.text, says);
	cr_expect_null(strchr(err.text, '\n'), "%s: more than one line", line);
	options_free_run(&o);
}

Test(options_devices, refused)
{
	static const struct {
		const char *line, *says;
	} t[] = {
	    {"run --disk /nonexistent/d", "--disk /nonexistent/d: No such file"},
	    {"run --disk share", "--disk share: is a directory"},
	    {"run --disk c.img", "--kernel: missing, and there is no c.vmlinuz beside the disk"},
	    {"run --disk d.d/noext", "no d.d/noext.vmlinuz beside"},
	    {"run --disk ,mode=ro", "name is missing"},
	    {"run --disk a.img,mode=wr", "mode=wr: must be rw, ro or cow"},
	    {"run --disk a.img,mode", "'mode'"},
	    {"run --disk a.img,", "--disk a.img: ''"},
	    {"run --disk a.img,format=vmdk", "format=vmdk"},
	    {"run --disk a.img,serial=", "serial="},
	    {"run --disk a.img,serial=123456789012345678901", "1 to 20"},
	    {"run --disk a.img,overlay=", "overlay="},
	    {"run --disk a.img,mode=rw,overlay=o", "overlay= is for mode=cow"},
	    {"run --disk a.img,color=red", "'color=red'"},
	    {"run --kernel a.img --net wifi", "--net: 'wifi': must be user, lan, lan=, socket= or none"},
	    {"run --kernel a.img --net user --net none", "--net none"},
	    {"run --kernel a.img --net none --net user", "--net none"},
	    {"run --kernel a.img --share /nonexistent/s", "--share /nonexistent/s: No such file"},
	    {"run --kernel a.img --share a.img", "not a directory"},
	    {"run --kernel a.img --share share,rw", "'rw'"},
	    {"run --kernel a.img --share share,tag=", "tag="},
	    {"run --kernel a.img --share share,tag=a/b", "tag=a/b"},
	    {"run --kernel a.img --share share,tag=..", "tag=.."},
	    {"run --kernel a.img --share share,tag=12345678901234567890123456789012", "1 to 31"},
	    {"run --kernel a.img --share share,tag=x --share share,tag=x", "tag=x: is that of share already"},
	    {"run --kernel a.img --share ,ro", "name is missing"},
	    {"run --kernel a.img --terminal tcp", "--terminal: 'tcp': must be pty or unix="},
	    {"run --kernel a.img --terminal unix=", "--terminal: unix=: a socket's path"},
	    {"run --kernel a.img --balloon x", "--balloon x: not a size"},
	    {"run --kernel a.img --balloon 1K", "multiple of 4K"},
	    {"run --kernel a.img --balloon 256M", "only 256M"},
	    {"run --kernel a.img --", "which command?"},
	    {"run --kernel a.img --env A=b", "only with a command"},
	    {"run --kernel a.img --env A -- x", "--env A: must be NAME=VALUE"},
	    {"run --kernel a.img --env =b -- x", "--env =b"},
	    {"run --kernel a.img --script /nonexistent/s", "--script /nonexistent/s: No such file"},
	    {"run --kernel a.img --quiet-boot=1", "takes no value"},
	    {"run --kernel a.img -t", "--tty: only with a command"},
	    {"run --kernel a.img --no-tty", "--no-tty: only with a command"},
	    {"run --kernel a.img --tty=1 -- ls", "takes no value"},
	    {"run --kernel a.img ls", "'ls': not an option"},
	    {"run --kernel a.img ls -- ls", "'ls': not an option"},
	};
	struct files f;

	files_make(&f);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		expect_refused(t[i].line, t[i].says);
	files_remove(&f);
}

Test(options_devices, refused_policies)
{
	static const struct {
		const char *line, *says;
	} t[] = {
	    {"run --disk a.img,werror=retry", "werror=retry: must be report, stop, ignore or enospc"},
	    {"run --disk a.img,werror=", "werror=: must be"},
	    {"run --disk a.img,rerror=enospc", "rerror=enospc: must be report, stop or ignore"},
	};

	struct files f;

	files_make(&f);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		expect_refused(t[i].line, t[i].says);
	files_remove(&f);
}

/* One more than there is room for. */
Test(options_devices, bounds)
{
	static const struct {
		const char *option, *value;
		unsigned most;
	} t[] = {
	    {"--disk", "a.img", RUN_MAX_DISKS},   {"--net", "user", RUN_MAX_NETS},
	    {"--share", "share", RUN_MAX_SHARES}, {"--terminal", "pty", RUN_MAX_TERMINALS},
	    {"--env", "A=b", RUN_MAX_ENV},
	};
	struct files f;

	files_make(&f);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char *argv[2 * RUN_MAX_ENV + 8] = {(char *)"run", (char *)"--kernel", (char *)"script"};
		struct options_error err = {{0}};
		struct run_options o;
		int argc = 3;

		for (unsigned n = 0; n <= t[i].most; n++) {
			argv[argc++] = (char *)(uintptr_t)t[i].option;
			argv[argc++] = (char *)(uintptr_t)t[i].value;
		}
		argv[argc] = (char *)"--";
		argv[argc + 1] = (char *)"x";
		cr_expect_eq(options_parse_run(argc + 2, argv, &o, &err), -EINVAL, "%s", t[i].option);
		cr_expect(strstr(err.text, "at most"), "%s", err.text);
		options_free_run(&o);
		argv[argc - 2] = argv[argc];
		argv[argc - 1] = argv[argc + 1];
		argv[argc] = NULL;
		cr_expect_eq(options_parse_run(argc, argv, &o, &err), 0, "%s: %s", t[i].option, err.text);
		options_free_run(&o);
	}
	files_remove(&f);
}
