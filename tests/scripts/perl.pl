# Hashes, strings, sorting, regular expressions and a fork.
use strict;
use warnings;

$| = 1;
my %count;
my $seed = 12345;
sub next_number { $seed = ($seed * 1103515245 + 12345) % 2147483648; return $seed >> 8; }

for my $i (1 .. 200_000) {
    my $key = "key" . (next_number() % 50_000);
    push @{ $count{$key} }, $i if next_number() % 3;
    delete $count{$key} if next_number() % 11 == 0;
}
my $sum = 0;
for my $key (sort keys %count) { $sum = ($sum * 31 + scalar @{ $count{$key} }) % 1_000_003; }
print "keys ", scalar(keys %count), " sum $sum\n";

my $text = join ' ', map { "word$_" x (1 + $_ % 5) } 1 .. 20_000;
my $matches = () = $text =~ /(\w+?)\1+/g;
(my $shorter = $text) =~ s/word(\d)(\d*)/$2$1/g;
print "text ", length $text, " $matches ", length $shorter, "\n";

my @lines = sort { $a->[1] cmp $b->[1] || $a->[0] <=> $b->[0] }
    map { [ $_, substr($shorter, ($_ * 37) % 100_000, $_ % 60) ] } 1 .. 30_000;
print "first $lines[0][0], last $lines[-1][0]\n";

pipe(my $read, my $write) or die "pipe: $!";
my $child = fork() // die "fork: $!";
if ($child == 0) {
    close $read;
    %count = map { $_ => "x" x 100 } 1 .. 10_000;
    print $write scalar(keys %count), "\n";
    close $write;
    exit 3;
}
close $write;
my $mine = scalar keys %count;
chomp(my $theirs = <$read>);
waitpid $child, 0;
print "child $theirs, exit ", $? >> 8, ", parent still ", ($mine == keys %count ? "same" : "changed"), "\n";
print "shell ", `printf '%s' "from a shell"`, "\n";
