#!/bin/bash
# SPDX-License-Identifier: MIT
# Code pages that come and go, by random sequences: the guest judges by its own page tables, and a hang by the clock. QEMU
# runs the same first, so that a fault of the guest's is told apart.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19 qemu-system-mipsel qemu-system-mips
build_guests

seeds=(11 12)
[ "${DISCO_TEST_LENGTH:-short}" = short ] || seeds=($(seq 100 160))

# judge WHAT: the guest's output in $work/out
judge() {
	grep -q '^paging: ok' "$work/out" && ! grep -q WRONG "$work/out" || fail "$1: $(tail -n 3 "$work/out" | tr '\n' ' ')"
}

# check ORDER TIERS SCALE SEED [OPTION...]
check() {
	local order=$1 tiers=$2 scale=$3 seed=$4 status
	shift 4
	on_disco "$order" 34Kf paging --tiers "$tiers" --append "scale=$scale seed=$seed" "$@" >"$work/out" 2>&1
	status=$?
	[ $status -eq 0 ] || fail "paging $order --tiers $tiers $* seed=$seed: status $status (124: it hung)"
	judge "paging $order --tiers $tiers $* seed=$seed"
}

for order in el eb; do
	on_qemu $order 34Kf paging >"$work/out" 2>&1 || fail "paging $order on QEMU: status $?"
	judge "paging $order on QEMU"
	for seed in "${seeds[@]}"; do
		check $order interp 4 "$seed"
		check $order 1 1 "$seed"
		check $order 1 1 "$seed" --jit-mem 1M # everything is dropped, again and again
		check $order 12 1 "$seed"
		check $order 12 1 "$seed" --hot 200
		check $order 12 20 "$seed" --hot 20,sync
		check $order 12 20 "$seed" --hot 60,sync --icount
	done
done
finish
