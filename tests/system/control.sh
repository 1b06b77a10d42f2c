#!/bin/bash
# SPDX-License-Identifier: MIT
# The control socket of a monitor: by a client of QMP (qmp.py), and by disco ps, stop, kill, pause, resume and reset; whose name it is, and what a
# killed monitor leaves.
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
cat >"$work/lab.yaml" <<-END
	defaults: {kernel: "$(realpath "$vmlinux")", initrd: "$(realpath "$INITRD")", mem: 64M, net: none, append: console=ttyS0}
	machines:
	  - {name: web, count: 2, disk: "$work/root.img,mode=cow"}
	  - {name: job, command: [sh, -c, 'trap "echo ends; exit 9" TERM; echo works; while :; do sleep 0.1; done']}
END
truncate -s 1M "$work/root.img"
sed -i 's/append: console=ttyS0/append: "console=ttyS0 panic=-1"/' "$work/lab.yaml"

# lines FILE REGEX N: until there are N
lines() {
	local i
	for ((i = 0; i < 900; i++)); do
		[ "$(cat "$1" 2>/dev/null | grep -cE "$2")" -ge "$3" ] && return
		sleep 0.1
	done
	fail "$1: no $3 lines with '$2': $(tail -n 3 "$1")"
}

start() {
	: >"$work/out" # which the one before has written to
	timeout 280 "$DISCO" up "$work/lab.yaml" >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	lines "$work/out" '^job\| works|^web[12]\| .*built-in shell' 3
}

# says STATUS TEXT COMMAND...: what disco COMMAND prints
says() {
	local want=$1 text=$2 got
	shift 2
	got=$(timeout 100 "$DISCO" "$@" 2>&1)
	status=$?
	[ $status -eq "$want" ] && [ "$got" = "$text" ] || fail "disco $*: status $status, '$got', not $want, '$text'"
}

# state MACHINE STATE
state() {
	local got
	got=$("$DISCO" ps | awk -v m="$1" '$2 == m { print $3 }')
	[ "$got" = "$2" ] || fail "$1: is '$got', not $2"
}

by_qmp() {
	start
	tests/system/qmp.py "$work/run/disco/lab.sock" query-version query-status:web1 query-cpus-fast:web2 query-block:web1 \
		stop:web1 event:STOP query-status:web1 cont:web1 event:RESUME query-status:web1 \
		system_reset:web1 event:RESET query-status:nobody no-such-command \
		system_powerdown:job event:SHUTDOWN x-query-machines:job quit event:SHUTDOWN event:SHUTDOWN >"$work/qmp" 2>&1 ||
		fail "qmp.py: $(tail -n 2 "$work/qmp")"
	wait "$pid"
	status=$?
	[ $status -eq 9 ] || fail "after quit: status $status: $(cat "$work/err")"
	sed -E 's/"(thread-id|up-ms)": [0-9]+/"\1": N/; s/"(major|minor|micro)": [0-9]+/"\1": N/g; s/"disco [0-9.]+"/"disco N"/; s/"up-ms": N, .*"exit-status"/"up-ms": N, ..., "exit-status"/; s/"x-machine": "web[12]", "guest": false, "reason": "host-qmp-quit"/W/' \
		"$work/qmp" >"$work/seen"
	cat >"$work/wanted" <<-END
		{"return": {"qemu": {"major": N, "minor": N, "micro": N}, "package": "disco N"}}
		{"return": {"status": "running", "running": true, "singlestep": false}}
		{"return": [{"cpu-index": 1, "qom-path": "/machine/web2/cpu0", "thread-id": N, "target": "mipsel", "props": {}, "x-machine": "web2"}]}
		{"return": [{"device": "vda", "type": "unknown", "locked": false, "removable": false, "inserted": {"file": "$work/root.img", "ro": false, "drv": "raw", "encrypted": false}, "x-machine": "web1"}]}
		{"return": {}}
		{"event": "STOP", "data": {"x-machine": "web1"}}
		{"return": {"status": "paused", "running": false, "singlestep": false}}
		{"return": {}}
		{"event": "RESUME", "data": {"x-machine": "web1"}}
		{"return": {"status": "running", "running": true, "singlestep": false}}
		{"return": {}}
		{"event": "RESET", "data": {"x-machine": "web1", "guest": false, "reason": "host-qmp-system-reset"}}
		{"error": {"class": "DeviceNotFound", "desc": "Machine 'nobody' not found"}}
		{"error": {"class": "CommandNotFound", "desc": "The command no-such-command has not been found"}}
		{"return": {}}
		{"event": "SHUTDOWN", "data": {"x-machine": "job", "guest": true, "reason": "guest-shutdown"}}
		{"return": [{"name": "job", "status": "shutdown", "vcpus": 1, "memory": 67108864, "up-ms": N, ..., "exit-status": 9}]}
		{"return": {}}
		{"event": "SHUTDOWN", "data": {W}}
		{"event": "SHUTDOWN", "data": {W}}
	END
	same "qmp" "$work/wanted" "$work/seen"
	[ -z "$(ls "$work/run/disco")" ] || fail "after quit: $(ls "$work/run/disco") is left"
}

