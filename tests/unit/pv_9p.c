/* SPDX-License-Identifier: MIT */
/* The 9P server, message by message: what each does, and what none may do. */
#define _GNU_SOURCE /* nftw, memmem */
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "tests/unit/pv_9p_rig.h"

static void setup(void) { open_server(false); }
static void setup_read_only(void) { open_server(true); }

TestSuite(pv_9p, .init = setup, .fini = teardown);

Test(pv_9p, version)
{
	cr_expect_eq(call(TVERSION, "4s", 8192ul, "9P2000.u"), 0);
	cr_expect_eq(memcmp(reply + 13, "unknown", 7), 0);
	cr_expect_eq(call(TATTACH, "44ss4", 0ul, ~0ul, "root", "", 0ul), EPROTO, "no session");
	cr_expect_eq(call(TVERSION, "4s", ~0ul, "9P2000.L"), 0);
	cr_expect_eq(p9_at(reply + 7, 4), P9_MAX_MSIZE);
	cr_expect_eq(call(TGETATTR, "48", 0ul, 0ul), EBADF, "the fids of the session before are gone");
	cr_expect_eq(call(TVERSION, "4s", 100ul, "9P2000.L"), MIPS_EMSGSIZE);
	cr_expect_eq(call(TVERSION, "4s", 8192ul, "9P2000.L"), 0);
	cr_expect_eq(call(TAUTH, "4ss4", 5ul, "root", "", 0ul), MIPS_EOPNOTSUPP);
	cr_expect_eq(call(TATTACH, "44ss4", 0ul, ~0ul, "root", "elsewhere", 0ul), ENOENT);
	cr_expect_eq(call(200, "4", 0ul), MIPS_EOPNOTSUPP);
	cr_expect_eq(call(TFLUSH, "2", 77ul), 0);
}

static void try_ways_out(void)
{
	static const char *const names[] = {"..", ".", "", "/", "../outside", "dir/../..", "/etc/passwd", "dir/inner"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		cr_expect_neq(walk1(0, 1, names[i]), 0, "walk '%s'", names[i]);
		cr_expect_neq(call(TLCREATE, "4s444", 0ul, names[i], 1ul, 0644ul, 0ul), 0, "create '%s'", names[i]);
		cr_expect_neq(call(TMKDIR, "4s44", 0ul, names[i], 0755ul, 0ul), 0);
		cr_expect_neq(call(TMKNOD, "4s4444", 0ul, names[i], 0100644ul, 0ul, 0ul, 0ul), 0);
		cr_expect_neq(call(TSYMLINK, "4ss4", 0ul, names[i], "x", 0ul), 0);
		cr_expect_neq(call(TUNLINKAT, "4s4", 0ul, names[i], 0ul), 0);
		cr_expect_neq(call(TUNLINKAT, "4s4", 0ul, names[i], 0x200ul), 0);
		cr_expect_neq(call(TRENAMEAT, "4s4s", 0ul, names[i], 0ul, "n"), 0);
		cr_expect_neq(call(TRENAMEAT, "4s4s", 0ul, "file", 0ul, names[i]), 0);
	}
	/* With a step before it: that one is made, and no fid. */
	cr_expect_eq(call(TWALK, "442ss", 0ul, 1ul, 2ul, "dir", ".."), 0);
	cr_expect_eq(p9_at(reply + 7, 2), 1);
	cr_expect_eq(call(TGETATTR, "48", 1ul, 0ul), EBADF);
	cr_expect_eq(walk1(0, 1, "file"), 0);
	cr_expect_neq(call(TLINK, "44s", 0ul, 1ul, "../outside/hard"), 0);
	cr_expect_neq(call(TRENAME, "44s", 1ul, 0ul, "../outside/moved"), 0);
	cr_expect_eq(call(TCLUNK, "4", 1ul), 0);
}

Test(pv_9p, no_way_out) { try_ways_out(); }

/* A host without openat2(): only p9_name_check() is between a name and the directory above. */
Test(pv_9p, no_way_out_on_an_old_host)
{
	server->no_openat2 = true;
	try_ways_out();
}

