#!/bin/bash
# SPDX-License-Identifier: MIT
# Neighbours: beside a machine that panics, one that spins with interrupts off, one that wrecks its devices, one with a fork bomb, and one that
# fills its disk and its memory, two that compute have their share of the one processor, and find what they must.
set -u
. "$(dirname "$0")/lib.sh"
need python3 clang-19 ld.lld-19
build_guests
vmlinux=$(dirname "$KERNEL")/vmlinux
for f in "$vmlinux" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
export XDG_RUNTIME_DIR=$work
name=neighbours
for i in 1 2 fill; do
	head -c 4M /dev/urandom >"$work/disk$i"
	cp "$work/disk$i" "$work/was$i"
done

ln -s "$(realpath "$vmlinux")" "$work/vmlinux"
ln -s "$(realpath "$INITRD")" "$work/initrd"
ln -s "$guests/el/stuck.elf" "$work/stuck.elf"
cat >"$work/lab.yaml" <<-END
	monitor: {control: $name, processors: 1, timeout: 170}
	defaults: {kernel: vmlinux, mem: 48M, append: console=ttyS0}
	machines:
	  - name: good
	    initrd: initrd
	    count: 2
	    disk: ["disk{n}"]
	    command: [sh, -c, 'while :; do echo pass \$(sha256sum </dev/vda | cut -d" " -f1); done']
	  - name: panics
	    initrd: initrd
	    command: [sh, -c, 'echo begins; echo c >/proc/sysrq-trigger; sleep 100']
	  - {name: spins, kernel: stuck.elf, append: s, cpu: max}
	  - {name: wrecks, kernel: stuck.elf, append: d, cpu: max}
	  - name: bomb
	    initrd: initrd
	    command: [sh, -c, 'echo begins; b() { b | b & }; b; while :; do b; done']
	  - name: fills
	    initrd: initrd
	    disk: [diskfill]
	    command: [sh, -c, 'echo begins; while :; do cat /dev/zero >/dev/vda; head -c 16M /dev/zero >/tmp/x; rm /tmp/x; done 2>/dev/null']
END
"$DISCO" up "$work/lab.yaml" >"$work/out" 2>"$work/err" </dev/null &
pid=$!

# wait_for PATTERN: a line of some machine's
wait_for() {
	for _ in $(seq 1200); do
		grep -qE "$1" "$work/out" "$work/err" && return
		kill -0 $pid 2>/dev/null || break
		sleep 0.1
	done
	fail "no '$1': $(tail -n 3 "$work/out" "$work/err")"
}
for pattern in '^[^|]*good1\| pass' 'good2\| pass' 'bomb\| begins' 'fills\| begins' 'spins\| ready' 'wrecks\| ready' 'panics: the guest panicked'; do
	wait_for "$pattern"
done

# The processor's time in the next seconds, by machine.
socket=$(find "$work" -type s -name "$name*" | head -n 1)
tests/system/qmp.py "$socket" x-query-machines sleep:6 x-query-machines >"$work/samples" || fail "the control socket"
python3 - "$work/samples" <<-'END' || fail "shares: see above"
	import json, sys
	before, after = [{m["name"]: m for m in json.loads(line)["return"]} for line in open(sys.argv[1])]
	used = {name: after[name]["processor-ms"] - before[name]["processor-ms"] for name in after
	        if after[name]["status"] == "running"}
	fair = sum(used.values()) / len(used)
	print({name: m["status"] for name, m in after.items()}, used, f"fair: {fair:.0f} ms")
	wrong = [name for name in ("good1", "good2") if used.get(name, 0) < 0.8 * fair]
	wrong += ["panics"] if after["panics"]["status"] != "guest-panicked" else []
	sys.exit(f"wrong: {wrong}" if wrong else 0)
END
kill $pid
wait $pid
for i in 1 2; do
	sum=$(sha256sum <"$work/was$i" | cut -d' ' -f1)
	grep -q "good$i| pass $sum" "$work/out" || fail "good$i did not get on"
	! grep "good$i| pass" "$work/out" | grep -v "pass $sum" || fail "good$i found other data"
	cmp -s "$work/disk$i" "$work/was$i" || fail "good$i's disk has been changed"
done
finish
