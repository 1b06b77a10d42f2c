#!/bin/bash
# SPDX-License-Identifier: MIT
# Three machines on one Ethernet (--net socket=PATH): they find each other, carry files, survive one that is killed.
set -u
. "$(dirname "$0")/lib.sh"
for f in "$KERNEL" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
mib=30
disco=("$DISCO" run --kernel "$KERNEL" --initrd "$INITRD")
lan=$work/lan
pids=()
trap 'kill ${pids[*]} 2>/dev/null; rm -rf "$work"' EXIT

# machine N SCRIPT: machine N, 10.9.0.N, in the background; its output in $work/N
machine() {
	timeout 300 "${disco[@]}" --net "socket=$lan" -- sh -c "
		[ -e /sys/class/net/eth0 ] || { echo no card; exit; }
		ip addr flush dev eth0; ip addr add 10.9.0.$1/24 dev eth0; ip link set eth0 up
		$2" </dev/null >"$work/$1" 2>"$work/$1.err" &
	pids[$1]=$!
}
# await N REGEX: a line of machine N's output, waited for
await() {
	for ((i = 0; i < 1000; i++)); do
		grep -qE "$2" "$work/$1" && return
		kill -0 "${pids[$1]}" 2>/dev/null || break
		sleep 0.2
	done
	grep -qE "$2" "$work/$1" || fail "machine $1: no '$2' in: $(tail -n 4 "$work/$1" "$work/$1.err")"
}

serve="mkdir /tmp/w; head -c ${mib}000000 /dev/urandom >/tmp/w/f; sha256sum </tmp/w/f
	httpd -p 80 -h /tmp/w; echo serving; nc -l -p 81 >/dev/null"
machine 1 "$serve"
await 1 'serving|no card'
! grep -q 'no card' "$work/1" || {
	echo "the initramfs has no driver for the card"
	exit 77
}
machine 3 "$serve"
await 3 serving
machine 2 '
	for to in 1 3; do
		ping -c 3 10.9.0.$to
		ping -c 2 -s 30000 10.9.0.$to
		wget -q -O - http://10.9.0.$to/f | sha256sum | sed "s/^/from $to /"
	done
	echo first part; nc -l -p 82
	wget -q -O - http://10.9.0.1/f | sha256sum | sed "s/^/again /"
	ping -c 1 -W 2 10.9.0.3
	echo end'
await 2 'first part'
[ "$(grep -c '^3 packets transmitted, 3 packets received' "$work/2")" = 2 ] || fail "ping: $(grep transmitted "$work/2")"
[ "$(grep -c '^2 packets transmitted, 2 packets received' "$work/2")" = 2 ] || fail "large ping: $(grep transmitted "$work/2")"
for n in 1 3; do
	grep -q "^from $n $(sed -n 's/  -$//p' "$work/$n")" "$work/2" || fail "transfer from $n: $(cat "$work/2")"
done
[ "$(find "$lan" -type s | wc -l)" = 3 ] || fail "members: $(ls -la "$lan")"

# One is killed, without a chance to clear up; another joins after that and tells machine 2 to go on.
disco_3=$(pgrep -P "${pids[3]}")
kill -9 "$disco_3"
wait "${pids[3]}" 2>/dev/null
machine 4 'ping -c 3 10.9.0.2; nc 10.9.0.2 82 </dev/null; echo told'
await 4 told
grep -q '3 packets received' "$work/4" || fail "who came later: $(cat "$work/4")"
await 2 '^end$'
grep -q "^again $(sed -n 's/  -$//p' "$work/1")" "$work/2" || fail "after one was killed: $(tail -n 3 "$work/2")"
grep -q '^1 packets transmitted, 0 packets received' "$work/2" || fail "the killed one answers"
wait "${pids[2]}" "${pids[4]}"
[ "$(find "$lan" -type s | wc -l)" = 1 ] || fail "of those that ended, there is left: $(ls -la "$lan")"
finish
