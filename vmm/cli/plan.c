/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include "vmm/cli/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER "{n}"

static int no_memory(struct options_error *err) { return options_bad(err, "the host has no memory left"); }

char *plan_number(const char *from, unsigned n)
{
	char number[16], *to, *out;
	size_t len = (size_t)snprintf(number, sizeof(number), "%u", n), bytes = strlen(from) + 1;

	for (const char *p = from; (p = strstr(p, NUMBER)) != NULL; p += strlen(NUMBER))
		bytes += len;
	to = out = malloc(bytes);
	if (!out)
		return NULL;
	for (const char *p = from; *from; from = p) {
		p = strstr(from, NUMBER);
		p = p ? p : from + strlen(from);
		memcpy(to, from, (size_t)(p - from));
		to += p - from;
		if (!*p)
			break;
		memcpy(to, number, len);
		to += len;
		p += strlen(NUMBER);
	}
	*to = '\0';
	return out;
}

char *plan_keep(struct plan *p, char *text)
{
	char **more = text ? realloc(p->text, (p->n_texts + 1) * sizeof(*more)) : NULL;

	if (!more) {
		free(text);
		return NULL;
	}
	p->text = more;
	p->text[p->n_texts++] = text;
	return text;
}

static bool has_number(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (strstr(argv[i], NUMBER))
			return true;
	return false;
}

/* Arguments of machine n, which live as long as the plan. NULL: the host has no memory left. */
static char **number_arguments(struct plan *p, int argc, char **argv, unsigned n)
{
	char **out = (char **)(void *)plan_keep(p, malloc(((size_t)argc + 1) * sizeof(*out)));

	for (int i = 0; out && i < argc; i++) {
		out[i] = plan_keep(p, plan_number(argv[i], n));
		if (!out[i])
			return NULL;
	}
	if (out)
		out[argc] = NULL;
	return out;
}

static int parse(struct plan *p, unsigned i, int argc, char **argv, bool numbered, struct options_error *err)
{
	if (numbered)
		argv = number_arguments(p, argc, argv, i + 1);
	if (!argv)
		return no_memory(err);
	options_free_run(&p->opt[i]);
	return options_parse_run(argc, argv, &p->opt[i], err);
}

/* With --vms: vm1, vm2, ... unless the names differ already. Else: vm. */
static int name_machines(struct plan *p, bool numbered, bool distinct, struct options_error *err)
{
	for (unsigned i = 0; i < p->n; i++) {
		struct run_options *o = &p->opt[i];
		const char *base = o->name ? o->name : "vm";
		char *name = NULL, *speaker = NULL;

		if (!numbered)
			o->name = base;
		else if (asprintf(&name, distinct ? "%s" : "%s%u", base, i + 1) < 0 || !(o->name = plan_keep(p, name)))
			return no_memory(err);
		if (!p->several)
			continue;
		o->number = i + 1;
		if (asprintf(&speaker, "%s: %s", p->speaker, o->name) < 0)
			speaker = NULL;
		o->speaker = plan_keep(p, speaker);
		if (!o->speaker)
			return no_memory(err);
	}
	return 0;
}

int plan_from_arguments(struct plan *p, int argc, char **argv, struct options_error *err)
{
	bool numbered = has_number(argc, argv), distinct;
	int r;

	*p = (struct plan){.speaker = "disco run", .n = 1, .opt = calloc(1, sizeof(*p->opt))};
	if (!p->opt)
		return no_memory(err);
	r = parse(p, 0, argc, argv, numbered, err);
	if (numbered && !p->opt[0].vms && r <= 0)
		r = parse(p, 0, argc, argv, false, err); /* the braces are nothing special then */
	if (r)
		return r;
	if (p->opt[0].vms > 1) {
		struct run_options *more = calloc(p->opt[0].vms, sizeof(*more));

		if (!more)
			return no_memory(err);
		*more = p->opt[0];
		free(p->opt);
		p->opt = more;
		p->n = more->vms;
	}
	for (unsigned i = 1; i < p->n; i++) {
		r = parse(p, i, argc, argv, numbered, err);
		if (r)
			return r;
	}
	p->several = p->opt[0].several;
	distinct = p->n > 1 && p->opt[0].name && strcmp(p->opt[0].name, p->opt[1].name) != 0;
	return name_machines(p, p->opt[0].vms != 0, distinct, err);
}

void plan_free(struct plan *p)
{
	for (unsigned i = 0; p->opt && i < p->n; i++)
		options_free_run(&p->opt[i]);
	for (unsigned i = 0; i < p->n_texts; i++)
		free(p->text[i]);
	free(p->opt);
	free(p->text);
	*p = (struct plan){0};
}
