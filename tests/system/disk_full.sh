#!/bin/bash
# SPDX-License-Identifier: MIT
# A host disk that is full: the machine waits, says which file it is about, and goes on when there is room; or the guest gets
# an error; and a machine that waits ends as any other.
set -u
. "$(dirname "$0")/lib.sh"
need sha256sum python3
. "$(dirname "$0")/disk_lib.sh"

host=$work/host
mkdir "$host"
mount -t tmpfs -o size=1M none "$host" 2>/dev/null || {
	echo "no mount here; tests/unit/pv_disk_faults.c has a full disk"
	exit 77
}
umount "$host"
trap 'umount "$host" 2>/dev/null; rm -rf "$work"' EXIT

# A host file system of SIZE, empty.
host_disk() { mount -t tmpfs -o "size=$1" none "$host" || fail "mount"; }
# Whoever was killed may still be about to close his files.
host_gone() {
	for _ in $(seq 1 100); do
		umount "$host" 2>/dev/null && return
		sleep 0.1
	done
	fail "umount"
}

# begin OPTION...: the guest of $work/script in the background, as $pid
begin() {
	: >"$work/err" # not what the last one said
	: >"$work/out"
	TMPDIR=$host "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --net none --disk "$work/script,mode=ro" "$@" \
		--append 'console=ttyS0 quiet loglevel=1 disco.cmd="sh /dev/vda"' </dev/null >"$work/out" 2>"$work/err" &
	pid=$!
}

# until_says FILE TEXT SECONDS
until_says() {
	for _ in $(seq 1 $(($3 * 10))); do
		grep -qF -- "$2" "$1" && return 0
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	grep -qF -- "$2" "$1"
}

# ends WHAT STATUS SECONDS
ends() {
	local what=$1 want=$2 status
	for _ in $(seq 1 $(($3 * 10))); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -0 "$pid" 2>/dev/null && {
		kill -9 "$pid"
		wait "$pid" 2>/dev/null
		fail "$what: did not end within $3 s"
	}
	wait "$pid"
	status=$?
	[ $status = "$want" ] || fail "$what: status $status, not $want"
}

# writes MIB: a guest that fills that much, and then writes three more, flushes them and finds them again without an error.
writes() {
	guest_script "$work/script" <<END
dd if=/dev/urandom of=/tmp/f bs=64k count=48 2>/dev/null
dd if=/dev/zero of=/dev/vdb bs=1M count=$1 conv=notrunc 2>/dev/null
dd if=/tmp/f of=/dev/vdb bs=1M seek=$1 conv=fsync,notrunc 2>/dev/null || exit 2
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/vdb bs=1M skip=$1 count=3 2>/dev/null | cmp - /tmp/f || exit 3
dmesg | grep 'I/O error' && exit 4
echo "kept \$(sha256sum </tmp/f)"
END
}

# waits WHAT NAMED OPTION...: the machine waits for room in NAMED, is given it, and goes on
waits() {
	local what=$1 named=$2 lines
	shift 2
	begin "$@"
	until_says "$work/err" 'the machine waits until there is room' 120 || fail "$what: it does not wait: $(cat "$work/err")"
	grep -qE "^disco run: $named: cannot be (written|synced): No space left on device; the machine waits" "$work/err" ||
		fail "$what: standard error is '$(cat "$work/err")'"
	sleep 2.5 # two times more, in vain
	lines=$(wc -l <"$work/err")
	[ "$lines" = 1 ] || fail "$what: $lines lines: $(cat "$work/err")"
	kill -0 $pid || fail "$what: it did not wait: $(tail -n 3 "$work/out")"
	grep -q '^kept' "$work/out" && fail "$what: the guest went on"
	mount -o remount,size=64M "$host"
	ends "$what" 0 120
	tr -d '\r' <"$work/out" >"$work/out.txt"
	ends_well "$what" "$work/out.txt"
	grep -q '^kept [0-9a-f]' "$work/out.txt" || fail "$what: $(tail -n 5 "$work/out.txt")"
	grep -qE "^disco run: $named: works again; the machine goes on$" "$work/err" || fail "$what: $(cat "$work/err")"
	[ "$(wc -l <"$work/err")" = 2 ] || fail "$what: more than two lines: $(cat "$work/err")"
}

