#!/bin/bash
# SPDX-License-Identifier: MIT
# Shared folders with a Debian kernel: trees in both directions, what a guest's programs do to files, read-only shares, and
# no way out of the directory.
set -u
. "$(dirname "$0")/lib.sh"
need sha256sum
share=$work/files ro=$work/ro outside=$work/outside
mkdir "$share" "$ro" "$outside"
megabytes=32 files=300
[ "${DISCO_TEST_LENGTH:-short}" != long ] || megabytes=512 files=5000

# in_guest SCRIPT [OPTION...]: SCRIPT (a file of the share) in the guest; its output in $work/out
in_guest() {
	local script=$1
	shift
	timeout 900 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --share "$share,tag=files" "$@" \
		-- sh "/mnt/files/$script" "$megabytes" "$files" </dev/null >"$work/out" 2>"$work/err"
}

# expect STATUS WHAT
expect() {
	[ "$1" -eq 0 ] && return
	fail "$2: status $1"
	tail -n 5 "$work/out" "$work/err"
}

# What can be seen of a tree from outside: names, types, modes, sizes, links, times (of files), contents.
picture() {
	(cd "$1" && find . -printf '%P %y %m %l\n' -type f -printf '%s %n %T@ ' -exec sha256sum {} \; | LC_ALL=C sort)
}

# ---- a tree to the guest and back ----
mkdir -p "$share/in/a/b/c" "$share/in/empty" "$share/in/with space"
head -c 3000000 /dev/urandom >"$share/in/a/random"
seq 1 20000 >"$share/in/a/b/numbers"
: >"$share/in/a/b/c/empty"
printf x >"$share/in/with space/-n"
printf y >"$share/in/naïve"
ln -s ../nowhere "$share/in/a/dangling"
ln -s numbers "$share/in/a/b/link"
chmod 600 "$share/in/a/random"
chmod 755 "$share/in/a/b/numbers"
chmod 700 "$share/in/empty"
find "$share/in" -exec touch -h -d '2001-02-03 04:05:06' {} +
cat >"$share/copy.sh" <<'EOF'
set -e
cp -a /mnt/files/in $HOME/in
cp -a $HOME/in /mnt/files/back
find $HOME/in -type f -exec sha256sum {} \; | sed s,$HOME/in,in, | sort > /mnt/files/sums
EOF
in_guest copy.sh
expect $? "copy a tree"
picture "$share/in" >"$work/in.txt"
picture "$share/back" >"$work/back.txt"
same "a tree, there and back" "$work/in.txt" "$work/back.txt"
(cd "$share" && find in -type f -exec sha256sum {} \; | LC_ALL=C sort -k 2) >"$work/host.sums"
LC_ALL=C sort -k 2 "$share/sums" >"$work/guest.sums"
same "contents in the guest" "$work/host.sums" "$work/guest.sums"

# ---- what programs do ----
cat >"$share/programs.sh" <<'EOF'
cd /mnt/files && mkdir p && cd p || exit 1
bad() { echo "BAD: $*"; }
# as git does: a temporary file, a name for good, over an older one
i=0
while [ $i -lt $2 ]; do
	echo "object $i" > tmp_obj
	chmod 444 tmp_obj
	mv tmp_obj object$i || bad rename $i
	i=$((i + 1))
