#!/bin/bash
# SPDX-License-Identifier: MIT
# The guest's date: the host's, to a fraction of a second, whatever the boot skipped; battery-backed over a reset; the same in all
# runs with --icount.
set -u
. "$(dirname "$0")/lib.sh"
need clang-19 ld.lld-19 python3
build_guests

# Two boots; the second stays, so what is read is read from the file.
battery() {
	local i pid out=$work/battery
	"$DISCO" run --mem 64M --kernel "$guests/$1/rtc.elf" "${@:2}" </dev/null >"$out" 2>&1 &
	pid=$!
	for ((i = 0; i < 600; i++)); do
		grep -q '^end' "$out" && break
		sleep 0.1
	done
	kill "$pid"
	wait "$pid"
	tr -d '\r' <"$out" | grep -q '^set$' || fail "battery $*: the first boot found marks"
	[ "$(tr -d '\r' <"$out" | grep -c ': ok$')" -eq 6 ] || fail "battery $*: $(tr '\r\n' ' ' <"$out")"
}
battery el
battery eb --tiers 1
battery el --icount

# offset WHAT MINIMUM MAXIMUM COMMAND...: the largest difference, in seconds, of the dates that the command prints at each change
# of the second (as date +%s or %Y%m%d%H%M%S, of 2 changes) to the host's.  A slow host prints late, so the least counts.
offset() {
	timeout 120 python3 - "$@" <<'END' || fail "$1: see above"
import calendar, re, subprocess, sys, time
what, least, most, command = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
last, seen = None, []
for line in p.stdout:
    now, line = time.time(), line.strip().decode()
    if not re.fullmatch(r"\d{10}|\d{14}", line):
        continue
    date = int(line) if len(line) == 10 else calendar.timegm(time.strptime(line, "%Y%m%d%H%M%S"))
    if last is not None and date != last:
        seen.append(date - now)
    last = date
    if len(seen) == 3:
        break
p.kill()
print("%s: %s s" % (what, " ".join("%+.3f" % s for s in seen)))
sys.exit(not seen or not least <= max(seen) <= most)
END
}
# the chip's seconds begin when the host's do
offset "the chip" -0.2 0.001 "$DISCO" run --mem 64M --append s --kernel "$guests/el/rtc.elf"
# Linux reads whole seconds and takes the middle of them
if [ -f "$KERNEL" ] && [ -f "$INITRD" ]; then
	for _ in 1 2 3 4; do
		offset Linux -0.75 0.55 "$DISCO" run --net none --kernel "$KERNEL" --initrd "$INITRD" -- \
			sh -c 'while :; do date +%s; done'
	done
fi

# --icount: the same date in each run
date=$(timeout 60 "$DISCO" run --icount --mem 64M --append s --kernel "$guests/el/rtc.elf" </dev/null 2>/dev/null | head -n 1)
[ "${date%$'\r'}" = 20000101000000 ] || fail "--icount: begins at $date"
finish
