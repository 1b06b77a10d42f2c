/* SPDX-License-Identifier: MIT */
/* What fids name while things move: depth, renames and removals on both sides, and few descriptors for many fids. */
#define _GNU_SOURCE /* nftw, memmem */
#include <pthread.h>
#include <sys/resource.h>

#include "tests/unit/pv_9p_rig.h"

static void setup(void) { open_server(false); }

TestSuite(pv_9p_node, .init = setup, .fini = teardown);

/* Close all that can be opened again. */
static void close_all(struct p9_server *s)
{
	s->nodes.message++;
	while (p9_node_evict(s))
		;
}

static uint32_t getattr(unsigned long fid) { return call(TGETATTR, "48", fid, 0x7fful); }
static uint64_t size_of(unsigned long fid) { return getattr(fid) ? UINT64_MAX : p9_at(reply + 56, 8); }
static uint64_t inode_of(unsigned long fid) { return getattr(fid) ? 0 : p9_at(reply + 20, 8); }
static uint32_t clunk(unsigned long fid) { return call(TCLUNK, "4", fid); }

static bool reads(unsigned long fid, const char *text)
{
	return !call(TREAD, "484", fid, 0ul, 100ul) && p9_at(reply + 7, 4) == strlen(text) &&
	       !memcmp(reply + 11, text, strlen(text));
}

/* A directory of names of 250 bytes, made and entered step by step by fid 1; fid 1 is at its bottom. */
static char long_name[251];
static void make_deep(unsigned depth)
{
	memset(long_name, 'd', sizeof(long_name) - 1);
	cr_assert_eq(call(TWALK, "442", 0ul, 1ul, 0ul), 0);
	for (unsigned i = 0; i < depth; i++) {
		cr_assert_eq(call(TMKDIR, "4s44", 1ul, long_name, 0755ul, 0ul), 0, "step %u", i);
		cr_assert_eq(walk1(1, 1, long_name), 0, "step %u", i);
	}
}

/* Paths longer than the host's calls take, and than remove(3) does afterwards. */
static void remove_deep(void)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf '%s'/ddd* '%s'/top", place.share, place.share);
	cr_assert_eq(system(command), 0);
}

Test(pv_9p_node, depth_does_not_matter)
{
	enum { DEPTH = 80 };

	make_deep(DEPTH);
	cr_expect_eq(call(TWALK, "442", 1ul, 2ul, 0ul), 0);
	cr_expect_eq(call(TLCREATE, "4s444", 2ul, "bottom", (unsigned long)RDWR, 0644ul, 0ul), 0);
	cr_expect_eq(write_at(2, 0, "deep"), 0);
	cr_expect(reads(2, "deep"));
	cr_expect_eq(clunk(2), 0);
	/* By name again, from the root; the directories between have no fids. */
	close_all(server);
	cr_expect_eq(walk1(1, 2, "bottom"), 0);
	cr_expect_eq(size_of(2), 4);
	cr_expect_eq(call(TRENAME, "44s", 2ul, 1ul, "other"), 0);
	close_all(server);
	cr_expect_eq(call(TLOPEN, "44", 2ul, (unsigned long)RDWR), 0);
	cr_expect(reads(2, "deep"));
	cr_expect_eq(call(TREMOVE, "4", 2ul), 0);
	/* Fid 1 leaves each directory before it is removed. */
	for (unsigned i = 0; i < DEPTH; i++) {
		close_all(server);
		cr_assert_eq(call(TREMOVE, "4", 1ul), 0, "step %u", i);
		cr_assert_eq(call(TWALK, "442", 0ul, 1ul, 0ul), 0);
		for (unsigned k = i + 1; k < DEPTH; k++)
			cr_assert_eq(walk1(1, 1, long_name), 0);
	}
	cr_expect_eq(clunk(1), 0);
	cr_expect_eq(server->nodes.n, 0, "nothing is kept of all this");
	cr_expect_neq(access(in_share(long_name), F_OK), 0);
}