truncate -s 300M "$work/base.img"
writes 0
host_disk 1M
waits overlay "$host/o" --disk "$work/base.img,mode=cow,overlay=$host/o"
cmp -s -n 3145728 "$work/base.img" /dev/zero || fail "overlay: the image changed"
host_gone

host_disk 1M
truncate -s 32M "$host/base.img"
waits raw "$host/base.img" --disk "$host/base.img,mode=rw"
python3 -c "
import hashlib, sys
print('kept', hashlib.sha256(open(sys.argv[1], 'rb').read(48 << 16)).hexdigest(), ' -')" "$host/base.img" >"$work/want"
grep '^kept' "$work/out.txt" | cmp -s - "$work/want" || fail "raw: the file on the host differs"
host_gone

# What is more than 256 MiB is not in memory any more, but in a temporary file.
writes 256
host_disk 1M
waits scratch "the temporary file in $host of $work/base.img" --disk "$work/base.img,mode=cow"
host_gone

if command -v qemu-img >/dev/null; then
	writes 0
	qemu-img create -q -f qcow2 "$work/q.qcow2" 32M
	host_disk 1M
	waits qcow2 "$host/o" --disk "$work/q.qcow2,mode=cow,overlay=$host/o"
	host_gone
fi

# werror=report: as a guest with a broken disk; what it had flushed stays.
report() {
	guest_script "$work/script" <<'END'
dd if=/dev/urandom of=/tmp/f bs=64k count=4 2>/dev/null
dd if=/tmp/f of=/dev/vdb bs=64k conv=fsync 2>/dev/null || exit 1
dd if=/dev/urandom of=/dev/vdb bs=64k seek=16 count=64 conv=fsync 2>/dev/null && exit 2
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/vdb bs=64k count=4 2>/dev/null | cmp - /tmp/f || exit 3
echo "kept $(sha256sum </tmp/f)"
END
	host_disk 1M
	on_guest "$work/script" --disk "$work/base.img,werror=report,overlay=$host/o" >"$work/out" 2>"$work/err"
	ends_well report "$work/out"
	grep -qE "^disco run: $host/o: cannot be (written|synced): No space left on device; the guest gets an I/O error" "$work/err" ||
		fail "report: standard error is '$(cat "$work/err")'"
	[ "$(grep -c 'cannot be written' "$work/err")" -le 1 ] || fail "report: said more than once"
	guest_script "$work/script" <<'END'
echo "kept $(dd if=/dev/vdb bs=64k count=4 2>/dev/null | sha256sum)"
END
	grep '^kept' "$work/out" >"$work/kept"
	mount -o remount,size=8M "$host"
	on_guest "$work/script" --disk "$work/base.img,overlay=$host/o" >"$work/out" 2>"$work/err"
	says "report, afterwards" "$work/out" "$(cat "$work/kept")"
	host_gone
}
report

# A machine that waits ends on one signal, at once; what had been flushed is in the overlay.
ended() {
	guest_script "$work/script" <<'END'
echo flushed | dd of=/dev/vdb conv=fsync,notrunc 2>/dev/null || exit 1
dd if=/dev/urandom of=/dev/vdb bs=64k seek=16 count=64 conv=fsync 2>/dev/null
END
	host_disk 1M
	begin --disk "$work/base.img,overlay=$host/o"
	until_says "$work/err" 'the machine waits' 120 || fail "ended: it does not wait: $(cat "$work/err")"
	kill -TERM $pid
	ends "ended by a signal" 143 2
	mount -o remount,size=8M "$host"
	guest_script "$work/script" <<'END'
head -c 7 /dev/vdb; echo
END
	on_guest "$work/script" --disk "$work/base.img,overlay=$host/o" >"$work/out" 2>&1
	says "ended, afterwards" "$work/out" flushed
	host_gone
}
ended

# The same for a command, which cannot get the signal.
ended_command() {
	host_disk 1M
	: >"$work/err"
	"$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --net none --append console=ttyS0 --disk "$work/base.img,overlay=$host/o" \
		-- sh -c 'dd if=/dev/urandom of=/dev/vda bs=64k count=64 conv=fsync' </dev/null >"$work/out" 2>"$work/err" &
	pid=$!
	until_says "$work/err" 'the machine waits' 120 || fail "ended, command: it does not wait: $(cat "$work/err")"
	kill -TERM $pid
	ends "command ended by a signal" 143 2
	host_gone
}
ended_command
finish
