/* SPDX-License-Identifier: MIT */
#include "pv-drivers/net/net.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of --net.  Commas separate; ",," is one comma of the value, as in QEMU. */

OPTION_TYPE(net_user, enum net_kind);
OPTION_TYPE(net_none, enum net_kind);
OPTION_TYPE(net_lan, enum net_kind);
OPTION_TYPE(net_lan_name, const char *);
OPTION_TYPE(net_socket, const char *);
OPTION_TYPE(net_mac, uint8_t[6]);
OPTION_TYPE(net_forward, struct net_forward[NET_MAX_FORWARDS]);
OPTION_TYPE(net_gateway, bool);
OPTION_TYPE(net_mtu, uint16_t);
OPTION_TYPE(net_hostname, const char *);
OPTION_TYPE(net_switch, bool);

#define NOT_A_NAME "is not a name of 1 to 32 letters, digits, '-' and '.'"

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

static int option_net_user(void *field, const struct option_value *v)
{
	*(enum net_kind *)field = NET_USER;
	return 0;
}

static int option_net_none(void *field, const struct option_value *v)
{
	*(enum net_kind *)field = NET_NONE;
	return 0;
}

/* A string of the configuration; *to: the one that it replaces, or NULL. */
static int keep(const char **to, const struct option_value *v)
{
	free((char *)*to);
	*to = strdup(v->text);
	return *to ? 0 : option_bad(v, "out of memory");
}

static int option_net_socket(void *field, const struct option_value *v)
{
	((struct net_config *)v->all)->kind = NET_SOCKET;
	return *v->text ? keep(field, v) : option_bad(v, "a path is missing");
}

static int option_net_lan(void *field, const struct option_value *v)
{
	*(enum net_kind *)field = NET_LAN;
	return 0;
}

static const char name_bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

static bool is_name(const char *text)
{
	size_t n = strlen(text);

	return n && n <= 32 && strspn(text, name_bytes) == n;
}

static int option_net_lan_name(void *field, const struct option_value *v)
{
	((struct net_config *)v->all)->kind = NET_LAN;
	return is_name(v->text) ? keep(field, v) : option_bad(v, NOT_A_NAME);
}

/* That a lan's also says gateway=on is seen at the end. */
#define NEEDS_NAT "goes with user only, and with a lan's gateway=on"
static bool has_nat(const struct net_config *c) { return c->kind == NET_USER || c->kind == NET_LAN; }

static int option_net_forward(void *field, const struct option_value *v)
{
	struct net_config *out = v->all;
	struct net_forward f = {0};
	const char *rest, *dash;

	if (!has_nat(out))
		return option_bad(v, NEEDS_NAT);
	if (out->n_forwards == NET_MAX_FORWARDS)
		return option_bad(v, "more than %d of them", NET_MAX_FORWARDS);
	f.udp = strncmp(v->text, "udp:", 4) == 0;
	rest = v->text + 4;
	if (!f.udp && strncmp(v->text, "tcp:", 4) != 0)
		return option_bad(v, "begins with neither tcp: nor udp:");
	dash = strchr(rest, '-');
	if (!dash || !parse_end(rest, (size_t)(dash - rest), &f.host_addr, &f.host_port) ||
	    !parse_end(dash + 1, strlen(dash + 1), &f.guest_addr, &f.guest_port))
		return option_bad(v, "is not tcp|udp:[ADDRESS]:PORT-[ADDRESS]:PORT (IPv4, ports 1 to 65535)");
	/* Not everybody on the network is to reach a guest whose root has no password. */
	if (*rest == ':')
		f.host_addr = INADDR_LOOPBACK;
	((struct net_forward *)field)[out->n_forwards++] = f;
	return 0;
}

static int option_net_mac(void *field, const struct option_value *v)
{
	struct net_config *out = v->all;
	uint8_t *mac = field;
	unsigned b[6];
	int end = 0;

	if (strlen(v->text) != 17 || strspn(v->text, "0123456789abcdefABCDEF:") != 17 ||
	    sscanf(v->text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 6 ||
	    end != 17)
		return option_bad(v, "is not six hexadecimal bytes with colons");
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
	if (mac[0] & 1)
		return option_bad(v, "is a group address (the first byte is odd)");
	if (!(b[0] | b[1] | b[2] | b[3] | b[4] | b[5]))
		return option_bad(v, "is no address");
	out->has_mac = true;
	return 0;
}

static int option_net_hostname(void *field, const struct option_value *v)
{
	if (((struct net_config *)v->all)->kind != NET_USER)
		return option_bad(v, "goes with user only");
	return is_name(v->text) ? keep(field, v) : option_bad(v, NOT_A_NAME);
}

static int on_off(bool *field, const struct option_value *v)
{
	int which, r = option_choice(&which, v);

	if (!r)
		*field = which == 0; /* of on|off */
	return r;
}

static int option_net_switch(void *field, const struct option_value *v)
{
	return has_nat(v->all) ? on_off(field, v) : option_bad(v, NEEDS_NAT);
}

static int option_net_gateway(void *field, const struct option_value *v)
{
	return ((struct net_config *)v->all)->kind == NET_LAN ? on_off(field, v) : option_bad(v, "goes with lan only");
}

static int option_net_mtu(void *field, const struct option_value *v)
{
	unsigned n;
	int r;

	if (((struct net_config *)v->all)->kind != NET_LAN)
		return option_bad(v, "goes with lan only");
	r = option_number(v, NET_LEAST_MTU, NET_MOST_MTU, &n);
	if (!r)
		*(uint16_t *)field = (uint16_t)n;
	return r;
}

#define ROW(...) OPTION_ROW(struct net_config, __VA_ARGS__),
static const struct option_row kinds[] = {
#define NET_KIND ROW
#define NET_KEY(...)
#include "pv-drivers/net/net_keys.def"
#undef NET_KIND
#undef NET_KEY
    OPTION_END};
static const struct option_row keys[] = {
#define NET_KIND(...)
#define NET_KEY ROW
#include "pv-drivers/net/net_keys.def"
#undef NET_KIND
#undef NET_KEY
    OPTION_END};
const struct option_row net_config_rows[] = {
#define NET_KIND ROW
#define NET_KEY  ROW
#include "pv-drivers/net/net_keys.def"
    OPTION_END};

int net_config_parse(const char *text, struct net_config *out, struct options_error *err)
{
	char *copy = strdup(text), *rest = copy;
	int e;

	*out = (struct net_config){0};
	if (!copy)
		return options_bad(err, "--net: out of memory");
	e = option_parse_key(kinds, "--net", option_next_part(&rest), out, NULL, err);
	if (!e)
		e = option_parse_keys(keys, "--net", rest, out, false, err);
	free(copy);
	if (!e && out->kind == NET_LAN && !out->gateway && (out->n_forwards || out->restricted || out->host_loopback))
		e = options_bad(err, "--net: hostfwd=, restrict= and host-loopback= of a lan go with gateway=on");
	if (!e && out->kind == NET_LAN && !out->mtu)
		out->mtu = NET_MOST_MTU;
	if (!e && out->restricted && out->host_loopback)
		e = options_bad(err, "--net: host-loopback=on does not go with restrict=on");
	if (e)
		net_config_free(out);
	return e;
}

void net_config_free(struct net_config *cfg)
{
	free((char *)cfg->path);
	free((char *)cfg->lan);
	free((char *)cfg->hostname);
	cfg->path = cfg->lan = cfg->hostname = NULL;
}
