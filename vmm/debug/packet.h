/* SPDX-License-Identifier: MIT */
#ifndef VMM_DEBUG_PACKET_H
#define VMM_DEBUG_PACKET_H

/*
 * Packets of gdb's remote protocol: $DATA#SUM, '}' before a byte that is 0x20 off, '+' and '-' for acknowledgement, 0x03 between
 * packets.  What comes is not trusted.
 */
#include "base/panic.h"
#include "base/types.h"

enum { PACKET_BYTES = 16384 };

enum packet_event {
	PACKET_NOTHING,
	PACKET_WHOLE,     /* data[0..n), a NUL behind it */
	PACKET_BAD,       /* its sum is wrong, or it is too long: '-' is the answer */
	PACKET_INTERRUPT, /* 0x03 */
	PACKET_RESEND,    /* '-': the last answer did not arrive */
};

struct packet {
	int state;
	bool escape, too_long;
	uint8_t sum, got;
	size_t n;
	char data[PACKET_BYTES + 1];
};

/* The next byte that came. All zeroes at first. */
enum packet_event packet_byte(struct packet *p, uint8_t byte);
/* As it is sent, in out[2 n + 4]: how many bytes. */
size_t packet_frame(const char *data, size_t n, char *out);

/* -1: no such digit. */
int packet_digit(char c);
/* "1f" and the like from *at on, which goes behind it; false: none, or more than 64 bits. */
bool packet_hex(const char **at, uint64_t *out);
/* Two digits each, at most most bytes: how many; stops where it ends. */
size_t packet_hex_bytes(const char *text, uint8_t *out, size_t most);

#endif
