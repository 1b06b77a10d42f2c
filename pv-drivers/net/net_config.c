/* SPDX-License-Identifier: MIT */
#include "pv-drivers/net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of --net.  Commas separate; ",," is one comma of the value, as in QEMU. */

static int bad(struct net_error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int bad(struct net_error *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* The next word of *p, commas undone, allocated; NULL: no memory. */
static char *next_word(const char **p)
{
	char *word = malloc(strlen(*p) + 1), *to = word;

	if (!word)
		return NULL;
	while (**p) {
		if (**p == ',' && (*p)[1] != ',') {
			(*p)++;
			break;
		}
		*p += **p == ',';
		*to++ = *(*p)++;
	}
	*to = '\0';
	return word;
}

static bool parse_port(const char *text, size_t len, uint16_t *port)
{
	unsigned v = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || v > 65535)
			return false;
		v = v * 10 + (unsigned)(text[i] - '0');
	}
	*port = (uint16_t)v;
	return len && v && v <= 65535;
}

/* [ADDR]:PORT of exactly len bytes */
static bool parse_end(const char *text, size_t len, uint32_t *addr, uint16_t *port)
{
	const char *colon = memchr(text, ':', len);
	char ip[INET_ADDRSTRLEN];
	struct in_addr in = {0};
	size_t n;

	if (!colon)
		return false;
	n = (size_t)(colon - text);
	if (n >= sizeof(ip))
		return false;
	memcpy(ip, text, n);
	ip[n] = '\0';
	if (n && inet_pton(AF_INET, ip, &in) != 1)
		return false;
	*addr = ntohl(in.s_addr);
	return parse_port(colon + 1, len - n - 1, port);
}

static int parse_forward(const char *value, struct net_config *out, struct net_error *err)
{
	struct net_forward f = {0};
	const char *rest, *dash;

	if (out->n_forwards == NET_MAX_FORWARDS)
		return bad(err, "more than %d hostfwd=", NET_MAX_FORWARDS);
	f.udp = strncmp(value, "udp:", 4) == 0;
	rest = value + 4;
	if (!f.udp && strncmp(value, "tcp:", 4) != 0)
		return bad(err, "hostfwd=%s: begins with neither tcp: nor udp:", value);
	dash = strchr(rest, '-');
	if (!dash || !parse_end(rest, (size_t)(dash - rest), &f.host_addr, &f.host_port) ||
	    !parse_end(dash + 1, strlen(dash + 1), &f.guest_addr, &f.guest_port))
		return bad(err, "hostfwd=%s: is not tcp|udp:[ADDRESS]:PORT-[ADDRESS]:PORT (IPv4, ports 1 to 65535)",
			   value);
	out->forward[out->n_forwards++] = f;
	return 0;
}

static int parse_mac(const char *value, struct net_config *out, struct net_error *err)
{
	unsigned b[6];
	int end = 0;

	if (strlen(value) != 17 || strspn(value, "0123456789abcdefABCDEF:") != 17 ||
	    sscanf(value, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 6 ||
	    end != 17)
		return bad(err, "mac=%s: is not six hexadecimal bytes with colons", value);
	for (int i = 0; i < 6; i++)
		out->mac[i] = (uint8_t)b[i];
	if (out->mac[0] & 1)
		return bad(err, "mac=%s: is a group address (the first byte is odd)", value);
	if (!(b[0] | b[1] | b[2] | b[3] | b[4] | b[5]))
		return bad(err, "mac=%s: is no address", value);
	out->has_mac = true;
	return 0;
}

static int parse_hostname(const char *value, struct net_config *out, struct net_error *err)
{

	size_t n = strlen(value);

	if (!n || n > 32 || strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != n)
		return bad(err, "hostname=%s: is not a name of 1 to 32 letters, digits, '-' and '.'", value);
	free((char *)out->hostname);
	out->hostname = strdup(value);
	return out->hostname ? 0 : bad(err, "out of memory");
}

static int parse_kind(const char *word, struct net_config *out, struct net_error *err)
{
	if (strcmp(word, "none") == 0) {
		out->kind = NET_NONE;
	} else if (strcmp(word, "user") == 0) {
		out->kind = NET_USER;
	} else if (strncmp(word, "socket=", 7) == 0) {
		if (!word[7])
			return bad(err, "socket=: a path is missing");
		out->kind = NET_SOCKET;
		out->path = strdup(word + 7);
		if (!out->path)
			return bad(err, "out of memory");
	} else {
		return bad(err, "'%s' is none of user, none, socket=PATH", word);
	}
	return 0;
}

static int parse_word(const char *w, struct net_config *out, struct net_error *err)
{

	if (strncmp(w, "mac=", 4) == 0)
		return parse_mac(w + 4, out, err);
	if (strncmp(w, "hostfwd=", 8) == 0)
		return out->kind == NET_USER ? parse_forward(w + 8, out, err)
					     : bad(err, "hostfwd= goes with user only");
	if (strncmp(w, "hostname=", 9) == 0)
		return out->kind == NET_USER ? parse_hostname(w + 9, out, err)
					     : bad(err, "hostname= goes with user only");
	return bad(err, "'%s' is not known here (%smac=)", w, out->kind == NET_USER ? "hostfwd=, hostname=, " : "");
}

int net_config_parse(const char *text, struct net_config *out, struct net_error *err)
{
	const char *p = text;
	bool first = true;
	int e = 0;

	*out = (struct net_config){0};
	do {
		char *word = next_word(&p);

		if (!word)
			e = bad(err, "out of memory");
		else
			e = first ? parse_kind(word, out, err) : parse_word(word, out, err);
		free(word);
		first = false;
	} while (!e && *p);
	if (!e && p > text && p[-1] == ',' && (p - text < 2 || p[-2] != ','))
		e = bad(err, "'%s' ends with a comma", text);
	if (e)
		net_config_free(out);
	return e;
}

void net_config_free(struct net_config *cfg)
{
	free((char *)cfg->path);
	free((char *)cfg->hostname);
	cfg->path = cfg->hostname = NULL;
}
