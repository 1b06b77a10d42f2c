/* SPDX-License-Identifier: MIT */
/* The control socket: QMP's conversation and answers, whose socket it is, and clients that mean no good. */
#define _GNU_SOURCE
#include "vmm/control/client.h"
#include "vmm/control/control.h"
#include "vmm/control/frame.h"
#include "vmm/control/qmp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/disco-control-XXXXXX";

static void make_dir(void)
{
	cr_assert_not_null(mkdtemp(dir));
	setenv("XDG_RUNTIME_DIR", dir, 1);
}

static void remove_dir(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(control, .init = make_dir, .fini = remove_dir);

/* ---- two machines ---- */

static struct {
	enum control_state state[2];
	unsigned acts[2][5], vcpus[2];
	const char *why; /* what act() answers */
	unsigned audit_errors;
	unsigned entered, added, removed;
} machines;

static unsigned count(void *opaque) { return 2; }

static void look(void *opaque, unsigned i, struct control_machine *out)
{
	static const char *const names[] = {"a", "b"};

	*out = (struct control_machine){.name = names[i],
					.state = machines.state[i],
					.thread = 100 + (int)i,
					.mem_bytes = 1 << 20,
					.up_ms = 5,
					.private_bytes = 4096,
					.insns = {0, 0, 9},
					.status = 3,
					.vcpus = machines.vcpus[i],
					.big_endian = i == 1,
					.n_disks = i};
	out->disk[0] = (struct control_disk){"x.img", "raw", true};
}

static const char *act(void *opaque, unsigned i, enum control_action what)
{
	machines.acts[i][what]++;
	return machines.why;
}

static bool visit(void *opaque, const char *machine, int fd)
{
	(void)!dprintf(fd, "this is %s", machine);
	close(fd);
	return true;
}

static void look_at_all(void *opaque, struct control_monitor *out)
{
	*out = (struct control_monitor){
	    .processors = 2, .running = 1, .machine_bytes = 4096, .process = {.bytes = {4096, 5}, .total = 8192}};
}

static void look_at_nodes(void *opaque, struct control_nodes *out)
{
	*out = (struct control_nodes){.look = {.n_nodes = 2,
					       .mode = "sample",
					       .node = {{.pages = 9}, {.migrated = 3}},
					       .events = {3},
					       .n_hot = 1},
				      .hot = {{.machine = "a", .symbol = "f+0x10"}}};
	out->look.hot[0] =
	    (struct numa_hot_page){.gpn = 2, .heat = 7, .node = 1, .copies = 1, .moves = 4, .class = MEMORY_EQUAL};
}

static void audit(void *opaque, unsigned moves, struct control_audit *out)
{
	*out = (struct control_audit){
	    .errors = machines.audit_errors, .machines = 2, .moved = moves / 2, .first = "all is wrong"};
}

static void enter(void *opaque) { machines.entered++; }
static void leave(void *opaque) { machines.entered--; }

static int add(void *opaque, const struct control_addition *what, struct control_error *err)
{
	usleep(1000 * (unsigned)atoi(what->config));
	snprintf(err->text, sizeof(err->text), "%s of %s%s", what->config, what->folder, what->file);
	machines.added++;
	return strchr(what->config, '!') ? -EINVAL : 0;
}

static int remove_one(void *opaque, const char *machine, bool force, struct control_error *err)
{
	snprintf(err->text, sizeof(err->text), "%s: runs \xc3\xa4 \xff \n", machine);
	machines.removed++;
	return force ? 0 : -EBUSY;
}

static int profile(void *opaque, const char *machine, unsigned ms, struct control_profile *out,
		   struct control_error *err)
{
	if (ms == 13) {
		snprintf(err->text, sizeof(err->text), "%s: does not run", machine);
		return -EINVAL;
	}
	if (ms)
		return 0;
	out->slide = 0x10000;
	out->sum.samples = 7;
	out->sum.lost = 1;
	out->sum.n = 1;
	out->sum.place[0] =
	    (struct profile_place){.pc = 0xffffffff80001234u, .content = {0xabc, 0x1}, .user = true, .n = 6};
	return 0;
}

static const struct control_ops ops = {.enter = enter,
				       .leave = leave,
				       .look_at_all = look_at_all,
				       .look_at_nodes = look_at_nodes,
				       .audit = audit,
				       .count = count,
				       .look = look,
				       .act = act,
				       .visit = visit,
				       .add = add,
				       .remove = remove_one,
				       .profile = profile};

/* ---- QMP ---- */

static void answers(struct qmp *q, const char *text, const char *want)
{
	json_t *answer = qmp_answer(q, text, strlen(text));
	char *got = json_dumps(answer, JSON_COMPACT);

	cr_expect_str_eq(got, want, "%s: %s, not %s", text, got, want);
	free(got);
	json_decref(answer);
}

static void errs(struct qmp *q, const char *text, const char *class, const char *part)
{
	json_t *answer = qmp_answer(q, text, strlen(text)), *error = json_object_get(answer, "error");
	const char *desc = json_string_value(json_object_get(error, "desc"));

	cr_assert(error && desc, "%s: no error", text);
	cr_expect_str_eq(json_string_value(json_object_get(error, "class")), class, "%s", text);
	cr_expect(strstr(desc, part), "%s: '%s', not '%s'", text, desc, part);
	json_decref(answer);
}

#define SAY(command)           "{\"execute\":\"" command "\"}"
#define TELL(command, machine) "{\"execute\":\"" command "\",\"arguments\":{\"machine\":\"" machine "\"}}"

Test(control, nodes)
{
	struct qmp q = {.ops = &ops, .open = true};

	answers(
	    &q, SAY("x-query-nodes"),
	    "{\"return\":{\"mode\":\"sample\",\"counted\":false,\"nodes\":[{\"pages\":9,\"pages-used\":0,\"local-"
	    "misses\":0,"
	    "\"remote-misses\":0,\"migrated\":0,\"replicated\":0,\"collapsed\":0,\"left\":0},{\"pages\":0,\"pages-"
	    "used\":0,"
	    "\"local-misses\":0,\"remote-misses\":0,\"migrated\":3,\"replicated\":0,\"collapsed\":0,\"left\":0}],"
	    "\"decisions\":{\"migrate\":3,\"replicate\":0,\"collapse\":0,\"freeze\":0,\"leave\":0,\"refused\":0},"
	    "\"hottest\":[{\"machine\":\"a\",\"class\":\"equal\",\"node\":1,\"copies\":1,\"address\":8192,\"heat\":7,"
	    "\"moves\":4,\"symbol\":\"f+0x10\"}]}}");
}

Test(control, conversation)
{
	struct qmp q = {.ops = &ops};

	memset(&machines, 0, sizeof(machines));
	machines.state[0] = CONTROL_RUNS;
	machines.state[1] = CONTROL_PAUSED;
	errs(&q, SAY("query-status"), "CommandNotFound", "Expecting capabilities negotiation");
	errs(&q, SAY("nothing"), "CommandNotFound", "Expecting capabilities negotiation");
	errs(&q, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}", "GenericError",
	     "Capability oob not available");
	errs(&q, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":3}}", "GenericError", "expected: array");
	errs(&q, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"x\":3}}", "GenericError", "'x' is unexpected");
	answers(&q, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]},\"id\":7}",
		"{\"return\":{},\"id\":7}");
	errs(&q, SAY("nothing"), "CommandNotFound", "nothing has not been found");
	answers(&q, SAY("query-name"), "{\"return\":{}}");
	answers(&q, TELL("query-name", "b"), "{\"return\":{\"name\":\"b\"}}");
	errs(&q, SAY("qmp_capabilities"), "CommandNotFound", "already complete");
	answers(&q, SAY("query-status"), "{\"return\":{\"status\":\"running\",\"running\":true,\"singlestep\":false}}");
	answers(&q, TELL("query-status", "b"),
		"{\"return\":{\"status\":\"paused\",\"running\":false,\"singlestep\":false}}");
	answers(&q, TELL("query-cpus-fast", "b"),
		"{\"return\":[{\"cpu-index\":1,\"qom-path\":\"/machine/b/cpu0\",\"thread-id\":101,\"target\":\"mips\","
		"\"props\":{},\"x-machine\":\"b\"}]}");
	answers(
	    &q, SAY("query-block"),
	    "{\"return\":[{\"device\":\"vda\",\"type\":\"unknown\",\"locked\":false,\"removable\":false,\"inserted\":{"
	    "\"file\":\"x.img\",\"ro\":true,\"drv\":\"raw\",\"encrypted\":false},\"x-machine\":\"b\"}]}");
	answers(
	    &q, TELL("x-query-machines", "a"),
	    "{\"return\":[{\"name\":\"a\",\"status\":\"running\",\"vcpus\":1,\"memory\":1048576,\"up-ms\":5,"
	    "\"processor-ms\":0,\"private\":4096,\"disk-blocks\":0,\"equal\":0,\"zero\":0,"
	    "\"instructions-interpreted\":0,\"instructions-tier1\":0,\"instructions-tier2\":9,\"big-endian\":false}]}");
	answers(&q, SAY("x-query-monitor"),
		"{\"return\":{\"processors\":2,\"running\":1,\"queued\":0,\"machine-memory\":4096,\"disk-blocks\":0,"
		"\"equal\":0,\"process\":{\"guests\":4096,\"code\":5,\"translations\":0,\"tables\":0,\"program\":0,"
		"\"heap\":0,\"total\":8192}}}");
	answers(&q, TELL("stop", "a"), "{\"return\":{}}");
	answers(&q, SAY("cont"), "{\"return\":{}}");
	answers(&q, TELL("system_reset", "b"), "{\"return\":{}}");
	answers(&q, TELL("system_powerdown", "b"), "{\"return\":{}}");
	cr_expect(machines.acts[0][CONTROL_PAUSE] == 1 && machines.acts[1][CONTROL_PAUSE] == 0);
	cr_expect(machines.acts[0][CONTROL_GO] == 1 && machines.acts[1][CONTROL_GO] == 1);
	cr_expect(machines.acts[0][CONTROL_RESET] == 0 && machines.acts[1][CONTROL_RESET] == 1);
	cr_expect(machines.acts[0][CONTROL_POWER_DOWN] == 0 && machines.acts[1][CONTROL_POWER_DOWN] == 1);
	machines.why = "is busy";
	errs(&q, SAY("system_powerdown"), "GenericError", "a: is busy");
	machines.why = NULL;
	/* those that have ended are left alone, unless one is meant */
	machines.state[1] = CONTROL_SHUTDOWN;
	errs(&q, TELL("quit", "b"), "GenericError", "b: has ended");
	answers(&q, SAY("quit"), "{\"return\":{}}");
	cr_expect(machines.acts[0][CONTROL_QUIT] == 1 && machines.acts[1][CONTROL_QUIT] == 0);
	answers(&q, TELL("x-query-machines", "b"),
		"{\"return\":[{\"name\":\"b\",\"status\":\"shutdown\",\"vcpus\":1,\"memory\":1048576,\"up-ms\":5,"
		"\"processor-ms\":0,\"private\":4096,\"disk-blocks\":0,\"equal\":0,\"zero\":0,"
		"\"instructions-interpreted\":0,\"instructions-tier1\":0,\"instructions-tier2\":9,\"big-endian\":true,"
		"\"exit-status\":3}]}");
}

