#!/bin/bash
# SPDX-License-Identifier: MIT
# Who includes whom (design: the folders are read left to right). Each folder may include itself, what its row allows,
# and system headers; LLVM stays inside jit/, Capstone inside frontend/ and jit/; nobody includes tests/ or bench/.  And who
# talks to the user: vmm/; what a folder below has to say goes through an ops struct (panic() excepted).
# usage: tests/check_order.sh [DIRECTORY]
set -eu
cd "${1:-$(dirname "$0")/..}"

declare -A allowed=(
	[base]=''
	[ir]='base'
	[frontend]='ir base'
	[numa]='base'
	[tlb]='numa base'
	[jit]='ir base tlb/l2tlb_jit.h'
	[pv-drivers]='numa base'
	[vmm]='base ir frontend numa tlb jit pv-drivers'
	[guest]=''
	[tests]='base ir frontend numa tlb jit pv-drivers vmm guest'
	[bench]='base ir frontend numa tlb jit pv-drivers vmm guest'
)
# The same inside two of them. A folder of pv-drivers/ or vmm/ that has no row may include all of its parent.
declare -A inside=(
	[numa/flash]='numa/config.h numa/mesh.h'
	[pv-drivers/virtio]=''
	[pv-drivers/disk]='pv-drivers/virtio'
	[pv-drivers/net]='pv-drivers/virtio'
	[pv-drivers/share]='pv-drivers/virtio'
	[pv-drivers/console]='pv-drivers/virtio'
	[vmm/board]=''
	[vmm/boot]=''
	[vmm/control]=''
	[vmm/host]='vmm/monitor/clock.h'
	[vmm/monitor]='vmm/board vmm/cpu vmm/devices vmm/replay'
	[vmm/cpu]='vmm/board vmm/monitor vmm/devices vmm/look vmm/replay'
	[vmm/replay]='vmm/board vmm/cpu vmm/monitor vmm/devices'
	[vmm/devices]='vmm/board vmm/monitor vmm/cpu vmm/host vmm/cli/options.h'
)
failed=0
checked=0

complain() {
	echo "$1" >&2
	failed=1
}

# may_inside FOLDER PATH: the same for a folder of a folder, when PATH stays in the outer one.
may_inside() {
	local a
	[ -n "${inside[$1]+row}" ] && [ "${2%/*}" != "$1" ] || return 0
	for a in ${inside[$1]}; do
		[ "$a" = "$2" ] || [ "$a" = "${2%/*}" ] && return 0
	done
	return 1
}

# may FILE PATH: is PATH (of an #include "PATH") allowed in FILE?
may() {
	local a folder=${1%%/*}
	if [ "${2%%/*}" = "$folder" ]; then
		may_inside "${1%/*}" "$2"
		return
	fi
	for a in ${allowed[$folder]}; do
		[ "$a" = "$2" ] || [ "$a" = "${2%%/*}" ] && return 0
	done
	return 1
}

for folder in "${!allowed[@]}"; do
	[ -d "$folder" ] || continue
	while IFS=: read -r file line text; do
		checked=$((checked + 1))
		path=$(sed -E 's/^[^"<]*["<]([^">]*)[">].*/\1/' <<<"$text")
		where=$file:$line
		if [[ $text == *'"'* ]]; then
			[[ $path == */* ]] || complain "$where: \"$path\": write \"folder/file.h\", from the root of the tree"
			[ -e "$path" ] || complain "$where: \"$path\": no such file"
			may "$file" "$path" || complain "$where: ${file%/*}/ may not include \"$path\""
		fi
		case $path in
		llvm/* | llvm-c/* | clang-c/*)
			[ "$folder" = jit ] || complain "$where: LLVM's headers stay inside jit/"
			;;
		capstone/*)
			[ "$folder" = frontend ] || [ "$folder" = jit ] || [ "$folder" = tests ] ||
				complain "$where: Capstone's headers stay inside frontend/ and jit/"
			;;
		esac
	done < <(find "$folder" -path guest/cache -prune -o -name '*.[ch]' -print -o -name '*.def' -print | sort | xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' || true)
done
while IFS=: read -r file line _; do
	[ "$file" = base/panic.c ] || complain "$file:$line: only vmm/ prints; say it through a hook that vmm/ fills in"
done < <(find base ir frontend numa tlb jit pv-drivers -name '*.[ch]' | sort |
	xargs -r grep -HnE '(^|[^a-z_])((printf|puts|putchar|perror) *\(|stderr|stdout)' || true)
[ "$checked" -gt 0 ] || complain "no #include found in $PWD: is this the tree?"
[ $failed -eq 0 ] && echo "include order: $checked includes, all allowed"
exit $failed
