#!/bin/bash
# SPDX-License-Identifier: MIT
# Audits at random moments (disco audit) of machines that share memory and work: they fork, write, change address spaces, read disks and
# have equal pages merged.  Nothing may disagree, what they compute is right, and the image stays as it was.
# usage: tests/system/audit.sh [--stops N] [--json FILE]
# From 1000 stops on, a tenth as many are made of Debian machines too, if IMAGE says an image of `disco guest build bench`.
set -u
stops=40
json=
while [ $# -gt 0 ]; do
	case $1 in
	--stops) stops=$2 ;;
	--json) json=$(realpath -m "$2") ;;
	*)
		echo "usage: $0 [--stops N] [--json FILE]" >&2
		exit 2
		;;
	esac
	shift 2
done
. "$(dirname "$0")/lib.sh"
need python3 mkfs.ext4
vmlinux=$(dirname "$KERNEL")/vmlinux
busybox=$(dirname "$INITRD")/busybox/bin/busybox
for f in "$vmlinux" "$INITRD" "$busybox"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
machines=3
name=audit-$$

make_image() {
	local root=$work/root
	mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,root,etc,data}
	cp "$busybox" "$root/bin/"
	ln -s busybox "$root/bin/sh"
	head -c 3M /dev/urandom >"$root/data/random"
	yes 'the same text' | head -c 1M >"$root/data/text"
	mkfs.ext4 -q -b 4096 -d "$root" "$work/a.img" 32M >/dev/null 2>"$work/err" || fail "mkfs.ext4: $(cat "$work/err")"
	disk=$work/a.img
	sum=$(sha256sum <"$root/data/random" | cut -d' ' -f1)
}

# Each pass says so, or what was wrong.  {n} of the three is different, the rest is equal: code, text, files.
load='b=/bin/busybox; $b mount -t tmpfs none /tmp; i=0
	while :; do
		i=$((i + 1))
		echo 1 >/proc/sys/vm/drop_caches
		[ "$($b sha256sum /data/random | $b cut -d" " -f1)" = SUM ] || echo WRONG a file of the image
		$b dd if=/data/text of=/tmp/a bs=65536 2>/dev/null; $b dd if=/data/text of=/tmp/b bs=65536 2>/dev/null
		for k in 1 2 3 4 5 6 7 8; do ($b gzip -c /tmp/a | $b gzip -dc | $b cmp - /tmp/a || echo WRONG gzip) & done; wait
		$b dd if=/data/text of=/data/random bs=4096 seek={n}0 count=9 conv=notrunc,fsync 2>/dev/null
		$b dd if=/dev/urandom of=/tmp/b bs=4096 seek=$((i % 200)) count=3 conv=notrunc 2>/dev/null
		$b dd if=/data/random bs=4096 skip={n}0 count=9 2>/dev/null | $b cmp - /tmp/a -n 36864 || echo WRONG a written file
		$b dd if=/data/text of=/data/old bs=4096 count=1 conv=notrunc 2>/dev/null
		k=0; while [ $k -lt 30 ]; do k=$((k + 1)); $b true; done
		SETBACK
		echo pass $i
	done'

# After its own changes a machine has the file of the image no more: what it read there first is put back.
load=${load/SETBACK/'$b dd if=/tmp/keep of=/data/random bs=4096 seek={n}0 count=9 conv=notrunc,fsync 2>/dev/null'}
load=${load/i=0/'$b dd if=/data/random of=/tmp/keep bs=4096 skip={n}0 count=9 2>/dev/null; i=0'}

