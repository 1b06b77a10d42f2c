#!/bin/bash
# SPDX-License-Identifier: MIT
# disco top --functions: a guest whose time two functions take, four parts to one, is found in them, in that proportion; table, JSON, folded
# stacks, flame graph; bad input.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19 python3
build_guests
export XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$XDG_RUNTIME_DIR"
elf=$guests/el/functions.elf
top() { timeout 20 "$DISCO" top "$@"; }

refused() { # STATUS WORDS OPTION...
	local want=$1 words=$2
	shift 2
	top "$@" >/dev/null 2>"$work/err"
	local status=$?
	[ $status -eq "$want" ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -q -- "$words" "$work/err" ||
		fail "$*: status $status, $(cat "$work/err")"
}
refused 1 'no machine runs' --functions
: >"$work/out"
"$DISCO" run --name vm --control lab --kernel "$elf" --mem 64M </dev/null >"$work/out" 2>"$work/err.run" &
pid=$!
for _ in $(seq 400); do
	grep -q ready "$work/out" && break
	sleep 0.05
done
echo 'what was there' >"$work/kept"
refused 2 'for --functions only' --once vm
refused 2 'for --functions only' --once --seconds 1
refused 2 'only one of them' --functions --json --folded
refused 2 'must be' --functions --seconds 0
refused 1 'no machine' --functions none
refused 1 'no program or library' --functions --files "$work" --svg "$work/kept" vm
refused 1 'none/there' --functions --symbols "$work/none/there" --svg "$work/kept" vm
refused 1 'No such file' --functions --svg "$work/none/there" vm
[ "$(cat "$work/kept")" = 'what was there' ] || fail "--svg: a file is gone for nothing"

top --functions --seconds 1 --json --svg "$work/kept" vm >"$work/json" || fail "status $?"
top --functions --seconds 1 >"$work/table" || fail "status $?"
python3 - "$work" <<'END' || fail "$(cat "$work/json" "$work/table")"
import json, sys, xml.dom.minidom
got = json.load(open(sys.argv[1] + "/json"))
rows = {r["function"]: r for r in got["functions"]}
assert got["machine"] == "vm" and got["seconds"] == 1 and got["lost"] == 0, got
# a busy host gives it less than all of the second
assert got["samples"] >= 20, got
assert sum(r["samples"] for r in rows.values()) == got["samples"], got
assert got["functions"][0]["function"] == "hot" and rows["hot"]["where"] == "kernel", got
assert 60 < rows["hot"]["percent"] < 95 and "cool" in rows, got
table = open(sys.argv[1] + "/table").read().split("\n")
assert table[0].startswith("vm: ") and table[2].split()[2:] == ["hot", "kernel"], table
svg = xml.dom.minidom.parse(sys.argv[1] + "/kept")
titles = [t.firstChild.data.split(":")[0] for t in svg.getElementsByTagName("title")]
assert {"hot", "cool", "kernel", "all"} <= set(titles), titles
END
kill "$pid"
wait "$pid"
finish
