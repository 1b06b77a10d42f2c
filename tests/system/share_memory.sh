#!/bin/bash
# SPDX-License-Identifier: MIT
# Machines of one monitor share memory: three boot and read the same files of one root image (mode=cow), change some of them, and find what
# they must; blocks of the image and equal pages are one copy, by the counters of --stats; the image is as it was; and with sharing
# switched on for one machine alone (--merge) it works as well.
set -u
. "$(dirname "$0")/lib.sh"
need python3 mkfs.ext4
vmlinux=$(dirname "$KERNEL")/vmlinux
for f in "$vmlinux" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done

# A root file system of busybox and some data.
make_image() {
	local root=$work/root busybox
	busybox=$(dirname "$INITRD")/busybox/bin/busybox
	[ -f "$busybox" ] || {
		echo "no $busybox: guest/fetch makes it"
		exit 77
	}
	mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,root,etc,data}
	cp "$busybox" "$root/bin/"
	ln -s busybox "$root/bin/sh"
	head -c 6M /dev/urandom >"$root/data/random"
	yes 'the same text' | head -c 1M >"$root/data/text"
	mkfs.ext4 -q -b 4096 -d "$root" "$work/a.img" 32M >/dev/null 2>"$work/err" || fail "mkfs.ext4: $(cat "$work/err")"
	sum=$(sha256sum <"$root/data/random" | cut -d' ' -f1)
	image=$(sha256sum <"$work/a.img")
}

# run N [OPTION...]: each machine reads all, changes a part of it, and reads again
run() {
	local n=$1
	shift
	timeout 170 "$DISCO" run --vms "$n" --kernel "$vmlinux" --initrd "$INITRD" --mem 64M --disk "$disk,mode=cow" \
		--stats="$work/stats{n}.json" "$@" -- /bin/busybox sh -c '
		b=/bin/busybox
		$b sha256sum /data/random | $b cut -d" " -f1
		$b dd if=/data/text of=/data/random bs=4096 seek={n}00 count=50 conv=notrunc,fsync 2>/dev/null
		$b sync; echo 3 >/proc/sys/vm/drop_caches
		$b dd if=/data/random bs=4096 count={n}00 2>/dev/null | $b sha256sum | $b cut -d" " -f1
		$b dd if=/data/random bs=4096 skip={n}00 count=50 2>/dev/null | $b sha256sum | $b cut -d" " -f1
		$b sleep 3' >"$work/out" 2>"$work/err" </dev/null || fail "$n machines: status $?: $(tail -n 3 "$work/err")"
}

# part FIRST COUNT FILE: of which the hash is
part() {
	dd if="$work/root/data/$3" bs=4096 skip="$1" count="$2" 2>/dev/null | sha256sum | cut -d' ' -f1
}

check_output() {
	local i prefix want
	for i in $(seq "$1"); do
		prefix="vm$i| "
		[ "$1" -gt 1 ] || prefix=
		want="$sum $(part 0 "${i}00" random) $(part 0 50 text)"
		[ "$(grep -F "$prefix" "$work/out" | sed "s/^$prefix//" | tr '\n' ' ')" = "$want " ] ||
			fail "machine $i of $1 found other data: $(grep -F "$prefix" "$work/out")"
	done
	[ "$(sha256sum <"$work/a.img")" = "$image" ] || fail "the image has been changed"
}

check_stats() {
	python3 - "$work" <<-'END' || fail "counters: see above"
		import json, sys
		s = [json.load(open(f"{sys.argv[1]}/stats{i}.json"))["pages"] for i in (1, 2, 3)]
		hits, misses = sum(x["block_hits"] for x in s), sum(x["block_misses"] for x in s)
		print(f"{hits} pages of disk reads were mapped, {misses} read; {sum(x['merged'] for x in s)} merged; "
		      f"{sum(x['breaks'] for x in s)} copied at a write")
		# 1536 pages of the file alone, read by three machines, of which two, at the least, find them
		wrong = [k for k, ok in [("hits", hits > 1536 * 3 // 2), ("misses", misses < hits),
		                         ("breaks", any(x["breaks"] or x["taken_over"] for x in s)),
		                         ("merged", sum(x["merged"] for x in s) > 0),
		                         ("not_copied", all(x["not_copied"] == 4096 * x["block_hits"] for x in s))] if not ok]
		sys.exit(f"wrong: {wrong}: {s}" if wrong else 0)
	END
}

release=$DISCO
make_image
disk=$work/a.img
run 3 --merge 20000
check_output 3
check_stats
run 3 --merge off --tiers 1
check_output 3
run 1 --merge 20000
check_output 1
# A debug build audits all memory of machines that take turns, from time to time.
if [ -x build/debug/disco ]; then
	DISCO=$PWD/build/debug/disco
	run 2 --icount --merge 50000
	check_output 2
	DISCO=$release
fi
if command -v qemu-img >/dev/null; then
	qemu-img convert -q -c -f raw -O qcow2 "$work/a.img" "$work/a.qcow2"
	disk=$work/a.qcow2
	run 3
	check_output 3
	check_stats
fi
finish
