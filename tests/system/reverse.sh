#!/bin/bash
# SPDX-License-Identifier: MIT
# A debugger that goes back in a repeatable run: by a client of the remote protocol, over steps, interrupts and calls, in a recording too; by gdb, to the
# store that it looks for; and machines that cannot.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/gdb_lib.sh"
need clang-19 ld.lld-19 gdb-multiarch
build_guests

# listen OPTION...: the guest of that name
listen() { begin_guest el/listen --gdb-wait --icount "$@"; }

# ---- steps, over interrupts, back and forth again; calls; what was typed is heard again at the same moment ----
printf 'disco heats some tea' >"$work/words"
typed=$work/words
listen
timeout 60 tests/system/rsp.py back "$at" "$guests/el/listen.elf" tick 120 4 || fail "steps over interrupts"
kill -TERM "$pid"
wait "$pid"
listen
timeout 60 tests/system/rsp.py back "$at" "$guests/el/listen.elf" put_field 200 20 || fail "steps, when it has heard something"
kill -TERM "$pid"
wait "$pid"
[ "$(grep -c ' at=' "$work/out")" -ge 10 ] || fail "what it was typed: $(cat "$work/out")"
[ "$(sort "$work/out" | uniq -d | wc -l)" -eq 0 ] || fail "what was printed was printed again: $(cat "$work/out")"

# ---- a recording, and to its end as if nothing were ----
printf 'abcq' >"$work/words"
timeout 60 "$DISCO" run --cpu max --mem 64M --no-reboot --control none --icount --kernel "$guests/el/listen.elf" --record "$work/recording" \
	<"$work/words" >"$work/recorded.out" 2>"$work/recorded.err" || fail "record: $(cat "$work/recorded.err")"
typed=/dev/null
listen --replay "$work/recording"
timeout 60 tests/system/rsp.py back "$at" "$guests/el/listen.elf" put_field 100 4 || fail "steps in a recording"
ended 0 "a recording"
same "a recording: console" "$work/recorded.out" "$work/out"
grep -v 'gdb can come' "$work/err" >"$work/said"
same "a recording: count and state" "$work/recorded.err" "$work/said"

# ---- gdb, to the store ----
begin el --icount --gdb-wait
timeout 60 gdb-multiarch -nx -q -batch -ex 'set confirm off' -ex 'set width 0' -ex "file $guests/el/debug.elf" -ex "target remote $at" -ex 'break work' \
	-ex continue -ex 'print counter' -ex 'delete' -ex 'watch counter' -ex 'reverse-continue' -ex 'print counter' -ex 'x/i $pc' -ex 'backtrace 2' \
	-ex 'reverse-continue' -ex 'print counter' -ex 'delete' -ex 'reverse-continue' -ex 'info registers pc' -ex 'detach' >"$work/gdb" 2>&1 </dev/null
expect gdb "$work/gdb" '^\$1 = 6' 'Old value = 6' 'New value = 3' 'in bump \(by=.*3\)' '^\$2 = 3' '=> 0x.*jr' ':.sw' '#1 .*guest_main' 'Old value = 3' '^\$3 = 1' \
	'No more reverse-execution history' '^pc: +0x80100000'
ended 0 gdb
on_disco el max debug --icount >"$work/out.free" 2>"$work/err.free"
same "gdb: console" "$work/out.free" "$work/out"

# ---- those that cannot: one line, and the packets are refused ----
begin el --icount --gdb-wait --balloon 4M
grep -q 'cannot have it go back, because of --balloon' "$work/err" || fail "a balloon: $(cat "$work/err")"
timeout 60 tests/system/rsp.py talk "$at" "$guests/el/debug.elf" raw:qSupported raw:bs raw:bc 'raw:D;1' >"$work/talk"
expect "a balloon" "$work/talk" 'raw:bs E01' 'raw:bc E01' 'raw:D;1 OK'
grep -q Reverse "$work/talk" && fail "a balloon: $(cat "$work/talk")"
ended 0 "a balloon"
head -c 1M /dev/zero >"$work/disk"
begin el --icount --gdb-wait --disk "$work/disk,mode=cow"
grep -q 'cannot have it go back: disk .*/disk cannot' "$work/err" || fail "a disk: $(cat "$work/err")"
kill -TERM "$pid"
ended 143 "a disk"
finish
