#!/bin/bash
# SPDX-License-Identifier: MIT
# A command of the guest's, and its console, on a terminal: which of its descriptors are one, size, keys and signals, job control, status, and that
# the user's terminal is given back however it ends (console.py checks that after each).  With a pipe on one side: none.
set -u
. "$(dirname "$0")/lib.sh"
need python3
vmlinux=$(dirname "$KERNEL")/vmlinux
for f in "$vmlinux" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
disco=("$DISCO" run --kernel "$vmlinux" --initrd "$INITRD")
which='for i in 0 1 2; do [ -t $i ] && echo "$i: terminal" || echo "$i: none"; done'

# on_pty WHAT STATUS STEP... -- OPTION...
on_pty() {
	local what=$1 want=$2 steps=()
	shift 2
	while [ "$1" != -- ]; do
		steps+=("$1")
		shift
	done
	shift
	tests/system/console.py --timeout 60 --log "$work/log" --pty 101x33 "${steps[@]}" -- "${disco[@]}" "$@" 2>"$work/err"
	status=$?
	[ $status -eq "$want" ] || fail "$what: status $status, not $want: $(tail -n 20 "$work/err")"
}

# shown WHAT TEXT: all that the terminal got
shown() {
	printf '%s' "$2" | cmp -s - "$work/log" || fail "$1: the terminal got '$(head -c 400 "$work/log" | cat -v)'"
}

# shellcheck disable=SC2016
descriptors() {
	local r=$'\r\n'
	on_pty "all on a terminal" 5 -- -- sh -c "$which; stty size; echo \$TERM; exit 5"
	shown "all on a terminal" "0: terminal${r}1: terminal${r}2: terminal${r}33 101$r${TERM:-dumb}$r"
	on_pty "--no-tty" 0 -- --no-tty -- sh -c "$which"
	shown "--no-tty" "0: none${r}1: none${r}2: none$r"
	disco=(sh -c '"$@" 2>"$0"' "$work/err2" "${disco[@]}")
	on_pty "standard error elsewhere" 0 -- -- sh -c "$which; echo error >&2"
	shown "standard error elsewhere" "0: terminal${r}1: terminal${r}2: none$r"
	[ "$(cat "$work/err2")" = error ] || fail "standard error elsewhere: $(cat "$work/err2")"
	disco=("${disco[@]:4}")
	disco=(sh -c '"$@" | cat' sh "${disco[@]}")
	on_pty "standard output to a pipe" 0 -- -- sh -c "$which"
	shown "standard output to a pipe" "0: none${r}1: none${r}2: none$r"
	disco=("${disco[@]:4}")
	disco=(sh -c 'echo input | "$@"' sh "${disco[@]}")
	on_pty "standard input from a pipe" 0 -- -- sh -c "$which; cat"
	shown "standard input from a pipe" "0: none${r}1: none${r}2: none${r}input$r"
	disco=("${disco[@]:4}")
	# without a terminal of the host's; what is read there ends, for each who reads
	printf 'one\ntwo' | timeout 100 "${disco[@]}" -t -- sh -c "$which; stty -echo; cat; cat; echo end >&2; exit 4" >"$work/log" 2>"$work/err"
	status=${PIPESTATUS[1]}
	[ $status -eq 4 ] && [ ! -s "$work/err" ] || fail "-t without a terminal: status $status, $(cat "$work/err")"
	sed -n '/: terminal/d; s/\r$//; p' "$work/log" | tr '\n' ' ' | grep -q '^.*one two *end $' ||
		fail "-t without a terminal: $(cat -v "$work/log")"
}

# What passes unchanged: output of a program that does the line ends itself, Ctrl-A by two, bytes of any kind.
transparent() {
	on_pty "raw output" 0 -- -- sh -c 'stty -opost; printf "a\nb\r\377\000\n"'
	printf 'a\nb\r\377\000\n' | cmp -s - "$work/log" || fail "raw output: $(od -c "$work/log")"
	on_pty "raw input" 0 'expect:ready' 'type:\x01\x01\x01a\x03\x1c\x1a\x04\xff\x00\r\n.' -- -- \
		sh -c 'stty raw -echo; echo ready; dd bs=1 count=11 2>/dev/null | od -An -tx1'
	tr -d '\r\n' <"$work/log" | grep -q 'ready 01 01 03 1c 1a 04 ff 00 0d 0a 2e' || fail "raw input: $(cat -v "$work/log")"
	on_pty "the keys" 0 'expect:ready' 'type:\x01h' 'expect:Ctrl-A x +quit' 'type:x\r' -- -- sh -c 'echo ready; read a; [ "$a" = x ]'
}

