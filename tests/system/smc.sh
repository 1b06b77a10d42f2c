#!/bin/bash
# SPDX-License-Identifier: MIT
# Self-modifying code: the guest checks itself (QEMU is no oracle: it lets a block finish that has rewritten itself).
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19
build_guests

# check ORDER TIERS PATCHES [OPTION...]
check() {
	local order=$1 tiers=$2 patches=$3 seen
	shift 3
	on_disco "$order" 34Kf smc --tiers "$tiers" "$@" >"$work/out" 2>&1 || fail "smc $order --tiers $tiers: status $?"
	if grep -B 1 WRONG "$work/out"; then
		fail "smc $order --tiers $tiers $*: stale code was executed"
	fi
	seen=$(sed -n 's/^patches: //p' "$work/out")
	[ "${seen:-0}" -ge "$patches" ] || fail "smc $order --tiers $tiers $*: '$seen' patches, not $patches"
	echo "smc $order --tiers $tiers $*: $seen patches"
}

for order in el eb; do
	for tiers in interp 1 12; do
		check $order $tiers 100000
	done
	check $order 12 100000 --jit-mem 1M # code memory is full, again and again
	check $order 2 2500 --append scale=40
	check $order 12 2500 --append scale=40 --hot 4,sync
done
finish
