#!/bin/bash
# SPDX-License-Identifier: MIT
# kill -9 of Disco under heavy writes, again and again on one image: afterwards the file system's journal is all that
# there is to do, and each file that the guest had synced is whole. In rw mode, and on an overlay.
set -u
. "$(dirname "$0")/lib.sh"
need mke2fs e2fsck debugfs sha256sum
. "$(dirname "$0")/disk_lib.sh"
[ "${DISCO_TEST_LENGTH:-short}" = long ] && kills=20 || kills=3

# Three writers: one that syncs each file and says so, one that overwrites, one that fills the page cache.
guest_script "$work/script" <<'END'
mkdir -p /mnt/b && mount -t ext4 /dev/vdb /mnt/b && cd /mnt/b || exit 1
mkdir -p run && run=run/$(ls run | wc -l) && mkdir $run || exit 1
df -m . | tail -n 1
(while :; do dd if=/dev/zero of=big bs=256k count=40 conv=notrunc; done 2>/dev/null) &
(i=0; while :; do for k in 1 2 3 4 5 6 7 8; do seq $i 300 >small$k; done; i=$((i + 1)); sync; done) &
i=0
while :; do
	dd if=/dev/urandom of=$run/f$i bs=1k count=$((1 + i * 7 % 60)) conv=fsync 2>/dev/null && sync || exit 1
	echo "synced $run/f$i $(sha256sum <$run/f$i)"
	i=$((i + 1))
done
END

# The synced files of all runs, against a file system.
check() {
	local what=$1 image=$2 name hash
	e2fsck -p -E journal_only "$image" >"$work/fsck" 2>&1 || fail "$what: journal: $(cat "$work/fsck")"
	e2fsck -fn "$image" >"$work/fsck" 2>&1 || fail "$what: e2fsck after the journal: $(cat "$work/fsck")"
	while read -r name hash; do
		rm -f "$work/f"
		debugfs -R "dump /$name $work/f" "$image" >/dev/null 2>&1
		[ -f "$work/f" ] && [ "$(sha256sum <"$work/f")" = "$hash" ] || fail "$what: $name is not what was synced"
	done < <(sed -n 's/^synced \(run[^ ]*\) \([0-9a-f]\{64\}  -\)$/\1 \2/p' "$work/synced")
}

# kill_once OPTION SYNCS: until so many files have been synced
kill_once() {
	local pid lines=0
	: >"$work/out"
	"$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --net none --disk "$work/script,mode=ro" --disk "$1" \
		--append 'console=ttyS0 quiet loglevel=1 disco.cmd="sh /dev/vda"' </dev/null >"$work/out" 2>"$work/err" &
	pid=$!
	for _ in $(seq 1 3000); do
		lines=$(grep -c '^synced' "$work/out")
		[ "$lines" -ge "$2" ] && break
		kill -0 $pid 2>/dev/null || break
		sleep 0.05
	done
	[ "$lines" -ge "$2" ] || fail "only $lines files were synced: $(tail -n 3 "$work/out" "$work/err")"
	kill -9 $pid
	wait $pid 2>/dev/null
	tr -d '\r' <"$work/out" | grep '^synced' >>"$work/synced"
}

mkdir "$work/root"
mke2fs -q -F -t ext4 -d "$work/root" "$work/rw.img" 160M || fail mke2fs
: >"$work/synced"
for n in $(seq 1 $kills); do
	kill_once "$work/rw.img,mode=rw" $((3 + n * 5 % 17))
	cp --sparse=always "$work/rw.img" "$work/copy.img"
	check "rw, kill $n" "$work/copy.img"
done
echo "rw: $kills kills, $(wc -l <"$work/synced") synced files"

# The overlay's contents are read back by a guest, which plays back the journal into a second image.
mke2fs -q -F -t ext4 -d "$work/root" "$work/base.img" 160M || fail mke2fs
before=$(sum "$work/base.img")
: >"$work/synced"
for n in $(seq 1 $kills); do
	kill_once "$work/base.img,mode=cow,overlay=$work/o" $((3 + n * 5 % 17))
done
guest_script "$work/dump" <<'END'
dd if=/dev/vdb of=/dev/vdc bs=1M 2>/dev/null && sync
END
truncate -s 160M "$work/copy2.img"
on_guest "$work/dump" --disk "$work/base.img,mode=cow,overlay=$work/o" --disk "$work/copy2.img" >"$work/out" 2>&1 ||
	fail "overlay: status $?: $(tail -n 3 "$work/out")"
ends_well "overlay, dump" "$work/out"
check "overlay, $kills kills" "$work/copy2.img"
[ "$(sum "$work/base.img")" = "$before" ] || fail "overlay: the image changed"
echo "overlay: $kills kills, $(wc -l <"$work/synced") synced files"
finish
