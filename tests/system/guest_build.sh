#!/bin/bash
# SPDX-License-Identifier: MIT
# disco guest: arguments, what list and verify say of images that were changed in each way. Long only, since it takes
# minutes and the network: a build that is killed in the middle and goes on, and the machine that it makes.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need mke2fs e2fsck debugfs python3
export PATH=$PATH:/sbin:/usr/sbin
images=$work/images
mkdir "$images"

# status WANTED TEXT COMMAND...: exit status, and a piece of what it says
status() {
	local want=$1 text=$2 got
	shift 2
	"$@" >"$work/said" 2>&1 </dev/null
	got=$?
	[ $got -eq "$want" ] || fail "$*: status $got, not $want: $(cat "$work/said")"
	grep -qF -- "$text" "$work/said" || fail "$*: does not say '$text': $(cat "$work/said")"
}

status 2 "build, list or verify" "$DISCO" guest
status 2 "'mend'" "$DISCO" guest mend
status 0 "Usage: disco guest build" "$DISCO" guest --help
status 0 "Usage: disco guest build" "$DISCO" help guest
status 1 "are not there" env DISCO_GUEST_DIR="$work" "$DISCO" guest list
for name in Web -a a- ../a a/b abcdefghijklmnopq ''; do
	status 2 "" "$DISCO" guest build -- "$name"
done
status 2 "no package list for 'nothing'" "$DISCO" guest build nothing --dir "$images"
status 2 "no such file" "$DISCO" guest build web --packages "$work/none" --dir "$images"
for size in 0 1 2T -1G 15M 2.5G 9999999999G; do
	status 2 "--size" "$DISCO" guest build minimal "--size=$size" --dir "$images"
done
echo >"$work/file"
status 2 "--dir" "$DISCO" guest build minimal --dir "$work/file"
status 2 "--dir" "$DISCO" guest build minimal --dir "$work/file/below"
ln -s "$work/nowhere" "$work/link"
status 2 "--dir" "$DISCO" guest build minimal --dir "$work/link"

# What a build needs is looked for before anything is made or fetched.
mkdir "$work/path"
ln -s "$(python3 -c 'import sys; print(sys.executable)')" "$work/path/python3"
status 1 "mmdebstrap" env PATH="$work/path" DISCO_GUEST_CACHE="$work/nocache" "$DISCO" guest build minimal --dir "$work/new"
[ "$(wc -l <"$work/said")" -eq 1 ] || fail "missing programs: not one line: $(cat "$work/said")"
grep -q 'apt-get install .*arch-test.* mmdebstrap' "$work/said" || fail "no word of what to install: $(cat "$work/said")"
[ ! -e "$work/new" ] && [ ! -e "$work/nocache" ] || fail "a build that cannot be made has begun"

# The directory is made, with those above it. Here apt is one that fails at once.
if command -v mmdebstrap arch-test clang-19 ld.lld-19 >/dev/null && [ -e /usr/lib/binfmt.d/qemu-mipsel.conf ] && [ "$(id -u)" -eq 0 ]; then
	printf '#!/bin/sh\nexit 1\n' >"$work/path/apt-get"
	chmod +x "$work/path/apt-get"
	status 1 "guest/fetch failed" env PATH="$work/path:$PATH" DISCO_GUEST_CACHE="$work/nocache" \
		"$DISCO" guest build minimal --dir "$work/new/below/it/"
	[ -d "$work/new/below/it" ] || fail "--dir of a directory that is not there: not made"
	[ ! -e "$work/nocache/linux" ] || fail "something was fetched"
fi
status 2 "--suite" "$DISCO" guest build minimal --suite ../x --dir "$images"
for words in "gcc --option" "gcc;reboot" "Gcc" "a/b"; do
	echo "$words # a comment" >"$work/list"
	status 2 "is no package name" "$DISCO" guest build web --packages "$work/list" --dir "$images"
done
touch "$images/minimal.img"
status 2 "--force" "$DISCO" guest build minimal --dir "$images"
rm "$images/minimal.img"

# The options that `disco help guest` shows are those that the scripts know, and the manual page's.
options() { grep -oE '^ +--[a-z]+' | tr -d ' ' | sort -u; }
"$DISCO" help guest | options >"$work/help"
{ guest/build --help; guest/list --help; } | options | grep -vxE -- '--(help|verify)' >"$work/scripts"
same "options of disco help guest and of guest/build, guest/list" "$work/help" "$work/scripts"
if command -v mandoc >/dev/null; then
	mandoc -Tascii docs/disco-guest.1 | sed 's/.\x08//g' | sed -n '/^OPTIONS/,/^ENVIRONMENT/p' | options >"$work/manual"
	same "options of disco help guest and of the manual page" "$work/help" "$work/manual"
fi

# fixture: an image that is small, with a manifest made by what makes those of real images
fixture() {
	rm -rf "$images" "$work/tree"
	mkdir -p "$images" "$work/tree/etc"
	seq 1 20000 >"$work/tree/etc/numbers"
	truncate -s 16M "$images/web.img"
	mke2fs -q -F -t ext4 -L web -d "$work/tree" "$images/web.img" || fail "mke2fs"
	echo kernel >"$images/web.vmlinuz"
	echo initrd >"$images/web.initrd"
	python3 - "$images" <<'END'
import json, os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "guest")
import image
d = sys.argv[1]
m = {"format": image.FORMAT, "name": "web", "suite": "bookworm", "made": "2026-01-02T03:04:05Z",
     "packages": {"dash": "1"},
     "files": {f: image.describe(os.path.join(d, f)) for f in ("web.img", "web.vmlinuz", "web.initrd")}}
