#!/bin/bash
# SPDX-License-Identifier: MIT
# `disco dump` and --dump: the structure of what they print; host addresses and host code are the host's business.
set -u
disco=${DISCO:?} kernel=${KERNEL:?}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
	echo "FAIL: $*" >&2
	failed=1
}

# same NAME FILE: standard input is what FILE must be
same() { diff -u - "$2" >&2 || fail "$1"; }

# refused STATUS WORDS COMMAND...: this exit status, one line on standard error that has the words
refused() {
	local want=$1 words=$2 status
	shift 2
	"$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
	[ $status -eq "$want" ] || fail "$*: status $status, not $want"
	[ "$(wc -l <"$work/err")" -eq 1 ] || fail "$*: $(wc -l <"$work/err") lines of error"
	grep -qF -- "$words" "$work/err" || fail "$*: '$(cat "$work/err")' lacks '$words'"
}

loop=(24420001 0x1443fffe 00000000 03e00008 00000000)

# ---- text ----
"$disco" dump --words "${loop[@]}" --stage gx >"$work/tier1" || fail "tier 1: status $?"
same "tier 1" "$work/tier1" <<'END'
block 80001000 kernel, tier 1, 3 instructions
  80001000  24420001   addiu $v0, $v0, 1
  80001004  1443fffe   bne $v0, $v1, 0x80001000
  80001008  00000000 | nop
 links
  ends: conditional branch
  taken -> 80001000 (unmapped: direct link)
  not taken -> 8000100c (unmapped: direct link)
block 8000100c kernel, tier 1, 2 instructions
  8000100c  03e00008   jr $ra
  80001010  00000000 | nop
 links
  ends: return (ring)
END

printf '80001000 T count_up\n8000100c t done\n' >"$work/map"
"$disco" dump --words "${loop[@]}" --stage gx --tier 2 --symbols "$work/map" >"$work/tier2" || fail "tier 2: status $?"
same "tier 2" "$work/tier2" <<'END'
block 80001000 <count_up> kernel, tier 2, 3 instructions
  80001000  <count_up>      24420001   addiu $v0, $v0, 1
  80001004  <count_up+0x4>  1443fffe   bne $v0, $v1, 0x80001000
  80001008  <count_up+0x8>  00000000 | nop
block 8000100c <done> kernel, tier 2, 2 instructions
  8000100c  <done>      03e00008   jr $ra
  80001010  <done+0x4>  00000000 | nop
region 80001000 <count_up> kernel, tier 2, 2 blocks, 5 instructions
 stopped: nothing more to reach
 block 80001000 <count_up>, 3 instructions
  ends: conditional branch
  taken -> 80001000 <count_up> (in the region)
  not taken -> 8000100c <done> (in the region)
 block 8000100c <done>, 2 instructions
  ends: return (ring)
END

# words from standard input are the same words
printf '%s,\n' "${loop[@]}" | "$disco" dump --words - --stage gx >"$work/stdin" || fail "standard input: status $?"
same "standard input" "$work/stdin" <"$work/tier1"

# every stage has its title, in this order, and the passes do something
"$disco" dump --words "${loop[@]}" --stage girfdolLh --tier 2 >"$work/all" || fail "all stages: status $?"
grep -E '^( IR| LLVM| host|block 8|region 8)' "$work/all" | sed 's/ [0-9a-f]\{8\}.*//' >"$work/titles"
same "titles" "$work/titles" <<'END'
block
 IR as lifted
 IR after pass regs
 IR after pass fold
 IR after pass dce
 IR after passes
block
 IR as lifted
 IR after pass regs
 IR after pass fold
 IR after pass dce
 IR after passes
region
 LLVM IR before optimisation
 LLVM IR after optimisation
 host code, tier 2
END
for tier in 1 2; do
	"$disco" dump --words "${loop[@]}" --stage h --tier $tier --symbols "$work/map" >"$work/host" || fail "host $tier"
	grep -q $'^\t; 80001000 <count_up>: 24420001$' "$work/host" || fail "tier $tier: no guest pc in the host code"
	grep -q $'^\t\t\t; %[0-9]* = add ' "$work/host" || fail "tier $tier: no IR in the host code"
	grep -qE '^ +[0-9a-f]+  j[a-z]+ ' "$work/host" || fail "tier $tier: no jump in the host code"
done

