#!/bin/bash
# SPDX-License-Identifier: MIT
# Debian programs that check themselves, on tiers 1 and 12: stress-ng --verify, openssl, Perl, Python's own tests.
#   IMAGE     a root image of `disco guest build bench` (default: bench.img in the current directory)
#   TIERS     "1 12"
#   SECONDS_EACH  of a stressor (default 5: 60 s for the eleven of them and the CPU methods)
set -u
. "$(dirname "$0")/../system/lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
image=${IMAGE:-bench.img}
[ -f "$image" ] || {
	echo "no $image: disco guest build bench makes it"
	exit 77
}

# in_guest TIERS SECONDS COMMAND...: into $work/out, $work/err
in_guest() {
	local tiers=$1 limit=$2 status
	shift 2
	timeout "$limit" "$DISCO" run --disk "$image,mode=cow" --tiers "$tiers" --net none --share "$here,ro,tag=tests" \
		-- "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status -eq 0 ] || fail "--tiers $tiers, $1 $2: status $status: $(tail -n 5 "$work/err" "$work/out")"
}

each=${SECONDS_EACH:-5}
stress="stress-ng --verify --metrics-brief --timeout $each --temp-path /tmp"
for one in "--cpu 1 --cpu-method all" "--vm 1 --vm-bytes 48M" "--matrix 1" "--str 1" "--bsearch 1" "--qsort 1" "--fork 1" \
	"--switch 1" "--mmap 1 --mmap-bytes 32M" "--memcpy 1" "--cache 1"; do
	list+=("$one")
done

# not test_decimal: it wants 400 MB
python="test_float test_math test_cmath test_long test_int test_struct test_json test_re test_zlib test_bz2 test_lzma test_hashlib
	test_fractions test_statistics test_random test_dict test_set test_list test_sort test_heapq test_generators
	test_exceptions test_unicode test_bytes"

for tiers in ${TIERS:-1 12}; do
	for one in "${list[@]}"; do
		# shellcheck disable=SC2086
		in_guest "$tiers" $((each * 20 + 300)) sh -c "$stress $one 2>&1"
		grep -q "successful run completed" "$work/out" || fail "--tiers $tiers: stress-ng $one: $(tail -n 5 "$work/out")"
		echo "tiers $tiers: stress-ng $one: $(grep -o 'successful run completed.*' "$work/out")"
	done
	in_guest "$tiers" 900 sh /mnt/tests/selftest_openssl.sh
	echo "tiers $tiers: openssl: $(tail -n 1 "$work/out")"
	in_guest "$tiers" 900 perl /mnt/tests/selftest.pl
	! grep -v '^ok\|^1\.\.' "$work/out" || fail "--tiers $tiers: perl"
	echo "tiers $tiers: perl: $(grep -c ^ok "$work/out") ok"
	# one process each: the guest has 256 MiB
	# shellcheck disable=SC2016
	in_guest "$tiers" 3600 sh -c 'for t; do python3 -m test -q "$t" 2>&1 || exit 1; done' sh $python
	[ "$(grep -c '^Tests result: SUCCESS' "$work/out")" = "$(wc -w <<<"$python")" ] || fail "--tiers $tiers: python: $(cat "$work/out")"
	echo "tiers $tiers: python: $(grep -c '^Tests result: SUCCESS' "$work/out") test modules"
done
finish
