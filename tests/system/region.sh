#!/bin/bash
# SPDX-License-Identifier: MIT
# A region between two machines (--shared-region): exchanges (a million in a long run) by loads and stores, with no way into the monitor for them;
# LL and SC of both on one word; first without an operating system, then by two programs of Linux guests with the module.
set -u
. "$(dirname "$0")/lib.sh"
. tests/system/modules_lib.sh
need clang-19 ld.lld-19 python3
build_guests
rounds=100000 locks=10000
[ "${DISCO_TEST_LENGTH:-short}" = short ] || rounds=1000000 locks=100000

# entries NAME: of each machine, all ways from translated code into the monitor, and all that went there by a call
entries() {
	python3 - "$work/$1" "$2" <<'END' || fail "$1: entries into the monitor"
import json, sys
for i in "12":
    s = json.load(open(sys.argv[1] + i))
    m = s["memory"]
    # what the dispatch loop does each time slice, whatever the guest does
    n = sum(s["exits"].values()) - s["exits"]["poll"] + m["slow_loads"] + m["slow_stores"] + m["monitor_calls"]
    assert n < int(sys.argv[2]), "machine %s: %d: %s %s" % (i, n, s["exits"], m)
    assert s["exits"]["poll"] < 50000, s["exits"]
END
}

for order in el eb; do
	timeout 100 "$DISCO" run --kernel "$guests/$order/region.elf" --mem 32M --vms 2 --processors 2 --shared-region ring=16K \
		--net none --no-reboot --stats="$work/bare{n}" --append "{n} $rounds $locks" </dev/null >"$work/out" 2>"$work/err" ||
		fail "$order: status $?: $(cat "$work/err")"
	! grep -q WRONG "$work/out" || fail "$order: $(grep WRONG "$work/out")"
	for i in 1 2; do
		grep -q "^vm$i| end" "$work/out" && grep -q "^vm$i| exchanges: ok" "$work/out" && grep -q "^vm$i| counter: ok" "$work/out" ||
			fail "$order: machine $i did not come to its end: $(tail -n 3 "$work/out") $(tail -n 3 "$work/err")"
	done
	entries bare 5000
done

# Who does not name it has none; of one size; no nonsense.
timeout 60 "$DISCO" run --kernel "$guests/el/region.elf" --mem 32M --net none --no-reboot --append '1 0 0' --timeout 20 \
	--shared-region other=16K </dev/null >"$work/out" 2>"$work/err"
grep -q '^other: ok' "$work/out" || fail "another name: $(cat "$work/out" "$work/err")"
# bad STATUS TEXT OPTION...
bad() {
	local want=$1 text=$2 status
	shift 2
	timeout 60 "$DISCO" run --kernel "$guests/el/region.elf" --mem 32M --net none "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status = "$want" ] && grep -q -- "$text" "$work/err" && [ "$(wc -l <"$work/err")" -eq 1 ] ||
		fail "$*: status $status: $(cat "$work/err")"
}
bad 2 'vm2: --shared-region b: another machine has it with another size than 228K' --vms 2 --shared-region 'b={n}28K'
bad 2 'must be NAME=SIZE' --shared-region ring
bad 2 'must be NAME=SIZE' --shared-region ../x=4K
bad 2 'SIZE must be a multiple of 4K' --shared-region ring=0
bad 2 'SIZE must be a multiple of 4K' --shared-region ring=65M
bad 2 'SIZE must be a multiple of 4K' --shared-region ring=5KiB
bad 2 'there are two of that name' --shared-region ring=4K --shared-region ring=4K

# Programs of two Linux guests: their boot takes some 120000 entries.
[ $rounds -ge 500000 ] || rounds=500000
have_modules || {
	echo "without Linux guests: $why"
	finish
}
flags=(--target=mipsel-linux-gnu -march=mips32r2 -mabi=32 -mno-abicalls -fno-pic -G0 -O2 -std=gnu17 -ffreestanding -fno-builtin
	-fno-strict-aliasing -fno-stack-protector -Wall -Wextra -I.)
clang-19 "${flags[@]}" -mfpxx -c tests/guest/region_linux.c -o "$work/region.o" && ld.lld-19 -static -o "$work/region" "$work/region.o" ||
	fail "region_linux.c"
mkdir "$work/share"
cp "$work/region" "$work/share/"
timeout 100 "$DISCO" run --kernel "$kernel" --initrd "$initrd" --mem 64M --vms 2 --processors 2 --shared-region ring=16K --share "$work/share" \
	--stats="$work/linux{n}" -- sh -c "/mnt/share/region {n} $rounds $locks; rmmod disco_region && ls /dev/disco" \
	</dev/null >"$work/out" 2>"$work/err"
for i in 1 2; do
	for line in 'refused 1' 'wrong exchanges 0' "counter $((2 * locks))"; do
		grep -q "^vm$i| $line\$" "$work/out" || fail "Linux, machine $i: no '$line': $(cat "$work/out" "$work/err")"
	done
done
entries linux $((rounds / 2))
finish