Test(control, several_vcpus)
{
	struct qmp q = {.ops = &ops, .open = true};

	memset(&machines, 0, sizeof(machines));
	machines.state[1] = CONTROL_PAUSED;
	machines.vcpus[1] = 2;
	answers(&q, TELL("query-cpus-fast", "b"),
		"{\"return\":[{\"cpu-index\":1,\"qom-path\":\"/machine/b/cpu0\",\"thread-id\":101,\"target\":\"mips\","
		"\"props\":{},\"x-machine\":\"b\"},{\"cpu-index\":2,\"qom-path\":\"/machine/b/cpu1\",\"thread-id\":101,"
		"\"target\":\"mips\",\"props\":{},\"x-machine\":\"b\"}]}");
	answers(
	    &q, TELL("x-query-machines", "b"),
	    "{\"return\":[{\"name\":\"b\",\"status\":\"paused\",\"vcpus\":2,\"memory\":1048576,\"up-ms\":5,"
	    "\"processor-ms\":0,\"private\":4096,\"disk-blocks\":0,\"equal\":0,\"zero\":0,"
	    "\"instructions-interpreted\":0,\"instructions-tier1\":0,\"instructions-tier2\":9,\"big-endian\":true}]}");
}

Test(control, audit)
{
	static const char figures[] =
	    "\"machines\":2,\"pages\":0,\"shared-pages\":0,\"compared-pages\":0,\"l2tlb-entries\":0,"
	    "\"code-records\":0,\"translations\":0,\"moved-pages\":0,\"wait-us\":0,\"audit-us\":0";
	struct qmp q = {.ops = &ops, .open = true};
	char want[400];

	memset(&machines, 0, sizeof(machines));
	snprintf(want, sizeof(want), "{\"return\":{\"errors\":0,%s}}", figures);
	answers(&q, SAY("x-audit"), want);
	machines.audit_errors = 3;
	snprintf(want, sizeof(want), "{\"return\":{\"errors\":3,%s,\"first\":\"all is wrong\"}}", figures);
	answers(&q, SAY("x-audit"), want);
	errs(&q, TELL("x-audit", "b"), "GenericError", "Parameter 'machine' is unexpected");
	*strstr(want, "moved-pages\":0") = '\0';
	strcat(want, "moved-pages\":21,\"wait-us\":0,\"audit-us\":0,\"first\":\"all is wrong\"}}");
	answers(&q, "{\"execute\":\"x-audit\",\"arguments\":{\"moves\":42}}", want);
	errs(&q, "{\"execute\":\"x-audit\",\"arguments\":{\"moves\":\"42\"}}", "GenericError", "moves");
	errs(&q, "{\"execute\":\"x-audit\",\"arguments\":{\"moves\":-1}}", "GenericError", "must be from 0 to 10000");
}

