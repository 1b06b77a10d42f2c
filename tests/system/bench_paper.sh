#!/bin/bash
# SPDX-License-Identifier: MIT
# `disco bench paper`: its parts on recorded data, what is wrong with the command line, a step of figure 8; where there is an image (IMAGE), a run of
# table 2, which is kept.
set -u
. "$(dirname "$0")/lib.sh"
need python3
python3 tests/system/bench_paper.py >"$work/out" 2>&1 || fail "$(cat "$work/out")"

# refused TEXT ARGUMENT...: status 2, one line that says TEXT
refused() {
	local text=$1
	shift
	"$DISCO" bench paper "$@" </dev/null >/dev/null 2>"$work/err"
	local status=$?
	[ $status -eq 2 ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -qF -- "$text" "$work/err" || fail "bench paper $*: status $status: $(cat "$work/err")"
}
refused "there are figure5, " --disk /dev/null --only figure5,figure9
refused "no such file" --disk "$work/none.img"
refused "--timeout" --disk "$work" --timeout never

# one step in earnest: Radix on eight simulated nodes
need clang-19 ld.lld-19
guest/splashos/build "$PWD/build/splashos" || fail "guest/splashos/build"
python3 -B - "$DISCO" <<'PY' || fail "a step on simulated nodes"
import sys, types
sys.path[:0] = ["bench", "bench/programs"]
from paper_bench import figures, runs
args = types.SimpleNamespace(disco=sys.argv[1], splash="build/splashos/el", quick=True, timeout=100)
done = {"figure8-radix-on": {"result": runs.numa(args, "Radix", "on")}}
r = done["figure8-radix-on"]["result"]
assert r["us"] > 100 and r["result"].startswith("65536 keys, 8 threads, sum ") and r["counters"]["remote"] > 1000, r
assert sum(n["local-misses"] for n in r["log"]["nodes"]) == r["counters"]["local"], r
rows = {x["name"]: x["ours"] for x in figures.make(done, {"figure8", "table3"})[1]["rows"]}
assert rows["Radix"]["migrations/s"] is not None and rows["Raytrace"] is None, rows
PY

[ -f "${IMAGE:-}" ] || finish
paper() { timeout 150 "$DISCO" bench paper --quick --disk "$IMAGE" --dir "$work/paper" "$@" </dev/null >"$work/out" 2>"$work/err"; }
paper --only table2 || fail "table 2: status $?: $(cat "$work/err")"
python3 - "$work/paper/paper.json" <<'PY' || fail "table 2"
import json, sys
table = json.load(open(sys.argv[1]))["figures"][0]
rows = {r["name"]: r["ours"] for r in table["rows"]}
assert rows["QUICK_FAULT"] is None and all(rows[n]["bare us"] > 0 and 0.2 < rows[n]["slowdown"] < 20 for n in rows if n != "QUICK_FAULT"), rows
PY
grep -q '^DEMAND_ZERO .*1.42' "$work/out" || fail "no table: $(cat "$work/out")"
[ -s "$work/paper/table2.svg" ] || fail "no drawing"
paper --only table2 || fail "again: status $?"
[ "$(grep -c ': kept$' "$work/err")" -eq 2 ] || fail "what was run is run again: $(cat "$work/err")"
finish