/* A link is text. It is not walked through, opened, written through, and its target's attributes are not to be had. */
static void try_links(void)
{
	static const char *const links[] = {"evil", "evildir", "abs", "magic", "link", "loop"};

	for (unsigned long i = 0; i < ARRAY_LEN(links); i++) {
		cr_expect_eq(walk1(0, 10 + i, links[i]), 0);
		cr_expect_eq(reply[9], 0x02);
		cr_expect_eq(call(TLOPEN, "44", 10 + i, (unsigned long)RDONLY), MIPS_ELOOP);
		cr_expect_eq(call(TLOPEN, "44", 10 + i, (unsigned long)RDWR | TRUNC), MIPS_ELOOP);
		cr_expect_eq(walk1(10 + i, 30, "secret"), ENOTDIR);
		cr_expect_eq(call(TWALK, "442ss", 0ul, 30ul, 2ul, links[i], "secret"), 0);
		cr_expect_eq(p9_at(reply + 7, 2), 1, "one step");
		cr_expect_eq(call(TGETATTR, "48", 10 + i, 0ul), 0);
		cr_expect_eq(p9_at(reply + 28, 4) & S_IFMT, S_IFLNK);
		/* As a directory to make things in; truncated; its mode changed; created over. */
		cr_expect_eq(call(TMKDIR, "4s44", 10 + i, "d", 0755ul, 0ul), ENOTDIR);
		cr_expect_eq(call(TSETATTR, "4444488888", 10 + i, 8ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul), EINVAL);
		cr_expect_eq(call(TSETATTR, "4444488888", 10 + i, 1ul, 0777ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul),
			     MIPS_EOPNOTSUPP);
		cr_expect_eq(walk1(0, 40, "dir"), 0);
		cr_expect_eq(call(TCLUNK, "4", 40ul), 0);
		cr_expect_eq(call(TWALK, "442", 0ul, 40ul, 0ul), 0);
		cr_expect_eq(call(TLCREATE, "4s444", 40ul, links[i], 1ul, 0644ul, 0ul), MIPS_ELOOP);
		cr_expect_eq(call(TCLUNK, "4", 40ul), 0);
	}
	cr_expect_eq(call(TREADLINK, "4", 10ul), 0);
	cr_expect_eq(memcmp(reply + 9, "../outside/secret", 17), 0);
	/* A hard link to a link is a link. */
	cr_expect_eq(call(TLINK, "44s", 0ul, 10ul, "evil2"), 0);
	cr_expect_eq(walk1(0, 41, "evil2"), 0);
	cr_expect_eq(reply[9], 0x02);
	/* Its times are its own. */
	cr_expect_eq(call(TSETATTR, "4444488888", 10ul, 0x1b0ul, 0ul, 0ul, 0ul, 0ul, 5ul, 0ul, 6ul, 0ul), 0);
}

Test(pv_9p, links_are_not_followed) { try_links(); }

Test(pv_9p, links_are_not_followed_on_an_old_host)
{
	server->no_openat2 = true;
	try_links();
}

/* What is neither file nor directory is looked at, never opened: a fifo would block here, a device do what it does. */
Test(pv_9p, special_files)
{
	cr_expect_eq(walk1(0, 1, "fifo"), 0);
	cr_expect_eq(call(TGETATTR, "48", 1ul, 0ul), 0);
	cr_expect_eq(p9_at(reply + 28, 4) & S_IFMT, S_IFIFO);
	cr_expect_eq(call(TLOPEN, "44", 1ul, (unsigned long)RDONLY), ENXIO);
	cr_expect_eq(call(TWALK, "442", 0ul, 2ul, 0ul), 0);
	cr_expect_eq(call(TLCREATE, "4s444", 2ul, "fifo", 1ul, 0644ul, 0ul), ENXIO);
	cr_expect_eq(call(TMKNOD, "4s4444", 0ul, "null", (unsigned long)S_IFCHR | 0666, 1ul, 3ul, 0ul), EPERM);
	cr_expect_eq(call(TMKNOD, "4s4444", 0ul, "pipe", (unsigned long)S_IFIFO | 0666, 0ul, 0ul, 0ul), EPERM);
	cr_expect_eq(call(TMKNOD, "4s4444", 0ul, "plain", (unsigned long)S_IFREG | 0640, 0ul, 0ul, 0ul), 0);
	cr_expect_eq(access(in_share("plain"), F_OK), 0);
	cr_expect_eq(call(TREMOVE, "4", 1ul), 0);
	cr_expect_neq(access(in_share("fifo"), F_OK), 0);
}

