#!/bin/bash
# SPDX-License-Identifier: MIT
# Lost output is never status 0, whatever was to be said; standard descriptors that are closed, in each combination, and that
# no file of Disco's takes their place.
set -u
. "$(dirname "$0")/lib.sh"
need python3
vmlinux=$(dirname "$KERNEL")/vmlinux
for f in "$vmlinux" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
disco=(timeout 120 "$DISCO" run --kernel "$vmlinux" --initrd "$INITRD")

# status_is WHAT STATUS MESSAGE: of the command before it ($?); MESSAGE is all of $work/err
status_is() {
	local seen=$?
	[ $seen -eq "$2" ] || fail "$1: status $seen, not $2"
	[ "$(cat "$work/err")" = "$3" ] || fail "$1: standard error is '$(head -c 200 "$work/err")', not '$3'"
}

commands() {
	local full='disco run: standard output: No space left on device'
	"${disco[@]}" -- seq 5 2>"$work/err" </dev/null >/dev/full
	status_is "a full disk" 1 "$full"
	# more than fits anywhere: the guest's writer gets a signal for it, which is not the user's matter
	"${disco[@]}" -- seq 1000000 2>"$work/err" </dev/null >/dev/full
	status_is "a full disk, much output" 1 "$full"
	"${disco[@]}" -- sh -c 'echo x; exit 7' 2>"$work/err" </dev/null >/dev/full
	status_is "a full disk, a status of its own" 7 "$full"
	"${disco[@]}" -- true 2>"$work/err" </dev/null >/dev/full
	status_is "a full disk, no output" 0 ''
	"${disco[@]}" -- sh -c 'echo x >&2' 2>/dev/full </dev/null >"$work/err"
	status_is "standard error on a full disk" 1 ''
	"${disco[@]}" -- seq 5 2>"$work/err" </dev/null | true
	(exit "${PIPESTATUS[0]}")
	status_is "nobody reads" 141 ''
	"${disco[@]}" --stats -- true 2>/dev/full </dev/null >"$work/err"
	status_is "statistics on a full disk" 1 ''
	: >"$work/err"
	"${disco[@]}" --append 'console=ttyS0 quiet disco.cmd="seq 5"' 2>"$work/err" </dev/null >/dev/full
	status_is "the console on a full disk" 1 "$full"
}

# Other commands than run: what they show is lost.
others() {
	local c
	for c in --version --help 'help run' 'run --cpu help' 'dump --words 24420001' 'bench --list'; do
		# shellcheck disable=SC2086
		"$DISCO" $c 2>"$work/err" >/dev/full
		status_is "$c, a full disk" 1 'disco: standard output: No space left on device'
		# shellcheck disable=SC2086
		"$DISCO" $c 2>"$work/err" >&-
		status_is "$c, closed" 1 'disco: standard output: Bad file descriptor'
	done
}

# The guest sees an end of file, its output is lost, and nothing of Disco's is where a descriptor is missing.
closed() {
	python3 - "${disco[@]:2}" <<'PY' || fail "closed descriptors"
import os, subprocess, sys, time
run = sys.argv[1:]
bad = 0

def check(good, *what):
    global bad
    if not good:
        print("closed descriptors:", *what)
        bad = 1

def start(closed, script):
    """Descriptors 0 to 2: pipes, but for those in closed."""
    ends, keep = [], []
    for fd in range(3):
        r, w = os.pipe()
        ends.append((r, w)[fd == 0])
        keep.append((r, w)[fd != 0])
    pid = os.fork()
    if pid == 0:
        high = [os.dup2(k, 50 + i) for i, k in enumerate(keep)]
        os.closerange(3, 50)
        for fd in range(3):
            if fd in closed:
                os.close(fd)
            else:
                os.dup2(high[fd], fd)
        os.closerange(50, 60)
        os.execv(run[0], run + ["--", "sh", "-c", script])
    for k in keep:
        os.close(k)
    return pid, ends

def places(pid):
    return [os.readlink("/proc/%d/fd/%d" % (pid, fd)) for fd in range(3)]

for mask in range(8):
    closed = [fd for fd in range(3) if mask & 1 << fd]
    # all of standard input, then something on each output
    pid, ends = start(closed, "wc -c >/tmp/n; sleep 1; cat /tmp/n; echo error >&2; exit 3")
    os.write(ends[0], b"12345") if 0 not in closed else None
    os.close(ends[0])
    at = None
    end = time.monotonic() + 100
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        try:
            at = places(pid)
        except OSError:
            pass
        time.sleep(0.05)
    else:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        check(False, closed, "closed: does not end")
        continue
    out, err = (os.read(e, 4096) for e in ends[1:])
    check(os.waitstatus_to_exitcode(status) == 3, closed, "closed: status", status)
    for fd in range(3):
        check(at and at[fd].startswith("/dev/null" if fd in closed else "pipe:"), closed, "closed:", at)
    check(1 in closed or out == (b"0\n" if 0 in closed else b"5\n"), closed, "closed: output", out)
    if 2 not in closed:
        lost = b"disco run: standard output: Bad file descriptor\n" if 1 in closed else b""
        check(sorted(err.splitlines()) == sorted((b"error\n" + lost).splitlines()), closed, "closed: error", err)
    for e in ends[1:]:
        os.close(e)

# nothing said and nothing lost is no failure; something lost is
for script, want in ("true", 0), ("echo x", 1), ("echo x >&2", 1):
    pid, ends = start([0, 1, 2], script)
    check(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == want, "all closed:", script)
sys.exit(bad)
PY
}

commands
others
closed
finish
