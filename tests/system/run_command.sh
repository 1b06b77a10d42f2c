#!/bin/bash
# SPDX-License-Identifier: MIT
# `disco run` as a tool: a command in the guest with its status, its arguments, its input and output and nothing else;
# on the initramfs and on a disk; shared folders, the network, a second terminal; and what is said when it cannot be.
set -u
. "$(dirname "$0")/lib.sh"
need python3 mke2fs
vmlinux=$(dirname "$KERNEL")/vmlinux
for f in "$KERNEL" "$INITRD" "$vmlinux"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
disco=(timeout 300 "$DISCO" run --kernel "$vmlinux" --initrd "$INITRD")

# is WHAT STATUS OUTPUT ERROR-OUTPUT: what the last `try` left; an error output of '*' may be anything
is() {
	[ "$status" -eq "$2" ] || fail "$1: status $status, not $2: $(tail -n 3 "$work/err")"
	printf '%s' "$3" | cmp -s - "$work/out" || fail "$1: standard output is '$(head -c 300 "$work/out")', not '$3'"
	[ "$4" = '*' ] || printf '%s' "$4" | cmp -s - "$work/err" || fail "$1: standard error is '$(head -c 300 "$work/err")', not '$4'"
}
# try [OPTION...] -- COMMAND...
try() {
	"${disco[@]}" "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
}
n=$'\n'

statuses() {
	try --net none -- true
	is "true" 0 '' ''
	try -- sh -c 'echo out; echo err >&2; exit 42'
	is "42" 42 "out$n" "err$n"
	try -- sh -c 'kill -SEGV $$'
	is "a signal" 139 '' ''
	try -- sh -c 'exit 125'
	is "125 of its own" 125 '' ''
	try -- no-such-command x
	is "not found" 127 '' "disco-guest: no-such-command: not found$n"
	try -- /etc/passwd
	is "not executable" 126 '' "disco-guest: /etc/passwd: permission denied$n"
}

arguments() {
	local a=('a b' "q'\"\\" $'new\nline' $'\x01\x7f\x80\xff' '' '*' '$HOME' --mem) want
	want=$(printf '<%s>' "${a[@]}")
	try -- printf '<%s>' "${a[@]}"
	is "arguments" 0 "$want" ''
	try --env "A=b c" --env PATH=/bin --env B= -- sh -c 'echo "$A,$B,${B+set},$PATH,$HOME,$LANG,$PWD"'
	is "environment" 0 "b c,,set,/bin,/root,C.UTF-8,/root$n" ''
	printf '#!/bin/sh\necho "$#:$1:$2"; exit 3\n' >"$work/script"
	try --script "$work/script" -- 'x y' z
	is "script" 3 "2:x y:z$n" ''
	printf 'echo "no interpreter $1"' >"$work/script"
	try --script "$work/script" -- ok
	is "script without #!" 0 "no interpreter ok$n" ''
}

streams() {
	head -c 10000000 /dev/urandom >"$work/data"
	"${disco[@]}" -- cat <"$work/data" >"$work/out" 2>"$work/err"
	status=$?
	[ $status -eq 0 ] || fail "10 MB through cat: status $status"
	cmp "$work/data" "$work/out" || fail "10 MB through cat: not the same"
	[ ! -s "$work/err" ] || fail "10 MB through cat: $(head -n 2 "$work/err")"
	# both outputs at once, the kernel talking on its console all the while
	try -- sh -c 'echo 8 >/proc/sys/kernel/printk; i=0
		while [ $i -lt 300 ]; do echo "out $i"; echo "err $i" >&2; echo "kernel $i" >/dev/kmsg; i=$((i + 1)); done'
	is "two outputs" 0 "$(seq -f 'out %.0f' 0 299)$n" "$(seq -f 'err %.0f' 0 299)$n"
	# input that nobody reads, output that nobody reads
	yes | "${disco[@]}" -- sh -c 'exec <&-; echo done' >"$work/out" 2>"$work/err"
	[ "${PIPESTATUS[1]}" -eq 0 ] && [ "$(cat "$work/out")" = "done" ] || fail "input that nobody reads: $(cat "$work/err")"
	"${disco[@]}" -- yes 2>"$work/err" </dev/null | head -n 1 >"$work/out"
	status=${PIPESTATUS[0]}
	is "output that nobody reads" 141 "y$n" ''
	# a reader that begins late finds all of it
	"${disco[@]}" -- seq 100000 2>"$work/err" </dev/null | (
		sleep 5
		md5sum >"$work/out"
	)
	[ "$(cat "$work/out")" = "$(seq 100000 | md5sum)" ] || fail "a late reader does not find all"
}

