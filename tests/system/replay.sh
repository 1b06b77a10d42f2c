#!/bin/bash
# SPDX-License-Identifier: MIT
# --record and --replay: a guest that hears its console, over a reset, asleep, and until it is ended from outside, does all of it again; and
# recordings that are another run's, truncated or damaged are refused.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19
build_guests
guest=$guests/el/listen.elf
recording=$work/recording

# listen OPTION...: what it prints is in $work/out, and what Disco says in $work/err
listen() {
	timeout 60 "$DISCO" run --control none --mem 64M --kernel "$guest" "$@" >"$work/out" 2>"$work/err"
}

# again WHAT TIERS OPTION...: the recording once more, on these tiers
again() {
	local what=$1 tiers list=$2
	shift 2
	for tiers in $list; do
		listen --icount --replay "$recording" --tiers $tiers "$@" </dev/null || fail "$what, --tiers $tiers: status $?: $(tail -n 1 "$work/err")"
		same "$what, --tiers $tiers: console" "$work/recorded.out" "$work/out"
		grep -v -- --timeout "$work/recorded.err" >"$work/said"
		same "$what, --tiers $tiers: count and state" "$work/said" "$work/err"
	done
	echo "$what: $(sed 's/^disco run: //' "$work/err")"
}

# record WHAT STATUS OPTION...: standard input is the guest's console
record() {
	local what=$1 want=$2
	shift 2
	rm -f "$recording"
	listen --icount --record "$recording" "$@"
	[ $? -eq "$want" ] || fail "$what: $(tail -n 1 "$work/err")"
	grep -q 'instructions, state' "$work/err" || fail "$what: no count"
	mv "$work/out" "$work/recorded.out"
	mv "$work/err" "$work/recorded.err"
}

# ---- the same, to the end ----
{
	sleep 0.1
	printf 'abcdefghijklmnop'
	sleep 0.1
	printf 'wx'
	sleep 0.05
	printf 'wyq'
} | record "its own end" 0 --no-reboot
again "its own end" "12 interp" --no-reboot
[ "$(grep -c ' at=' "$work/out")" -eq 21 ] || fail "it heard something else: $(cat "$work/out")"
cp "$recording" "$work/whole"
{
	sleep 0.1
	printf 'ar'
	sleep 0.1
	printf 'b'
} | record "a reset, and an end from outside" 124 --timeout 0.6
again "a reset, and an end from outside" "1"

# ---- what is not that run: one line, status 2, and nothing is printed by a guest ----
# refused WHAT LINE OPTION...
refused() {
	local what=$1 line=$2
	shift 2
	listen "$@" </dev/null
	[ $? -eq 2 ] || fail "$what: status is not 2"
	[ "$(wc -l <"$work/err")" -eq 1 ] && grep -qE -- "$line" "$work/err" || fail "$what: $(cat "$work/err")"
	[ -s "$work/out" ] && fail "$what: it ran"
}
cp "$work/whole" "$recording"
guest=$guests/el/debug.elf refused "another image" 'another run: .kernel. was' --icount --no-reboot --replay "$recording"
refused "another size" "'mem' was 'mem 67108864', and is 'mem 33554432'" --icount --no-reboot --mem 32M --replay "$recording"
refused "another command line" "'append' was" --icount --no-reboot --append x --replay "$recording"
sed 's/^build .*/build 00/' "$work/whole" >"$recording"
refused "another build" "another run: .build. was" --icount --no-reboot --replay "$recording"
size=$(stat -c %s "$work/whole")
for bytes in 0 5 18 60 200 $((size / 2)) $((size - 1)) $((size - 72)); do
	head -c "$bytes" "$work/whole" >"$recording"
	refused "$bytes bytes of $size" '--replay .*/recording: is (truncated|no recording)' --icount --no-reboot --replay "$recording"
done
refused "not there" '--replay .*/missing: No such file' --icount --no-reboot --replay "$work/missing"
cp "$work/whole" "$recording"
refused "there already" '--record .*: is there already' --icount --no-reboot --record "$recording"
cmp -s "$work/whole" "$recording" || fail "there already: it was overwritten"
rm -f "$recording"
refused "no memory for it" '--mem' --icount --mem 300M --record "$recording"
refused "a folder that is not there" '--record .*: No such file' --icount --record "$work/no/recording"
refused "without --icount" '--record: only with --icount' --record "$recording"
refused "both" 'not together' --icount --record "$recording" --replay "$work/whole"
refused "a lan" 'not with --net lan' --icount --net lan --record "$recording"
refused "a share" 'not with --share' --icount --share /tmp --record "$recording"
refused "a disk that changes" 'not with a --disk' --icount --disk "$work/whole" --record "$recording"
refused "several" 'of one machine' --icount --vms 2 --record "$recording"
[ -e "$recording" ] && fail "a run that was refused has left a file"
finish
