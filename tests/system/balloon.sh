#!/bin/bash
# SPDX-License-Identifier: MIT
# Memory that Linux frees goes back to the host by itself (free page reporting), and comes again; the balloon takes what it is
# asked for.
set -u
. "$(dirname "$0")/lib.sh"
need sha256sum
. "$(dirname "$0")/disk_lib.sh"

guest_script "$work/script" <<'END'
dmesg | grep -q 'Free page reporting enabled' && echo reporting
head -c 3M /dev/urandom >/tmp/kept
kept=$(sha256sum </tmp/kept)
for i in 1 2; do
	dd if=/dev/zero bs=1M count=90 2>/dev/null | tr '\0' "$i" >/tmp/big
	sum=$(sha256sum </tmp/big)
	echo "filled $i"
	sleep 3
	[ "$sum" = "$(sha256sum </tmp/big)" ] || exit 2
	rm /tmp/big
	sleep 7 # Linux reports every two seconds
	echo "emptied $i"
	sleep 3
done
[ "$kept" = "$(sha256sum </tmp/kept)" ] || exit 3
END

# resident PID: MiB
resident() { awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$1/status"; }

# when TEXT: waits until the guest has said it
when() {
	for _ in $(seq 1 1200); do
		grep -qF "$1" "$work/out" && return
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	grep -qF "$1" "$work/out" || fail "the guest does not say '$1': $(tail -n 3 "$work/out")"
}

reporting() {
	local full empty pid
	: >"$work/out"
	"$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --net none --disk "$work/script,mode=ro" --balloon 0M \
		--append 'console=ttyS0 quiet loglevel=1 disco.cmd="sh /dev/vda"' </dev/null >"$work/out" 2>"$work/err" &
	pid=$!
	for i in 1 2; do
		when "filled $i"
		full=$(resident $pid)
		when "emptied $i"
		empty=$(resident $pid)
		[ "$((full - empty))" -ge 50 ] || fail "round $i: $full MiB, then $empty"
	done
	wait $pid || fail "reporting: status $?"
	tr -d '\r' <"$work/out" >"$work/out.txt"
	ends_well reporting "$work/out.txt"
	says reporting "$work/out.txt" reporting
	[ ! -s "$work/err" ] || fail "reporting: standard error: $(head -n 3 "$work/err")"
}

# 96 MiB less for the guest than without.
inflated() {
	local free=()
	guest_script "$work/script" <<'END'
sleep 3
echo "free $(awk '/^MemFree/ { print int($2 / 1024) }' /proc/meminfo)"
END
	for size in 0M 96M; do
		on_guest "$work/script" --balloon $size >"$work/out" 2>&1
		ends_well "balloon of $size" "$work/out"
		free+=("$(sed -n 's/^free //p' "$work/out")")
	done
	[ "$((free[0] - free[1]))" -ge 90 ] && [ "$((free[0] - free[1]))" -le 104 ] ||
		fail "inflated: ${free[0]} MiB free, ${free[1]} with a balloon of 96M"
}

reporting
inflated
finish
