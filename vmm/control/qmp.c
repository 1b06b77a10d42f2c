/* SPDX-License-Identifier: MIT */
#include "vmm/control/qmp.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const states[] = {
#define CONTROL_STATE(name, text) text,
#include "vmm/control/commands.def"
};

/* A request that is being answered. */
struct request {
	struct qmp *qmp;
	json_t *arguments;   /* or NULL */
	const char *machine; /* or NULL: all */
	json_t *error;       /* the answer, if it is one */
};

static json_t *error_of(struct request *r, const char *class, const char *fmt, ...) PRINTF_LIKE(3, 4);
static json_t *error_of(struct request *r, const char *class, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?'; /* cut in the middle of a character it would be no UTF-8 */
	json_decref(r->error);
	r->error = json_pack("{s:s, s:s}", "class", class, "desc", text);
	return NULL;
}

/* ---- machines ---- */

/* The next one that the request is about, from *i on. */
static bool next_machine(const struct request *r, unsigned *i, struct control_machine *m)
{
	const struct control_ops *ops = r->qmp->ops;

	for (; *i < ops->count(ops->opaque); (*i)++) {
		ops->look(ops->opaque, *i, m);
		if (!r->machine || strcmp(r->machine, m->name) == 0)
			return true;
	}
	return false;
}

/* Each that is not gone. The answer is an error if one cannot: the first reason. */
static json_t *act(struct request *r, enum control_action what)
{
	const struct control_ops *ops = r->qmp->ops;
	struct control_machine m;
	bool any = false;

	for (unsigned i = 0; next_machine(r, &i, &m); i++) {
		const char *why;

		if (m.state == CONTROL_SHUTDOWN || m.state == CONTROL_PANICKED)
			continue;
		any = true;
		why = ops->act(ops->opaque, i, what);
		if (why && !r->error)
			(void)error_of(r, "GenericError", "%s: %s", m.name, why);
	}
	if (!any && r->machine)
		return error_of(r, "GenericError", "%s: has ended", r->machine);
	return r->error ? NULL : json_object();
}

static json_t *stop(struct request *r) { return act(r, CONTROL_PAUSE); }
static json_t *cont(struct request *r) { return act(r, CONTROL_GO); }
static json_t *system_powerdown(struct request *r) { return act(r, CONTROL_POWER_DOWN); }
static json_t *system_reset(struct request *r) { return act(r, CONTROL_RESET); }
static json_t *quit(struct request *r) { return act(r, CONTROL_QUIT); }

static json_t *console(struct request *r)
{
	struct control_machine m;
	unsigned i = 0;

	if (!r->machine)
		return error_of(r, "GenericError", "Parameter 'machine' is missing");
	if (!next_machine(r, &i, &m) || m.state == CONTROL_STARTS || m.state == CONTROL_SHUTDOWN ||
	    m.state == CONTROL_PANICKED)
		return error_of(r, "GenericError", "%s: does not run", r->machine);
	r->qmp->leaves = true;
	r->qmp->console = i;
	return json_object();
}

/* Of all: running if one runs, else what the first is. */
static json_t *query_status(struct request *r)
{
	enum control_state state = CONTROL_SHUTDOWN;
	struct control_machine m;
	bool any = false;

	for (unsigned i = 0; next_machine(r, &i, &m); i++) {
		if (!any || m.state == CONTROL_RUNS)
			state = m.state;
		any = true;
	}
	return json_pack("{s:s, s:b, s:b}", "status", states[state], "running", state == CONTROL_RUNS, "singlestep", 0);
}

static json_t *query_cpus_fast(struct request *r)
{
	json_t *list = json_array();
	struct control_machine m;

	for (unsigned i = 0; next_machine(r, &i, &m); i++) {
		char path[80];

		snprintf(path, sizeof(path), "/machine/%s/cpu0", m.name);
		json_array_append_new(list, json_pack("{s:i, s:s, s:i, s:s, s:{}, s:s}", "cpu-index", (int)i,
						      "qom-path", path, "thread-id", (int)m.thread, "target",
						      m.big_endian ? "mips" : "mipsel", "props", "x-machine", m.name));
	}
	return list;
}