done
[ $(ls | wc -l) = $2 ] || bad "$(ls | wc -l) files, not $2"
echo new > tmp_obj && mv -f tmp_obj object0 && [ "$(cat object0)" = new ] || bad replace
rm -f object*
[ -z "$(ls)" ] || bad rm
# a large file: written, read, compared
dd if=/dev/urandom of=/tmp/large bs=1M count=$1 2>/dev/null
dd if=/tmp/large of=large bs=1M 2>/dev/null
cmp large /tmp/large || bad large
rm /tmp/large
# links, sizes, times, modes
ln large hard && [ "$(stat -c %h large)" = 2 ] || bad "hard link"
ln -s /etc/passwd soft && [ "$(readlink soft)" = /etc/passwd ] || bad symlink
echo 123456 > size && truncate -s 3 size && [ "$(cat size)" = 123 ] || bad truncate
echo 4 >> size && [ "$(cat size)" = 1234 ] || bad append
touch -d '1999-09-09 09:09:09' size && [ "$(stat -c %Y size)" = "$(date -d '1999-09-09 09:09:09' +%s)" ] || bad touch
chmod 4711 size && [ "$(stat -c %a size)" = 711 ] || bad "set-uid bit"
chown 12:34 size && [ "$(stat -c %u:%g size)" = 0:0 ] || bad "owner"
# errors, by their names
mkdir full && : > full/x
rmdir full 2>&1 | grep -q 'not empty' || bad "rmdir: $(rmdir full 2>&1)"
mkdir full 2>&1 | grep -q 'File exists' || bad mkdir
cat missing 2>&1 | grep -q 'No such file' || bad missing
ln -s loop2 loop1 && ln -s loop1 loop2 && cat loop1 2>&1 | grep -q 'symbolic links' || bad "$(cat loop1 2>&1)"
mkdir $(printf 'n%.0s' $(seq 300)) 2>&1 | grep -q 'too long' || bad "long name"
mknod device c 1 3 2>/dev/null && bad mknod
mkfifo fifo 2>/dev/null && bad mkfifo
mv full full/inside 2>/dev/null && bad "a directory into itself"
# paths of 7000 bytes: two deep trees, one moved to the other's bottom; renamed at the top
name=$(printf 'n%.0s' $(seq 230)) deep=$name
for _ in $(seq 14); do deep=$deep/$name; done
mkdir -p $deep lower/$deep && echo deep > lower/$deep/bottom && mv lower $deep || bad "deep directories"
(
	cd $deep && [ "$(cat lower/$deep/bottom)" = deep ] && echo more >> lower/$deep/bottom && mkdir lower/$deep/new ||
		bad "below deep directories: $(cat lower/$deep/bottom 2>&1 | tail -c 100)"
	mv lower here && [ "$(cat here/$deep/bottom | wc -l)" = 2 ] && [ -d here/$deep/new ] || bad "renamed above"
	rm -r here || bad "rm -r of deep directories"
)
rm -r $name && [ ! -e $name ] || bad "deep directories stay"
# a program, run from there
cp /bin/busybox busybox && [ "$(./busybox echo run)" = run ] || bad exec
# gone, and still open
echo data > gone && exec 3<gone && rm gone && [ "$(cat <&3)" = data ] || bad "removed while open"
exec 3<&-
# the host removes one that is open here
echo kept > ../held && exec 3<../held && : > ../opened
n=0
while [ ! -e ../removed ] && [ $n -lt 300 ]; do sleep 0.1; n=$((n + 1)); done
[ -e ../removed ] || bad "the host did not remove it"
[ "$(cat <&3)" = kept ] || bad "removed by the host while open"
echo done
EOF
(
	for _ in $(seq 3000); do
		[ -e "$share/opened" ] && rm -f "$share/held" && : >"$share/removed" && break
		sleep 0.1
	done
) &
in_guest programs.sh
expect $? "programs"
wait
grep BAD "$work/out" && fail "programs in the guest"
grep -qx 'done' "$work/out" || fail "programs: not to the end"
[ "$(stat -c %s "$share/p/large")" -eq $((megabytes << 20)) ] || fail "the large file's size"
[ "$(stat -c %U "$share/p/size")" = "$(id -un)" ] || fail "a file of the guest's does not belong to its user"

# ---- read-only, and nothing outside ----
echo "what is outside" >"$outside/secret"
echo "as it was" >"$ro/file"
ln -s "$outside/secret" "$ro/absolute"
ln -s ../outside/secret "$ro/relative"
ln -s ../outside "$ro/directory"
ln -s "$outside" "$share/out"
cat >"$share/walls.sh" <<'EOF'
cd /mnt/fixed || exit 1
bad() { echo "BAD: $*"; }
mount | grep -q 'fixed on /mnt/fixed' || bad mount
mount -o remount,rw /mnt/fixed 2>/dev/null
[ "$(cat file)" = "as it was" ] || bad read
echo x 2>/dev/null > new && bad create
echo x 2>/dev/null >> file && bad append
rm -f file 2>/dev/null && bad remove
mv file other 2>/dev/null && bad rename
mkdir d 2>/dev/null && bad mkdir
ln -s x y 2>/dev/null && bad symlink
chmod 777 file 2>/dev/null && bad chmod
touch file 2>/dev/null && bad touch
for f in absolute relative directory/secret ../outside/secret ../files/out/secret; do
	cat $f 2>/dev/null && bad "$f can be read"
done
echo x 2>/dev/null > ../files/out/new && bad "written outside"
readlink relative
echo done
EOF
picture "$ro" >"$work/ro.before"
in_guest walls.sh --share "$ro,ro,tag=fixed"
expect $? "walls"
grep -e BAD -e 'what is outside' "$work/out" && fail "walls"
grep -qx '../outside/secret' "$work/out" || fail "a link's text"
grep -qx 'done' "$work/out" || fail "walls: not to the end"
picture "$ro" >"$work/ro.after"
same "a read-only share" "$work/ro.before" "$work/ro.after"
[ "$(ls "$outside")" = secret ] || fail "something was made outside of the share"

# ---- the same under --icount, where the folder answers at once ----
rm -rf "$share/back"
in_guest copy.sh --icount
expect $? "copy a tree under --icount"
picture "$share/back" >"$work/back.txt"
same "a tree, there and back, under --icount" "$work/in.txt" "$work/back.txt"

"$DISCO" run --kernel "$KERNEL" --share "$work/none" </dev/null >"$work/out" 2>&1
[ $? -eq 2 ] && grep -q "$work/none" "$work/out" || fail "a share that is not there: $(cat "$work/out")"
finish
