/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pv-drivers/net/net.h"

static struct net_config good(const char *text)
{
	struct net_config c;
	struct options_error err = {""};

	cr_assert_eq(net_config_parse(text, &c, &err), 0, "%s: %s", text, err.text);
	return c;
}

/* Refused, with a line that names what is wrong. */
static void bad(const char *text, const char *names)
{
	struct net_config c;
	struct options_error err = {""};

	cr_assert_eq(net_config_parse(text, &c, &err), -EINVAL, "%s", text);
	cr_assert_not_null(strstr(err.text, names), "'%s': the line is '%s', without '%s'", text, err.text, names);
	cr_assert_null(strchr(err.text, '\n'));
	cr_assert_null(c.path, "nothing is left to free");
	cr_assert_null(c.hostname);
	cr_assert_null(c.lan);
}

Test(net_config, kinds)
{
	struct net_config c = good("user");

	cr_assert_eq(c.kind, NET_USER);
	cr_assert_eq(c.n_forwards, 0);
	cr_assert_not(c.has_mac);
	net_config_free(&c);
	c = good("none");
	cr_assert_eq(c.kind, NET_NONE);
	net_config_free(&c);
	c = good("socket=/tmp/a,,b,mac=02:00:5E:10:00:ff");
	cr_assert_eq(c.kind, NET_SOCKET);
	cr_assert_str_eq(c.path, "/tmp/a,b", "two commas are one of the value");
	cr_assert(c.has_mac);
	cr_assert_arr_eq(c.mac, "\x02\x00\x5e\x10\x00\xff", 6);
	net_config_free(&c);
	c = good("socket=x,,");
	cr_assert_str_eq(c.path, "x,");
	net_config_free(&c);
}

Test(net_config, forwards)
{
	struct net_config c = good("user,hostfwd=tcp::5555-:22,hostfwd=udp:127.0.0.1:53-10.0.2.16:5353,hostname=box-1");

	cr_assert_eq(c.n_forwards, 2);
	cr_assert_not(c.forward[0].udp);
	cr_assert_eq(c.forward[0].host_addr, 0x7f000001, "the loopback, unless one is given");
	cr_assert_eq(c.forward[0].host_port, 5555);
	cr_assert_eq(c.forward[0].guest_addr, 0);
	cr_assert_eq(c.forward[0].guest_port, 22);
	cr_assert(c.forward[1].udp);
	cr_assert_eq(c.forward[1].host_addr, 0x7f000001);
	cr_assert_eq(c.forward[1].guest_addr, 0x0a000210);
	cr_assert_eq(c.forward[1].guest_port, 5353);
	cr_assert_str_eq(c.hostname, "box-1");
	net_config_free(&c);
	c = good("user,hostfwd=tcp:0.0.0.0:5555-:22,hostfwd=udp:192.0.2.7:5555-:22");
	cr_assert_eq(c.forward[0].host_addr, 0, "all of them");
	cr_assert_eq(c.forward[1].host_addr, 0xc0000207);
	net_config_free(&c);
}

Test(net_config, reach)
{
	struct net_config c = good("user");

	cr_assert(!c.restricted && !c.host_loopback);
	net_config_free(&c);
	c = good("user,restrict=on,hostfwd=tcp::1-:2");
	cr_assert(c.restricted && !c.host_loopback);
	net_config_free(&c);
	c = good("user,host-loopback=on");
	cr_assert(!c.restricted && c.host_loopback);
	net_config_free(&c);
	c = good("user,restrict=on,restrict=off,host-loopback=on,host-loopback=off,host-loopback=on");
	cr_assert(!c.restricted && c.host_loopback, "the last one counts");
	net_config_free(&c);
	bad("user,restrict=", "restrict=: must be on or off");
	bad("user,restrict=yes", "restrict=yes");
	bad("user,restrict", "restrict");
	bad("user,host-loopback=1", "host-loopback=1");
	bad("user,host-loopback=on,restrict=on", "does not go with");
	bad("none,restrict=on", "user only");
	bad("socket=/x,host-loopback=off", "user only");
}

