#!/usr/bin/env bash
# packages: libmail-dmarc-perl 1.20211209-4 (Debian 12) and what it depends on
# versions: Mail::DMARC 1.20211209
# behaviour: a record of an aggregate report has one dkim element for each signature of the
#   mail. Mail::DMARC takes domain, selector and result of the first one for each of them: a
#   record with a failed signature of one's own and a good one of the provider is kept as two
#   failed ones of one's own.
# usual guess: a reader of reports keeps each signature with its own result, since most mail
#   of providers bears two.
# what follows: the reader of 'sallyport dmarc report' keeps each signature with its own
#   result. Whoever reads the same reports with both sees them differ here.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
missing=$(apt-get install -s --no-install-recommends libmail-dmarc-perl=1.20211209-4 2>/dev/null | awk '$1 == "Inst" && $2 != "libmail-dmarc-perl" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q libmail-dmarc-perl=1.20211209-4 $missing >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
cat >report.xml <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<feedback>
 <version>1.0</version>
 <report_metadata>
  <org_name>receiver.example</org_name><email>dmarc@receiver.example</email><report_id>1</report_id>
  <date_range><begin>1795824000</begin><end>1795910399</end></date_range>
 </report_metadata>
 <policy_published><domain>example.org</domain><adkim>r</adkim><aspf>r</aspf><p>none</p><sp>none</sp><pct>100</pct></policy_published>
 <record>
  <row><source_ip>192.0.2.1</source_ip><count>2</count><policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row>
  <identifiers><header_from>example.org</header_from></identifiers>
  <auth_results>
   <dkim><domain>example.org</domain><selector>ours</selector><result>fail</result></dkim>
   <dkim><domain>provider.example</domain><selector>theirs</selector><result>pass</result></dkim>
   <spf><domain>example.org</domain><result>fail</result></spf>
  </auth_results>
 </record>
</feedback>
XML
cat >read.pl <<'PL'
use strict; use warnings;
use Mail::DMARC::Report::Receive;
# What was read is looked at where it would be put into the database.
{ no warnings 'redefine'; *Mail::DMARC::Report::save_aggregate = sub { 1 }; }
open my $file, '<', 'report.xml' or die; local $/; my $xml = <$file>;
my $reader = Mail::DMARC::Report::Receive->new;
$reader->handle_body($xml);
print "Mail::DMARC $Mail::DMARC::Report::Receive::VERSION\n";
for my $record (@{ $reader->report->aggregate->record }) {
    print "signature of $_->{domain}, selector $_->{selector}: $_->{result}\n" for @{ $record->auth_results->dkim };
}
PL
PERL5LIB=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/5.* | tr ' ' ':') perl read.pl | tee out
diff out - <<'WANT'
Mail::DMARC 1.20211209
signature of example.org, selector ours: fail
signature of example.org, selector ours: fail
WANT
