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
		while [ $i -lt '"$rounds"' ]; do
			dd if=/dev/zero bs=64k count=40 2>/dev/null | sha256sum
			ls -lR /bin /etc /proc/sys 2>/dev/null | wc -c >/dev/null
			i=$((i + 1))
		done | sort | uniq -c' </dev/null >"$work/$name.out" 2>"$work/$name.err"
	status=$?
	[ $status -eq 0 ] || grep -q "does not let memory be bound" "$work/$name.err" || fail "$name: status $status: $(tail -n 3 "$work/$name.err")"
}

rounds=12
run off
run on --numa sample,nodes=2 --numa-log "$work/log"
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

# The log has what --stats has counted; it is read, drawn, and told from a damaged one.
"$DISCO" numa "$work/log" --json --svg "$work/log.svg" >"$work/log.json" || fail "disco numa: status $?"
python3 - "$work"/on1.json "$work"/on2.json "$work/log.json" "$work/log.svg" "$work/log" <<'PY' || fail "the log"
import json, sys, xml.dom.minidom
on = [json.load(open(f))["nodes"] for f in sys.argv[1:3]]
log = json.load(open(sys.argv[3]))
assert log["complete"] and log["mode"] == "sample" and len(log["nodes"]) == 2, log
for word, counter in (("migrate", "migrated"), ("replicate", "replicated"), ("leave", "left"), ("refused", "refused")):
    assert [m["decisions"][word] for m in log["machines"]] == [n[counter] for n in on], (word, log["machines"], on)
    assert log["decisions"][word] == sum(n[counter] for n in on), word
assert [m["machine"] for m in log["machines"]] == ["vm1", "vm2"]
assert all(m["near-pages"] + m["far-pages"] > 4096 for m in log["machines"]), log["machines"]
assert log["decisions"]["freeze"] <= log["decisions"]["migrate"] and len(log["hottest"]) == 20
lines = [json.loads(line) for line in open(sys.argv[5])][1:]
assert all(e["node"] != e["from"] for e in lines if e["event"] in ("migrate", "replicate", "leave"))
assert any(e["event"] == "nodes" and sum(e["used"]) > 4096 for e in lines)
assert len(xml.dom.minidom.parse(sys.argv[4]).getElementsByTagName("polyline")) == 4
PY
"$DISCO" numa "$work/log" | grep -q '^migrate  *[1-9].*used by one node' || fail "disco numa shows no moves"
head -c 5000 "$work/log" >"$work/cut"
"$DISCO" numa "$work/cut" >/dev/null 2>"$work/err"
[ $? -eq 2 ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -q 'line [0-9]*: cut off in the middle' "$work/err" ||
	fail "a log that is cut off: $(cat "$work/err")"

# On nodes of the host: whatever it has, and lets be bound; the same sums.
rounds=2
run host --numa host,nodes=2
grep -q "does not let memory be bound" "$work/host.err" || [ "$(grep -o '[0-9a-f]\{64\}' "$work/off.out" | sort -u)" = "$(grep -o '[0-9a-f]\{64\}' "$work/host.out" | sort -u)" ] ||
	fail "--numa host: $(cat "$work/host.out"), without: $(cat "$work/off.out")"

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
refused 2 "must be off, sample, host or flash" --numa here
refused 2 "'l1=32K': must be nodes=" --numa sample,l1=32K
refused 2 "--numa sample: not with --icount" --numa sample --icount
nodes=$(ls -d /sys/devices/system/node/node[0-9]* 2>/dev/null | wc -l)
[ "$nodes" -ne 1 ] || refused 2 "this host has one node; nodes=2 and more lie on it together" --numa host
refused 2 "--numa-log: needs --numa" --numa-log "$work/none"
refused 1 "--numa-log $work/no/where: No such file" --numa sample --numa-log "$work/no/where"
finish
