#!/bin/bash
# SPDX-License-Identifier: MIT
# docs/disco.1 renders without complaint, and has, command by command, the options that `disco help` shows, which are
# those that the parser knows; and the dump letters.   usage: [DISCO=FILE] tests/check_man.sh
set -u
cd "$(dirname "$0")/.." || exit 2
disco=${DISCO:-build/release/disco}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

mandoc -Tlint -Wwarning docs/disco.1 || failed=1
mandoc -Tascii -Owidth=100 docs/disco.1 | sed 's/.\x08//g' >"$work/man"

# same WHAT LEFT RIGHT: two files, as sets of lines
same() {
	sort "$2" >"$work/left"
	sort "$3" >"$work/right"
	[ -s "$work/left" ] || {
		echo "$1: nothing found on the left"
		failed=1
	}
	diff "$work/left" "$work/right" >"$work/diff" && return
	echo "$1:"
	cat "$work/diff"
	failed=1
}

# options INDENT: "--name ARGUMENT" of each option that stands INDENT blanks from the left, without what explains it
options() {
	grep -oE "^ {$1}--[a-z-]+(\[=[A-Z]+\])?( ([A-Z]+|[a-z0-9]+(\|[a-z0-9]+)+)\b)?" | tr -s ' ' | cut -c 2-
}
names() { sed 's/[ =[].*//'; }

for command in run dump bench; do
	"$disco" help $command >"$work/help.text" || failed=1
	options 2 <"$work/help.text" >"$work/help.$command"
	case $command in
	run) sections='/^RUN: /,/^DUMP$/p' ;;
	dump) sections='/^DUMP$/,/^LETTERS$/p' ;;
	bench) sections='/^BENCH$/,/^GUEST/p' ;;
	esac
	sed -n "$sections" "$work/man" | options 5,8 >"$work/man.$command"
	same "disco help $command (<) and docs/disco.1 (>)" "$work/help.$command" "$work/man.$command"

	# The parser's table: {"name", kind, ...}; --help is the parser's own.
	sed -n "/struct option ${command}_/,/};/s/^.*{\"\([a-z0-9-]*\)\".*/--\1/p" vmm/cli/options*.c | grep -vx -- --help >"$work/table"
	names <"$work/help.$command" >"$work/names"
	same "vmm/options*.c (<) and disco help $command (>)" "$work/table" "$work/names"

	sed -n 's/^ \{10,\}\([a-zA-Z]\)  [A-Za-z].*/\1/p' "$work/help.text" | sort -u >"$work/letters.$command"
done
sed -n '/^LETTERS$/,/^CONSOLE/s/^ \{4,\}\([a-zA-Z]\) \{2,\}[A-Za-z].*/\1/p' "$work/man" >"$work/letters"
same "letters of disco help run (<) and docs/disco.1 (>)" "$work/letters.run" "$work/letters"
[ $failed -eq 0 ] && echo "docs/disco.1: $(wc -l <"$work/help.run") options of run, $(wc -l <"$work/help.dump") of dump, $(wc -l <"$work/help.bench") of bench"
exit $failed
