# SPDX-License-Identifier: MIT
# bench/vs-qemu's Perl program: how often each word, each pair and each ending occurs.
use strict;
use warnings;

my (%words, %pairs, %endings);
my ($last, $lines, $vowels) = ('', 0, 0);
open(my $in, '<', $ARGV[0]) or die "$ARGV[0]: $!\n";
while (my $line = <$in>) {
	last if ++$lines > 45000;
	$vowels++ while $line =~ /[aeiou]{2}/g;
	for my $word ($line =~ /\b([a-z]+)\b/gi) {
		$words{lc $word}++;
		$pairs{"$last $word"}++ if length($word) > 6;
		$endings{$1}++ if $word =~ /([^aeiou][aeiou][a-z])$/;
		$last = $word;
	}
}
print "$lines lines, $vowels vowel pairs\n";
for my $table (\%words, \%pairs, \%endings) {
	my @by_count = sort { $table->{$b} <=> $table->{$a} || $a cmp $b } keys %$table;
	print scalar(@by_count), ":";
	print " $_=$table->{$_}" for @by_count[0 .. 9];
	print "\n";
}
