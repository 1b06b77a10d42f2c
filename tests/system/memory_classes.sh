#!/bin/bash
# SPDX-License-Identifier: MIT
# bench/memory in short: memory by class of one machine and of two that do the same on one root image; what the two share is not there
# twice. Without a compiler: the load is busybox's.
set -u
. "$(dirname "$0")/lib.sh"
need python3 mkfs.ext4 mke2fs
vmlinux=$(dirname "$KERNEL")/vmlinux
busybox=$(dirname "$INITRD")/busybox/bin/busybox
for f in "$vmlinux" "$INITRD" "$busybox"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
mkdir -p "$work/root"/{bin,dev,proc,sys,tmp,run,root,etc}
cp "$busybox" "$work/root/bin/"
ln -s busybox "$work/root/bin/sh"
mkfs.ext4 -q -b 4096 -d "$work/root" "$work/a.img" 16M >/dev/null 2>"$work/err" || fail "mkfs.ext4: $(cat "$work/err")"
timeout 150 bench/memory --disco "$DISCO" --kernel "$vmlinux" --initrd "$INITRD" --disk "$work/a.img" --load sort --machines 1,2 \
	--mem 64 --files 4 --settle 3 --timeout 60 --json "$work/m.json" --svg "$work/m.svg" >"$work/out" 2>"$work/err" ||
	fail "bench/memory: status $?: $(tail -n 5 "$work/err")"
cat "$work/out"
python3 - "$work" <<'END' || fail "see above"
import json, sys
import xml.etree.ElementTree
xml.etree.ElementTree.parse(sys.argv[1] + "/m.svg")
one, two = json.load(open(sys.argv[1] + "/m.json"))["runs"]
V, M = two["end"]["V"], two["end"]["M"]
wrong = [what for what, right in [
    ("one machine shares nothing", one["m_by_v"] == 1 and one["end"]["V"]["equal"] == 0),
    ("two machines: M/V %.2f of their memory, at most 0.7" % two["m_by_v_of_guests"], two["m_by_v_of_guests"] <= 0.7),
    ("equal pages are there once", 0 < M["equal"] < 0.75 * V["equal"]),
    ("blocks of the root disk are there", M["disk-blocks"] > 0),
    ("private memory is that of one machine each", abs(M["private"] - V["private"]) < 0.1 * V["private"] + (1 << 20)),
] if not right]
sys.exit("wrong: %s: %s" % ("; ".join(wrong), json.dumps(two["end"])) if wrong else 0)
END
finish
