#!/bin/bash
# SPDX-License-Identifier: MIT
# `disco run --perf map`: perf's map of a boot has the kernel's functions and the programs' by page content, no piece of code
# memory has two names, and perf, if it is here, finds names for samples in translated code.
set -u
. "$(dirname "$0")/lib.sh"
need python3
vmlinux=$(dirname "$KERNEL")/vmlinux
for f in "$vmlinux" "$INITRD" "$(dirname "$INITRD")/busybox"; do
	[ -e "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
run=("$DISCO" run --kernel "$vmlinux" --initrd "$INITRD" --mem 64M --control none)

refused() { # STATUS WORDS OPTION...
	local want=$1 words=$2
	shift 2
	timeout 20 "${run[@]}" "$@" -- true >/dev/null 2>"$work/err"
	local status=$?
	[ $status -eq "$want" ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -q -- "$words" "$work/err" ||
		fail "$*: status $status, $(cat "$work/err")"
}
refused 2 'must be off or map' --perf wrong
refused 2 'needs --perf' --perf-files "$work"
refused 2 'interp makes none' --perf map --tiers interp
refused 1 'no program or library' --perf map --perf-files "$work"

under=()
perf record -e cpu-clock -o "$work/probe" true >/dev/null 2>&1 &&
	under=(perf record -e cpu-clock -F 1000 -o "$work/data")
"${under[@]}" bash -c 'echo $$ >"$1" && exec "${@:2}"' - "$work/pid" "${run[@]}" --perf map \
	--perf-files "$(dirname "$INITRD")/busybox" -- sh -c 'echo it runs' >"$work/out" 2>"$work/err" </dev/null
status=$?
map=/tmp/perf-$(cat "$work/pid").map
[ $status -eq 0 ] && grep -qx 'it runs' "$work/out" || fail "status $status: $(cat "$work/err")"
python3 - "$map" <<'END' || fail "the map"
import re, sys
pieces, names = [], {}
for line in open(sys.argv[1]):
    m = re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) (\S+) \[(\S+), tier ([12])(, region of \d+)?(, cold)?\]\n", line)
    assert m, line
    pieces.append((int(m[1], 16), int(m[2], 16)))
    names.setdefault(m[4], set()).add(m[3].split("+")[0])
pieces.sort()
assert all(n for _, n in pieces)
for (a, n), (b, _) in zip(pieces, pieces[1:]):
    assert a + n <= b, (hex(a), n, hex(b))
for want in "start_kernel", "schedule", "memcpy":
    assert want in names["kernel"], want
unnamed = [n for n in names["kernel"] if re.fullmatch("[0-9a-f]{8}", n)]
assert len(unnamed) * 20 < len(names["kernel"]), unnamed[:9]
assert len(names["busybox"]) > 100, names.keys()
END
if [ ${#under[@]} -gt 0 ]; then
	perf report -i "$work/data" --sort sym --stdio >"$work/report" 2>/dev/null
	[ "$(grep -c '\[kernel, tier [12]' "$work/report")" -gt 20 ] || fail "perf names nothing: $(head -n 30 "$work/report")"
fi
rm -f "$map"
finish
