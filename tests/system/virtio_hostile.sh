#!/bin/bash
# SPDX-License-Identifier: MIT
# A hostile driver of all virtio devices, from inside (tests/guest/virtio.c): the monitor lives on, says no more than that
# a device was stopped, and disks and random bytes still come afterwards.
# With the ASan build beside it (build/asan/disco, or DISCO_ASAN) that one runs too.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19
build_guests
inputs=10000
asan_inputs=3000
seeds="1 2"
[ "${DISCO_TEST_LENGTH:-short}" = short ] || {
	inputs=100000
	asan_inputs=50000
	seeds=$(seq 1 10)
}
asan=${DISCO_ASAN:-$PWD/build/asan/disco}

# Two run at once: what is wrong is gathered in a file.
bad() { echo "$*" >>"$work/bad"; }

# hostile DISCO ORDER SEED INPUTS [OPTION...]
hostile() {
	local disco=$1 order=$2 seed=$3 inputs=$4 run status device
	shift 4
	run=$work/$(basename "$(dirname "$disco")").$order.$seed
	mkdir -p "$run/share/a"
	echo contents >"$run/share/a/file"
	truncate -s 1M "$run/rw.img" "$run/cow.img"
	timeout -k 10 1200 "$disco" run --cpu max --mem 128M --no-reboot --kernel "$guests/$order/virtio.elf" \
		--append "$seed $inputs" --disk "$run/rw.img,mode=rw" --disk "$run/cow.img,mode=cow" \
		--net "socket=$run/net" --share "$run/share,tag=share" --terminal "unix=$run/terminal" --balloon 16M "$@" \
		</dev/null >"$run/out" 2>"$run/err"
	status=$?
	[ $status -eq 0 ] || bad "$run: status $status"
	if grep -v ' stopped until its driver resets it$' "$run/err" >"$run/said"; then
		bad "$run: on standard error"
		head -n 20 "$run/said" >>"$work/bad"
	fi
	grep -q '^end$' "$run/out" || bad "$run: the guest did not come to its end"
	! grep WRONG "$run/out" || bad "$run: see above"
	# each device had its share of requests done
	for device in 1 2 3 4 5 9; do
		awk -v id="$device:" '$1 == "device" && $2 == id && $4 + 0 > 100 && $7 + 0 > 100 { n++ } END { exit !n }' \
			"$run/out" || bad "$run: device $device was not reached"
	done
	[ "$(grep -c ' serves: ok$' "$run/out")" -eq 3 ] || bad "$run: two disks and an entropy device should serve"
	[ "$(stat -c %s "$run/cow.img")" -eq 1048576 ] && cmp -s "$run/cow.img" <(head -c 1M /dev/zero) ||
		bad "$run: an image with mode=cow has changed"
}

for seed in $seeds; do
	hostile "$DISCO" el "$seed" "$inputs" &
	# as one that shares memory: its disk reads through the buffer cache
	hostile "$DISCO" el "$((seed + 3000))" "$inputs" --merge 20000
	hostile "$DISCO" eb "$((seed + 1000))" "$inputs"
	wait
	[ ! -x "$asan" ] || hostile "$asan" el "$((seed + 2000))" "$asan_inputs"
	[ ! -x "$asan" ] || hostile "$asan" el "$((seed + 4000))" "$asan_inputs" --merge 20000
done
[ ! -e "$work/bad" ] || {
	cat "$work/bad"
	fail "a hostile driver did harm"
}
finish
