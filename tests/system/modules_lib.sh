# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154
# Guests with our modules; sourced after lib.sh.
#
# have_modules: guest/modules built, in a guest cache of this test's own; $kernel, $initrd.  False: $why.
have_modules() {
	command -v mipsel-linux-gnu-gcc-12 >/dev/null || {
		why="no gcc-mipsel-linux-gnu"
		return 1
	}
	[ -d /usr/lib/linux-kbuild-6.1 ] || {
		why="no linux-kbuild-6.1"
		return 1
	}
	[ -f guest/cache/linux/.version ] || {
		why="no guest/cache: guest/fetch makes it"
		return 1
	}
	# Other tests use that cache at the same time: its files, but none that is made anew.
	export DISCO_GUEST_CACHE=$work/cache
	cp -al guest/cache "$work/cache"
	rm -rf "$work/cache/modules" "$work/cache"/initramfs.cpio*
	guest/modules/build >"$work/build" 2>&1 || {
		grep -q 'cannot download' "$work/build" && {
			why="the kernel's headers cannot be had: $(tail -n 1 "$work/build")"
			return 1
		}
		fail "build: $(tail -n 20 "$work/build")"
		finish
	}
	kernel=$work/cache/vmlinuz initrd=$work/cache/initramfs.cpio
}