with open(os.path.join(d, "web.json"), "w") as f:
    json.dump(m, f)
END
}

# state STATUS TEXT: of the fixture, by list and by verify
state() {
	status "$1" "$2" "$DISCO" guest list --dir "$images"
	status "$1" "$2" "$DISCO" guest verify web --dir "$images"
}

status 0 "no images in" "$DISCO" guest list --dir "$images"
status 1 "no image web" "$DISCO" guest verify web --dir "$images"
fixture
state 0 "as built"
"$DISCO" guest list --json --dir "$images" >"$work/json"
python3 -c 'import json, sys
r = json.load(open(sys.argv[1]))
assert [(x["name"], x["state"], x["size"]) for x in r] == [("web", "as built", 16 << 20)], r' "$work/json" ||
	fail "list --json"
sum=$(sha256sum <"$images/web.img" | cut -d' ' -f1)
grep -q "\"$sum\"" "$images/web.json" || fail "the manifest's sum is not sha256sum's"
touch "$images"/web.*
state 0 "as built"
cp -r "$images" "$work/copy" && rm -rf "$images" && mv "$work/copy" "$images"
state 0 "as built"

# A guest's write: the file system is whole, the image is not what was built. One byte of a file's data cannot be told
# from such a write, but it shows, even if the time stamp is put back.
debugfs -w -R "rm /etc/numbers" "$images/web.img" 2>/dev/null
state 0 "used"
fixture
touch -r "$images/web.img" "$work/time"
block=$(debugfs -R "blocks /etc/numbers" "$images/web.img" 2>/dev/null | awk '{ print $1 }')
size=$(debugfs -R stats "$images/web.img" 2>/dev/null | awk '/^Block size/ { print $3 }')
printf x | dd of="$images/web.img" bs=1 seek=$((block * size + 7)) conv=notrunc status=none
touch -r "$work/time" "$images/web.img"
state 0 "used"

fixture
truncate -s 12M "$images/web.img"
state 1 "damaged: 12582912 bytes, not 16777216"
fixture
truncate -s 0 "$images/web.img"
state 1 "damaged"
fixture
dd if=/dev/zero of="$images/web.img" bs=1024 seek=1 count=1 conv=notrunc status=none
state 1 "damaged: no ext4 file system"
fixture # the inode table
table=$(dumpe2fs "$images/web.img" 2>/dev/null | sed -n 's/.*Inode table at \([0-9]*\)-.*/\1/p' | head -n 1)
dd if=/dev/urandom of="$images/web.img" bs="$size" seek="$table" count=1 conv=notrunc status=none
state 1 "damaged: e2fsck"
fixture
echo other >"$images/web.vmlinuz"
state 1 "damaged: web.vmlinuz is not what was built"
fixture
rm "$images/web.initrd"
state 1 "incomplete: no web.initrd"
# What is no manifest is no image, and no reason to fail.
fixture
head -c 40 "$images/web.json" >"$images/cut.json"
echo '{"format": "disco-guest-1", "name": "list", "files": []}' >"$images/list.json"
echo '[]' >"$images/array.json"
head -c 100 /dev/urandom >"$images/noise.json"
state 0 "as built"
[ "$("$DISCO" guest list --dir "$images" | wc -l)" -eq 2 ] || fail "list shows more than one image"

if [ "${DISCO_TEST_LENGTH:-short}" = long ] && [ "$(id -u)" -eq 0 ]; then
	need mmdebstrap arch-test
	export DISCO_GUEST_CACHE=$work/cache
	rm -rf "$images" && mkdir "$images"
	printf 'no-such-package-as-this\n' >"$work/list"
	status 1 "no-such-package-as-this" "$DISCO" guest build web --packages "$work/list" --dir "$images"
	"$DISCO" guest build minimal --size 1G --dir "$images" >"$work/first" 2>&1 </dev/null &
	pid=$!
	for _ in $(seq 1 600); do
		grep -q "^Setting up" "$work/cache/debian/bookworm/minimal.log" 2>/dev/null && break
		sleep 1
	done
	kill -9 $pid
	wait $pid 2>/dev/null
	[ -z "$(ls "$images")" ] || fail "a killed build left $(ls "$images")"
	"$DISCO" guest build minimal --size 1G --dir "$images" >"$work/second" 2>&1 </dev/null ||
		fail "the second build: $(cat "$work/second")"
	grep -q "as the interrupted build had them" "$work/second" || fail "the second build asked for the lists again"
	grep -q "are in the cache" "$work/second" || fail "the second build fetched packages again"
	! grep -q "$work" /proc/self/mounts || fail "something is still mounted: $(grep "$work" /proc/self/mounts)"
	status 0 "as built" "$DISCO" guest verify minimal --dir "$images"
	e2fsck -fn "$images/minimal.img" >"$work/fsck" 2>&1 || fail "e2fsck: $(cat "$work/fsck")"
	# shellcheck disable=SC2016 # for dpkg-query
	timeout 600 "$DISCO" run --disk "$images/minimal.img,mode=cow" -- dpkg-query -W -f '${Package} ${Version}\n' \
		>"$work/guest" 2>"$work/err" </dev/null || fail "the guest: $(tail -n 5 "$work/err")"
	python3 -c 'import json, sys
for p in json.load(open(sys.argv[1]))["packages"].items(): print(*p)' "$images/minimal.json" >"$work/manifest"
	same "packages of the manifest and of the guest" <(sort "$work/manifest") <(sort "$work/guest")
fi
finish
