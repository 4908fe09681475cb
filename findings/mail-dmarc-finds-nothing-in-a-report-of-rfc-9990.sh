#!/usr/bin/env bash
# packages: libmail-dmarc-perl 1.20211209-4 (Debian 12) and what it depends on;
#   dmarc-cat 0.15.0-1+b4, libgpgme11, libassuan0, libgpg-error0 (Debian 12)
# versions: Mail::DMARC 1.20211209, dmarc-cat 0.15.0
# behaviour: RFC 9990 has an aggregate report declare its namespace. Mail::DMARC asks for elements in
#   none: in a report with the namespace it finds nothing and raises an error, and it takes the same
#   report without that one attribute. dmarc-cat takes both.
# usual guess: what reads the reports of RFC 7489 reads those of RFC 9990, which keeps the names of the elements.
# what follows: sallyport declares the namespace, as the RFC says, and its own reader goes by local names. A
#   domain owner who misses our reports in such a database finds them in his mailbox.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
missing=$(apt-get install -s --no-install-recommends libmail-dmarc-perl=1.20211209-4 2>/dev/null | awk '$1 == "Inst" && $2 != "libmail-dmarc-perl" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q libmail-dmarc-perl=1.20211209-4 $missing dmarc-cat=0.15.0-1+b4 libgpgme11 libassuan0 libgpg-error0 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
cat >plain.xml <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<feedback>
 <version>1.0</version>
 <report_metadata>
  <org_name>receiver.example</org_name><email>dmarc@receiver.example</email><report_id>1</report_id>
  <date_range><begin>1795824000</begin><end>1795910399</end></date_range>
 </report_metadata>
 <policy_published><domain>example.org</domain><p>none</p><sp>none</sp><adkim>r</adkim><aspf>r</aspf></policy_published>
 <record>
  <row><source_ip>192.0.2.1</source_ip><count>2</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
  <identifiers><header_from>example.org</header_from><envelope_from>example.org</envelope_from></identifiers>
  <auth_results>
   <dkim><domain>example.org</domain><selector>s</selector><result>pass</result></dkim>
   <spf><domain>example.org</domain><result>fail</result></spf>
  </auth_results>
 </record>
</feedback>
XML
sed 's|<feedback>|<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">|' plain.xml >namespace.xml
cat >read.pl <<'PL'
use strict; use warnings;
use Mail::DMARC::Report::Receive;
# What was read is looked at where it would be put into the database.
{ no warnings 'redefine'; *Mail::DMARC::Report::save_aggregate = sub { 1 }; }
open my $file, '<', $ARGV[0] or die; local $/; my $xml = <$file>;
my $reader = Mail::DMARC::Report::Receive->new;
if (eval { $reader->handle_body($xml); 1 }) {
    print "takes ", scalar @{ $reader->report->aggregate->record }, " record\n";
} else {
    print "raises an error\n";
}
PL
lib=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/5.* | tr ' ' ':')
so=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:)
cat_of() { # XML
	local name='receiver.example!example.org!1795824000!1795910399.xml.gz' said
	gzip -c "$1" >"$name"
	said=$(LD_LIBRARY_PATH=$so timeout 60 root/usr/bin/dmarc-cat -N "$name" 2>&1) || true
	case $said in
	*"Reports(1)"*) echo "takes 1 record" ;;
	*) echo "$said" ;;
	esac
}
{
	echo "Mail::DMARC, plain:          $(PERL5LIB=$lib perl read.pl plain.xml)"
	echo "Mail::DMARC, with namespace: $(PERL5LIB=$lib perl read.pl namespace.xml)"
	echo "dmarc-cat, plain:            $(cat_of plain.xml)"
	echo "dmarc-cat, with namespace:   $(cat_of namespace.xml)"
} | tee out
diff out - <<'WANT'
Mail::DMARC, plain:          takes 1 record
Mail::DMARC, with namespace: raises an error
dmarc-cat, plain:            takes 1 record
dmarc-cat, with namespace:   takes 1 record
WANT
