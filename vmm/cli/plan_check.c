/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "numa/numa.h"
#include "vmm/boot/loader.h"
#include "vmm/cli/plan.h"

/* What the machines of a plan must fulfil together. */

/* A file of a machine's. */
struct use {
	const struct run_options *machine;
	unsigned index; /* in the plan; NOT_MINE: of another */
	const char *option, *text;
	bool writes;
	bool exists;
	dev_t dev;
	ino_t ino;
	char *place; /* if it does not exist: its directory's real path, and its name */
};

#define NOT_MINE UINT32_MAX

struct uses {
	unsigned n;
	struct use *use;
};

static int no_memory(struct options_error *err) { return options_bad(err, "the host has no memory left"); }

static char *place_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("."), *real, *place = NULL;

	if (!dir)
		return NULL;
	real = realpath(dir, NULL);
	if (asprintf(&place, "%s/%s", real ? real : dir, slash ? slash + 1 : path) < 0)
		place = NULL;
	free(real);
	free(dir);
	return place;
}

/* Devices, pipes and the like may be anybody's. */
static bool add_use(struct uses *u, struct use use)
{
	struct stat st;

	if (!use.text)
		return true;
	use.exists = stat(use.text, &st) == 0;
	if (use.exists && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return true;
	use.dev = use.exists ? st.st_dev : 0;
	use.ino = use.exists ? st.st_ino : 0;
	use.place = use.exists ? NULL : place_of(use.text);
	if (!use.exists && !use.place)
		return false;
	u->use[u->n++] = use;
	return true;
}

static bool same_file(const struct use *a, const struct use *b)
{
	if (a->exists != b->exists)
		return false;
	return a->exists ? a->dev == b->dev && a->ino == b->ino : strcmp(a->place, b->place) == 0;
}

static bool add_machine(struct uses *u, const struct run_options *o, unsigned index)
{
	const struct use of = {.machine = o, .index = index, .writes = true};
	struct use use = of;
	bool good;

	use.option = "--stats";
	use.text = o->stats_file;
	good = add_use(u, use);
	for (unsigned k = 0; good && k < o->n_disks; k++) {
		const struct run_disk *d = &o->disk[k];

		use = of;
		use.option = "--disk";
		use.text = d->path;
		use.writes = d->mode == DISK_RW;
		good = add_use(u, use);
		use = of;
		use.option = "--disk: overlay";
		use.text = d->overlay;
		good = good && add_use(u, use);
	}
	return good;
}

/* One who writes, and another one.  b is the plan's: the others came first. */
static int find_conflict(const struct uses *u, unsigned *which, struct options_error *err)
{
	for (unsigned i = 0; i < u->n; i++) {
		for (unsigned k = 0; k < i; k++) {
			const struct use *a = &u->use[k], *b = &u->use[i], *writer = a->writes ? a : b;
			const struct use *other = writer == a ? b : a;

			if (a->machine == b->machine || !writer->writes || b->index == NOT_MINE || !same_file(a, b))
				continue;
			*which = b->index;
			return options_bad(err, "%s %.200s: %s writes to it, and %s has it too%s", b->option, b->text,
					   writer->machine->name, other->machine->name,
					   strcmp(writer->option, "--disk") == 0
					       ? "; mode=cow gives each a layer of its own"
					       : "; {n} in its name is each one's number");
		}
	}
	return 0;
}

static int check_files(const struct plan *p, unsigned *which, struct options_error *err)
{
	size_t machines = (size_t)p->n + p->n_others;
	struct uses u = {.use = calloc(machines * (2 * RUN_MAX_DISKS + 1), sizeof(*u.use))};
	bool good = u.use != NULL;
	int r;

	for (unsigned i = 0; good && i < p->n_others; i++)
		good = p->other[i].ended || add_machine(&u, p->other[i].opt, NOT_MINE);
	for (unsigned i = 0; good && i < p->n; i++)
		good = add_machine(&u, &p->opt[i], i);
	r = good ? find_conflict(&u, which, err) : no_memory(err);
	for (unsigned i = 0; i < u.n; i++)
		free(u.use[i].place);
	free(u.use);
	return r;
}

static int check_memory(const struct plan *p, struct options_error *err)
{
	uint64_t bytes = 0;
	unsigned n = p->n;
	int r = 0;

	for (unsigned i = 0; i < p->n; i++)
		bytes += p->opt[i].mem_bytes;
	for (unsigned i = 0; i < p->n_others; i++) {
		bytes += p->other[i].ended ? 0 : p->other[i].opt->mem_bytes;
		n += !p->other[i].ended;
	}
	if (p->n && p->opt->numa.flash) {
		r = numa_config_check_guests(&p->opt->numa.cfg, "--numa", bytes, err);
		bytes = p->opt->numa.cfg.memory;
		if (!r && bytes > machine_memory_host_bytes())
			r = options_bad(err, "--numa: memory=%lluM, and this host has only %lluM",
					(unsigned long long)bytes >> 20,
					(unsigned long long)machine_memory_host_bytes() >> 20);
	}
	if (r || bytes <= machine_memory_host_bytes())
		return r;
	return options_bad(err, "--mem: %u machines with %lluM together, and this host has only %lluM", n,
			   (unsigned long long)bytes >> 20, (unsigned long long)machine_memory_host_bytes() >> 20);
}

/* What can be done with one machine only. */
static int check_alone(const struct run_options *o, struct options_error *err)
{
	if (o->tty == RUN_TTY_ON)
		return options_bad(err, "--tty: there is one terminal, and there are several machines");
	if (o->dump)
		return options_bad(err, "--dump: of one machine only");
	return 0;
}

static bool is_taken(const struct plan *p, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (strcmp(p->opt[i].name, p->opt[k].name) == 0)
			return true;
	for (unsigned k = 0; k < p->n_others; k++)
		if (strcmp(p->opt[i].name, p->other[k].opt->name) == 0)
			return true;
	return false;
}

static int check_names(const struct plan *p, unsigned *which, struct options_error *err)
{
	for (unsigned i = 0; i < p->n; i++)
		if (is_taken(p, i)) {
			*which = i;
			return options_bad(err, "--name %s: there are two of that name", p->opt[i].name);
		}
	return 0;
}

/* As the one before, which most are: looked at already. */
static bool boots_the_same(const struct run_options *a, const struct run_options *b)
{
	return a->mem_bytes == b->mem_bytes && strcmp(a->kernel, b->kernel) == 0 && !a->initrd == !b->initrd &&
	       (!a->initrd || strcmp(a->initrd, b->initrd) == 0);
}

static int check_images(const struct plan *p, unsigned *which, struct options_error *err)
{
	struct loader_error why = {{0}};
	bool initrd;

	for (unsigned i = 0; i < p->n; i++) {
		const struct run_options *o = &p->opt[i];

		if (i && boots_the_same(o, o - 1))
			continue;
		*which = i;
		if (loader_check(o->kernel, o->initrd, o->mem_bytes, p->several, &initrd, &why))
			return options_bad(err, "%s %.480s", initrd ? "--initrd" : "--kernel", why.text);
	}
	return 0;
}

int plan_check(const struct plan *p, unsigned *which, struct options_error *err)
{
	unsigned nobody;
	int r = 0;

	which = which ? which : &nobody;
	*which = 0;
	for (unsigned i = 0; !r && p->several && i < p->n; i++) {
		*which = i;
		r = check_alone(&p->opt[i], err);
	}
	if (!r)
		r = check_names(p, which, err);
	if (!r)
		r = check_memory(p, err);
	if (!r)
		r = check_files(p, which, err);
	return r ? r : check_images(p, which, err);
}
