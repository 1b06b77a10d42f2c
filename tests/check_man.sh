#!/bin/bash
# SPDX-License-Identifier: MIT
# docs/disco.1 renders without complaint, and has, command by command, the options that `disco help` shows, with the same
# arguments and keys (help and parser are made from the same rows, vmm/cli/options.def); and the dump letters.   usage: [DISCO=FILE] tests/check_man.sh
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

# forms: of `disco help`, each option with its argument ("--mem SIZE"), and each key of an option's value ("mode=rw|ro|cow"),
# as they stand in front of what explains them
forms() { sed -nE 's/^(  (-., )?| {22})(--[a-z][^ ]*( [^ ]+)*|[a-z]{2}[^ ]*)(  .*)?$/\2\3/p'; }
names() { grep -oE '^(-., )?--[a-z-]+'; }

for command in run dump bench; do
	"$disco" help $command >"$work/help.text" || failed=1
	sed '/^Examples:/,$d' "$work/help.text" | forms >"$work/help.$command"
	case $command in
	run) sections='/^RUN: /,/^DUMP$/p' ;;
	dump) sections='/^DUMP$/,/^LETTERS$/p' ;;
	bench) sections='/^BENCH$/,/^GUEST/p' ;;
	esac
	sed -n "$sections" "$work/man" | sed -E 's/^ +//' >"$work/section"
	names <"$work/help.$command" >"$work/names"
	sed -n "$sections" "$work/man" | grep -E '^ {5,8}-' | tr -s ' ' | cut -c 2- | names >"$work/man.$command"
	same "disco help $command (<) and docs/disco.1 (>)" "$work/names" "$work/man.$command"
	while read -r form; do
		awk -v form="$form" 'index($0 " ", form " ") == 1 { found = 1 } END { exit !found }' "$work/section" || {
			echo "docs/disco.1: nothing begins with '$form', as in disco help $command"
			failed=1
		}
	done <"$work/help.$command"

	sed -n 's/^ \{10,\}\([a-zA-Z]\)  [A-Za-z].*/\1/p' "$work/help.text" | sort -u >"$work/letters.$command"
done
sed -n '/^LETTERS$/,/^CONSOLE/s/^ \{4,\}\([a-zA-Z]\) \{2,\}[A-Za-z].*/\1/p' "$work/man" >"$work/letters"
same "letters of disco help run (<) and docs/disco.1 (>)" "$work/letters.run" "$work/letters"
[ $failed -eq 0 ] && echo "docs/disco.1: $(wc -l <"$work/help.run") options and keys of run, $(wc -l <"$work/help.dump") of dump, $(wc -l <"$work/help.bench") of bench"
exit $failed
