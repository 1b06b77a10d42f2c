/* SPDX-License-Identifier: MIT */
#include "guest/agent/agent.h"

/*
 * virtio 1.2, 5.3 "Console Device": a port with a name is /dev/vportNpM, its name in sysfs. The driver makes ports when the
 * device tells it of them, some time after it was loaded.
 */
enum { WAIT_MS = 10000 };

static long find(const char *name)
{
	const struct sys_dirent *e;
	long fd = -ENOENT;
	struct dir d;

	dir_open(&d, "/sys/class/virtio-ports");
	while ((e = dir_next(&d)) != NULL) {
		char path[128], here[64];

		if (fd >= 0 ||
		    read_file(join(path, "/sys/class/virtio-ports/", e->name, "/name"), here, sizeof(here)) <= 0)
			continue;
		if (strcmp(here, name) == 0)
			fd = sys_open(join(path, "/dev/", e->name), O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
	}
	return fd;
}

long port_open(const char *name)
{
	long fd = -ENOENT;

	for (unsigned ms = 0; ms < WAIT_MS; ms++) {
		struct sys_pollfd p;

		if (fd < 0)
			fd = find(name);
		p = (struct sys_pollfd){.fd = (int)fd, .events = POLLOUT};
		/* POLLHUP: the host's end is not open; until it is, a read says "end of file" */
		if (fd >= 0 && sys_poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP))
			return fd;
		sys_sleep_ms(1);
	}
	return fd < 0 ? fd : -ENODEV;
}
