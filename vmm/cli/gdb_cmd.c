/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/boot/loader.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/control_cmd.h"
#include "vmm/cli/control_find.h"
#include "vmm/cli/options.h"
#include "vmm/control/client.h"
#include "vmm/look/elf_image.h"
#include "vmm/look/symbol_file.h"
#include "vmm/look/symbols.h"

/* `disco gdb`: gdb for a machine that runs, with all of it set up; and the pipe that it comes by. */

static int bad(const char *what, const char *why)
{
	fprintf(stderr, "disco gdb: %.300s: %s\n", what, why);
	return STATUS_FAILED;
}

/* ---- the pipe: bytes between standard input and output and the machine ---- */

static bool pass_on(int from, int to, bool is_socket)
{
	char bytes[4096];
	ssize_t n = read(from, bytes, sizeof(bytes));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	for (ssize_t at = 0; at < n;) {
		ssize_t w = is_socket ? send(to, bytes + at, (size_t)(n - at), MSG_NOSIGNAL)
				      : write(to, bytes + at, (size_t)(n - at));

		if (w < 0 && errno != EINTR)
			return false;
		at += w > 0 ? w : 0;
	}
	return n > 0;
}

static int relay(int fd)
{
	for (bool on = true; on;) {
		struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents)
			on = pass_on(fd, STDOUT_FILENO, false);
		if (on && p[1].revents)
			on = pass_on(STDIN_FILENO, fd, true);
	}
	return STATUS_OK;
}

/* gdb sends Ctrl-C to all of its group, and means the machine. */
static int be_pipe(const struct found_machine *f)
{
	struct control_client *c;
	struct control_error err = {"its monitor is gone"};
	json_t *answer = NULL;
	int status;

	signal(SIGINT, SIG_IGN);
	if (control_client_open(&c, f->monitor))
		c = NULL;
	else
		answer = control_client_call(c, "x-gdb", f->name, &err);
	status = answer ? relay(control_client_fd(c)) : bad(f->name, err.text);
	json_decref(answer);
	control_client_close(c);
	return status;
}

/* ---- gdb ---- */

struct about {
	bool big_endian;
	char *kernel;     /* or NULL: the monitor does not say */
	char symbols[64]; /* a file made for this; "": none */
	const char *file; /* that has symbols, or NULL */
};

static int ask_about(const struct found_machine *f, struct about *a)
{
	struct control_client *c;
	struct control_error err;
	json_t *list, *machine;
	const char *kernel;

	if (control_client_open(&c, f->monitor))
		return bad(f->name, "its monitor is gone");
	list = control_client_call(c, "x-query-machines", f->name, &err);
	machine = json_array_get(list, 0);
	kernel = json_string_value(json_object_get(machine, "kernel"));
	a->kernel = kernel ? strdup(kernel) : NULL;
	a->big_endian = json_is_true(json_object_get(machine, "big-endian"));
	json_decref(list);
	control_client_close(c);
	return machine ? STATUS_OK : bad(f->name, err.text);
}

/* The file's own table is more than what the kernel carries with it. */
static bool has_table(const char *path)
{
	struct symbols *s = symbols_new();
	struct loader_error err;
	bool has = s && symbols_add_elf(s, path, &err) == 0 && symbols_count(s);

	symbols_free(s);
	return has;
}

/* What there is of names; without any gdb goes on, and says so itself. */
static void find_symbols(struct about *a)
{
	struct loader_error err;
	struct elf_image *image;
	FILE *out;
	int fd;

	if (!a->kernel)
		return;
	if (has_table(a->kernel)) {
		a->file = a->kernel;
		return;
	}
	if (elf_image_open(&image, a->kernel, &err)) {
		fprintf(stderr, "disco gdb: no symbols: %s\n", err.text);
		return;
	}
	strcpy(a->symbols, "/tmp/disco-gdb-XXXXXX");
	fd = mkstemp(a->symbols);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	if (out && symbol_file_write(out, image) == 0)
		a->file = a->symbols;
	if (out)
		fclose(out);
	else if (fd >= 0)
		close(fd);
	elf_image_free(image);
}

enum { MAX_ARGUMENTS = 256 };

/* Does not return. */
static void exec_gdb(const struct control_options *opt, const struct found_machine *f, const struct about *a, int argc,
		     char **argv)
{
	const char *args[MAX_ARGUMENTS + 16];
	char self[4096], *target = NULL, *file = NULL;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	unsigned n = 1;

	self[len > 0 ? len : 0] = '\0';
	if (asprintf(&target, "target extended-remote | '%s' gdb --stdio '%s/%s'", len > 0 ? self : "disco", f->monitor,
		     f->name) < 0 ||
	    asprintf(&file, "file \"%s\"", a->file ? a->file : "") < 0)
		exit(STATUS_FAILED);
	for (const char *const *s = (const char *const[]){"-q", "-iex", "set confirm off", "-iex", "set pagination off",
							  "-ex", "set architecture mips:isa32r2", "-ex",
							  a->big_endian ? "set endian big" : "set endian little", NULL};
	     *s; s++)
		args[n++] = *s;
	if (a->file) {
		args[n++] = "-ex";
		args[n++] = file;
	}
	args[n++] = "-ex";
	args[n++] = target;
	for (int i = 0; i < argc && i < MAX_ARGUMENTS; i++)
		args[n++] = argv[i];
	args[n] = NULL;
	for (unsigned i = 0; i < 2; i++) {
		args[0] = opt->gdb ? opt->gdb : i ? "gdb" : "gdb-multiarch";
		execvp(args[0], (char *const *)(uintptr_t)args);
	}
	(void)bad(args[0], errno == ENOENT ? "is not installed (Debian: gdb-multiarch)" : strerror(errno));
	_exit(STATUS_FAILED);
}

static int run_gdb(const struct control_options *opt, const struct found_machine *f, int argc, char **argv)
{
	struct about a = {0};
	int status = ask_about(f, &a), ended = 0;
	pid_t pid;

	if (!status && opt->symbols)
		a.file = opt->symbols;
	else if (!status)
		find_symbols(&a);
	fflush(NULL);
	pid = status ? -1 : fork();
	if (pid == 0)
		exec_gdb(opt, f, &a, argc, argv);
	signal(SIGINT, SIG_IGN); /* it is gdb's */
	while (pid > 0 && waitpid(pid, &ended, 0) < 0 && errno == EINTR)
		;
	if (!status && pid < 0)
		status = bad("gdb", strerror(errno));
	if (a.symbols[0])
		unlink(a.symbols);
	free(a.kernel);
	return status ? status : WIFEXITED(ended) ? WEXITSTATUS(ended) : STATUS_FAILED;
}

int control_gdb(int argc, char **argv)
{
	const struct found_machine *f;
	struct control_options opt;
	const char *name = NULL;
	struct machine_list l;
	int status;

	if (control_arguments(&argc, &argv, &opt, &status))
		return status;
	if (argc && argv[0][0] != '-') {
		name = argv[0];
		argc--;
		argv++;
	}
	l = control_find_all();
	f = control_find_only(&l, "gdb", name);
	status = !f ? STATUS_FAILED : opt.stdio ? be_pipe(f) : run_gdb(&opt, f, argc, argv);
	control_found_free(&l);
	return status;
}
