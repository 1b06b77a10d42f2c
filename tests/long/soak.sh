#!/bin/bash
# SPDX-License-Identifier: MIT
# Many runs of what people run: apt-get install of a few packages, gcc, python3 and perl in a guest, ROUNDS times in each
# guest, on default tiers and with --hot 200 in turn. Each must end, and say what the first one said.
# IMAGE= an image of `disco guest build bench`; RUNS= guests (40); ROUNDS= in each (5); JOBS= guests at once (1 for each
# processor); SECONDS_EACH= that a guest may take (600).
set -u
. "$(dirname "$0")/../system/lib.sh"
need python3
: "${IMAGE:=$PWD/build/bench.img}" "${RUNS:=40}" "${ROUNDS:=5}" "${JOBS:=$(nproc)}" "${SECONDS_EACH:=600}"
[ -f "$IMAGE" ] || {
	echo "no $IMAGE: disco guest build bench makes one (IMAGE=)"
	exit 77
}
packages="hello tree bc figlet"
mkdir -p "$work/share/debs"

# The packages once, over the guest's network; what is measured needs none.
timeout 600 "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --disk "$IMAGE,mode=cow" --share "$work/share" -- \
	sh -c "apt-get update -q && cd /mnt/share/debs && apt-get download -q $packages" </dev/null >"$work/fetch" 2>&1 || {
	fail "the packages: $(tail -n 3 "$work/fetch")"
	finish
}

cat >"$work/share/soak.py" <<'PY'
import collections, hashlib, json, re, zlib
words = collections.Counter(re.findall(r"[a-z]+", open(__file__).read() * 8))
data = json.dumps(sorted(words.items())).encode()
print(hashlib.sha256(zlib.compress(data, 9)).hexdigest(), sum(i * i for i in range(6000)), 2 ** 4000 % 1000003)
PY
cat >"$work/share/soak.pl" <<'PL'
my (%n, $s); $n{$_ % 977} += $_ for 1 .. 12000; $s .= "$_=$n{$_};" for sort { $n{$a} <=> $n{$b} || $a <=> $b } keys %n;
$s =~ s/(\d+)=(\d+)/$2:$1/g; print length($s), " ", unpack("%32C*", $s), "\n";
PL
cat >"$work/share/soak.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
static int by(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(void)
{
	static int v[5000];
	unsigned x = 1, s = 0;
	double d = 0;
	for (int i = 0; i < 5000; i++) v[i] = (int)((x = x * 1664525 + 1013904223) >> 8), d += v[i] / 3.0;
	qsort(v, 5000, sizeof *v, by);
	for (int i = 0; i < 5000; i++) s = s * 31 + v[i];
	printf("%u %.6f\n", s, d);
}
C
cat >"$work/share/soak.sh" <<'SH'
set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
for round in $(seq "$1"); do
[ "$round" = 1 ] || apt-get purge -qq -y hello tree bc figlet >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }
apt-get install -qq -y --no-install-recommends /mnt/share/debs/*.deb >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }
hello; tree --version | head -n 1; echo '2^200 % 1000007' | bc; figlet disco
cp /mnt/share/soak.c /tmp && cd /tmp
gcc -O2 soak.c -o soak && ./soak
python3 /mnt/share/soak.py
perl /mnt/share/soak.pl
done
SH

# run N: its output into $work/out.N; status into $work/status.N
run() {
	local n=$1 options=()
	[ $((n % 2)) = 0 ] || options=(--hot 200)
	timeout -k 10 "$SECONDS_EACH" "$DISCO" run --kernel "$KERNEL" --initrd "$INITRD" --disk "$IMAGE,mode=cow" --share "$work/share,ro" "${options[@]}" -- \
		sh /mnt/share/soak.sh "$ROUNDS" </dev/null >"$work/out.$n" 2>"$work/err.$n"
	echo "$? ${options[*]:-default tiers}" >"$work/status.$n"
}

verdict() {
	local n=$1 status what
	read -r status what <"$work/status.$n"
	[ "$status" = 0 ] || fail "run $n, $what: status $status (124, 137: it hung): $(tail -n 2 "$work/out.$n" "$work/err.$n" | tr '\n' ' ')"
	[ ! -s "$work/err.$n" ] || fail "run $n, $what: on standard error: $(head -n 2 "$work/err.$n")"
	same "run $n, $what, beside run 0" "$work/out.0" "$work/out.$n"
}

for ((n = 0; n < RUNS; n += JOBS)); do
	for ((k = n; k < n + JOBS && k < RUNS; k++)); do
		run $k &
	done
	wait
	for ((k = n; k < n + JOBS && k < RUNS; k++)); do
		verdict $k
	done
	echo "$(((n + JOBS) * ROUNDS)) of $((RUNS * ROUNDS)) rounds, $failures failed, $SECONDS s"
done
head -n 12 "$work/out.0"
finish
