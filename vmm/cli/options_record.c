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
	for (unsigned i = 0; i < o->n_nets; i++) {
		bool taped = o->record || o->replay;

		if (!taped || o->goes_back || o->gdb.text || o->gdb_wait)
			return "--net";
		if (o->net[i].kind == NET_LAN)
			return "--net lan";
	}
	if (o->n_shares)
		return "--share";
	if (o->n_terminals)
		return "--terminal";
	if (o->n_regions)
		return "--shared-region";
	return NULL;
}

/* What is not the same a second time, beside that. */
static const char *changes(const struct run_options *o)
{
	for (unsigned i = 0; i < o->n_disks; i++)
		if (o->disk[i].mode == DISK_RW || o->disk[i].overlay)
			return "--disk";
	return NULL;
}

/* A machine that a debugger waits for, or may come to, can go back if all of it can. */
static void decide_goes_back(struct run_options *o)
{
	if (!o->icount || (!o->gdb.text && !o->gdb_wait))
		return;
	o->stays_option = o->numa.flash      ? "--numa flash"
			  : o->several       ? "--several or --vms"
			  : run_vcpus(o) > 1 ? "--vcpus"
			  : o->balloon       ? "--balloon"
			  : hears(o)         ? hears(o)
					     : changes(o);
	o->goes_back = !o->stays_option;
}

int options_check_record(struct run_options *o, struct options_error *err)
{
	const char *option = o->record ? "--record" : "--replay", *other = hears(o);

	decide_goes_back(o);
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
	if (changes(o))
		return options_bad(err,
				   "%s: not with a --disk that would be another one the next time; use mode=ro, or "
				   "mode=cow without an overlay",
				   option);
	if ((o->gdb.text || o->gdb_wait) && (o->record || !o->goes_back))
		return options_bad(err, "%s: not with %s, by which the run could become another one", option,
				   o->gdb.text ? "--gdb" : "--gdb-wait");
	return 0;
}