/* Below a directory that the guest renames or moves, at any depth, everything is as it was. */
Test(pv_9p_node, guest_renames_a_parent)
{
	make_deep(20);
	cr_expect_eq(call(TMKNOD, "4s4444", 1ul, "x", (unsigned long)S_IFREG | 0644, 0ul, 0ul, 0ul), 0);
	cr_expect_eq(walk1(1, 2, "x"), 0);
	cr_expect_eq(call(TRENAMEAT, "4s4s", 0ul, long_name, 0ul, "top"), 0);
	close_all(server);
	cr_expect_eq(getattr(2), 0);
	cr_expect_eq(call(TWALK, "442ss", 0ul, 3ul, 2ul, "top", long_name), 0);
	cr_expect_eq(call(TRENAME, "44s", 3ul, 0ul, "moved"), 0);
	close_all(server);
	cr_expect_eq(getattr(2), 0);
	cr_expect_eq(call(TREMOVE, "4", 2ul), 0, "by its name, which is in a directory that has moved");
	cr_expect_eq(call(TRENAMEAT, "4s4s", 0ul, "moved", 0ul, "dddd"), 0);
	cr_expect_eq(call(TMKDIR, "4s44", 1ul, "y", 0755ul, 0ul), 0);
	remove_deep();
}

/* What the host moves is found while its descriptor is kept; afterwards it is stale, never another file. */
Test(pv_9p_node, host_renames_a_parent)
{
	cr_expect_eq(call(TWALK, "442ss", 0ul, 1ul, 2ul, "dir", "inner"), 0);
	host_rename("dir", "elsewhere");
	cr_expect_eq(size_of(1), 11);
	close_all(server);
	cr_expect_eq(getattr(1), MIPS_ESTALE);
	cr_expect_eq(call(TLOPEN, "44", 1ul, (unsigned long)RDONLY), MIPS_ESTALE);
	cr_expect_eq(call(TREMOVE, "4", 1ul), MIPS_ESTALE);
	cr_expect_eq(call(TWALK, "442ss", 0ul, 1ul, 2ul, "elsewhere", "inner"), 0);
	host_rename("elsewhere", "dir");
	close_all(server);
	cr_expect_eq(getattr(1), MIPS_ESTALE);
	host_rename("dir", "elsewhere");
	cr_expect_eq(size_of(1), 11, "there again");
}

/* In the place of what a fid names: another file, a link out, a directory with the same names in it. */
Test(pv_9p_node, host_puts_another_in_its_place)
{
	uint64_t old;
	char out[200];

	cr_expect_eq(walk1(0, 1, "file"), 0);
	cr_expect_eq(call(TWALK, "442ss", 0ul, 2ul, 2ul, "dir", "inner"), 0);
	old = inode_of(1);
	p9_put_file(place.share, "new", "another file");
	host_rename("new", "file");
	host_rename("dir", "away");
	snprintf(out, sizeof(out), "%s/outside", place.top);
	p9_put_file(out, "inner", "outside");
	cr_assert_eq(symlink(out, in_share("dir")), 0);
	/* The fid still means the old one, and a walk the new one. */
	cr_expect_eq(inode_of(1), old);
	close_all(server);
	cr_expect_eq(getattr(1), MIPS_ESTALE);
	cr_expect_eq(getattr(2), MIPS_ESTALE, "not through the link");
	cr_expect_eq(walk1(0, 3, "file"), 0);
	cr_expect_eq(size_of(3), 12);
	cr_expect_eq(call(TREMOVE, "4", 1ul), ENOENT, "its name is another's");
	close_all(server);
	cr_expect_eq(size_of(3), 12);
	cr_assert_eq(unlink(in_share("dir")), 0);
	cr_assert_eq(mkdir(in_share("dir"), 0755), 0);
	p9_put_file(in_share("dir"), "inner", "in another directory");
	cr_expect_eq(getattr(2), MIPS_ESTALE);
	snprintf(out, sizeof(out), "%s/outside/inner", place.top);
	unlink(out);
}

