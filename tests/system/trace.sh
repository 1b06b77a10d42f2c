#!/bin/bash
# SPDX-License-Identifier: MIT
# --trace: events of two machines, by name; the last ones when a Linux panics, in all formats; switched on and off while a machine runs;
# what is wrong with it costs no file.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19 python3
build_guests
export XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$XDG_RUNTIME_DIR"
elf=$guests/el/debug.elf

# refused STATUS WHAT TRACE: one line on standard error, and a file that was there stays as it was
refused() {
	local status
	echo old >"$work/old"
	timeout 20 "$DISCO" run --kernel "$elf" --trace "$3" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status -eq "$1" ] || fail "--trace $3: status $status"
	grep -qF -- "$2" "$work/err" && [ "$(wc -l <"$work/err")" -eq 1 ] || fail "--trace $3: $(cat "$work/err")"
	[ "$(cat "$work/old")" = old ] || fail "--trace $3: it has written over $work/old"
}
refused 2 "no event is called that" "exception,nothing*,file=$work/old"
refused 2 "must be text, json or perfetto" "exception,file=$work/old,format=xml"
refused 2 "which events?" "file=$work/old"
refused 2 "file= is there already" "exception,file=$work/old,file=$work/x"
refused 1 "No such file" "exception,file=$work/no/where"
"$DISCO" run --trace help | grep -q '^tlb_miss ' || fail "--trace help"

# a panic: the last events of the machine, and a file that Perfetto opens
timeout 60 "$DISCO" run --kernel "$KERNEL" --append 'console=ttyS0 panic=-1' --no-reboot --net none \
	--trace "exception,tlb_*,sched*,translate,tier2*,file=$work/p.json,format=perfetto" </dev/null >"$work/out" 2>"$work/err"
[ $? -eq 1 ] || fail "panic: not status 1"
grep -q 'the last events of --trace' "$work/err" || fail "panic: $(tail -n 3 "$work/err")"
[ "$(grep -cE '^ +[0-9]+\.[0-9]{9} (vm/0|monitor) [a-z0-9_]+ [a-z]+=' "$work/err")" -eq 32 ] || fail "panic: no 32 events: $(tail -n 3 "$work/err")"
python3 - "$work/p.json" <<'END' || fail "Perfetto"
import collections, json, sys
events = json.load(open(sys.argv[1]))
n = collections.Counter(e["name"] for e in events)
assert all(n[name] > 0 for name in ("exception", "tlb_write", "tlb_miss", "translate", "tier2_ask", "sched_run", "process_name")), n
depth = collections.Counter()
for e in events:
    depth[e["pid"], e["tid"]] += {"B": 1, "E": -1}.get(e["ph"], 0)
    assert depth[e["pid"], e["tid"]] in (0, 1), e
    assert e["ph"] != "X" or e["dur"] >= 0
END

# two machines: which events come from whom
timeout 20 "$DISCO" run --kernel "$elf" --mem 64M --vms 2 --no-reboot --trace "translate,sched*,file=$work/t.txt" </dev/null >"$work/out" 2>"$work/err" ||
	fail "two machines: status $?"
for vm in vm1 vm2; do
	grep -qE " $vm/0 translate pc=0x8[0-9a-f]+ mode=0x[0-9a-f]+ insns=[0-9]+ took=[0-9]+ns$" "$work/t.txt" || fail "$vm: no translations"
	grep -q " $vm/0 sched_stop why=ended$" "$work/t.txt" || fail "$vm: it has not ended"
done

# one that runs, and disco monitor
rm "$work/out" # it has what is waited for
"$DISCO" run --control lab --kernel "$elf" --mem 64M --append spin --trace "translate,link,file=none" </dev/null >"$work/out" 2>"$work/err" &
pid=$!
for _ in $(seq 400); do
	grep -qs debug: "$work/out" && break
	sleep 0.02
done
# look WANT COMMAND...
look() {
	local want=$1
	shift
	timeout 20 "$DISCO" monitor vm trace "$@" >"$work/said" 2>&1
	grep -qE -- "$want" "$work/said" || fail "trace $*: no '$want' in $(head -n 3 "$work/said")"
}
look '^translate +on '
look '^sched_run +off '
look 'no event is called that' nothing on
look 'on, or off' 'sched*'
look 'must be a number' last 99999
look '^ +[0-9.]+ vm/0 (translate|link) pc=0x' last 5
timeout 20 "$DISCO" monitor vm trace 'sched*' on || fail "sched* on"
look '^sched_run +on '
timeout 20 "$DISCO" monitor vm trace '*' off || fail "* off"
look '^translate +off '
grep -q ' on  ' "$work/said" && fail "trace '*' off: $(grep ' on  ' "$work/said")"
kill "$pid"
wait "$pid"
finish
