#!/bin/bash
# SPDX-License-Identifier: MIT
# A Debian kernel under --icount that panics, and a debugger that goes back from there: to the store of a word that the panic's caller has on its
# stack, over 400 steps and forth again, to the first instruction, and to the panic once more.
set -u
. "$(dirname "$0")/../system/lib.sh"
. tests/system/gdb_lib.sh
need gdb-multiarch
export XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$XDG_RUNTIME_DIR"

# it waits for what is typed behind what is printed
mkfifo "$work/typed"
"$DISCO" run --name vm --icount --gdb 0 --gdb-wait --mem 128M --kernel "$KERNEL" --initrd "$INITRD" --append "console=ttyS0 nokaslr" \
	<"$work/typed" >"$work/out" 2>"$work/err" &
pid=$!
{
	for _ in $(seq 600); do
		grep -q 'list of built-in commands' "$work/out" && break
		sleep 0.1
	done
	sleep 1
	printf 'echo 1 > /proc/sys/kernel/panic_on_oops\necho c > /proc/sysrq-trigger\n'
	sleep 120
} >"$work/typed" &
typist=$!
for _ in $(seq 100); do
	"$DISCO" ps 2>/dev/null | grep -q ' debug ' && break
	sleep 0.1
done
timeout 170 "$DISCO" gdb vm -- -nx -batch -ex 'break panic' -ex continue -ex 'backtrace 4' -ex 'printf "at %x %x %x\n", $pc, $sp, $count' -ex delete \
	-ex 'set $place = $sp + 20' -ex 'watch *(int *)$place' -ex 'reverse-continue' -ex 'printf "store "' -ex 'x/i $pc' -ex 'info symbol $pc' \
	-ex 'delete' -ex 'printf "one %x %x %x\n", $pc, $sp, $s0' -ex 'set $store = $pc' -ex 'reverse-stepi 400' -ex 'break *$store' -ex 'continue' \
	-ex 'delete' -ex 'printf "two %x %x %x\n", $pc, $sp, $s0' \
	-ex 'reverse-continue' -ex 'printf "first %x\n", $pc' -ex 'break panic' -ex 'continue' -ex 'printf "again at %x %x %x\n", $pc, $sp, $count' \
	-ex 'delete' -ex 'kill' >"$work/gdb" 2>&1 </dev/null
kill "$typist" 2>/dev/null
expect "from the panic" "$work/gdb" '^Breakpoint 1, 0x8.* in panic' '#1 .*sysrq_handle_crash' '^at 8' 'Hardware watchpoint 2' '^store .*sw' \
	'^one 8' '^two 8' 'No more reverse-execution history' '^first 8' '^Breakpoint 4, 0x8.* in panic' '^again at 8'
[ "$(sed -n 's/^one //p' "$work/gdb")" = "$(sed -n 's/^two //p' "$work/gdb")" ] || fail "400 steps back and forth: $(grep -E '^(one|two)' "$work/gdb")"
[ "$(sed -n 's/^at //p' "$work/gdb")" = "$(sed -n 's/^again at //p' "$work/gdb")" ] || fail "the panic again: $(grep -E 'at 8' "$work/gdb")"
grep -E '^(at|store|one|two|again)|^[a-z_]+ \+ [0-9]+ in' "$work/gdb"
ended 0 "the machine"
[ "$(grep -c 'Trigger a crash' "$work/out")" -eq 1 ] || fail "what was printed was printed again"
finish
