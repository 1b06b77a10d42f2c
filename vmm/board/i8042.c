/* SPDX-License-Identifier: MIT */
#include "vmm/board/i8042.h"

#include <string.h>

enum status { STATUS_OBF = 0x01, STATUS_SYSTEM = 0x04, STATUS_COMMAND = 0x08, STATUS_UNLOCKED = 0x10 };
enum command_byte { CTR_IRQ1 = 0x01, CTR_SYSTEM = 0x04, CTR_KEYBOARD_OFF = 0x10, CTR_TRANSLATE = 0x40 };
enum controller_command {
	CMD_READ_RAM = 0x20,  /* ..0x3f */
	CMD_WRITE_RAM = 0x60, /* ..0x7f */
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KEYBOARD_TEST = 0xab,
	CMD_KEYBOARD_OFF = 0xad,
	CMD_KEYBOARD_ON = 0xae,
	CMD_READ_INPUT_PORT = 0xc0,
	CMD_READ_OUTPUT_PORT = 0xd0,
	CMD_WRITE_OUTPUT_PORT = 0xd1,
	CMD_WRITE_KEYBOARD_BUFFER = 0xd2,
	CMD_WRITE_AUX_BUFFER = 0xd3,
	CMD_WRITE_AUX = 0xd4,
	CMD_PULSE = 0xf0, /* ..0xff: bits that are 0 are pulsed low */
};
enum keyboard_command {
	KBD_SET_LEDS = 0xed,
	KBD_ECHO = 0xee,
	KBD_SCANCODE_SET = 0xf0,
	KBD_IDENTIFY = 0xf2,
	KBD_RATE = 0xf3,
	KBD_ENABLE = 0xf4,
	KBD_DISABLE = 0xf5,
	KBD_DEFAULTS = 0xf6,
	KBD_RESEND = 0xfe,
	KBD_RESET = 0xff,
	KBD_ACK = 0xfa,
	KBD_TEST_PASSED = 0xaa,
};
enum { OUTPUT_PORT_NO_RESET = 0x01, AUX_CLOCK_STUCK_LOW = 0x01, INPUT_PORT_UNLOCKED = 0x80 };

/* Move the next byte into the output buffer if it is free, and drive IRQ 1. */
static void pump(struct i8042 *k)
{
	struct i8042_state *s = &k->s;

	if (!(s->status & STATUS_OBF)) {
		if (s->has_reply) {
			s->out = s->reply;
			s->has_reply = false;
			s->status |= STATUS_OBF;
		} else if (s->keyboard_count && !(s->ram[0] & CTR_KEYBOARD_OFF)) {
			s->out = s->keyboard_queue[s->keyboard_first];
			s->keyboard_first = (s->keyboard_first + 1) % I8042_QUEUE;
			s->keyboard_count--;
			s->status |= STATUS_OBF;
		}
	}
	irq_set(&k->irq, (s->status & STATUS_OBF) && (s->ram[0] & CTR_IRQ1));
}

static void reply(struct i8042 *k, uint8_t v)
{
	k->s.reply = v;
	k->s.has_reply = true;
}

/* A full queue drops the byte, as a keyboard whose buffer overruns. */
static void keyboard_send(struct i8042_state *s, uint8_t v)
{
	if (s->keyboard_count < I8042_QUEUE)
		s->keyboard_queue[(s->keyboard_first + s->keyboard_count++) % I8042_QUEUE] = v;
	s->keyboard_last = v;
}

static void keyboard_argument(struct i8042_state *s, uint8_t v)
{
	uint8_t command = s->keyboard_command;

	s->keyboard_command = 0;
	keyboard_send(s, KBD_ACK);
	if (command != KBD_SCANCODE_SET)
		return; /* LEDs and repeat rate: nothing shows or repeats */
	if (v == 0)
		keyboard_send(s, s->scancode_set);
	else if (v <= 3)
		s->scancode_set = v;
}

static void keyboard_receive(struct i8042_state *s, uint8_t v)
{
	/* A command byte ends a command that waits for its argument. */
	if (s->keyboard_command && v < KBD_SET_LEDS) {
		keyboard_argument(s, v);
		return;
	}
	s->keyboard_command = 0;
	switch (v) {
	case KBD_ECHO:
		keyboard_send(s, KBD_ECHO);
		break;
	case KBD_RESEND:
		keyboard_send(s, s->keyboard_last);
		break;
	case KBD_IDENTIFY:
		keyboard_send(s, KBD_ACK);
		keyboard_send(s, 0xab);
		/* 0x83 of an MF2 keyboard; the controller translates it like a scan code. */
		keyboard_send(s, s->ram[0] & CTR_TRANSLATE ? 0x41 : 0x83);
		break;
	case KBD_SET_LEDS:
	case KBD_SCANCODE_SET:
	case KBD_RATE:
		keyboard_send(s, KBD_ACK);
		s->keyboard_command = v;
		break;
	case KBD_ENABLE:
	case KBD_DISABLE:
		keyboard_send(s, KBD_ACK);
		break;
	case KBD_DEFAULTS:
	case KBD_RESET:
		s->keyboard_count = 0;
		s->scancode_set = 2;
		keyboard_send(s, KBD_ACK);
		if (v == KBD_RESET)
			keyboard_send(s, KBD_TEST_PASSED);
		break;
	default:
		keyboard_send(s, KBD_RESEND);
		break;
	}
}

