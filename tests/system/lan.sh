#!/bin/bash
# SPDX-License-Identifier: MIT
# Machines of one command on a lan (--net lan): they find each other, carry files both ways, send 64 KiB in one piece, and reach
# the host through the gateway that one asks for; what is on a lan of its own hears nothing.
set -u
. "$(dirname "$0")/lib.sh"
need python3
for f in "$KERNEL" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
n=3 mib=10
[ "${DISCO_TEST_LENGTH:-short}" != long ] || { n=8 mib=50; }
disco=("$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --mem 96M --vms "$n")

mkfifo "$work/stay" "$work/ports"
exec 9<>"$work/stay"
tests/system/net_host.py serve $mib <"$work/stay" >"$work/ports" &
server=$!
read -r source _ <"$work/ports"
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
sum=$(tests/system/net_host.py sum $mib)

# expect N REGEX: a line of machine N's output
expect() { grep -qE "^vm$1\| $2" "$work/out" || fail "machine $1: no '$2' in: $(grep "^vm$1|" "$work/out" | tail -n 20) $(tail -n 3 "$work/err")"; }
# has N NAME: what machine N says after NAME
has() { sed -n "s/^vm$1| $2 //p" "$work/out"; }

# Each machine serves a file and takes those of the others, all at once; a machine ends when all others have what they want.
timeout 500 "${disco[@]}" --net lan,gateway=on,host-loopback=on --net 'lan=own{n}' --stats="$work/stats{n}" -- sh -c "
	[ -e /sys/class/net/eth1 ] || { echo no card; exit; }
	cd /tmp; mkdir w; head -c ${mib}000000 /dev/urandom >w/f; sha256sum <w/f | sed 's/^/own /'
	# an initramfs with our modules: it has an MTU of its own
	[ ! -d /sys/bus/virtio/drivers/disco_net ] || ip link set eth0 mtu 65535
	cat /sys/class/net/eth0/mtu | sed 's/^/mtu /'
	echo 0 >/proc/sys/net/ipv4/icmp_echo_ignore_broadcasts
	httpd -p 80 -h /tmp/w
	others=; for k in \$(seq $n); do [ \$k = {n} ] || others=\"\$others \$k\"; done
	for k in \$others; do until wget -q -O /dev/null http://10.0.2.10\$k/f 2>/dev/null; do sleep 0.3; done; done
	touch w/all-here
	for k in \$others; do until wget -q -O /dev/null http://10.0.2.10\$k/all-here 2>/dev/null; do sleep 0.3; done; done
	for k in \$others; do
		wget -q -O - http://10.0.2.10\$k/f | sha256sum | sed \"s/^/from \$k /\" &
	done
	wait
	to=\${others##* }
	ping -c 4 -s 65000 10.0.2.10\$to | sed -n 's/^4 packets transmitted, /large /p'
	sed -n 's/^Ip: [0-9].* /fragments /p' /proc/net/snmp
	ping -c 3 -w 20 10.0.2.255 | sed -n 's/^64 bytes from \\(.*\\): .*/all \\1/p' | sort -u
	ping -c 2 10.0.2.2 | sed -n 's/^2 packets transmitted, /gateway /p'
	wget -q -O - http://10.0.2.2:$source/ | sha256sum | sed 's/^/outside /'
	arping -c 3 -w 3 -I eth1 10.0.2.10\$to >/dev/null 2>&1
	echo alone \$(cat /sys/class/net/eth1/statistics/rx_packets) \$((\$(cat /sys/class/net/eth1/statistics/tx_packets) > 2))
	touch w/done
	for k in \$others; do
		while ! wget -q -T 3 -O /dev/null http://10.0.2.10\$k/done 2>/dev/null &&
			wget -q -T 3 -O /dev/null http://10.0.2.10\$k/all-here 2>/dev/null; do sleep 0.3; done
	done
	echo end" </dev/null >"$work/out" 2>"$work/err"
status=$?
! grep -q 'no card' "$work/out" || {
	echo "the initramfs has no driver for the card"
	exit 77
}
[ $status = 0 ] || fail "status $status: $(tail -n 5 "$work/err")"
[ ! -s "$work/err" ] || fail "something on standard error: $(cat "$work/err")"
for i in $(seq $n); do
	expect "$i" 'end$'
	expect "$i" 'mtu 65535$'
	expect "$i" 'large 4 packets received'
	expect "$i" 'gateway 2 packets received'
	expect "$i" "outside $sum  -$"
	# Its own broadcasts, and no frame of the others'.
	expect "$i" 'alone 0 1$'
	expect "$i" 'fragments 0$'
	for k in $(seq $n); do
		[ "$i" = "$k" ] && continue
		expect "$i" "from $k $(has "$k" own)"
		expect "$i" "all 10.0.2.10$k$"
	done
done

# What is sent is received, or counted as lost.
python3 - "$n" "$mib" "$work/stats" <<'END' || fail "--stats"
import json, sys
n, mib, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
cards = []
for i in range(1, n + 1):
    devices = json.load(open(path + str(i)))["devices"]
    net = [d["net"] for d in devices if d["virtio_id"] == 1]
    assert len(net) == 2 and all("net" not in d for d in devices if d["virtio_id"] != 1)
    cards += net[:1]
    assert net[1]["rx_frames"] == 0 and net[1]["tx_frames"] > 0 and net[1]["tx_dropped"] == net[1]["tx_frames"], net[1]
mapped = sum(c["payload_mapped"] for c in cards) # neither side copies it
for c in cards:
    assert c["rx_bytes"] > n * mib * 1000000 and c["tx_bytes"] > (n - 1) * mib * 1000000, c
    assert c["copied_bytes"] + c["payload_mapped"] + mapped >= c["rx_bytes"] + (c["tx_bytes"] if not c["tx_dropped"] else 0), c
    assert c["tx_bad"] == c["rx_bad"] == c["rx_too_long"] == 0, c
    assert c["rx_frames"] < c["rx_bytes"] / 4000, "large segments were cut up: %s" % c
END

# A run that is to be repeated: what goes over the lan is part of it.
# shellcheck disable=SC2016
for i in 1 2; do
	timeout 300 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --mem 64M --icount --vms 2 --net lan -- sh -c '
		ip addr add 10.9.0.{n}/24 dev eth0; other=10.9.0.$((3 - {n})); httpd -p 80 -h /bin
		sleep 2; ping -c 2 $other | grep transmitted; wget -q -O - http://$other/busybox | sha256sum; sleep 2' \
		</dev/null >"$work/icount$i" 2>&1 || fail "--icount: $(cat "$work/icount$i")"
	grep -E 'received|  -$|state' "$work/icount$i" | sort >"$work/sorted$i"
done
[ "$(grep -c '2 packets received' "$work/sorted1")" = 2 ] && [ "$(grep -c '  -$' "$work/sorted1")" = 2 ] ||
	fail "--icount: $(cat "$work/icount1")"
[ "$(grep -c ' state ' "$work/sorted1")" = 2 ] && cmp "$work/sorted1" "$work/sorted2" || fail "--icount, twice: $(cat "$work/sorted1" "$work/sorted2")"

# A port of the host's for each machine: it leads to the one that asks for it.
base=$((2000 + RANDOM % 3000))
timeout 200 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --mem 64M --vms 2 --net "lan,gateway=on,hostfwd=tcp::${base}{n}-:81" -- sh -c '
	while ! echo hello {n} | timeout 100 nc -l -p 81 | grep -q host; do :; done; echo end' </dev/null >"$work/out" 2>"$work/err" &
pid=$!
for i in 1 2; do
	timeout 150 python3 - "$base$i" "hello $i" <<'END' || fail "port of machine $i"
import socket, sys, time
for _ in range(500):
    try:
        s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
        s.settimeout(5)
        s.sendall(b"host\n")
        s.shutdown(socket.SHUT_WR)
        got = s.makefile().read().strip()
        if got:
            sys.exit(0 if got == sys.argv[2] else "not '%s', but '%s'" % (sys.argv[2], got))
    except OSError:
        pass
    time.sleep(0.2)
sys.exit("nobody answers")
END
done
wait $pid || fail "forwarded ports: status $?: $(cat "$work/out" "$work/err")"
expect 1 end
expect 2 end

# Who does not start says why, and is the only one.
timeout 60 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --vms 2 --net lan,mac=02:00:00:00:00:01 -- true </dev/null >"$work/out" 2>"$work/err"
status=$?
[ $status = 2 ] || fail "one address for two: status $status"
grep -q 'mac=02:00:00:00:00:01: another card of the lan has this address' "$work/err" || fail "one address for two: $(cat "$work/err")"
timeout 60 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --vms 2 --net "lan,gateway=on,hostfwd=tcp::${base}1-:{n}" -- true </dev/null >"$work/out" 2>"$work/err"
status=$?
[ $status = 2 ] || fail "one port for two: status $status"
grep -q "hostfwd=tcp:127.0.0.1:${base}1-.*in use" "$work/err" || fail "one port for two: $(cat "$work/err")"
finish
