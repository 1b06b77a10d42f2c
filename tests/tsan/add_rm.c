/* SPDX-License-Identifier: MIT */
/*
 * Machines come and go in a monitor that runs others, while clients of its control socket look, pause, audit and visit: the
 * worker, the control's thread, the processors, the machines' own threads, and the one that has the signals.  No Linux: kernels
 * that spin, write to memory and print nothing, so that fifty rounds take a second or two.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/tiny_elf.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/plan_file.h"
#include "vmm/control/client.h"

enum { ROUNDS = 50 };

static char dir[] = "/tmp/disco-add-XXXXXX";
static char folder[sizeof(dir) + 1];

#define CHECK(what, ...)                                                                                               \
	do {                                                                                                           \
		if (!(what)) {                                                                                         \
			fprintf(stderr, "%d: ", __LINE__);                                                             \
			fprintf(stderr, __VA_ARGS__);                                                                  \
			fputc('\n', stderr);                                                                           \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

static struct control_client *dial(void)
{
	struct control_client *c = NULL;

	for (unsigned i = 0; i < 1000 && control_client_open(&c, "tsan"); i++)
		usleep(10000);
	CHECK(c, "no monitor");
	return c;
}

/* NULL, or why not. */
static const char *add(struct control_client *c, const char *config, struct control_error *err)
{
	json_t *arguments = json_pack("{s:s, s:s, s:s}", "config", config, "file", "f", "folder", folder);
	json_t *answer = control_client_ask(c, "x-add-machine", arguments, 60, err);

	json_decref(answer);
	return answer ? NULL : err->text;
}

static const char *take_away(struct control_client *c, const char *name, bool force, struct control_error *err)
{
	json_t *arguments = json_pack("{s:s, s:b}", "machine", name, "force", force);
	json_t *answer = control_client_ask(c, "x-remove-machine", arguments, 60, err);

	json_decref(answer);
	return answer ? NULL : err->text;
}

static size_t machines(struct control_client *c)
{
	struct control_error err = {{0}};
	json_t *list = control_client_call(c, "x-query-machines", NULL, &err);
	size_t n = json_array_size(list);

	CHECK(list, "%s", err.text);
	json_decref(list);
	return n;
}

static json_int_t machine_memory(struct control_client *c)
{
	struct control_error err = {{0}};
	json_t *all = control_client_call(c, "x-query-monitor", NULL, &err);
	json_int_t bytes = json_integer_value(json_object_get(all, "machine-memory"));

	CHECK(all, "%s", err.text);
	json_decref(all);
	return bytes;
}

static void *change(void *arg)
{
	static const char *const bad[][2] = {
	    {"machines: [{name: a1, kernel: k, mem: 1M, net: none}]", "two of that name"},
	    {"machines: [{name: d, kernel: none, mem: 1M}]", "No such file"},
	    {"machines: [{name: d, kernel: k, mem: 16M, net: 'user,hostfwd=tcp:192.0.2.1:1-:1'}]", "d: --net"},
	    {"machines: [", "f:2: "},
	};
	struct control_client *c = dial();
	struct control_error err = {{0}};
	json_int_t memory = 0;

	while (machines(c) != 2)
		usleep(1000);
	for (unsigned i = 0; i < ROUNDS; i++) {
		const char *const *b = bad[i % ARRAY_LEN(bad)];
		const char *why = add(c, "machines: [{name: c, kernel: k, mem: 1M, net: lan}]", &err);

		CHECK(!why, "round %u: %s", i, why);
		CHECK(machines(c) == 3, "round %u", i);
		why = add(c, b[0], &err);
		CHECK(why && strstr(why, b[1]), "round %u: %s, not %s", i, why ? why : "added", b[1]);
		usleep(i * 397 % 9000);
		why = take_away(c, "c", false, &err);
		CHECK(why && strstr(why, "has not ended"), "round %u: removed while it runs", i);
		why = take_away(c, "c", true, &err);
		CHECK(!why, "round %u: %s", i, why);
		CHECK(machines(c) == 2, "round %u", i);
		if (i == ROUNDS / 5)
			memory = machine_memory(c);
	}
	CHECK(machine_memory(c) <= memory + (64 << 10), "%lld bytes, then %lld", (long long)memory,
	      (long long)machine_memory(c));
	/* the first ones too, of which the last is the end of the monitor */
	CHECK(!take_away(c, "a2", true, &err), "%s", err.text);
	CHECK(!take_away(c, "a1", true, &err), "%s", err.text);
	control_client_close(c);
	return NULL;
}

/* All that others may ask meanwhile; what they are answered is as it happens to be. */
static void *disturb(void *arg)
{
	static const char *const commands[] = {"stop",
					       "x-query-machines",
					       "cont",
					       "query-status",
					       "system_reset",
					       "x-audit",
					       "query-cpus-fast",
					       "x-query-monitor",
					       "query-block"};
	struct control_client *c = dial();
	struct control_error err;
	json_t *answer;

	for (unsigned i = 0;; i++) {
		const char *machine = i % 3 ? NULL : i % 2 ? "c" : "a1";

		answer = control_client_call(c, commands[i % ARRAY_LEN(commands)], machine, &err);
		json_decref(answer);
		if (!answer && strstr(err.text, "its monitor is gone"))
			break;
		if (i % 50 == 49) { /* a visitor, who leaves at once */
			answer = control_client_call(c, "x-console", "c", &err);
			json_decref(answer);
			control_client_close(c);
			c = NULL;
			if (control_client_open(&c, "tsan"))
				break;
		}
		usleep(500);
	}
	control_client_close(c);
	return NULL;
}

static void write_files(void)
{
	struct tiny_elf kernel = tiny_elf();
	static const uint32_t spin[] = {
	    0x3c088000, /* lui $t0, 0x8000 */
	    0x25290001, /* addiu $t1, $t1, 1 */
	    0xad096000, /* sw $t1, 0x6000($t0) */
	    0x1000fffd, /* b to the addiu */
	    0x00000000,
	};
	FILE *f;

	CHECK(mkdtemp(dir) && !chdir(dir) && !setenv("XDG_RUNTIME_DIR", dir, 1), "%s: %s", dir, strerror(errno));
	snprintf(folder, sizeof(folder), "%s/", dir);
	memcpy(kernel.text, spin, sizeof(spin));
	f = fopen("k", "w");
	CHECK(f && fwrite(&kernel, sizeof(kernel), 1, f) == 1 && !fclose(f), "k: %s", strerror(errno));
	f = fopen("lab.yaml", "w");
	CHECK(f, "lab.yaml: %s", strerror(errno));
	fputs("monitor: {control: tsan, tiers: 1}\n"
	      "machines: [{name: a, count: 2, kernel: k, mem: 1M, net: lan}]\n",
	      f);
	CHECK(!fclose(f), "lab.yaml: %s", strerror(errno));
}

int main(void)
{
	struct options_error err = {{0}};
	pthread_t changer, disturber;
	struct plan plan;
	char command[64];
	int status;

	write_files();
	CHECK(plan_from_file(&plan, "lab.yaml", &err) == 0, "%s", err.text);
	/* before there are signals to be had: these threads take none */
	CHECK(!pthread_create(&changer, NULL, change, NULL) && !pthread_create(&disturber, NULL, disturb, NULL),
	      "threads");
	status = run_machines(&plan);
	pthread_join(changer, NULL);
	pthread_join(disturber, NULL);
	plan_free(&plan);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CHECK(system(command) == 0, "rm");
	CHECK(status == 0, "status %d", status);
	return 0;
}
