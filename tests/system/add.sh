#!/bin/bash
# SPDX-License-Identifier: MIT
# `disco add` and `disco rm`: machines that come and go while others run; what cannot be leaves the others as they were; many rounds give back
# what they took.
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
export XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$work/run"
mkdir "$work/lab"
ln -s "$(realpath "$vmlinux")" "$work/lab/vmlinux"
ln -s "$(realpath "$INITRD")" "$work/lab/initrd"
rounds=30 # tests/tsan/add_rm.c has 50, without Linux
[ "${DISCO_TEST_LENGTH:-short}" = long ] && rounds=100
loop='echo "works at $(cat /sys/class/net/eth0/address)"; i=0; while sleep 1; do i=$((i + 1)); echo "count $i"; done'

# config NAME REST: of a machine that is to be added
config() {
	cat >"$work/lab/$1.yaml" <<-END
		defaults: {kernel: vmlinux, initrd: initrd, mem: 48M, net: lan, append: console=ttyS0}
		machines:
		- {name: $1, $2}
	END
}

# until COUNT REGEX: there are so many such lines
until_lines() {
	local i
	for ((i = 0; i < ${DISCO_TEST_WAIT:-400}; i++)); do
		[ "$(cat "$work/out" 2>/dev/null | grep -cE "$2")" -ge "$1" ] && return
		sleep 0.1
	done
	fail "no $1 lines with '$2': $(tail -n 3 "$work/out" "$work/err")"
}

# says STATUS TEXT COMMAND...: what disco COMMAND prints
says() {
	local want=$1 text=$2 got
	shift 2
	got=$(timeout 100 "$DISCO" "$@" 2>&1)
	status=$?
	[ $status -eq "$want" ] && [ "$got" = "$text" ] || fail "disco $*: status $status, '$got', not $want, '$text'"
}

# start REST-OF-MONITOR
start() {
	cat >"$work/lab/lab.yaml" <<-END
		monitor: {${1:-}}
		defaults: {kernel: vmlinux, initrd: initrd, mem: 48M, net: lan, append: console=ttyS0}
		machines:
		- {name: a, command: [sh, -c, '$loop']}
		- {name: b, disk: data.img, command: [sh, -c, '$loop']}
	END
	truncate -s 1M "$work/lab/data.img"
	timeout 280 "$DISCO" up "$work/lab/lab.yaml" >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	until_lines 2 '^[ab]\| works at 02:00:00:00:0[12]:01$'
}

# They count, and have never begun again.
others_go_on() {
	local n
	n=$(grep -cE '^[ab]\| count' "$work/out")
	until_lines $((n + 4)) '^[ab]\| count'
	[ "$(grep -cE '^[ab]\| works' "$work/out")" -eq 2 ] || fail "$1: the others are not as they were: $(grep -E '^[ab]\| works' "$work/out")"
}

machine_bytes() {
	"$DISCO" top --once --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["monitors"][0]["machine-memory"])'
}
rss_kib() { awk '/^RssAnon|^RssShmem/ { n += $2 } END { print n }' "/proc/$(pgrep -P "$pid" disco)/status"; }
descriptors() { find "/proc/$(pgrep -P "$pid" disco)/fd" -maxdepth 1 | wc -l; }
threads() { find "/proc/$(pgrep -P "$pid" disco)/task" -maxdepth 1 | wc -l; }

