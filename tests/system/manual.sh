#!/bin/bash
# SPDX-License-Identifier: MIT
# What the manual says and QEMU does not do: the guest checks itself.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19
build_guests

for order in el eb; do
	for tiers in interp 1 12 2; do
		on_disco $order max manual --tiers $tiers >"$work/out" 2>&1 || fail "manual $order --tiers $tiers: status $?"
		if grep WRONG "$work/out"; then
			fail "manual $order --tiers $tiers"
		fi
		[ "$(tail -n 1 "$work/out" | tr -d '\r')" = end ] || fail "manual $order --tiers $tiers: no end"
		n=$(grep -c ': ok' "$work/out")
		[ "$n" -ge 700 ] || fail "manual $order --tiers $tiers: only $n checks"
		echo "manual $order --tiers $tiers: $n checks"
	done
done
finish
