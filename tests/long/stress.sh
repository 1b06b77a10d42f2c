#!/bin/bash
# SPDX-License-Identifier: MIT
# stress-ng with its own verification on VMS machines of one monitor, for SECONDS_EACH seconds, over PROCESSORS processors: every
# stressor's turn, in another order on each machine. No machine may report a wrong result, end early or hang.
# IMAGE= an image of `disco guest build bench`; VMS= (8); PROCESSORS= (4); SECONDS_EACH= (3600); TURN= seconds of one stressor (10);
# OPTIONS= more of disco run (e.g. '--hot 200').  JSON= a file for what was seen.
set -u
. "$(dirname "$0")/../system/lib.sh"
need python3
: "${IMAGE:=$PWD/build/bench.img}" "${VMS:=8}" "${PROCESSORS:=4}" "${SECONDS_EACH:=3600}" "${TURN:=10}" "${OPTIONS:=}" "${JSON:=}"
[ -f "$IMAGE" ] || {
	echo "no $IMAGE: disco guest build bench makes one (IMAGE=)"
	exit 77
}
mkdir -p "$work/share"
# one that shows nothing but speed, or wants what a guest has not, is not here
stressors="affinity atomic bad-altstack bsearch branch cache chmod copy-file cpu crypt dentry dirdeep dup env epoll eventfd fallocate
fault fcntl fd-fork fiemap file-ioctl flock fork fp-error full funccall futex getdent getrandom goto hash hdd heapsort hrtimers hsearch icache
inode-flags io itimer jpeg judy kill link list lockf longjmp lsearch madvise malloc matrix matrix-3d memcpy memfd mergesort metamix
mincore mlock mmap mmapaddr mmapfixed mmapfork mprotect mq mremap msg msync munmap mutex nanosleep nop null opcode-safe open pipe plugin
poll prefetch prctl procfs pthread qsort radixsort readahead regs remap rename resched rmap rseq seal seek sem sem-sysv sendfile shellsort
shm shm-sysv sigabrt sigchld sigfd sigfpe sigio signal signest sigpending sigpipe sigq sigrt sigsegv sigsuspend sigtrap skiplist sock sockfd
sockpair sparsematrix splice stack stackmmap str stream switch symlink sync-file tee timer timerfd tree tsearch udp unlink utime vecmath
vfork vforkmany vm vm-addr vm-rw vm-segv wait wcs xattr yield zero zlib"

# stress-ng once, into a copy; the machines share that.
cp --sparse=always "$IMAGE" "$work/stress.img"
timeout 900 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --disk "$work/stress.img,mode=rw" -- \
	sh -c "apt-get update -q && apt-get install -qq -y --no-install-recommends stress-ng" </dev/null >"$work/fetch" 2>&1 || {
	fail "stress-ng: $(tail -n 3 "$work/fetch")"
	finish
}

# Its one argument: the machine's number. `bad:` lines are what the host looks for; a stressor that is not there, or is not for
# this kernel, is no fault of a translator's.
cat >"$work/share/stress.sh" <<SH
end=\$((\$(date +%s) + $SECONDS_EACH)) n=0 skipped=0 killed=0
order=\$(printf '%s\n' $(echo $stressors) | shuf --random-source=<(yes "\$1"))
mkdir -p /root/stress && cd /root/stress
while :; do
	for s in \$order; do
		[ "\$(date +%s)" -lt \$end ] || break 2
		timeout -k 20 $((TURN * 12)) stress-ng --\$s 1 --\$s-ops 100000000 --verify --timeout $TURN --temp-path . --oomable >/tmp/log 2>&1
		status=\$?
		dmesg -c >/tmp/kernel
		! grep -qE 'Oops|BUG:|Kernel bug|[Bb]ad page|Unhandled kernel|Reserved instruction in kernel' /tmp/kernel ||
			echo "bad: kernel: \$s: \$(grep -m 2 -E 'Oops|BUG|bug|page|Unhandled|Reserved' /tmp/kernel | tr '\n' ' ')"
		# whom the kernel killed for memory, says that it failed
		! grep -q 'Out of memory' /tmp/kernel || { killed=\$((killed + 1)) && continue; }
		case \$status in
		0) n=\$((n + 1)) ;;
		3 | 4) skipped=\$((skipped + 1)) ;;
		1) if grep -q 'unrecognized option\|invalid option' /tmp/log; then skipped=\$((skipped + 1)); else echo "bad: \$s: 1: \$(tail -n 3 /tmp/log | tr '\n' ' ')"; fi ;;
		*) echo "bad: \$s: status \$status: \$(grep -m 3 'fail\|error' /tmp/log | tr '\n' ' ')" ;;
		esac
		! grep -q 'stress-ng: fail' /tmp/log || echo "bad: \$s: \$(grep -m 2 'stress-ng: fail' /tmp/log | tr '\n' ' ')"
	done
done
echo "end: \$n turns, \$skipped not here, \$killed out of memory"
SH

# shellcheck disable=SC2086
timeout -k 30 $((SECONDS_EACH + TURN * 40 + 600)) "$DISCO" run --vms "$VMS" --processors "$PROCESSORS" $OPTIONS --kernel "${KERNEL%/*}/vmlinux" \
	--initrd "$INITRD" --mem 192M --disk "$work/stress.img,mode=cow" --share "$work/share,ro" -- \
	bash /mnt/share/stress.sh '{n}' </dev/null >"$work/out" 2>"$work/err"
status=$?
[ $status -eq 0 ] || fail "status $status (124: it hung): $(tail -n 3 "$work/err")"
grep 'bad:' "$work/out" >"$work/bad" && fail "$(wc -l <"$work/bad") wrong: $(head -n 20 "$work/bad")"
[ "$(grep -c '| end: ' "$work/out")" -eq "$VMS" ] || fail "$(grep -c '| end: ' "$work/out") of $VMS machines came to their end"
grep '| end: ' "$work/out" | sort
[ -z "$JSON" ] || python3 - "$work/out" "$VMS" "$SECONDS_EACH" "$status" >"$JSON" <<'PY'
import json, re, sys
text = open(sys.argv[1], errors="replace").read()
ends = re.findall(r"^(\S+)\| end: (\d+) turns, (\d+) not here, (\d+)", text, re.M)
print(json.dumps({"machines": int(sys.argv[2]), "seconds": int(sys.argv[3]), "status": int(sys.argv[4]),
                  "ends": {n: {"turns": int(t), "not_here": int(k), "out_of_memory": int(o)} for n, t, k, o in ends},
                  "wrong": re.findall(r"^.*bad:.*$", text, re.M)}, indent=2))
PY
finish
