#!/bin/bash
# SPDX-License-Identifier: MIT
# A machine whose output nobody reads is held in its console's device, in the middle of translated code.  Another one, whose code does not fit
# into --jit-mem, gets on all the same, though code memory cannot be emptied meanwhile; and the control socket answers.
set -u
. "$(dirname "$0")/lib.sh"
need python3 clang-19 ld.lld-19
build_guests
export XDG_RUNTIME_DIR=$work
ln -s "$guests/el/stuck.elf" "$work/stuck.elf"
cat >"$work/lab.yaml" <<-END
	monitor: {control: held, timeout: 30, jit-mem: 1M}
	defaults: {kernel: stuck.elf, mem: 16M, cpu: max}
	machines:
	  - {name: prints, append: p}
	  - {name: fills, append: f}
END
mkfifo "$work/unread"
sleep 60 <"$work/unread" &
reader=$!
"$DISCO" up "$work/lab.yaml" >"$work/unread" 2>"$work/err" </dev/null &
pid=$!
for _ in $(seq 100); do
	socket=$(find "$work" -type s -name 'held*')
	[ -z "$socket" ] || break
	sleep 0.1
done
# processor_ms: of the machine that prints
processor_ms() {
	tests/system/qmp.py "$socket" x-query-machines | python3 -c 'import json, sys; print(json.load(sys.stdin)["return"][0]["processor-ms"])'
}
was=-1 now=0
until [ "$now" = "$was" ]; do # it is held when it gets no more processor time
	was=$now
	sleep 0.5
	now=$(processor_ms) || fail "the control socket"
done
[ "$now" -gt 0 ] || fail "what is to be held has never run"
timeout 20 tests/system/qmp.py "$socket" event:RESET event:RESET x-query-machines >"$work/events" || fail "one machine holds up another"
[ "$(grep -c '"RESET".*"fills"' "$work/events")" = 2 ] || fail "resets: $(cat "$work/events")"
[ "$(processor_ms)" = "$now" ] || fail "it was not held, so nothing was tested"
[ ! -s "$work/err" ] || fail "messages: $(cat "$work/err")"
kill $pid
wait $pid
kill $reader
finish