/* What is done by qmp_job() when it is known to be right. */
static void job_answers(struct qmp *q, const char *text, const char *want)
{
	json_t *answer = qmp_answer(q, text, strlen(text));
	char *got;

	cr_assert(!answer && q->job, "%s", text);
	answer = qmp_job(q->ops, q->job);
	q->job = NULL;
	got = json_dumps(answer, JSON_COMPACT);
	cr_expect_str_eq(got, want, "%s: %s, not %s", text, got, want);
	free(got);
	json_decref(answer);
}

#define PROFILE(ms) "{\"execute\":\"x-profile\",\"arguments\":{\"machine\":\"b\",\"ms\":" ms "}}"

Test(control, profile)
{
	struct qmp q = {.ops = &ops, .open = true};

	memset(&machines, 0, sizeof(machines));
	job_answers(&q, PROFILE("600000"), "{\"return\":{}}");
	job_answers(&q, PROFILE("13"), "{\"error\":{\"class\":\"GenericError\",\"desc\":\"b: does not run\"}}");
	job_answers(
	    &q, TELL("x-profile", "b"),
	    "{\"return\":{\"samples\":7,\"lost\":1,\"slide\":65536,\"places\":[{\"pc\":2147488308,\"user\":true,"
	    "\"unmapped\":false,\"content\":\"00000000000000010000000000000abc\",\"samples\":6}]}}");
	errs(&q, SAY("x-profile"), "GenericError", "'machine' is missing");
	errs(&q, PROFILE("0"), "GenericError", "must be from 1 to 600000");
	errs(&q, PROFILE("600001"), "GenericError", "must be from 1 to 600000");
	errs(&q, PROFILE("\"1\""), "GenericError", "'ms', expected: integer");
}

