#!/bin/bash
# SPDX-License-Identifier: MIT
# --numa flash: programs on SPLASHOS with four vCPUs on four simulated nodes.  Two runs are the same to the cycle, in counters, decisions and the
# machine's state; so are all tiers.  What the programs find is what they find without a simulated machine.  Bad parameters are one line.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19 python3
splash=$PWD/build/splashos
guest/splashos/build "$splash" || {
	fail "guest/splashos/build"
	finish
}

# program NAME FILE OPTION...: what it prints in $work/FILE.out, its state in .err, its counters in .json
program() {
	local name=$1 file=$2
	shift 2
	timeout 100 "$DISCO" run --kernel "$splash/el/$name" --vcpus 4 --mem 16M --control none --stats="$work/$file.json" "$@" \
		</dev/null >"$work/$file.out" 2>"$work/$file.err" || fail "$name $*: status $?: $(cat "$work/$file.out" "$work/$file.err")"
	grep -q "^$name: ok, " "$work/$file.out" || fail "$name $*: $(head -n 1 "$work/$file.out")"
	sed -E 's/, [0-9]+ us$//' "$work/$file.out" >"$work/$file.result"
}

# small caches: what these programs have fits into real ones, and would not miss
flash=flash,nodes=4,memory=32M,l1=2K,l2=16K,trigger=32,sharing=8
for one in "counters n=512" "radix n=4096" "lu n=48" "ocean n=16"; do
	set -- $one
	program "$1" off --processors 2 --append "$2"
	program "$1" sample --processors 2 --numa sample,nodes=2 --append "$2"
	rm -f "$work"/first.*
	for tiers in 12 12 1 interp; do
		program "$1" "this" --numa $flash --numa-log "$work/this.log" --tiers $tiers --append "$2"
		grep -qE '^disco run: [0-9]+ instructions, state [0-9a-f]{16}$' "$work/this.err" || fail "no state: $(cat "$work/this.err")"
		python3 - "$work/this.json" >"$work/this.simulated" <<'PY' || fail "$1 --tiers $tiers: the counters"
import json, sys
j = json.load(open(sys.argv[1]))
s = j["simulated"]
print(j["virtual_ns"], s)
assert s["executed"] > 10000 and s["local"] > 50 and s["remote"] > 50, s
assert s["cycles"] * 4 >= s["executed"] + s["idle"] + s["monitor"] + s["l2_stall"] + s["local_stall"] + s["remote_stall"], s
PY
		[ -e "$work/first.out" ] || for f in out err simulated log; do cp "$work/this.$f" "$work/first.$f"; done
		for f in out err simulated log; do same "$1 --tiers $tiers: $f" "$work/first.$f" "$work/this.$f"; done
	done
	"$DISCO" numa "$work/this.log" --json --svg "$work/this.svg" >"$work/log.json" || fail "$1: disco numa: status $?"
	python3 - "$work/this.json" "$work/log.json" "$1" <<'PY' || fail "$1: the log"
import json, sys
s, log = json.load(open(sys.argv[1]))["simulated"], json.load(open(sys.argv[2]))
d = log["decisions"]
assert log["simulated"] and log["complete"] and len(log["nodes"]) == 4, log
assert (d["migrate"], d["replicate"], d["collapse"], d["leave"], d["refused"]) == tuple(
    s[k] for k in ("migrated", "replicated", "collapsed", "left", "refused")), (d, s)
assert abs(log["cost-ns"]["replicate"] * 400 / 1000 - s["replication_cycles"]) <= d["replicate"], (log["cost-ns"], s)
assert sum(n["pages-used"] for n in log["nodes"]) > 10, log["nodes"]
assert sum(n["local-misses"] for n in log["nodes"]) == s["local"] and sum(n["remote-misses"] for n in log["nodes"]) == s["remote"]
assert all(p["misses"] >= 32 for p in log["hottest"]), log["hottest"]
sys.exit(not log["hottest"] and sys.argv[3] != "counters")
PY
	[ "$1" = radix ] || [ "$1" = counters ] || for f in off sample; do same "$1: flash and $f" "$work/$f.result" "$work/this.result"; done
	python3 - "$work/off.json" <<'PY' || fail "counters without a simulated machine"
import json, sys
assert not any(json.load(open(sys.argv[1]))["simulated"].values())
PY
done

# Four vCPUs on three nodes: one whose processor has two goes to one that has nothing to do, among pages that have copies.  On all tiers the same.
rm -f "$work"/first.*
for tiers in 12 1 interp; do
	program pages "this" --numa flash,nodes=3,memory=32M,l1=2K,l2=8K,trigger=32,interval-us=1000 --tiers $tiers --append "pattern=1 rounds=100"
	[ -e "$work/first.out" ] || for f in out err; do cp "$work/this.$f" "$work/first.$f"; done
	for f in out err; do same "pages on three nodes, --tiers $tiers: $f" "$work/first.$f" "$work/this.$f"; done
done

# pattern N ROUNDS SETTINGS CONDITION: how pages are used in common (guest/splashos/pages.c), and what becomes of them
pattern() {
	program pages pattern --numa "flash,nodes=4,memory=32M,l1=2K,l2=8K,$3" --append "pattern=$1 rounds=$2"
	python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))["simulated"]
near = s["local"] / (s["local"] + s["remote"])
print(near, s["migrated"], s["replicated"], s["collapsed"])
assert eval(sys.argv[2])' "$work/pattern.json" "$4" >"$work/out" 2>&1 || fail "pattern $1: not $4: $(cat "$work/out")"
}
pattern 0 1000 interval-us=2000 's["migrated"] == 8 and not s["replicated"] and near > 0.95'
pattern 1 1000 interval-us=2000 's["replicated"] == 24 and not s["migrated"] and near > 0.95'
pattern 2 200 interval-us=500,trigger=32,sharing=8,moves=1000,freeze=1000000,thaw=1 's["replicated"] > 1000 and s["collapsed"] > 500'
pattern 3 500 interval-us=2000 's["migrated"] == s["replicated"] == s["collapsed"] == 0 and s["left"] > 100'

# refused TEXT OPTION...: status 2 and one line that says TEXT
refused() {
	local text=$1
	shift
	"$DISCO" run --kernel "$splash/el/lu" --vcpus 4 "$@" </dev/null >/dev/null 2>"$work/err"
	status=$?
	[ $status -eq 2 ] || fail "$*: status $status"
	[ "$(wc -l <"$work/err")" -eq 1 ] && grep -qF -- "$text" "$work/err" || fail "$*: $(cat "$work/err")"
}
refused "nodes=0: too few; from 1 to 64" --numa flash,nodes=0
refused "nodes=65: too many; from 1 to 64" --numa flash,nodes=65
refused "at most 64 processors" --numa flash,nodes=33,cpus-per-node=2
refused "memory=128M is less than the guests' 256M" --numa flash,memory=128M --mem 256M
refused "memory=256M is less than the guests' 512M" --numa flash --vms 2 --mem 256M
refused "local-ns=-300: negative" --numa flash,local-ns=-300
refused "line=100: must be a power of two" --numa flash,line=100
refused "no power of two of sets" --numa flash,l1=33K
refused "l2 must hold what l1 does" --numa flash,l1=64K,l2=32K
refused "'bogus=1': must be nodes=" --numa flash,bogus=1
refused "not a number" --numa flash,trigger=many
refused "--processors: not with --numa flash" --numa flash --processors 2
refused "--shares: not with --numa flash" --numa flash --shares 10
finish