/* The data byte of a controller command. */
static void controller_argument(struct i8042 *k, uint8_t command, uint8_t v)
{
	struct i8042_state *s = &k->s;

	switch (command) {
	case CMD_WRITE_RAM ... CMD_WRITE_RAM + 0x1f:
		s->ram[command & 0x1f] = v;
		if (command == CMD_WRITE_RAM)
			s->status = (uint8_t)((s->status & ~STATUS_SYSTEM) | (v & CTR_SYSTEM));
		break;
	case CMD_WRITE_OUTPUT_PORT:
		s->output_port = v;
		break;
	case CMD_WRITE_KEYBOARD_BUFFER:
	case CMD_WRITE_AUX_BUFFER: /* comes back without the AUX flag: there is no such buffer */
		reply(k, v);
		break;
	default: /* CMD_WRITE_AUX: nobody listens */
		break;
	}
}

static void controller_command(struct i8042 *k, uint8_t v)
{
	struct i8042_state *s = &k->s;

	switch (v) {
	case CMD_READ_RAM ... CMD_READ_RAM + 0x1f:
		reply(k, s->ram[v & 0x1f]);
		break;
	case CMD_WRITE_RAM ... CMD_WRITE_RAM + 0x1f:
	case CMD_WRITE_OUTPUT_PORT ... CMD_WRITE_AUX:
		s->pending_command = v;
		break;
	case CMD_AUX_TEST:
		reply(k, AUX_CLOCK_STUCK_LOW);
		break;
	case CMD_SELF_TEST:
		s->status |= STATUS_SYSTEM;
		reply(k, 0x55);
		break;
	case CMD_KEYBOARD_TEST:
		reply(k, 0);
		break;
	case CMD_KEYBOARD_OFF:
		s->ram[0] |= CTR_KEYBOARD_OFF;
		break;
	case CMD_KEYBOARD_ON:
		s->ram[0] &= (uint8_t)~CTR_KEYBOARD_OFF;
		break;
	case CMD_READ_INPUT_PORT:
		reply(k, INPUT_PORT_UNLOCKED);
		break;
	case CMD_READ_OUTPUT_PORT:
		reply(k, s->output_port);
		break;
	default: /* mouse port on/off and vendor commands: no answer, as on an AT controller */
		break;
	}
}

static void command_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct i8042 *k = opaque;
	uint8_t v = (uint8_t)value;

	k->s.status |= STATUS_COMMAND;
	k->s.pending_command = 0;
	controller_command(k, v);
	pump(k);
	if (v >= CMD_PULSE && !(v & 1) && k->reset)
		k->reset(k->opaque);
}

static void data_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct i8042 *k = opaque;
	uint8_t command = k->s.pending_command;

	k->s.status &= (uint8_t)~STATUS_COMMAND;
	k->s.pending_command = 0;
	if (command) {
		controller_argument(k, command, (uint8_t)value);
	} else {
		k->s.ram[0] &= (uint8_t)~CTR_KEYBOARD_OFF; /* talking to the keyboard enables it */
		keyboard_receive(&k->s, (uint8_t)value);
	}
	pump(k);
	if (command == CMD_WRITE_OUTPUT_PORT && !(value & OUTPUT_PORT_NO_RESET) && k->reset)
		k->reset(k->opaque);
}

static uint64_t command_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct i8042 *k = opaque;

	return k->s.status;
}

static uint64_t data_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct i8042 *k = opaque;
	uint8_t v = k->s.out;

	k->s.status &= (uint8_t)~STATUS_OBF;
	irq_set(&k->irq, false); /* each byte is an edge of its own */
	pump(k);
	return v;
}

const struct io_ops i8042_data_ops = {data_read, data_write};
const struct io_ops i8042_command_ops = {command_read, command_write};

void i8042_init(struct i8042 *k, const struct irq_line *irq, void (*reset)(void *opaque), void *opaque)
{
	memset(k, 0, sizeof(*k));
	k->irq = *irq;
	k->reset = reset;
	k->opaque = opaque;
	i8042_reset(k);
}

void i8042_reset(struct i8042 *k)
{
	memset(&k->s, 0, sizeof(k->s));
	k->s.status = STATUS_UNLOCKED | STATUS_COMMAND;
	k->s.output_port = 0xc0 | 0x02 | OUTPUT_PORT_NO_RESET; /* lines idle, A20 on */
	k->s.ram[0] = CTR_IRQ1 | CTR_TRANSLATE;
	k->s.scancode_set = 2;
	irq_set(&k->irq, false);
}