Test(control, bad_requests)
{
	static const struct {
		const char *text, *class, *part;
	} t[] = {
	    {"{}", "GenericError", "lacks member 'execute'"},
	    {"{\"execute\":3}", "GenericError", "must be a string"},
	    {"{\"execute\":\"stop\",\"arguments\":3}", "GenericError", "'arguments' must be an object"},
	    {"{\"execute\":\"stop\",\"arguments\":{\"x\":1}}", "GenericError", "Parameter 'x' is unexpected"},
	    {"{\"execute\":\"stop\",\"x\":1}", "GenericError", "member 'x' is unexpected"},
	    {"{\"execute\":\"stop\",\"arguments\":{\"machine\":1}}", "GenericError", "expected: string"},
	    {TELL("stop", "c"), "DeviceNotFound", "Machine 'c' not found"},
	    {"{\"execute\":\"stop\",\"execute\":\"cont\"}", "GenericError", "JSON parse error"},
	    {"{]", "GenericError", "JSON parse error"},
	    {"{\"execute\":\"\\u0000\"}", "GenericError", "JSON parse error"},
	    {"{\"execute\":\"\xff\"}", "GenericError", "JSON parse error"},
	    {"{\"execute\":\"\xc3\xa4\"}", "CommandNotFound", "The command \xc3\xa4 has not"},
	    {"{\"execute\":\"x-add-machine\"}", "GenericError", "'config' is missing"},
	    {"{\"execute\":\"x-add-machine\",\"arguments\":{\"config\":3}}", "GenericError",
	     "'config', expected: string"},
	    {"{\"execute\":\"x-add-machine\",\"arguments\":{\"config\":\"\",\"file\":3}}", "GenericError",
	     "'file', expected: string"},
	    {"{\"execute\":\"x-add-machine\",\"arguments\":{\"config\":\"\",\"folder\":\"a\"}}", "GenericError",
	     "'folder' must begin"},
	    {"{\"execute\":\"x-add-machine\",\"arguments\":{\"machine\":\"a\"}}", "GenericError",
	     "'machine' is unexpected"},
	    {"{\"execute\":\"x-remove-machine\"}", "GenericError", "'machine' is missing"},
	    {TELL("x-remove-machine", "c"), "DeviceNotFound", "Machine 'c' not found"},
	    {"{\"execute\":\"x-remove-machine\",\"arguments\":{\"machine\":\"a\",\"force\":1}}", "GenericError",
	     "'force', expected: boolean"},
	};
	struct qmp q = {.ops = &ops, .open = true};

	memset(&machines, 0, sizeof(machines));
	for (unsigned i = 0; i < ARRAY_LEN(t); i++)
		errs(&q, t[i].text, t[i].class, t[i].part);
	for (unsigned i = 0; i < 5; i++)
		cr_expect(!machines.acts[0][i] && !machines.acts[1][i]);
}