# interrupt SIGNAL TIMES STATUS COMMAND
interrupt() {
	local i pid
	"${disco[@]:2}" -- sh -c "$4" >"$work/out" 2>"$work/err" </dev/null &
	pid=$!
	for ((i = 0; i < 600; i++)); do
		grep -q ready "$work/out" && break
		sleep 0.1
	done
	for ((i = 0; i < $2; i++)); do
		kill "-$1" "$pid"
		sleep 0.5
	done
	wait "$pid"
	status=$?
	is "$1, $2 times" "$3" "$5" ''
}

signals() {
	set -m # so that SIGINT is not ignored in the background
	interrupt INT 1 9 'trap "echo got; exit 9" INT; echo ready; while :; do sleep 0.1; done' "ready${n}got$n"
	interrupt TERM 1 143 'echo ready; sleep 1000' "ready$n"
	interrupt INT 2 130 'trap "" INT; echo ready; while :; do sleep 0.1; done' "ready$n"
	set +m
}

# ends WHAT LINE OPTION... -- COMMAND...: no status of the command's, one clear last line, and the console before it
ends() {
	local what=$1 line=$2
	shift 2
	try "$@"
	[ $status -eq 125 ] || fail "$what: status $status, not 125"
	[ "$(tail -n 1 "$work/err")" = "disco run: $line" ] || fail "$what: the last line is '$(tail -n 1 "$work/err")'"
	[ ! -s "$work/out" ] || fail "$what: standard output: $(head -n 2 "$work/out")"
}

troubles() {
	ends "panic" "the guest panicked before the command had ended" -- sh -c 'echo c >/proc/sysrq-trigger'
	grep -q 'Kernel panic - not syncing' "$work/err" || fail "panic: its report is not shown"
	[ "$(wc -l <"$work/err")" -le 31 ] || fail "panic: $(wc -l <"$work/err") lines"
	ends "power-off" "the guest powered off before the command had ended" -- poweroff -f
	ends "restart" "the guest restarted before the command had ended" -- reboot -f
	ends "no such root" "the command was not run: cannot mount the root file system" \
		--append 'console=ttyS0 root=/dev/vdz' -- true
	grep -q 'root=/dev/vdz: no such disk' "$work/err" || fail "no such root: $(cat "$work/err")"
	truncate -s 1M "$work/empty.img"
	ends "no file system" "the command was not run: cannot mount the root file system" --disk "$work/empty.img" -- true
	"$DISCO" run --disk "$work/empty.img" -- true >"$work/out" 2>"$work/err" </dev/null
	status=$?
	is "no kernel" 2 '' "disco run: --kernel: missing, and there is no $work/empty.vmlinuz beside the disk$n"
}

# A root file system of busybox alone, made without root.
make_image() {
	local a root=$work/root
	mkdir -p "$root"/{bin,dev,etc,mnt,proc,root,run,sys,tmp}
	cp "$(dirname "$KERNEL")/busybox/bin/busybox" "$root/bin/"
	for a in sh cat echo ls touch mkdir mount sleep sync hostname wget nc ip grep seq md5sum; do
		ln -s busybox "$root/bin/$a"
	done
	echo disk-guest >"$root/etc/hostname"
	mke2fs -q -t ext4 -L tiny -d "$root" "$work/tiny.img" 24M || fail "mke2fs"
	ln -s "$vmlinux" "$work/tiny.vmlinux"
	ln -s "$INITRD" "$work/tiny.initrd"
}

