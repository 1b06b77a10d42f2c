#!/bin/bash
# SPDX-License-Identifier: MIT
# `disco up FILE`: machines that differ, from a configuration; its folder is where names of files begin; what is wrong is one line with file,
# line and key, and nothing is started.
# shellcheck disable=SC2016
set -u
. "$(dirname "$0")/lib.sh"
vmlinux=$(dirname "$KERNEL")/vmlinux
for f in "$vmlinux" "$INITRD"; do
	[ -f "$f" ] || {
		echo "no $f: guest/fetch makes it"
		exit 77
	}
done
n=$'\n'
mkdir "$work/lab"
ln -s "$(realpath "$vmlinux")" "$work/lab/vmlinux"
ln -s "$(realpath "$INITRD")" "$work/lab/initrd"
for i in 1 2; do
	truncate -s 1M "$work/lab/data$i.img"
	echo "data $i" | dd of="$work/lab/data$i.img" conv=notrunc status=none
done

# up NAME: the configuration is standard input
up() {
	cat >"$work/lab/$1.yaml"
	timeout 300 "$DISCO" up "$work/lab/$1.yaml" >"$work/out" 2>"$work/err" </dev/null
	status=$?
}

machines() {
	up three <<-'END'
		monitor: {timeout: 250}
		defaults: {kernel: vmlinux, initrd: initrd, mem: 64M, append: console=ttyS0, net: none}
		machines:
		  - name: data
		    count: 2
		    disk: ["data{n}.img"]
		    env: WHO=data{n}
		    command: [sh, -c, 'echo "$WHO {n} $(head -n 1 /dev/vda)"; echo "new {n}" | dd of=/dev/vda conv=fsync 2>/dev/null']
		  - name: alone
		    mem: 48M
		    share: [".,ro,tag=lab"]
		    stats: alone.json
		    command: echo $(grep -c MemTotal /proc/meminfo) {n} $(ls /mnt/lab/three.yaml); exit 7
	END
	[ $status -eq 7 ] || fail "three machines: status $status: $(tail -n 3 "$work/err")"
	[ "$(sort "$work/out")" = "alone| 1 {n} /mnt/lab/three.yaml${n}data1| data1 1 data 1${n}data2| data2 2 data 2" ] ||
		fail "three machines: $(cat "$work/out")"
	[ "$(cat "$work/err")" = "disco up: 1 of 3 machines failed: alone (status 7)" ] || fail "three machines: $(cat "$work/err")"
	[ "$(head -n 1 "$work/lab/data1.img"),$(head -n 1 "$work/lab/data2.img")" = "new 1,new 2" ] || fail "three machines: the disks are as before"
	grep -q '"guest_instructions"\|"insns' "$work/lab/alone.json" || fail "three machines: no statistics beside the configuration"
	# one is as with disco run
	up one <<-'END'
		machines: [{kernel: vmlinux, initrd: initrd, command: [sh, -c, 'echo {n}; exit 3']}]
	END
	[ $status -eq 3 ] && [ "$(cat "$work/out")" = '{n}' ] && [ ! -s "$work/err" ] || fail "one machine: status $status, $(cat "$work/out" "$work/err")"
	up late <<-'END'
		monitor: {timeout: 0.5}
		machines: [{kernel: vmlinux, initrd: initrd, mem: 64M, count: 2, command: [sleep, "1000"]}]
	END
	[ $status -eq 124 ] && [ "$(cat "$work/err")" = "disco up: --timeout 0.5: the run took longer, and was ended" ] ||
		fail "a time for all: status $status, $(cat "$work/err")"
}

# bad WHAT LINE: the configuration is standard input; LINE without "disco up: FOLDER/"
bad() {
	up bad
	[ $status -eq 2 ] || fail "$1: status $status, not 2"
	[ "$(cat "$work/err")" = "disco up: $work/lab/$2" ] || fail "$1: '$(cat "$work/err")'"
	[ ! -s "$work/out" ] || fail "$1: something was started: $(head -n 2 "$work/out")"
}

