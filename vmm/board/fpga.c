/* SPDX-License-Identifier: MIT */
#include "vmm/board/fpga.h"

#include <string.h>

enum reg {
	REG_SWITCH = 0x200,
	REG_STATUS = 0x208,
	REG_JUMPERS = 0x210,
	REG_LED_BAR = 0x408,
	REG_ASCII_WORD = 0x410,
	REG_ASCII_POS = 0x418, /* 8 registers */
	REG_ASCII_POS_LAST = 0x450,
	REG_SOFT_RESET = 0x500,
	REG_BREAK_RESET = 0x508,
	REG_GPIO_OUT = 0xa00,
	REG_GPIO_IN = 0xa08,
	REG_I2C_IN = 0xb00,
	REG_I2C_ENABLE = 0xb08,
	REG_I2C_OUT = 0xb10,
	REG_I2C_SELECT = 0xb18,
};
enum { STATUS_BIG_ENDIAN = 0x02, STATUS_FLASH_WRITABLE = 0x10 };
enum { SOFT_RESET_CODE = 0x42, BREAK_RESET_DEFAULT = 0x0a, I2C_LINES = 3 };

static uint32_t reg_read(const struct fpga *f, uint32_t reg)
{
	switch (reg) {
	case REG_STATUS:
		return STATUS_FLASH_WRITABLE | (f->big_endian ? STATUS_BIG_ENDIAN : 0);
	case REG_LED_BAR:
		return f->s.led_bar;
	case REG_ASCII_WORD:
		return f->s.ascii_word;
	case REG_ASCII_POS ... REG_ASCII_POS_LAST:
		return f->s.display[(reg - REG_ASCII_POS) >> 3];
	case REG_BREAK_RESET:
		return f->s.break_reset;
	case REG_GPIO_OUT:
		return f->s.gpio_out;
	case REG_I2C_IN: /* open drain with pull-ups: low only where enabled and driven low */
		return (uint32_t) ~(f->s.i2c_enable & ~f->s.i2c_out) & I2C_LINES;
	case REG_I2C_ENABLE:
		return f->s.i2c_enable;
	case REG_I2C_OUT:
		return f->s.i2c_out;
	case REG_I2C_SELECT:
		return f->s.i2c_select;
	default: /* SWITCH and JUMPERS: all off, which is a PCI clock of 33 MHz */
		return 0;
	}
}

static uint64_t fpga_read(void *opaque, uint32_t off, unsigned bytes)
{
	return reg_read(opaque, off & ~3u) >> (8 * (off & 3));
}

static void put_ascii_word(struct fpga_state *s, uint32_t v)
{
	static const char digit[] = "0123456789ABCDEF";

	s->ascii_word = v;
	for (unsigned i = 0; i < FPGA_DISPLAY_CHARS; i++)
		s->display[i] = (uint8_t)digit[v >> (28 - 4 * i) & 15];
}

static void fpga_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct fpga *f = opaque;
	struct fpga_state *s = &f->s;
	uint32_t v = (uint32_t)value;

	if (off & 3) /* the registers live in the low byte lanes */
		return;
	switch (off) {
	case REG_LED_BAR:
		s->led_bar = (uint8_t)v;
		break;
	case REG_ASCII_WORD:
		put_ascii_word(s, v);
		break;
	case REG_ASCII_POS ... REG_ASCII_POS_LAST:
		if (!((off - REG_ASCII_POS) & 7))
			s->display[(off - REG_ASCII_POS) >> 3] = (uint8_t)v;
		break;
	case REG_BREAK_RESET:
		s->break_reset = v & 0xff;
		break;
	case REG_GPIO_OUT:
		s->gpio_out = v;
		break;
	case REG_I2C_ENABLE:
		s->i2c_enable = v & I2C_LINES;
		break;
	case REG_I2C_OUT:
		s->i2c_out = v & I2C_LINES;
		break;
	case REG_I2C_SELECT:
		s->i2c_select = v & 1;
		break;
	case REG_SOFT_RESET:
		if (v == SOFT_RESET_CODE && f->reset)
			f->reset(f->opaque);
		break;
	default:
		break;
	}
}

const struct io_ops fpga_ops = {fpga_read, fpga_write};

void fpga_init(struct fpga *f, bool big_endian, void (*reset)(void *opaque), void *opaque)
{
	memset(f, 0, sizeof(*f));
	f->big_endian = big_endian;
	f->reset = reset;
	f->opaque = opaque;
	fpga_reset(f);
}

void fpga_reset(struct fpga *f)
{
	memset(&f->s, 0, sizeof(f->s));
	memset(f->s.display, ' ', sizeof(f->s.display));
	f->s.break_reset = BREAK_RESET_DEFAULT;
	f->s.i2c_out = I2C_LINES;
	f->s.i2c_select = 1;
}
