/* SPDX-License-Identifier: MIT */
#include "vmm/cli/run_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cli/commands.h"
#include "vmm/look/stats.h"

static int failed(const struct run *r)
{
	run_say(r, "--stats=%s: %s", r->opt->stats_file, strerror(errno));
	return STATUS_FAILED;
}

int run_stats_open(struct run *r)
{
	if (!r->opt->stats_file)
		return STATUS_OK;
	r->stats = fopen(r->opt->stats_file, "w");
	return r->stats ? STATUS_OK : failed(r);
}

/* The file holds the last report and nothing else. What cannot be taken back (a pipe) gets one after the other. */
static int write_file(struct run *r)
{
	rewind(r->stats);
	(void)!ftruncate(fileno(r->stats), 0);
	stats_print_json(r->vm, r->stats);
	return fflush(r->stats) || ferror(r->stats) ? failed(r) : STATUS_OK;
}

/* In one piece: others may be printing theirs. */
static void print_text(struct run *r)
{
	flockfile(stderr);
	if (r->session->several)
		run_say(r, "statistics:");
	stats_print(r->vm, stderr);
	funlockfile(stderr);
}

int run_stats_write(struct run *r)
{
	if (r->stats)
		return write_file(r);
	if (r->opt->stats)
		print_text(r);
	return STATUS_OK;
}

void run_stats_now(struct run *r)
{
	if (r->stats) {
		(void)write_file(r); /* said; and the end will find the same */
		return;
	}
	run_end_line(r);
	print_text(r);
	r->mid_line = false;
}

int run_stats_close(struct run *r) { return r->stats && fclose(r->stats) ? failed(r) : STATUS_OK; }
