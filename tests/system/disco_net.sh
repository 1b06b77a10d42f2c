#!/bin/bash
# SPDX-License-Identifier: MIT
# disco_net (guest/modules): a file of 64 MiB goes from machine to machine by sendfile() without one byte of it copied by the monitor;
# 64 KiB in one piece; a machine with the module and one without understand each other; without it all is as ever, and counted.
set -u
. "$(dirname "$0")/lib.sh"
. tests/system/modules_lib.sh
need clang-19 ld.lld-19 python3
have_modules || {
	echo "$why"
	exit 77
}
flags=(--target=mipsel-linux-gnu -march=mips32r2 -mabi=32 -mno-abicalls -fno-pic -G0 -O2 -std=gnu17 -ffreestanding -fno-builtin
	-fno-strict-aliasing -fno-stack-protector -Wall -Wextra -I.)
mkdir "$work/share"
clang-19 "${flags[@]}" -mfpxx -c tests/guest/send_linux.c -o "$work/send.o" && ld.lld-19 -static -o "$work/share/send" "$work/send.o" ||
	fail "send_linux.c"
mib=64

# The machines: 1 sends; both check what they can. $1: the module is to be in machine 1, 2, both or none.
cat >"$work/share/two" <<'END'
me=$1 mib=$2 with=$3
other=$((3 - me))
case $with in
both | "$me") ;;
*) ip link set eth0 down
	echo "$(basename "$(readlink -f /sys/class/net/eth0/device)")" >/sys/bus/virtio/drivers/disco_net/unbind
	for d in /sys/bus/virtio/devices/*; do
		[ "$(cat $d/device)" = 0x0001 ] && basename $d >/sys/bus/virtio/drivers/virtio_net/bind
	done
	ip link set eth0 up ;;
esac
echo "driver $(basename "$(readlink -f /sys/class/net/eth0/device/driver)")"
ip addr add 10.9.0.$me/24 dev eth0
ip link set eth0 up
cd /tmp
if [ $me = 1 ]; then
	head -c 1048576 /dev/urandom >part
	for i in $(seq "$mib"); do
		echo "$i"
		cat part
	done | head -c $((mib * 1048576)) >file
	echo "sum $(sha256sum <file)"
	/mnt/share/send file 81
else
	until nc 10.9.0.1 81 </dev/null >got 2>/dev/null && [ -s got ]; do sleep 0.2; done
	echo "sum $(sha256sum <got)"
fi
# Both are there, and nothing more of the file is under way.
until ping -c 1 -w 2 10.9.0.$other >/dev/null; do :; done
ip link set eth0 mtu 65535
sleep 1
if [ $me = 1 ]; then
	echo "large $(ping -c 3 -s 65000 10.9.0.2 | grep -c 'seq=')"
	sed -n 's/^Ip: [0-9].* /fragments /p' /proc/net/snmp
	nc -l -p 82 >/dev/null
else
	until echo end | nc 10.9.0.1 82 2>/dev/null; do sleep 0.2; done
fi
if [ -d /sys/module/disco_net ]; then
	ip link set eth0 down; rmmod disco_net && ! [ -d /sys/module/disco_net ] && echo off
	dmesg | grep -E 'BUG|Oops|WARN|disco_net:'
fi
echo end
END

# run WITH [OPTION...]
run() {
	local with=$1
	shift
	timeout 170 "$DISCO" run --kernel "$kernel" --initrd "$initrd" --mem 224M --vms 2 --net lan --share "$work/share,ro" \
		--stats="$work/$with{n}" "$@" -- sh /mnt/share/two '{n}' $mib "$with" </dev/null >"$work/out" 2>"$work/err" ||
		fail "$with: status $?: $(tail -n 5 "$work/out" "$work/err")"
	local i
	for i in 1 2; do
		grep -q "^vm$i| end$" "$work/out" || fail "$with: machine $i: $(tail -n 20 "$work/out" "$work/err")"
	done
	[ "$(sed -n 's/^vm[12]| sum //p' "$work/out" | sort -u | wc -l)" = 1 ] && [ "$(grep -c '| sum' "$work/out")" = 2 ] ||
		fail "$with: what was sent and what came: $(grep '| sum' "$work/out")"
	grep -q '^vm1| large 3$' "$work/out" && grep -q '^vm1| fragments 0$' "$work/out" ||
		fail "$with: 64 KiB in one piece: $(grep -E 'large|fragments' "$work/out")"
	! grep -E 'BUG|Oops|WARN' "$work/out" || fail "$with: see above"
}
# driver N NAME
driver() { grep -q "^vm$1| driver $2$" "$work/out" || fail "machine $1 should have the driver $2: $(grep driver "$work/out")"; }
# counters NAME CONDITION: of what the card of that run and machine counts, as n; the memory of the machine, as m
counters() {
	python3 -c 'import json, sys
s = json.load(open(sys.argv[1]))
n, m = [d["net"] for d in s["devices"] if d["virtio_id"] == 1][0], s["pages"]
if not eval(sys.argv[2]): sys.exit("%s: %s %s" % (sys.argv[2], n, m))' "$work/$1" "$2" || fail "$1: counters"
}
bytes=$((mib << 20))

run both
driver 1 disco_net
driver 2 disco_net
grep -q '^vm1| off$' "$work/out" && grep -q '^vm2| off$' "$work/out" || fail "rmmod: $(cat "$work/out")"
# The echoes of 65000 bytes are copied, and the few words of ping and nc; of the file, nothing.
counters both2 "n['payload_mapped'] >= $bytes and n['payload_copied'] < 3 * 65100 + 2000 and m['taken'] * 4096 == n['payload_mapped']"
counters both1 "m['lent'] * 4096 >= $bytes"
counters both2 "n['rx_too_long'] == n['rx_bad'] == 0 and n['rx_frames'] < $bytes / 8000"

# The others: that it is right, not how much of it.
[ "${DISCO_TEST_LENGTH:-short}" != short ] || mib=8
bytes=$((mib << 20))
run 1
driver 1 disco_net
driver 2 virtio_net
counters 12 "n['payload_mapped'] == 0 and n['payload_copied'] >= $bytes"
run 2
driver 1 virtio_net
driver 2 disco_net
# What the usual driver sends are the same pages.
counters 22 "n['payload_mapped'] + n['payload_copied'] >= $bytes and n['payload_mapped'] > $bytes * 0.9"
run none
driver 1 virtio_net
driver 2 virtio_net
counters none2 "n['payload_mapped'] == 0 and n['payload_copied'] >= $bytes and n['copied_bytes'] >= $bytes"
counters none1 "n['copied_bytes'] >= $bytes and m['lent'] == 0"
finish
