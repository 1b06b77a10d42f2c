#!/bin/bash
# SPDX-License-Identifier: MIT
# Several machines in one process (`disco run --vms N`): each with its number, whole lines with its name, one status for all; one that
# panics leaves the others; their consoles on a pipe and on a terminal; signals; and what is refused before anything starts.
# shellcheck disable=SC2016
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
disco=(timeout 300 "$DISCO" run --kernel "$vmlinux" --initrd "$INITRD" --mem 64M)
n=$'\n'

# try [OPTION...] [-- COMMAND...]
try() {
	"${disco[@]}" "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
}
# is WHAT STATUS SORTED-OUTPUT SORTED-ERROR-OUTPUT
is() {
	[ "$status" -eq "$2" ] || fail "$1: status $status, not $2: $(tail -n 3 "$work/err")"
	[ "$(sort "$work/out")" = "$3" ] || fail "$1: standard output is '$(sort "$work/out" | head -c 400)', not '$3'"
	[ "$(sort "$work/err")" = "$4" ] || fail "$1: standard error is '$(sort "$work/err" | head -c 400)', not '$4'"
}

commands() {
	local i
	for i in 1 2 3; do
		truncate -s 1M "$work/disk$i"
		echo "disk $i" | dd of="$work/disk$i" conv=notrunc status=none
	done
	try --vms 3 --env "A=a{n}" --disk "$work/disk{n}" --append console=ttyS0 -- \
		sh -c 'echo "{n} $A $(head -n 1 /dev/vda)"; echo "changed {n}" | dd of=/dev/vda conv=fsync 2>/dev/null; echo "e{n}" >&2; printf end'
	is "three commands" 0 "vm1| 1 a1 disk 1${n}vm1| end${n}vm2| 2 a2 disk 2${n}vm2| end${n}vm3| 3 a3 disk 3${n}vm3| end" \
		"vm1| e1${n}vm2| e2${n}vm3| e3"
	for i in 1 2 3; do
		[ "$(head -n 1 "$work/disk$i")" = "changed $i" ] || fail "disk $i: $(head -n 1 "$work/disk$i")"
	done
	try --vms 3 --name web -- sh -c 'n={n}; exit $(((n - 1) * 7))'
	is "statuses" 7 '' "disco run: 2 of 3 machines failed: web2 (status 7), web3 (status 14)"
	try --vms 2 --name 'a{n}z' -- sh -c 'cat; echo "no input"'
	is "names, input" 0 "a1z| no input${n}a2z| no input" ''
	try --vms 1 -- sh -c 'echo {n}; exit 3'
	is "one of them" 3 1 ''
	try -- sh -c 'echo {n}'
	is "without --vms" 0 '{n}' ''
}

# Two outputs of four machines into one pipe.
whole_lines() {
	local text='x123456789x123456789x123456789x123456789x123456789x123456789'
	"${disco[@]}" --vms 4 -- sh -c "i=0; while [ \$i -lt 400 ]; do echo \"out \$i $text\"; echo \"err \$i $text\" >&2; i=\$((i + 1)); done" \
		2>&1 </dev/null | cat >"$work/out"
	[ "$(wc -l <"$work/out")" -eq 3200 ] || fail "whole lines: $(wc -l <"$work/out") of 3200"
	grep -vE "^vm[1-4]\| (out|err) [0-9]+ $text\$" "$work/out" | head -n 3 >"$work/torn"
	[ ! -s "$work/torn" ] || fail "torn lines: $(cat "$work/torn")"
	for i in 1 2 3 4; do
		grep "^vm$i| out" "$work/out" | cut -d ' ' -f 3 | cmp -s - <(seq 0 399) || fail "vm$i: lines that are not there, or in another order"
	done
	"${disco[@]}" --vms 2 -- sh -c 'while :; do echo y; done' 2>"$work/err" </dev/null | head -n 1 >"$work/first"
	status=${PIPESTATUS[0]}
	[ $status -eq 141 ] || fail "output that nobody reads: status $status: $(cat "$work/err")"
}

