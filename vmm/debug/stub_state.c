/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "vmm/cpu/vcpu.h"
#include "vmm/debug/memory.h"
#include "vmm/debug/registers.h"
#include "vmm/debug/stub_internal.h"
#include "vmm/monitor/vm.h"
#include "vmm/replay/reverse.h"

/* Registers, memory, breakpoints and watchpoints. */

/* ---- registers: of the guest's byte order ---- */

static void put_value(struct stub *s, const struct vcpu *v, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++) {
		unsigned at = v->vm->cfg.big_endian ? bytes - 1 - i : i;

		stub_put(s, "%02x", (unsigned)(value >> 8 * at & 0xff));
	}
}

static uint64_t value_of(const struct vcpu *v, const uint8_t *p, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)p[i] << 8 * (v->vm->cfg.big_endian ? bytes - 1 - i : i);
	return value;
}

void stub_put_register(struct stub *s, struct vcpu *v, unsigned n)
{
	put_value(s, v, debug_reg_read(v, n), debug_reg_bytes(n));
}

struct registers {
	struct stub *s;
	struct vcpu *v;
	unsigned from, to;
};

static void put_registers(void *arg)
{
	struct registers *r = arg;

	for (unsigned n = r->from; n < r->to; n++)
		stub_put_register(r->s, r->v, n);
}

static void read_registers(struct stub *s, struct vcpu *v, unsigned from, unsigned to)
{
	struct registers r = {s, v, from, to};

	debug_act(v->vm, put_registers, &r);
}

static void read_one(struct stub *s, struct vcpu *v, const char *text)
{
	uint64_t n;

	if (!packet_hex(&text, &n) || *text || n >= debug_reg_count())
		stub_put(s, "E03");
	else
		read_registers(s, v, (unsigned)n, (unsigned)n + 1);
}

/* What was ahead of it is not its future any more, if it has been there. */
static void changed(const struct vcpu *v)
{
	if (v->vm->reverse)
		reverse_changed(v->vm->reverse);
}

/* Those that cannot be written are passed over, as gdb writes all. */
static void write_all(struct stub *s, struct vcpu *v, const char *text)
{
	uint8_t bytes[DEBUG_REG_MAX_BYTES];

	for (unsigned n = 0; n < debug_reg_count() && *text; n++) {
		unsigned want = debug_reg_bytes(n);

		if (packet_hex_bytes(text, bytes, want) != want) {
			stub_put(s, "E03");
			return;
		}
		text += 2 * want;
		(void)debug_reg_write(v, n, value_of(v, bytes, want));
		changed(v);
	}
	stub_put(s, "OK");
}

static void write_one(struct stub *s, struct vcpu *v, const char *text)
{
	uint8_t bytes[DEBUG_REG_MAX_BYTES];
	uint64_t n;

	if (!packet_hex(&text, &n) || *text++ != '=' || n >= debug_reg_count() ||
	    packet_hex_bytes(text, bytes, debug_reg_bytes((unsigned)n)) != debug_reg_bytes((unsigned)n) ||
	    text[2 * debug_reg_bytes((unsigned)n)])
		stub_put(s, "E03");
	else if (!debug_reg_write(v, (unsigned)n, value_of(v, bytes, debug_reg_bytes((unsigned)n))))
		stub_put(s, "E30"); /* read only */
	else {
		changed(v);
		stub_put(s, "OK");
	}
}

/* ---- memory ---- */

static void read_memory(void *arg) { debug_memory_read(arg); }
static void write_memory(void *arg) { debug_memory_write(arg); }

/* "ADDRESS,LENGTH" from *at on. */
static bool read_range(const char **at, struct debug_memory *m)
{
	uint64_t address, n;

	if (!packet_hex(at, &address) || *(*at)++ != ',' || !packet_hex(at, &n) || n > PACKET_BYTES)
		return false;
	m->address = (uint32_t)address; /* gdb extends their signs */
	m->n = (size_t)n;
	return true;
}

static void memory_read(struct stub *s, struct vcpu *v, const char *text)
{
	uint8_t bytes[PACKET_BYTES];
	struct debug_memory m = {.v = v, .bytes = bytes};

	if (!read_range(&text, &m) || *text) {
		stub_put(s, "E03");
		return;
	}
	if (m.n > PACKET_BYTES / 2)
		m.n = PACKET_BYTES / 2;
	debug_act(v->vm, read_memory, &m);
	if (!m.done && m.n)
		stub_put(s, "E14");
	else
		stub_put_hex(s, bytes, m.done);
}

/* binary: what is behind ':' are the bytes themselves, up to end. */
static void memory_write(struct stub *s, struct vcpu *v, const char *text, const char *end, bool binary)
{
	uint8_t bytes[PACKET_BYTES];
	struct debug_memory m = {.v = v, .bytes = bytes};
	bool good = read_range(&text, &m) && *text++ == ':';

	if (good && binary) {
		good = (size_t)(end - text) == m.n;
		for (size_t i = 0; good && i < m.n; i++)
			bytes[i] = (uint8_t)text[i];
	} else if (good) {
		good = packet_hex_bytes(text, bytes, m.n) == m.n && text + 2 * m.n == end;
	}
	if (!good) {
		stub_put(s, "E03");
		return;
	}
	debug_act(v->vm, write_memory, &m);
	if (m.done)
		changed(v);
	stub_put(s, m.done == m.n ? "OK" : "E14");
}

/* ---- points ---- */

/* "ZKIND,ADDRESS,LENGTH"; of z the same. Conditions and commands are not taken, since we say nothing of them. */
static void point(struct stub *s, const struct debug_machine *m, const char *text, bool add)
{
	struct debug_point p;
	uint64_t kind, va, bytes;
	int err;

	if (!packet_hex(&text, &kind) || *text++ != ',' || !packet_hex(&text, &va) || *text++ != ',' ||
	    !packet_hex(&text, &bytes) || *text || bytes > UINT32_MAX) {
		stub_put(s, "E03");
		return;
	}
	if (kind >= DEBUG_KINDS)
		return; /* not known: no answer */
	p = (struct debug_point){.kind = (enum debug_kind)kind, .va = (uint32_t)va, .bytes = (uint32_t)bytes};
	if (!add) {
		(void)debug_remove(m->debug, m->vm, p); /* again is fine, as gdb wants it */
		stub_put(s, "OK");
		return;
	}
	err = debug_add(m->debug, m->vm, p);
	if (err)
		stub_put(s, "E%02x", -err & 0xff);
	else
		stub_put(s, "OK");
}

bool stub_access(struct stub *s, const char *text, size_t n)
{
	struct debug_machine m;
	struct vcpu *v;
	char what = *text++;

	if (!what || !strchr("gGpPmMXzZ", what) || !stub_enter(s, &m, &v))
		return false;
	switch (what) {
	case 'g':
		read_registers(s, v, 0, debug_reg_count());
		break;
	case 'G':
		write_all(s, v, text);
		break;
	case 'p':
		read_one(s, v, text);
		break;
	case 'P':
		write_one(s, v, text);
		break;
	case 'm':
		memory_read(s, v, text);
		break;
	case 'M':
		memory_write(s, v, text, text + n - 1, false);
		break;
	case 'X':
		memory_write(s, v, text, text + n - 1, true);
		break;
	default:
		point(s, &m, text, what == 'Z');
	}
	stub_leave(s, &m);
	return true;
}
