#!/bin/bash
# SPDX-License-Identifier: MIT
# A whole boot with a command, under every choice of tiers.  With --icount everything is the same: console, number of
# instructions, state.  Without it, all but times and what the kernel measures.
set -u
. "$(dirname "$0")/../system/lib.sh"
need python3
for f in "$KERNEL" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done

# boot TIERS OPTION...: into $work/out and $work/err
boot() {
	local tiers=$1 status
	shift
	timeout 3600 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --tiers "$tiers" "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status -eq 0 ] || fail "boot --tiers $tiers $*: status $status: $(tail -n 3 "$work/err" "$work/out")"
	grep -q 'disco-guest: exit 0' "$work/out" || fail "boot --tiers $tiers $*: $(tail -n 3 "$work/out")"
}

# Times, clock rates and the order of what runs in parallel with them.
timeless() {
	tr -d '\r' <"$1" | sed -E 's/^\[ *[0-9.]+\] //; s/ready, up [0-9.]+ s/ready/; /BogoMIPS|audit:|setting system clock/d;
		/random: (crng|fast) init/d; /Freeing (unused|initrd)/d; /input: |clocksource: |sched_clock:|X.509/d' | sort
}

command='dmesg | wc -l; cat /proc/interrupts; seq 1 20000 | sort | md5sum'
for tiers in 12 12 1 interp 2; do
	boot $tiers --icount --append "console=ttyS0 disco.cmd=\"$command\""
	[ -e "$work/first.out" ] || cp "$work/out" "$work/first.out"
	[ -e "$work/first.err" ] || cp "$work/err" "$work/first.err"
	same "--icount --tiers $tiers: console" "$work/first.out" "$work/out"
	same "--icount --tiers $tiers: count and state" "$work/first.err" "$work/err"
done
echo "icount: $(cat "$work/first.err")"

rm "$work"/first.*
command='seq 1 20000 | sort | md5sum; ls -R /bin /etc | md5sum; cat /proc/cmdline /proc/cpuinfo | grep -v Bogo'
for tiers in 12 1 interp 2; do
	boot $tiers --append "console=ttyS0 disco.cmd=\"$command\""
	timeless "$work/out" >"$work/timeless"
	[ -e "$work/first.out" ] || cp "$work/timeless" "$work/first.out"
	same "--tiers $tiers: console without times" "$work/first.out" "$work/timeless"
done
finish