disks() {
	local pid sum
	make_image
	disco=(timeout 300 "$DISCO" run)
	try --disk "$work/tiny.img" -- sh -c 'hostname; seq 10000 >/root/kept; grep -c "^/dev/vda / ext4 rw" /proc/mounts'
	is "a disk" 0 "disk-guest${n}1$n" ''
	e2fsck -fn "$work/tiny.img" >"$work/fsck" 2>&1 || fail "the disk after a command: $(tail -n 3 "$work/fsck")"
	try --disk "$work/tiny.img,mode=ro" -- sh -c 'md5sum </root/kept; touch /root/x && echo written'
	is "a disk, read-only" 1 "$(seq 10000 | md5sum)$n" '*'
	# two machines on one image, each with writes of its own
	sum=$(md5sum <"$work/tiny.img")
	"${disco[@]}" --disk "$work/tiny.img,mode=cow" -- sh -c 'echo one >/root/who; sleep 4; cat /root/who' \
		>"$work/one" 2>&1 </dev/null &
	pid=$!
	try --disk "$work/tiny.img,mode=cow" -- sh -c 'echo two >/root/who; sleep 1; cat /root/who'
	is "copy on write, one of two" 0 "two$n" ''
	wait "$pid" || fail "copy on write, the other: status $?"
	[ "$(cat "$work/one")" = one ] || fail "copy on write, the other: $(cat "$work/one")"
	[ "$sum" = "$(md5sum <"$work/tiny.img")" ] || fail "copy on write changed the image"
	# found by its label; quotes as the kernel reads them
	try --disk "$work/tiny.img,mode=cow" --append 'console=ttyS0 quiet root=LABEL=tiny "disco.cmd=echo a  b; exit 7"'
	grep -q '^a b' "$work/out" && grep -q '^disco-guest: exit 7' "$work/out" || fail "LABEL=: $(tail -n 3 "$work/out")"
}

shares() {
	mkdir "$work/s1" "$work/s2"
	echo one >"$work/s1/file"
	echo two >"$work/s2/file"
	try --disk "$work/tiny.img,mode=cow" --share "$work/s1" --share "$work/s2,ro,tag=second" -- \
		sh -c 'cat /mnt/share/file /mnt/second/file; echo new >/mnt/share/new; echo x >/mnt/second/new || echo refused'
	is "shared folders" 0 "one${n}two${n}refused$n" '*'
	[ "$(cat "$work/s1/new")" = new ] || fail "shared folder: what the guest wrote is not here"
	[ ! -e "$work/s2/new" ] || fail "shared folder, ro: written"
}

network() {
	local port
	mkdir "$work/www"
	echo "from the host" >"$work/www/page"
	python3 -u -m http.server --bind 127.0.0.1 --directory "$work/www" 0 >"$work/http" 2>&1 &
	local server=$!
	for _ in $(seq 100); do
		port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$work/http")
		[ -n "$port" ] && break
		sleep 0.1
	done
	try --disk "$work/tiny.img,mode=cow" --net user,host-loopback=on -- wget -q -O - "http://10.0.2.2:$port/page"
	is "network" 0 "from the host$n" ''
	# Without being asked, a command does not reach the servers of the host's user.
	try --disk "$work/tiny.img,mode=cow" -- wget -q -O - "http://10.0.2.2:$port/page"
	is "the host's loopback" 1 '' '*'
	grep -q 'disco run: .*host-loopback=on' "$work/err" || fail "the host's loopback: standard error is '$(cat "$work/err")'"
	kill "$server"
	try --disk "$work/tiny.img,mode=cow" --net none -- sh -c 'ls /sys/class/net'
	is "no network" 0 "lo$n" ''
}

# --quiet-boot: nothing but the shell; --terminal: a second one.
terminals() {
	tests/system/console.py --timeout 200 --log "$work/log" 'expect: # ' 'refuse:Linux version' \
		'send:echo one $((6 * 7))' 'expect:one 42' 'send:/bin/busybox poweroff' \
		-- "${disco[@]}" --disk "$work/tiny.img,mode=cow" --quiet-boot 2>"$work/err" ||
		fail "--quiet-boot: status $?: $(tail -n 5 "$work/err")"
	"${disco[@]}" --disk "$work/tiny.img,mode=cow" --terminal "unix=$work/sock" -- sleep 60 >"$work/out" 2>&1 </dev/null &
	local pid=$!
	python3 - "$work/sock" <<'END' || fail "--terminal: no shell there: $(cat "$work/out")"
import socket, sys, time
end = time.monotonic() + 120
while time.monotonic() < end:
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(3)
    try:
        s.connect(sys.argv[1])
        seen = b""
        while b"terminal 42" not in seen:
            s.sendall(b"echo terminal $((6 * 7))\n")
            seen += s.recv(4096)
        sys.exit(0)
    except OSError:
        time.sleep(0.5)
sys.exit(1)
END
	[ -S "$work/sock" ] || fail "--terminal: no socket while it runs"
	kill -TERM "$pid"
	kill -TERM "$pid"
	wait "$pid"
	[ ! -e "$work/sock" ] || fail "--terminal: the socket stays"
}

statuses
arguments
streams
signals
troubles
disks
shares
network
terminals
finish
