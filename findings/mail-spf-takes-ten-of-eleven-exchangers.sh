#!/usr/bin/env bash
# packages: libmail-spf-perl 2.9.0-5 and what it depends on, python3-spf 2.0.14-5, python3-dnspython 2.3.0-1+deb12u1 (Debian 12)
# versions: Mail::SPF 2.9.0 (of SpamAssassin), pyspf 2.0.14
# behaviour: RFC 7208 §4.6.4 makes a domain whose "mx" has more than ten exchangers a permerror. Mail::SPF goes
#   on with ten of them, those that came first in the answer, whatever their preference, and passes or fails
#   by chance: a name server that rotates its answers has the same mail pass now and fail then. pyspf says permerror.
# usual guess: a bound of an RFC of 2014 is an error in each library, or in none, and the order of an answer
#   never matters.
# what follows: sallyport says permerror, and the result of no mail depends on an order.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
missing=$(apt-get install -s --no-install-recommends libmail-spf-perl=2.9.0-5 2>/dev/null | awk '$1 == "Inst" && $2 != "libmail-spf-perl" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q libmail-spf-perl=2.9.0-5 $missing python3-spf python3-dnspython=2.3.0-1+deb12u1 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
cat >check.pl <<'PL'
use strict; use warnings;
use Mail::SPF; use Net::DNS;
my ($ip, @hosts) = @ARGV;
my %zone = (
    'example.org TXT' => ['example.org. TXT "v=spf1 mx -all"'],
    'example.org MX'  => [map { "example.org. MX $_ mx$_.example.org." } @hosts],
    map { ("mx$_.example.org A" => ["mx$_.example.org. A 192.0.2.$_"]) } @hosts,
);
package Zone;
sub new { bless {}, shift }
sub errorstring { '' }
sub send {
    my ($self, $name, $type) = @_;
    $name =~ s/\.$//;
    my $packet = Net::DNS::Packet->new($name, $type);
    $packet->push(answer => map { Net::DNS::RR->new($_) } @{ $zone{"$name $type"} || [] });
    return $packet;
}
package main;
my $request = Mail::SPF::Request->new(scope => 'mfrom', identity => 'someone@example.org', ip_address => $ip, helo_identity => 'example.org');
print Mail::SPF::Server->new(dns_resolver => Zone->new)->process($request)->code, "\n";
PL
cat >check.py <<'PY'
import sys
import spf

ip, hosts = sys.argv[1], sys.argv[2:]
ZONE = {("example.org", "TXT"): [["v=spf1 mx -all"]], ("example.org", "MX"): [(int(n), "mx%s.example.org" % n) for n in hosts]}
ZONE.update({("mx%s.example.org" % n, "A"): ["192.0.2." + n] for n in hosts})
spf.DNSLookup = lambda name, qtype, *more, **named: [((name, qtype), v) for v in ZONE.get((name.rstrip("."), qtype), [])]
print(spf.check2(i=ip, s="someone@example.org", h="example.org")[0])
PY
export PYTHONPATH=$dir/root/usr/lib/python3/dist-packages
lib=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/5.* | tr ' ' ':')
both() { echo "Mail::SPF $(PERL5LIB=$lib perl check.pl "$@"), pyspf $(/usr/bin/python3 check.py "$@")"; }
{
	echo "ten exchangers, from the tenth:          $(both 192.0.2.10 1 2 3 4 5 6 7 8 9 10)"
	echo "eleven, from the first:                  $(both 192.0.2.1 1 2 3 4 5 6 7 8 9 10 11)"
	echo "the same eleven, the answer turned once: $(both 192.0.2.1 2 3 4 5 6 7 8 9 10 11 1)"
} | tee out
diff out - <<'WANT'
ten exchangers, from the tenth:          Mail::SPF pass, pyspf pass
eleven, from the first:                  Mail::SPF pass, pyspf permerror
the same eleven, the answer turned once: Mail::SPF fail, pyspf permerror
WANT
