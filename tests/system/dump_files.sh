#!/bin/bash
# SPDX-License-Identifier: MIT
# `disco dump` of programs and libraries, made here for both byte orders: executables, libraries, with and without sections,
# segments and symbol tables; what is no such file is refused in one line.
set -u
disco=${DISCO:?} kernel=${KERNEL:?}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
	echo "FAIL: $*" >&2
	failed=1
}

# head1 FILE PLACE: the heading of the block there
head1() { "$disco" dump --elf "$1" --at "$2" --stage g 2>&1 | head -n 1; }

expect() {
	[[ $2 == $3 ]] || fail "$1: '$2' is not '$3'"
}

refused() {
	local words=$1
	shift
	"$disco" dump "$@" >"$work/out" 2>"$work/err"
	local status=$?
	[ $status -eq 2 ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -qF -- "$words" "$work/err" ||
		fail "$*: status $status, '$(cat "$work/err")' lacks '$words'"
}

# zero FILE OFFSET BYTES
zero() { dd if=/dev/zero of="$1" bs=1 seek="$2" count="$3" conv=notrunc status=none; }

cat >"$work/p.c" <<'END'
int shared_twice(int x) { return 2 * x; }
static __attribute__((noinline)) int hidden(int x) { return x - 1; }
int __start(int x) { return hidden(x) + shared_twice(x); }
END
for target in mipsel mips; do
	cc=(clang-19 --target=$target-linux-gnu -march=mips32r2 -O1 -nostdlib -ffreestanding -fno-unwind-tables)
	"${cc[@]}" -fuse-ld=lld -mno-abicalls -static -o "$work/exec" "$work/p.c" || fail "$target: no executable"
	"${cc[@]}" -fuse-ld=lld -fPIC -shared -Wl,-s -o "$work/lib.so" "$work/p.c" || fail "$target: no library"
	"${cc[@]}" -fPIC -c -o "$work/p.o" "$work/p.c" || fail "$target: no object"

	expect "$target, executable" "$(head1 "$work/exec" __start)" 'block 0002???? <__start> user, tier 1, * instructions'
	expect "$target, executable, a static function" "$(head1 "$work/exec" hidden)" 'block * <hidden> user, *'
	expect "$target, kernel mode" "$("$disco" dump --elf "$work/exec" --mode kernel --at __start --stage g | head -n 1)" \
		'block * <__start> kernel, *'
	at=$(head1 "$work/exec" __start) && at=${at#block } && at=${at%% *}
	expect "$target, an address" "$(head1 "$work/exec" "$at")" "block $at <__start> user, *"
	"$disco" dump --elf "$work/exec" --at __start --tier 2 --stage xh >"$work/out" || fail "$target, tier 2: status $?"
	grep -q '^region .* <__start> user, tier 2, ' "$work/out" || fail "$target, tier 2: no region"

	expect "$target, library, dynamic symbols" "$(head1 "$work/lib.so" shared_twice)" 'block * <shared_twice> user, *'
	refused 'hidden: neither' --elf "$work/lib.so" --at hidden
	word=$("$disco" dump --elf "$work/lib.so" --at shared_twice --stage g | sed -n 2p)

	cp "$work/lib.so" "$work/segments.so" # e_shoff, e_shnum: no sections
	zero "$work/segments.so" 32 4
	zero "$work/segments.so" 48 2
	expect "$target, segments only" "$(head1 "$work/segments.so" shared_twice)" 'block * <shared_twice> user, *'
	expect "$target, segments only" "$("$disco" dump --elf "$work/segments.so" --at shared_twice --stage g | sed -n 2p)" \
		"$word"

	cp "$work/exec" "$work/sections" # e_phnum: no segments
	zero "$work/sections" 44 2
	expect "$target, sections only" "$(head1 "$work/sections" hidden)" 'block * <hidden> user, *'
	zero "$work/sections" 48 2
	refused 'nothing in it has an address' --elf "$work/sections" --at 20000

	refused 'object file or kernel module' --elf "$work/p.o" --at __start
	refused 'not in the image' --elf "$work/exec" --at 00001000
	for bytes in 10 51 60 300; do
		head -c $bytes "$work/lib.so" >"$work/cut"
		refused "$work/cut: " --elf "$work/cut" --at 0
	done
done

refused 'not a 32-bit ELF file' --elf /bin/true --at 0
refused 'not an ELF file' --elf "$0" --at 0
refused 'not a regular file' --elf /dev/null --at 0

# ---- the kernel has its own names, packed or not, and no list is needed ----
for name in memset start_kernel; do
	expect "kernel" "$("$disco" dump --kernel "$kernel" --at $name --stage g | head -n 1)" "block 8??????? <$name> kernel, tier 1, *"
done

[ $failed -eq 0 ] && echo "dumps of files: as expected"
exit $failed
