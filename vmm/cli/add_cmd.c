/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/cli/commands.h"
#include "vmm/cli/control_cmd.h"
#include "vmm/cli/control_find.h"
#include "vmm/cli/options.h"
#include "vmm/control/client.h"

/* `disco add` and `disco rm`: one machine more in a monitor that runs, one less. */

enum {
	MAX_CONFIG_BYTES = 24 << 10 /* as a string of JSON it is at most twice as long, and a request then */,
	WAIT_S = 60
};

static int bad(const char *command, const char *what, const char *why)
{
	fprintf(stderr, "disco %s: %.300s: %s\n", command, what, why);
	return STATUS_FAILED;
}

/* ---- add ---- */

/* All of it, to be freed; NULL: it cannot be, which is said. */
static char *read_config(const char *path)
{
	char *text = malloc(MAX_CONFIG_BYTES + 1);
	FILE *f = fopen(path, "re");
	const char *why = NULL;
	size_t n = 0;

	if (!f || !text) {
		why = strerror(errno);
	} else {
		errno = 0;
		n = fread(text, 1, MAX_CONFIG_BYTES + 1, f);
		if (ferror(f))
			why = strerror(errno);
		else if (n > MAX_CONFIG_BYTES)
			why = "is longer than 24K, which one machine's configuration is not";
		else if (memchr(text, 0, n))
			why = "is no text";
	}
	if (f)
		fclose(f);
	if (!why) {
		text[n] = '\0';
		return text;
	}
	free(text);
	fprintf(stderr, "disco add: %.300s: %s\n", path, why);
	return NULL;
}

/* The file's, absolute, with its last '/'. To be freed; NULL: there is no such thing. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("."), *real, *out;

	real = dir ? realpath(dir, NULL) : NULL;
	if (!real || asprintf(&out, "%s%s", real, strcmp(real, "/") == 0 ? "" : "/") < 0)
		out = NULL;
	free(real);
	free(dir);
	return out;
}

/* Its name, or NULL: it is said why it cannot be told. */
static const char *choose_monitor(const struct machine_list *l, const char *wanted)
{
	if (wanted) {
		for (unsigned i = 0; i < l->n_monitors; i++)
			if (strcmp(l->monitor[i].name, wanted) == 0)
				return wanted;
		control_found_complain(l, "add");
		(void)bad("add", wanted, "no monitor of that name runs; 'disco ps' lists those that do");
		return NULL;
	}
	if (l->n_monitors == 1)
		return l->monitor[0].name;
	if (l->n_monitors)
		fprintf(stderr, "disco add: there are several monitors, as %s and %s: which one, --control?\n",
			l->monitor[0].name, l->monitor[1].name);
	else
		fprintf(stderr, "disco add: no monitor runs\n");
	return NULL;
}

static int add_to(const char *monitor, const char *path, const char *text)
{
	char *folder = folder_of(path);
	json_t *arguments =
	    folder ? json_pack("{s:s, s:s, s:s}", "config", text, "file", path, "folder", folder) : NULL;
	struct control_error err = {"its monitor is gone"};
	struct control_client *c;
	json_t *answer = NULL;

	free(folder);
	if (!arguments)
		return bad("add", path, "it or its folder's name is not UTF-8");
	if (control_client_open(&c, monitor)) {
		json_decref(arguments);
		return bad("add", monitor, err.text);
	}
	answer = control_client_ask(c, "x-add-machine", arguments, WAIT_S, &err);
	control_client_close(c);
	if (!answer)
		fprintf(stderr, "disco add: %s\n", err.text);
	json_decref(answer);
	return answer ? STATUS_OK : STATUS_USAGE;
}

int control_add(int argc, char **argv)
{
	struct control_options opt;
	int status = STATUS_FAILED;
	struct machine_list l;
	const char *monitor;
	char *text;

	if (control_arguments(&argc, &argv, &opt, &status))
		return status;
	text = read_config(argv[0]);
	if (!text)
		return STATUS_USAGE;
	l = control_find_all();
	monitor = choose_monitor(&l, opt.control);
	status = monitor ? add_to(monitor, argv[0], text) : STATUS_FAILED;
	control_found_free(&l);
	free(text);
	return status;
}

/* ---- rm ---- */

static int remove_one(const struct found_machine *f, bool force)
{
	json_t *arguments = json_pack("{s:s, s:b}", "machine", f->name, "force", force), *answer;
	struct control_error err = {{0}};
	struct control_client *c;

	if (!arguments || control_client_open(&c, f->monitor)) {
		json_decref(arguments);
		return bad("rm", f->name, "its monitor is gone");
	}
	answer = control_client_ask(c, "x-remove-machine", arguments, WAIT_S, &err);
	control_client_close(c);
	json_decref(answer);
	return answer ? STATUS_OK : bad("rm", f->monitor, err.text);
}

int control_rm(int argc, char **argv)
{
	struct control_options opt;
	int status = STATUS_OK;
	struct machine_list l;

	if (control_arguments(&argc, &argv, &opt, &status))
		return status;
	l = control_find_all();
	for (int i = 0; i < argc; i++) {
		const struct found_machine *f = control_find(&l, "rm", argv[i], true);
		int one = STATUS_FAILED;

		if (f && !opt.force && !control_has_ended(f))
			(void)bad("rm", f->name, "runs; 'disco stop' has it end, or --force");
		else if (f)
			one = remove_one(f, opt.force);
		status = status ? status : one;
	}
	control_found_free(&l);
	return status;
}
