#!/bin/bash
# SPDX-License-Identifier: MIT
# The control socket speaks QMP: one conversation, with requests of all kinds, with QEMU and with Disco (qmp_same.py).
set -u
. "$(dirname "$0")/lib.sh"
need python3 qemu-system-mipsel
vmlinux=$(dirname "$KERNEL")/vmlinux
[ -f "$vmlinux" ] || {
	echo "no $vmlinux: guest/fetch makes it"
	exit 77
}
export XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$work/run"
timeout 100 qemu-system-mipsel -M malta -m 64 -nodefaults -display none -serial null -name vm -kernel "$vmlinux" -append console=ttyS0 \
	-qmp "unix:$work/qemu.sock,server=on,wait=off" >"$work/qemu.log" 2>&1 &
timeout 100 "$DISCO" run --control disco --kernel "$vmlinux" --append console=ttyS0 --mem 64M --net none >"$work/out" 2>"$work/err" </dev/null &
for ((i = 0; i < 300; i++)); do
	[ -S "$work/qemu.sock" ] && [ -S "$work/run/disco/disco.sock" ] && grep -q 'Linux version' "$work/out" && break
	sleep 0.1
done
timeout 90 tests/system/qmp_same.py "$work/qemu.sock" "$work/run/disco/disco.sock" || fail "QEMU and Disco differ"
kill %1 %2 2>/dev/null
wait
finish