comes_and_goes() {
	start 'jit-mem: 16M' # which is full then after some rounds, and grows no more
	config c "command: [sh, -c, '$loop']"
	says 0 '' add "$work/lab/c.yaml"
	until_lines 1 '^c\| works at 02:00:00:00:03:01$'
	says 1 "disco rm: c: runs; 'disco stop' has it end, or --force" rm c
	says 2 "disco add: $work/lab/c.yaml:3: --name c: there are two of that name" add "$work/lab/c.yaml"
	says 0 '' kill c
	"$DISCO" ps | grep -qE '^lab +c +shutdown' || fail "after kill: $("$DISCO" ps)"
	says 2 "disco add: $work/lab/c.yaml:3: --name c: there are two of that name" add "$work/lab/c.yaml"
	says 0 '' rm c
	"$DISCO" ps | grep -qE '^lab +c ' && fail "after rm: $("$DISCO" ps)"
	says 1 "disco rm: c: no machine of that name is there; 'disco ps' lists those that are" rm c
	others_go_on "one came and went"
	# with a console, by a client of QMP, which sees it come and go
	tests/system/qmp.py "$work/run/disco/lab.sock" event:X_MACHINE_ADDED event:X_MACHINE_REMOVED event:SHUTDOWN >"$work/qmp" 2>&1 &
	local client=$!
	sleep 0.5
	config d "cpu: max"
	says 0 '' add --control lab "$work/lab/d.yaml"
	until_lines 1 '^d\| .*built-in shell'
	says 0 '' rm --force d
	wait $client || fail "qmp.py: $(cat "$work/qmp")"
	[ "$(cat "$work/qmp")" = '{"event": "X_MACHINE_ADDED", "data": {"x-machine": "d"}}
{"event": "X_MACHINE_REMOVED", "data": {"x-machine": "d"}}
{"event": "SHUTDOWN", "data": {"x-machine": "d", "guest": false, "reason": "host-qmp-quit"}}' ] || fail "events: $(cat "$work/qmp")"
}

refused() {
	local before
	before=$(descriptors),$(threads)
	config c 'disk: data.img'
	says 2 "disco add: $work/lab/c.yaml:3: --disk $work/lab/data.img: b writes to it, and c has it too; mode=cow gives each a layer of its own" \
		add "$work/lab/c.yaml"
	config c 'kernel: data.img'
	says 2 "disco add: $work/lab/c.yaml:3: --kernel $work/lab/data.img: not an ELF file" add "$work/lab/c.yaml"
	config c 'initrd: nowhere'
	says 2 "disco add: $work/lab/c.yaml:3: --initrd $work/lab/nowhere: No such file or directory" add "$work/lab/c.yaml"
	config c 'colour: red'
	says 2 "disco add: $work/lab/c.yaml:3: colour: no such key; they are the options of 'disco help run'" add "$work/lab/c.yaml"
	config c 'stats: true'
	"$DISCO" add "$work/lab/c.yaml" 2>&1 | grep -q '^disco add: .*c.yaml: --stats: this monitor does not count' || fail "--stats: no word of it"
	# what is found only when it is opened: a port that somebody has
	config c "net: 'user,hostfwd=tcp::18767-:80'"
	says 0 '' add "$work/lab/c.yaml"
	config e "net: 'user,hostfwd=tcp::18767-:80'"
	"$DISCO" add "$work/lab/e.yaml" 2>"$work/why"
	[ $? -eq 2 ] && [ "$(wc -l <"$work/why")" -eq 1 ] && grep -q '^disco add: e: --net: .*18767' "$work/why" || fail "a port for two: $(cat "$work/why")"
	"$DISCO" ps | grep -qE '^lab +e ' && fail "a port for two: $("$DISCO" ps)"
	says 0 '' rm --force c
	# a share that has been a directory; the configuration itself
	says 2 "disco add: $work/none.yaml: No such file or directory" add "$work/none.yaml"
	says 2 "disco add: /dev/zero: is longer than 24K, which one machine's configuration is not" add /dev/zero
	says 1 "disco add: none: no monitor of that name runs; 'disco ps' lists those that do" add --control none "$work/lab/c.yaml"
	says 2 "disco add: the name of one configuration file is wanted" add
	says 2 "disco rm: the name of a machine is wanted" rm --force
	others_go_on "some were refused"
	[ "$(descriptors),$(threads)" = "$before" ] || fail "some were refused: descriptors and threads $before, then $(descriptors),$(threads)"
	[ ! -s "$work/err" ] || fail "some were refused: the monitor said: $(cat "$work/err")"
}

many_rounds() {
	local i n at bytes rss now
	config c 'command: echo works'
	for ((i = 1; i <= rounds; i++)); do
		n=$(grep -c '^c| works$' "$work/out")
		"$DISCO" add "$work/lab/c.yaml" || fail "round $i: add"
		# in all states: before it has booted, while it does, when it has ended
		case $((i % 5)) in
		0) until_lines $((n + 1)) '^c\| works$' ;;
		1) ;;
		*) sleep "0.$((i % 5))" ;;
		esac
		"$DISCO" rm --force c || fail "round $i: rm"
		if [ $i -eq $((rounds / 2)) ]; then
			sleep 0.3
			bytes=$(machine_bytes) rss=$(rss_kib)
			at=$(descriptors),$(threads)
		fi
	done
	sleep 0.3
	[ "$(descriptors),$(threads)" = "$at" ] || fail "$rounds rounds: descriptors and threads $at, then $(descriptors),$(threads)"
	echo "after $((rounds / 2)) rounds machine memory $((bytes >> 10)) KiB, resident $rss KiB; after $rounds $(($(machine_bytes) >> 10)) KiB, $(rss_kib) KiB"
	[ "$(machine_bytes)" -le $((bytes + (2 << 20))) ] || fail "$rounds rounds: machine memory $bytes, then $(machine_bytes)"
	for ((i = 0; i < 50; i++)); do # what LLVM has while it compiles goes when it is done; what is lost stays
		now=$(rss_kib)
		[ "$now" -le $((rss + 3072)) ] && break
		sleep 0.2
	done
	[ "$now" -le $((rss + 3072)) ] || fail "$rounds rounds: $rss KiB, then $now KiB"
	others_go_on "$rounds rounds"
	[ ! -s "$work/err" ] || fail "$rounds rounds: the monitor said: $(cat "$work/err")"
	# the last ones: it ends
	says 0 '' rm --force a
	says 0 '' rm --force b
	wait "$pid"
	status=$?
	[ $status -eq 0 ] || fail "after all are gone: status $status, $(cat "$work/err")"
}

not_these() {
	start 'icount: true'
	config c 'command: echo works'
	says 2 "disco add: --icount: a run that is to be repeated has the machines that it began with, and no others" add "$work/lab/c.yaml"
	others_go_on "--icount"
	kill "$pid"
	wait "$pid"
	"$DISCO" run --kernel "$vmlinux" --initrd "$INITRD" --mem 48M --control one -- sleep 1000 >"$work/out" 2>&1 </dev/null &
	pid=$!
	sleep 3
	says 2 "disco add: this monitor is of one machine; others can be added to one that was begun with several, or with --several" add "$work/lab/c.yaml"
	kill $pid
	wait $pid
	"$DISCO" run --several --name a --kernel "$vmlinux" --initrd "$INITRD" --mem 48M --control one -- sh -c 'echo works; sleep 1000' >"$work/out" 2>&1 </dev/null &
	pid=$!
	until_lines 1 '^a\| works'
	says 0 '' add "$work/lab/c.yaml"
	until_lines 1 '^c\| works'
	kill $pid
	wait $pid
}

comes_and_goes
refused
many_rounds
not_these
finish
