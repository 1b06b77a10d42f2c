#!/bin/bash
# SPDX-License-Identifier: MIT
# disco bench: every benchmark reports, without and in Linux; --only, --json, and what it says when something is missing.
set -u
. "$(dirname "$0")/lib.sh"
need python3 clang-19 ld.lld-19
for f in "$KERNEL" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
bench/micro/build "$work/programs" || fail "bench/micro/build"

# bench STATUS OPTION...: into $work/out, $work/err
bench() {
	local want=$1 status
	shift
	timeout 900 "$DISCO" bench --qemu none --programs "$work/programs" "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status -eq "$want" ] || fail "disco bench $*: status $status, not $want: $(tail -n 3 "$work/err")"
}

bench 0 --kernel "$KERNEL" --initrd "$INITRD" --json "$work/json"
python3 - "$work/json" <<'END' || fail "what disco bench wrote"
import json, subprocess, sys
r = json.load(open(sys.argv[1]))
names = [b["name"] for b in r["benchmarks"]]
with open("vmm/bench/micro.def") as f:
    want = [line[6:line.index(",")] for line in f if line.startswith("MICRO(")]
assert names == want, set(want) ^ set(names)
for b in r["benchmarks"]:
    d = b["disco"]
    assert 0 < d["min"] <= d["median"] <= d["max"], b
    assert len(d["samples"]) == 5, b
devices = {d["name"]: d for d in r["devices"]}
for name in ("disk", "net"):
    d = devices[name]
    assert d["requests"] > 100 and 0 < d["notifies"] <= d["requests"], d
END
for name in add load_miss exec block_stream net_send; do
	grep -q "^$name " "$work/out" || fail "no $name in the table"
done
bench 0 --only add,fp_add
[ "$(grep -cE '^(add|fp_add) ' "$work/out")" = 2 ] || fail "--only add,fp_add"
! grep -qE '^(call|mfc0|syscall) ' "$work/out" || fail "--only add,fp_add shows others"
bench 0 --list
[ "$(wc -l <"$work/out")" = "$(grep -c '^MICRO(' vmm/bench/micro.def)" ] || fail "--list"
bench 2 --only nothing
bench 2 --kernel "$KERNEL"
bench 1 --only syscall --timeout 1 --kernel "$KERNEL" --initrd "$INITRD"
grep -q 'no end after 1 s' "$work/err" || fail "--timeout: $(cat "$work/err")"
bench 2 --programs "$work/none"
[ -z "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'disco-bench-*' -newer "$work/programs" -print -quit)" ] || fail "scratch files are left"
finish
