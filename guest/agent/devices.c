/* SPDX-License-Identifier: MIT */
#include "guest/agent/agent.h"

/* Drivers, and what a machine with them can be given without asking: addresses and shared folders. */

#define SETTLE_TRIES 250 /* of 1 ms or, where that is longer, a tick */

/* virtio 1.2, 5 "Device Types": the module for each. */
static const struct {
	const char *id, *module;
} drivers[] = {
    {"0x0001", "virtio_net"}, {"0x0002", "virtio_blk"},     {"0x0003", "virtio_console"},
    {"0x0004", "virtio_rng"}, {"0x0005", "virtio_balloon"}, {"0x0009", "9pnet_virtio"},
};

/* Module names and file names differ in '-' and '_'. */
static bool same_module(const char *file, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if ((file[i] == '-' ? '_' : file[i]) != name[i] || !name[i])
			return false;
	return !name[n];
}

/* What is in /proc/vmallocinfo: how much of it modules have, by the name of the function that took it; a checksum. */
struct vmalloc {
	unsigned modules;
	uint32_t sum;
};

static bool vmalloc_read(struct vmalloc *v)
{
	static const char taker[] = "load_module+";
	int fd = (int)sys_open("/proc/vmallocinfo", O_RDONLY | O_CLOEXEC, 0);
	char buf[512];
	size_t at = 0;
	long n;

	*v = (struct vmalloc){0};
	if (fd < 0)
		return false;
	while ((n = sys_read(fd, buf, sizeof(buf))) > 0)
		for (long i = 0; i < n; i++) {
			v->sum = v->sum * 31 + (unsigned char)buf[i];
			at = buf[i] == taker[at] ? at + 1 : buf[i] == taker[0];
			if (at == sizeof(taker) - 1) {
				v->modules++;
				at = 0;
			}
		}
	sys_close(fd);
	return true;
}

/*
 * The kernel gives back what only loading took (do_free_init) some time after a module is there, and with it the room of its
 * file.  The next module gets what is free by then, so that modules would be at other addresses in each machine and each boot: their
 * code would be another one, and its translations could not be shared.  So wait for it, which grace periods of RCU that hurry
 * (module_try) make short.  And wait until nobody takes or gives back any more: what the kernel's start, or a driver's, leaves to
 * its threads was still there in one machine of fifty.
 */
static void settle(const struct modules *m)
{
	struct vmalloc now, last = {0};
	unsigned quiet = 0, enough = m->loaded ? 1 : 3;

	for (unsigned tries = 0; tries < SETTLE_TRIES && vmalloc_read(&now); tries++) {
		quiet = now.sum == last.sum ? quiet + 1 : 0;
		if (now.modules <= m->loaded && quiet >= enough)
			return;
		last = now;
		sys_sleep_ms(1);
	}
}

