#!/bin/bash
# SPDX-License-Identifier: MIT
# disco gdb and a Debian kernel, by the names that it has inside itself: from its first instruction on, and one that runs already, somewhere
# else than it was linked to (KASLR).
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/gdb_lib.sh"
need gdb-multiarch
export XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$XDG_RUNTIME_DIR"

# boot [OPTION...] -- COMMAND...
boot() {
	rm -f "$work/out" "$work/err"
	"$DISCO" run --name vm --kernel "$KERNEL" --initrd "$INITRD" "$@" </dev/null >"$work/out" 2>"$work/err" &
	pid=$!
	for _ in $(seq 400); do
		"$DISCO" ps 2>/dev/null | grep -q ' running \| debug ' && return
		sleep 0.05
	done
	fail "boot: $(cat "$work/err")"
}

# disco_gdb COMMAND...: what it says is in $work/gdb
disco_gdb() {
	local command args=()
	for command; do
		args+=(-ex "$command")
	done
	timeout 60 "$DISCO" gdb vm -- -nx -batch "${args[@]}" >"$work/gdb" 2>&1 </dev/null
}

boot --gdb-wait -- sh -c 'echo up; echo down'
disco_gdb 'break start_kernel' 'continue' 'backtrace 1' 'stepi' 'info symbol $pc' 'delete' 'break do_sys_openat2' 'continue' 'backtrace 2' \
	'monitor info registers' 'info threads' 'delete' 'detach'
expect "from the beginning" "$work/gdb" '^Breakpoint 1, 0x80[0-9a-f]* in start_kernel' '#0 .*start_kernel' '^start_kernel \+ 4 in' \
	'^Breakpoint 2, 0x80[0-9a-f]* in do_sys_openat2' '#1 .*sys_open' 'entryhi' 'Thread 1.1 .vm, vCPU 0' 'detached'
ended 0 "from the beginning"
[ "$(cat "$work/out")" = $'up\ndown' ] || fail "from the beginning: the guest printed $(cat "$work/out")"

boot -- sh -c 'echo up; while :; do cat /proc/uptime >/dev/null; sleep 0.1; done'
for _ in $(seq 400); do
	grep -q up "$work/out" && break
	sleep 0.05
done
disco_gdb 'break uptime_proc_show' 'continue' 'backtrace 1' 'info symbol $pc' 'delete' 'detach'
expect "one that has moved" "$work/gdb" '^Breakpoint 1, 0x8[0-9a-f]* in uptime_proc_show' '#0 .*uptime_proc_show' \
	'^uptime_proc_show .*in section' 'detached'

# again, and Ctrl-C of gdb, which goes to all of its group
set -m
gdb-multiarch -nx -q -batch -ex 'set confirm off' -ex 'set architecture mips:isa32r2' -ex 'set endian little' \
	-ex "target remote | $DISCO gdb --stdio vm" -ex continue -ex 'info registers pc' -ex kill >"$work/gdb" 2>&1 </dev/null &
set +m
gdb=$!
sleep 1
kill -INT -- -$gdb
wait $gdb
expect interrupt "$work/gdb" 'SIGINT' '^pc: 0x' 'killed'
ended 125 interrupt

# bad input: one line
bad() {
	local want=$1 status
	shift
	"$DISCO" gdb "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status -ne 0 ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -qE -- "$want" "$work/err" || fail "gdb $*: $status, $(cat "$work/err")"
}
bad 'no machine of that name runs' nobody
bad 'no machine runs'
finish