# ---- the image ----
entry=$("$disco" dump --kernel "$kernel" --at 810f0000 --stage g | head -n 1)
[[ $entry == 'block 810f0000 kernel, tier 1, '*' instructions' ]] || fail "image: '$entry'"
printf '810f0000 T start\n810f0020 t clear_bss\n' >"$work/kmap"
"$disco" dump --kernel "$kernel" --symbols "$work/kmap" --at start,start+4,clear_bss --stage g >"$work/at" || fail "--at"
grep -o '^block .*>' "$work/at" >"$work/at_blocks"
same "--at" "$work/at_blocks" <<'END'
block 810f0000 <start>
block 810f0004 <start+0x4>
block 810f0020 <clear_bss>
END
refused 2 'the symbol has only 0x20 bytes' "$disco" dump --kernel "$kernel" --symbols "$work/kmap" --at start+20
refused 2 'nosuch: neither' "$disco" dump --kernel "$kernel" --at nosuch
refused 2 'not in the image' "$disco" dump --kernel "$kernel" --at 00001000
refused 2 'not a multiple of 4' "$disco" dump --kernel "$kernel" --symbols "$work/kmap" --at start+2
refused 2 "line 1 is not" "$disco" dump --kernel "$kernel" --symbols "$kernel" --at 810f0000
refused 2 'no words on standard input' "$disco" dump --words -
refused 2 'do not fit in one page' "$disco" dump --words 0 0 --at 80001ffc
refused 1 'last word of a page' "$disco" dump --words 0 --at 80001ffc --tier 2

# ---- JSON ----
if command -v python3 >/dev/null; then
	for tier in 1 2; do
		"$disco" dump --words "${loop[@]}" --tier $tier --json --symbols "$work/map" >"$work/json" || fail "--json"
		python3 - "$work/json" $tier <<'END' || fail "--json, tier $tier"
import json, sys
top = json.load(open(sys.argv[1]))
tier = int(sys.argv[2])
blocks = top if tier == 1 else top[0]["blocks"]
assert len(blocks) == 2, len(blocks)
b = blocks[0]
assert b["kind"] == "block" and b["pc"] == "0x80001000" and b["symbol"] == "count_up" and b["tier"] == tier
assert [g["word"] for g in b["guest"]] == ["24420001", "1443fffe", "00000000"]
assert b["guest"][2]["delay_slot"] and b["guest"][1]["text"].startswith("bne")
assert "getreg $v0" in b["ir_lifted"] and "branch" in b["ir_final"] and "ir_regs" not in b
host = b if tier == 1 else top[0]
assert len(bytes.fromhex(host["host_bytes"])) > 10 and "80001000" in host["host_text"]
if tier == 1:
    assert [l["to"] for l in b["links"]] == ["0x80001000", "0x8000100c"] and b["ends"] == "conditional branch"
else:
    r = top[0]
    assert r["kind"] == "region" and r["stopped"] == "nothing more to reach" and r["left_out"] == []
    assert [(e["from"], e["to"], e["inside"]) for e in r["edges"]] == [
        ("0x80001000", "0x80001000", True), ("0x80001000", "0x8000100c", True)]
    assert "alloca" in r["llvm_before"] and "alloca" not in r["llvm_after"]
END
	done
fi

# ---- a running machine: the filter by tier and symbol; the kernel's decompressor loops long enough for tier 2 ----
ran() {
	timeout -s INT 60 "$disco" run --kernel "$kernel" --mem 64M --append 'panic=-1 console=none' --no-reboot \
		--symbols "$work/kmap" "$@" 2>&1 >/dev/null </dev/null | head -c 100000
}
ran --dump gxh --dump-filter sym=clear_bss,tier=1 | head -n 40 >"$work/run1"
head -n 1 "$work/run1" | grep -qE '^block 810f0020 <clear_bss> kernel, tier 1, 4 instructions$' ||
	fail "run, tier 1: '$(head -n 1 "$work/run1")'"
grep -q '^region\|, tier 2' "$work/run1" && fail "run, tier 1: shows tier 2"
grep -q $'^\t\t\t; store32' "$work/run1" || grep -q $'\t; .*: ac800000' "$work/run1" || fail "run, tier 1: no guest code"
ran --dump x --dump-filter sym=clear_bss,tier=2 | head -n 40 >"$work/run2"
grep -q '^region 810f0020 <clear_bss> kernel, tier 2, ' "$work/run2" || fail "run, tier 2: no region"
grep -q ', tier 1' "$work/run2" && fail "run, tier 2: shows tier 1"
ran --tiers interp --dump go --dump-filter sym=clear_bss,tier=interp | head -n 40 >"$work/run3"
grep -q '^block 810f0020 <clear_bss> kernel, interpreter, ' "$work/run3" || fail "run, interpreter: no block"
refused 2 'no such symbol' "$disco" run --kernel "$kernel" --dump g --dump-filter sym=nosuch

[ $failed -eq 0 ] && echo "dumps: as expected"
exit $failed