static long insert(struct modules *m, const char *path, size_t n)
{
	char name[64] = "", file[256], rest[192] = "";
	size_t slash = n;
	long r;
	int fd;

	if (n >= sizeof(rest))
		return -ENOENT;
	memcpy(rest, path, n);
	rest[n] = 0;
	while (slash && path[slash - 1] != '/')
		slash--;
	for (size_t i = slash; i + 3 < n && i - slash + 1 < sizeof(name); i++)
		name[i - slash] = path[i] == '-' ? '_' : path[i];
	if (sys_access(join(file, "/sys/module/", name), 0) == 0)
		return 0;
	fd = (int)sys_open(join(file, m->base, rest), O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	r = sys_load_module(fd, "");
	sys_close(fd);
	m->loaded += r == 0;
	if (m->tidy)
		settle(m);
	return r == -EEXIST ? 0 : r;
}

/* One line of modules.dep, "FILE: FILE FILE ...": what a module needs stands before what that needs in turn. */
static long insert_line(struct modules *m, const char *line, size_t colon)
{
	size_t end = colon;
	long r = 0;

	while (line[end] && line[end] != '\n')
		end++;
	while (!r && end > colon + 1) {
		size_t word = end;

		while (line[word - 1] != ' ' && word > colon + 1)
			word--;
		if (end > word)
			r = insert(m, line + word, end - word);
		end = word - 1;
	}
	return r ? r : insert(m, line, colon);
}

static bool modules_read(struct modules *m)
{
	char release[65], file[160];

	if (m->read)
		return m->text[0];
	m->read = true;
	read_file("/proc/sys/kernel/osrelease", release, sizeof(release));
	join(m->base, "/lib/modules/", release, "/");
	if (read_file(join(file, m->base, "modules.dep"), m->text, sizeof(m->text)) > 0)
		return true;
	say("no modules for the kernel ", release, " in this initramfs: no disks, no network");
	return false;
}

/* -ENODEV: it is there, and has nothing to do on this machine. */
static long module_try(struct modules *m, const char *name)
{
	long r = -ENOENT;

	if (!modules_read(m))
		return -ENOENT;
	if (m->tidy)
		write_file("/sys/kernel/rcu_expedited", "1");
	if (m->tidy && !m->loaded)
		settle(m);
	for (const char *line = m->text; *line;) {
		size_t colon = 0, base = 0, end;

		while (line[colon] && line[colon] != ':' && line[colon] != '\n')
			if (line[colon++] == '/')
				base = colon;
		if (line[colon] == ':' && colon > base + 3 && same_module(line + base, colon - base - 3, name)) {
			r = insert_line(m, line, colon);
			break;
		}
		for (end = colon; line[end] && line[end] != '\n'; end++)
			;
		line += line[end] ? end + 1 : end;
	}
	if (m->tidy)
		write_file("/sys/kernel/rcu_expedited", "0");
	if (r && r != -ENODEV)
		say_error(r, "module ", name);
	return r;
}

long module_load(struct modules *m, const char *name)
{
	long r = module_try(m, name);

	if (r == -ENODEV)
		say_error(r, "module ", name);
	return r;
}

/* Is one of PCI's devices virtio's? */
static bool have_virtio(void)
{
	const struct sys_dirent *e;
	bool found = false;
	struct dir d;

	dir_open(&d, "/sys/bus/pci/devices");
	while ((e = dir_next(&d)) != NULL) {
		char path[128], vendor[16];

		read_file(join(path, "/sys/bus/pci/devices/", e->name, "/vendor"), vendor, sizeof(vendor));
		found |= strcmp(vendor, "0x1af4") == 0;
	}
	return found;
}

/* Is a module of guest/modules/ in this initramfs? */
static bool have_ours(struct modules *m, const char *name)
{
	char file[160];

	return modules_read(m) && sys_access(join(file, m->base, "extra/", name, ".ko"), 0) == 0;
}

/*
 * The modules of guest/modules/, if this initramfs has them; elsewhere than on Disco they find no device.  After the balloon's driver,
 * which gives up altogether if somebody else reports free pages.
 */
static void load_ours(struct modules *m, const struct config *c)
{
	if (have_ours(m, "disco") && module_try(m, "disco") == 0 && c->regions && have_ours(m, "disco_region"))
		(void)module_load(m, "disco_region");
}

static void load_drivers(struct modules *m)
{
	const struct sys_dirent *e;
	unsigned seen = 0;
	bool maps = false;
	struct dir d;

	if (!have_virtio() || module_load(m, "virtio_pci"))
		return;
	dir_open(&d, "/sys/bus/virtio/devices");
	while ((e = dir_next(&d)) != NULL) {
		char path[128], id[16];

		read_file(join(path, "/sys/bus/virtio/devices/", e->name, "/device"), id, sizeof(id));
		for (unsigned i = 0; i < ARRAY_LEN(drivers); i++)
			if (strcmp(id, drivers[i].id) == 0)
				seen |= 1u << i;
		read_file(join(path, "/sys/bus/virtio/devices/", e->name, "/vendor"), id, sizeof(id));
		maps |= strcmp(id, "0xd15c") == 0;
	}
	/* before virtio_net, which takes what is left */
	if (maps && have_ours(m, "disco_net"))
		(void)module_load(m, "disco_net");
	for (unsigned i = 0; i < ARRAY_LEN(drivers); i++)
		if (seen & 1u << i)
			(void)module_load(m, drivers[i].module);
	if (seen & 1u << (ARRAY_LEN(drivers) - 1))
		(void)module_load(m, "9p");
}

void devices_start(struct modules *m, const struct config *c)
{
	load_drivers(m);
	load_ours(m, c);
}

static void share_mount(const char *tag)
{
	char path[256];
	long r;

	make_dirs(join(path, "/mnt/", tag));
	if (sys_access(path, 0) != 0) {
		/* a root that cannot be written to */
		sys_mount("tmpfs", "/mnt", "tmpfs", MS_NODEV | MS_NOSUID, "mode=755");
		make_dirs(path);
	}
	/* mmap: what another machine or the host changes is seen, and programs may map files to write them */
	r = sys_mount(tag, path, "9p", MS_NODEV, "trans=virtio,version=9p2000.L,msize=131072,cache=mmap");
	if (r)
		say_error(r, "cannot mount the shared folder ", tag, " at ", path);
}

void shares_mount(void)
{
	const struct sys_dirent *e;
	struct dir d;

	dir_open(&d, "/sys/bus/virtio/drivers/9pnet_virtio");
	while ((e = dir_next(&d)) != NULL) {
		char path[128], tag[128];

		if (strncmp(e->name, "virtio", 6) == 0 &&
		    read_file(join(path, "/sys/bus/virtio/drivers/9pnet_virtio/", e->name, "/mount_tag"), tag,
			      sizeof(tag)) > 0)
			share_mount(tag);
	}
}

/* ---- network ---- */

/* linux/sockios.h, net/if.h */
enum {
	SIOCADDRT = 0x890b,
	SIOCGIFFLAGS = 0x8913,
	SIOCSIFFLAGS = 0x8914,
	SIOCSIFADDR = 0x8916,
	SIOCSIFNETMASK = 0x891c,
	SIOCGIFHWADDR = 0x8927
};
enum { IFF_UP = 1, RTF_UP = 1, RTF_GATEWAY = 2 };

struct inet_address {
	uint16_t family, port;
	uint8_t addr[4];
	uint8_t zero[8];
};
struct if_request {
	char name[16];
	union {
		struct inet_address addr;
		int16_t flags;
		struct {
			uint16_t family;
			uint8_t mac[6];
		} hardware;
	};
};
struct route {
	unsigned long pad1;
	struct inet_address to, gateway, mask;
	uint16_t flags;
	int16_t pad2;
	unsigned long pad3;
	void *pad4;
	int16_t metric;
	const char *device;
	unsigned long mtu, window;
	uint16_t irtt;
};

static void set_name(struct if_request *r, const char *name)
{
	memset(r, 0, sizeof(*r));
	for (size_t i = 0; name[i] && i + 1 < sizeof(r->name); i++)
		r->name[i] = name[i];
}

static void set_address(int s, const char *card, unsigned long request, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	struct if_request r;

	set_name(&r, card);
	r.addr = (struct inet_address){.family = AF_INET, .addr = {a, b, c, d}};
	sys_ioctl(s, request, &r);
}

static void switch_on(int s, const char *card)
{
	struct if_request r;

	set_name(&r, card);
	if (sys_ioctl(s, SIOCGIFFLAGS, &r) == 0) {
		r.flags |= IFF_UP;
		sys_ioctl(s, SIOCSIFFLAGS, &r);
	}
}

/* The last byte of the card's address behind what it leads to; 0: there is none that is known without asking. */
static uint8_t host_number(int s, const char *card, const char *what)
{
	struct if_request r;
	const uint8_t *m = r.hardware.mac;

	if (strncmp(what, "user", 4) == 0)
		return 15;
	if (strncmp(what, "gateway", 7) != 0)
		return 0;
	/* Disco makes a card's address on a lan of the machine's number (pv-drivers/net/net_lan.c). */
	set_name(&r, card);
	if (sys_ioctl(s, SIOCGIFHWADDR, &r) || m[0] != 2 || m[1] || m[2] || m[3] || m[4] > 254 - 100)
		return 0;
	/* Beyond those that DHCP gives away; alone, it is the first of them. */
	return m[4] ? (uint8_t)(100 + m[4]) : 15;
}

/* What DHCP would say there, without waiting for it; but on a lan to each machine the same every time. */
static void configure_user(int s, const char *card, uint8_t number)
{
	struct route r = {
	    .to.family = AF_INET,
	    .mask.family = AF_INET,
	    .gateway = {.family = AF_INET, .addr = {10, 0, 2, 2}},
	    .flags = RTF_UP | RTF_GATEWAY,
	    .device = card,
	};

	set_address(s, card, SIOCSIFADDR, 10, 0, 2, number);
	set_address(s, card, SIOCSIFNETMASK, 255, 255, 255, 0);
	switch_on(s, card);
	sys_ioctl(s, SIOCADDRT, &r);
}

/* A file system of the user's is not changed if that can be avoided: the file goes over the one that is there. */
static void name_server(void)
{
	write_file("/run/resolv.conf", "nameserver 10.0.2.3\n");
	if (sys_mount("/run/resolv.conf", "/etc/resolv.conf", NULL, MS_BIND, NULL) == -ENOENT)
		write_file("/etc/resolv.conf", "nameserver 10.0.2.3\n");
}

/* The name of card number n in the order of the bus, or "". */
static void card_name(unsigned n, char name[16])
{
	unsigned left = n;

	name[0] = 0;
	for (unsigned i = 0; i < 64; i++) {
		char path[96], number[12], id[16];
		const struct sys_dirent *e;
		struct dir d;

		join(path, "/sys/bus/virtio/devices/virtio", text_number(number, i), "/device");
		if (read_file(path, id, sizeof(id)) <= 0)
			return;
		if (strcmp(id, "0x0001") != 0 || left--)
			continue;
		join(path, "/sys/bus/virtio/devices/virtio", text_number(number, i), "/net");
		dir_open(&d, path);
		while ((e = dir_next(&d)) != NULL)
			text_join(&(struct text){.max = 16, .s = name}, (const char *const[]){e->name, NULL});
		return;
	}
}

void net_start(const char *what)
{
	int s = (int)sys_socket(AF_INET, SOCK_DGRAM, 0);
	bool user = false;

	if (s < 0)
		return;
	switch_on(s, "lo");
	if (!what)
		what = "user";
	for (unsigned n = 0; *what; n++) {
		char name[16];
		uint8_t number;

		card_name(n, name);
		number = name[0] ? host_number(s, name, what) : 0;
		/* one default route, and one address */
		if (number && !user)
			configure_user(s, name, number);
		else if (name[0])
			switch_on(s, name);
		user |= number != 0;
		while (*what && *what++ != ',')
			;
	}
	if (user)
		name_server();
	sys_close(s);
}