Test(pv_9p, read_and_write)
{
	struct stat st;

	cr_expect_eq(call(TWALK, "442", 0ul, 1ul, 0ul), 0);
	cr_expect_eq(call(TLCREATE, "4s444", 1ul, "new", (unsigned long)RDWR, 0666ul, 0ul), 0);
	cr_expect_eq(stat(in_share("new"), &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0666, "the guest's umask counts, not the host's");
	cr_expect_eq(write_at(1, 0, "hello world"), 0);
	cr_expect_eq(p9_at(reply + 7, 4), 11);
	cr_expect_eq(write_at(1, 6, "there"), 0);
	cr_expect_eq(call(TREAD, "484", 1ul, 3ul, 100ul), 0);
	cr_expect_eq(p9_at(reply + 7, 4), 8);
	cr_expect_eq(memcmp(reply + 11, "lo there", 8), 0);
	cr_expect_eq(call(TREAD, "484", 1ul, 1000ul, 100ul), 0);
	cr_expect_eq(p9_at(reply + 7, 4), 0);
	cr_expect_eq(call(TREAD, "484", 1ul, ~0ul, 100ul), EINVAL);
	cr_expect_eq(write_at(1, ~0ul, "x"), EFBIG);
	cr_expect_eq(call(TFSYNC, "44", 1ul, 0ul), 0);
	cr_expect_eq(call(TFSYNC, "44", 1ul, 1ul), 0);
	/* More data announced than there are. */
	p9_begin(&m, TWRITE, 9);
	p9_add(&m, 1, 4);
	p9_add(&m, 0, 8);
	p9_add(&m, 60000, 4);
	cr_expect_eq(send_in(sizeof(reply)), EPROTO);
	open_file(2, "new", WRONLY | APPEND);
	cr_expect_eq(write_at(2, 0, "!"), 0);
	cr_expect_str_eq(content("new"), "hello there!");
	cr_expect_eq(call(TREAD, "484", 2ul, 0ul, 10ul), EBADF, "open for writing only");
	open_file(3, "new", RDONLY | TRUNC);
	open_file(4, "file", RDONLY);
	cr_expect_eq(write_at(4, 0, "x"), EBADF);
	cr_expect_eq(call(TLOPEN, "44", 4ul, 0ul), EBADF, "open already");
	cr_expect_eq(walk1(0, 5, "file"), 0);
	cr_expect_eq(call(TREAD, "484", 5ul, 0ul, 10ul), EBADF, "not open");
	cr_expect_eq(call(TLOPEN, "44", 5ul, 3ul), EINVAL);
	cr_expect_eq(call(TCLUNK, "4", 5ul), 0);
	cr_expect_eq(call(TCLUNK, "4", 5ul), EBADF);
	/* Exclusive, and there already; not exclusive, and there already. */
	cr_expect_eq(call(TWALK, "442", 0ul, 6ul, 0ul), 0);
	cr_expect_eq(call(TLCREATE, "4s444", 6ul, "file", (unsigned long)RDWR | EXCL, 0666ul, 0ul), EEXIST);
	cr_expect_eq(call(TLCREATE, "4s444", 6ul, "file", (unsigned long)RDWR, 0666ul, 0ul), 0);
	cr_expect_eq(call(TREAD, "484", 6ul, 0ul, 4ul), 0);
	cr_expect_eq(memcmp(reply + 11, "some", 4), 0);
}

/* The room for the answer is the guest's word: read no more than fits, and say so where nothing does. */
Test(pv_9p, little_room)
{
	uint32_t n;

	open_file(1, "file", RDONLY);
	for (size_t room = 0; room < 40; room++) {
		p9_begin(&m, TREAD, 1);
		p9_add(&m, 1, 4);
		p9_add(&m, 0, 8);
		p9_add(&m, 1000, 4);
		p9_end(&m);
		cr_assert(p9_exchange(server, &chance, &m, reply, room, &n), "%zu bytes", room);
		if (room < 11)
			cr_expect_eq(n, 0);
		else
			cr_expect_eq(n, room < 21 ? room : 21);
		p9_begin(&m, TGETATTR, 1);
		p9_add(&m, 1, 4);
		p9_add(&m, 0, 8);
		p9_end(&m);
		cr_assert(p9_exchange(server, &chance, &m, reply, room, &n));
		cr_expect(room < 11 ? !n : reply[4] == RLERROR && p9_at(reply + 7, 4) == MIPS_EMSGSIZE);
	}
}

Test(pv_9p, directory)
{
	unsigned long off = 0;
	unsigned seen = 0, dots = 0;
	struct stat st;
	char name[32];

	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "entry%u", i);
		p9_put_file(in_share("dir"), name, "");
	}
	cr_assert_eq(stat(in_share("dir"), &st), 0);
	open_file(1, "dir", RDONLY);
	for (;;) {
		uint32_t count, at = 11;

		cr_assert_eq(call(TREADDIR, "484", 1ul, off, 1000ul), 0);
		count = (uint32_t)p9_at(reply + 7, 4);
		cr_assert_leq(count, 1000);
		if (!count)
			break;
		for (; at < 11 + count; seen++) {
			uint32_t n = (uint32_t)p9_at(reply + at + 22, 2);

			off = p9_at(reply + at + 13, 8);
			dots += reply[at + 24] == '.';
			at += 24 + n;
		}
		cr_assert_eq(at, 11 + count, "whole entries");
	}
	cr_expect_eq(seen, 503);
	cr_expect_eq(dots, 2);
	cr_expect_eq(call(TREADDIR, "484", 1ul, 0ul, 30ul), 0, "room for '.' alone");
	cr_expect_eq(call(TREADDIR, "484", 1ul, 0ul, 5ul), EINVAL, "room for none");
	cr_expect_eq(call(TREAD, "484", 1ul, 0ul, 100ul), EISDIR);
	open_file(2, "file", RDONLY);
	cr_expect_eq(call(TREADDIR, "484", 2ul, 0ul, 1000ul), ENOTDIR);
	/* ".." of the root is the root. */
	cr_expect_eq(call(TWALK, "442", 0ul, 3ul, 0ul), 0);
	cr_expect_eq(call(TLOPEN, "44", 3ul, 0ul), 0);
	cr_expect_eq(call(TREADDIR, "484", 3ul, 0ul, 8000ul), 0);
	cr_assert_eq(stat(place.top, &st), 0);
	for (uint32_t at = 11; at < 11 + p9_at(reply + 7, 4); at += 24 + (uint32_t)p9_at(reply + at + 22, 2))
		cr_expect_neq(p9_at(reply + at + 5, 8), st.st_ino, "the number of what is above");
}

