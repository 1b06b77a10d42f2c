#!/bin/bash
# SPDX-License-Identifier: MIT
# `disco dump --diff`: blocks only in one dump, and what changed in those of both, of text and JSON, as files and pipes; its
# status; the same lines as diff(1) takes; what is no dump is refused in one line.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need python3 diff
cd "$work" || exit 1

dump() { "$DISCO" dump --stable "$@"; }
# differs STATUS A B [OPTION]: into said
differs() {
	local want=$1 status=0
	shift
	"$DISCO" dump --diff "$@" >said 2>err || status=$?
	[ $status -eq "$want" ] || fail "--diff $*: status $status, not $want: $(cat err)"
}
says() { grep -qE -- "$1" said || fail "$2: no '$1' in: $(cat said)"; }
refused() {
	differs 2 "${@:2}"
	[ "$(wc -l <err)" -eq 1 ] && grep -qF -- "$1" err || fail "--diff ${*:2}: '$(cat err)' lacks '$1'"
	[ -s said ] && fail "--diff ${*:2}: refused, and on standard output $(head -n 1 said)"
}

loop='24420001 1443fffe 00000000'
more='24420001 24840004 1443fffd 00000000'
# shellcheck disable=SC2086
for kind in '' --json; do
	dump $kind --words $loop >loop
	dump $kind --words $more >more
	dump $kind --words $loop --tier 2 --stage gioxh >tier2
	dump $kind --words $loop 03e00008 00000000 >return
	differs 0 loop loop
	says '^1 -> 1 blocks and regions: 1 equal, 0 changed, 0 only in A, 0 only in B; host bytes [0-9]+ -> [0-9]+$' "$kind the same"
	[ "$(wc -l <said)" -eq 1 ] || fail "$kind the same: $(cat said)"
	differs 0 loop <(cat loop)
	differs 1 loop more
	says '^block 80001000 kernel, tier 1, 3 -> 4 instructions, [0-9]+ -> [0-9]+ host bytes \(\+[0-9.]+ %\)$' "$kind more"
	says '^\+.*24840004.*addiu \$a0, \$a0, 4' "$kind more"
	says '^\+ +[0-9a-f]+  add +r[0-9a-z]+, 4' "$kind more"
	# behind the instruction more: at another offset, and the same
	[ "$(cat loop more | grep -oE '[0-9a-f]+  cmp +r12d, ebx' | sort -u | wc -l)" -eq 2 ] || fail "$kind: no cmp at two offsets"
	grep -qE '^[-+].*cmp +r12d, ebx' said && fail "$kind more: an offset counts as a difference"
	says '; host bytes ([0-9]+) -> [0-9]+ \(\+' "$kind more"
	differs 1 loop tier2
	says '^block 80001000 kernel, tier 1 -> tier 2, 3 instructions' "$kind another tier"
	says '^only in B: region 80001000 kernel, tier 2, 1 blocks, 3 instructions, [0-9]+ host bytes' "$kind another tier"
	dump $kind --words $more --tier 2 --stage gioxh >more2
	differs 1 tier2 more2
	says '^block 80001000 kernel, tier 2, 3 -> 4 instructions' "$kind a block of a region"
	says '^\+.*%8 = add %6, %7' "$kind a block of a region"
	says '^region 80001000 kernel, tier 2, 1 blocks, 3 -> 4 instructions, 46 -> ' "$kind a region"
	differs 1 return loop
	says '^only in A: block 8000100c kernel, tier 1, 2 instructions, ' "$kind a block less"
	says '^2 -> 1 blocks and regions: 1 equal, 0 changed, 1 only in A, 0 only in B;' "$kind a block less"
	for pair in 'loop more' 'loop tier2' 'return loop' 'loop loop'; do
		status=1
		[ "$pair" = 'loop loop' ] && status=0
		differs $status $pair --json
		python3 -c 'import json
r = json.load(open("said"))
n = {"changed": r["changed"], "only in A": r["only_in_a"], "only in B": r["only_in_b"]}
for what in n: assert n[what] == sum(b["status"] == what for b in r["blocks"]), (what, r)
assert r["total"] == [r["equal"] + r["changed"] + r["only_in_a"], r["equal"] + r["changed"] + r["only_in_b"]]
assert all(b["lines"] for b in r["blocks"] if b["status"] == "changed") and all(r["host_bytes"])' ||
			fail "$kind $pair: --json"
	done
	[ -z "$kind" ] || cp loop "loop$kind"
done

# ---- guest code that was made twice: equal ones are paired wherever they are ----
dump --words $loop >once 2>/dev/null
dump --words $more | cat - once >twice
differs 1 once twice
says '^only in B: block 80001000 kernel, tier 1, 4 instructions' 'twice'
says '^1 -> 2 blocks and regions: 1 equal, 0 changed' 'twice'

# ---- the lines are the fewest, as diff's are, and make B of A; with more differences than it looks for they still do ----
python3 - "$DISCO" <<'END' || fail "lines"
import random, subprocess, sys
random.seed(1)
head = "block 80001000 kernel, tier 1, 1 instructions"
for n, letters, change in [(0, 9, 0), (30, 3, .5), (300, 5, .3), (900, 40, .1), (2500, 2000, 1)] * 2:
    a = [f"  l{random.randrange(letters)}" for _ in range(n)]
    b = [l for l in (random.choice([x, f"  l{random.randrange(letters)}", None]) if random.random() < change else x for x in a) if l]
    b += ["  end"]
    for name, lines in ("a", a), ("b", b):
        open(name, "w").write("\n".join([head] + lines) + "\n")
    said = subprocess.run([sys.argv[1], "dump", "--diff", "a", "b"], capture_output=True, text=True).stdout.split("\n")
    out, at, lost, put = [], 0, 0, 0
    for l in said[1:]:
        if l.startswith("@@"):
            to = int(l.split()[1]) 
            assert -to - 1 >= at, l
            out += a[at:-to - 1]
            at = -to - 1
        elif l.startswith("-"):
            assert a[at] == l[1:], (a[at], l)
            at, lost = at + 1, lost + 1
        elif l.startswith("+"):
            out.append(l[1:])
            put += 1
    assert out + a[at:] == b, n
    d = subprocess.run(["diff", "--minimal", "a", "b"], capture_output=True, text=True).stdout.split("\n")
    least = sum(l[:1] in ("<", ">") for l in d)
    assert lost + put == least or least > 512, (n, lost + put, least)
END

# ---- what is no dump ----
cp once text
refused 'loop--json is JSON, text is text' loop--json text
refused 'is JSON' text loop--json
: >empty
refused 'empty: is empty: not a dump' empty text
refused 'line 1: neither a heading' text /etc/passwd
refused 'a zero byte' text /bin/true
echo 'disco: the guest has stopped' >message
refused 'message: no block and no region in it' message text
echo '{"kind":"block","pc":"0x80001000"}' >part
refused 'part: object 1 is no block or region' part part
head -c 400 loop--json >cut
refused 'cut: line ' cut loop--json
cat message text message >mixed
differs 0 mixed text
echo 'block 80001000 kernel, tier 3, 1 instructions' >tier3
refused 'tier3: line 1: neither' tier3 text
"$DISCO" dump --diff text text >/dev/full 2>err
[ $? -eq 2 ] && grep -q 'standard output' err || fail "a full disk: $(cat err)"
finish