Test(net_config, lan)
{
	struct net_config c = good("lan");

	cr_assert_eq(c.kind, NET_LAN);
	cr_assert_null(c.lan, "the one without a name");
	cr_assert_eq(c.mtu, 65535);
	cr_assert_not(c.gateway);
	net_config_free(&c);
	c = good("lan=back-1.x,mtu=1500,mac=02:00:00:00:00:01");
	cr_assert_eq(c.kind, NET_LAN);
	cr_assert_str_eq(c.lan, "back-1.x");
	cr_assert_eq(c.mtu, 1500);
	cr_assert(c.has_mac);
	net_config_free(&c);
	c = good("lan,hostfwd=tcp::2222-10.0.2.16:22,restrict=on,gateway=on");
	cr_assert(c.gateway && c.restricted);
	cr_assert_eq(c.n_forwards, 1);
	net_config_free(&c);
	bad("lan=", "lan=: is not a name");
	bad("lan=a b", "lan=a b: is not a name");
	bad("lan=123456789012345678901234567890123", "is not a name");
	bad("lan,gateway", "'gateway': must be");
	bad("lan,gateway=yes", "gateway=yes: must be on or off");
	bad("lan,mtu=67", "mtu=67: must be from 68 to 65535");
	bad("lan,mtu=65536", "mtu=65536: must be from 68 to 65535");
	bad("lan,mtu=1k", "mtu=1k");
	bad("lan,hostfwd=tcp::1-:2", "gateway=on");
	bad("lan,gateway=off,restrict=on", "gateway=on");
	bad("lan=x,host-loopback=on", "gateway=on");
	bad("lan,gateway=on,restrict=on,host-loopback=on", "does not go with");
	bad("lan,hostname=a", "user only");
	bad("user,gateway=on", "lan only");
	bad("user,mtu=1500", "lan only");
	bad("socket=/x,mtu=1500", "lan only");
}

Test(net_config, refuses)
{
	static const char *forwards[] = {
	    "",           "tcp",        "sctp::1-:2", "tcp:1-:2",           "tcp::1",
	    "tcp::1-",    "tcp::1-2",   "tcp::0-:2",  "tcp::65536-:2",      "tcp::99999999999999999999-:2",
	    "tcp::+1-:2", "tcp:: 1-:2", "tcp::1-:2x", "tcp:256.0.0.1:1-:2", "tcp:localhost:1-:2",
	    "tcp::1:1-:2"};
	char text[256];

	bad("", "'': is empty; must be user, lan, lan=, socket= or none");
	bad("bridge", "'bridge'");
	bad("User", "'User'");
	bad("user ", "'user '");
	bad("user,", "'': is empty");
	bad("socket=", "path");
	bad("socket", "'socket'");
	bad("user,colour=red",
	    "'colour=red': must be mac=, gateway=, mtu=, hostfwd=, restrict=, host-loopback= or hostname=");
	bad("user,,mac=02:00:00:00:00:01", "'user,mac=");
	bad("none,hostfwd=tcp::1-:2", "user only");
	bad("socket=/x,hostfwd=tcp::1-:2", "user only");
	bad("socket=/x,hostname=a", "user only");
	bad("user,hostname=", "hostname=");
	bad("user,hostname=a b", "hostname=a b");
	for (size_t i = 0; i < ARRAY_LEN(forwards); i++) {
		snprintf(text, sizeof(text), "user,hostfwd=%s", forwards[i]);
		bad(text, "hostfwd=");
	}
}

Test(net_config, refuses_macs)
{
	bad("none,mac=", "mac=");
	bad("none,mac=02:00:00:00:00", "six");
	bad("none,mac=02:00:00:00:00:0", "six");
	bad("none,mac=02:00:00:00:00:0g", "six");
	bad("none,mac=02-00-00-00-00-01", "six");
	bad("none,mac=02:00:00:00:0001:", "six");
	bad("none,mac=02:00:00:00:00:01:02", "six");
	bad("none,mac=03:00:00:00:00:01", "group");
	bad("none,mac=00:00:00:00:00:00", "no address");
}

Test(net_config, bounds_forwards)
{
	char text[1024] = "user";
	struct net_config c;

	for (int i = 0; i < NET_MAX_FORWARDS; i++)
		snprintf(text + strlen(text), 64, ",hostfwd=tcp::%d-:22", 4000 + i);
	c = good(text);
	cr_assert_eq(c.n_forwards, NET_MAX_FORWARDS);
	net_config_free(&c);
	strcat(text, ",hostfwd=tcp::5000-:22");
	bad(text, "more than");
}
