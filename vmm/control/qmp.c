/* SPDX-License-Identifier: MIT */
#include "vmm/control/qmp.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/control/process.h"

static const char *const states[] = {
#define CONTROL_STATE(name, text) text,
#include "vmm/control/commands.def"
};

/* Bytes as text: JSON is UTF-8, and names of files are anything. What is none becomes '?'. Changes text. */
static json_t *text_of(char *text)
{
	json_t *out = json_string(text);

	for (char *c = text; !out && *c; c++)
		if ((unsigned char)*c > '~')
			*c = '?';
	return out ? out : json_string(text);
}

/* A request that is being answered. */
struct request {
	struct qmp *qmp;
	json_t *root;
	json_t *arguments;   /* or NULL */
	const char *machine; /* or NULL: all */
	json_t *error;       /* the answer, if it is one */
};

static json_t *error_of(struct request *r, const char *class, const char *fmt, ...) PRINTF_LIKE(3, 4);
static json_t *error_of(struct request *r, const char *class, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_decref(r->error);
	r->error = json_pack("{s:s, s:o}", "class", class, "desc", text_of(text));
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

static json_t *missing(struct request *r, const char *parameter)
{
	return error_of(r, "GenericError", "Parameter '%s' is missing", parameter);
}

static json_t *leave_to(struct request *r, bool debugger)
{
	struct control_machine m;
	unsigned i = 0;

	if (!r->machine)
		return missing(r, "machine");
	if (!next_machine(r, &i, &m) || m.state == CONTROL_STARTS || m.state == CONTROL_SHUTDOWN ||
	    m.state == CONTROL_PANICKED)
		return error_of(r, "GenericError", "%s: does not run", r->machine);
	r->qmp->leaves = true;
	r->qmp->debugs = debugger;
	snprintf(r->qmp->console, sizeof(r->qmp->console), "%s", m.name);
	return json_object();
}

static json_t *console(struct request *r) { return leave_to(r, false); }
static json_t *gdb(struct request *r) { return leave_to(r, true); }

/* ---- machines that come and go ---- */

static json_t *wrong_type(struct request *r, const char *parameter, const char *expected)
{
	return error_of(r, "GenericError", "Invalid parameter type for '%s', expected: %s", parameter, expected);
}

/* NULL: it is not there, or no text, and then r->error is set. */
static const char *text_argument(struct request *r, const char *name)
{
	const json_t *value = json_object_get(r->arguments, name);

	if (value && !json_is_string(value))
		(void)wrong_type(r, name, "string");
	return json_string_value(value);
}

/* What is read by qmp_job(), when it is known to be there. */
static json_t *add_machine(struct request *r)
{
	const char *config = text_argument(r, "config"), *folder;

	(void)text_argument(r, "file");
	folder = text_argument(r, "folder");
	if (r->error)
		return NULL;
	if (!config)
		return missing(r, "config");
	if (folder && (*folder != '/' || folder[strlen(folder) - 1] != '/'))
		return error_of(r, "GenericError", "Parameter 'folder' must begin and end with '/'");
	r->qmp->job = json_incref(r->root);
	return NULL;
}

static json_t *remove_machine(struct request *r)
{
	json_t *force = json_object_get(r->arguments, "force");

	if (!r->machine)
		return missing(r, "machine");
	if (force && !json_is_boolean(force))
		return wrong_type(r, "force", "boolean");
	r->qmp->job = json_incref(r->root);
	return NULL;
}

static json_t *human_monitor_command(struct request *r)
{
	const json_t *cpu = json_object_get(r->arguments, "cpu-index");
	const char *line = text_argument(r, "command-line");

	if (r->error)
		return NULL;
	if (!line)
		return missing(r, "command-line");
	if (cpu && (!json_is_integer(cpu) || json_integer_value(cpu) < 0))
		return wrong_type(r, "cpu-index", "integer");
	if (!r->machine && r->qmp->ops->count(r->qmp->ops->opaque) != 1)
		return missing(r, "machine");
	r->qmp->job = json_incref(r->root);
	return NULL;
}

static json_t *profile(struct request *r)
{
	const json_t *ms = json_object_get(r->arguments, "ms");

	if (ms && !json_is_integer(ms))
		return wrong_type(r, "ms", "integer");
	if (ms && (json_integer_value(ms) < 1 || json_integer_value(ms) > PROFILE_MAX_MS))
		return error_of(r, "GenericError", "Parameter 'ms' must be from 1 to %d", PROFILE_MAX_MS);
	if (!r->machine && r->qmp->ops->count(r->qmp->ops->opaque) != 1)
		return missing(r, "machine");
	r->qmp->job = json_incref(r->root);
	return NULL;
}

static json_t *place_object(const struct profile_place *at)
{
	char content[33];

	snprintf(content, sizeof(content), "%016llx%016llx", (unsigned long long)at->content[1],
		 (unsigned long long)at->content[0]);
	return json_pack("{s:I, s:b, s:b, s:s, s:i}", "pc", (json_int_t)(uint32_t)at->pc, "user", at->user, "unmapped",
			 at->unmapped, "content", content, "samples", (int)at->n);
}

/* *result: what it returns, or NULL for nothing. */
static int do_profile(const struct control_ops *ops, const json_t *arguments, json_t **result,
		      struct control_error *err)
{
	json_int_t ms = json_integer_value(json_object_get(arguments, "ms"));
	struct control_profile *p = calloc(1, sizeof(*p));
	json_t *places;
	int e;

	if (!p) {
		snprintf(err->text, sizeof(err->text), "the host has no memory left");
		return -ENOMEM;
	}
	e = ops->profile(ops->opaque, json_string_value(json_object_get(arguments, "machine")), (unsigned)ms, p, err);
	if (!e && !ms) {
		places = json_array();
		for (unsigned i = 0; i < p->sum.n; i++)
			json_array_append_new(places, place_object(&p->sum.place[i]));
		*result = json_pack("{s:I, s:I, s:I, s:o}", "samples", (json_int_t)p->sum.samples, "lost",
				    (json_int_t)p->sum.lost, "slide", (json_int_t)p->slide, "places", places);
	}
	free(p);
	return e;
}

/* *result: as above. */
static int do_look_into(const struct control_ops *ops, const json_t *arguments, const char *line, json_t **result,
			struct control_error *err)
{
	json_int_t cpu = json_integer_value(json_object_get(arguments, "cpu-index"));
	char *said = NULL;
	int e = ops->look_into(ops->opaque, json_string_value(json_object_get(arguments, "machine")),
			       cpu > UINT32_MAX ? UINT32_MAX : (unsigned)cpu, line, &said, err);

	if (!e)
		*result = text_of(said);
	free(said);
	return e;
}

static int do_job(const struct control_ops *ops, const json_t *request, json_t **result, struct control_error *err)
{
	const json_t *arguments = json_object_get(request, "arguments"), *config = json_object_get(arguments, "config");
	const char *file = json_string_value(json_object_get(arguments, "file"));
	const char *folder = json_string_value(json_object_get(arguments, "folder")), *line;
	struct control_addition what = {.config = json_string_value(config),
					.bytes = json_string_length(config),
					.file = file ? file : "config",
					.folder = folder ? folder : "/"};

	line = json_string_value(json_object_get(arguments, "command-line"));
	if (line)
		return do_look_into(ops, arguments, line, result, err);
	if (strcmp(json_string_value(json_object_get(request, "execute")), "x-profile") == 0)
		return do_profile(ops, arguments, result, err);
	if (config)
		return ops->add(ops->opaque, &what, err);
	return ops->remove(ops->opaque, json_string_value(json_object_get(arguments, "machine")),
			   json_is_true(json_object_get(arguments, "force")), err);
}

json_t *qmp_job(const struct control_ops *ops, json_t *request)
{
	struct control_error err = {{0}};
	json_t *result = NULL;
	int e = do_job(ops, request, &result, &err);
	json_t *id = json_object_get(request, "id");
	json_t *answer = e        ? json_pack("{s:{s:s, s:o}}", "error", "class",
                                       e == -ENOENT ? "DeviceNotFound" : "GenericError", "desc", text_of(err.text))
			 : result ? json_pack("{s:o}", "return", result)
				  : json_pack("{s:{}}", "return");

	if (id && answer)
		json_object_set(answer, "id", id);
	json_decref(request);
	return answer;
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

static json_t *one_cpu(const struct control_machine *m, unsigned index, unsigned of_machine)
{
	char path[80];

	snprintf(path, sizeof(path), "/machine/%s/cpu%u", m->name, of_machine);
	return json_pack("{s:i, s:s, s:i, s:s, s:{}, s:s}", "cpu-index", (int)index, "qom-path", path, "thread-id",
			 (int)m->thread, "target", m->big_endian ? "mips" : "mipsel", "props", "x-machine", m->name);
}

static json_t *query_cpus_fast(struct request *r)
{
	json_t *list = json_array();
	struct control_machine m;
	unsigned more = 0; /* vCPUs of machines before that are not their first ones */

	for (unsigned i = 0; next_machine(r, &i, &m); i++) {
		for (unsigned k = 0; !k || k < m.vcpus; k++)
			json_array_append_new(list, one_cpu(&m, i + more + k, k));
		more += m.vcpus ? m.vcpus - 1 : 0;
	}
	return list;
}

static json_t *file_name(const char *name)
{
	char text[4096];

	snprintf(text, sizeof(text), "%s", name);
	return text_of(text);
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
		json_t *one = json_pack("{s:s, s:s, s:i}", "name", m.name, "status", states[m.state], "vcpus",
					(int)(m.vcpus ? m.vcpus : 1));

#define CONTROL_FIGURE(field, name) json_object_set_new(one, name, json_integer((json_int_t)m.field));
#include "vmm/control/commands.def"
		json_object_set_new(one, "big-endian", json_boolean(m.big_endian));
		if (m.kernel)
			json_object_set_new(one, "kernel", file_name(m.kernel));
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
	json_object_set_new(all, "process", process_to_json(&m.process));
	return all;
}

static json_t *query_nodes(struct request *r)
{
	struct control_nodes nodes = {.look = {0}};

	r->qmp->ops->look_at_nodes(r->qmp->ops->opaque, &nodes);
	return qmp_nodes(&nodes);
}

static json_t *audit(struct request *r)
{
	json_t *moves = json_object_get(r->arguments, "moves"), *all;
	struct control_audit a = {0};

	if (moves && !json_is_integer(moves))
		return wrong_type(r, "moves", "integer");
	if (json_integer_value(moves) < 0 || json_integer_value(moves) > CONTROL_MAX_MOVES)
		return error_of(r, "GenericError", "Parameter 'moves' must be from 0 to %d", CONTROL_MAX_MOVES);
	r->qmp->ops->audit(r->qmp->ops->opaque, (unsigned)json_integer_value(moves), &a);
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

/* What a client wants to be switched on is of what the greeting offers, which is nothing. */
static json_t *qmp_capabilities(struct request *r)
{
	json_t *enable = json_object_get(r->arguments, "enable"), *first = json_array_get(enable, 0);

	if (r->qmp->open)
		return error_of(r, "CommandNotFound", "Capabilities negotiation is already complete, command ignored");
	if (enable && !json_is_array(enable))
		return wrong_type(r, "enable", "array");
	if (first && !json_is_string(first))
		return wrong_type(r, "enable", "string");
	if (first)
		return error_of(r, "GenericError", "Capability %.100s not available", json_string_value(first));
	r->qmp->open = true;
	return json_object();
}

/* The machine's, or if there is only one, that one's. */
static json_t *query_name(struct request *r)
{
	const struct control_ops *ops = r->qmp->ops;
	struct control_machine m;
	unsigned i = 0;

	if (!r->machine && ops->count(ops->opaque) != 1)
		return json_object();
	return next_machine(r, &i, &m) ? json_pack("{s:s}", "name", m.name) : json_object();
}

static json_t *query_commands(struct request *r);

static const struct command {
	const char *name;
	json_t *(*fn)(struct request *r);
	const char *arguments; /* words */
} commands[] = {
#define CONTROL_COMMAND(name, fn, arguments) {name, fn, arguments},
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

static bool is_word_of(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = words; (p = strstr(p, word)) != NULL && n; p += n)
		if ((p == words || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
			return true;
	return false;
}

static json_t *check_arguments(struct request *r, const struct command *c)
{
	const char *key;
	json_t *value;

	json_object_foreach(r->arguments, key, value)
	{
		if (!is_word_of(c->arguments, key))
			return error_of(r, "GenericError", "Parameter '%.100s' is unexpected", key);
	}
	return find_machine(r);
}

/* The members of a request, in the order in which QEMU complains. NULL: they are not right. */
static const char *command_name(struct request *r)
{
	json_t *name = json_object_get(r->root, "execute"), *value;
	const char *key;

	json_object_foreach(r->root, key, value)
	{
		if (strcmp(key, "execute") != 0 && strcmp(key, "arguments") != 0 && strcmp(key, "id") != 0)
			return (void *)error_of(r, "GenericError", "QMP input member '%.100s' is unexpected", key);
	}
	r->arguments = json_object_get(r->root, "arguments");
	if (name && !json_is_string(name))
		(void)error_of(r, "GenericError", "QMP input member 'execute' must be a string");
	else if (r->arguments && !json_is_object(r->arguments))
		(void)error_of(r, "GenericError", "QMP input member 'arguments' must be an object");
	else if (!name)
		(void)error_of(r, "GenericError", "QMP input lacks member 'execute'");
	return r->error ? NULL : json_string_value(name);
}

static json_t *execute(struct request *r)
{
	const struct command *c = NULL;
	const char *name = command_name(r);

	if (!name)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(commands) && !c; i++)
		if (strcmp(commands[i].name, name) == 0)
			c = &commands[i];
	if (!r->qmp->open && (!c || c->fn != qmp_capabilities))
		return error_of(r, "CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'");
	if (!c)
		return error_of(r, "CommandNotFound", "The command %.100s has not been found", name);
	return check_arguments(r, c) ? c->fn(r) : NULL;
}

static json_t *bad_input(const char *what, const char *why)
{
	char text[300];

	snprintf(text, sizeof(text), "%s%s", what, why);
	return json_pack("{s:{s:s, s:o}}", "error", "class", "GenericError", "desc", text_of(text));
}

json_t *qmp_answer(struct qmp *q, const char *text, size_t n)
{
	json_error_t why;
	json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why), *result, *answer, *id;
	struct request r = {.qmp = q, .root = root};

	if (!root)
		return bad_input("JSON parse error, ", why.text);
	if (!json_is_object(root)) {
		json_decref(root);
		return bad_input("QMP input must be a JSON object", "");
	}
	q->ops->enter(q->ops->opaque);
	result = execute(&r);
	q->ops->leave(q->ops->opaque);
	if (q->job) {
		json_decref(root);
		return NULL;
	}
	answer = result ? json_pack("{s:o}", "return", result) : json_pack("{s:o}", "error", r.error);
	if (result)
		json_decref(r.error);
	id = json_object_get(root, "id");
	if (id && answer)
		json_object_set(answer, "id", id);
	json_decref(root);
	return answer;
}

json_t *qmp_bad_json(void) { return bad_input("JSON parse error, ", "invalid keyword"); }

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