signals() {
	local shell='exec sh -i'
	on_pty "keys and jobs" 7 'expect:# ' \
		'send:sleep 1000' 'sleep:0.5' 'type:\x03' 'expect:# ' 'send:echo int $?' 'expect:int 130' \
		'send:sleep 1001' 'sleep:0.5' 'type:\x1c' 'expect:# ' 'send:echo quit $?' 'expect:quit 131' \
		'send:sleep 1002' 'sleep:0.5' 'type:\x1a' 'expect:Stopped' \
		'send:jobs' 'expect:Stopped +sleep 1002' 'send:fg' 'expect:sleep 1002' 'sleep:0.5' 'type:\x03' 'expect:# ' \
		'send:cat' 'sleep:0.5' 'send:line' 'expect:line\r\nline' 'type:\x04' 'expect:# ' \
		'send:exit 7' -- -- sh -c "$shell"
	on_pty "a size that changes" 0 'expect:ready' 'resize:90x20' 'expect:20 90' 'resize:200x60' 'expect:60 200' 'type:end\r' -- -- \
		sh -c 'trap "stty size" WINCH; echo ready; until read -t 1 a; do :; done'
	# the keys that this terminal has
	disco=(sh -c 's=$(stty -g); stty intr ^G; "$@"; n=$?; stty "$s"; exit $n' sh "${disco[@]}")
	on_pty "another key" 130 'expect:ready' 'type:\x03\r' 'expect:line 3' 'type:\x07' -- -- \
		sh -c 'echo ready; read a; printf "line %d" "\"$a"; sleep 1000'
	disco=("${disco[@]:4}")
	# from outside: the foreground group's, as a key's
	on_pty "kill -INT" 9 'expect:ready' 'signal:INT' -- -- sh -c 'trap "exit 9" INT; echo ready; while :; do sleep 0.1; done'
	on_pty "kill -TERM" 143 'expect:ready' raw: 'signal:TERM' -- -- sh -c 'echo ready; sleep 1000'
	# a shell lets that pass: the terminal hangs up then
	on_pty "kill -TERM, a shell" 129 'expect:# ' 'signal:TERM' -- -- sh -c "$shell"
	on_pty "kill -HUP" 129 'expect:# ' 'signal:HUP' -- -- sh -c "$shell"
	on_pty "twice" 143 'expect:ready' 'signal:TERM' 'sleep:1.5' 'signal:TERM' -- -- \
		sh -c 'trap "" TERM HUP; echo ready; while :; do sleep 0.1; done'
}

# However it ends, and before it has begun.
ends() {
	on_pty "left" 125 'expect:ready' raw: 'type:\x01x' 'expect:disco run: left before' -- -- sh -c 'echo ready; sleep 1000'
	on_pty "the guest panics" 125 'expect:ready' raw: 'expect:Kernel panic' 'expect:disco run: the guest panicked' -- -- \
		sh -c 'echo ready; sleep 1; echo c >/proc/sysrq-trigger'
	on_pty "while it boots" 130 cooked: 'sleep:0.2' 'type:\x03' -- --append 'console=ttyS0 initcall_debug' -- sh -c 'echo no'
	grep -q no "$work/log" && fail "while it boots: the command was run"
	# nobody is there any more
	python3 - "${disco[@]}" <<'PY' || fail "the terminal is gone"
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:] + ["--", "sh", "-c", "echo ready; sleep 1000"])
while b"ready" not in os.read(fd, 4096):
    pass
os.close(fd)
for _ in range(300):
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status) != 129)
    time.sleep(0.1)
os.kill(pid, 9)
sys.exit(2)
PY
}

# The serial console: keys reach the shell there, it has this terminal's size from the beginning, in each boot, and its changes.
console() {
	local junk='kill $(ps | sed -n "s/^ *\([0-9]*\) root  *\/init$/\1/p" | grep -vx 1); head -c 300 /dev/urandom >/dev/vport*p0'
	on_pty "console" 0 raw: 'expect:# ' 'sleep:0.5' 'send:stty size; tty' 'expect:33 101\s+/dev/ttyS0' \
		'expect:# ' 'sleep:0.5' 'send:sleep 1000' 'sleep:1' 'type:\x03' 'expect:# ' 'sleep:0.5' 'send:echo int $?' 'expect:int 130' \
		'expect:# ' 'sleep:0.5' 'send:sleep 1001' 'sleep:1' 'type:\x1c' 'expect:# ' 'sleep:0.5' 'send:echo quit $?' 'expect:quit 131' \
		'expect:# ' 'sleep:0.5' 'send:sleep 1002' 'sleep:1' 'type:\x1a' 'expect:Stopped' 'send:kill -9 %1' 'sleep:1' 'send:jobs' 'sleep:0.5' \
		'resize:90x20' 'sleep:0.5' 'send:stty size' 'expect:20 90' 'sleep:0.5' 'send:exit' 'expect:built-in shell' 'expect:# ' 'sleep:0.5' 'send:stty size' \
		'expect:20 90' 'expect:# ' 'sleep:0.5' 'send:reboot' 'expect:Linux version' 'resize:70x40' 'expect:built-in shell' 'expect:# ' 'sleep:1' \
		'send:stty size' 'expect:40 70' 'expect:# ' 'sleep:0.5' 'send:poweroff' -- --append 'console=ttyS0'
	grep -q 'built-in shell' "$work/log" || fail "console: no shell"
	on_pty "console, --quiet-boot" 0 'expect:# ' 'refuse:Linux version' 'sleep:0.5' 'send:stty size' 'expect:33 101' \
		"send:$junk" 'sleep:1' 'send:echo ali''ve' 'expect:^alive' 'resize:90x20' 'sleep:0.5' 'send:echo still' 'expect:^still' \
		'send:poweroff' -- --quiet-boot
	on_pty "console, no root" 0 'expect:# ' 'expect:' 'send:poweroff' -- --quiet-boot --append 'console=ttyS0 root=/dev/vdz'
	grep -q '^disco-guest: cannot mount the root file system; this is the initramfs' "$work/log" ||
		fail "console, no root: $(head -n 3 "$work/log")"
}

usage() {
	local o
	for o in -t -T --tty --no-tty; do
		"${disco[@]}" $o >"$work/out" 2>"$work/err" </dev/null
		status=$?
		[ $status -eq 2 ] && grep -qE '^disco run: --(no-)?tty: only with a command' "$work/err" ||
			fail "$o without a command: status $status, $(cat "$work/err")"
	done
}

usage
descriptors
transparent
signals
ends
console
finish
