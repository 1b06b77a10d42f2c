#!/bin/bash
# SPDX-License-Identifier: MIT
# guest/modules: built against Debian's headers, loaded by the initramfs; a guest's kernel makes monitor calls, has right memory,
# and takes the module off again; on QEMU the same initramfs does without.
set -u
. "$(dirname "$0")/lib.sh"
need python3
. tests/system/modules_lib.sh
have_modules || {
	echo "$why"
	exit 77
}

# guest NAME OPTIONS -- COMMAND: output in $work/out, statistics in $work/NAME
guest() {
	local name=$1
	shift
	timeout 200 "$DISCO" run --kernel "$kernel" --initrd "$initrd" --mem 96M --stats="$work/$name" "$@" </dev/null >"$work/out" 2>"$work/err" ||
		fail "$name: status $?: $(cat "$work/out" "$work/err")"
}
# counters NAME CONDITION, of what --stats has of memory, as m
counters() {
	python3 -c 'import json, sys
m = json.load(open(sys.argv[1]))["memory"]
if not eval(sys.argv[2]): sys.exit("%s: %s" % (sys.argv[2], {k: m[k] for k in m if "page" in k or "call" in k}))' "$work/$1" "$2" ||
		fail "$1: counters"
}

# Files of zeroes and of one byte, over and over: a page that was not cleared would show. Then free memory, and time to report it.
# shellcheck disable=SC2016
load='
	dmesg | grep "disco:"
	for i in 1 2 3; do
		head -c 30000000 /dev/zero >/tmp/zero; head -c 30000000 /dev/zero | tr "\0" x >/tmp/x
		sha256sum </tmp/zero; truncate -s 30000000 /tmp/hole; cmp /tmp/hole /tmp/zero && echo same; rm /tmp/*
	done
	sleep 6'
zero_sum=$(head -c 30000000 /dev/zero | sha256sum)
right() {
	[ "$(grep -cF "$zero_sum" "$work/out")" = 3 ] && [ "$(grep -c '^same$' "$work/out")" = 3 ] || fail "$1: memory: $(cat "$work/out")"
}

for tiers in 1 12; do
	guest both --tiers $tiers -- sh -c "$load"
	grep -q 'monitor calls, version [0-9]*: clears pages reports free pages' "$work/out" || fail "loaded: $(cat "$work/out")"
	right both
	counters both 'm["pages_zeroed"] > 500 and m["pages_freed"] > 5000 and m["monitor_calls"] > 5000'
done
# shellcheck disable=SC2016
guest off -- sh -c 'rmmod disco && ! grep -q disco /proc/modules && echo off; dmesg -c >/dev/null
	head -c 40000000 /dev/zero | sha256sum; sleep 5'
grep -q '^off$' "$work/out" && grep -qF "$(head -c 40000000 /dev/zero | sha256sum)" "$work/out" || fail "rmmod: $(cat "$work/out" "$work/err")"
# The balloon's driver is there first, and reports free pages itself.
guest balloon --balloon 0 -- sh -c "$load"
grep -q 'monitor calls, version [0-9]*: clears pages$' "$work/out" || fail "with a balloon: $(cat "$work/out")"
right balloon
counters balloon 'm["pages_zeroed"] > 500 and m["pages_freed"] == 0'

if command -v qemu-system-mipsel >/dev/null; then
	timeout 200 qemu-system-mipsel -M malta -cpu 34Kf -m 128 -nographic -vga none -net none -no-reboot -kernel "$work/cache/vmlinux" \
		-initrd "$initrd" -append 'console=ttyS0 disco.cmd="dmesg | grep disco: ; grep -c ^disco /proc/modules"' </dev/null >"$work/out" 2>&1
	grep -q 'disco: no monitor calls here' "$work/out" || fail "on QEMU: $(tail -n 20 "$work/out")"
	! grep -qE 'Oops|Reserved instruction|panic' "$work/out" || fail "on QEMU: $(tail -n 20 "$work/out")"
fi
finish
