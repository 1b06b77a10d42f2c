#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs on SPLASHOS with 1 to 8 vCPUs on two processors, on all tiers, in both byte orders: each checks its own result, which is the
# same for any number of threads and on any tier. Repeatable runs. Who starts no vCPUs gets none.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19
splash=$PWD/build/splashos
guest/splashos/build "$splash" || {
	fail "guest/splashos/build"
	finish
}
size=1
[ "${DISCO_TEST_LENGTH:-short}" = short ] || size=4

# program ORDER NAME VCPUS OPTION...: its line
program() {
	local order=$1 name=$2 vcpus=$3
	shift 3
	timeout 100 "$DISCO" run --kernel "$splash/$order/$name" --vcpus "$vcpus" --processors 2 --mem 32M --control none "$@" \
		</dev/null >"$work/out" 2>"$work/err" || fail "$order $name --vcpus $vcpus $*: status $?: $(cat "$work/out" "$work/err")"
	grep -q "^$name: ok, " "$work/out" || fail "$order $name --vcpus $vcpus $*: $(head -n 1 "$work/out")"
}

# What does not depend on threads and time.
result() { sed -E 's/, [0-9]+ us$//; s/, [0-9]+ threads//' "$work/out"; }

# one ORDER TIERS NAME ARGUMENTS VCPUS...: the same result with each
one() {
	local order=$1 tiers=$2 name=$3 arguments=$4 vcpus
	shift 4
	rm -f "$work/first"
	for vcpus; do
		program "$order" "$name" "$vcpus" --tiers "$tiers" --append "$arguments"
		[ "$name" = counters ] || [ "$name" = radix ] || {
			[ -e "$work/first" ] || result >"$work/first"
			result >"$work/this"
			same "$order $name --tiers $tiers --vcpus $vcpus" "$work/first" "$work/this"
		}
	done
}

for order in el eb; do
	one $order 12 counters n=$((4096 * size)) 1 2 4 8
	one $order 12 radix n=$((65536 * size)) 1 2 4 8
	one $order 12 lu n=$((64 * size)) 1 2 4 8
	one $order 12 ocean n=$((40 * size)) 1 2 4 8
	one $order 12 raytrace n=$((48 * size)) 1 2 4 8
	for tiers in 1 2 interp; do
		one $order $tiers counters n=512 8
		one $order $tiers radix n=4096 4
		one $order $tiers lu n=32 2
		one $order $tiers ocean n=12 2
		one $order $tiers raytrace n=12 4
	done
done

# --icount: turns, and the same state in each run, on each tier
rm -f "$work/first"
for tiers in 12 1 12; do
	program el radix 4 --icount --tiers $tiers --append n=4096
	cat "$work/out" "$work/err" >"$work/this"
	[ -e "$work/first" ] || cp "$work/this" "$work/first"
	same "radix --icount --tiers $tiers" "$work/first" "$work/this"
done
grep -qE '^disco run: [0-9]+ instructions, state [0-9a-f]{16}$' "$work/err" || fail "no state: $(cat "$work/err")"

# a scene from the initrd
echo "0 0 3000 1000 900 100 100 500 0" >"$work/scene"
program el raytrace 2 --initrd "$work/scene" --append n=24
grep -q ", 1 spheres, " "$work/out" || fail "the scene: $(cat "$work/out")"

# the same one, and a large one that takes several reads, from a share, in both byte orders
result >"$work/first"
mkdir -p "$work/share/scenes/of/glass"
cp "$work/scene" "$work/share/scenes/of/glass/one"
{
	cat "$work/scene"
	printf '%200000s\n' ''
	for x in 1 2 3; do echo "${x}000 0 3000 500 100 900 100 300 0"; done
} >"$work/share/large"
for order in el eb; do
	program $order raytrace 2 --share "$work/share,ro" --append "n=24 scene=scenes/of/glass/one"
	result >"$work/this"
	same "$order: the scene from a share" "$work/first" "$work/this"
	program $order raytrace 2 --share "$work/share" --append "n=24 scene=/large"
	grep -q ", 4 spheres, " "$work/out" || fail "$order: a large scene: $(cat "$work/out")"
	program $order raytrace 2 --append "n=24 spheres=2000" # with a grid, and checked without
done
program el raytrace 2 --icount --share "$work/share" --append "n=24 scene=scenes/of/glass/one"

# a program that fails says so with its status, and what is no program for several vCPUs is refused
refused() {
	local want=$1 text=$2
	shift 2
	timeout 60 "$DISCO" run --control none "$@" </dev/null >"$work/out" 2>&1
	local status=$?
	[ $status -eq "$want" ] || fail "$*: status $status"
	grep -qF -- "$text" "$work/out" || fail "$*: $(head -n 1 "$work/out")"
}
refused 1 "lu: n=16..1024" --kernel "$splash/el/lu" --vcpus 2 --append n=5
refused 1 "threads=1..vCPUs" --kernel "$splash/el/lu" --vcpus 2 --append threads=3
refused 1 "spheres=1..16384" --kernel "$splash/el/raytrace" --append spheres=16385
refused 1 "no share (disco run --share) has such a file" --kernel "$splash/el/raytrace" --append scene=none --share "$work/share"
refused 1 "no share (disco run --share) has such a file" --kernel "$splash/el/raytrace" --append scene=one/two --share "$work/share"
refused 1 "no share (disco run --share) has such a file" --kernel "$splash/el/raytrace" --append scene=large
refused 2 "starts no further vCPUs" --kernel "$KERNEL" --vcpus 2
refused 2 "--vcpus" --kernel "$splash/el/lu" --vcpus 0
refused 2 "--vcpus" --kernel "$splash/el/lu" --vcpus 65
refused 2 "--vcpus: with --dump" --kernel "$splash/el/lu" --vcpus 2 --dump g
finish
