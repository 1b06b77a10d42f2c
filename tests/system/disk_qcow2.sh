#!/bin/bash
# SPDX-License-Identifier: MIT
# qcow2 images as qemu-img makes them, read by a guest: plain, compressed, with clusters of zeroes, version 2 and 3; changes
# kept in an overlay; locks against QEMU's own; what is refused.
set -u
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io sha256sum python3
. "$(dirname "$0")/disk_lib.sh"

head -c 3000000 /dev/urandom >"$work/raw"
yes compressible | head -c 3000000 >>"$work/raw"
truncate -s 12M "$work/raw"
qemu-img convert -O qcow2 -o compat=0.10 "$work/raw" "$work/v2.qcow2" || fail "qemu-img: v2"
qemu-img convert -c -O qcow2 -o cluster_size=4096 "$work/raw" "$work/small.qcow2" || fail "qemu-img: compressed"
qemu-img convert -O qcow2 "$work/raw" "$work/zero.qcow2" || fail "qemu-img: v3"
qemu-io -c 'write -z 65536 131072' -c 'write -z -u 524288 65536' -c 'write -P 7 700000 5000' "$work/zero.qcow2" >/dev/null ||
	fail "qemu-io"
# Some writers end the file at the last sector that they wrote: the rest of that cluster is zeroes.
qemu-img create -q -f qcow2 "$work/tail.qcow2" 4M && qemu-io -f qcow2 -c 'write -P 5 1M 512' "$work/tail.qcow2" >/dev/null ||
	fail "qemu-io: tail"
python3 - "$work/tail.qcow2" <<'END' || fail "tail: not cut"
import os, sys
d = open(sys.argv[1], "rb").read()
end = max(i for i in range(0, len(d), 512) if any(d[i:i + 512])) + 512
assert end % 65536, end
os.truncate(sys.argv[1], end)
END
names=(v2 small zero tail)
disks=()
for n in "${names[@]}"; do
	disks+=(--disk "$work/$n.qcow2,mode=cow")
	sum "$work/$n.qcow2" >"$work/$n.before"
	qemu-img convert -O raw "$work/$n.qcow2" "$work/$n.raw"
done
guest_script "$work/script" <<'END'
for d in vdb vdc vdd vde; do
	echo "$d $(sha256sum </dev/$d)"
	echo changed | dd of=/dev/$d conv=fsync,notrunc 2>/dev/null
	echo "$d $(head -c 7 /dev/$d)"
done
END
on_guest "$work/script" "${disks[@]}" >"$work/out" 2>&1 || fail "status $?"
ends_well qcow2 "$work/out"
i=0
for d in vdb vdc vdd vde; do
	says "${names[i]}" "$work/out" "$d $(sha256sum <"$work/${names[i]}.raw")" "$d changed"
	[ "$(sum "$work/${names[i]}.qcow2")" = "$(cat "$work/${names[i]}.before")" ] || fail "${names[i]}: the image changed"
	i=$((i + 1))
done

# refused WHAT TEXT OPTION...
refused() {
	local what=$1 text=$2
	shift 2
	timeout 60 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --net none "$@" </dev/null >"$work/out" 2>"$work/err" &&
		fail "$what: status 0"
	grep -qF -- "$text" "$work/err" || fail "$what: standard error is '$(cat "$work/err")', without '$text'"
	[ "$(wc -l <"$work/err")" = 1 ] || fail "$what: not one line: $(cat "$work/err")"
}
refused rw 'mode=cow' --disk "$work/v2.qcow2,mode=rw"
qemu-img create -q -f qcow2 -b "$work/raw" -F raw "$work/backed.qcow2"
refused backing 'backing file' --disk "$work/backed.qcow2,mode=cow"
head -c 1500000 "$work/v2.qcow2" >"$work/cut.qcow2"
refused truncated 'damaged or truncated' --disk "$work/cut.qcow2,mode=ro"
qemu-img create -q -f qcow2 -o compression_type=zstd "$work/zstd.qcow2" 1M &&
	refused zstd 'not zlib' --disk "$work/zstd.qcow2,mode=cow"

# QEMU has the image open for writing: nobody else may.
mkfifo "$work/fifo"
(qemu-io "$work/zero.qcow2" <"$work/fifo" >"$work/qemu" 2>&1) &
exec 9>"$work/fifo"
echo 'read 0 512' >&9
for _ in $(seq 1 100); do
	grep -q 'read 512/512' "$work/qemu" && break
	sleep 0.1
done
refused "beside QEMU" 'is being written by process' --disk "$work/zero.qcow2,mode=cow"
grep -q '(qemu-io)' "$work/err" || fail "beside QEMU: $(cat "$work/err")"
echo quit >&9
exec 9>&-
wait
finish
