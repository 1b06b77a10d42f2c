/* SPDX-License-Identifier: MIT */
#include "vmm/debug/packet.h"

enum { BETWEEN, INSIDE, SUM_1, SUM_2 };

int packet_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum packet_event between(struct packet *p, uint8_t byte)
{
	switch (byte) {
	case '$':
		p->state = INSIDE;
		p->escape = p->too_long = false;
		p->sum = 0;
		p->n = 0;
		return PACKET_NOTHING;
	case 3:
		return PACKET_INTERRUPT;
	case '-':
		return PACKET_RESEND;
	default:
		return PACKET_NOTHING;
	}
}

static void inside(struct packet *p, uint8_t byte)
{
	p->sum = (uint8_t)(p->sum + byte);
	if (byte == '}' && !p->escape) {
		p->escape = true;
		return;
	}
	if (p->n < PACKET_BYTES)
		p->data[p->n++] = (char)(p->escape ? byte ^ 0x20 : byte);
	else
		p->too_long = true;
	p->escape = false;
}

static enum packet_event end(struct packet *p, uint8_t byte)
{
	int low = packet_digit((char)byte);

	p->state = BETWEEN;
	p->data[p->n] = '\0';
	return low < 0 || p->got != p->sum - low || p->too_long ? PACKET_BAD : PACKET_WHOLE;
}

enum packet_event packet_byte(struct packet *p, uint8_t byte)
{
	int high;

	switch (p->state) {
	case BETWEEN:
		return between(p, byte);
	case INSIDE:
		if (byte == '#' && !p->escape)
			p->state = SUM_1;
		else if (byte == '$' && !p->escape) /* the one before was cut off */
			return between(p, byte);
		else
			inside(p, byte);
		return PACKET_NOTHING;
	case SUM_1:
		high = packet_digit((char)byte);
		p->got = (uint8_t)((unsigned)high << 4);
		p->state = high < 0 ? BETWEEN : SUM_2;
		return high < 0 ? PACKET_BAD : PACKET_NOTHING;
	default:
		return end(p, byte);
	}
}

size_t packet_frame(const char *data, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t sum = 0;
	size_t to = 0;

	out[to++] = '$';
	for (size_t i = 0; i < n; i++) {
		char c = data[i];

		if (c == '$' || c == '#' || c == '}' || c == '*') {
			out[to++] = '}';
			sum = (uint8_t)(sum + '}');
			c ^= 0x20;
		}
		out[to++] = c;
		sum = (uint8_t)(sum + (uint8_t)c);
	}
	out[to++] = '#';
	out[to++] = digits[sum >> 4];
	out[to++] = digits[sum & 15];
	return to;
}

bool packet_hex(const char **at, uint64_t *out)
{
	unsigned n = 0;

	*out = 0;
	for (; packet_digit(**at) >= 0; (*at)++, n++) {
		if (*out >> 60)
			return false;
		*out = *out << 4 | (uint64_t)packet_digit(**at);
	}
	return n != 0;
}

size_t packet_hex_bytes(const char *text, uint8_t *out, size_t most)
{
	size_t n = 0;

	while (n < most && packet_digit(text[0]) >= 0 && packet_digit(text[1]) >= 0) {
		out[n++] = (uint8_t)(packet_digit(text[0]) << 4 | packet_digit(text[1]));
		text += 2;
	}
	return n;
}