/* File names are bytes; JSON is UTF-8. */
static json_t *file_name(const char *name)
{
	json_t *text = json_string(name);

	return text ? text : json_string("?");
}

static json_t *query_block(struct request *r)
{
	json_t *list = json_array();
	struct control_machine m;

	for (unsigned i = 0; next_machine(r, &i, &m); i++)
		for (unsigned k = 0; k < m.n_disks; k++) {
			const struct control_disk *d = &m.disk[k];
			char device[8];

			snprintf(device, sizeof(device), "vd%c", (char)('a' + k));
			json_array_append_new(list,
					      json_pack("{s:s, s:s, s:b, s:b, s:{s:o, s:b, s:s, s:b}, s:s}", "device",
							device, "type", "unknown", "locked", 0, "removable", 0,
							"inserted", "file", file_name(d->file), "ro", d->read_only,
							"drv", d->driver, "encrypted", 0, "x-machine", m.name));
		}
	return list;
}

static json_t *query_machines(struct request *r)
{
	json_t *list = json_array();
	struct control_machine m;

	for (unsigned i = 0; next_machine(r, &i, &m); i++) {
		json_t *one = json_pack("{s:s, s:s, s:i}", "name", m.name, "status", states[m.state], "vcpus", 1);

#define CONTROL_FIGURE(field, name) json_object_set_new(one, name, json_integer((json_int_t)m.field));
#include "vmm/control/commands.def"
		if (m.state == CONTROL_SHUTDOWN || m.state == CONTROL_PANICKED)
			json_object_set_new(one, "exit-status", json_integer(m.status));
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *query_monitor(struct request *r)
{
	json_t *all = json_object();
	struct control_monitor m = {0};

	r->qmp->ops->look_at_all(r->qmp->ops->opaque, &m);
#define CONTROL_TOTAL(field, name) json_object_set_new(all, name, json_integer((json_int_t)m.field));
#include "vmm/control/commands.def"
	return all;
}

static json_t *audit(struct request *r)
{
	struct control_audit a = {0};
	json_t *all;

	if (r->machine)
		return error_of(r, "GenericError", "an audit is of all machines together");
	r->qmp->ops->audit(r->qmp->ops->opaque, &a);
	all = json_object();
#define CONTROL_AUDITED(field, name) json_object_set_new(all, name, json_integer((json_int_t)a.field));
#include "vmm/control/commands.def"
	if (a.errors)
		json_object_set_new(all, "first", json_string(a.first));
	return all;
}

/* ---- about itself ---- */

static json_t *version(void)
{
	int part[3] = {0};

	sscanf(DISCO_VERSION, "%d.%d.%d", &part[0], &part[1], &part[2]);
	return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", part[0], "minor", part[1], "micro", part[2],
			 "package", "disco " DISCO_VERSION);
}

static json_t *query_version(struct request *r) { return version(); }

static json_t *qmp_capabilities(struct request *r)
{
	if (r->qmp->open)
		return error_of(r, "CommandNotFound",
				"Capabilities negotiation is already complete, command 'qmp_capabilities' ignored");
	r->qmp->open = true;
	return json_object();
}

static json_t *query_commands(struct request *r);

static const struct {
	const char *name;
	json_t *(*fn)(struct request *r);
} commands[] = {
#define CONTROL_COMMAND(name, fn) {name, fn},
#include "vmm/control/commands.def"
};

static json_t *query_commands(struct request *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		json_array_append_new(list, json_pack("{s:s}", "name", commands[i].name));
	return list;
}

json_t *qmp_greeting(void) { return json_pack("{s:{s:o, s:[]}}", "QMP", "version", version(), "capabilities"); }

/* ---- requests ---- */

static json_t *find_machine(struct request *r)
{
	json_t *machine = json_object_get(r->arguments, "machine");
	struct control_machine m;
	unsigned i = 0;

	if (!machine)
		return json_true();
	r->machine = json_string_value(machine);
	if (!r->machine)
		return error_of(r, "GenericError", "Invalid parameter type for 'machine', expected: string");
	if (!next_machine(r, &i, &m))
		return error_of(r, "DeviceNotFound", "Machine '%.100s' not found", r->machine);
	return json_true();
}

static json_t *check_arguments(struct request *r, json_t *root)
{
	const char *key;
	json_t *value;

	json_object_foreach(root, key, value)
	{
		if (strcmp(key, "execute") != 0 && strcmp(key, "arguments") != 0 && strcmp(key, "id") != 0)
			return error_of(r, "GenericError", "QMP input member '%.100s' is unexpected", key);
	}
	if (r->arguments && !json_is_object(r->arguments))
		return error_of(r, "GenericError", "QMP input member 'arguments' must be an object");
	json_object_foreach(r->arguments, key, value)
	{
		if (strcmp(key, "machine") != 0)
			return error_of(r, "GenericError", "Parameter '%.100s' is unexpected", key);
	}
	return find_machine(r);
}

static json_t *execute(struct request *r, json_t *root)
{
	json_t *name = json_object_get(root, "execute");

	if (!name)
		return error_of(r, "GenericError", "QMP input lacks member 'execute'");
	if (!json_is_string(name))
		return error_of(r, "GenericError", "QMP input member 'execute' must be a string");
	r->arguments = json_object_get(root, "arguments");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, json_string_value(name)) != 0)
			continue;
		if (!r->qmp->open && commands[i].fn != qmp_capabilities)
			return error_of(r, "CommandNotFound",
					"Expecting capabilities negotiation with 'qmp_capabilities'");
		/* clients offer what they can, as "enable"; there is nothing to be switched on */
		if (commands[i].fn == qmp_capabilities)
			return qmp_capabilities(r);
		return check_arguments(r, root) ? commands[i].fn(r) : NULL;
	}
	return error_of(r, "CommandNotFound", "The command %.100s has not been found", json_string_value(name));
}

