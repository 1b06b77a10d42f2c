#!/bin/bash
# SPDX-License-Identifier: MIT
# The translation store: a warm run translates next to nothing and does what a cold one does, and what one without does, to the bit under
# --icount; so it is with a damaged store, with two processes on one, with another build of Disco; others' folders are refused.
# tests/long/store.sh has more of it.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19 python3
build_guests
store=$work/store

# number GROUP KEY: of $work/stats
number() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]][sys.argv[3]])' "$work/stats" "$1" "$2"; }

# warm_is_cold ORDER NAME OPTION...: without a store, cold, warm
warm_is_cold() {
	local order=$1 name=$2 how at=$work/store.$2.$1 cold warm
	shift 2
	for how in off cold warm; do
		[ $how = off ] && set -- --store off "$@" || set -- --store "$at" "${@:3}"
		on_disco "$order" max "$name" --icount --stats="$work/stats" "$@" >"$work/$how.out" 2>"$work/$how.err" ||
			fail "$name $order, $how: status $?"
		case $how in
		off) [ "$(number translation stored_new)" -eq 0 ] || fail "$name $order: --store off stores" ;;
		cold) cold=$(number translation tier1_blocks) ;;
		warm)
			warm=$(number translation tier1_blocks)
			[ "$(number translation stored_damaged)" -eq 0 ] || fail "$name $order: damaged"
			;;
		esac
		same "$name $order, $how: console" "$work/off.out" "$work/$how.out"
		same "$name $order, $how: count and state" "$work/off.err" "$work/$how.err"
	done
	[ $((warm * 4)) -lt "$cold" ] || fail "$name $order: $warm blocks translated with a warm store, $cold with a cold one"
	echo "$name $order: $cold blocks cold, $warm warm, $(head -n 1 "$work/warm.err")"
}
warm_is_cold el exceptions # 1158 of its 6530 blocks end in a delay slot of the next page, and are not stored
warm_is_cold eb interrupts --tiers 1
warm_is_cold el interrupts

# Code that is written over, with what stood there before in the store: no stale word is executed.
for i in cold warm; do
	on_disco el 34Kf smc --store "$store" --stats="$work/stats" >"$work/out" 2>&1 || fail "smc, $i: status $?"
	! grep -B 1 WRONG "$work/out" || fail "smc, $i: stale code was executed"
done
[ "$(number translation stored_blocks)" -gt 100 ] || fail "smc: nothing came from the store"

# try WHAT OPTION...: `interrupts` does what it did
on_disco el max interrupts --icount --store off >"$work/good" 2>/dev/null
try() {
	local what=$1
	shift
	on_disco el max interrupts --icount --stats="$work/stats" "$@" >"$work/out" 2>"$work/err" || fail "$what: status $?"
	same "$what" "$work/good" "$work/out"
}
fresh() { rm -rf "$store" && cp -r "$work/store.interrupts.el" "$store"; }
# harm HOW SEED: the store's file
harm() {
	python3 - "$store" "$1" "$2" <<'END'
import os, random, sys
folder, how, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
random.seed(seed)
path = os.path.join(folder, os.listdir(folder)[0])
data = bytearray(open(path, "rb").read())
at, n = random.randrange(len(data)), random.randrange(1, 4000)
if how == "bytes":
    for i in range(random.choice([1, 100, 4000])):
        data[random.randrange(len(data))] ^= random.randrange(1, 256)
elif how == "cut":
    del data[at:]
elif how == "zeroes":
    data[at:at + n] = bytes(len(data[at:at + n]))
elif how == "other":
    data[8:24] = bytes(random.randrange(256) for i in range(16))
elif how == "mixed":
    data = data[at:] + data[:at]
open(path, "wb").write(data)
END
}
rounds=1
[ "${DISCO_TEST_LENGTH:-short}" = short ] || rounds=200
for ((i = 0; i < rounds; i++)); do
	for how in bytes cut zeroes other mixed; do
		fresh
		harm $how $i
		try "damaged ($how $i)" --store "$store"
		try "damaged ($how $i), again" --store "$store"
		[ "$(number translation tier1_blocks)" -lt 60 ] || fail "damaged ($how $i): it does not get well again"
	done
done