bad_input() {
	local all='kernel: vmlinux, initrd: initrd, mem: 64M, command: [echo, on]'
	bad "an unknown key" "bad.yaml:2: colour: no such key; they are the options of 'disco help run'" <<-END
		machines: [{$all,
		  colour: red}]
	END
	bad "a wrong type" "bad.yaml:2: mem: must be one value" <<-END
		machines: [{kernel: vmlinux,
		  mem: [64M]}]
	END
	bad "two of one name" "bad.yaml:3: --name a: there are two of that name" <<-END
		machines:
		- {name: a, $all}
		- {name: a, $all}
	END
	bad "a missing file" "bad.yaml:2: --disk $work/lab/none.img: No such file or directory" <<-END
		machines: [{$all,
		  disk: none.img}]
	END
	bad "no machine" "bad.yaml:1: count: must be a number from 1 to 1000" <<<"machines: [{$all, count: 0}]"
	bad "ten thousand" "bad.yaml:1: count: must be a number from 1 to 1000" <<<"machines: [{$all, count: 10000}]"
	bad "a disk for two" "bad.yaml:3: --disk $work/lab/./data1.img: a writes to it, and b has it too; mode=cow gives each a layer of its own" <<-END
		machines:
		- {name: a, $all, disk: data1.img}
		- {name: b, $all, disk: ./data1.img}
	END
	up bad <<<"machines: [{kernel: vmlinux, count: 1000, mem: 256M}]"
	[ $status -eq 2 ] && grep -qE "^disco up: $work/lab/bad.yaml:1: --mem: 1000 machines with 256000M together, and this host has only" "$work/err" ||
		fail "too much memory: status $status, $(cat "$work/err")"
	[ "$(wc -l <"$work/err")" -eq 1 ] || fail "too much memory: $(cat "$work/err")"
	# kernels and initrds that are none: found before anything is started
	head -c 100000 "$vmlinux" >"$work/lab/cut"
	: >"$work/lab/empty"
	truncate -s 63M "$work/lab/large"
	for case in "kernel=cut=truncated: segment . ends at byte [0-9]*, the file at 100000" "kernel=bad.yaml=not an ELF file" \
		"kernel=empty=is empty" "kernel=.=is a directory" "initrd=empty=is empty" "initrd=none=No such file or directory" \
		"initrd=/proc/self/mem=Input/output error" "initrd=large=66060288 bytes do not fit between the kernel.*"; do
		IFS== read -r key file why <<<"$case"
		up bad <<-END
			defaults: {kernel: vmlinux, mem: 64M, command: [echo, on]}
			machines:
			- {name: a}
			- name: b
			  $key: $file
		END
		[ "${file#/}" = "$file" ] && file=$work/lab/$file
		[ $status -eq 2 ] && [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" -eq 1 ] &&
			grep -qx "disco up: $work/lab/bad.yaml:5: --$key $file: $why" "$work/err" ||
			fail "$key: $file: status $status, $(cat "$work/out" "$work/err")"
	done
	# one cannot be opened: the other is not started
	up bad <<-END
		machines:
		- {name: a, $all, net: "user,hostfwd=tcp::18766-:80"}
		- {name: b, $all, net: "user,hostfwd=tcp::18766-:80"}
	END
	[ $status -eq 2 ] && [ ! -s "$work/out" ] && grep -q '^disco up: b: --net: .*18766' "$work/err" ||
		fail "a port for two: status $status, $(cat "$work/out" "$work/err")"
	for args in '' 'a b' '--all' 'nowhere.yaml' '/'; do
		# shellcheck disable=SC2086
		timeout 60 "$DISCO" up $args >"$work/out" 2>"$work/err"
		status=$?
		[ $status -eq 2 ] && [ "$(wc -l <"$work/err")" -eq 1 ] && [ ! -s "$work/out" ] || fail "disco up $args: status $status, $(cat "$work/err")"
	done
}

machines
bad_input
finish
