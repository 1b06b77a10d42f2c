/* SPDX-License-Identifier: MIT */
/* Packets of gdb's remote protocol, whole and damaged. */
#include "vmm/debug/packet.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct packet packet;

/* The last event of these bytes. */
static enum packet_event hear(const char *bytes, size_t n)
{
	enum packet_event last = PACKET_NOTHING;

	for (size_t i = 0; i < n; i++) {
		enum packet_event e = packet_byte(&packet, (uint8_t)bytes[i]);

		last = e == PACKET_NOTHING ? last : e;
	}
	return last;
}

#define HEAR(text) hear(text, sizeof(text) - 1)

Test(debug_packet, whole_and_damaged)
{
	cr_assert_eq(HEAR("$g#67"), PACKET_WHOLE);
	cr_assert_str_eq(packet.data, "g");
	cr_assert_eq(HEAR("+$#00"), PACKET_WHOLE);
	cr_assert_eq(packet.n, 0);
	cr_assert_eq(HEAR("$g#68"), PACKET_BAD);
	cr_assert_eq(HEAR("$g#6z"), PACKET_BAD);
	cr_assert_eq(HEAR("$g#z"), PACKET_BAD);
	cr_assert_eq(HEAR("-"), PACKET_RESEND);
	cr_assert_eq(HEAR("\3"), PACKET_INTERRUPT);
	/* what was cut off is forgotten when another one begins */
	cr_assert_eq(HEAR("$m80$g#67"), PACKET_WHOLE);
	cr_assert_str_eq(packet.data, "g");
	/* 0x03 inside is a byte like others */
	cr_assert_eq(HEAR("$\3#03"), PACKET_WHOLE);
	cr_assert_eq(packet.data[0], 3);
}

Test(debug_packet, no_longer_than_it_may_be)
{
	static char long_one[PACKET_BYTES + 16];
	uint8_t sum = 0;
	size_t n = 0;

	for (int over = 0; over < 2; over++) {
		char tail[4];

		n = 0;
		sum = 0;
		long_one[n++] = '$';
		for (int i = 0; i < PACKET_BYTES + over; i++) {
			long_one[n++] = 'a';
			sum = (uint8_t)(sum + 'a');
		}
		cr_assert_eq(hear(long_one, n), PACKET_NOTHING);
		snprintf(tail, sizeof(tail), "#%02x", sum);
		cr_assert_eq(hear(tail, 3), over ? PACKET_BAD : PACKET_WHOLE);
	}
}

Test(debug_packet, every_byte_comes_back)
{
	char data[256], out[2 * 256 + 4];
	size_t n;

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (char)i;
	n = packet_frame(data, sizeof(data), out);
	cr_assert_eq(hear(out, n), PACKET_WHOLE);
	cr_assert_eq(packet.n, sizeof(data));
	cr_assert_eq(memcmp(packet.data, data, sizeof(data)), 0);
}

Test(debug_packet, numbers)
{
	const char *at = "1fG";
	uint8_t bytes[2];
	uint64_t x;

	cr_assert(packet_hex(&at, &x));
	cr_assert_eq(x, 0x1f);
	cr_assert_eq(*at, 'G');
	cr_assert_not(packet_hex(&at, &x));
	at = "ffffffffffffffff";
	cr_assert(packet_hex(&at, &x));
	cr_assert_eq(x, UINT64_MAX);
	at = "10000000000000000";
	cr_assert_not(packet_hex(&at, &x));
	cr_assert_eq(packet_hex_bytes("0aFf1", bytes, 2), 2);
	cr_assert_eq(bytes[1], 0xff);
	cr_assert_eq(packet_hex_bytes("0a1", bytes, 2), 1);
}
