#!/bin/bash
# SPDX-License-Identifier: MIT
# disco monitor: what it shows of a bare-metal guest is what the guest has, while it runs and while it stands still; lines, a terminal, QMP;
# Ctrl-A c of a console.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19
build_guests
export XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$XDG_RUNTIME_DIR"
elf=$guests/el/debug.elf
"$DISCO" run --name vm --control lab --kernel "$elf" --mem 64M --append spin </dev/null >"$work/out" 2>"$work/err" &
pid=$!
for _ in $(seq 400); do
	grep -q debug: "$work/out" && break
	sleep 0.05
done
# address SYMBOL
address() { python3 -c 'import sys; sys.argv[1:1] = [""]; exec(open("tests/system/rsp.py").read().split("\nclass Gone")[0]); print("%08x" % symbols(sys.argv[2])[0][sys.argv[3]])' "$elf" "$1"; }
look() { timeout 20 "$DISCO" monitor vm "$@" 2>&1; }
# shows WANT COMMAND...
shows() {
	local want=$1
	shift
	look "$@" >"$work/said"
	grep -qE -- "$want" "$work/said" || fail "$*: no '$want' in $(head -n 5 "$work/said")"
}

counter=$(address counter)
ticks=$(address ticks)
shows '^info registers' help
shows '^stop ' help
shows "^$counter: 0x00000006$" x "$counter"
shows "^$(printf %08x $((0x$counter & 0x1fffffff))): 6$" xp/1dw "$(printf %x $((0x$counter & 0x1fffffff)))"
shows "^$counter: 0x06 0x00 0x00 0x00$" x/4xb "$counter"
shows ": [0-9a-f]{8}  addiu \\\$sp, \\\$sp, -" x/1iw "$(address guest_main)"
shows '^ +status 3000' info registers
shows '^64 of 64 entries|entries written' info tlb
shows '^[1-9][0-9]* entries in 1 tables' info l2tlb
shows '^64M of memory' info mem
shows ', code$' info pmap
shows '^tier 1: [1-9]' info jit
shows '^pci 0a.0 8086:7110' info devices
shows '^vCPU 0: interrupts off' info irq
shows '^node  0: +[1-9]' info numa
shows 'no memory is' xp 1fd00000
shows 'must be an address' x zzz
shows 'must be a count' x/9q 80000000
shows 'must be one of registers tlb' info nothing
shows 'no such command' nothing
shows 'stop comes first' step
# it runs meanwhile
before=$(look x "$ticks")
sleep 0.1
[ "$before" != "$(look x "$ticks")" ] || fail "it does not run: $before"
# it stands, and makes steps
look stop
before=$(look x "$ticks")
sleep 0.1
[ "$before" = "$(look x "$ticks")" ] || fail "stop: it runs"
shows '^[0-9a-f]{8}: [0-9a-f]{8}  [a-z]' step
look step 40 >/dev/null
[ "$before" != "$(look x "$ticks")" ] || fail "step: nothing was executed"
shows 'at most 10000' step 20000
look cont
before=$(look x "$ticks")
sleep 0.1
[ "$before" != "$(look x "$ticks")" ] || fail "cont: it stands"
# lines; a terminal with completion: "in<Tab>ir<Tab>"
printf 'x %s\n\nnothing\nquit\nx 80000000\n' "$counter" | timeout 20 "$DISCO" monitor vm >"$work/said" 2>&1 || fail "lines: status $?"
[ "$(wc -l <"$work/said")" -eq 2 ] || fail "lines: $(cat "$work/said")"
(
	sleep 0.5
	printf 'in\tir\t\n'
	sleep 0.5
	printf 'quit\n'
) | timeout 20 script -qec "env TERM=vt100 '$DISCO' monitor vm" /dev/null >"$work/said" 2>&1
grep -q 'vCPU 0: interrupts off' "$work/said" || fail "a terminal: $(cat -v "$work/said")"
# another vCPU, another machine
timeout 20 "$DISCO" monitor --vcpu 3 vm info irq >"$work/said" 2>&1 && fail "--vcpu 3: status 0"
grep -q 'has no vCPU of that number' "$work/said" || fail "--vcpu 3: $(cat "$work/said")"
timeout 20 "$DISCO" monitor nobody info irq >"$work/said" 2>&1 && fail "nobody: status 0"
kill -TERM "$pid"
wait "$pid"

# Ctrl-A c: completion, history, back to the guest, while it stands still; and after quit
export TERM=vt100
tests/system/console.py --timeout 20 --log "$work/log" --pty 80x24 'expect:debug: counter' 'type:\x01c' 'expect:\(vm\) ' 'type:in\tir\t\r' \
	'expect:vCPU 0: interrupts off' 'expect:\(vm\) ' 'type:\x01cno\x01c' 'expect:\(vm\) ' 'type:\x1b[A\r' 'expect:vCPU 0: interrupts' \
	'type:stop\rstep\rtrace sched_run on\rcont\rtrace\r' 'expect:^sched_run +on' 'refuse:no such command' 'type:quit\r' 'sleep:0.1' \
	'type:\x01h' 'expect:Ctrl-A c ' 'type:\x01c' 'expect:\(vm\) ' 'type:\x03' 'type:info numa\r' 'expect:vCPU 0: node 0' 'type:\x01x' \
	-- "$DISCO" run --kernel "$elf" --mem 64M --append spin || fail "Ctrl-A c: status $?: $(tail -n 5 "$work/log")"
# of several machines, the one that is shown; without a control socket there is none
tests/system/console.py --timeout 20 --log "$work/log" --pty 80x24 'expect:vm1: shown now' 'type:\x01c' 'expect:\(vm1\) ' 'type:info mem\r' \
	'expect:64M of memory' 'type:\x01n' 'expect:vm2: shown now' 'type:\x01c' 'expect:\(vm2\) ' 'type:\x01x' \
	-- "$DISCO" run --vms 2 --kernel "$guests/el/stuck.elf" --mem 64M --append s || fail "Ctrl-A c, two machines: status $?: $(tail -n 5 "$work/log")"
tests/system/console.py --timeout 20 --log "$work/log" --pty 80x24 'expect:debug: counter' 'type:\x01c\x01h' 'expect:Ctrl-A h' 'refuse:Ctrl-A c' \
	'refuse:\(vm\)' 'type:\x01x' -- "$DISCO" run --control none --kernel "$elf" --mem 64M --append spin || fail "no socket: status $?"
finish
