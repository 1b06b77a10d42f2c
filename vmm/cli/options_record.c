/* SPDX-License-Identifier: MIT */
#include "vmm/cli/options_internal.h"

/* --record and --replay: what a machine may have that is to be the same a second time. */

/* What it hears from others than its console and the time. NULL: nothing. */
static const char *hears(const struct run_options *o)
{
	if (o->command)
		return "a command";
	if (o->quiet_boot)
		return "--quiet-boot";
	if (o->n_nets)
		return "--net";
	if (o->n_shares)
		return "--share";
	if (o->n_terminals)
		return "--terminal";
	if (o->n_regions)
		return "--shared-region";
	return NULL;
}

int options_check_record(const struct run_options *o, struct options_error *err)
{
	const char *option = o->record ? "--record" : "--replay", *other = hears(o);

	if (!o->record && !o->replay)
		return 0;
	if (o->record && o->replay)
		return options_bad(err, "--record: not together with --replay");
	if (!o->icount || o->numa.flash)
		return options_bad(err, "%s: only with --icount%s", option,
				   o->numa.flash ? ", and not with --numa flash" : ", whose runs repeat");
	if (o->several || run_vcpus(o) > 1)
		return options_bad(err, "%s: of one machine with one vCPU only", option);
	if (other)
		return options_bad(err, "%s: not with %s, which would be heard at other moments the next time", option,
				   other);
	if (o->gdb.text || o->gdb_wait)
		return options_bad(err, "%s: not with %s, by which the run could become another one", option,
				   o->gdb.text ? "--gdb" : "--gdb-wait");
	for (unsigned i = 0; i < o->n_disks; i++)
		if (o->disk[i].mode == DISK_RW || o->disk[i].overlay)
			return options_bad(err,
					   "%s: not with --disk %.200s, which would be another one the next time; "
					   "use mode=ro, or mode=cow without an overlay",
					   option, o->disk[i].path);
	return 0;
}
