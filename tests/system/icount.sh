#!/bin/bash
# SPDX-License-Identifier: MIT
# --icount: console, number of instructions and state at the end are the same in every run and under all tiers.
# A tier named twice is run twice.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19
build_guests

# repeat ORDER NAME OPTION... -- TIERS...
repeat() {
	local order=$1 name=$2 tiers options=()
	shift 2
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	rm -f "$work/first".*
	for tiers; do
		on_disco "$order" max "$name" --icount --tiers "$tiers" "${options[@]}" >"$work/out" 2>"$work/err" ||
			fail "$name $order --tiers $tiers: status $?"
		grep -qE '^disco run: [1-9][0-9]* instructions, state [0-9a-f]{16}$' "$work/err" ||
			fail "$name $order --tiers $tiers: no count: $(head -n 1 "$work/err")"
		[ -e "$work/first.out" ] || cp "$work/out" "$work/first.out"
		[ -e "$work/first.err" ] || cp "$work/err" "$work/first.err"
		same "$name $order --tiers $tiers: console" "$work/first.out" "$work/out"
		same "$name $order --tiers $tiers: count and state" "$work/first.err" "$work/err"
	done
	echo "$name $order: $(sed 's/^disco run: //' "$work/first.err")"
}

repeat el compute -- 12 12 1 2 interp
repeat el tlb -- 12 12 1 2 interp
repeat el interrupts -- 12 12 1 2 interp
repeat el exceptions -- 12 12 1 interp
repeat el protection -- 12 12 1 interp
repeat el smc -- 12 12 1 interp
repeat el smc --append scale=40 -- 12 2
repeat eb compute -- 12 12 interp
repeat eb interrupts -- 12 12 1

# together ORDER NAME: machines have turns, and end as they do in another run and in other company
together() {
	local n
	for n in 2 4 4; do
		on_disco "$1" max "$2" --icount --vms "$n" --name m >"$work/out" 2>"$work/err" || fail "$2 $1 --vms $n: status $?"
		[ "$(grep -c ' instructions, state ' "$work/err")" -eq "$n" ] || fail "$2 $1 --vms $n: $(head -n 1 "$work/err")"
		sed 's/m[1-4]: //' "$work/err" | sort -u >"$work/together.$n"
		[ -e "$work/first.$2.$1" ] || cp "$work/together.$n" "$work/first.$2.$1"
		same "$2 $1 --vms $n: counts and states" "$work/first.$2.$1" "$work/together.$n"
	done
	echo "$2 $1, several: $(sed 's/^disco run: //' "$work/first.$2.$1")"
}
together el interrupts
together el smc
finish
