#!/bin/bash
# SPDX-License-Identifier: MIT
# Every example of the manual pages and of the help that shows translations, as it stands there, with the shipped kernel.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need mandoc clang-19 ld.lld-19
root=$PWD
DISCO=$(realpath "$DISCO")
cd "$work" || exit 2
ln -s "$(realpath "$KERNEL")" vmlinuz
echo 'int main(int n) { while (n & 3) n += n >> 1; return n; } int __start(void) { return main(5); }' >p.c
clang-19 --target=mipsel-linux-gnu -march=mips32r2 -O1 -nostdlib -ffreestanding -mno-abicalls -static -fuse-ld=lld -o program p.c ||
	fail "no program"
cp program program.old
sed 's/3)/7)/' p.c >new.c
clang-19 --target=mipsel-linux-gnu -march=mips32r2 -O1 -nostdlib -ffreestanding -mno-abicalls -static -fuse-ld=lld -o program.new new.c ||
	fail "no other program"
disco() { "$DISCO" "$@"; }

for page in run dump; do mandoc -Tascii -Owidth=200 "$root/docs/disco-$page.1"; done | sed 's/.\x08//g' | sed -n '/^EXAMPLES/,/^SEE ALSO/p' |
	sed -nE 's/^ +(\$ )?((echo .* > names|disco (dump|run .*--dump) .*))$/\2/p' >examples
for command in run dump; do
	"$DISCO" help $command | sed -nE '/^Examples:/,$s/^ +(disco (dump|run .*--dump) .*)$/\1/p' >>examples
done
n=0
while read -r line; do
	n=$((n + 1))
	: >out
	case $line in
	'disco run '*) # ends when enough is seen
		(timeout -s INT 100 bash -c "disco() { exec '$DISCO' \"\$@\"; }; ${line/disco /exec \"$DISCO\" } 2>&1 >/dev/null </dev/null" | head -c 20000) >out
		grep -qE '^(block|region) [0-9a-f]{8}' out || fail "$line: shows nothing: $(head -c 300 out)"
		if [[ $line == *sym=* ]]; then
			name=${line##*sym=}
			grep -qE "^region [0-9a-f]{8} <${name%%,*}(\+0x[0-9a-f]+)?> kernel, tier 2" out || fail "$line: no region of ${name%%,*}"
		fi
		;;
	'disco dump --diff '*) # they differ
		eval "$line" >out 2>err </dev/null
		[ $? -eq 1 ] && grep -q 'changed' out || fail "$line: $(cat out err)"
		;;
	'disco dump '*' > '*)
		eval "$line" 2>err </dev/null || fail "$line: status $?: $(cat err)"
		grep -qE '^(block|region) [0-9a-f]{8}' "${line##* > }" || fail "$line: shows nothing"
		;;
	*)
		eval "$line" >out 2>err </dev/null || fail "$line: status $?: $(cat err)"
		[[ $line == echo* ]] || grep -qE '^(block|region) [0-9a-f]{8}' out || fail "$line: shows nothing"
		;;
	esac
	# what the manual says that is printed
	if [[ $line == *'--symbols names'* ]]; then
		mandoc -Tascii -Owidth=200 "$root/docs/disco-dump.1" | sed 's/.\x08//g' |
			sed -n '/--symbols names/,/^$/p' | sed '1d;/^$/d;s/^ \{14\}//' >said
		diff said out || fail "$line: not what the manual says"
	fi
done <examples
[ $n -ge 9 ] || fail "only $n examples found"
finish
