#!/bin/bash
# SPDX-License-Identifier: MIT
# --numa sample: two machines on two simulated nodes find what they find without; kernel and data of the one that runs on the second node come
# to it, by the counters of --stats (how many depends on where the scheduler has them run). What cannot be is one line.
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

# run NAME [OPTION...]: both compute and say the same
run() {
	local name=$1
	shift
	timeout 100 "$DISCO" run --vms 2 --processors 2 --kernel "$vmlinux" --initrd "$INITRD" --mem 64M --net none \
		--stats="$work/$name{n}.json" "$@" -- /bin/busybox sh -c '
		i=0
		while [ $i -lt 12 ]; do
			dd if=/dev/zero bs=64k count=40 2>/dev/null | sha256sum
			ls -lR /bin /etc /proc/sys 2>/dev/null | wc -c >/dev/null
			i=$((i + 1))
		done | sort | uniq -c' </dev/null >"$work/$name.out" 2>"$work/$name.err"
	status=$?
	[ $status -eq 0 ] || fail "$name: status $status: $(tail -n 3 "$work/$name.err")"
}

run off
run on --numa sample,nodes=2
for f in off on; do
	sort -o "$work/$f.out" "$work/$f.out" # whose line comes first is chance
done
cmp -s "$work/off.out" "$work/on.out" || fail "with nodes: $(cat "$work/on.out"), without: $(cat "$work/off.out")"
[ "$(grep -c '12 ' "$work/on.out")" -eq 2 ] || fail "not twelve equal sums of each: $(cat "$work/on.out")"
python3 - "$work"/on1.json "$work"/on2.json "$work"/off1.json <<'PY' || fail "the counters"
import json, sys
on = [json.load(open(f))["nodes"] for f in sys.argv[1:3]]
off = json.load(open(sys.argv[3]))["nodes"]
print(on, off)
assert not any(off.values()), off
moved = sum(n["migrated"] + n["replicated"] for n in on)
assert moved > 100, moved
assert all(n["migrated"] + n["replicated"] + n["left"] + n["refused"] == n["used"] <= n["sampled"] for n in on)
assert all(n["near"] + n["far"] > 16 << 20 for n in on)
PY

# refused STATUS TEXT OPTION...: one line that says TEXT
refused() {
	local want=$1 text=$2
	shift 2
	"$DISCO" run --kernel "$vmlinux" --initrd "$INITRD" "$@" </dev/null >/dev/null 2>"$work/err"
	status=$?
	[ $status -eq "$want" ] || fail "$*: status $status"
	[ "$(wc -l <"$work/err")" -eq 1 ] && grep -qF -- "$text" "$work/err" || fail "$*: $(cat "$work/err")"
}
refused 2 "nodes=0: too few; from 1 to 64" --numa sample,nodes=0
refused 2 "nodes=65: too many; from 1 to 64" --numa sample,nodes=65
refused 2 "must be off or sample" --numa flash
refused 2 "'l1=32K': must be nodes=" --numa sample,l1=32K
refused 2 "--numa: not with --icount" --numa sample --icount
finish
