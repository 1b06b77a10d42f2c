#!/bin/bash
# SPDX-License-Identifier: MIT
# Whatever a guest does, one SIGTERM ends the run within two seconds, and --timeout ends it with 124; what disks were given is
# there.  SIGUSR1 prints statistics.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19 cc
build_guests
# A kernel and initramfs make the test longer, not another one.
linux=()
[ -f "$KERNEL" ] && [ -f "$INITRD" ] && linux=(--kernel "$KERNEL" --initrd "$INITRD")
limit_ms=2000

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# start OPTION...: a run in the background; $pid, output in out and err (or where `to` says)
start() {
	: >"$work/out"
	"$DISCO" run "$@" </dev/null >"${to:-$work/out}" 2>"$work/err" &
	pid=$!
}

# wait_for PATTERN: until the guest has printed that
wait_for() {
	local i
	for ((i = 0; i < 600; i++)); do
		grep -q -- "$1" "$work/out" && return
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	fail "'$1' was not printed: $(tail -n 2 "$work/out" "$work/err")"
}

# On a busy host everybody is late: a process that sleeps for MS meanwhile tells how much. An end takes a handful of wake-ups.
# sleeper MS; sleeper_late WANTED: $late, if that is not 0
sleeper() {
	(
		from=$(now_ms)
		sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"
		echo $(($(now_ms) - from - $1)) >"$work/late"
	) &
	sleeper=$!
}
sleeper_late() {
	late=0
	[ "$1" -ne 0 ] || kill -KILL $sleeper 2>/dev/null
	wait $sleeper 2>/dev/null
	[ "$1" -eq 0 ] || late=$((6 * $(cat "$work/late")))
}

# ends WHAT SIGNAL STATUS: send it, and see how and when the run ends
ends() {
	local start took status late
	start=$(now_ms)
	sleeper 1700
	kill "-$2" "$pid" || fail "$1: has ended before: $(tail -n 2 "$work/err")"
	(
		sleep 10
		kill -KILL "$pid" 2>/dev/null
	) &
	local killer=$!
	wait "$pid"
	status=$?
	took=$(($(now_ms) - start))
	kill -KILL "$killer" 2>/dev/null # a signal that no trap of a shell sees
	wait "$killer" 2>/dev/null
	sleeper_late $((took > limit_ms))
	[ $status -eq "$3" ] || fail "$1: status $status, not $3: $(tail -n 2 "$work/err")"
	[ $took -le $((limit_ms + late)) ] || fail "$1: took $took ms, and a sleeper was $late ms late"
	printf '%-52s status %3d, %4d ms\n' "$1" $status $took
}

bare() {
	local how tiers
	for tiers in interp 1 2 12; do
		for how in s w p d c r; do
			start --tiers $tiers --mem 32M --kernel "$guests/el/stuck.elf" --append $how
			wait_for ready
			[ $how != d ] || sleep 1 # its console may be gone
			sleep 0.3
			ends "guest '$how', --tiers $tiers" TERM 143
		done
	done
	for how in s w r; do
		start --icount --mem 32M --kernel "$guests/el/stuck.elf" --append $how
		wait_for ready
		ends "guest '$how', --icount" TERM 143
	done
	start --mem 32M --kernel "$guests/el/stuck.elf"
	wait_for ready
	ends "SIGINT" INT 130
	start --mem 32M --kernel "$guests/el/stuck.elf"
	wait_for ready
	ends "SIGHUP" HUP 129
}