Test(pv_9p, attributes)
{
	struct stat st;

	cr_expect_eq(walk1(0, 1, "file"), 0);
	cr_expect_eq(call(TGETATTR, "48", 1ul, 0x7fful), 0);
	cr_expect_eq(stat(in_share("file"), &st), 0);
	cr_expect_eq(p9_at(reply + 16 + 4, 8), st.st_ino);
	cr_expect_eq(p9_at(reply + 28, 4), st.st_mode);
	cr_expect_eq(p9_at(reply + 32, 4), 0, "what is mine is root's");
	cr_expect_eq(p9_at(reply + 56, 8), 10);
	/* mode (without set-id bits), owner (ignored), size, times */
	cr_expect_eq(call(TSETATTR, "4444488888", 1ul, 0x1bful, 06711ul, 1000ul, 1000ul, 4ul, 100ul, 5ul, 200ul, 6ul),
		     0);
	cr_expect_eq(stat(in_share("file"), &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0711);
	cr_expect_eq(st.st_uid, geteuid());
	cr_expect_eq(st.st_size, 4);
	cr_expect(st.st_atim.tv_sec == 100 && st.st_atim.tv_nsec == 5 && st.st_mtim.tv_sec == 200 &&
		  st.st_mtim.tv_nsec == 6);
	cr_expect_eq(call(TSETATTR, "4444488888", 1ul, 8ul, 0ul, 0ul, 0ul, ~0ul, 0ul, 0ul, 0ul, 0ul), EFBIG);
	cr_expect_eq(call(TSETATTR, "4444488888", 0ul, 8ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul), EISDIR);
	/* Nanoseconds that are none are brought into range; nothing said stays as it was. */
	cr_expect_eq(call(TSETATTR, "4444488888", 1ul, 0xa0ul | 0x100ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul, 7ul, ~0ul), 0);
	cr_expect_eq(stat(in_share("file"), &st), 0);
	cr_expect_eq(st.st_mtim.tv_sec, 7);
	cr_expect_eq(st.st_atim.tv_sec, 100);
	cr_expect_eq(call(TSTATFS, "4", 0ul), 0);
	cr_expect_eq(p9_at(reply + 7, 4), 0x01021997);
	cr_expect_gt(p9_at(reply + 15, 8), 0);
}

Test(pv_9p, tree)
{
	struct stat st;

	cr_expect_eq(call(TMKDIR, "4s44", 0ul, "new", 02777ul, 0ul), 0);
	cr_expect_eq(stat(in_share("new"), &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0777);
	cr_expect_eq(call(TMKDIR, "4s44", 0ul, "new", 0755ul, 0ul), EEXIST);
	cr_expect_eq(walk1(0, 1, "new"), 0);
	cr_expect_eq(walk1(0, 2, "file"), 0);
	cr_expect_eq(call(TLINK, "44s", 1ul, 2ul, "hard"), 0);
	cr_expect_eq(stat(in_share("new/hard"), &st), 0);
	cr_expect_eq(st.st_nlink, 2);
	cr_expect_eq(call(TSYMLINK, "4ss4", 1ul, "soft", "/any/where", 0ul), 0);
	cr_expect_eq(walk1(1, 3, "soft"), 0);
	cr_expect_eq(call(TREADLINK, "4", 3ul), 0);
	cr_expect_eq(memcmp(reply + 9, "/any/where", 10), 0);
	cr_expect_eq(call(TUNLINKAT, "4s4", 0ul, "new", 0x200ul), MIPS_ENOTEMPTY);
	cr_expect_eq(call(TUNLINKAT, "4s4", 0ul, "new", 0ul), EISDIR);
	cr_expect_eq(call(TRENAMEAT, "4s4s", 1ul, "hard", 0ul, "moved"), 0);
	cr_expect_eq(access(in_share("moved"), F_OK), 0);
	cr_expect_eq(call(TRENAMEAT, "4s4s", 0ul, "new", 1ul, "inside"), EINVAL);
	cr_expect_eq(call(TRENAMEAT, "4s4s", 0ul, "none", 0ul, "x"), ENOENT);
	/* Trename and Tremove go by the fid, and find out when the host has given its name to another file. */
	cr_expect_eq(walk1(0, 4, "moved"), 0);
	cr_expect_eq(call(TRENAME, "44s", 4ul, 1ul, "back"), 0);
	cr_expect_eq(access(in_share("new/back"), F_OK), 0);
	cr_expect_eq(call(TRENAMEAT, "4s4s", 1ul, "back", 1ul, "hers"), 0);
	host_rename("new/hers", "new/other");
	p9_put_file(in_share("new"), "hers", "not the same");
	cr_expect_eq(call(TREMOVE, "4", 4ul), MIPS_ESTALE);
	cr_expect_eq(call(TGETATTR, "48", 4ul, 0ul), EBADF, "removed or not, the fid is gone");
	cr_expect_eq(walk1(1, 4, "other"), 0);
	cr_expect_eq(call(TREMOVE, "4", 4ul), 0);
	cr_expect_neq(access(in_share("new/other"), F_OK), 0);
	cr_expect_eq(call(TREMOVE, "4", 0ul), EBUSY, "the root");
}

/* The host takes a file away that the guest has open, and one that it has only looked up. */
Test(pv_9p, host_deletes)
{
	open_file(1, "file", RDWR);
	cr_expect_eq(call(TWALK, "442ss", 0ul, 2ul, 2ul, "dir", "inner"), 0);
	cr_expect_eq(walk1(0, 3, "dir"), 0);
	cr_assert_eq(unlink(in_share("file")), 0);
	cr_assert_eq(unlink(in_share("dir/inner")), 0);
	cr_assert_eq(rmdir(in_share("dir")), 0);
	cr_expect_eq(call(TREAD, "484", 1ul, 0ul, 100ul), 0);
	cr_expect_eq(p9_at(reply + 7, 4), 10);
	cr_expect_eq(call(TGETATTR, "48", 1ul, 0ul), 0);
	cr_expect_eq(p9_at(reply + 40, 8), 0, "no link left");
	cr_expect_eq(call(TGETATTR, "48", 2ul, 0ul), 0);
	cr_expect_eq(walk1(3, 4, "inner"), ENOENT);
	cr_expect_eq(call(TMKDIR, "4s44", 3ul, "x", 0755ul, 0ul), ENOENT);
	cr_expect_eq(call(TREMOVE, "4", 2ul), ENOENT);
	/* In its place: something else, of the same name. */
	cr_assert_eq(symlink("../outside", in_share("dir")), 0);
	cr_expect_eq(walk1(3, 4, "secret"), ENOENT);
}

Test(pv_9p, xattrs)
{
	char value[16] = {0};
	static char big[5000];

	if (setxattr(in_share("file"), "user.host", "1", 1, 0) && errno == ENOTSUP)
		cr_skip("no extended attributes in this temporary directory");
	cr_expect_eq(walk1(0, 1, "file"), 0);
	cr_expect_eq(call(TXATTRWALK, "44s", 1ul, 2ul, "user.host"), 0);
	cr_expect_eq(p9_at(reply + 7, 8), 1);
	cr_expect_eq(call(TREAD, "484", 2ul, 0ul, 10ul), 0);
	cr_expect_eq(p9_at(reply + 7, 4), 1);
	cr_expect_eq(reply[11], '1');
	cr_expect_eq(call(TREAD, "484", 2ul, ~0ul, 10ul), 0);
	cr_expect_eq(p9_at(reply + 7, 4), 0);
	cr_expect_eq(call(TXATTRWALK, "44s", 1ul, 3ul, ""), 0);
	cr_expect_eq(p9_at(reply + 7, 8), 10);
	cr_expect_eq(call(TXATTRWALK, "44s", 1ul, 4ul, "security.capability"), MIPS_EOPNOTSUPP);
	cr_expect_eq(call(TXATTRWALK, "44s", 1ul, 4ul, "user.none"), ENODATA);
	cr_expect_eq(call(TXATTRCREATE, "4s84", 1ul, "security.capability", 3ul, 0ul), MIPS_EOPNOTSUPP);
	cr_expect_eq(call(TXATTRCREATE, "4s84", 1ul, "user.guest", 1ul << 40, 0ul), E2BIG);
	cr_expect_eq(call(TXATTRCREATE, "4s84", 1ul, "user.guest", 6ul, 0ul), 0);
	cr_expect_eq(write_at(1, 0, "abc"), 0);
	cr_expect_eq(write_at(1, 2, "x"), EINVAL, "not where the last ended");
	cr_expect_eq(write_at(1, 3, "defg"), EINVAL, "more than was said");
	cr_expect_eq(write_at(1, 3, "def"), 0);
	cr_expect_eq(call(TCLUNK, "4", 1ul), 0);
	cr_expect_eq(getxattr(in_share("file"), "user.guest", value, sizeof(value)), 6);
	cr_expect_eq(memcmp(value, "abcdef", 6), 0);
	/* Less than was said: nothing is set. No bytes at all: removed. */
	cr_expect_eq(walk1(0, 1, "file"), 0);
	cr_expect_eq(call(TXATTRCREATE, "4s84", 1ul, "user.half", 6ul, 0ul), 0);
	cr_expect_eq(call(TCLUNK, "4", 1ul), EIO);
	cr_expect_eq(getxattr(in_share("file"), "user.half", value, sizeof(value)), -1);
	cr_expect_eq(walk1(0, 1, "file"), 0);
	cr_expect_eq(call(TXATTRCREATE, "4s84", 1ul, "user.guest", 0ul, 0ul), 0);
	cr_expect_eq(call(TCLUNK, "4", 1ul), 0);
	cr_expect_eq(getxattr(in_share("file"), "user.guest", value, sizeof(value)), -1);
	/* On a link: neither its own nor its target's. */
	cr_expect_eq(walk1(0, 1, "evil"), 0);
	cr_expect_eq(call(TXATTRWALK, "44s", 1ul, 5ul, "user.host"), MIPS_EOPNOTSUPP);
	memset(big, 'n', sizeof(big) - 1);
	cr_expect_eq(call(TXATTRWALK, "44s", 1ul, 5ul, big), MIPS_ENAMETOOLONG);
}

enum { READ_LOCK = 0, WRITE_LOCK = 1, NO_LOCK = 2 };

static unsigned try_lock(unsigned long fid, unsigned long type, unsigned long start, unsigned long n,
			 unsigned long owner)
{
	cr_assert_eq(call(TLOCK, "414884s", fid, type, 0ul, start, n, owner, "guest"), 0);
	return reply[7];
}

/* What another program of the host finds locked of "file" at byte `at`. */
static int host_sees(long at)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
	int fd = open(in_share("file"), O_RDWR);

	cr_assert_eq(fcntl(fd, F_OFD_GETLK, &l), 0);
	close(fd);
	return l.l_type;
}

Test(pv_9p, locks)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1000, .l_len = 10};
	int host;

	open_file(1, "file", RDWR);
	open_file(2, "file", RDWR);
	cr_expect_eq(try_lock(1, READ_LOCK, 0, 100, 7), 0);
	cr_expect_eq(try_lock(2, READ_LOCK, 50, 100, 8), 0);
	cr_expect_eq(try_lock(1, WRITE_LOCK, 0, 60, 7), 1, "blocked by 8");
	cr_expect_eq(try_lock(1, WRITE_LOCK, 0, 10, 7), 0);
	cr_expect_eq(host_sees(5), F_WRLCK);
	cr_expect_eq(host_sees(120), F_RDLCK);
	cr_expect_eq(host_sees(200), F_UNLCK);
	/* 7 gives up all of it, by its other descriptor; what 8 holds stays. */
	cr_expect_eq(try_lock(2, NO_LOCK, 0, 0, 7), 0);
	cr_expect_eq(host_sees(5), F_UNLCK);
	cr_expect_eq(host_sees(49), F_UNLCK);
	cr_expect_eq(host_sees(50), F_RDLCK);
	cr_expect_eq(host_sees(149), F_RDLCK);
	cr_expect_eq(host_sees(150), F_UNLCK);
	/* A hole in the middle */
	cr_expect_eq(try_lock(2, NO_LOCK, 60, 10, 8), 0);
	cr_expect_eq(host_sees(59), F_RDLCK);
	cr_expect_eq(host_sees(60), F_UNLCK);
	cr_expect_eq(host_sees(69), F_UNLCK, "its last byte");
	cr_expect_eq(host_sees(70), F_RDLCK);
	cr_expect_eq(call(TGETLOCK, "41884s", 1ul, 1ul, 0ul, 0ul, 7ul, "guest"), 0);
	cr_expect_eq(reply[7], READ_LOCK);
	cr_expect_eq(p9_at(reply + 24, 4), 8);
	/* The host's */
	host = open(in_share("file"), O_RDWR);
	cr_assert_eq(fcntl(host, F_OFD_SETLK, &l), 0);
	cr_expect_eq(try_lock(1, READ_LOCK, 1005, 1, 7), 1);
	cr_expect_eq(call(TGETLOCK, "41884s", 1ul, 0ul, 1000ul, 0ul, 7ul, "guest"), 0);
	cr_expect_eq(reply[7], WRITE_LOCK);
	cr_expect_eq(p9_at(reply + 8, 8), 1000);
	close(host);
	cr_expect_eq(try_lock(1, READ_LOCK, 1005, 1, 7), 0);
	cr_expect_eq(call(TLOCK, "414884s", 1ul, 1ul, 0ul, ~0ul, 1ul, 7ul, "g"), EINVAL);
	cr_expect_eq(call(TLOCK, "414884s", 1ul, 1ul, 0ul, 1ul, ~0ul, 7ul, "g"), EINVAL);
	cr_expect_eq(call(TLOCK, "414884s", 1ul, 9ul, 0ul, 1ul, 1ul, 7ul, "g"), EINVAL);
	/* No more ranges than there may be. */
	for (unsigned long i = 0; i < 400; i++)
		cr_expect_leq(try_lock(1, WRITE_LOCK, 2000 + 2 * i, 1, 7), 2);
	cr_expect_eq(try_lock(1, WRITE_LOCK, 5000, 1, 7), 2);
	/* With the last fid, all are gone. */
	cr_expect_eq(call(TCLUNK, "4", 1ul), 0);
	cr_expect_eq(host_sees(2000), F_WRLCK);
	cr_expect_eq(call(TCLUNK, "4", 2ul), 0);
	cr_expect_eq(host_sees(2000), F_UNLCK);
	cr_expect_eq(host_sees(70), F_UNLCK);
}

