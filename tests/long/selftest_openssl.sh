#!/bin/sh
# SPDX-License-Identifier: MIT
# OpenSSL checks itself: published digests, ciphers there and back, signatures made and checked, and refused when altered.
set -eu
dir=$(mktemp -d)
cd "$dir"
n=0
# is TEXT GOT WANT
is() {
	[ "$2" = "$3" ] || {
		echo "$1: $2, not $3"
		exit 1
	}
	n=$((n + 1))
}
digest() { printf %s "$2" | openssl dgst "-$1" | sed 's/.*= //'; }
# FIPS 180-4, FIPS 202 and RFC 1321 examples
is sha256 "$(digest sha256 abc)" ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
is sha1 "$(digest sha1 abc)" a9993e364706816aba3e25717850c26c9cd0d89d
is md5 "$(digest md5 abc)" 900150983cd24fb0d6963f7d28e17f72
is sha3-256 "$(digest sha3-256 abc)" 3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532
is sha512 "$(digest sha512 abc | cut -c 1-32)" ddaf35a193617abacc417349ae204131
# FIPS 197, appendix C
is aes-128 "$(printf '\000\021\042\063\104\125\146\167\210\231\252\273\314\335\356\377' |
	openssl enc -aes-128-ecb -nopad -K 000102030405060708090a0b0c0d0e0f | od -An -tx1 | tr -d ' \n')" \
	69c4e0d86a7b0430d8cdb78070b4c55a
openssl rand -out data 1000000
sum=$(openssl dgst -sha256 <data)
for cipher in aes-128-cbc aes-256-ctr camellia-256-cbc chacha20 aria-128-cbc; do
	openssl enc "-$cipher" -pbkdf2 -iter 10 -pass pass:x -in data -out sealed
	is "$cipher" "$(openssl enc -d "-$cipher" -pbkdf2 -iter 10 -pass pass:x -in sealed | openssl dgst -sha256)" "$sum"
done
# sign NAME KEY
sign() {
	openssl pkey -in "$2" -pubout -out public
	openssl dgst -sha256 -sign "$2" -out signature data
	is "$1" "$(openssl dgst -sha256 -verify public -signature signature data)" "Verified OK"
	is "$1, other data" "$(openssl dgst -sha256 -verify public -signature signature sealed >/dev/null 2>&1 || echo refused)" \
		refused
}
openssl genrsa -out rsa 2048 2>/dev/null
openssl rsa -in rsa -check -noout >check 2>&1
is "rsa key" "$(grep -c 'RSA key ok' check)" 1
sign rsa rsa
openssl ecparam -name prime256v1 -genkey -noout -out p256
sign p256 p256
openssl ecparam -name secp384r1 -genkey -noout -out p384
sign p384 p384
openssl genpkey -algorithm ed25519 -out ed 2>/dev/null
openssl pkey -in ed -pubout -out public
openssl pkeyutl -sign -rawin -inkey ed -in check -out signature
is ed25519 "$(openssl pkeyutl -verify -rawin -pubin -inkey public -in check -sigfile signature)" \
	"Signature Verified Successfully"
# both ends of X25519 find the same secret
for i in 1 2; do
	openssl genpkey -algorithm x25519 -out "x$i" 2>/dev/null
	openssl pkey -in "x$i" -pubout -out "x$i.pub"
done
openssl pkeyutl -derive -inkey x1 -peerkey x2.pub -out s1
openssl pkeyutl -derive -inkey x2 -peerkey x1.pub -out s2
is x25519 "$(openssl dgst -sha256 <s1)" "$(openssl dgst -sha256 <s2)"
cd /
rm -rf "$dir"
echo "$n checks passed"