# Two at once, on an empty store.
rm -rf "$store"
for i in 1 2; do
	on_disco el max interrupts --icount --stats=/dev/null --store "$store" >"$work/out.$i" 2>&1 &
done
wait
for i in 1 2; do
	sed -i '/ instructions, state /d' "$work/out.$i"
	same "two at once, $i" "$work/good" "$work/out.$i"
done
try "after two at once" --store "$store"
[ "$(number translation stored_blocks)" -gt 400 ] || fail "two at once: the third finds nothing"

# Another build of Disco finds nothing: one with another build id.
python3 - "$DISCO" "$work/disco" <<'END'
import subprocess, sys
notes = subprocess.run(["readelf", "-n", sys.argv[1]], capture_output=True, text=True).stdout
build_id = bytes.fromhex(notes.split("Build ID:")[1].split()[0])
data = open(sys.argv[1], "rb").read()
assert data.count(build_id) == 1
open(sys.argv[2], "wb").write(data.replace(build_id, bytes(b ^ 1 for b in build_id)))
END
chmod +x "$work/disco"
DISCO=$work/disco try "another build" --store "$store"
[ "$(number translation stored_blocks)" -eq 0 ] || fail "another build takes what is not its own"
rm "$work/disco"

# refused WHAT STATUS TEXT OPTION...
refused() {
	local what=$1 status=$2 text=$3
	shift 3
	on_disco el max interrupts "$@" >"$work/out" 2>"$work/err"
	[ $? -eq "$status" ] || fail "$what: status is not $status"
	grep -qF -e "$text" "$work/err" && [ "$(wc -l <"$work/err")" -eq 1 ] || fail "$what: said '$(cat "$work/err")'"
}
mkdir -m 0777 "$work/open"
chmod 0777 "$work/open"
refused "a folder of everybody's" 1 "--store: $work/open: others may write to it" --store "$work/open"
refused "no parent" 1 "--store: $work/none/none: No such file or directory" --store "$work/none/none"
refused "not a folder" 1 "--store: $work/good: Not a directory" --store "$work/good"
refused "small" 2 "--store-size 1K: must be from 1M" --store-size 1K
refused "off and a size" 2 "--store-size: needs --store" --store off --store-size 1M
refused "dump" 2 "--store: --dump shows what is translated" --store "$store" --dump g

# `on`: in the user's folder of caches.
XDG_CACHE_HOME=$work/cache try "on" --store on
[ -n "$(ls "$work/cache/disco/store" 2>/dev/null)" ] || fail "on: nothing in $work/cache/disco/store"
rm -rf "$work/cache/disco/store"
XDG_CACHE_HOME=$work/cache try "the default"
[ -z "$(ls "$work/cache/disco/store" 2>/dev/null)" ] || fail "the default is not off"
XDG_CACHE_HOME=/dev/null/none refused "no folder for it" 1 "--store: /dev/null/none/disco/store: Not a directory" --store on

# A Linux, and two of them.
if [ -f "$KERNEL" ] && [ -f "$INITRD" ]; then
	linux() {
		timeout 120 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --net none --store "$store" --stats="$work/stats" "$@" \
			</dev/null >"$work/out" 2>"$work/err"
	}
	program='seq 1 3000 | sort | md5sum; ls /bin | md5sum; echo $((6 * 7))'
	linux -- sh -c "$program" || fail "Linux, cold: status $?"
	cp "$work/out" "$work/linux"
	cold=$(number translation tier1_blocks)
	linux -- sh -c "$program" || fail "Linux, warm: status $?"
	same "Linux, warm" "$work/linux" "$work/out"
	warm=$(number translation tier1_blocks)
	[ $((warm * 20)) -lt "$cold" ] || fail "Linux: $warm blocks translated with a warm store, $cold with a cold one"
	echo "Linux: $cold blocks cold, $warm warm"
	timeout 120 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --net none --store "$store" --vms 2 -- sh -c "$program" \
		</dev/null >"$work/out" 2>"$work/err" || fail "two Linuxes, warm: status $?"
	for i in 1 2; do
		sed -n "s/^vm$i| //p" "$work/out" >"$work/one"
		same "two Linuxes, warm: vm$i" "$work/linux" "$work/one"
	done
fi
finish
