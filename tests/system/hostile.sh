#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests that do everything wrong (tests/guest/hostile.c): the monitor lives until it is stopped, and says nothing.
# With the ASan build beside it (build/asan/disco, or DISCO_ASAN) that one runs too.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19
build_guests
seconds=0.7
seeds="1 2 3 4"
[ "${DISCO_TEST_LENGTH:-short}" = short ] || {
	seconds=10
	seeds=$(seq 1 20)
}
asan=${DISCO_ASAN:-$PWD/build/asan/disco}

# misbehave DISCO ORDER TIERS MODE: 124 is the end of `timeout`; the guest may also have found a way to reset the machine
misbehave() {
	local status
	timeout -k 10 "$seconds" "$1" run --cpu max --mem 128M --no-reboot --tiers "$3" --kernel "$guests/$2/hostile.elf" \
		--append "$4" </dev/null >"$work/out.$4.$3" 2>"$work/err.$4.$3"
	status=$?
	case $status in
	0 | 124) ;;
	*) echo "hostile $2 --tiers $3 $4, $1: status $status" >>"$work/bad" ;;
	esac
	[ ! -s "$work/err.$4.$3" ] || {
		echo "hostile $2 --tiers $3 $4, $1: on standard error:"
		head -n 20 "$work/err.$4.$3"
	} >>"$work/bad"
}

for disco in "$DISCO" "$asan"; do
	[ -x "$disco" ] || continue
	for seed in $seeds; do
		order=$([ $((seed % 2)) -eq 0 ] && echo eb || echo el)
		for mode in n d w t x; do
			misbehave "$disco" "$order" 12 $mode$seed &
			misbehave "$disco" "$order" interp $mode$seed
			wait
		done
	done
done
[ ! -e "$work/bad" ] || {
	cat "$work/bad"
	fail "the monitor did not live on"
}
finish