json_t *qmp_answer(struct qmp *q, const char *text, size_t n)
{
	json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL), *result, *answer, *id;
	struct request r = {.qmp = q};

	if (!root)
		return qmp_bad_json();
	result = execute(&r, root);
	answer = result ? json_pack("{s:o}", "return", result) : json_pack("{s:o}", "error", r.error);
	if (result)
		json_decref(r.error);
	id = json_object_get(root, "id");
	if (id && answer)
		json_object_set(answer, "id", id);
	json_decref(root);
	return answer;
}

json_t *qmp_bad_json(void)
{
	return json_pack("{s:{s:s, s:s}}", "error", "class", "GenericError", "desc",
			 "JSON parse error, invalid keyword or object");
}

/* ---- events ---- */

json_t *qmp_event(enum control_event what, const char *machine, const char *reason)
{
	static const char *const names[] = {
#define CONTROL_EVENT(name) #name,
#include "vmm/control/commands.def"
	};
	struct timespec now;
	json_t *data = json_pack("{s:s}", "x-machine", machine);

	if (reason) {
		json_object_set_new(data, "guest", json_boolean(strncmp(reason, "guest-", 6) == 0));
		json_object_set_new(data, "reason", json_string(reason));
	}
	if (what == CONTROL_EVENT_GUEST_PANICKED)
		json_object_set_new(data, "action", json_string("poweroff"));
	clock_gettime(CLOCK_REALTIME, &now);
	return json_pack("{s:s, s:o, s:{s:I, s:I}}", "event", names[what], "data", data, "timestamp", "seconds",
			 (json_int_t)now.tv_sec, "microseconds", (json_int_t)now.tv_nsec / 1000);
}