by_commands() {
	local i
	start
	"$DISCO" ps --json | python3 -c 'import json, sys; assert [m["machine"] for m in json.load(sys.stdin)] == ["web1", "web2", "job"]' ||
		fail "disco ps --json: $("$DISCO" ps --json)"
	says 0 '' pause web1
	for ((i = 0; i < 100; i++)); do
		"$DISCO" ps | grep -qE 'web1 +paused' && break
		sleep 0.1
	done
	state web1 paused
	state web2 running
	tests/system/console.py --timeout 60 --log "$work/log" --pty 101x33 'expect:Linux version' 'expect:# ' \
		'send:echo "to $((6 * 7)) you"' 'expect:to 42 you' 'type:\x01h' 'expect:leave' 'type:\x01x' -- "$DISCO" console web2 2>"$work/err2" ||
		fail "disco console: $(tail -n 5 "$work/err2")"
	lines "$work/out" '^web2\| to 42 you' 1
	sed 's/^  - {name: job, command: .*/  - {name: job, stats: "\/dev\/null", command: [sh, -c, "echo works; while :; do :; done"]}/' "$work/lab.yaml" >"$work/busy.yaml"
	timeout 280 "$DISCO" up "$work/busy.yaml" >"$work/out2" 2>&1 </dev/null &
	local busy=$!
	lines "$work/out2" '^job\| works|^web[12]\| .*built-in shell' 3
	"$DISCO" top --once --json >"$work/top" || fail "disco top --once --json: status $?"
	python3 - "$work/top" <<-'END' || fail "disco top --once --json: $(cat "$work/top")"
		import json, sys
		top = json.load(open(sys.argv[1]))
		at = {(m["monitor"], m["machine"]): m for m in top["machines"]}
		assert set(at) == {(a, b) for a in ("lab", "busy") for b in ("web1", "web2", "job")}, at.keys()
		busy, idle = at["busy", "job"], at["busy", "web1"]
		assert busy["cpu-percent"] > 10 * idle["cpu-percent"] and busy["cpu-percent"] > 5, (busy, idle)
		assert busy["mips"] > 1 and busy["interpreted-percent"] + busy["tier1-percent"] + busy["tier2-percent"] in (98, 99, 100), busy
		assert all(m["vcpus"] == 1 and m["up-ms"] > 0 for m in at.values()), at
		assert "mips" not in at["lab", "job"], at["lab", "job"]
		assert all(0 < m["private"] + m["shared"] <= m["memory"] for m in at.values()), at
		assert {m["monitor"] for m in top["monitors"]} == {"lab", "busy"}
		assert all(0 < m["machine-memory"] < 3 * 64 << 20 and m["processors"] > 0 for m in top["monitors"]), top
	END
	"$DISCO" top --once >"$work/top" || fail "disco top --once: status $?"
	grep -qE '^busy +job +running +1 +[0-9.]+ +[0-9.]+ +[0-9]+% +[0-9]+% +64M' "$work/top" || fail "disco top --once: $(cat "$work/top")"
	tests/system/console.py --timeout 30 --log "$work/log" --pty 60x15 'expect:web1' 'raw:' 'type:M' 'expect:by memory' 'resize:30x8' \
		'type:\x1b[B' 'type:q' -- "$DISCO" top 2>"$work/err2" || fail "disco top on a terminal: $(tail -n 5 "$work/err2")"
	kill -TERM $busy
	wait $busy
	says 2 "disco top: --all: no such option; see 'disco help top'" top --all
	says 1 "disco console: nobody: no machine of that name runs; 'disco ps' lists those that do" console nobody
	# its time stands: nothing comes of it, and the others go on
	says 0 '' resume web1 lab/web2
	state web1 running
	says 1 "disco reset: lab: job: runs a command, which would be over with a reset" reset job
	says 1 "disco pause: nobody: no machine of that name runs; 'disco ps' lists those that do" pause nobody
	says 0 '' reset web1
	lines "$work/out" '^web1\| .*built-in shell' 2
	# the guest's own poweroff
	says 0 '' stop web1
	grep -q '^web1| .*reboot: Power down' "$work/out" || fail "disco stop: the guest did not switch itself off: $(grep '^web1' "$work/out" | tail -n 3)"
	state web1 shutdown
	says 0 '' stop job
	grep -q '^job| ends' "$work/out" || fail "disco stop: the command had no signal"
	says 0 '' kill web2
	wait "$pid"
	status=$?
	[ $status -eq 9 ] && [ "$(grep -v '^job| ' "$work/err")" = "disco up: 1 of 3 machines failed: job (status 9)" ] ||
		fail "after stop and kill: status $status, $(cat "$work/err")"
	says 0 '' ps
	# one that is stopped: said, and the others are listed
	start
	"$DISCO" run --kernel "$vmlinux" --initrd "$INITRD" --mem 64M --net none --control still -- sleep 1000 >/dev/null 2>&1 </dev/null &
	local still=$!
	for ((i = 0; i < 100; i++)); do
		"$DISCO" ps | grep -qE '^still +vm ' && break
		sleep 0.1
	done
	kill -STOP $still
	"$DISCO" ps >"$work/out2" 2>"$work/err2"
	[ $? -eq 1 ] && [ "$(cat "$work/err2")" = "disco ps: still: the monitor does not answer (is it stopped?)" ] && [ "$(grep -c '^lab ' "$work/out2")" -eq 3 ] ||
		fail "a stopped monitor: $(cat "$work/out2" "$work/err2")"
	kill -CONT $still
	kill -TERM $still "$pid"
	wait $still "$pid"
	says 2 "disco kill: the name of a machine is wanted" kill
	says 2 "disco ps: --all: no such option; see 'disco help ps'" ps --all
}

