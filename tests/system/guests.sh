#!/bin/bash
# SPDX-License-Identifier: MIT
# The bare-metal guests of tests/guest: what they print on Disco, under each choice of tiers, is what they print on QEMU.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19 qemu-system-mipsel qemu-system-mips
build_guests

# compare NAME CPU QEMU-CPU ORDER TIERS...
compare() {
	local name=$1 cpu=$2 qemu_cpu=$3 order=$4 tiers start
	shift 4
	on_qemu "$order" "$qemu_cpu" "$name" >"$work/qemu" 2>&1 || fail "$name $order on QEMU: status $?"
	[ -s "$work/qemu" ] || fail "$name $order: QEMU printed nothing"
	grep WRONG "$work/qemu" && fail "$name $order: a check of the guest itself, on QEMU"
	for tiers; do
		start=$(date +%s%N)
		# "12 --hot N,sync" is more words than one
		# shellcheck disable=SC2086
		on_disco "$order" "$cpu" "$name" --tiers $tiers >"$work/disco" 2>&1 ||
			fail "$name $order --tiers $tiers: status $?"
		same "$name $order --tiers $tiers (< QEMU, > Disco)" "$work/qemu" "$work/disco"
		echo "$name $order --tiers $tiers: $(wc -l <"$work/disco") lines, $((($(date +%s%N) - start) / 1000000)) ms"
	done
}

# What was executed a few times already is LLVM's: otherwise hardly any of these guests gets there.
hot="12 --hot 3,sync"
warm="12 --hot 50,sync"

# Tier 2 alone compiles each block as it comes: minutes for a guest that rewrites its code, so one byte order does.
for order in el eb; do
	if [ $order = el ] || [ "${DISCO_TEST_LENGTH:-short}" = long ]; then
		all=(interp 1 12 2 "$warm")
	else
		all=(interp 1 12 "$warm")
	fi
	compare exceptions 34Kf 34Kf $order "${all[@]}"
	compare protection max P5600 $order "${all[@]}"
	compare tlb 34Kf 34Kf $order interp 1 12 2 "$hot"
	compare interrupts 34Kf 34Kf $order interp 1 12 2 "$hot"
	compare compute 34Kf 34Kf $order interp 1 12 2 "$hot"
done
# 16 TLB entries, no vectored interrupts
compare tlb 24Kf 24Kf el 12
finish