/* A file that the guest has removed, or put another in the place of, lives as long as a fid of it: its descriptor stays. */
Test(pv_9p_node, without_a_name)
{
	unsigned before = open_files();

	cr_expect_eq(walk1(0, 1, "file"), 0);
	close_all(server);
	cr_expect_eq(call(TUNLINKAT, "4s4", 0ul, "file", 0ul), 0);
	close_all(server);
	cr_expect_eq(size_of(1), 10);
	cr_expect_eq(p9_at(reply + 40, 8), 0, "no link");
	/* The same name means another now. */
	p9_put_file(place.share, "file", "a new one");
	cr_expect_eq(walk1(0, 2, "file"), 0);
	close_all(server);
	cr_expect_eq(size_of(2), 9);
	cr_expect_eq(size_of(1), 10);
	/* Replaced: by rename. */
	cr_expect_eq(call(TMKNOD, "4s4444", 0ul, "n", (unsigned long)S_IFREG | 0644, 0ul, 0ul, 0ul), 0);
	close_all(server);
	cr_expect_eq(call(TRENAMEAT, "4s4s", 0ul, "n", 0ul, "file"), 0);
	close_all(server);
	cr_expect_eq(size_of(2), 9);
	cr_expect_eq(call(TREMOVE, "4", 2ul), ENOENT);
	/* Open, removed, closed: the other fid keeps it, whichever was first. */
	open_file(3, "file", RDWR);
	cr_expect_eq(write_at(3, 0, "kept"), 0);
	cr_expect_eq(call(TLOCK, "414884s", 3ul, 1ul, 0ul, 0ul, 1ul, 5ul, "guest"), 0);
	cr_expect_eq(server->nodes.n_fds, 4, "of two names that are gone, of the open file, of its lock");
	cr_expect_eq(walk1(0, 4, "file"), 0);
	cr_expect_eq(call(TUNLINKAT, "4s4", 0ul, "file", 0ul), 0);
	close_all(server);
	cr_expect_eq(clunk(3), 0);
	close_all(server);
	cr_expect_eq(size_of(4), 4);
	cr_expect_eq(call(TLOPEN, "44", 4ul, (unsigned long)RDONLY), 0);
	cr_expect(reads(4, "kept"));
	cr_expect_eq(clunk(4), 0);
	cr_expect_eq(clunk(1), 0);
	cr_expect_eq(open_files(), before);
	cr_expect_eq(server->nodes.n_fds, 0);
}

/* rename(2) of two names of one file leaves both; so do the nodes. */
Test(pv_9p_node, two_names_of_one_file)
{
	cr_expect_eq(walk1(0, 1, "file"), 0);
	cr_expect_eq(call(TLINK, "44s", 0ul, 1ul, "hard"), 0);
	cr_expect_eq(walk1(0, 2, "hard"), 0);
	cr_expect_eq(call(TRENAMEAT, "4s4s", 0ul, "file", 0ul, "hard"), 0);
	cr_expect_eq(call(TRENAMEAT, "4s4s", 0ul, "file", 0ul, "file"), 0);
	close_all(server);
	cr_expect_eq(size_of(1), 10);
	cr_expect_eq(size_of(2), 10);
	cr_expect_eq(call(TREMOVE, "4", 1ul), 0);
	cr_expect_eq(call(TREMOVE, "4", 2ul), 0);
}

/* What the guest knows as a/b, the host has made b; then the guest moves a below b.  Nothing may go round in a ring. */
Test(pv_9p_node, no_ring)
{
	cr_expect_eq(call(TMKDIR, "4s44", 0ul, "a", 0755ul, 0ul), 0);
	cr_expect_eq(walk1(0, 1, "a"), 0);
	cr_expect_eq(call(TMKDIR, "4s44", 1ul, "b", 0755ul, 0ul), 0);
	cr_expect_eq(walk1(1, 2, "b"), 0);
	host_rename("a/b", "b");
	cr_expect_eq(call(TRENAMEAT, "4s4s", 0ul, "a", 2ul, "a"), 0);
	cr_expect_eq(access(in_share("b/a"), F_OK), 0);
	close_all(server);
	cr_expect_eq(getattr(1), 0);
	cr_expect_eq(getattr(2), MIPS_ESTALE);
	cr_expect_eq(call(TWALK, "442ss", 0ul, 3ul, 2ul, "b", "a"), 0);
	cr_expect_eq(inode_of(3), inode_of(1));
	p9_server_reset(server);
	cr_expect_eq(server->nodes.n, 0);
}

static bool stop;

