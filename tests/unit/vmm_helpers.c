/* SPDX-License-Identifier: MIT */
/* helpers.def against the table of functions; making and unmaking machines; the --stats of one. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/vmm_machine.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/look/stats.h"

Test(vmm_helpers, no_row_is_missing)
{
	for (unsigned i = 0; i < NUM_HELPERS; i++)
		cr_assert_not_null(vmm_helpers[i], "%s", ir_helper_info[i].name);
}

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	cr_assert_not_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

Test(vmm_helpers, machines_leave_nothing_open)
{
	unsigned before;

	vm_free_alone(machine_open(&(struct vm_config){0}, TIERS_12)); /* what LLVM opens once */
	before = open_fds();
	for (unsigned i = 0; i < 8; i++)
		vm_free_alone(machine_open(&(struct vm_config){.icount = i & 4}, i % NUM_TIERS));
	cr_assert_eq(open_fds(), before);
}

Test(vmm_helpers, a_machine_that_cannot_be)
{
	struct vm_config cfg = {
	    .ram_bytes = UINT64_MAX & ~PAGE_MASK, .cpu = cpu_model_find(CPU_DEFAULT), .input_fd = -1};
	struct vm *vm = NULL;
	unsigned before = open_fds();

	cr_assert_lt(vm_new_alone(&vm, &cfg), 0);
	cr_assert_null(vm);
	cfg.ram_bytes = RAM_BYTES + 1; /* not whole pages */
	cr_assert_lt(vm_new_alone(&vm, &cfg), 0);
	cr_assert_eq(open_fds(), before);
	vm_free_alone(NULL);
}

/* ---- --stats ---- */

static char *capture(struct vm *vm, void (*print)(struct vm *, FILE *))
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	cr_assert_not_null(f);
	print(vm, f);
	fclose(f);
	return text;
}

/* A JSON value made of objects, arrays, strings without escapes, and whole numbers. NULL: it is not one. */
static const char *skip_json(const char *p)
{
	char open;

	p += strspn(p, " \n");
	open = *p;
	if (open == '"')
		return (p = strchr(p + 1, '"')) ? p + 1 : NULL;
	if (open != '{' && open != '[') {
		size_t digits = strspn(p, "0123456789");

		return digits ? p + digits : NULL;
	}
	if (open == '[' && p[1] == ']')
		return p + 2;
	for (p++;; p++) {
		p += strspn(p, " \n");
		if (open == '{' && (*p++ != '"' || !(p = strchr(p, '"')) || *++p != ':'))
			return NULL;
		p = skip_json(open == '{' ? p + 1 : p);
		if (!p)
			return NULL;
		p += strspn(p, " \n");
		if (*p == (open == '{' ? '}' : ']'))
			return p + 1;
		if (*p != ',')
			return NULL;
	}
}

static void run_something(struct vm *vm)
{
	PUT(vm, CODE_VA, A_ADDIU(T0, ZERO, 100), A_ADDIU(T0, T0, -1), A_BNE(T0, ZERO, -2), A_NOP,
	    0x0000000c /* syscall */);
	PUT(vm, 0x80000180, A_RESET);
	cr_assert_eq(vm_run(vm), VM_RESET);
}

Test(vmm_helpers, every_counter_is_printed)
{
	struct vm *vm = machine_open(&(struct vm_config){.count_insns = true}, TIERS_1);
	char *text, *json, key[64];
	const char *end;

	run_something(vm);
	text = capture(vm, stats_print);
	json = capture(vm, stats_print_json);
#define GROUP(name, title)                                                                                             \
	cr_assert_not_null(strstr(text, title));                                                                       \
	cr_assert_not_null(strstr(json, "\"" name "\": {"));
#define COUNTER(name, unit, value, what)                                                                               \
	snprintf(key, sizeof(key), "\"%s\": ", name);                                                                  \
	cr_assert_not_null(strstr(text, what), "%s", name);                                                            \
	cr_assert_not_null(strstr(json, key), "%s", name);
#include "vmm/look/counters.def"
#undef GROUP
#undef COUNTER
	end = skip_json(json);
	cr_assert(end && !strcmp(end, "\n"), "not JSON: %s", end ? end : json);
	cr_assert_not_null(strstr(json, "\"Sys\": 1"));
	cr_assert_not_null(strstr(text, "     Sys\n"));
	free(text);
	free(json);
	vm_free_alone(vm);
}

/* What all tiers count, less what was undone, is what was executed. */
Test(vmm_helpers, instructions_are_counted_exactly)
{
	for (enum tiers t = 0; t < NUM_TIERS; t++) {
		struct vm *vm = machine_open(&(struct vm_config){.count_insns = true, .icount = true}, t);
		struct guest_state *gs = &vm->vcpu->gs;

		run_something(vm);
		/* 1 + 100 * 3, not the SYSCALL, and up to the store that resets */
		cr_assert_eq(clock_insns(vm->clock), 301 + 4, "tiers %u: %llu", t,
			     (unsigned long long)clock_insns(vm->clock));
		cr_assert_eq(gs->insns[TIER_INTERP] + gs->insns[TIER_1] + gs->insns[TIER_2] - vm->vcpu->insns_refunded,
			     305, "tiers %u", t);
		vm_free_alone(vm);
	}
}