Test(control, frames)
{
	static const struct {
		const char *text, *what; /* for each byte: . more, - nothing, O object, G garbage */
	} t[] = {{" {}\r\n{}", "-.O--.O"},
		 {"{\"a}\":[{}]}", "..........O"},
		 {"{\"\\\"}\":1}", "........O"},
		 {"x{}\n{}", "...G.O"},
		 {"[1]\n", "..O-"},
		 {"[{\"]\"}]\"a\\\"\"3 {}", "......O....O.G.O"},
		 {"}\n{}", ".G.O"}};

	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		struct frame f = {0};

		for (unsigned k = 0; t[i].text[k]; k++)
			cr_expect_eq(".-OG"[frame_byte(&f, t[i].text[k])], t[i].what[k], "%s: byte %u", t[i].text, k);
	}
}

/* ---- the socket ---- */

static struct control *serve(const char *name)
{
	struct control_error err = {{0}};
	struct control *c;

	memset(&machines, 0, sizeof(machines));
	machines.state[0] = machines.state[1] = CONTROL_RUNS;
	cr_assert_eq(control_open(&c, name, &ops, &err), 0, "%s", err.text);
	return c;
}

/* The monitor answers, and right. */
static void is_well(const char *name)
{
	struct control_client *k;
	struct control_error err;
	json_t *status;

	cr_assert_eq(control_client_open(&k, name), 0);
	status = control_client_call(k, "query-status", "a", &err);
	cr_assert(status && json_is_true(json_object_get(status, "running")), "%s", err.text);
	json_decref(status);
	cr_assert_null(control_client_call(k, "query-status", "zz", &err));
	cr_assert_str_eq(err.text, "Machine 'zz' not found");
	control_client_close(k);
}

