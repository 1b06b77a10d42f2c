#!/bin/bash
# SPDX-License-Identifier: MIT
# Format (.clang-format), the licence line, files of at most 800 lines, files that a README names: errors. Functions over
# 60 lines: warnings, or errors with --strict.   usage: tests/check_style.sh [--strict]
set -eu
cd "$(dirname "$0")/.."
strict=${1:-}
failed=0

complain() {
	echo "$1" >&2
	failed=1
}

folders=()
for f in base ir frontend numa tlb jit pv-drivers vmm tests bench guest; do
	[ -d "$f" ] && folders+=("$f")
done
mapfile -t sources < <(find "${folders[@]}" -name '*.[ch]' -not -path 'guest/cache/*' | sort)
mapfile -t tables < <(find "${folders[@]}" -name '*.def' -not -path 'guest/cache/*' | sort)
mapfile -t scripts < <(find "${folders[@]}" .ci \( -name '*.sh' -o -path 'guest/fetch' -o -path 'guest/build' -o -path 'guest/list' -o -path 'guest/customize' -o -path 'guest/mkinitramfs' -o \
	-path 'bench/*' -o -path 'tests/run_all' -o -path 'tests/format' -o -path 'tests/guest/build' -o -path '.ci/*' -o \
	-name init \) -type f -not -name '*.md' -not -path 'guest/cache/*' | sort)

if ! differs=$(clang-format --dry-run -Werror "${sources[@]}" 2>&1); then
	grep -E 'error:' <<<"$differs" | cut -d: -f1 | sort | uniq -c |
		while read -r n file; do echo "$file: $n places differ from clang-format -i $file" >&2; done
	failed=1
fi

for f in "${sources[@]}" "${tables[@]}"; do
	head -n 1 "$f" | grep -q '^/\* SPDX-License-Identifier: MIT \*/$' || complain "$f:1: no SPDX line"
	n=$(wc -l <"$f")
	[ "$n" -le 800 ] || [[ $f == *.def ]] || complain "$f: $n lines, at most 800"
done
for f in "${scripts[@]}"; do
	head -n 3 "$f" | grep -qE '^(#|//|--|/\*) SPDX-License-Identifier: MIT( \*/)?$' || complain "$f: no SPDX line"
done

# A README names files that are there: from the top, or by the end of the path.
files=$(find "${folders[@]}" -type f -not -path 'guest/cache/*' -printf '/%p\n')
# shellcheck disable=SC2016 # the backquotes are the READMEs'
for readme in README.md */README.md */*/README.md; do
	[ -f "$readme" ] || continue
	while read -r f; do
		grep -qE "/${f//./\\.}\$" <<<"$files" || complain "$readme: names $f, which is not there"
	done < <(grep -oE '`[a-z0-9_/]+\.(c|h|def|sh|py|S)`' "$readme" | tr -d '`' | sort -u)
done

# A function: from a brace alone in the first column to the one that closes it.
long=$(awk '
	FNR == 1 { start = 0 }
	/^{$/ { start = FNR }
	/^}/ && start {
		n = FNR - start - 1
		if (n > 60)
			printf "%s:%d: a function of %d lines, at most 60\n", FILENAME, start, n
		start = 0
	}' "${sources[@]}")
if [ -n "$long" ]; then
	echo "$long" >&2
	[ "$strict" != --strict ] || failed=1
fi
[ $failed -eq 0 ] && echo "style: ${#sources[@]} sources, ${#tables[@]} tables, ${#scripts[@]} scripts"
exit $failed
