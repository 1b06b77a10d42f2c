/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include "vmm/cli/run_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "jit/store/store.h"
#include "vmm/cli/commands.h"

/* Where the translation store is. */

/* What it has to say comes from its own thread, or from where it is closed, when no machine is left to say it in its name. */
static void warn(void *opaque, const char *text)
{
	const struct session *s = opaque;

	fprintf(stderr, "%s: %s\n", s->speaker, text);
}

/* disco/store in the user's folder of caches, with what of that is not there yet; allocated, or NULL. */
static char *default_folder(void)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char *base, *folder = NULL;
	int n;

	if (cache && *cache == '/')
		n = asprintf(&base, "%s", cache);
	else if (home && *home == '/')
		n = asprintf(&base, "%s/.cache", home);
	else
		return NULL;
	if (n < 0)
		return NULL;
	(void)mkdir(base, 0700);
	if (asprintf(&folder, "%s/disco", base) < 0)
		folder = NULL;
	free(base);
	if (!folder)
		return NULL;
	(void)mkdir(folder, 0700); /* what is wrong is seen when the store is opened */
	n = asprintf(&base, "%s/store", folder);
	free(folder);
	return n < 0 ? NULL : base;
}

int session_store_open(struct session *s)
{
	const struct run_options *opt = s->first->opt; /* what is the process's is the same in all */
	char *folder = opt->store.on && !opt->store.folder ? default_folder() : NULL;
	struct store_config cfg = {.folder = folder ? folder : opt->store.folder,
				   .bytes = opt->store_bytes ? opt->store_bytes : STORE_DEFAULT_BYTES,
				   .warn = warn,
				   .opaque = s};
	struct store_error err = {"neither $XDG_CACHE_HOME nor $HOME says where"};
	int e;

	if (!opt->store.on)
		return STATUS_OK;
	e = cfg.folder ? store_open(&s->store, &cfg, &err) : -ENOENT;
	free(folder);
	if (!e)
		return STATUS_OK;
	run_say(s->first, "--store: %s", err.text);
	return STATUS_FAILED;
}