# run WHAT STOPS MOVES OPTION... : the load, with `disco audit` beside it
run() {
	local what=$1 stops=$2 moves=$3 image pid audit status
	shift 3
	image=$(sha256sum <"$disk")
	"$DISCO" run --vms $machines --control "$name" --kernel "$vmlinux" --initrd "$initrd" --disk "$disk,mode=cow" --merge 50000 \
		"$@" >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	for _ in $(seq 600); do
		[ "$(cut -d'|' -f1 "$work/out" 2>/dev/null | sort -u | wc -l)" -eq $machines ] && break
		sleep 0.1
	done
	"$DISCO" audit --stops "$stops" --moves "$moves" --json >"$work/audit.json" 2>"$work/audit.err" &
	audit=$!
	for _ in 1 2 3 4 5 6 7 8; do # a client that is stopped and goes on has lost nothing
		sleep 0.1
		kill -STOP $audit
		kill -CONT $audit
	done 2>"$work/kill.err"
	wait $audit
	status=$?
	kill "$pid"
	wait "$pid"
	[ $status -eq 0 ] || fail "disco audit: status $status: $(cat "$work/audit.err") $(tail -n 20 "$work/err")"
	! grep -F WRONG "$work/out" || fail "a machine has found other data"
	[ "$(sha256sum <"$disk")" = "$image" ] || fail "the image has been changed"
	python3 - "$work" "$name" "$stops" $machines "$what" <<-'END' || fail "what was looked at: see above"
		import json, sys
		work, name, stops, machines, what = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
		a = [x for x in json.load(open(f"{work}/audit.json")) if x["monitor"] == name][0]
		out = [line.split("| pass ") for line in open(f"{work}/out") if "| pass " in line]
		passes = {m: sum(1 for x in out if x[0] == m) for m, _ in out}
		a["passes"] = passes
		print(json.dumps(a))
		json.dump({sys.argv[5]: a}, open(f"{work}/result-{sys.argv[5]}.json", "w"))
		wrong = [name for name, ok in [
			("stops", a["stops"] == stops), ("errors", a["errors"] == 0), ("passes", len(passes) == machines),
			("moved pages", a["moved-pages"] > 10 * stops or what != "moves"),
			("machines", a["machines"] == machines * stops), ("compared pages", a["compared-pages"] > stops),
			("shared pages", a["shared-pages"] > 100 * stops), ("L2TLBs", a["l2tlb-entries"] > 100 * stops),
			("translations", a["translations"] > 1000 * stops)] if not ok]
		sys.exit(f"wrong: {wrong}" if wrong else 0)
	END
}

# refused OPTION...
refused() {
	"$DISCO" audit "$@" >"$work/out" 2>"$work/err"
	[ $? -eq 2 ] && [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" -eq 1 ] || fail "disco audit $*: $(cat "$work/out" "$work/err")"
}

refused --stops 0
refused --stops 1x
refused --stops
refused --all
refused --moves 0
refused --moves 10001
make_image
export XDG_RUNTIME_DIR=$work # its monitor is the only one that is found
initrd=$INITRD
run busybox "$stops" 1 --mem 64M -- /bin/busybox sh -c "${load//SUM/$sum}"
run moves $((stops / 2)) 100 --numa sample,nodes=4 --mem 64M -- /bin/busybox sh -c "${load//SUM/$sum}"
if [ "$stops" -ge 1000 ] && [ -n "${IMAGE:-}" ]; then
	disk=$IMAGE
	vmlinux=${IMAGE%.img}.vmlinuz
	initrd=${IMAGE%.img}.initrd
	# shellcheck disable=SC2016
	run debian $((stops / 10)) 1 --mem 160M -- sh -c 'i=0
		printf "int main(void) { return 42; }" >/tmp/a.c
		while :; do
			i=$((i + 1))
			sum=$(find /usr/lib/python3* /usr/bin -type f 2>/dev/null | sort | head -n 400 | xargs sha256sum | sha256sum)
			[ "$i" -gt 1 ] || first=$sum
			[ "$sum" = "$first" ] || echo WRONG files
			gcc -O2 -o /tmp/a /tmp/a.c; /tmp/a; [ $? -eq 42 ] || echo WRONG gcc
			[ "$(python3 -c "print(sum(x * x for x in range({n}00000)) % 1000003)")" = "$(python3 -c "
n = {n}00000
print((n - 1) * n * (2 * n - 1) // 6 % 1000003)")" ] || echo WRONG python
			echo 1 >/proc/sys/vm/drop_caches
			echo pass $i
		done'
fi
if [ -n "$json" ]; then
	python3 -c 'import json, sys
all = {}
for f in sys.argv[2:]: all.update(json.load(open(f)))
json.dump(all, open(sys.argv[1], "w"))' "$json" "$work"/result-*.json || fail "$json"
fi
finish
