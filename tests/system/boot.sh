#!/bin/bash
# SPDX-License-Identifier: MIT
# A Debian kernel to its shell, a session typed into it, power-off, reboot, panic.
set -u
. "$(dirname "$0")/lib.sh"
need python3
for f in "$KERNEL" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done

disco=("$DISCO" run --kernel "$KERNEL" --initrd "$INITRD")
prompt='expect:~ # '

# session TIERS
session() {
	local status
	tests/system/console.py --timeout 100 --log "$work/log" \
		'expect:disco-guest: ready, up [0-9.]+ s' "$prompt" \
		'send:grep -c "^processor" /proc/cpuinfo; grep "^cpu model" /proc/cpuinfo' \
		'expect:^1\r?$' 'expect:cpu model\s*: MIPS 34Kc' "$prompt" \
		'send:dmesg | grep -c "Linux version 6"' 'expect:^1\r?$' "$prompt" \
		'send:seq 1 5000 | sort -rn | head -n 4000 | tail -n 1 | md5sum' \
		"expect:$(echo 1001 | md5sum | cut -d ' ' -f 1)" "$prompt" \
		'send:(sleep 1; echo background $((6 * 7)) done) & wait' 'expect:background 42 done' "$prompt" \
		'send:echo one two >/tmp/f && gzip </tmp/f | gunzip | tr a-z A-Z' 'expect:ONE TWO' "$prompt" \
		'send:grep -c "[1-9][0-9]* *MIPS *7 *timer" /proc/interrupts' 'expect:^1\r?$' "$prompt" \
		'send:sh -c "kill -SEGV \$\$"; echo status $?' 'expect:status 139' "$prompt" \
		'refuse:Oops|BUG:|do_page_fault|Kernel panic|reserved instruction' \
		'send:poweroff' 'expect:Power down' \
		-- "${disco[@]}" --append console=ttyS0 --tiers "$1" 2>"$work/err"
	status=$?
	[ $status -eq 0 ] || fail "session --tiers $1: status $status: $(cat "$work/err")"
	[ ! -s "$work/err" ] || fail "session --tiers $1: on standard error: $(head -n 3 "$work/err")"
}

# ends WHAT STATUS STDERR-LINE OPTION...: the run ends by itself with this status and these words
ends() {
	local what=$1 want=$2 line=$3 status
	shift 3
	timeout 100 "${disco[@]}" "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status -eq "$want" ] || fail "$what: status $status, not $want: $(tail -n 3 "$work/out")"
	[ "$(cat "$work/err")" = "$line" ] || fail "$what: standard error is '$(cat "$work/err")', not '$line'"
}

session 12
session 1
# Without panic= the kernel stays in its loop after the report; with -1 it resets the machine at once.
for panic in '' panic=-1; do
	ends "no init ($panic)" 1 'disco run: the guest panicked' --append "console=ttyS0 quiet rdinit=/nonexistent $panic" \
		--no-reboot
	grep -q 'Kernel panic - not syncing' "$work/out" || fail "no init ($panic): no panic on the console"
	grep -qE 'end Kernel panic|\.bss' "$work/out" || fail "no init ($panic): its report is cut off"
done
ends "reboot, --no-reboot" 0 '' --append 'console=ttyS0 quiet disco.cmd="reboot -f"' --no-reboot
ends "exit status of a command" 0 '' --append 'console=ttyS0 quiet disco.cmd="sh -c '\''exit 7'\''"'
grep -q 'disco-guest: exit 7' "$work/out" || fail "exit status of a command: $(tail -n 2 "$work/out")"

# Without --no-reboot the machine starts again: two boots, then the shell of the second.
tests/system/console.py --timeout 100 'expect:disco-guest: ready' "$prompt" 'send:reboot' 'expect:disco-guest: ready' "$prompt" \
	'send:poweroff' 'expect:Power down' -- "${disco[@]}" --append 'console=ttyS0 quiet' || fail "reboot: status $?"
# Less memory, another CPU
tests/system/console.py --timeout 100 'expect:disco-guest: ready' "$prompt" \
	'send:grep tlb_entries /proc/cpuinfo; grep MemTotal /proc/meminfo; poweroff' 'expect:tlb_entries\s*: 16' \
	'expect:MemTotal: +[45][0-9]{4} kB' -- "${disco[@]}" --append 'console=ttyS0 quiet' --cpu 24Kf --mem 64M ||
	fail "24Kf, 64M: status $?"
finish