TestSuite(pv_9p_read_only, .init = setup_read_only, .fini = teardown);

Test(pv_9p_read_only, nothing_changes)
{
	struct stat before, after;

	cr_assert_eq(stat(in_share("file"), &before), 0);
	open_file(1, "file", RDONLY);
	cr_expect_eq(call(TREAD, "484", 1ul, 0ul, 4ul), 0);
	cr_expect_eq(write_at(1, 0, "x"), EROFS);
	cr_expect_eq(walk1(0, 2, "file"), 0);
	cr_expect_eq(call(TLOPEN, "44", 2ul, (unsigned long)WRONLY), EROFS);
	cr_expect_eq(call(TLOPEN, "44", 2ul, (unsigned long)RDONLY | TRUNC), EROFS);
	cr_expect_eq(call(TLCREATE, "4s444", 0ul, "new", 1ul, 0644ul, 0ul), EROFS);
	cr_expect_eq(call(TSYMLINK, "4ss4", 0ul, "new", "x", 0ul), EROFS);
	cr_expect_eq(call(TMKNOD, "4s4444", 0ul, "new", 0100644ul, 0ul, 0ul, 0ul), EROFS);
	cr_expect_eq(call(TMKDIR, "4s44", 0ul, "new", 0755ul, 0ul), EROFS);
	cr_expect_eq(call(TLINK, "44s", 0ul, 2ul, "new"), EROFS);
	cr_expect_eq(call(TRENAME, "44s", 2ul, 0ul, "new"), EROFS);
	cr_expect_eq(call(TRENAMEAT, "4s4s", 0ul, "file", 0ul, "new"), EROFS);
	cr_expect_eq(call(TUNLINKAT, "4s4", 0ul, "file", 0ul), EROFS);
	cr_expect_eq(call(TSETATTR, "4444488888", 2ul, 0x1ful, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul, 0ul), EROFS);
	cr_expect_eq(call(TXATTRCREATE, "4s84", 2ul, "user.a", 1ul, 0ul), EROFS);
	cr_expect_eq(try_lock(1, READ_LOCK, 0, 1, 5), 0);
	cr_expect_eq(call(TREMOVE, "4", 2ul), EROFS);
	cr_expect_eq(call(TGETATTR, "48", 2ul, 0ul), EBADF);
	cr_assert_eq(stat(in_share("file"), &after), 0);
	cr_expect_eq(memcmp(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim)), 0);
	cr_expect_neq(access(in_share("new"), F_OK), 0);
}