one_that_fails() {
	try --vms 3 -- sh -c 'echo "begins {n}"; if [ {n} = 2 ]; then echo c >/proc/sysrq-trigger; fi; sleep 2; echo "goes on {n}"'
	[ $status -eq 125 ] || fail "one that panics: status $status"
	[ "$(sort "$work/out")" = "vm1| begins 1${n}vm1| goes on 1${n}vm2| begins 2${n}vm3| begins 3${n}vm3| goes on 3" ] ||
		fail "one that panics: $(cat "$work/out")"
	grep -qxF 'disco run: vm2: the guest panicked before the command had ended' "$work/err" || fail "one that panics: $(tail -n 3 "$work/err")"
	[ "$(tail -n 1 "$work/err")" = "disco run: 1 of 3 machines failed: vm2 (status 125)" ] || fail "one that panics: $(tail -n 1 "$work/err")"
}

signals() {
	local i pid
	"${disco[@]:2}" --vms 3 -- sh -c 'trap "echo got; exit {n}" INT; echo ready; while :; do sleep 0.1; done' >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	for ((i = 0; i < 600; i++)); do
		[ "$(grep -c ready "$work/out")" -eq 3 ] && break
		sleep 0.1
	done
	kill -INT "$pid"
	wait "$pid"
	status=$?
	is "SIGINT" 1 "vm1| got${n}vm1| ready${n}vm2| got${n}vm2| ready${n}vm3| got${n}vm3| ready" \
		"disco run: 3 of 3 machines failed: vm1 (status 1), vm2 (status 2), vm3 (status 3)"
	# a reader that takes nothing
	mkfifo "$work/slow"
	sleep 1000 <>"$work/slow" &
	local holder=$! start
	"${disco[@]:2}" --vms 3 -- sh -c 'echo ready >&2; yes' >"$work/slow" 2>"$work/err" </dev/null &
	pid=$!
	for ((i = 0; i < 600; i++)); do
		[ "$(grep -c ready "$work/err")" -eq 3 ] && break
		sleep 0.1
	done
	sleep 1
	start=$(date +%s%N)
	kill -TERM "$pid"
	wait "$pid"
	status=$?
	[ $status -eq 143 ] || fail "SIGTERM, and nobody reads: status $status"
	[ $((($(date +%s%N) - start) / 1000000)) -lt 2500 ] || fail "SIGTERM, and nobody reads: took $((($(date +%s%N) - start) / 1000000)) ms"
	kill $holder
}

consoles() {
	local k=(--append 'console=ttyS0 me={n}')
	# on a pipe
	"${disco[@]:2}" --vms 2 "${k[@]}" >"$work/out" 2>"$work/err" </dev/null &
	local pid=$!
	for ((i = 0; i < 600; i++)); do
		grep -q '^vm1| .*Run /init' "$work/out" && grep -q '^vm2| .*Run /init' "$work/out" && break
		sleep 0.1
	done
	kill -TERM $pid
	wait $pid
	status=$?
	[ $status -eq 143 ] || fail "consoles on a pipe: status $status: $(cat "$work/err")"
	grep -vE '^vm[12]\| ' "$work/out" | head -n 3 >"$work/torn"
	[ ! -s "$work/torn" ] || fail "consoles on a pipe: $(cat "$work/torn")"
	# on a terminal
	tests/system/console.py --timeout 120 --log "$work/log" --pty 101x33 \
		'expect:--- vm1: shown now' 'expect:# ' 'send:cat /proc/cmdline' 'expect:me=1' \
		'type:\x01n' 'expect:--- vm2: shown now' 'expect:# ' 'send:cat /proc/cmdline' 'expect:me=2' \
		'type:\x01n' 'expect:--- vm3: shown now' 'expect:Linux version' 'expect:# ' \
		'type:\x01b' 'expect:--- vm2: shown now' \
		'send:sleep 2; echo "later $((6 * 7))"' 'type:\x01b' 'expect:--- vm1: shown now' 'sleep:4' 'refuse:later 42' \
		'type:\x01n' 'expect:--- vm2: shown now' 'expect:later 42' \
		'type:\x01h' 'expect:Ctrl-A n' \
		'send:poweroff' 'expect:--- vm2: has ended' 'expect:--- vm3: shown now' 'send:cat /proc/cmdline' 'expect:me=3' \
		'type:\x01b' 'expect:--- vm2: shown now; it has ended' 'type:\x01x' \
		-- "${disco[@]:2}" --vms 3 "${k[@]}" 2>"$work/err"
	status=$?
	[ $status -eq 0 ] || fail "consoles on a terminal: status $status: $(tail -n 20 "$work/err")"
}

