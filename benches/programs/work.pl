# Hashes of arrays, splitting, joining, substitution and sorting.
use strict;
use warnings;

my (%by_key, @lines);
for my $n (1 .. 60000) {
    my $key = "key" . ($n * 7919 % 10007);
    push @{ $by_key{$key} }, { number => $n, text => "line $n of " . ("ab" x ($n % 13)) };
    push @lines, join ",", $key, $n, $n % 17, "x" x ($n % 29);
}
my %count;
for my $line (@lines) {
    my @fields = split /,/, $line;
    (my $copy = $fields[3] // "") =~ s/xx/y/g;
    $count{ length $copy } += $fields[1];
    $count{$1}++ if $line =~ /^key(\d\d)/;
}
my @sorted = sort { $a cmp $b } map { lc($_) . "-" . length } @lines;
my $sum = 0;
for my $key (sort keys %by_key) {
    $sum = ($sum * 31 + $_->{number} + length $_->{text}) % 1000003 for @{ $by_key{$key} };
}
print scalar(keys %by_key), " ", scalar(keys %count), " $sum $sorted[777]\n";