Test(pv_9p_new, what_is_no_directory)
{
	struct p9_server *s;

	cr_expect_eq(p9_server_new(&s, "/none/such", false), -ENOENT);
	cr_expect_eq(p9_server_new(&s, "/etc/passwd", false), -ENOTDIR);
}

static unsigned long from_env(const char *name, unsigned long otherwise)
{
	const char *v = getenv(name);

	return v ? strtoul(v, NULL, 0) : otherwise;
}

/* DISCO_COUNT messages by chance, from DISCO_SEED on. */
Test(pv_9p, by_chance)
{
	struct p9_chance c = {.seed = from_env("DISCO_SEED", 1) * 0x9e3779b97f4a7c15};
	unsigned long count = from_env("DISCO_COUNT", 40000), answers = 0;
	unsigned before = open_files();
	uint32_t n;

	for (unsigned long i = 0; i < count; i++) {
		p9_any_message(&c, &m);
		cr_assert(p9_exchange(server, &c, &m, reply, p9_chance(&c, 16) ? 8192 : p9_chance(&c, 64), &n),
			  "message %lu", i);
		answers += n && reply[4] != RLERROR;
		if (i % 1000 == 999) {
			cr_assert(p9_outside_intact(&place), "message %lu", i);
			p9_share_empty(&place);
			p9_fill_share(&place);
			p9_server_free(server);
			cr_assert_eq(p9_server_new(&server, place.share, false), 0);
			server->no_openat2 = i / 1000 % 2;
			cr_assert_eq(call(TVERSION, "4s", 8192ul, "9P2000.L"), 0);
			cr_assert_eq(call(TATTACH, "44ss4", 0ul, ~0ul, "root", "", 0ul), 0);
		}
	}
	cr_expect_gt(answers, count / 10, "only %lu messages did something", answers);
	p9_server_reset(server);
	cr_expect_eq(open_files(), before, "descriptors are left open");
}