# Places where the run waits for somebody else.
waiting() {
	local holder
	mkfifo "$work/kernel" "$work/slow" "$work/stuck"
	start --kernel "$work/kernel"
	sleep 0.5
	ends "before the kernel can be read" TERM 143
	sleep 1000 <"$work/slow" &
	holder=$!
	to=$work/slow start --mem 32M --kernel "$guests/el/stuck.elf" --append p
	sleep 2
	ends "output that nobody takes" TERM 143
	kill $holder

	# a disk whose host does not answer: what it does with files hangs in the system call
	cat >"$work/hang.c" <<-'END'
		#include <unistd.h>
		#include <sys/uio.h>
		int fdatasync(int fd) { for (;;) sleep(1000); }
	END
	cc -shared -fPIC -o "$work/hang.so" "$work/hang.c" || fail "cc"
	truncate -s 1M "$work/disk.img"
	LD_PRELOAD=$work/hang.so start --mem 32M --net none --kernel "$guests/el/stuck.elf" --disk "$work/disk.img"
	wait_for ready
	ends "a disk whose close hangs" TERM 143
}

in_linux() {
	local t holder sum status=0
	for t in 0.3 1 2 3; do
		start "${linux[@]}" --append console=ttyS0
		sleep $t
		ends "Linux, $t s into its boot" TERM 143
	done
	start "${linux[@]}" -- sh -c 'echo ready; sleep 1000'
	wait_for ready
	ends "a command that SIGTERM ends" TERM 143
	# on a busy host its time may be over before it has had some
	for t in 1 2 3; do
		start "${linux[@]}" -- sh -c 'trap "echo bye; exit 7" TERM; echo ready; while :; do sleep 0.1; done'
		wait_for ready
		kill -TERM "$pid"
		wait "$pid" || status=$?
		[ $status -eq 7 ] && break
	done
	[ $status -eq 7 ] || fail "a command that ends itself: status $status, not 7"
	grep -q '^bye' "$work/out" || fail "a command that ends itself: its last words are not there"
	start "${linux[@]}" -- sh -c 'trap "" TERM HUP; echo ready; while :; do sleep 0.1; done'
	wait_for ready
	ends "a command that ignores it" TERM 143
	start "${linux[@]}" -- sh -c 'trap "" TERM HUP; echo ready; while :; do sleep 0.1; done'
	wait_for ready
	ends "a command that ignores SIGHUP" HUP 129
	# nobody in the guest passes the signal on
	start "${linux[@]}" -- sh -c 'echo ready; sleep 1; kill -STOP $PPID; sleep 100'
	wait_for ready
	sleep 1.5
	ends "an agent that is stopped" TERM 143
	# all work done, and nobody takes what was printed
	sleep 1000 <"$work/slow" &
	holder=$!
	to=$work/slow start "${linux[@]}" -- sh -c 'yes | head -c 300000; echo ready >&2'
	for _ in $(seq 300); do
		grep -q ready "$work/err" && break
		sleep 0.1
	done
	sleep 0.5
	ends "a command's output that nobody takes" TERM 143
	kill $holder

	# what the guest has written and flushed is in the overlay's file, and the disk can be used again
	truncate -s 8M "$work/base.img"
	start "${linux[@]}" --disk "$work/base.img,mode=cow,overlay=$work/overlay" --append console=ttyS0 -- \
		sh -c 'trap "" TERM; echo kept | dd of=/dev/vda bs=512 seek=9 conv=fsync 2>/dev/null; echo ready; while :; do sleep 0.1; done'
	wait_for ready
	ends "with an overlay" TERM 143
	sum=$(timeout 60 "$DISCO" run "${linux[@]}" --disk "$work/base.img,mode=cow,overlay=$work/overlay" \
		--append console=ttyS0 -- sh -c 'dd if=/dev/vda bs=512 skip=9 count=1 2>/dev/null | head -n 1' \
		</dev/null 2>&1)
	[ "$sum" = kept ] || fail "with an overlay: '$sum' is in it"
}

# runs WHAT STATUS MINIMUM-MS MAXIMUM-MS OPTION...
runs() {
	local what=$1 status=$2 least=$3 most=$4 start took late
	shift 4
	start=$(now_ms)
	sleeper "$most"
	"$DISCO" run "$@" >"$work/out" 2>"$work/err" </dev/null
	local seen=$?
	took=$(($(now_ms) - start))
	[ $seen -eq "$status" ] || fail "$what: status $seen, not $status: $(tail -n 2 "$work/err")"
	sleeper_late $((took > most))
	[ $took -ge "$least" ] && [ $took -le $((most + late)) ] || fail "$what: took $took ms"
	printf '%-52s status %3d, %4d ms\n' "$what" $seen $took
}