/* "dir" is a directory with "secret" in it, or a link to the one outside, in turn and without a pause. */
static void *exchange(void *unused)
{
	char dir[200], link[200];

	snprintf(dir, sizeof(dir), "%s/dir", place.share);
	snprintf(link, sizeof(link), "%s/evildir", place.share);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		if (renameat2(AT_FDCWD, dir, AT_FDCWD, link, RENAME_EXCHANGE))
			abort();
	return unused;
}

/* p9_exchange() looks for what is in the one outside. */
static void race(void)
{
	static const uint64_t room = 200;
	unsigned good = 0;
	pthread_t t;

	p9_put_file(in_share("dir"), "secret", "here");
	stop = false;
	cr_assert_eq(pthread_create(&t, NULL, exchange, NULL), 0);
	for (unsigned i = 0; i < 2000; i++) {
		if (i % 3 == 0)
			close_all(server);
		if (!call(TWALK, "442ss", 0ul, 1ul, 2ul, "dir", "secret") && p9_at(reply + 7, 2) == 2) {
			if (i % 2)
				close_all(server);
			if (!call(TLOPEN, "44", 1ul, (unsigned long)RDWR) && !call(TREAD, "484", 1ul, 0ul, room))
				good += reads(1, "here");
			cr_assert_eq(clunk(1), 0);
		}
		if (!walk1(0, 2, "dir")) {
			uint32_t r = call(TLCREATE, "4s444", 2ul, "made", (unsigned long)RDWR, 0644ul, 0ul);

			cr_assert(!r || r == ENOTDIR || r == MIPS_ESTALE, "%u", r);
			clunk(2);
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	cr_expect_gt(good, 20, "%u", good);
}

Test(pv_9p_node, host_exchanges_a_directory_for_a_link) { race(); }

Test(pv_9p_node, old_host_exchanges_a_directory_for_a_link)
{
	server->no_openat2 = true;
	race();
}

/* ---- bounds ---- */

Test(pv_9p_node, fids_are_bounded)
{
	unsigned long i;

	server->max_fids = 200;
	for (i = 1; i < 1000 && !walk1(0, i, "file"); i++)
		;
	cr_expect_eq(i, 200);
	cr_expect_eq(walk1(0, 5000, "file"), EMFILE);
	cr_expect_eq(call(TATTACH, "44ss4", 5000ul, ~0ul, "root", "", 0ul), EMFILE);
	cr_expect_eq(walk1(0, 5, "file"), EEXIST, "a fid that is in use");
	cr_expect_eq(server->nodes.n, 1, "one file");
}

Test(pv_9p_node, nodes_are_bounded)
{
	server->nodes.max = 10;
	make_deep(10);
	cr_expect_eq(walk1(0, 2, "file"), EMFILE);
	cr_expect_eq(call(TWALK, "442", 0ul, 2ul, 0ul), 0);
	cr_expect_eq(call(TLCREATE, "4s444", 2ul, "new", (unsigned long)RDWR, 0644ul, 0ul), EMFILE);
	cr_expect_eq(clunk(1), 0);
	cr_expect_eq(walk1(0, 3, "file"), 0);
	cr_expect_eq(server->nodes.n, 1);
	remove_deep();
}

/* Thousands of fids, each of a file of its own, and few descriptors. */
Test(pv_9p_node, descriptors_are_bounded)
{
	enum { FIDS = 3000 };
	unsigned before = open_files(), most = 0;
	unsigned long n;
	char name[32];

	server->nodes.max_fds = P9_MIN_FDS;
	for (unsigned long i = 1; i <= FIDS; i++) {
		snprintf(name, sizeof(name), "f%lu", i);
		p9_put_file(in_share("dir"), name, i % 2 ? "odd" : "even");
		cr_assert_eq(call(TWALK, "442ss", 0ul, i, 2ul, "dir", name), 0, "fid %lu", i);
	}
	for (unsigned long i = 1; i <= FIDS; i++) {
		cr_assert_eq(size_of(i), i % 2 ? 3 : 4, "fid %lu", i);
		most = i % 100 || open_files() < most ? most : open_files();
	}
	cr_expect_leq(most, before + P9_MIN_FDS);
	/* Open files are not closed behind the guest's back: there are no more than there may be. */
	for (n = 1; n <= FIDS && !call(TLOPEN, "44", n, (unsigned long)RDONLY); n++)
		;
	cr_expect_eq(n, P9_MIN_FDS, "%lu are open, and one descriptor is a name's", n - 1);
	cr_expect_eq(call(TLOPEN, "44", n, (unsigned long)RDONLY), EMFILE);
	for (unsigned long i = 1; i < n; i++)
		cr_expect(reads(i, i % 2 ? "odd" : "even"));
	cr_expect_eq(size_of(FIDS), 4);
	cr_expect_eq(clunk(1), 0);
	cr_expect_eq(call(TLOPEN, "44", n, (unsigned long)RDONLY), 0);
	cr_expect_leq(open_files(), before + P9_MIN_FDS);
	p9_server_reset(server);
	cr_expect_eq(server->nodes.n_fds, 0);
	cr_expect_eq(open_files(), before);
}

/* The longest walk, with the fewest descriptors. */
Test(pv_9p_node, longest_walk)
{
	server->nodes.max_fds = P9_MIN_FDS;
	for (unsigned long i = 0; i < 14; i++)
		cr_expect_eq(call(TWALK, "442", 0ul, 100 + i, 0ul), 0);
	cr_expect_eq(call(TWALK, "442", 0ul, 1ul, 0ul), 0);
	for (unsigned i = 0; i < 16; i++) {
		cr_assert_eq(call(TMKDIR, "4s44", 1ul, "s", 0755ul, 0ul), 0);
		cr_assert_eq(walk1(1, 1, "s"), 0);
	}
	/* As many as may be open beside a walk. */
	for (unsigned long i = 0; i < 14; i++)
		cr_assert_eq(call(TLOPEN, "44", 100 + i, 0ul), 0);
	close_all(server);
	p9_begin(&m, TWALK, 3);
	p9_add(&m, 0, 4);
	p9_add(&m, 2, 4);
	p9_add(&m, 16, 2);
	for (unsigned i = 0; i < 16; i++)
		p9_add_string(&m, "s", 1);
	cr_expect_eq(send_in(sizeof(reply)), 0);
	cr_expect_eq(p9_at(reply + 7, 2), 16);
	cr_expect_eq(inode_of(2), inode_of(1));
}

/* Somebody else in the process has taken the descriptors: what can be opened again makes way. */
Test(pv_9p_node, host_has_no_descriptors_left)
{
	struct rlimit old, few;
	char name[32];

	for (unsigned long i = 1; i <= 20; i++) {
		snprintf(name, sizeof(name), "f%lu", i);
		p9_put_file(place.share, name, "x");
		cr_assert_eq(walk1(0, i, name), 0);
	}
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = (rlim_t)dup(0); /* the lowest number that is free */
	close((int)few.rlim_cur);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	cr_expect_eq(walk1(0, 30, "file"), 0);
	cr_expect_eq(call(TLOPEN, "44", 30ul, 0ul), 0);
	cr_expect_eq(call(TWALK, "442", 0ul, 31ul, 0ul), 0);
	cr_expect_eq(call(TLCREATE, "4s444", 31ul, "made", (unsigned long)RDWR, 0644ul, 0ul), 0);
	cr_expect_eq(call(TMKNOD, "4s4444", 0ul, "more", (unsigned long)S_IFREG | 0644, 0ul, 0ul, 0ul), 0);
	for (unsigned long i = 1; i <= 20; i++)
		cr_expect_eq(size_of(i), 1, "fid %lu", i);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* Of what the process may have open, so much is a share's. */
Test(pv_9p_node, share_of_descriptors)
{
	static const struct {
		rlim_t limit;
		unsigned fds;
	} rows[] = {{16384, 1024}, {8192, 512}, {4096, 512}, {1024, 256}, {100, P9_MIN_FDS}};
	struct p9_server *s;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rlimit l = {rows[i].limit / 2, rows[i].limit};

		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
		cr_assert_eq(p9_server_new(&s, place.share, false), 0);
		cr_expect_eq(s->nodes.max_fds, rows[i].fds, "of %lu: %u", (unsigned long)rows[i].limit,
			     s->nodes.max_fds);
		p9_server_free(s);
	}
}

/* Values of attributes are host memory. */
Test(pv_9p_node, values_are_bounded)
{
	unsigned long i;

	for (i = 1; i < 1000; i++) {
		cr_assert_eq(walk1(0, i, "file"), 0);
		if (call(TXATTRCREATE, "4s84", i, "user.a", 65536ul, 0ul))
			break;
	}
	cr_expect_eq(i, 1 + P9_MAX_VALUE_BYTES / 65536);
	cr_expect_eq(call(TWALK, "442", 1ul, 1ul, 0ul), EBADF,
		     "a fid that takes a value is nothing else until it is set");
	cr_expect_eq(clunk(1), EIO);
	cr_expect_eq(call(TXATTRCREATE, "4s84", i, "user.a", 65536ul, 0ul), 0);
	p9_server_reset(server);
	cr_expect_eq(server->value_bytes, 0);
}

/* ---- by chance ---- */

/* An answer without what two shares cannot have in common: inodes and times. */
static uint32_t comparable(const uint8_t *b)
{
	if (b[4] == RLERROR)
		return (uint32_t)p9_at(b + 7, 4);
	if (b[4] == TGETATTR + 1)
		return 1000 + (uint32_t)(p9_at(b + 28, 4) ^ p9_at(b + 40, 8) << 16 ^ p9_at(b + 56, 8) << 20);
	if (b[4] == TREAD + 1)
		return 1000 + (uint32_t)p9_at(b + 7, 4);
	if (b[4] == TWALK + 1)
		return 1000 + (uint32_t)p9_at(b + 7, 2);
	return b[4] * 1000u;
}

/* Two servers get the same messages; one of them has to open everything again each time.  Nothing else differs. */
Test(pv_9p_node, descriptors_are_not_seen)
{
	enum { COUNT = 60000, ROUND = 2000 };
	static uint8_t other_reply[sizeof(reply)];
	static struct p9_message again;
	struct p9_chance c = {.seed = 77}, mine, hers;
	struct p9_place other;
	struct p9_server *twin;
	unsigned long done = 0;
	uint32_t n, other_n;

	p9_place_make(&other);
	cr_assert_eq(p9_server_new(&twin, other.share, false), 0);
	p9_begin(&m, TVERSION, 1);
	p9_add(&m, 8192, 4);
	p9_add_string(&m, "9P2000.L", 8);
	p9_end(&m);
	for (unsigned long i = 0; i < COUNT; i++) {
		/* The same lengths of buffers too, and the same thread. */
		again = m;
		mine = hers = (struct p9_chance){.seed = i + 1};
		close_all(server);
		cr_assert(p9_exchange(server, &mine, &m, reply, 8192, &n));
		cr_assert(p9_exchange(twin, &hers, &again, other_reply, 8192, &other_n));
		cr_assert_eq(n != 0, other_n != 0, "message %lu", i);
		if (n)
			cr_assert_eq(comparable(reply), comparable(other_reply), "message %lu, type %u: %u, %u", i,
				     m.b[4], comparable(reply), comparable(other_reply));
		done += n && reply[4] != RLERROR;
		if (i % ROUND == ROUND - 1) {
			p9_server_reset(server);
			p9_server_reset(twin);
			p9_share_empty(&place);
			p9_share_empty(&other);
			p9_fill_share(&place);
			p9_fill_share(&other);
			p9_server_free(server);
			p9_server_free(twin);
			cr_assert_eq(p9_server_new(&server, place.share, false), 0);
			cr_assert_eq(p9_server_new(&twin, other.share, false), 0);
		}
		if (i % ROUND == ROUND - 1 || i % ROUND == 0) {
			p9_begin(&m, i % ROUND ? TVERSION : TATTACH, 1);
			p9_add(&m, i % ROUND ? 8192 : 0, 4);
			if (i % ROUND) {
				p9_add_string(&m, "9P2000.L", 8);
			} else {
				p9_add(&m, UINT32_MAX, 4);
				p9_add(&m, 0, 8);
			}
			p9_end(&m);
		} else {
			p9_any_message(&c, &m);
		}
	}
	cr_expect_gt(done, COUNT / 10, "%lu", done);
	p9_server_free(twin);
	cr_expect(p9_outside_intact(&other));
	p9_place_remove(&other);
}
