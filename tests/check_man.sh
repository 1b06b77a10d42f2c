#!/bin/bash
# SPDX-License-Identifier: MIT
# The manual pages, docs/*.[1-9], render without complaint; each command of `disco --help` has one, and no other has; each has the options
# that `disco help COMMAND` shows, with the same arguments and keys (help and parser are made from the same rows, vmm/cli/options.def);
# disco-config.5 has the keys, disco-control.7 the commands and events.   usage: [DISCO=FILE] tests/check_man.sh
set -u
cd "$(dirname "$0")/.." || exit 2
disco=${DISCO:-build/release/disco}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

complain() {
	echo "$*"
	failed=1
}

# same WHAT LEFT RIGHT [or none]: two files, as sets of lines
same() {
	sort "$2" >"$work/left"
	sort "$3" >"$work/right"
	[ -s "$work/left" ] || [ "${4:-}" = "or none" ] || complain "$1: nothing found on the left"
	diff "$work/left" "$work/right" >"$work/diff" && return
	complain "$1:"
	cat "$work/diff"
}

# forms: of `disco help`, each option with its argument ("--mem SIZE"), and each key of an option's value ("mode=rw|ro|cow"),
# as they stand in front of what explains them
forms() { sed -nE 's/^  (-., )?(--[a-z][^ ]*( [^ ]+)*)(  .*)?$/\1\2/p; s/^ {22}([a-z]{2}[^ ]*)(  .*)?$/\1/p'; }
names() { grep -oE '^(-., )?--[a-z-]+'; }
render() { mandoc -Tascii -Owidth=100 "$1" | sed 's/.\x08//g'; }
# section NAME FILE: of a page as text
section() { awk -v name="$1" '/^[A-Z]/ { on = $0 == name; next } on' "$2"; }
letters_of() { sed -n 's/^ \{10,\}\([a-zA-Z]\)  [A-Za-z].*/\1/p' "$1" | sort -u; }

# page COMMAND: it is there, as text in $work/man; what the help shows is in it, and its options are those of the commands that it is about
page() {
	local command=$1 file=docs/disco-$1.1 to form
	[ -f "$file" ] || {
		complain "disco $command: there is no $file"
		return
	}
	to=$(sed -n 's/^\.so man1\///p' "$file")
	file=docs/${to:-${file#docs/}}
	render "$file" >"$work/man"
	section NAME "$work/man" | grep -qE "(^|[ ,])disco-$command( |,)" || complain "$file: is called otherwise than disco-$command"
	section EXAMPLES "$work/man" | grep -q 'disco ' || complain "$file: no example"
	"$disco" help "$command" >"$work/help.text" || complain "disco help $command: status $?"
	"$disco" "$command" --help | cmp - "$work/help.text" || complain "disco $command --help: not what disco help $command shows"
	grep -q '^Examples\?:$' "$work/help.text" || complain "disco help $command: no examples"
	sed '/^Examples\?:/,$d' "$work/help.text" | forms >"$work/help.forms"
	mkdir -p "$work/names/${file#docs/}"
	names <"$work/help.forms" >"$work/names/${file#docs/}/$command"
	sed -E 's/^ +//' "$work/man" >"$work/lines"
	while read -r form; do
		awk -v form="$form" 'index($0 " ", form " ") == 1 { found = 1 } END { exit !found }' "$work/lines" ||
			complain "$file: nothing begins with '$form', as in disco help $command"
	done <"$work/help.forms"
	options=$((options + $(wc -l <"$work/help.forms")))
}

options=0
for file in docs/*.[1-9]; do
	if grep -q '^\.so ' "$file"; then
		[ -f "docs/$(sed -n 's/^\.so man1\///p' "$file")" ] || complain "$file: leads nowhere"
	else
		mandoc -Tlint -Wwarning "$file" || failed=1
	fi
done

"$disco" --help | sed -nE '/^Commands:/,/^$/s/^  ([a-z]+(, [a-z]+)*)  .*/\1/p' | tr -d ' ' | tr ',' '\n' >"$work/commands"
grep -qx help "$work/commands" || complain "disco --help: no commands found"
grep -vx help "$work/commands" >"$work/paged"
ls docs/disco-*.1 | sed 's/.*disco-\(.*\)\.1/\1/' >"$work/pages"
same "commands of disco --help (<) and docs/disco-*.1 (>)" "$work/paged" "$work/pages"
while read -r command; do
	page "$command"
	case $command in
	run) letters_of "$work/help.text" >"$work/letters.run" ;;
	dump) section LETTERS "$work/man" | sed -n 's/^ \{4,\}\([a-zA-Z]\) \{2,\}[A-Za-z].*/\1/p' >"$work/letters.man" ;;
	up) sed -n 's/^  monitor: .*: *\(.*\)$/\1/p' "$work/help.text" | tr -d ' ' | tr ',' '\n' >"$work/keys.help" ;;
	esac
done <"$work/paged"
for names in "$work"/names/*; do
	file=docs/${names##*/}
	sort -u "$names"/* >"$work/help.names"
	render "$file" | grep -E '^ {5,8}-' | tr -s ' ' | cut -c 2- | names >"$work/man.names"
	same "options of disco help (<) and $file (>)" "$work/help.names" "$work/man.names" "or none"
done
same "letters of disco help run (<) and docs/disco-dump.1 (>)" "$work/letters.run" "$work/letters.man"

# the overview names all pages
render docs/disco.1 >"$work/man"
section COMMANDS "$work/man" | grep -oE '^ {5,8}[a-z]+(, [a-z]+)*(,|$|  )' | tr -d ' ' | tr ',' '\n' | grep . | sort -u >"$work/overview"
same "commands of disco --help (<) and docs/disco.1 (>)" "$work/commands" "$work/overview"

render docs/disco-config.5 >"$work/man"
section SECTIONS "$work/man" | tr -s '\n ' ' ' | sed 's/.*machines share: //; s/\..*//; s/, /\n/g' >"$work/keys.man"
same "keys of monitor, of disco help up (<) and docs/disco-config.5 (>)" "$work/keys.help" "$work/keys.man"

render docs/disco-control.7 >"$work/man"
sed -n 's/^CONTROL_COMMAND("\([^"]*\)".*/\1/p' vmm/control/commands.def >"$work/qmp"
section COMMANDS "$work/man" | sed -nE 's/^ {5,8}([a-z][a-z_-]*(, [a-z][a-z_-]*)*)(  .*)?$/\1/p' | tr -d ' ' | tr ',' '\n' >"$work/qmp.man"
same "vmm/control/commands.def (<) and docs/disco-control.7 (>)" "$work/qmp" "$work/qmp.man"
sed -n 's/^CONTROL_EVENT(\([A-Z_]*\)).*/\1/p' vmm/control/commands.def >"$work/events"
section EVENTS "$work/man" | grep -oE '\b[A-Z][A-Z_]{3,}\b' | grep -v QEMU >"$work/events.man"
same "events of vmm/control/commands.def (<) and docs/disco-control.7 (>)" "$work/events" "$work/events.man"

[ $failed -eq 0 ] && echo "docs: $(wc -l <"$work/pages") pages of commands with $options options and keys, $(wc -l <"$work/qmp") commands of QMP"
exit $failed
