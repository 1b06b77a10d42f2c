# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the tests of disks share; sourced after lib.sh.  A guest's script is its first disk, /dev/vda, so that nothing but
# the disks themselves is needed to get it in; the disks of a test begin at /dev/vdb.
# shellcheck disable=SC2154 # work, KERNEL, INITRD: lib.sh
for f in "$KERNEL" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
PATH=$PATH:/sbin:/usr/sbin

# guest_script FILE: standard input, as the guest's first disk: whole sectors, of text
guest_script() {
	{
		echo 'modprobe crc32c_generic; modprobe ext4'
		cat
		echo 'exit $?'
		printf '%512s' '' | tr ' ' '\n'
	} >"$1"
	truncate -s $(($(stat -c %s "$1") / 512 * 512)) "$1"
}

# on_guest SCRIPT [OPTION...]: run it; the console goes to standard output, from what the script says on
on_guest() {
	local script=$1
	shift
	timeout 300 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --net none --disk "$script,mode=ro" "$@" \
		--append 'console=ttyS0 quiet loglevel=1 disco.cmd="sh /dev/vda"' </dev/null | tr -d '\r'
	return "${PIPESTATUS[0]}"
}

# says WHAT FILE LINE...: each is a whole line of the file
says() {
	local what=$1 file=$2 line
	shift 2
	for line; do
		grep -qxF -- "$line" "$file" || fail "$what: no line '$line' in: $(tail -n 12 "$file")"
	done
}

# ends_well WHAT FILE: the guest's script ended with status 0
ends_well() { says "$1" "$2" 'disco-guest: exit 0'; }

sum() { sha256sum <"$1" | cut -d ' ' -f 1; }
