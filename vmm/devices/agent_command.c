/* SPDX-License-Identifier: MIT */
#include "vmm/devices/agent_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SCRIPT_BYTES = 16 << 20 };

int agent_script_read(const struct run_options *opt, char **out, size_t *bytes)
{
	FILE *f = fopen(opt->script, "rb");
	const char *why = NULL;

	if (!f) {
		why = strerror(errno);
	} else {
		*out = malloc(MAX_SCRIPT_BYTES + 1);
		if (!*out) {
			fclose(f);
			options_say(opt, "the host has no memory left");
			return -ENOMEM;
		}
		*bytes = fread(*out, 1, MAX_SCRIPT_BYTES + 1, f);
		if (ferror(f))
			why = strerror(errno);
		else if (*bytes > MAX_SCRIPT_BYTES)
			why = "longer than 16M";
		else if (!*bytes)
			why = "is empty";
		fclose(f);
	}
	if (why)
		options_say(opt, "--script %s: %s", opt->script, why);
	return why ? -EINVAL : 0;
}

/* TERM as it is here; the agent itself knows nothing of this terminal. */
static const char *default_env(unsigned i, char *buf, size_t n)
{
	static const char *const fixed[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
					    "HOME=/root",
					    "USER=root",
					    "LOGNAME=root",
					    "SHELL=/bin/sh",
					    "LANG=C.UTF-8"};
	const char *term = getenv("TERM");

	if (i < ARRAY_LEN(fixed))
		return fixed[i];
	if (i > ARRAY_LEN(fixed))
		return NULL;
	snprintf(buf, n, "TERM=%s", term && *term ? term : "dumb");
	return buf;
}

static bool overridden(const struct run_options *opt, const char *variable)
{
	size_t n = strcspn(variable, "=") + 1;

	for (unsigned i = 0; i < opt->n_env; i++)
		if (strncmp(opt->env[i], variable, n) == 0)
			return true;
	return false;
}

static void write32(FILE *f, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		fputc((int)(v >> 8 * i & 0xff), f);
}

static void write_string(FILE *f, const char *s) { fwrite(s, 1, strlen(s) + 1, f); }

static bool write_command(FILE *f, const struct run_options *opt, const char *script, size_t script_bytes,
			  const uint8_t tty[AGENT_TTY_BYTES])
{
	uint32_t envc = opt->n_env;
	char term[128];
	const char *v;

	for (unsigned i = 0; (v = default_env(i, term, sizeof(term))) != NULL; i++)
		envc += !overridden(opt, v);
	write32(f, opt->argc + (opt->script != NULL));
	write32(f, envc);
	write32(f, (uint32_t)script_bytes);
	fwrite(tty, 1, AGENT_TTY_BYTES, f);
	if (opt->script)
		write_string(f, "/run/disco-script");
	for (unsigned i = 0; i < opt->argc; i++)
		write_string(f, opt->argv[i]);
	for (unsigned i = 0; (v = default_env(i, term, sizeof(term))) != NULL; i++)
		if (!overridden(opt, v))
			write_string(f, v);
	for (unsigned i = 0; i < opt->n_env; i++)
		write_string(f, opt->env[i]);
	fwrite(script, 1, script_bytes, f);
	return !ferror(f);
}

char *agent_command_text(const struct run_options *opt, const char *script, size_t script_bytes,
			 const uint8_t tty[AGENT_TTY_BYTES], size_t *bytes)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, bytes);
	bool good = f && write_command(f, opt, script, script_bytes, tty);

	if (f && fclose(f))
		good = false;
	if (good)
		return text;
	free(text);
	return NULL;
}