# refused WHAT LINE OPTION...
refused() {
	local what=$1 line=$2
	shift 2
	try "$@"
	[ $status -eq 2 ] || fail "$what: status $status, not 2"
	[ "$(cat "$work/err")" = "disco run: $line" ] || fail "$what: '$(cat "$work/err")'"
	[ ! -s "$work/out" ] || fail "$what: something was started: $(head -n 2 "$work/out")"
}

bad_input() {
	local have
	refused "no machine" "--vms 0: must be from 1 to 1000" --vms 0 -- echo on
	refused "too many" "--vms 1001: must be from 1 to 1000" --vms 1001 -- echo on
	refused "one image" "--disk $work/disk1: vm1 writes to it, and vm2 has it too; mode=cow gives each a layer of its own" \
		--vms 2 --disk "$work/disk1" -- echo on
	refused "one overlay" "--disk: overlay $work/ov: vm1 writes to it, and vm2 has it too; {n} in its name is each one's number" \
		--vms 2 --disk "$work/disk1,overlay=$work/ov" -- echo on
	[ ! -e "$work/ov" ] || fail "one overlay: it was made"
	refused "a disk that is not there" "--disk $work/disk4: No such file or directory" --vms 4 --disk "$work/disk{n}" -- echo on
	refused "a terminal" "--tty: there is one terminal, and there are several machines" --vms 2 -t -- echo on
	have=$(($(awk '/^MemTotal:/ { print $2 }' /proc/meminfo) / 1024))
	if [ "$have" -lt 250000 ]; then
		try --vms 1000 --mem 256M -- echo on
		[ $status -eq 2 ] && grep -qxE 'disco run: --mem: 1000 machines with 256000M together, and this host has only [0-9]+M' "$work/err" ||
			fail "too much memory: status $status, $(cat "$work/err")"
	fi
	# one of them cannot be opened: a port that is taken
	try --vms 2 --net user,hostfwd=tcp::18765-:80 -- echo on
	[ $status -eq 2 ] && [ ! -s "$work/out" ] || fail "a port for two: status $status, $(cat "$work/out")"
	grep -q '^disco run: vm2: --net: .*18765' "$work/err" || fail "a port for two: $(cat "$work/err")"
}

repeatable() {
	local alone state='[0-9]+ instructions, state [0-9a-f]{16}'
	# several machines share the code of a kernel that stays where it was linked to
	try --icount --no-reboot --append 'nokaslr console=ttyS0 disco.run=smoke'
	[ $status -eq 0 ] || fail "--icount: status $status"
	alone=$(grep -oE "^disco run: $state" "$work/err" | cut -d ' ' -f 3-)
	[ -n "$alone" ] || fail "--icount: $(cat "$work/err")"
	try --vms 2 --icount --no-reboot --append 'console=ttyS0 disco.run=smoke'
	[ "$(sort "$work/err")" = "disco run: vm1: $alone${n}disco run: vm2: $alone" ] || fail "--icount: $alone alone, and $(cat "$work/err")"
}

# Code memory that is full again and again: everything is dropped, with all machines outside of it.
little_code_memory() {
	try --vms 3 --jit-mem 2M --stats="$work/flushed.{n}" -- sh -c 'seq 3000 | sort -r | sha256sum'
	[ $status -eq 0 ] || fail "--jit-mem 2M: status $status: $(cat "$work/err")"
	[ "$(grep -c '"flushes": [1-9][0-9]' "$work/flushed.1")" = 1 ] || fail "--jit-mem 2M: never full, nothing was tested"
	[ "$(cut -d ' ' -f 2 "$work/out" | sort | uniq -c | xargs)" = "3 $(seq 3000 | sort -r | sha256sum | cut -d ' ' -f 1)" ] ||
		fail "--jit-mem 2M: $(cat "$work/out")"
}

# A directory of the host's by its default name in each.
shares() {
	echo of the host >"$work/hello"
	try --vms 2 --share "$work,ro" -- cat /mnt/share/hello
	is "--share" 0 "vm1| of the host${n}vm2| of the host" ""
}

commands
shares
little_code_memory
whole_lines
one_that_fails
signals
consoles
bad_input
repeatable
finish
