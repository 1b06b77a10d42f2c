#!/bin/bash
# SPDX-License-Identifier: MIT
# `disco run --dump` of the kernel and of guests that write and remap their code: names that follow a kernel which moves
# itself, headings of what comes again, objects for scripts, and dumps that can be compared.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19 python3
build_guests

# ran BYTES APPEND OPTION...: the first of what a kernel that finds no root shows
fast=${KERNEL%vmlinuz}vmlinux # the same, unpacked
[ -e "$fast" ] || fast=$KERNEL
ran() {
	local bytes=$1 append=$2
	shift 2
	timeout -s INT 100 "$DISCO" run --kernel "$fast" --mem 64M --append "console=none $append" --no-reboot "$@" \
		2>&1 >/dev/null </dev/null | head -c "$bytes"
}

# ---- names, wherever the kernel is ----
linked=$("$DISCO" dump --kernel "$KERNEL" --at start_kernel --stage g | sed -n '1s/^block \([0-9a-f]*\) .*/\1/p')
[ -n "$linked" ] || fail "no start_kernel in the kernel"
at=$(ran 300 nokaslr --tiers 1 --dump g --dump-filter sym=start_kernel | sed -n '1s/^block \([0-9a-f]*\) <start_kernel> .*/\1/p')
[ "$at" = "$linked" ] || fail "nokaslr: start_kernel at '$at', not $linked"
at=$(ran 300 '' --tiers 1 --dump g --dump-filter sym=start_kernel | sed -n '1s/^block \([0-9a-f]*\) <start_kernel> .*/\1/p')
[ -n "$at" ] && [ "$at" != "$linked" ] && [ $(((0x$at - 0x$linked) % 0x10000)) -eq 0 ] ||
	fail "a kernel that moves itself: start_kernel at '$at', linked to $linked"

# ---- two runs, the same dump; without --stable the host's addresses are in it ----
for tiers in 1 2; do
	bytes=$((tiers == 1 ? 1000000 : 200000))
	for n in 1 2; do
		ran $bytes '' --icount --tiers $tiers --dump gioxh --stable >"$work/stable.$n"
	done
	[ "$(wc -c <"$work/stable.1")" -eq $bytes ] || fail "--tiers $tiers --stable: only $(wc -c <"$work/stable.1") bytes"
	cmp "$work/stable.1" "$work/stable.2" || fail "--tiers $tiers --stable: two runs differ"
	grep -qE '0x[0-9a-f]{12}' "$work/stable.1" && fail "--tiers $tiers --stable: addresses in it: $(grep -m1 -E '0x[0-9a-f]{12}' "$work/stable.1")"
done
for n in 1 2; do
	ran 20000 '' --icount --tiers 1 --dump h >"$work/plain.$n"
done
cmp -s "$work/plain.1" "$work/plain.2" && fail "the host's addresses are the same in two runs: this test shows nothing"
cmp <("$DISCO" dump --kernel "$KERNEL" --at memset+c --tier 2 --stable) \
	<("$DISCO" dump --kernel "$KERNEL" --at memset+c --tier 2 --stable) || fail "disco dump --stable: two dumps differ"
grep -q 'jump cache' "$work/stable.1" || grep -q 'fixed code\|stub' "$work/stable.1" || fail "--stable: no labels"

# ---- headings ----
guest() {
	timeout -s INT 100 "$DISCO" run --kernel "$guests/el/$1.elf" --icount --hot 8,sync --dump x "${@:2}" 2>&1 >/dev/null </dev/null
}
again() {
	grep -qE "^$1 .*; again: $2" "$work/said" || fail "$3: no heading of a $1 with '$2'"
}
guest smc | head -c 3000000 >"$work/said"
again block 'its code was written' smc
again region 'its code was written' smc
again region 'a write to its page dropped it' smc
again block 'for another entry, [0-9a-f]{8}; before for [0-9a-f]{8}$' smc
guest smc --jit-mem 1M | grep -m 1 'code memory was full' >"$work/said"
again block 'code memory was full' 'smc, 1M'
guest paging | head -c 600000 >"$work/said"
again region 'another page is there, with the same code' paging
again region 'another page is there, with other code' paging
ran 2000 nokaslr --tiers 1 --dump x --dump-filter sym=slab_is_available >"$work/said"
grep -q '^block .* <slab_is_available> .*; also in mode kernel,.*, here kernel,' "$work/said" ||
	fail "a block in several modes: $(grep '^block' "$work/said")"

# ---- objects, one a line ----
guest smc --json --dump gioxlLh | head -n 400 >"$work/json"
python3 - "$work/json" <<'END' || fail "--json"
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1]) if line.endswith("}\n")]
assert len(rows) > 300, len(rows)
tiers = [r for r in rows if r["kind"] == "block" and r["tier"] == 1]
regions = [r for r in rows if r["kind"] == "region"]
assert tiers and regions
for r in tiers:
    assert bytes.fromhex(r["host_bytes"]) and r["links"] is not None and len(r["guest"]) == r["instructions"]
for r in regions:
    assert r["blocks"][0]["pc"] == r["pc"] and "define" in r["llvm_after"] and r["host_text"] and r["stopped"]
assert any("its code was written" in r.get("again", "") for r in rows)
END
guest smc --json --stable --dump h | head -n 20 >"$work/json"
grep -q host_bytes "$work/json" && fail "--json --stable: bytes with addresses in them"
finish
