/* SPDX-License-Identifier: MIT */
#include "vmm/cli/run_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "vmm/cli/commands.h"
#include "vmm/look/trace_file.h"

/* What a machine ended with, and what is said about it. */

/* A command: its own status, or 125 and why there is none. */
static int command_status(const struct run *r, enum vm_end why)
{
	int status;
	enum agent_result result = agent_result(r->agent, &status);

	if (result == AGENT_STATUS)
		return status;
	if (result == AGENT_QUIT) {
		run_say(r, "left before the command had ended");
		return AGENT_NO_STATUS;
	}
	if (run_stopped(r))
		return AGENT_NO_STATUS; /* stop_status() will say which */
	console_tail_print(&r->tail, stderr);
	if (result == AGENT_REFUSED)
		run_say(r, "the command was not run: %s", agent_failure(r->agent));
	else if (why == VM_NO_MEMORY)
		run_say(r, "the host has no memory left for the guest");
	else
		run_say(r, "the guest %s before the command had ended",
			r->panic.seen     ? "panicked"
			: why == VM_RESET ? "restarted"
					  : "powered off");
	return AGENT_NO_STATUS;
}

/* A kernel that powers off has not panicked, whatever was printed. */
static int status_of(const struct run *r, enum vm_end why)
{
	if (r->opt->command)
		return command_status(r, why);
	if (r->hidden && why != VM_QUIT)
		console_tail_print(&r->tail, stderr);
	if (r->panic.seen && why != VM_POWER_OFF) {
		run_say(r, "the guest panicked");
		return STATUS_FAILED;
	}
	if (why == VM_NO_MEMORY) {
		run_say(r, "the host has no memory left for the guest");
		return STATUS_FAILED;
	}
	if (why == VM_POWER_OFF && r->vm->exit_status >= 0)
		return r->vm->exit_status;
	return STATUS_OK;
}

enum { LAST_EVENTS = 32 };

/* If some were wanted, and do not stand there anyway. */
static void show_last_events(const struct run *r)
{
	const struct session *s = r->session;
	char *text = NULL;
	size_t bytes;
	FILE *out;

	if (!trace_switched_on(s->trace) || trace_file_is_stderr(s->trace_file))
		return;
	out = open_memstream(&text, &bytes);
	if (!out)
		return;
	trace_last(s->trace, r->opt->name, LAST_EVENTS, trace_print, out);
	if (!fclose(out) && *text) {
		run_say(r, "the last events of --trace:");
		fputs(text, stderr);
	}
	free(text);
}

int run_status(const struct run *r, enum vm_end why)
{
	int status = status_of(r, why);

	if (r->panic.seen && why != VM_POWER_OFF)
		show_last_events(r);
	return status;
}

/* Most often it is that, and not the host. */
static const char *address_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY
		   ? ""
		   : "; there is a limit of address space (ulimit -v)";
}

int run_cannot_make(const struct run *r, int err, const struct vm_want *want)
{
	if (err == -ENOMEM && want->what)
		run_say(r, "cannot make the machine: the host gives no %lluM for %s%s",
			(unsigned long long)((want->bytes + (1 << 20) - 1) >> 20), want->what, address_limit());
	else
		run_say(r, "cannot make the machine: %s", strerror(-err));
	return STATUS_FAILED;
}

/* ---- several ---- */

enum { SHOWN_FAILURES = 8 };

int session_status(const struct session *s)
{
	unsigned failed = 0, n = 0;
	int status = STATUS_OK;

	for (unsigned i = 0; i < s->n; i++) {
		if (s->run[i]->removed)
			continue;
		n++;
		failed += s->run[i]->status != STATUS_OK;
		status = status ? status : s->run[i]->status;
	}
	if (!s->several || !failed || stop_asked(s->stop))
		return status;
	fprintf(stderr, "%s: %u of %u machines failed:", s->speaker, failed, n);
	failed = 0;
	for (unsigned i = 0; i < s->n; i++)
		if (!s->run[i]->removed && s->run[i]->status != STATUS_OK && failed++ < SHOWN_FAILURES)
			fprintf(stderr, "%s %s (status %d)", failed == 1 ? "" : ",", s->run[i]->opt->name,
				s->run[i]->status);
	fprintf(stderr, "%s\n", failed > SHOWN_FAILURES ? ", ..." : "");
	return status;
}
