#!/bin/bash
# SPDX-License-Identifier: MIT
# Each example of docs/looking-in.md does what it says: the lines that begin with "disco", in their order.
set -u
. "$(dirname "$0")/lib.sh"
need python3
export XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$XDG_RUNTIME_DIR"
page=$PWD/docs/looking-in.md
cd "$work" || exit 2
ln -s "$KERNEL" vmlinuz
ln -s "$INITRD" initramfs.cpio
disco() { timeout 120 "$DISCO" "$@"; }
status_of() {
	case $1 in
	*panic=*) echo 1 ;;
	*) echo 0 ;;
	esac
}

examples=()
while IFS= read -r line; do
	examples+=("${line#    }")
done < <(grep '^    disco ' "$page")
[ ${#examples[@]} -ge 30 ] || fail "${#examples[@]} examples are few"
mkfifo keys
eval "${examples[0]} <keys >web.out 2>&1 &"
exec 3>keys
for _ in $(seq 400); do
	grep -q '~ # ' web.out && break
	sleep 0.05
done
for example in "${examples[@]:1}"; do
	for _ in $(seq 100); do
		eval "$example" </dev/null >said 2>&1
		status=$?
		# an idle machine does nothing for up to a tenth of a second
		[[ $example == *' last '* && ! -s said && $status -eq 0 ]] || break
		sleep 0.05
	done
	[ $status -eq "$(status_of "$example")" ] || fail "$example: status $status: $(tail -n 2 said)"
	grep -qE 'no such|must be|no event is called' said && fail "$example: $(head -n 2 said)"
	case $example in
	*' info '*) [ -s said ] || fail "$example: nothing" ;;
	*' last '*) grep -qE '^ +[0-9]+\.[0-9]{9} web/' said || fail "$example: no event: $(head -n 2 said)" ;;
	*panic=*) grep -q 'the last events of --trace' said || fail "$example: no events" ;;
	*--stats*) grep -q 'Guest exceptions, by code' said || fail "$example: no counters" ;;
	*--at*) grep -q jalr said || grep -q 'schedule' said || fail "$example: no code" ;;
	esac
done
python3 -c 'import json; json.load(open("boot.json"))' || fail "boot.json"
echo poweroff >&3
exec 3>&-
wait
finish
