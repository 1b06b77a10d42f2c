#!/bin/bash
# SPDX-License-Identifier: MIT
# The translation store, more of it than tests/system/store.sh has: a thousand damaged files, each under a guest that checks itself, and
# boots of Debian by several processes at once, which fill one store while it is damaged.
set -u
cd "$(dirname "$0")/../.." || exit 2
DISCO_TEST_LENGTH=long tests/system/store.sh || exit
. tests/system/lib.sh
for f in "$KERNEL" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
program='seq 1 3000 | sort | md5sum; ls /bin | md5sum; echo $((6 * 7)); awk "BEGIN { for (i = 0; i < 20000; i++) s += i * 1.5; print s }"'
boot() { timeout 300 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --net none "$@" -- sh -c "$program" </dev/null; }
boot --store off >"$work/good" || fail "without a store: status $?"
store=$work/store

# one N: a boot, whose output is what it was
one() {
	boot --store "$store" --store-size 40M >"$work/out.$1" 2>"$work/err.$1" || echo "boot $1: status $?"
	cmp -s "$work/good" "$work/out.$1" || echo "boot $1: $(diff "$work/good" "$work/out.$1" | head -n 3)"
	[ ! -s "$work/err.$1" ] || echo "boot $1: $(head -n 3 "$work/err.$1")"
}
for ((round = 0; round < 20; round++)); do
	for i in 1 2 3; do
		one $i >"$work/said.$i" &
	done
	# while they run
	for ((i = 0; i < 5; i++)); do
		sleep 0.3
		python3 - "$store" $((round * 5 + i)) <<'END'
import glob, os, random, sys
random.seed(int(sys.argv[2]))
for path in glob.glob(os.path.join(sys.argv[1], "*.code")):
    with open(path, "r+b") as f:
        size = os.path.getsize(path)
        for i in range(20):
            f.seek(random.randrange(size + 1))
            f.write(os.urandom(random.randrange(1, 300)))
        if random.randrange(4) == 0:
            f.truncate(random.randrange(size + 1))
END
	done
	wait
	for i in 1 2 3; do
		[ ! -s "$work/said.$i" ] || fail "round $round: $(cat "$work/said.$i")"
	done
	[ "$(du -sm "$store" | cut -f 1)" -le 41 ] || fail "round $round: $(du -sm "$store"), more than --store-size"
done
echo "60 boots with a store that is damaged as they run"
finish
