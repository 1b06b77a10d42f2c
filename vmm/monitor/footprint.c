/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/footprint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/vm.h"

struct host_view {
	uint64_t all, anonymous, file; /* proportional set size, bytes */
};

/* Not there: zeroes. */
static struct host_view host_view(void)
{
	struct host_view h = {0};
	const struct {
		const char *name;
		uint64_t *to;
	} rows[] = {{"Pss:", &h.all}, {"Pss_Anon:", &h.anonymous}, {"Pss_File:", &h.file}};
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	char line[256], name[32];
	uint64_t kib;

	while (f && fgets(line, sizeof(line), f))
		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			if (sscanf(line, "%31s %" SCNu64 " kB", name, &kib) == 2 && strcmp(name, rows[i].name) == 0)
				*rows[i].to = kib << 10;
	if (f)
		fclose(f);
	return h;
}

static uint64_t vm_tables(const struct vm *vm)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < vm->n_vcpus; i++)
		n += vcpu_tables_bytes(&vm->vcpu[i]);
	return n;
}

static uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

struct footprint footprint(struct monitor *mon)
{
	struct host_view h = host_view();
	struct footprint f = {.total = h.all};
	struct code_cache *code;
	uint64_t *b = f.bytes;

	b[FOOTPRINT_GUESTS] =
	    (machine_memory_pages_used(mon->memory, -1) + machine_memory_pages_kept(mon->memory)) * PAGE_BYTES;
	b[FOOTPRINT_TABLES] = machine_memory_tables_bytes(mon->memory);
	b[FOOTPRINT_PROGRAM] = h.file;
	pthread_mutex_lock(&mon->lock);
	code = mon->code; /* lives as long as the monitor */
	for (const struct vm *vm = mon->machines; vm; vm = vm->next)
		b[FOOTPRINT_TABLES] += vm_tables(vm);
	pthread_mutex_unlock(&mon->lock);
	if (code)
		code_cache_takes(code, &b[FOOTPRINT_CODE], &b[FOOTPRINT_TRANSLATIONS]);
	b[FOOTPRINT_HEAP] = less(h.anonymous, b[FOOTPRINT_TABLES] + b[FOOTPRINT_TRANSLATIONS]);
	return f;
}
