#!/bin/bash
# SPDX-License-Identifier: MIT
# LLVM's code where it is seldom reached by itself: a Debian boot with commands, most of it in tier 2 (--hot), beside the same
# in tier 1.
set -u
. "$(dirname "$0")/lib.sh"
need python3
for f in "$KERNEL" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
hot=4000,sync
[ "${DISCO_TEST_LENGTH:-short}" = short ] || hot=100,sync

command='seq 1 3000 | sort -rn | md5sum; echo hello | gzip | gunzip; awk "BEGIN { for (i = 1; i < 300; i++) s += i / 3; print s }"; for i in 1 2 3 4 5 6; do (exit $i); echo $?; done; ls -R /etc | wc -l; cat /proc/cpuinfo | head -n 3'

# boot NAME OPTION...
boot() {
	local name=$1 status
	shift
	timeout 900 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --stats="$work/$name.json" "$@" -- sh -c "$command" \
		</dev/null >"$work/$name" 2>"$work/err"
	status=$?
	[ $status -eq 0 ] || fail "$*: status $status: $(tail -n 3 "$work/err")"
	[ ! -s "$work/err" ] || fail "$*: on standard error: $(head -n 3 "$work/err")"
}

boot tier1 --tiers 1
boot tier2 --hot $hot
same "--tiers 1, --hot $hot" "$work/tier1" "$work/tier2"
python3 - "$work/tier2.json" <<'PY' || fail "too little of it was in tier 2"
import json, sys
insns = json.load(open(sys.argv[1]))["insns"]
one, two = insns["tier1"], insns["tier2"]
share = 100 * two / (one + two)
print(f"--hot: {share:.1f} % of {one + two} instructions in tier 2")
sys.exit(share < 80)
PY
finish
