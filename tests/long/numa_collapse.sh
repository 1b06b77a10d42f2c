#!/bin/bash
# SPDX-License-Identifier: MIT
# One writer among readers: each page has a copy on each reader's node, a write leaves one, and nobody reads what was there before. ROUNDS (1e6)
# collapses, of a page by itself (tests/unit/numa_replica.c) and under a guest of eight vCPUs on eight nodes (guest/splashos/pages.c), which
# checks all that it reads; a tenth of that without tier 2. `make test` has the same with fewer (numa_replica, tests/system/numa_flash.sh).
set -u
cmake --build "$(dirname "$0")/../../build/release" --target disco unit_numa_replica || exit 1
. "$(dirname "$0")/../system/lib.sh"
: "${ROUNDS:=1000000}"
need clang-19 ld.lld-19 python3
splash=$PWD/build/splashos
guest/splashos/build "$splash" || exit 1
DISCO_ROUNDS=$ROUNDS build/release/tests/unit_numa_replica --filter replica/one_writer_among_readers || fail "a page by itself"

# guest TIERS COLLAPSES
guest() {
	local pages=8 rounds=$(($2 / 8 + $2 / 800 + 1)) # now and then a page has not got its copies when it is written to
	"$DISCO" run --kernel "$splash/el/pages" --vcpus 8 --mem 16M --control none --tiers "$1" --stats="$work/stats.json" \
		--numa flash,nodes=8,memory=64M,l1=2K,l2=8K,interval-us=500,trigger=32,sharing=8,moves=1000,freeze=1000000,thaw=1 \
		--append "pattern=2 n=$pages rounds=$rounds" </dev/null >"$work/out" 2>"$work/err" || fail "tiers $1: status $?"
	cat "$work/out"
	grep -q "^pages: ok, .* 0 wrong$" "$work/out" || fail "tiers $1: $(cat "$work/err")"
	python3 - "$work/stats.json" "$2" <<'PY' || fail "tiers $1: too few collapses"
import json, sys
s = json.load(open(sys.argv[1]))["simulated"]
print("%d collapses, %d copies, %.1f s of simulated time" % (s["collapsed"], s["replicated"], s["time_ns"] / 1e9))
assert s["collapsed"] >= int(sys.argv[2]) and s["replicated"] >= 5 * s["collapsed"], s
PY
}
guest 12 "$ROUNDS"
guest 1 $((ROUNDS / 10))
finish