Test(control, whose_name, .timeout = 60)
{
	struct control *c = serve("one"), *other;
	struct control_error err;
	struct stat st;
	char path[128];
	int fd;

	is_well("one");
	cr_assert_eq(control_open(&other, "one", &ops, &err), -EADDRINUSE);
	cr_assert_str_eq(err.text, "--control one: a monitor of that name runs already");
	is_well("one");
	snprintf(path, sizeof(path), "%s/disco", dir);
	cr_assert(stat(path, &st) == 0 && (st.st_mode & 07777) == 0700);
	control_close(c);
	snprintf(path, sizeof(path), "%s/disco/one.sock", dir);
	cr_assert(lstat(path, &st) < 0 && errno == ENOENT, "the socket is left");
	cr_assert_lt(control_connect("one"), 0);

	/* left by a process that was killed */
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, 1) == 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/disco/run-999999999.sock", dir);
	fclose(fopen(path, "w"));
	c = serve("one");
	cr_assert_lt(access(path, F_OK), 0, "what no process can have is left");
	is_well("one");
	control_close(c);

	/* not a socket; a folder that others may enter */
	snprintf(path, sizeof(path), "%s/disco/one.sock", dir);
	fclose(fopen(path, "w"));
	cr_assert_eq(control_open(&c, "one", &ops, &err), -EEXIST);
	cr_assert(strstr(err.text, "one.sock: is there, and no socket"), "%s", err.text);
	snprintf(path, sizeof(path), "%s/disco", dir);
	cr_assert_eq(chmod(path, 0711), 0);
	cr_assert_eq(control_open(&c, "two", &ops, &err), -EPERM);
	cr_assert(strstr(err.text, "is not a folder of this user's alone"), "%s", err.text);
}

/* Even where the folder lets him in. */
Test(control, another_user, .timeout = 60)
{
	struct control *c;
	char path[128];
	pid_t pid;
	int how;

	if (geteuid() != 0)
		return; /* only root can be somebody else */
	c = serve("one");
	chmod(dir, 0755);
	snprintf(path, sizeof(path), "%s/disco", dir);
	cr_assert_eq(chmod(path, 0755), 0);
	strcat(path, "/one.sock");
	cr_assert_eq(chmod(path, 0777), 0);
	for (int other = 0; other < 2; other++) {
		pid = fork();
		if (pid == 0) {
			struct sockaddr_un addr = {.sun_family = AF_UNIX};
			char byte;
			int fd = socket(AF_UNIX, SOCK_STREAM, 0);

			strcpy(addr.sun_path, path);
			if (other && setuid(65534))
				_exit(3);
			if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
				_exit(2);
			_exit(read(fd, &byte, 1) == 1);
		}
		cr_assert_eq(waitpid(pid, &how, 0), pid);
		cr_assert(WIFEXITED(how) && WEXITSTATUS(how) == !other, "user %d: %x", other, how);
	}
	control_close(c);
}

static int dial(const char *name)
{
	int fd = control_connect(name);
	struct timeval wait = {.tv_sec = 10};

	cr_assert_geq(fd, 0);
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	return fd;
}

