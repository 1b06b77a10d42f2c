/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "pv-drivers/disk/disk_errors.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pv-drivers/disk/disk_internal.h"

static const char *const undone[NUM_DISK_DOINGS] = {"read", "written", "synced"};

const char *disk_strerror(int err)
{
	const char *s = strerrordesc_np(err);

	return s ? s : "unknown error";
}

int disk_say(struct disk_error *err, int code, const char *path, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(err->text, sizeof(err->text), "%.300s: ", path);

	va_start(ap, fmt);
	if (n > 0 && n < (int)sizeof(err->text))
		vsnprintf(err->text + n, sizeof(err->text) - (size_t)n, fmt, ap);
	va_end(ap);
	/* One line, whatever is in a file's name. */
	for (char *p = err->text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	return code;
}

static void tell(struct disk_errors *e, const char *name, const struct disk_fault *f, int err, const char *and)
{
	struct disk_error line;

	if (!e->complain)
		return;
	disk_say(&line, 0, name, "cannot be %s: %s; %s", undone[f->doing], disk_strerror(-err), and);
	e->complain(e->opaque, line.text);
}

/* Room can come; so can it under a quota. */
static bool no_room(int err) { return err == -ENOSPC || err == -EDQUOT; }

enum disk_verdict disk_errors_verdict(const struct disk_errors *e, bool write, int err)
{
	switch (write ? e->werror : e->rerror) {
	case DISK_STOP:
		return err == -ENOTRECOVERABLE ? DISK_FAIL : DISK_WAIT;
	case DISK_ENOSPC:
		return no_room(err) ? DISK_WAIT : DISK_FAIL;
	case DISK_IGNORE:
		return DISK_PASS;
	case DISK_REPORT:
		break;
	}
	return DISK_FAIL;
}

int disk_errors_see(struct disk_errors *e, bool write, const struct disk_fault *f, int err, const char *name)
{
	enum disk_verdict v;

	if (!err || err == -EAGAIN)
		return err;
	v = disk_errors_verdict(e, write, err);
	if (v == DISK_WAIT && !f->final) {
		atomic_store(&e->last, (unsigned)f->file << 24 | (unsigned)f->doing << 16 | (unsigned)-err);
		return err;
	}
	if (!atomic_exchange(&e->told[f->file][f->doing], true))
		tell(e, name, f, err,
		     v == DISK_PASS ? "ignored, as was asked for"
		     : f->final     ? "the guest gets an I/O error, also of all flushes to come"
				    : "the guest gets an I/O error");
	return f->final ? -ENOTRECOVERABLE : err;
}

void disk_errors_lost(struct disk_errors *e, const struct disk_fault *f, int err, const char *name)
{
	static const char *const lost = "what the guest has written since its last flush may be lost";
	struct disk_error line;

	if (err != -ENOTRECOVERABLE) {
		tell(e, name, f, err, lost);
	} else if (e->complain) { /* why, has been said */
		disk_say(&line, 0, name, "could not be synced: %s", lost);
		e->complain(e->opaque, line.text);
	}
}

void disk_errors_last(struct disk_errors *e, struct disk_fault *f, int *err)
{
	unsigned last = atomic_load(&e->last);

	*f = (struct disk_fault){.file = last >> 24, .doing = last >> 16 & 0xff};
	*err = -(int)(last & 0xffff);
}

void disk_errors_wait(struct disk_errors *e, const struct disk_fault *f, int err, const char *name)
{
	if (!e->waiting[f->file])
		tell(e, name, f, err,
		     no_room(err) ? "the machine waits until there is room" : "the machine waits until it can be");
	e->waiting[f->file] = true;
}

void disk_errors_go(struct disk_errors *e, const char *const name[NUM_DISK_FILES])
{
	struct disk_error line;

	for (unsigned file = 0; file < NUM_DISK_FILES; file++) {
		if (e->waiting[file] && e->complain) {
			disk_say(&line, 0, name[file], "works again; the machine goes on");
			e->complain(e->opaque, line.text);
		}
		e->waiting[file] = false;
	}
}
