# SPDX-License-Identifier: MIT
# Perl checks itself: arithmetic, strings, regular expressions, sorting, pack, big numbers, closures, files, processes.
use strict;
use warnings;
use Test::More;
use Math::BigInt;
use Math::BigFloat;
use Digest::SHA qw(sha1_hex sha256_hex sha512_hex);
use Digest::MD5 qw(md5_hex);
use MIME::Base64;
use Storable qw(freeze thaw);
use List::Util qw(sum first shuffle reduce);
use POSIX qw(floor ceil fmod strtol);
use Time::Local;

# FIPS 180-4, RFC 1321
is(sha1_hex("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d", "SHA-1");
is(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "SHA-256");
like(sha512_hex("abc"), qr/^ddaf35a193617aba.*2a9ac94fa54ca49f$/, "SHA-512");
is(sha1_hex("a" x 1_000_000), "34aa973cd4c4daa4f61eeb2bdbad27316534016f", "SHA-1 of a million");
is(md5_hex("message digest"), "f96b697d7cb7938d525a2f31aaf161d0", "MD5");
is(encode_base64(decode_base64(encode_base64(pack "C*", 0 .. 255))), encode_base64(pack "C*", 0 .. 255), "base64");

is(Math::BigInt->new(200)->bfac()->bstr() =~ tr/0//, 76, "zeroes of 200!");
is(Math::BigInt->new(2)->bpow(521)->bsub(1)->bmodpow(1, 1000007)->bstr(), Math::BigInt->new(2)->bpow(521)->bsub(1)->bmod(1000007)->bstr(), "modular power");
is((Math::BigInt->new("123456789012345678901234567890") * 987654321)->bstr(), "121932631124828532112482853211126352690", "big product");
is(substr(Math::BigFloat->new(2)->bsqrt(60)->bstr(), 0, 52), "1.41421356237309504880168872420969807856967187537694", "root of 2");

is(0.1 + 0.2 == 0.3 ? 1 : 0, 0, "binary fractions");
is(sprintf("%.17g", 0.1), "0.10000000000000001", "%.17g");
is(sprintf("%.15e", exp(1)), "2.718281828459045e+00", "e");
is(sprintf("%a", 1.5), "0x1.8p+0", "%a");
is(9**20, 1.21576654590569e+19, "power");
is(int(-7 / 2), -3, "int");
is(-7 % 3, 2, "modulus");
is(fmod(10.5, 3), 1.5, "fmod");
is(floor(-0.5) + ceil(-0.5), -1, "floor and ceil");
is(1e308 * 10, "Inf", "infinity");
is((9**9**9) / (9**9**9), "NaN", "not a number");
is(0xffffffff + 1, 4294967296, "beyond 32 bits");
is(~0 & 0xffffffff, 4294967295, "complement");
is(1 << 31, 2147483648, "shift");

my $text = join " ", map { "word$_" } 1 .. 20000;
is(scalar(() = $text =~ /\bword\d*7\b/g), 2000, "regular expression, 20000 words");
(my $copy = $text) =~ s/(\d+)/$1 * 2/ge;
like($copy, qr/ word40000$/, "substitution with code");
is(join(",", "2026-11-21" =~ /^(\d+)-(\d+)-(\d+)$/), "2026,11,21", "groups");
ok("((a)(b(c)))" =~ /^(\((?:[^()]++|(?1))*\))$/, "recursive pattern");
is(lc("ÀÉÎ" =~ s/[^\x00-\x7f]//gr . "ABC"), "abc", "bytes");

my @n = map { ($_ * 7919) % 100003 } 1 .. 100002;
my @sorted = sort { $a <=> $b } @n;
is_deeply(\@sorted, [1 .. 100002], "sort of a permutation");
is(sum(shuffle @sorted), 100002 * 100003 / 2, "sum");
is((reduce { $a ^ $b } @n), (reduce { $a ^ $b } 1 .. 100002), "xor");

my %h = map { $_ => $_ * $_ } 1 .. 50000;
is(scalar(keys %h), 50000, "hash");
is(scalar(grep { $h{$_} != $_ * $_ } keys %h), 0, "its values");
delete @h{ grep { $_ % 2 } keys %h };
is(scalar(keys %h), 25000, "after deleting half");
is_deeply(thaw(freeze(\%h)), \%h, "frozen and thawed");

is(unpack("H*", pack("nNvV", 1, 2, 3, 4)), "0001000000020300" . "04000000", "pack");
is(unpack("d", pack "d", -1.25e-300), -1.25e-300, "pack of a double");
is(unpack("%32b*", pack("N*", 1 .. 1000)), 4938, "bits of 1 .. 1000");

my @counters = map { my $n = $_; sub { $n++ } } 1 .. 100;
$_->() for (@counters) x 10;
is(sum(map { $_->() } @counters), 5050 + 1000, "closures");
my ($fib, %memo);
$fib = sub { my $n = shift; $n < 2 ? $n : $memo{$n} //= $fib->($n - 1) + $fib->($n - 2) };
is($fib->(78), 8944394323791464, "recursion with a memory");
is(eval { die { code => 42 } } || $@->{code}, 42, "exception");
is(timegm(0, 0, 0, 1, 0, 2000), 946684800, "calendar");

my $pid = fork // die;
exit 7 unless $pid;
waitpid $pid, 0;
is($? >> 8, 7, "a child's status");
open my $pipe, "-|", "echo", "through a pipe" or die;
is(join("", <$pipe>), "through a pipe\n", "pipe");
close $pipe;
my $signal = 0;
local $SIG{USR1} = sub { $signal++ };
kill "USR1", $$ for 1 .. 10;
cmp_ok($signal, ">=", 1, "signals");
done_testing;
