#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest behind --net user: DHCP, DNS, transfers both ways, many connections, large datagrams, forwarded ports.
set -u
. "$(dirname "$0")/lib.sh"
need python3
for f in "$KERNEL" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
mib=40 connections=100
[ "${DISCO_TEST_LENGTH:-short}" != long ] || { mib=200 connections=1000; }

disco=("$DISCO" run --kernel "$KERNEL" --initrd "$INITRD")

# guest NET SCRIPT: its standard output in $work/out; standard error in $work/err
guest() {
	timeout 300 "${disco[@]}" --net "$1" -- sh -c "$2" </dev/null >"$work/out" 2>"$work/err"
}
# expect WHAT REGEX: some line of the guest's output
expect() { grep -qE "$2" "$work/out" || fail "$1: no '$2' in: $(tail -n 5 "$work/out" "$work/err")"; }

mkfifo "$work/stay" "$work/ports"
exec 9<>"$work/stay"
tests/system/net_host.py serve $mib <"$work/stay" >"$work/ports" &
server=$!
read -r source sink echo <"$work/ports"
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
sum=$(tests/system/net_host.py sum $mib)

guest user '[ -e /sys/class/net/eth0 ] && echo there'
grep -q there "$work/out" || {
	echo "the initramfs has no driver for the card: $(tail -n 2 "$work/err")"
	exit 77
}

guest user,hostname=box,mac=02:00:5e:00:53:01 '
	cat /sys/class/net/eth0/address
	printf "#!/bin/sh\n[ \$1 = bound ] && echo dhcp \$ip \$subnet \$router \$dns \$hostname\n" >/tmp/dhcp
	chmod +x /tmp/dhcp
	udhcpc -i eth0 -n -q -s /tmp/dhcp
	ping -c 3 10.0.2.2
	ping -c 2 -s 20000 10.0.2.2'
expect 'the card' '^02:00:5e:00:53:01$'
expect DHCP '^dhcp 10.0.2.15 255.255.255.0 10.0.2.2 10.0.2.3 box$'
expect 'ping' '^3 packets transmitted, 3 packets received'
expect 'ping in fragments' '^2 packets transmitted, 2 packets received'

