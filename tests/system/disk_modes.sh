#!/bin/bash
# SPDX-License-Identifier: MIT
# Disks as a guest sees them: several at once, each mode, what is left in the image and in an overlay, discard, zeroes and
# serial numbers, and what is said when an image cannot be had.
set -u
. "$(dirname "$0")/lib.sh"
need mke2fs e2fsck sha256sum python3
. "$(dirname "$0")/disk_lib.sh"

ext4() {
	rm -f "$1"
	truncate -s "$2" "$1"
	mke2fs -q -F -t ext4 "$1" || fail "mke2fs $1"
}
e2fs_clean() { e2fsck -fn "$2" >"$work/fsck" 2>&1 || fail "$1: e2fsck: $(cat "$work/fsck")"; }

# Several disks, all modes, in one guest.
several() {
	local cow ro
	ext4 "$work/rw.img" 48M
	ext4 "$work/cow.img" 48M
	ext4 "$work/ro.img" 16M
	cow=$(sum "$work/cow.img")
	ro=$(sum "$work/ro.img")
	guest_script "$work/script" <<'END'
cd /sys/block
for d in vdb vdc vdd; do
	echo "$d size $(cat $d/size) ro $(cat $d/ro) serial $(cat $d/serial)"
	echo "$d block $(cat $d/queue/logical_block_size) $(cat $d/queue/physical_block_size) cache $(cat $d/queue/write_cache)"
done
echo "discard $(cat vdb/queue/discard_max_bytes) $(cat vdd/queue/discard_max_bytes)"
for d in vdb vdc; do
	mkdir -p /mnt/$d
	mount -t ext4 /dev/$d /mnt/$d || exit 1
	dd if=/dev/urandom of=/mnt/$d/f bs=64k count=300 conv=fsync 2>/dev/null || exit 1
	echo "$d f $(sha256sum </mnt/$d/f)"
	echo 3 >/proc/sys/vm/drop_caches
	echo "$d again $(sha256sum </mnt/$d/f)"
	umount /mnt/$d || exit 1
done
dd if=/dev/zero of=/dev/vdd bs=512 count=1 conv=fsync 2>/dev/null && echo 'a read-only disk was written'
mkdir -p /mnt/vdd
mount -t ext4 -o ro /dev/vdd /mnt/vdd 2>/dev/null && mount -o remount,rw /mnt/vdd 2>/dev/null &&
	echo 'a read-only disk was mounted for writing'
true
END
	on_guest "$work/script" --disk "$work/rw.img,mode=rw,serial=first" --disk "$work/cow.img,mode=cow,serial=second-of-20-chars-x" \
		--disk "$work/ro.img,mode=ro" --stats="$work/stats" >"$work/out" 2>"$work/err" || fail "several: status $?"
	ends_well several "$work/out"
	says several "$work/out" 'vdb size 98304 ro 0 serial first' 'vdc size 98304 ro 0 serial second-of-20-chars-x' \
		'vdd size 32768 ro 1 serial ' 'vdb block 512 4096 cache write back'
	grep -qE '^discard [1-9][0-9]* 0$' "$work/out" || fail "several: $(grep discard "$work/out")"
	[ "$(grep -c ' again ' "$work/out")" = 2 ] || fail "several: $(tail "$work/out")"
	for d in vdb vdc; do
		[ "$(sed -n "s/^$d f //p" "$work/out")" = "$(sed -n "s/^$d again //p" "$work/out")" ] ||
			fail "several: $d reads back something else"
	done
	! grep -q 'a read-only disk' "$work/out" || fail "several: $(grep 'a read-only disk' "$work/out")"
	[ ! -s "$work/err" ] || fail "several: standard error: $(head -n 3 "$work/err")"
	e2fs_clean "several, rw" "$work/rw.img"
	debugfs -R "dump /f $work/f" "$work/rw.img" 2>/dev/null
	[ "vdb f $(sha256sum <"$work/f")" = "$(grep '^vdb f' "$work/out")" ] || fail "several: the file on the host differs"
	[ "$(sum "$work/cow.img")" = "$cow" ] || fail "several: the cow image changed"
	[ "$(sum "$work/ro.img")" = "$ro" ] || fail "several: the ro image changed"
	python3 - "$work/stats" <<'END' || fail "several: more than one trap per request"
import json, sys
disks = [d for d in json.load(open(sys.argv[1]))["devices"] if d["virtio_id"] == 2]
assert len(disks) == 4, disks
for d in disks:
    assert 0 < d["requests"] and d["notifies"] <= d["requests"], d
END
}

# An overlay over two runs; the image as it was; another image, a changed one and a damaged overlay refused.
overlay() {
	local before
	ext4 "$work/base.img" 32M
	before=$(sum "$work/base.img")
	guest_script "$work/write" <<'END'
mkdir -p /mnt/b && mount -t ext4 /dev/vdb /mnt/b && seq 1 20000 >/mnt/b/seq && umount /mnt/b
END
	guest_script "$work/read" <<'END'
mkdir -p /mnt/b && mount -t ext4 /dev/vdb /mnt/b && echo "seq $(sha256sum </mnt/b/seq)" && rm /mnt/b/seq && umount /mnt/b
END
	on_guest "$work/write" --disk "$work/base.img,mode=cow,overlay=$work/o" >"$work/out" 2>&1 || fail "overlay: status $?"
	ends_well "overlay, first run" "$work/out"
	on_guest "$work/read" --disk "$work/base.img,mode=cow,overlay=$work/o" >"$work/out" 2>&1 || fail "overlay: status $?"
	ends_well "overlay, second run" "$work/out"
	says overlay "$work/out" "seq $(seq 1 20000 | sha256sum)"
	on_guest "$work/read" --disk "$work/base.img,mode=cow" >"$work/out" 2>&1
	grep -q '^seq [0-9a-f]' "$work/out" && fail "overlay: its changes are in the image"
	[ "$(sum "$work/base.img")" = "$before" ] || fail "overlay: the image changed"
	refused "overlay of another image" 'overlay of another image' --disk "$work/rw.img,mode=cow,overlay=$work/o"
	printf 'x' | dd of="$work/base.img" bs=1 seek=20000000 conv=notrunc 2>/dev/null
	refused "changed image" 'has been written since' --disk "$work/base.img,mode=cow,overlay=$work/o"
	printf 'x' | dd of="$work/o" bs=1 seek=20 conv=notrunc 2>/dev/null
	printf 'x' | dd of="$work/o" bs=1 seek=4116 conv=notrunc 2>/dev/null
	refused "damaged overlay" 'header is damaged' --disk "$work/base.img,mode=cow,overlay=$work/o"
}

# refused WHAT TEXT OPTION...: one line with this text on standard error, and no guest
refused() {
	local what=$1 text=$2 status
	shift 2
	timeout 60 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --net none "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status -ne 0 ] && [ $status -lt 124 ] || fail "$what: status $status"
	grep -qF -- "$text" "$work/err" || fail "$what: standard error is '$(cat "$work/err")', without '$text'"
	[ "$(wc -l <"$work/err")" = 1 ] || fail "$what: not one line: $(cat "$work/err")"
	[ ! -s "$work/out" ] || fail "$what: a guest ran"
}

# Discard and zeroes from the guest: the space comes back, and nothing else goes.
discard() {
	local before after
	head -c 8M /dev/urandom >"$work/d.img"
	cp "$work/d.img" "$work/d.was"
	before=$(stat -c %b "$work/d.img")
	guest_script "$work/script" <<'END'
blkdiscard -o 1048576 -l 2097152 /dev/vdb || exit 1
blkdiscard -z -o 4194304 -l 1048576 /dev/vdb 2>/dev/null ||
	dd if=/dev/zero of=/dev/vdb bs=1M seek=4 count=1 conv=fsync,notrunc 2>/dev/null || exit 1
sync
END
	on_guest "$work/script" --disk "$work/d.img,mode=rw" >"$work/out" 2>&1 || fail "discard: status $?"
	ends_well discard "$work/out"
	after=$(stat -c %b "$work/d.img")
	[ "$after" -le $((before - 4096)) ] || fail "discard: $before blocks before, $after after"
	dd if=/dev/zero of="$work/d.was" bs=1M seek=1 count=2 conv=notrunc 2>/dev/null
	dd if=/dev/zero of="$work/d.was" bs=1M seek=4 count=1 conv=notrunc 2>/dev/null
	cmp "$work/d.img" "$work/d.was" || fail "discard: other data changed"
}

locks() {
	local pid
	guest_script "$work/script" <<'END'
echo up
sleep 600
END
	for mode in rw cow; do
		"$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --net none --disk "$work/script,mode=ro" \
			--disk "$work/rw.img,mode=$mode" --append 'console=ttyS0 quiet loglevel=1 disco.cmd="sh /dev/vda"' \
			</dev/null >"$work/locked" 2>&1 &
		pid=$!
		for _ in $(seq 1 600); do
			grep -q '^up' "$work/locked" && break
			sleep 0.2
		done
		refused "lock, $mode and rw" "rw.img: is in use by process $pid (" --disk "$work/rw.img,mode=rw"
		[ $mode = cow ] || refused "lock, rw and cow" "is being written by process $pid (" --disk "$work/rw.img,mode=cow"
		kill -9 $pid
		wait $pid 2>/dev/null
	done
	refused "twice in one machine" 'another disk of this process' --disk "$work/rw.img,mode=rw" --disk "$work/rw.img,mode=rw"
}

refusals() {
	truncate -s 1000 "$work/odd.img"
	: >"$work/empty.img"
	printf 'QFI\373' >"$work/named.img"
	truncate -s 65536 "$work/named.img"
	refused "size" 'not a multiple of 512' --disk "$work/odd.img"
	refused "empty" 'is empty' --disk "$work/empty.img"
	refused "missing" 'No such file' --disk "$work/missing.img"
	refused "directory" 'directory' --disk "$work"
	refused "magic" 'format=raw' --disk "$work/named.img"
	refused "overlay in no directory" 'No such file' --disk "$work/rw.img,mode=cow,overlay=$work/no/where"
}

several
overlay
discard
refusals
locks
finish
