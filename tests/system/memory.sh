#!/bin/bash
# SPDX-License-Identifier: MIT
# Small memories: a Debian kernel comes up in what it fits into, time after time though it moves itself, and says so where it does
# not; what the host does not give is named; a guest that says nothing is talked about.
set -u
. "$(dirname "$0")/lib.sh"
need python3 clang-19 ld.lld-19
build_guests
vmlinux=$(dirname "$KERNEL")/vmlinux
for f in "$KERNEL" "$INITRD" "$vmlinux"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done

# boots MIB KERNEL: to a command, within the time
boots() {
	timeout 300 "$DISCO" run --net none --mem "$1M" --kernel "$2" --initrd "$INITRD" -- cat /proc/cmdline \
		>"$work/out" 2>"$work/err" </dev/null || fail "$1M, $2: status $?: $(tail -n 2 "$work/err")"
	printf '%3d MiB, %-8s boots%s\n' "$1" "$(basename "$2")" "$(grep -o ' nokaslr' "$work/out")"
}

# little MIB KERNEL STATUS: it does not, and says so before the guest does
little() {
	timeout 300 "$DISCO" run --net none --mem "$1M" --kernel "$2" --initrd "$INITRD" --no-reboot \
		--append 'console=ttyS0 panic=-1' >"$work/out" 2>"$work/err" </dev/null
	local status=$?
	[ $status -eq "$3" ] || fail "$1M, $2: status $status, not $3: $(tail -n 2 "$work/err")"
	printf '%3d MiB, %-8s status %d: %s\n' "$1" "$(basename "$2")" $status "$(head -n 1 "$work/err")"
}

# Each boot moves to another place, had it the choice: three times where the initrd is within reach.
for _ in 1 2 3; do
	boots 48 "$vmlinux"
done
grep -q ' nokaslr ' "$work/out" || fail "48M: the kernel may move onto the initrd"
boots 40 "$vmlinux"
boots 40 "$KERNEL"
boots 128 "$KERNEL"
grep -q nokaslr "$work/out" && fail "128M: the kernel is kept from moving"
[ ! -s "$work/err" ] || fail "128M: said $(head -n 1 "$work/err")"

little 32 "$vmlinux" 1
grep -qE '^disco run: --mem: 32M are little for this kernel and initrd, which take some [34][0-9]M' "$work/err" ||
	fail "32M: not said"
[ "$(grep -c 'are little for' "$work/err")" -eq 1 ] || fail "32M: said more than once"
little 28 "$KERNEL" 2
little 16 "$vmlinux" 2
grep -q 'memory (--mem) ends at 01000000' "$work/err" || fail "16M: $(cat "$work/err")"

# limit KIB: the host gives less than is asked for, which is said; in $seen.
seen=
limit() {
	(
		ulimit -v "$1"
		timeout 60 "$DISCO" run --timeout 10 --mem 256M --kernel "$guests/el/stuck.elf"
	) >"$work/out" 2>"$work/err" </dev/null
	local status=$?
	[ $status -eq 1 ] && grep -qE "^disco run: cannot make the machine: the host gives no [1-9][0-9]*M for .*; there is a limit" "$work/err" ||
		fail "ulimit -v $1: status $status: $(cat "$work/err")"
	seen+="$(grep -oE 'guest memory \(--mem\)|tables of addresses|translated code \(--jit-mem\)' "$work/err") "
	echo "ulimit -v $1: $(tail -n 1 "$work/err")"
}
# what the program itself takes, in KiB
own=$(python3 - "$DISCO" "$guests/el/stuck.elf" <<'END'
import subprocess, sys, time
p = subprocess.Popen([sys.argv[1], "run", "--tiers", "interp", "--mem", "16M", "--kernel", sys.argv[2]], stdin=subprocess.DEVNULL,
                     stdout=subprocess.PIPE)
p.stdout.readline()
print(next(l.split()[1] for l in open("/proc/%d/status" % p.pid) if l.startswith("VmSize")))
p.kill()
END
)
# with its threads, which are made when there is a machine: so the first of these is short of guest memory, the last of code; between
# them is a gigabyte of tables of addresses
for more in -1150 -1000 -100 0 200 300; do
	limit $((own + more * 1024))
done
for what in 'guest memory (--mem)' 'tables of addresses' 'translated code (--jit-mem)'; do
	[[ $seen == *"$what"* ]] || fail "ulimit -v: never refused for want of $what: $seen"
done

# Nothing for ten seconds: said once, on a terminal; and not elsewhere.
cat >"$work/silent.py" <<'END'
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
while True:
    try:
        part = os.read(fd, 4096)
    except OSError:
        break
    if not part:
        break
    seen += part
os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
END
timeout 60 python3 "$work/silent.py" "$DISCO" run --timeout 12 --mem 32M --kernel "$guests/el/stuck.elf" --append q >"$work/out"
[ "$(grep -c 'nothing from the guest for 10 s; its kernel is not told to use the console' "$work/out")" -eq 1 ] ||
	fail "a silent guest: $(cat "$work/out")"
timeout 60 python3 "$work/silent.py" "$DISCO" run --timeout 12 --mem 32M --kernel "$guests/el/stuck.elf" --append w >"$work/out"
grep -q 'nothing from the guest' "$work/out" && fail "a guest that is not silent: $(cat "$work/out")"
"$DISCO" run --timeout 12 --mem 32M --kernel "$guests/el/stuck.elf" --append q </dev/null >"$work/out" 2>&1
grep -q 'nothing from the guest' "$work/out" && fail "a silent guest, no terminal: $(cat "$work/out")"
finish