# The source to the guest, and from there to the sink; then connections one after another.
guest user,host-loopback=on "
	wget -q -O - http://10.0.2.2:$source/ | sha256sum
	wget -q -O - http://10.0.2.2:$source/ | nc 10.0.2.2 $sink | sed 's/^/sent /'
	n=0
	for i in \$(seq $connections); do
		[ \"\$(echo line \$i | nc 10.0.2.2 $echo)\" = \"line \$i\" ] && n=\$((n + 1))
	done
	echo connections \$n
	nc 10.0.2.2 1 </dev/null && echo refused port answers"
expect 'to the guest' "^$sum  -$"
expect 'from the guest' "^sent $sum$"
expect 'connections' "^connections $connections$"
! grep -q 'answers' "$work/out" || fail "a port where nobody listens"
! grep -q "disco run" "$work/err" || fail "something on standard error: $(cat "$work/err")"

# The host's loopback is not the guest's: by its gateway, by the name server, by a route that the guest makes; refused at
# once, and the user is told once.  The gateway itself is there.
# shellcheck disable=SC2016
loopback='
	t0=$(cut -d. -f1 /proc/uptime)
	for a in 10.0.2.2 10.0.2.3 10.0.2.200; do
		echo line | nc -w 15 $a PORT 2>&1 | sed "s/^/$a: /"
	done
	ip route del local 127.0.0.0/8 dev lo table local
	ip route del local 127.0.0.1 dev lo table local
	ip route add 127.0.0.0/24 via 10.0.2.2 dev eth0 src 10.0.2.15 table local
	echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
	ip route get 127.0.0.1
	echo line | nc -w 15 127.0.0.1 PORT 2>&1 | sed "s/^/127.0.0.1: /"
	[ $(($(cut -d. -f1 /proc/uptime) - t0)) -lt 20 ] && echo soon
	ping -c 1 10.0.2.2'
guest user "${loopback//PORT/$echo}"
[ "$(grep -c "^1[0-9.]*: nc: .*No route to host$" "$work/out")" = 4 ] || fail "the host's loopback by default: $(cat "$work/out")"
expect 'refused, not waited for' '^soon$'
expect 'the gateway' '^1 packets transmitted, 1 packets received'
expect 'a route to the card' '^127.0.0.1 via 10.0.2.2'
[ "$(grep -c host-loopback=on "$work/err")" = 1 ] || fail "the user is not told once: $(cat "$work/err")"
guest user,host-loopback=on "${loopback//PORT/$echo}"
expect 'host-loopback=on' '^10.0.2.2: line$'

# restrict=on: DHCP and the gateway's ping, and nothing else.
guest user,restrict=on,mac=02:00:5e:00:53:01 "
	printf '#!/bin/sh\n[ \$1 = bound ] && echo dhcp \$ip\n' >/tmp/dhcp
	chmod +x /tmp/dhcp
	udhcpc -i eth0 -n -q -s /tmp/dhcp
	ping -c 1 10.0.2.2
	nslookup localhost 10.0.2.3 2>&1 | tail -n 1 | sed 's/^/dns: /'
	${loopback//PORT/$echo}"
expect 'restrict=on: DHCP' '^dhcp 10.0.2.15$'
expect 'restrict=on: ping' '^1 packets transmitted, 1 packets received'
[ "$(grep -c "^1[0-9.]*: nc: .*No route to host$" "$work/out")" = 4 ] || fail "the host's loopback with restrict=on: $(cat "$work/out")"
! grep -qE 'dns: .*(127.0.0.1|NXDOMAIN)' "$work/out" || fail "restrict=on: DNS: $(grep dns "$work/out")"
! grep -q 'disco run' "$work/err" || fail "restrict=on: something on standard error: $(cat "$work/err")"

# DNS: whatever the host's resolver says of a name that cannot be, 10.0.2.3 has to hand on.
resolver=$(sed -n 's/^nameserver //p' /etc/resolv.conf 2>/dev/null | head -n 1)
if [ -n "$resolver" ] && python3 - "$resolver" <<'END'; then
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\7invalid\0\0\1\0\1", (sys.argv[1], 53))
try:
    s.recv(512)
except OSError:
    sys.exit(1)
END
	guest user 'nslookup invalid 10.0.2.3'
	expect DNS 'Server:.*10.0.2.3|NXDOMAIN|find invalid'
	! grep -q 'timed out' "$work/out" "$work/err" || fail "DNS: $(tail -n 2 "$work/out")"
else
	echo "skipped: DNS (the host's resolver does not answer)"
fi

# A server in the guest, reached from outside; the port is taken while it runs.
# Without an address that is on 127.0.0.1 only: 127.0.0.2 stands for the host's others.  With restrict=on too.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }
port=$(free_port) all=$(free_port)
forward=hostfwd=tcp::$port-:80
# The file is as long as the guest's memory has room for.
timeout 300 "${disco[@]}" --net "user,restrict=on,$forward,hostfwd=tcp:0.0.0.0:$all-:80" -- sh -c "
	mkdir /tmp/w
	head -c 30000000 /dev/urandom >/tmp/w/f
	sha256sum /tmp/w/f
	httpd -f -p 80 -h /tmp/w &
	echo serving
	nc -l -p 81 >/dev/null" </dev/null >"$work/serve" 2>"$work/err" &
machine=$!
for ((i = 0; i < 600; i++)); do
	grep -q serving "$work/serve" && break
	kill -0 $machine 2>/dev/null || break
	sleep 0.2
done
sleep 1
got=$(tests/system/net_host.py fetch "$port" 5) || fail "a forwarded port: $(cat "$work/serve" "$work/err")"
[ "$got" = "$(sed -n 's/  .*f$//p' "$work/serve")" ] || fail "a forwarded port: $got, not $(cat "$work/serve")"
for try in "127.0.0.1 $all open" "127.0.0.2 $all open" "127.0.0.1 $port open" "127.0.0.2 $port refused"; do
	read -r address at want <<<"$try"
	got=$(tests/system/net_host.py connect "$address" "$at")
	[ "$got" = "$want" ] || fail "a forwarded port: $address:$at is $got, not $want"
done
timeout 60 "${disco[@]}" --net "user,$forward" -- true </dev/null >"$work/out" 2>"$work/err"
status=$?
[ $status -ne 0 ] || fail "a port that is taken: status 0"
grep -qE "hostfwd=.*$port.*in use" "$work/err" || fail "a port that is taken: '$(cat "$work/err")'"
kill $machine
wait $machine 2>/dev/null

guest none 'cat /sys/class/net/eth0/carrier 2>/dev/null || echo carrier down'
expect 'none' '^0$|^carrier down$'
finish
