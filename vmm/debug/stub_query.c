/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cpu/vcpu.h"
#include "vmm/debug/inspect.h"
#include "vmm/debug/stub_internal.h"
#include "vmm/monitor/vm.h"

/* q and Q packets. */

/* The machine that is attached can. */
static bool goes_back(struct stub *s)
{
	struct debug_machine m;
	bool can;

	if (!s->machines.enter(s->machines.opaque, s->now.machine, &m))
		return false;
	can = m.vm && m.vm->reverse;
	s->machines.leave(s->machines.opaque, m.number);
	return can;
}

static void supported(struct stub *s, const char *text)
{
	s->multiprocess = strstr(text, "multiprocess+") != NULL;
	s->reports_breaks = strstr(text, "swbreak+") != NULL;
	stub_put(s,
		 "PacketSize=%x;qXfer:features:read+;vContSupported+;multiprocess+;swbreak+;hwbreak+;"
		 "QStartNoAckMode+%s",
		 PACKET_BYTES, goes_back(s) ? ";ReverseStep+;ReverseContinue+" : "");
}

static void no_acks(struct stub *s, const char *text)
{
	s->no_ack = true;
	stub_put(s, "OK");
}

static void current(struct stub *s, const char *text)
{
	if (!s->n)
		return;
	stub_put(s, "QC");
	stub_put_thread(s, s->now);
}

/* Of all that are attached, as many as have room; s->listed says which was the last. */
static void list_more(struct stub *s, const char *text)
{
	enum { MOST = 128 };
	unsigned at = 0, put = 0;
	struct debug_machine m;

	for (unsigned i = 0; i < s->n && put < MOST; i++) {
		unsigned vcpus = 0;

		if (!s->machines.enter(s->machines.opaque, s->machine[i], &m))
			continue;
		vcpus = m.vm ? m.vm->n_vcpus : 0;
		s->machines.leave(s->machines.opaque, s->machine[i]);
		for (unsigned k = 1; k <= vcpus && put < MOST; k++) {
			if (at++ < s->listed)
				continue;
			stub_put(s, "%c", put++ ? ',' : 'm');
			stub_put_thread(s, (struct stub_thread){s->machine[i], k});
		}
	}
	s->listed += put;
	if (!put)
		stub_put(s, "l");
}

static void list(struct stub *s, const char *text)
{
	s->listed = 0;
	list_more(s, text);
}

static const char *state_of(const struct vcpu *v)
{
	if (__atomic_load_n(&v->power, __ATOMIC_ACQUIRE) != VCPU_ON)
		return "off";
	return v->idle ? "waits" : "runs";
}

static void describe(struct stub *s, const char *text)
{
	struct stub_thread was = s->now;
	struct debug_machine m;
	struct vcpu *v;
	char line[96];

	if (*text == ',' && (text++, !stub_read_thread(s, &text, &s->now))) {
		stub_put(s, "E03");
	} else if (stub_enter(s, &m, &v)) {
		snprintf(line, sizeof(line), "%.40s, vCPU %u, %s", m.name, v->number, state_of(v));
		stub_put_hex(s, line, strlen(line));
		stub_leave(s, &m);
	}
	s->now = was;
}

/* gdb leaves it running, then, when it goes. */
static void attached(struct stub *s, const char *text) { stub_put(s, "1"); }

/* "target.xml:OFFSET,LENGTH" */
static void transfer(struct stub *s, const char *text)
{
	static const char name[] = "target.xml:";
	size_t bytes = strlen(s->xml);
	uint64_t from, n;

	if (strncmp(text, name, sizeof(name) - 1) != 0) {
		stub_put(s, "E00");
		return;
	}
	text += sizeof(name) - 1;
	if (!packet_hex(&text, &from) || *text++ != ',' || !packet_hex(&text, &n) || *text) {
		stub_put(s, "E03");
		return;
	}
	if (from > bytes)
		from = bytes;
	if (n > PACKET_BYTES / 2)
		n = PACKET_BYTES / 2;
	stub_put(s, "%c", n < bytes - from ? 'm' : 'l');
	stub_put_bytes(s, s->xml + from, n < bytes - from ? n : bytes - from);
}

/* A Linux that has moved itself (KASLR). */
static void offsets(struct stub *s, const char *text)
{
	struct debug_machine m;
	struct vcpu *v;
	uint32_t slide;

	if (!stub_enter(s, &m, &v))
		return;
	slide = s->machines.slide(s->machines.opaque, m.number);
	stub_leave(s, &m);
	stub_put(s, "Text=%x;Data=%x;Bss=%x", slide, slide, slide);
}

/* `monitor` of gdb: hexadecimal digits. */
static void command(struct stub *s, const char *text)
{
	enum { PART = PACKET_BYTES / 4 };
	uint8_t line[256];
	size_t n = packet_hex_bytes(text, line, sizeof(line) - 1), bytes;
	struct debug_machine m;
	char *said = NULL;
	struct vcpu *v;
	FILE *out;

	line[n] = '\0';
	if (!stub_enter(s, &m, &v))
		return;
	out = open_memstream(&said, &bytes);
	if (out) {
		inspect(v, (const char *)line, out);
		(void)fclose(out);
	}
	stub_leave(s, &m);
	for (size_t at = 0; said && at < bytes; at += PART) {
		stub_put(s, "O");
		stub_put_hex(s, said + at, bytes - at < PART ? bytes - at : PART);
		stub_say(s);
	}
	free(said);
	stub_put(s, "OK");
}

static void symbols(struct stub *s, const char *text) { stub_put(s, "OK"); /* none is wanted */ }

bool stub_query(struct stub *s, const char *text)
{
	static const struct {
		const char *name;
		void (*fn)(struct stub *s, const char *text);
	} queries[] = {
	    {"qSupported", supported},
	    {"QStartNoAckMode", no_acks},
	    {"qC", current},
	    {"qfThreadInfo", list},
	    {"qsThreadInfo", list_more},
	    {"qThreadExtraInfo", describe},
	    {"qAttached", attached},
	    {"qXfer:features:read:", transfer},
	    {"qOffsets", offsets},
	    {"qRcmd,", command},
	    {"qSymbol", symbols},
	};

	for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
		size_t n = strlen(queries[i].name);

		/* "qC" is not "qCRC" */
		if (strncmp(text, queries[i].name, n) == 0 &&
		    (!text[n] || strchr(":,;", text[n]) || strchr(":,", text[n - 1]))) {
			queries[i].fn(s, text + n);
			return true;
		}
	}
	return text[0] == 'q' || text[0] == 'Q';
}
