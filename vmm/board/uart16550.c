/* SPDX-License-Identifier: MIT */
#include "vmm/board/uart16550.h"

#include <string.h>

enum reg { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };
enum { IER_RX = 0x01, IER_THRE = 0x02, IER_LINE = 0x04, IER_MODEM = 0x08 };
enum { IIR_NONE = 0x01, IIR_MODEM = 0x00, IIR_THRE = 0x02, IIR_RX = 0x04, IIR_LINE = 0x06, IIR_TIMEOUT = 0x0c };
enum { IIR_FIFOS = 0xc0 };
enum { FCR_ENABLE = 0x01, FCR_CLEAR_RX = 0x02 };
enum { LCR_STOP2 = 0x04, LCR_PARITY = 0x08, LCR_DLAB = 0x80 };
enum { MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08, MCR_LOOP = 0x10 };
enum { LSR_DATA = 0x01, LSR_OVERRUN = 0x02, LSR_ERRORS = 0x1e, LSR_TX_EMPTY = 0x60 };
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80, MSR_DELTAS = 0x0f };

static bool has_fifo(const struct uart16550_state *s) { return s->fcr & FCR_ENABLE; }
static unsigned capacity(const struct uart16550_state *s) { return has_fifo(s) ? UART16550_FIFO : 1; }

static unsigned rx_trigger(const struct uart16550_state *s)
{
	static const uint8_t level[4] = {1, 4, 8, 14};

	return has_fifo(s) ? level[s->fcr >> 6] : 1;
}

/* The interrupt with the highest priority, in the data sheet's order (table III). */
static uint8_t identify(const struct uart16550_state *s)
{
	if ((s->ier & IER_LINE) && (s->lsr_errors & LSR_ERRORS))
		return IIR_LINE;
	if ((s->ier & IER_RX) && s->rx_count >= rx_trigger(s))
		return IIR_RX;
	if ((s->ier & IER_RX) && s->timeout_pending)
		return IIR_TIMEOUT;
	if ((s->ier & IER_THRE) && s->thre_pending)
		return IIR_THRE;
	if ((s->ier & IER_MODEM) && (s->msr & MSR_DELTAS))
		return IIR_MODEM;
	return IIR_NONE;
}

static void update_irq(struct uart16550 *u) { irq_set(&u->irq, identify(&u->s) != IIR_NONE); }

static void timeout_rang(void *arg)
{
	struct uart16550 *u = arg;

	u->s.timeout_pending = u->s.rx_count != 0;
	update_irq(u);
}

/* Four character times without a receive or a read: data sheet, "FIFO timeout interrupts". */
static void restart_timeout(struct uart16550 *u)
{
	const struct uart16550_state *s = &u->s;
	uint32_t divisor = s->divisor_low | (uint32_t)s->divisor_high << 8;
	uint64_t bits = 1 + 5 + (s->lcr & 3) + !!(s->lcr & LCR_PARITY) + 1 + !!(s->lcr & LCR_STOP2);
	uint64_t at = DEVICE_NO_ALARM;

	u->s.timeout_pending = false;
	if (has_fifo(s) && s->rx_count)
		at = device_now_ns(&u->clock) +
		     device_scale_up(4 * bits * 16 * (divisor ? divisor : 1), 1000000000, u->clock_hz);
	device_alarm(&u->clock, at, timeout_rang, u);
}

static void clear_rx(struct uart16550 *u)
{
	u->s.rx_first = u->s.rx_count = 0;
	restart_timeout(u);
}

static void push_rx(struct uart16550 *u, uint8_t v)
{
	struct uart16550_state *s = &u->s;

	if (s->rx_count == capacity(s)) {
		s->lsr_errors |= LSR_OVERRUN;
		if (!has_fifo(s)) /* the buffer register is overwritten, a full FIFO is not */
			s->rx[s->rx_first] = v;
	} else {
		s->rx[(s->rx_first + s->rx_count++) % UART16550_FIFO] = v;
	}
	restart_timeout(u);
}

static uint8_t pop_rx(struct uart16550 *u)
{
	struct uart16550_state *s = &u->s;
	uint8_t v = s->rx[s->rx_first];

	if (s->rx_count) {
		s->rx_first = (s->rx_first + 1) % UART16550_FIFO;
		s->rx_count--;
	}
	restart_timeout(u);
	return v;
}

/* Modem inputs: the four outputs in loopback, else a terminal that is always ready. */
static void update_modem(struct uart16550_state *s)
{
	uint8_t now = MSR_CTS | MSR_DSR | MSR_DCD, was = s->msr, changed;

	if (s->mcr & MCR_LOOP) {
		now = 0;
		now |= s->mcr & MCR_RTS ? MSR_CTS : 0;
		now |= s->mcr & MCR_DTR ? MSR_DSR : 0;
		now |= s->mcr & MCR_OUT1 ? MSR_RI : 0;
		now |= s->mcr & MCR_OUT2 ? MSR_DCD : 0;
	}
	changed = (now ^ was) & 0xf0;
	/* The ring indicator counts its trailing edge only. */
	if (now & MSR_RI)
		changed &= (uint8_t)~MSR_RI;
	s->msr = (uint8_t)(now | (was & MSR_DELTAS) | changed >> 4);
}