Test(control, events, .timeout = 60)
{
	struct control *c = serve("one");
	char text[4096];
	int fd = dial("one");
	ssize_t n = 0, got;

	cr_assert_gt(read(fd, text, sizeof(text)), 0);
	control_event(c, CONTROL_EVENT_STOP, "lost", NULL); /* before it wants any */
	usleep(50000);
	cr_assert_eq(write(fd, SAY("qmp_capabilities"), strlen(SAY("qmp_capabilities"))),
		     (ssize_t)strlen(SAY("qmp_capabilities")));
	got = read(fd, text, sizeof(text) - 1);
	text[got] = 0;
	cr_assert_str_eq(text, "{\"return\":{}}\r\n");
	control_event(c, CONTROL_EVENT_RESET, "a", "guest-reset");
	control_event(c, CONTROL_EVENT_SHUTDOWN, "a", "host-qmp-quit");
	control_event(c, CONTROL_EVENT_GUEST_PANICKED, "b", NULL);
	control_close(c);
	while ((got = read(fd, text + n, sizeof(text) - 1 - (size_t)n)) > 0)
		n += got;
	text[n] = 0;
	cr_assert(strstr(text, "{\"event\":\"RESET\",\"data\":{\"x-machine\":\"a\",\"guest\":true,\"reason\":\"guest-"
			       "reset\"},\"timestamp\":{\"seconds\":"),
		  "%s", text);
	cr_assert(
	    strstr(
		text,
		"{\"event\":\"SHUTDOWN\",\"data\":{\"x-machine\":\"a\",\"guest\":false,\"reason\":\"host-qmp-quit\"}"),
	    "%s", text);
	cr_assert(strstr(text, "{\"event\":\"GUEST_PANICKED\",\"data\":{\"x-machine\":\"b\",\"action\":\"poweroff\"}"),
		  "%s", text);
	close(fd);
}

/* Behind the answer there is nothing but the console's bytes. */
Test(control, console, .timeout = 60)
{
	struct control *c = serve("one");
	struct control_client *k;
	struct control_error err;
	json_t *answer;
	char text[32] = "";

	cr_assert_eq(control_client_open(&k, "one"), 0);
	cr_assert_null(control_client_call(k, "x-console", NULL, &err));
	cr_assert_str_eq(err.text, "Parameter 'machine' is missing");
	machines.state[1] = CONTROL_SHUTDOWN;
	cr_assert_null(control_client_call(k, "x-console", "b", &err));
	cr_assert_str_eq(err.text, "b: does not run");
	machines.state[1] = CONTROL_RUNS;
	answer = control_client_call(k, "x-console", "b", &err);
	cr_assert_not_null(answer, "%s", err.text);
	json_decref(answer);
	cr_assert_eq(recv(control_client_fd(k), text, sizeof(text), MSG_WAITALL), 9);
	cr_assert_str_eq(text, "this is b");
	control_client_close(k);
	is_well("one");
	control_close(c);
}

/*
 * Machines come and go on a thread of its own: others are answered meanwhile; who asked, in order, and when it is done; who has
 * gone before that is no matter.
 */
Test(control, jobs, .timeout = 60)
{
	static const char ask[] =
	    "{\"execute\":\"x-add-machine\",\"arguments\":{\"config\":\"300\",\"file\":\"f\",\"folder\":\"/d/\"},"
	    "\"id\":1}{\"execute\":\"x-add-machine\",\"arguments\":{\"config\":\"0!\"},\"id\":2}" TELL("stop", "a")
		TELL("x-remove-machine", "a");
	static const char want[] = "{\"return\":{}}\r\n{\"return\":{},\"id\":1}\r\n"
				   "{\"error\":{\"class\":\"GenericError\",\"desc\":\"0! of /config\"},\"id\":2}\r\n"
				   "{\"return\":{}}\r\n"
				   "{\"error\":{\"class\":\"GenericError\",\"desc\":\"a: runs ?? ? \\n\"}}\r\n";
	struct control *c = serve("one");
	int fd = dial("one"), gone = dial("one");
	char text[4096];
	ssize_t n = 0, got;

	while (n < 2 || text[n - 1] != '\n')
		n += read(fd, text + n, sizeof(text) - (size_t)n);
	cr_assert_gt(write(fd, SAY("qmp_capabilities"), strlen(SAY("qmp_capabilities"))), 0);
	cr_assert_gt(write(fd, ask, strlen(ask)), 0);
	usleep(50000);
	is_well("one");
	cr_assert_eq(machines.acts[0][CONTROL_PAUSE], 0, "the client was listened to");
	for (n = 0; n < (ssize_t)strlen(want); n += got) {
		got = read(fd, text + n, sizeof(text) - 1 - (size_t)n);
		cr_assert_gt(got, 0);
	}
	text[n] = 0;
	cr_assert_str_eq(text, want);
	cr_assert(machines.added == 2 && machines.removed == 1 && machines.acts[0][CONTROL_PAUSE] == 1);
	/* gone before it is done; and the monitor, too */
	cr_assert_gt(write(gone, SAY("qmp_capabilities"), strlen(SAY("qmp_capabilities"))), 0);
	cr_assert_gt(write(gone, ask, strlen(ask)), 0);
	usleep(50000);
	close(gone);
	is_well("one");
	cr_assert_gt(write(fd, ask, strlen(ask)), 0);
	usleep(50000);
	control_close(c);
	close(fd);
	cr_assert_eq(machines.entered, 0);
}

