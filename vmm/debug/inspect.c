/* SPDX-License-Identifier: MIT */
#include "vmm/debug/inspect.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/debug/inspect_internal.h"

/* Words to a command, and memory for people. */

/* The next word of *at, cut off in place; NULL: none. */
static char *next_word(char **at)
{
	char *word = *at + strspn(*at, " \t"), *end = word + strcspn(word, " \t");

	*at = *end ? end + 1 : end;
	*end = '\0';
	return *word ? word : NULL;
}

/* ---- x, xp ---- */

enum { MAX_UNITS = 4096 };

struct format {
	unsigned count, bytes;
	char letter;
};

/* "/4xw": each part may be left out. */
static bool read_format(const char *text, struct format *f)
{
	unsigned long n = 0;

	*f = (struct format){1, 4, 'x'};
	if (isdigit((unsigned char)*text)) {
		char *end;

		n = strtoul(text, &end, 10);
		text = end;
		if (n < 1 || n > MAX_UNITS)
			return false;
		f->count = (unsigned)n;
	}
	for (; *text; text++) {
		if (strchr("xduoci", *text))
			f->letter = *text;
		else if (strchr("bhw", *text))
			f->bytes = *text == 'b' ? 1 : *text == 'h' ? 2 : 4;
		else
			return false;
	}
	if (f->letter == 'i')
		f->bytes = 4;
	return true;
}

static uint32_t unit(const struct vcpu *v, const uint8_t *p, unsigned bytes)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint32_t)p[i] << 8 * (v->vm->cfg.big_endian ? bytes - 1 - i : i);
	return value;
}

static void put_unit(FILE *out, const struct format *f, uint32_t value)
{
	int32_t number = f->bytes == 1 ? (int8_t)value : f->bytes == 2 ? (int16_t)value : (int32_t)value;

	switch (f->letter) {
	case 'd':
		fprintf(out, " %d", number);
		break;
	case 'u':
		fprintf(out, " %u", value);
		break;
	case 'o':
		fprintf(out, " 0%o", value);
		break;
	case 'c':
		if (value >= ' ' && value <= '~')
			fprintf(out, " '%c'", (char)value);
		else
			fprintf(out, " '\\x%02x'", value & 0xff);
		break;
	default:
		fprintf(out, " 0x%0*x", (int)(2 * f->bytes), value);
	}
}

static void put_units(struct inspection *i, const struct format *f, const struct debug_memory *m)
{
	unsigned line = f->letter == 'i' ? 1 : 16 / f->bytes;

	for (unsigned k = 0; k < f->count && (k + 1) * f->bytes <= m->done; k++) {
		uint32_t value = unit(i->v, m->bytes + k * f->bytes, f->bytes), at = m->address + k * f->bytes;
		char text[96];

		if (k % line == 0)
			fprintf(i->out, "%s%08x:", k ? "\n" : "", at);
		if (f->letter != 'i') {
			put_unit(i->out, f, value);
			continue;
		}
		frontend_disasm(i->v->frontend, at, value, text, sizeof(text));
		fprintf(i->out, " %08x  %s", value, text);
	}
	if (m->done >= f->bytes)
		fputc('\n', i->out);
	if (m->done < (size_t)f->count * f->bytes)
		fprintf(i->out, "%08x: no memory is %s there\n", m->address + (uint32_t)m->done,
			m->physical ? "" : "mapped");
}

static bool examine_at(struct inspection *i, bool physical)
{
	char *format = i->format, *address = next_word(&i->rest), *end;
	uint8_t bytes[MAX_UNITS * 4];
	struct debug_memory m = {.v = i->v, .physical = physical, .bytes = bytes};
	struct format f;
	unsigned long at;

	if (!read_format(format ? format : "", &f)) {
		fprintf(i->out, "/%s: must be a count up to %d, a format of xduoci and a size of bhw\n", format,
			MAX_UNITS);
		return false;
	}
	at = address ? strtoul(address, &end, 16) : 0;
	if (!address || *end || end == address || (at > UINT32_MAX && at < 0xffffffff80000000ul)) {
		fprintf(i->out, "%s: must be an address, in hexadecimal digits\n", address ? address : "x");
		return false;
	}
	m.address = (uint32_t)at;
	m.n = (size_t)f.count * f.bytes;
	debug_memory_read(&m);
	put_units(i, &f, &m);
	return true;
}

static bool examine(struct inspection *i) { return examine_at(i, false); }
static bool examine_physical(struct inspection *i) { return examine_at(i, true); }

/* ---- which command ---- */

static const struct info {
	const char *name;
	void (*fn)(struct inspection *i);
	const char *help;
} infos[] = {
#define INSPECT_INFO(name, fn, help) {name, fn, help},
#include "vmm/debug/inspect.def"
};

static bool info(struct inspection *i)
{
	const char *what = next_word(&i->rest);

	for (size_t k = 0; what && k < ARRAY_LEN(infos); k++)
		if (strcmp(infos[k].name, what) == 0) {
			infos[k].fn(i);
			return true;
		}
	fprintf(i->out, "info %s: must be one of", what ? what : "");
	for (size_t k = 0; k < ARRAY_LEN(infos); k++)
		fprintf(i->out, " %s", infos[k].name);
	fputc('\n', i->out);
	return false;
}

static bool help(struct inspection *i);

static const struct command {
	const char *name, *arguments;
	bool (*fn)(struct inspection *i);
	const char *help;
} commands[] = {
#define INSPECT(name, arguments, fn, help) {name, arguments, fn, help},
#include "vmm/debug/inspect.def"
};

static bool help(struct inspection *i)
{
	for (size_t k = 0; k < ARRAY_LEN(commands); k++)
		fprintf(i->out, "%s %-*s %s\n", commands[k].name, (int)(34 - strlen(commands[k].name)),
			commands[k].arguments, commands[k].help);
	for (size_t k = 0; k < ARRAY_LEN(infos); k++)
		fprintf(i->out, "info %-29s  %s\n", infos[k].name, infos[k].help);
	return true;
}

static void act(void *arg)
{
	struct inspection *i = arg;

	i->good = i->command->fn(i);
}

bool inspect(struct vcpu *v, const char *line, FILE *out)
{
	char text[INSPECT_LINE_BYTES];
	struct inspection i = {.v = v, .out = out, .rest = text};
	char *name, *slash;

	if (strlen(line) >= sizeof(text)) {
		fprintf(out, "the command is too long\n");
		return false;
	}
	strcpy(text, line);
	text[strcspn(text, "\r\n")] = '\0';
	name = next_word(&i.rest);
	if (!name)
		return true;
	slash = strchr(name, '/');
	if (slash) {
		*slash = '\0';
		i.format = slash + 1;
	}
	for (size_t k = 0; k < ARRAY_LEN(commands); k++)
		if (strcmp(commands[k].name, name) == 0)
			i.command = &commands[k];
	if (!i.command) {
		fprintf(out, "%s: no such command; help lists them\n", name);
		return false;
	}
	debug_act(v->vm, act, &i);
	return i.good;
}