static void transmit(struct uart16550 *u, uint8_t v)
{
	u->s.thre_pending = false;
	update_irq(u);
	if (u->s.mcr & MCR_LOOP)
		push_rx(u, v);
	else if (u->tx)
		u->tx(u->opaque, &v, 1);
	u->s.thre_pending = true;
}

static void write_fcr(struct uart16550 *u, uint8_t v)
{
	struct uart16550_state *s = &u->s;
	bool switched = (s->fcr ^ v) & FCR_ENABLE;

	/* The other bits are only taken together with the enable (data sheet, FCR bit 0). */
	s->fcr = v & FCR_ENABLE ? v & 0xc9 : 0;
	if (switched || (v & FCR_CLEAR_RX))
		clear_rx(u);
}

static void write_ier(struct uart16550_state *s, uint8_t v)
{
	/* Enabling the interrupt while the holding register is empty, which it always is, raises it. */
	if ((v & IER_THRE) && !(s->ier & IER_THRE))
		s->thre_pending = true;
	s->ier = v & 0x0f;
}

static void reg_write(struct uart16550 *u, unsigned reg, uint8_t v)
{
	struct uart16550_state *s = &u->s;
	bool dlab = s->lcr & LCR_DLAB;

	switch ((enum reg)reg) {
	case REG_DATA:
		if (dlab)
			s->divisor_low = v;
		else
			transmit(u, v);
		break;
	case REG_IER:
		if (dlab)
			s->divisor_high = v;
		else
			write_ier(s, v);
		break;
	case REG_IIR:
		write_fcr(u, v);
		break;
	case REG_LCR:
		s->lcr = v;
		break;
	case REG_MCR:
		s->mcr = v & 0x1f;
		update_modem(s);
		break;
	case REG_LSR: /* factory test only */
	case REG_MSR:
		break;
	case REG_SCRATCH:
		s->scratch = v;
		break;
	}
	update_irq(u);
}

static uint8_t read_iir(struct uart16550 *u)
{
	uint8_t v = identify(&u->s);

	if (v == IIR_THRE)
		u->s.thre_pending = false;
	return has_fifo(&u->s) ? v | IIR_FIFOS : v;
}

static uint8_t reg_read(struct uart16550 *u, unsigned reg)
{
	struct uart16550_state *s = &u->s;
	bool dlab = s->lcr & LCR_DLAB;
	uint8_t v = 0;

	switch ((enum reg)reg) {
	case REG_DATA:
		v = dlab ? s->divisor_low : pop_rx(u);
		break;
	case REG_IER:
		v = dlab ? s->divisor_high : s->ier;
		break;
	case REG_IIR:
		v = read_iir(u);
		break;
	case REG_LCR:
		v = s->lcr;
		break;
	case REG_MCR:
		v = s->mcr;
		break;
	case REG_LSR:
		v = LSR_TX_EMPTY | s->lsr_errors | (s->rx_count ? LSR_DATA : 0);
		s->lsr_errors = 0;
		break;
	case REG_MSR:
		v = s->msr;
		s->msr &= (uint8_t)~MSR_DELTAS;
		break;
	case REG_SCRATCH:
		v = s->scratch;
		break;
	}
	update_irq(u);
	return v;
}

static uint64_t port_read(void *opaque, uint32_t off, unsigned bytes) { return reg_read(opaque, off & 7); }

static void port_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	reg_write(opaque, off & 7, (uint8_t)value);
}

/* The CBUS does not decode the low three address lines: the register answers on all lanes of its doubleword. */
static uint64_t stride8_read(void *opaque, uint32_t off, unsigned bytes) { return reg_read(opaque, off >> 3 & 7); }

static void stride8_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	reg_write(opaque, off >> 3 & 7, (uint8_t)value);
}

const struct io_ops uart16550_ops = {port_read, port_write};
const struct io_ops uart16550_stride8_ops = {stride8_read, stride8_write};

size_t uart16550_room(const struct uart16550 *u)
{
	if (u->s.mcr & MCR_LOOP) /* the input pin is disconnected: let the caller keep its bytes */
		return 0;
	return capacity(&u->s) - u->s.rx_count;
}

size_t uart16550_rx(struct uart16550 *u, const uint8_t *data, size_t n)
{
	size_t room = uart16550_room(u);

	if (n > room)
		n = room;
	for (size_t i = 0; i < n; i++)
		push_rx(u, data[i]);
	if (n)
		update_irq(u);
	return n;
}

void uart16550_init(struct uart16550 *u, const struct clock_ops *clock, const struct irq_line *irq, uint32_t clock_hz,
		    void (*tx)(void *opaque, const uint8_t *data, size_t n), void *opaque)
{
	memset(u, 0, sizeof(*u));
	u->clock = *clock;
	u->irq = *irq;
	u->clock_hz = clock_hz;
	u->tx = tx;
	u->opaque = opaque;
	uart16550_reset(u);
}

void uart16550_reset(struct uart16550 *u)
{
	memset(&u->s, 0, sizeof(u->s));
	u->s.divisor_low = 12; /* as firmware leaves it: 9600 baud, 8N1 */
	u->s.lcr = 3;
	u->s.msr = MSR_CTS | MSR_DSR | MSR_DCD;
	uart16550_stop(u);
	irq_set(&u->irq, false);
}

void uart16550_stop(struct uart16550 *u) { device_alarm(&u->clock, DEVICE_NO_ALARM, timeout_rang, u); }
