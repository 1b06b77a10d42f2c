#!/bin/bash
# SPDX-License-Identifier: MIT
# A Debian that is typed at and that has a network, recorded for ten minutes (DISCO_REPLAY_SECONDS: another time), and done again without either: the
# same output, number of instructions and state.
set -u
. "$(dirname "$0")/../system/lib.sh"
need python3
seconds=${DISCO_REPLAY_SECONDS:-600}

mkdir "$work/www"
head -c 300000 /dev/urandom >"$work/www/f"
python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$work/www" >"$work/port" 2>/dev/null &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
for _ in $(seq 100); do
	port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$work/port")
	[ -n "$port" ] && break
	sleep 0.1
done

# session OPTION...: its console's input from standard input; $work/out, $work/err
session() {
	timeout $((4 * seconds + 120)) "$DISCO" run --control none --mem 128M --icount --net user,host-loopback=on --kernel "$KERNEL" \
		--initrd "$INITRD" --append console=ttyS0 "$@" >"$work/out" 2>"$work/err"
}

type_on() {
	for _ in $(seq 300); do
		grep -q 'list of built-in commands' "$work/out" && break
		sleep 0.1
	done
	for i in $(seq $((seconds / 10))); do
		printf 'echo turn %d; date; dd if=/dev/urandom bs=64k count=4 2>/dev/null | md5sum; ping -c 2 10.0.2.2 | tail -n 1\n' "$i"
		printf 'wget -q -O - http://10.0.2.2:%d/f | md5sum; ls -lR /proc/sys 2>/dev/null | md5sum\n' "$port"
		sleep 10
	done
	printf 'poweroff -f\n'
	sleep 10
}
: >"$work/out"
session --record "$work/recording" < <(type_on) || fail "record: $(tail -n 1 "$work/err")"
[ "$(grep -c "^$(md5sum <"$work/www/f")" "$work/out")" -ge $((seconds / 20)) ] || fail "record: transfers: $(tail -n 20 "$work/out")"
mv "$work/out" "$work/recorded.out"
mv "$work/err" "$work/recorded.err"
kill "$server"
session --replay "$work/recording" </dev/null || fail "replay: $(tail -n 1 "$work/err")"
same "console" "$work/recorded.out" "$work/out"
same "count and state" "$work/recorded.err" "$work/err"
echo "$(stat -c %s "$work/recording") bytes: $(cat "$work/err")"
finish
