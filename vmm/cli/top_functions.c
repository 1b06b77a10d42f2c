/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/boot/loader.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/control_find.h"
#include "vmm/cli/options.h"
#include "vmm/cli/top.h"
#include "vmm/control/client.h"
#include "vmm/look/functions.h"
#include "vmm/look/guest_names.h"

/* `disco top --functions`: the monitor says where a machine was found, and the files that this process can read what is there. */

enum { DEFAULT_SECONDS = 5, TABLE_ROWS = 40, ANSWER_WAIT_S = 30 };

struct looking {
	const struct found_machine *f;
	const struct control_options *opt;
	struct control_client *c;
	struct guest_names *names;
	FILE *svg;
	unsigned ms;
};

static int bad(const char *what, const char *why)
{
	fprintf(stderr, "disco top: %.300s: %s\n", what, why);
	return STATUS_FAILED;
}

/* ---- what the monitor says ---- */

static uint64_t half_of(const char *hex)
{
	char digits[17];

	snprintf(digits, sizeof(digits), "%.16s", hex);
	return strtoull(digits, NULL, 16);
}

/* False: it is none. */
static bool take_place(const json_t *from, struct profile_place *to)
{
	const char *content = json_string_value(json_object_get(from, "content"));
	json_int_t n = json_integer_value(json_object_get(from, "samples"));

	if (!content || strlen(content) != 32 || n < 1 || n > INT32_MAX)
		return false;
	*to = (struct profile_place){.pc = (uint32_t)json_integer_value(json_object_get(from, "pc")),
				     .content = {half_of(content + 16), half_of(content)},
				     .user = json_is_true(json_object_get(from, "user")),
				     .unmapped = json_is_true(json_object_get(from, "unmapped")),
				     .n = (uint32_t)n};
	return true;
}

/* Added up anew: percentages are of what is shown. */
static void take_sum(const json_t *from, struct profile_sum *to)
{
	const json_t *list = json_object_get(from, "places"), *place;
	json_int_t lost = json_integer_value(json_object_get(from, "lost"));
	size_t i;

	to->lost = to->samples = lost > 0 ? (uint64_t)lost : 0;
	json_array_foreach(list, i, place)
	{
		if (to->n < PROFILE_PLACES && take_place(place, &to->place[to->n]))
			to->samples += to->place[to->n++].n;
	}
}

static json_t *ask(const struct looking *l, unsigned ms, struct control_error *err)
{
	json_t *arguments = json_pack("{s:s}", "machine", l->f->name);

	if (ms)
		json_object_set_new(arguments, "ms", json_integer(ms));
	return control_client_ask(l->c, "x-profile", arguments, ANSWER_WAIT_S, err);
}

/* NULL: it could not be, which is said. */
static json_t *sample(const struct looking *l)
{
	struct timespec left = {.tv_sec = l->ms / 1000, .tv_nsec = l->ms % 1000 * 1000000};
	struct control_error err;
	json_t *answer = ask(l, l->ms, &err);

	if (answer) {
		json_decref(answer);
		while (nanosleep(&left, &left) && errno == EINTR)
			;
		answer = ask(l, 0, &err);
	}
	if (!answer)
		(void)bad(l->f->name, err.text);
	return answer;
}

/* ---- what it is called ---- */

static int read_names(struct looking *l)
{
	struct control_error err = {{0}};
	struct loader_error why = {{0}};
	json_t *list = control_client_call(l->c, "x-query-machines", l->f->name, &err);
	const char *kernel = json_string_value(json_object_get(json_array_get(list, 0), "kernel"));
	int status = STATUS_OK;

	if (!list) {
		status = bad(l->f->name, err.text);
	} else if (!kernel) {
		status = bad(l->f->name, "its monitor does not say which kernel it has");
	} else if (guest_names_open(&l->names, kernel, l->opt->symbols, l->opt->files, "--files", &why)) {
		fprintf(stderr, "disco top: %s\n", why.text);
		status = STATUS_FAILED;
	}
	json_decref(list);
	return status;
}

/* ---- all of it ---- */

/* What was in the file stays there until there is something better. */
static int open_svg(struct looking *l)
{
	int fd = l->opt->svg ? open(l->opt->svg, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;

	if (!l->opt->svg)
		return STATUS_OK;
	l->svg = fd < 0 ? NULL : fdopen(fd, "w");
	return l->svg ? STATUS_OK : bad(l->opt->svg, strerror(errno));
}

static int write_svg(struct looking *l, const struct functions *f)
{
	bool lost;

	if (!l->svg)
		return STATUS_OK;
	(void)!ftruncate(fileno(l->svg), 0); /* a pipe has no length */
	functions_draw(f, l->svg);
	lost = ferror(l->svg);
	lost |= fclose(l->svg) != 0;
	l->svg = NULL;
	return lost ? bad(l->opt->svg, strerror(errno)) : STATUS_OK;
}

static int show(struct looking *l, const json_t *answer)
{
	struct functions f = {.machine = l->f->name, .ms = l->ms};
	struct profile_sum *sum = calloc(1, sizeof(*sum));
	int status = STATUS_OK;

	if (sum) {
		take_sum(answer, sum);
		guest_names_set_slide(l->names, (uint32_t)json_integer_value(json_object_get(answer, "slide")));
	}
	if (!sum || functions_sum(&f, l->names, sum))
		status = bad(l->f->name, "the host has no memory left");
	else if (l->opt->json)
		functions_print_json(&f, stdout);
	else if (l->opt->folded)
		functions_print_folded(&f, stdout);
	else
		functions_print(&f, TABLE_ROWS, stdout);
	status = status ? status : write_svg(l, &f);
	functions_free(&f);
	free(sum);
	return status;
}

int top_functions(const struct found_machine *f, const struct control_options *opt)
{
	struct looking l = {.f = f, .opt = opt, .ms = 1000 * (opt->seconds ? opt->seconds : DEFAULT_SECONDS)};
	json_t *answer = NULL;
	int status;

	if (control_client_open(&l.c, f->monitor))
		return bad(f->name, "its monitor is gone");
	status = read_names(&l);
	status = status ? status : open_svg(&l);
	if (!status) {
		answer = sample(&l);
		status = answer ? show(&l, answer) : STATUS_FAILED;
	}
	json_decref(answer);
	if (l.svg)
		fclose(l.svg);
	guest_names_free(l.names);
	control_client_close(l.c);
	return status;
}
