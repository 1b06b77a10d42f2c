/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include "vmm/cli/run_internal.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/cp0.h"
#include "numa/share.h"
#include "vmm/boot/loader.h"
#include "vmm/cli/commands.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/vm.h"

/* A machine's memory and registers as the boot monitor leaves them. */

/* What the boot firmware did to the board before it starts a program. */
static void poke_board(struct vm *vm)
{
	size_t n;
	const struct loader_poke *p = loader_yamon_pokes(&n);
	bool claimed;

	for (size_t i = 0; i < n; i++)
		board_write(vm->board, gpa(p[i].pa), vm->cfg.big_endian ? __builtin_bswap32(p[i].value) : p[i].value, 4,
			    &claimed);
}

/* A Linux that has too little mostly cannot say so: once, before it begins. */
static void warn_of_little(struct run *r, uint64_t needed)
{
	if (r->opt->mem_bytes < needed && !r->warned)
		run_say(r,
			"--mem: %lluM are little for this kernel and initrd, which take some %lluM; if the guest hangs "
			"or panics, give it more",
			(unsigned long long)(r->opt->mem_bytes >> 20),
			(unsigned long long)((needed + (1 << 20) - 1) >> 20));
	r->warned = true;
}

/* A kernel that several machines boot: read and unpacked once. */
struct run_kernel {
	struct run_kernel *next;
	char *path;
	uint8_t *data;
	size_t bytes;
};

void session_forget_kernels(struct session *s)
{
	struct run_kernel *k;

	while ((k = s->kernels) != NULL) {
		s->kernels = k->next;
		free(k->path);
		free(k->data);
		free(k);
	}
}

static int read_kernel(struct session *s, const char *path, struct run_kernel **out, struct loader_error *err)
{
	struct run_kernel *k;
	uint8_t *unpacked;
	size_t bytes;
	int e;

	for (k = s->kernels; k && strcmp(k->path, path) != 0; k = k->next)
		;
	*out = k;
	if (k)
		return 0;
	k = calloc(1, sizeof(*k));
	if (k)
		k->path = strdup(path);
	if (!k || !k->path) {
		free(k);
		snprintf(err->text, sizeof(err->text), "the host has no memory left");
		return -ENOMEM;
	}
	e = loader_read_file(path, &k->data, &k->bytes, err);
	if (e) {
		free(k->path);
		free(k);
		return e;
	}
	if (loader_unpack_vmlinuz(k->data, k->bytes, &unpacked, &bytes)) {
		free(k->data);
		k->data = unpacked;
		k->bytes = bytes;
	}
	k->next = s->kernels;
	s->kernels = *out = k;
	return 0;
}

/*
 * Where there are several machines, each would unpack its vmlinuz, to pages that are equal but not shared; so that is done here,
 * once, and the pages are one copy.
 */
static int load_kernel(struct run *r, struct loaded_image *image, struct loader_error *err)
{
	struct session *s = r->session;
	struct pmap *ram = r->vm->ram;
	struct run_kernel *k;
	int e;

	if (!session_shares(r->session))
		return loader_load_elf(ram, r->opt->kernel, image, err);
	pthread_mutex_lock(&s->kernel_lock);
	e = read_kernel(s, r->opt->kernel, &k, err);
	if (!e)
		e = loader_load_elf_mem(ram, r->opt->kernel, k->data, k->bytes, image, err);
	if (++s->n_loaded >= s->n_first)
		session_forget_kernels(s);
	pthread_mutex_unlock(&s->kernel_lock);
	return e;
}

/* Kernel, initrd and argument block into RAM. */
static int load_images(struct run *r, struct loaded_image *image, uint32_t regs[4], struct loader_error *err)
{
	const struct run_options *opt = r->opt;
	struct pmap *ram = r->vm->ram;
	uint64_t initrd_gpa = 0, initrd_bytes = 0;
	char *line = NULL;
	bool stay;
	int e = load_kernel(r, image, err);

	if (!e && opt->initrd)
		e = loader_load_initrd(ram, opt->initrd, image->high_gpa, &initrd_gpa, &initrd_bytes, err);
	if (e)
		return e;
	/* the images of several machines are one copy */
	pmap_share_equal(ram, gpa(image->low_gpa), image->high_gpa - image->low_gpa);
	pmap_share_equal(ram, gpa(initrd_gpa), initrd_bytes);
	warn_of_little(r, loader_likely_needs(ram, image, initrd_gpa, initrd_bytes));
	/*
	 * The initrd is at the end of memory; if the kernel can reach it there, no place is safe, and it is to stay.  And kernels that
	 * are each at another address have no page of code in common, with each other and with those of other runs; but a run that
	 * is to repeat is the same with a store and without.  A debugger that waits for the kernel knows it as it was linked, and so does perf.
	 */
	stay = loader_moves_to(image) > (initrd_bytes ? initrd_gpa : opt->mem_bytes) || session_shares(r->session) ||
	       (r->vm->monitor->store && !opt->icount && !r->vm->monitor->simulation) ||
	       ((opt->gdb_wait || r->vm->monitor->perf_map) && !opt->icount);
	if (asprintf(&line, "%s%s", stay ? "nokaslr " : "", r->append ? r->append : opt->append) < 0) {
		snprintf(err->text, sizeof(err->text), "the host has no memory left");
		return -ENOMEM;
	}
	e = loader_put_yamon(ram, opt->kernel, line, initrd_gpa, initrd_bytes, opt->mem_bytes, image->big_endian, regs,
			     err);
	free(line);
	return e;
}

int run_load(struct run *r)
{
	struct vm *vm = r->vm;
	struct guest_state *gs = &vm->vcpu->gs;
	struct loaded_image image;
	struct loader_error err = {{0}};
	uint32_t regs[4];
	int e;

	if (vm->n_vcpus > 1 && !loader_starts_vcpus(r->opt->kernel)) {
		run_say(r,
			"--vcpus %u: %s starts no further vCPUs (it has no note that says so; a Linux guest has one)",
			vm->n_vcpus, r->opt->kernel);
		return STATUS_USAGE;
	}
	vm_change(vm);
	e = load_images(r, &image, regs, &err);
	vm_changed(vm);
	if (e) {
		run_say(r, "%s", err.text);
		return STATUS_USAGE;
	}
	poke_board(vm);
	for (unsigned i = 0; i < 4; i++)
		gs->reg[4 + i] = regs[i];
	gs->reg[29] = regs[1]; /* below the argument block, as YAMON's own stack */
	gs->pc = image.entry;
	/* YAMON hands over in kernel mode, exceptions still at the boot vectors, FPU on */
	gs->cp0[CP0_Status] = ST_BEV | ST_CU1 | ST_CU0;
	return STATUS_OK;
}

/* EI_DATA of the image; what is wrong with a file that is not one, the loader will say. */
bool run_image_big_endian(const char *path)
{
	unsigned char ident[EI_NIDENT] = {0};
	FILE *f = fopen(path, "rb");
	size_t n = f ? fread(ident, 1, sizeof(ident), f) : 0;

	if (f)
		fclose(f);
	return n == sizeof(ident) && ident[EI_DATA] == ELFDATA2MSB;
}
