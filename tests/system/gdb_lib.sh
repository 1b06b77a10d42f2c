# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the tests of debuggers share; sourced behind lib.sh.

# begin_guest GUEST [OPTION...]: $guests/GUEST.elf waits for a debugger: $pid, $at; $typed is its console
begin_guest() {
	local guest=$1
	shift
	rm -f "$work/out" "$work/err"
	"$DISCO" run --cpu max --mem 64M --no-reboot --control none --gdb 0 --kernel "$guests/$guest.elf" "$@" \
		<"${typed:-/dev/null}" >"$work/out" 2>"$work/err" &
	pid=$!
	at=
	for _ in $(seq 400); do
		at=$(sed -n 's/.*gdb can come: target remote //p' "$work/err" 2>/dev/null)
		[ -n "$at" ] && return
		sleep 0.05
	done
	fail "begin: $(head -n 1 "$work/err")"
	finish
}

# begin ORDER [OPTION...]: the guest `debug`
begin() { begin_guest "$1/debug" "${@:2}"; }

# ended STATUS WHAT: it ends by itself, with that
ended() {
	local status
	for _ in $(seq 200); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	kill -9 "$pid" 2>/dev/null && fail "$2: does not end"
	wait "$pid"
	status=$?
	[ "$status" = "$1" ] || fail "$2: status $status, not $1: $(tail -n 1 "$work/err")"
}

# expect WHAT FILE LINE...: extended regular expressions, in that order
expect() {
	local what=$1 file=$2 line at=0 found
	shift 2
	for line; do
		found=$(tail -n +$((at + 1)) "$file" | grep -nE -m 1 -- "$line" | cut -d: -f1)
		[ -n "$found" ] || {
			fail "$what: no '$line' behind line $at of:"
			head -n 60 "$file"
			return
		}
		at=$((at + found))
	done
}

# traces ORDER N: single steps from work() on, on Disco and on QEMU
traces() {
	local order=$1 n=$2 qemu=qemu-system-mipsel
	[ "$order" = el ] || qemu=qemu-system-mips
	rm -f "$work/qemu.gdb"
	"$qemu" -M malta -cpu 34Kf -m 64 -nodefaults -display none -serial null -no-reboot -S \
		-gdb "unix:$work/qemu.gdb,server=on,wait=off" -kernel "$guests/$order/debug.elf" </dev/null &
	pid=$!
	for _ in $(seq 400); do
		[ -S "$work/qemu.gdb" ] && break
		sleep 0.05
	done
	timeout 300 tests/system/rsp.py trace "$work/qemu.gdb" "$guests/$order/debug.elf" work "$n" >"$work/qemu.trace" 2>/dev/null ||
		fail "steps $order: QEMU"
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	begin "$order" --cpu 34Kf --gdb-wait
	timeout 300 tests/system/rsp.py trace "$at" "$guests/$order/debug.elf" work "$n" >"$work/disco.trace" 2>"$work/inside" ||
		fail "steps $order: Disco"
	ended 0 "steps $order"
	[ "$(cat "$work/inside")" = 0 ] || fail "steps $order: stops between branches and their slots: $(tail -n 1 "$work/inside")"
	[ "$(wc -l <"$work/disco.trace")" -eq "$n" ] || fail "steps $order: $(wc -l <"$work/disco.trace") of $n"
	same "steps $order (< QEMU, > Disco)" "$work/qemu.trace" "$work/disco.trace"
	echo "steps $order: $n"
}