timeouts() {
	local n said start
	said='disco run: --timeout 0.7: the run took longer, and was ended'
	runs "--timeout" 124 700 2500 --timeout 0.7 --mem 32M --kernel "$guests/el/stuck.elf"
	[ "$(tr -d '\r' <"$work/err")" = "$said" ] || fail "--timeout: said '$(cat "$work/err")'"
	runs "--timeout, resets" 124 700 2500 --timeout 0.7 --mem 32M --kernel "$guests/el/stuck.elf" --append r
	[ "$(tr -d '\r' <"$work/err")" = "$said" ] || fail "--timeout, resets: said '$(cat "$work/err")'"
	runs "--timeout, not reached" 0 0 60000 --timeout 100 --no-reboot --mem 32M --kernel "$guests/el/stuck.elf" --append r
	[ ! -s "$work/err" ] || fail "--timeout, not reached: said '$(cat "$work/err")'"
	LD_PRELOAD=$work/hang.so runs "--timeout, a disk whose close hangs" 124 700 2700 --timeout 0.7 --net none --mem 32M \
		--kernel "$guests/el/stuck.elf" --disk "$work/disk.img"
	[ "$(tr -d '\r' <"$work/err")" = "$said" ] || fail "--timeout, a disk whose close hangs: said '$(cat "$work/err")'"
	[ ${#linux[@]} -gt 0 ] || return
	# three times what it takes on this host to come up
	start=$(now_ms)
	"$DISCO" run "${linux[@]}" -- true </dev/null || fail "true: status $?"
	n=$(((3 * ($(now_ms) - start) + 3000) / 1000))
	for said in 'echo ready; sleep 1000' 'trap "" TERM; echo ready; while :; do sleep 1; done'; do
		runs "--timeout, $said" 124 $((n * 1000)) $((n * 1000 + 2500)) --timeout "$n.0" "${linux[@]}" -- sh -c "$said"
		[ "$(cat "$work/out")" = ready ] || fail "--timeout, $said: did not run"
		[ "$(wc -l <"$work/err")" -eq 1 ] || fail "--timeout, $said: $(cat "$work/err")"
	done
}

statistics() {
	local i
	start --mem 32M --kernel "$guests/el/stuck.elf" --append p
	wait_for ready
	kill -USR1 "$pid"
	for ((i = 0; i < 50; i++)); do
		grep -q '^Exits from translated code' "$work/err" && break
		sleep 0.1
	done
	grep -q 'instructions are counted with --stats only' "$work/err" || fail "SIGUSR1: $(head -n 3 "$work/err")"
	grep -q '^Exits from translated code' "$work/err" || fail "SIGUSR1: no statistics: $(head -n 3 "$work/err")"
	ends "after SIGUSR1" TERM 143

	# the file has the last report, whole; asleep or not
	start --stats="$work/stats" --mem 32M --kernel "$guests/el/stuck.elf" --append w
	wait_for ready
	for ((i = 0; i < 3; i++)); do
		: >"$work/stats"
		kill -USR1 "$pid"
		sleep 0.5
		python3 -c 'import json, sys; s = json.load(open(sys.argv[1])); sys.exit(not s["insns"]["tier1"] > 1000)' \
			"$work/stats" || fail "SIGUSR1 $i: $(head -c 300 "$work/stats")"
	done
	ends "after SIGUSR1, asleep" TERM 143
	python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$work/stats" || fail "--stats=FILE after SIGUSR1: not JSON"
}

bare
waiting
[ ${#linux[@]} -eq 0 ] || in_linux
timeouts
statistics
finish
