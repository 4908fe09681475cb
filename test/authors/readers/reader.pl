# Reads header fields, one message after the other, with what Perl has.
use strict;
use warnings;
use JSON::PP;
my %readers;
if (eval { require Mail::Address; 1 }) {
	$readers{'perl Mail::Address'} = sub { map { $_->address } Mail::Address->parse($_[0]) };
}
if (eval { require Email::Address; 1 }) {
	$readers{'perl Email::Address'} = sub { map { $_->address } Email::Address->parse($_[0]) };
}
if (eval { require Email::Address::XS; 1 }) {
	$readers{'perl Email::Address::XS'} = sub { map { $_->address } grep { $_->is_valid } Email::Address::XS->parse($_[0]) };
}
$| = 1;
while (my $line = <STDIN>) {
	my $job = decode_json($line);
	my $raw = pack 'H*', $job->{raw};
	my ($section) = split /\r\n\r\n/, $raw;
	$section =~ s/\r\n(?=[ \t])//g;
	my (%out, @values);
	for (split /\r\n/, $section) {
		push @values, $1 if /^\Q$job->{name}\E:(.*)$/i;
	}
	for my $name (keys %readers) {
		my @found = eval { local $SIG{__WARN__} = sub { }; map { $readers{$name}->($_) } @values };
		$out{$name} = $@ ? undef : [grep { defined && length } @found];
	}
	print encode_json(\%out), "\n";
}
