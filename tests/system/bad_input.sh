#!/bin/bash
# SPDX-License-Identifier: MIT
# Bad command lines and bad files: one line on standard error, nothing on standard output, status 2; never a crash.
# With the ASan build beside it (build/asan/disco, or DISCO_ASAN) that one is asked as well (in short runs, only about files).
set -u
. "$(dirname "$0")/lib.sh"
need python3
tests/system/make_elf.py "$work"
good=$work/good.elf
asan=${DISCO_ASAN:-$PWD/build/asan/disco}

# check WHAT WORDS ARGUMENT...: `words` (a fixed string) must be in the line
check() {
	local what=$1 words=$2 status
	shift 2
	timeout 20 "$disco" "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status -eq 2 ] || fail "$what: status $status, not 2"
	[ "$(wc -l <"$work/err")" -eq 1 ] || fail "$what: $(wc -l <"$work/err") lines on standard error: $(head -n 3 "$work/err")"
	grep -qF -- "$words" "$work/err" || fail "$what: no '$words' in: $(cat "$work/err")"
	grep -q '[[:cntrl:]]' "$work/err" && fail "$what: control characters on standard error"
	[ ! -s "$work/out" ] || fail "$what: standard output: $(head -n 2 "$work/out")"
	checks=$((checks + 1))
}

run() {
	local what=$1 words=$2
	shift 2
	check "$what" "$words" run "$@"
}

options() {
	local v
	check "no such command" "'frobnicate'" frobnicate
	run "unknown option" --frobnicate --kernel "$good" --frobnicate
	run "unknown short option" -q --kernel "$good" -q
	run "value missing" --mem --kernel "$good" --mem
	run "value for a switch" --icount --kernel "$good" --icount=1
	run "argument" stray --kernel "$good" stray
	run "no kernel" --kernel
	run "ambiguous option" --i --kernel "$good" --i
	for v in 0 0K 1K 100000K 3K -1 x '' 1T 12MB 1e3 257M 256.5M 1G 99999999999999999999 18446744073709551615K 64m4; do
		run "--mem '$v'" --mem --kernel "$good" --mem "$v"
	done
	for v in '' 0 3 21 122 interpreter '1,2' ' 1' 12x; do
		run "--tiers '$v'" --tiers --kernel "$good" --tiers "$v"
	done
	for v in '' nothing 34kf4 '34Kf ' R10000 ../../etc/passwd "$(printf 'a%.0s' {1..3000})"; do
		run "--cpu '${v:0:40}'" --cpu --kernel "$good" --cpu "$v"
	done
	for v in 0 1K 4096M -64M x '' 64Q; do
		run "--jit-mem '$v'" --jit-mem --kernel "$good" --jit-mem "$v"
	done
	for v in '' z '?' g1; do
		run "--dump '$v'" --dump --kernel "$good" --dump "$v"
	done
	for v in '' pc= pc=x pc=5-1 pc=123456789 mode=root colour=red; do
		run "--dump-filter '$v'" --dump-filter --kernel "$good" --dump g --dump-filter "$v"
	done
	run "--dump-filter alone" --dump-filter --kernel "$good" --dump-filter mode=user
	run "--append too long" --append --kernel "$good" --append "$(head -c 5000 /dev/zero | tr '\0' x)"
	check "help of nothing" "'nothing'" help nothing
	check "dump without a source" --kernel dump
	check "dump of no word" --words dump --words xyz
}

files() {
	local f
	run "kernel is not there" /nonexistent --kernel /nonexistent
	run "kernel is a directory" "$work" --kernel "$work"
	run "kernel is a device" /dev/null --kernel /dev/null
	run "kernel is under a file" "$good/x" --kernel "$good/x"
	for f in "$work"/*.elf; do
		[ "$f" = "$good" ] || run "kernel $(basename "$f")" "$f" --kernel "$f"
	done
	if [ "$(id -u)" -ne 0 ]; then
		cp "$good" "$work/secret"
		chmod 000 "$work/secret"
		run "kernel may not be read" "$work/secret" --kernel "$work/secret"
	fi
	run "initrd is not there" /nonexistent --kernel "$good" --initrd /nonexistent
	run "initrd is a directory" "$work" --kernel "$good" --initrd "$work"
	run "initrd is empty" "$work/empty.elf" --kernel "$good" --initrd "$work/empty.elf"
	truncate -s 65M "$work/large"
	run "initrd larger than memory" "$work/large" --kernel "$good" --initrd "$work/large" --mem 64M
	truncate -s 64M "$work/large"
	run "initrd as large as memory" "$work/large" --kernel "$good" --initrd "$work/large" --mem 64M
	truncate -s 3G "$work/large"
	run "initrd of 3 GB" "$work/large" --kernel "$good" --initrd "$work/large"
	run "kernel of 3 GB" "$work/large" --kernel "$work/large"
	rm "$work/large"
	run "memory smaller than the kernel" "$good" --kernel "$good" --mem 1M
}

checks=0
for disco in "$DISCO" "$asan"; do
	[ -x "$disco" ] || continue
	# what is right beside all the wrong ones: it runs until it is stopped
	timeout 1 "$disco" run --kernel "$good" </dev/null >"$work/out" 2>"$work/err"
	[ $? -eq 124 ] || fail "good.elf does not run: $(cat "$work/err")"
	if [ "$disco" = "$DISCO" ] || [ "${DISCO_TEST_LENGTH:-short}" = long ]; then
		options
	fi
	files
done
echo "$checks checks"
finish
