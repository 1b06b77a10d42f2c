# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the system tests share; sourced.  DISCO, KERNEL, INITRD as run_all sets them, or what a build leaves.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
: "${DISCO:=$PWD/build/release/disco}" "${KERNEL:=$PWD/guest/cache/vmlinuz}" "${INITRD:=$PWD/guest/cache/initramfs.cpio}"
guests=$PWD/build/guest
work=$(mktemp -d)
export XDG_CACHE_HOME=/dev/null/none # no translation store but a test's own (--store)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
	echo "FAILED: $*"
	failures=$((failures + 1))
}

# The end of a test: status 1 if anything failed.
finish() {
	[ $failures -eq 0 ] || echo "$failures failed"
	[ $failures -eq 0 ]
	exit
}

need() {
	local what
	for what; do
		command -v "$what" >/dev/null || {
			echo "no $what here"
			exit 77
		}
	done
	[ -x "$DISCO" ] || {
		echo "no $DISCO: build it first"
		exit 1
	}
}

build_guests() {
	[ -z "${DISCO_GUESTS_BUILT:-}" ] || return
	tests/guest/build "$guests" || {
		fail "tests/guest/build"
		finish
	}
}

# on_qemu ORDER CPU NAME [QEMU OPTION...]: the guest's console
on_qemu() {
	local order=$1 cpu=$2 name=$3 qemu
	shift 3
	case $order in
	el) qemu="qemu-system-mipsel" ;;
	eb) qemu="qemu-system-mips" ;;
	esac
	timeout 120 "$qemu" -M malta -cpu "$cpu" -m 128 -nodefaults -display none -serial stdio -no-reboot \
		-kernel "$guests/$order/$name.elf" "$@" </dev/null
}

# on_disco ORDER CPU NAME [OPTION...]
on_disco() {
	local order=$1 cpu=$2 name=$3
	shift 3
	timeout 120 "$DISCO" run --cpu "$cpu" --mem 128M --no-reboot --kernel "$guests/$order/$name.elf" "$@" </dev/null
}

# same WHAT EXPECTED SEEN: files, compared; the first differing lines are shown
same() {
	cmp -s "$2" "$3" && return
	fail "$1: $(diff "$2" "$3" | grep -c '^[<>]') lines differ"
	diff "$2" "$3" | head -n 6 | cut -c 1-240
}
