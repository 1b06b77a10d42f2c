/* SPDX-License-Identifier: MIT */
#include "guest/agent/agent.h"

/* The root file system of a disk in place of the initramfs. */

/* The superblock of ext2, 3, 4 (fs/ext4/ext4.h): at 1024, magic at 0x38, UUID at 0x68, label at 0x78. */
enum { SUPER_AT = 1024, SUPER_MAGIC = 0x38, SUPER_UUID = 0x68, SUPER_LABEL = 0x78, SUPER_BYTES = 0x88 };

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool same_uuid(const uint8_t uuid[16], const char *text)
{
	for (unsigned i = 0; i < 32; i++, text++) {
		while (*text == '-')
			text++;
		if (hex_digit(*text) != (uuid[i / 2] >> (i & 1 ? 0 : 4) & 15))
			return false;
	}
	return !*text;
}

static bool is_named(const char *device, const char *root)
{
	uint8_t super[SUPER_BYTES];
	bool same = false;
	int fd = (int)sys_open(device, O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return false;
	if (sys_seek(fd, SUPER_AT) == SUPER_AT && sys_read(fd, super, sizeof(super)) == (long)sizeof(super) &&
	    super[SUPER_MAGIC] == 0x53 && super[SUPER_MAGIC + 1] == 0xef) {
		if (strncmp(root, "UUID=", 5) == 0)
			same = same_uuid(super + SUPER_UUID, root + 5);
		else
			same = strncmp((const char *)super + SUPER_LABEL, root + 6, 16) == 0 && strlen(root + 6) <= 16;
	}
	sys_close(fd);
	return same;
}

/* The device that root= means. NULL: none. */
static const char *find_device(const char *root, char path[64])
{
	const struct sys_dirent *e;
	const char *found = NULL;
	struct dir d;

	if (strncmp(root, "LABEL=", 6) != 0 && strncmp(root, "UUID=", 5) != 0)
		return sys_access(root, 0) == 0 ? root : NULL;
	dir_open(&d, "/sys/class/block");
	while ((e = dir_next(&d)) != NULL) {
		if (found || strncmp(e->name, "vd", 2) != 0)
			continue;
		text_join(&(struct text){.max = 64, .s = path}, (const char *const[]){"/dev/", e->name, NULL});
		if (is_named(path, root))
			found = path;
	}
	return found;
}

static void say_no_device(const char *root)
{
	char list[256] = "";
	struct text t = TEXT(list);
	const struct sys_dirent *e;
	struct dir d;

	dir_open(&d, "/sys/class/block");
	while ((e = dir_next(&d)) != NULL)
		if (strncmp(e->name, "vd", 2) == 0)
			text_join(&t, (const char *const[]){" /dev/", e->name, NULL});
	say("root=", root, ": no such disk; there are:", list[0] ? list : " none");
}

/* Empty a directory of the initramfs, whose memory is the machine's. Mounted file systems are elsewhere by now. */
static void empty(const char *path, unsigned depth)
{
	const struct sys_dirent *e;
	char inner[256];
	struct dir d;

	if (depth > 8)
		return;
	dir_open(&d, path);
	while ((e = dir_next(&d)) != NULL) {
		join(inner, path, "/", e->name);
		if (e->type != DT_DIR)
			sys_unlink(inner);
		else if (strcmp(inner, "//newroot") != 0)
			empty(inner, depth + 1);
	}
	sys_rmdir(path);
}

long root_enter(struct modules *m, const struct config *c)
{
	static const char *const moved[] = {"/dev", "/proc", "/sys"};
	const char *type = c->rootfstype ? c->rootfstype : "ext4", *device;
	char path[64], to[64];
	long r;

	if (strcmp(type, "ext4") == 0)
		(void)module_load(m, "crc32c_generic");
	r = module_load(m, type);
	if (r)
		return r;
	device = find_device(c->root, path);
	if (!device) {
		say_no_device(c->root);
		return -ENODEV;
	}
	sys_mkdir("/newroot", 0755);
	r = sys_mount(device, "/newroot", type, c->rw ? 0 : MS_RDONLY, c->rootflags ? c->rootflags : "");
	if (r) {
		say_error(r, "cannot mount ", c->root, " as ", type);
		return r;
	}
	for (unsigned i = 0; i < ARRAY_LEN(moved); i++) {
		sys_mkdir(join(to, "/newroot", moved[i]), 0755);
		if (sys_mount(moved[i], to, NULL, MS_MOVE, NULL))
			sys_umount(moved[i], MNT_DETACH);
	}
	empty("/", 0);
	if ((r = sys_chdir("/newroot")) || (r = sys_mount(".", "/", NULL, MS_MOVE, NULL)) || (r = sys_chroot(".")) ||
	    (r = sys_chdir("/")))
		say_error(r, "cannot make ", c->root, " the root");
	return r;
}

void mount_usual(void)
{
	static const struct {
		const char *type, *path;
		unsigned long flags;
		const char *data;
	} usual[] = {
	    {"devpts", "/dev/pts", 0, "gid=5,mode=620,ptmxmode=666"},
	    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
	    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755"},
	    {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
	};
	char name[65];
	long n;

	for (unsigned i = 0; i < ARRAY_LEN(usual); i++) {
		sys_mkdir(usual[i].path, 0755);
		sys_mount(usual[i].type, usual[i].path, usual[i].type, usual[i].flags, usual[i].data);
	}
	sys_mkdir("/run/lock", 01777);
	sys_symlink("/proc/self/fd", "/dev/fd");
	sys_symlink("/proc/self/fd/0", "/dev/stdin");
	sys_symlink("/proc/self/fd/1", "/dev/stdout");
	sys_symlink("/proc/self/fd/2", "/dev/stderr");
	n = read_file("/etc/hostname", name, sizeof(name));
	if (n > 0)
		sys_sethostname(name, (size_t)n);
	else
		sys_sethostname("disco", 5);
}

void file_systems_close(void)
{
	sys_kill(-1, SIGKILL);
	for (unsigned ms = 0; ms < 2000; ms++) {
		long pid;

		while ((pid = sys_wait(-1, NULL, WNOHANG)) > 0)
			;
		if (pid < 0)
			break;
		sys_sleep_ms(1);
	}
	sys_sync();
	sys_mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
}
