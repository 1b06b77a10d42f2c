/* SPDX-License-Identifier: MIT */
#include "vmm/cli/run_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/build_id.h"
#include "frontend/cp0.h"
#include "pv-drivers/net/net_tape.h"
#include "vmm/cli/commands.h"
#include "vmm/devices/guest_devices.h"
#include "vmm/replay/history.h"
#include "vmm/replay/reverse.h"
#include "vmm/replay/snapshot.h"

/* --record and --replay: what a run depends on, its files; and whether it has ended as it was recorded. */

/* XXH3-128 of a file's bytes. False: said. */
static bool put_file(const struct run *r, FILE *out, const char *key, const char *option, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	XXH128_hash_t hash = {0, 0};
	void *bytes = MAP_FAILED;
	struct stat st;
	bool good = false;

	if (fd < 0 || fstat(fd, &st)) {
		run_say(r, "%s %s: %s", option, path, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		run_say(r, "%s %s: is no regular file, which --record and --replay need", option, path);
	} else {
		bytes = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
		good = bytes != MAP_FAILED;
		if (!good)
			run_say(r, "%s %s: %s", option, path, strerror(errno));
		else
			hash = XXH3_128bits(bytes, (size_t)st.st_size);
		if (good && bytes)
			munmap(bytes, (size_t)st.st_size);
		fprintf(out, "%s %016" PRIx64 "%016" PRIx64 "\n", key, hash.high64, hash.low64);
	}
	if (fd >= 0)
		close(fd);
	return good;
}

static void put_build(FILE *out)
{
	uint8_t id[BUILD_ID_MAX];
	size_t n = build_id(id);

	fputs("build ", out);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "%02x", id[i]);
	fputc('\n', out);
}

/* One line, whatever is in it. */
static void put_text(FILE *out, const char *key, const char *text)
{
	fprintf(out, "%s ", key);
	for (; *text; text++)
		fprintf(out, *text == '\n' || *text == '\\' ? "\\%02x" : "%c", (unsigned char)*text);
	fputc('\n', out);
}

/* All that the run depends on, but what it hears. NULL: said. */
static char *make_header(const struct run *r)
{
	const struct run_options *o = r->opt;
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	bool good;

	if (!out) {
		run_say(r, "the host has no memory left");
		return NULL;
	}
	put_build(out);
	fprintf(out, "cpu %s\nmem %" PRIu64 "\nballoon %" PRIu64 "%s\nreboots %s\n", o->cpu->name, o->mem_bytes,
		o->balloon_bytes, o->balloon ? "" : " none", o->no_reboot ? "no" : "yes");
	put_text(out, "append", o->append);
	good = put_file(r, out, "kernel", "--kernel", o->kernel);
	if (good && o->initrd)
		good = put_file(r, out, "initrd", "--initrd", o->initrd);
	for (unsigned i = 0; good && i < o->n_disks; i++) {
		const struct run_disk *d = &o->disk[i];

		fprintf(out, "disk-%u %s", i, d->mode == DISK_RO ? "ro" : "cow");
		put_text(out, "", d->serial ? d->serial : "");
		good = put_file(r, out, "image", "--disk", d->path);
	}
	for (unsigned i = 0; i < o->n_nets; i++) {
		uint8_t mac[6];

		net_mac(guest_devices_tape(r->devices, i), mac);
		fprintf(out, "net-%u %s %02x:%02x:%02x:%02x:%02x:%02x\n", i,
			o->net[i].kind == NET_USER ? "user" : "socket", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	}
	if (fclose(out) || !good) {
		free(text);
		return NULL;
	}
	return text;
}

static size_t take_frame(void *tape, uint8_t *frame) { return net_tape_take(tape, frame); }
static bool put_frame(void *tape, const uint8_t *frame, size_t bytes) { return net_tape_put(tape, frame, bytes); }

/* 0 or -ENOMEM. */
static int add_ports(struct run *r)
{
	int err = 0;

	for (unsigned i = 0; i < r->opt->n_nets && !err; i++) {
		struct history_port port = {take_frame, put_frame, guest_devices_tape(r->devices, i), NET_TAPE_BYTES};

		if (port.opaque)
			err = history_add_port(r->history, &port);
	}
	return err;
}

int run_record_open(struct run *r)
{
	const struct run_options *o = r->opt;
	struct journal_error err;
	char *header;
	int e;

	if (o->stays_option)
		run_say(r, "a debugger cannot have it go back, because of %s", o->stays_option);
	if (!o->record && !o->replay && !o->goes_back)
		return STATUS_OK;
	header = o->record || o->replay ? make_header(r) : NULL;
	if (!header && (o->record || o->replay))
		return STATUS_USAGE;
	e = history_new(&r->history);
	e = e ? e : add_ports(r);
	if (e)
		snprintf(err.text, sizeof(err.text), "%s", strerror(-e));
	else if (o->record)
		e = history_record(r->history, o->record, header, &err);
	else if (o->replay)
		e = history_replay(r->history, o->replay, header, &err);
	free(header);
	r->recording = !e && o->record;
	if (e)
		run_say(r, "%s %s", o->record ? "--record" : o->replay ? "--replay" : "--gdb", err.text);
	return e ? STATUS_USAGE : STATUS_OK;
}

/* With snapshots, for a debugger. 0 or -ENOMEM. */
static int keep_snapshots(struct run *r)
{
	const struct reverse_config cfg = {
	    .history = r->history, .interval = REVERSE_INSNS, .memory_bytes = r->session->mem_bytes};
	const char *device = snapshot_hindrance(r->vm);
	struct reverse *reverse;

	if (!device)
		return reverse_new(&reverse, r->vm, &cfg);
	run_say(r, "a debugger cannot have it go back: %s cannot", device);
	return 0;
}

int run_record_boot(struct run *r)
{
	int err = r->history ? history_boot(r->history, r->vm) : 0;

	if (!err && r->opt->goes_back)
		err = keep_snapshots(r);

	if (err == -EINVAL)
		run_say(r, "--replay %s: it ended where this run boots again", r->opt->replay);
	else if (err)
		run_say(r, "the host has no memory left");
	r->recorded |= !err;
	return err ? STATUS_FAILED : STATUS_OK;
}

int run_record_ended(struct run *r, enum vm_end why, bool again)
{
	struct journal_end end = {.why = (uint32_t)why, .outside = why == VM_QUIT || r->reset_by_host, .again = again};
	const char *what;

	if (!r->history)
		return STATUS_OK;
	end.insns = clock_insns(r->vm->clock);
	end.state = vm_state_hash(r->vm);
	if (history_end(r->history, r->vm, end, &what))
		return STATUS_OK;
	run_say(r, "--replay %s: %s", r->opt->replay, what);
	return STATUS_FAILED;
}

int run_record_close(struct run *r)
{
	int lost = history_free(r->history);

	r->history = NULL;
	if (r->recording && !r->recorded)
		unlink(r->opt->record); /* there was no run */
	if (lost)
		run_say(r, "--record %s: %s", r->opt->record, strerror(lost));
	return lost ? STATUS_FAILED : STATUS_OK;
}
