#!/bin/bash
# SPDX-License-Identifier: MIT
# Debuggers: gdb-multiarch with scripts, a client of the remote protocol that knows nothing of either, and a hostile one. Single steps are
# compared with QEMU's.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/gdb_lib.sh"
need clang-19 ld.lld-19 qemu-system-mipsel gdb-multiarch
build_guests
elf=$guests/el/debug.elf
rsp=tests/system/rsp.py

# with_gdb FILE COMMAND...: what it says is in $work/gdb
with_gdb() {
	local file=$1 command args=()
	shift
	for command; do
		args+=(-ex "$command")
	done
	timeout 60 gdb-multiarch -nx -q -batch -ex 'set confirm off' -ex 'set pagination off' -ex 'set width 0' \
		-ex "file $file" -ex 'set remotetimeout 20' "${args[@]}" >"$work/gdb" 2>&1 </dev/null
}

# ---- gdb: break, step, watch, registers, memory, call chain, detach; the guest notices nothing ----
for order in el eb; do
	begin $order --gdb-wait
	with_gdb "$guests/$order/debug.elf" "target remote $at" 'info registers pc' 'break bump' 'continue' 'print by' 'backtrace 2' \
		'watch counter' 'continue' 'print counter' 'delete' 'break leaf if x > 100000' 'continue' 'print/x $status' \
		'stepi 20' 'print/x $prid' 'info registers f0' 'set var counter = counter + 1000' 'print counter' \
		'x/2xw &counter' 'monitor info tlb' 'monitor xp/1xw 0x00100000' 'monitor nonsense' 'delete' \
		'rwatch ratio' 'continue' 'info threads' 'info inferiors' 'detach'
	expect "gdb $order" "$work/gdb" '^pc: +0x80100000' '^Breakpoint 1, bump' '^\$1 = 1$' '#0 .*bump' '#1 .*guest_main' \
		'Hardware watchpoint 2: counter' 'Old value = 0' 'New value = 1' '^\$2 = 1$' '^Breakpoint 3, leaf' \
		'^\$3 = 0x3[0-9a-f]*$' '^0x80100' '^\$4 = 0x' '^f0: ' '= 1006$' 'counter>:.0x000003ee' 'entries written since reset' '00100000: 0x' \
		'nonsense: no such command' 'Hardware read watchpoint 4: ratio' 'Value = 1.5' 'Thread 1.1 .vm, vCPU 0, runs' 'process 1 ' \
		'Inferior 1 .*detached'
	ended 0 "gdb $order"
	grep -q '^debug: counter=000003ee sum=' "$work/out" || fail "gdb $order: the guest printed $(cat "$work/out")"
	sum=$(sed 's/.*sum=//' "$work/out")
	on_disco $order max debug >"$work/out"
	[ "$(sed 's/.*sum=//' "$work/out")" = "$sum" ] || fail "gdb $order: without a debugger $(cat "$work/out"), with one $sum"
done

# ---- steps ----
traces el 500

# ---- --icount: the number of instructions is the same with breakpoints, and with steps ----
counts() { sed -n 's/^disco run: \([0-9]* instructions, state .*\)/\1/p' "$work/err"; }
begin el --icount
wait "$pid"
counts >"$work/free"
[ -s "$work/free" ] || fail "icount: no count: $(head -n 1 "$work/err")"
begin el --icount --gdb-wait
timeout 60 $rsp talk "$at" "$elf" break:leaf go go step step go go delete:leaf break:bump 'raw:D;1' >"$work/talk" || fail "icount: talk"
ended 0 icount
counts >"$work/held"
same "icount (< without a debugger, > with)" "$work/free" "$work/held"

# ---- interrupt, detach, come again, kill; what runs is not disturbed ----
begin el --append spin
timeout 60 $rsp talk "$at" "$elf" raw:? start sleep:0.2 interrupt read:counter 'raw:D;1' >"$work/talk" || fail "interrupt: talk"
expect interrupt "$work/talk" 'raw:\? T05' 'interrupt T02' 'read:counter 6' 'raw:D;1 OK'
timeout 60 $rsp talk "$at" "$elf" raw:? break:bump write:released=1 go pc:bump step step delete:bump 'raw:D;1' >"$work/talk" ||
	fail "again: talk"
expect again "$work/talk" 'raw:\? T05' 'break:bump OK' 'go T05' 'pc:bump ok' 'step T05' 'raw:D;1 OK'
ended 0 "detach"
grep -q released "$work/out" || fail "detach: the guest printed $(cat "$work/out")"
begin el --append spin
timeout 60 $rsp talk "$at" "$elf" raw:? 'raw:vKill;1' >"$work/talk" || fail "kill: talk"
ended 0 kill
begin el --append spin
$rsp talk "$at" "$elf" raw:? break:bump start sleep:30 >"$work/talk" 2>&1 &
for _ in $(seq 100); do
	grep -q break "$work/talk" && break
	sleep 0.05
done
kill -9 $! # a debugger that is gone takes its breakpoints with it
wait $! 2>/dev/null
timeout 60 $rsp talk "$at" "$elf" raw:? write:released=1 'raw:D;1' >"$work/talk" || fail "after a debugger that was killed: talk"
ended 0 "after a debugger that was killed"

# ---- two machines; gdb 13 does not get on if not the first inferior is the first to continue ----
begin el --vms 2 --gdb-wait
with_gdb "$elf" "target extended-remote $at" 'info inferiors' 'add-inferior -exec '"$elf" 'inferior 2' 'attach 2' 'inferior 1' 'set schedule-multiple on' \
	'break bump' 'continue' 'info threads' 'continue' 'info inferiors' 'delete' 'detach inferiors 1 2'
expect "two machines" "$work/gdb" 'process 1 ' 'Thread [12].1 hit Breakpoint 1.*bump' 'Thread 1.1 .vm1, vCPU 0' 'Thread 2.1 .vm2, vCPU 0' \
	'Thread [12].1 hit Breakpoint 1.*bump'
ended 0 "two machines"
[ "$(grep -c 'counter=00000006' "$work/out")" -eq 2 ] || fail "two machines: $(cat "$work/out")"

# ---- a hostile one ----
begin el --append spin
packets=2000
[ "${DISCO_TEST_LENGTH:-short}" = short ] || packets=100000
timeout 900 $rsp hostile "$at" 1 $packets || fail "hostile"
kill -TERM "$pid"
ended 143 hostile

# ---- bad input: one line, status 2, nothing runs ----
bad() {
	local want=$1
	shift
	"$DISCO" run --control none --kernel "$elf" "$@" </dev/null >"$work/bad.out" 2>"$work/bad.err"
	[ $? -eq 2 ] || fail "$*: status is not 2"
	[ "$(wc -l <"$work/bad.err")" -eq 1 ] && grep -qE -- "$want" "$work/bad.err" || fail "$*: $(cat "$work/bad.err")"
	[ -s "$work/bad.out" ] && fail "$*: it ran"
}
begin el --append spin
bad 'in use' --gdb "${at##*:}"
kill -TERM "$pid"
ended 143 'in use'
bad '--gdb x: must be' --gdb x
bad '--gdb 70000: must be' --gdb 70000
bad 'is there already' --gdb "unix:$elf"
bad 'no debugger can come' --gdb-wait
finish