names() {
	local run=("$DISCO" run --kernel "$vmlinux" --initrd "$INITRD" --mem 64M --net none) first second
	"${run[@]}" --control lab -- sh -c 'echo works; sleep 1000' >"$work/out" 2>"$work/err" </dev/null &
	first=$!
	lines "$work/out" works 1
	"${run[@]}" --control lab -- echo on >"$work/out2" 2>"$work/err2" </dev/null
	status=$?
	[ $status -eq 2 ] && [ "$(cat "$work/err2")" = "disco run: --control lab: a monitor of that name runs already" ] && [ ! -s "$work/out2" ] ||
		fail "a name that is taken: status $status, $(cat "$work/err2")"
	kill -KILL $first
	wait $first 2>/dev/null
	[ -S "$work/run/disco/lab.sock" ] || fail "a killed monitor has removed its socket?"
	says 0 '' ps
	"${run[@]}" --control lab -- echo on >"$work/out2" 2>"$work/err2" </dev/null
	status=$?
	[ $status -eq 0 ] && [ "$(cat "$work/out2")" = on ] || fail "a name of a killed one: status $status, $(cat "$work/err2")"
	# without a name: several at once, and by MONITOR/MACHINE
	"${run[@]}" -- sh -c 'echo works; sleep 1000' >"$work/out" 2>/dev/null </dev/null &
	first=$!
	"${run[@]}" -- sh -c 'echo works; sleep 1000' >"$work/out2" 2>/dev/null </dev/null &
	second=$!
	lines "$work/out" works 1
	lines "$work/out2" works 1
	"$DISCO" stop vm 2>&1 | grep -q '^disco stop: vm: there are several, as run-[0-9]*/vm and run-[0-9]*/vm$' || fail "two of one name: no word of it"
	says 0 '' kill "run-$first/vm"
	wait $first
	says 0 '' stop vm
	wait $second
	[ $? -eq 143 ] || fail "disco stop: a command that SIGTERM ends: status $?"
	# a panic
	: >"$work/out"
	"${run[@]}" --control lab -- sh -c 'echo works; sleep 5; echo c >/proc/sysrq-trigger' >"$work/out" 2>/dev/null </dev/null &
	first=$!
	lines "$work/out" works 1
	tests/system/qmp.py "$work/run/disco/lab.sock" event:GUEST_PANICKED event:SHUTDOWN >"$work/qmp"
	wait $first
	[ $? -eq 125 ] && [ "$(cat "$work/qmp")" = '{"event": "GUEST_PANICKED", "data": {"x-machine": "vm", "action": "poweroff"}}
{"event": "SHUTDOWN", "data": {"x-machine": "vm", "guest": true, "reason": "guest-panic"}}' ] || fail "a panic: $(cat "$work/qmp")"
	# no folder for sockets: who has not asked for one can do without
	XDG_RUNTIME_DIR=/proc "${run[@]}" -- echo on >"$work/out" 2>"$work/err" </dev/null
	status=$?
	[ $status -eq 0 ] && [ "$(cat "$work/out")" = on ] && [ ! -s "$work/err" ] || fail "no folder: status $status, $(cat "$work/err")"
	XDG_RUNTIME_DIR=/proc "${run[@]}" --control x -- echo on >"$work/out" 2>"$work/err" </dev/null
	status=$?
	[ $status -eq 2 ] && [ "$(wc -l <"$work/err")" -eq 1 ] || fail "no folder, but a name: status $status, $(cat "$work/err")"
}

by_qmp
by_commands
names
finish