static uint32_t seed = 1;
static uint32_t chance(uint32_t n) { return (seed = seed * 1664525 + 1013904223) / 3 % n; }

/* Whole, damaged and half requests, on connections that come and go. */
Test(control, random_requests, .timeout = 120)
{
	static const char *const good[] = {SAY("qmp_capabilities"),
					   SAY("query-status"),
					   TELL("stop", "a"),
					   SAY("query-commands"),
					   TELL("query-block", "b"),
					   TELL("x-console", "a"),
					   SAY("x-query-machines"),
					   "{\"execute\":\"quit\",\"arguments\":{}}",
					   TELL("x-remove-machine", "a"),
					   "{\"execute\":\"x-add-machine\",\"arguments\":{\"config\":\"0\"}}",
					   "[{\"a\":[1,2,{}]}]"};
	struct control *c = serve("one");
	int fd = -1;

	for (unsigned i = 0; i < 100000; i++) {
		char text[200], answer[8192];
		size_t n = (size_t)snprintf(text, sizeof(text), "%s\n", good[chance(ARRAY_LEN(good))]);

		if (fd < 0)
			fd = dial("one");
		for (unsigned k = chance(4); k > 1; k--)
			text[chance((uint32_t)n)] = (char)chance(256);
		if (chance(8) == 0)
			n = chance((uint32_t)n + 1);
		(void)!send(fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		while (chance(4) && recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0)
			;
		if (chance(500) == 0) {
			close(fd);
			fd = -1;
		}
	}
	if (fd >= 0)
		close(fd);
	is_well("one");
	control_close(c);
}

/* One that never reads, one that never ends what it says, more than there is room for: the others are answered. */
Test(control, bad_clients, .timeout = 120)
{
	struct control *c = serve("one");
	int silent = dial("one"), endless = dial("one"), more[CONTROL_MAX_CLIENTS];
	size_t asked = 0;
	char byte;

	(void)!write(silent, SAY("qmp_capabilities"), strlen(SAY("qmp_capabilities")));
	for (unsigned i = 0; i < 200000; i++) {
		ssize_t n =
		    send(silent, SAY("query-commands"), strlen(SAY("query-commands")), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = silent, .events = POLLOUT};

			if (poll(&p, 1, 300) == 0)
				break; /* it is not listened to any more */
		}
		cr_assert(n > 0 || errno == EAGAIN, "he is left: %s", strerror(errno));
		asked += n > 0 ? (size_t)n : 0;
	}
	cr_expect_gt(asked, 100000);
	is_well("one");
	for (unsigned i = 0; i < 100000; i++)
		control_event(c, CONTROL_EVENT_STOP, "a", NULL);
	for (unsigned i = 0; i < 2 * CONTROL_MAX_REQUEST / 16; i++)
		(void)!send(endless, "{\"a\":{\"bbbbbbbb\":", 17, MSG_NOSIGNAL | MSG_DONTWAIT);
	is_well("one");
	while (recv(endless, &byte, 1, 0) > 0)
		; /* until it is left */
	close(endless);
	for (unsigned i = 0; i < ARRAY_LEN(more); i++)
		more[i] = dial("one");
	usleep(100000);
	for (unsigned i = 0; i < ARRAY_LEN(more); i++)
		close(more[i]);
	usleep(100000);
	is_well("one");
	close(silent);
	control_close(c);
}
