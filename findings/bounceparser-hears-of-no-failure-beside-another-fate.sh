#!/usr/bin/env bash
# packages: libmail-deliverystatus-bounceparser-perl 1.543+repacked-1, libsisimai-perl 4.25.15-1 and what they depend on;
#   python3-flufl.bounce 4.0-3, python3-public 2.3-4, python3-zope.interface 5.5.2-1+b1 (Debian 12)
# versions: Mail::DeliveryStatus::BounceParser 1.543, Sisimai 4.25.15, flufl.bounce 4.0
# behaviour: a delivery status notification has a group of fields for each recipient, with an action of its own (RFC 3464 section
#   2.3). BounceParser stops at the first that is delayed, delivered or relayed: the report is no bounce then, and a
#   recipient that failed and stands behind is not told of at all. Sisimai and flufl.bounce tell each fate.
# usual guess: a reader of notifications goes by recipients, since one message may fail for one and reach the other.
# what follows: sallyport tells what failed, what is delayed and what arrived in notices of their own, so that a failure stands beside
#   failures alone.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
missing=$(apt-get install -s --no-install-recommends libmail-deliverystatus-bounceparser-perl=1.543+repacked-1 libsisimai-perl=4.25.15-1 2>/dev/null |
	awk '$1 == "Inst" && $2 != "libmail-deliverystatus-bounceparser-perl" && $2 != "libsisimai-perl" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q libmail-deliverystatus-bounceparser-perl=1.543+repacked-1 libsisimai-perl=4.25.15-1 $missing \
	python3-flufl.bounce=4.0-3 python3-public=2.3-4 python3-zope.interface=5.5.2-1+b1 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
cat >report.py <<'PY'
import sys

fates = {
    "failed": "Final-Recipient: rfc822; dead@example.net\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n",
    "relayed": "Final-Recipient: rfc822; fine@example.org\nAction: relayed\nStatus: 2.0.0\n",
}
print("""From: postmaster@mx.example.org
To: someone@example.com
Subject: Undelivered
Date: Sun, 29 Nov 2026 15:04:05 +0000
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It did not reach everybody.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

%s
--b
Content-Type: text/rfc822-headers

From: someone@example.com
Subject: x
Message-ID: <1@example.com>
--b--""" % "\n".join(fates[fate] for fate in sys.argv[1:]))
PY
cat >bounceparser.pl <<'PL'
use strict; no warnings; use Mail::DeliveryStatus::BounceParser;
local $/; my $bounce = Mail::DeliveryStatus::BounceParser->parse(scalar <STDIN>);
print $bounce->is_bounce ? "a bounce" : "no bounce", ", ", join(' ', map { $_->get('email') } $bounce->reports) || 'nobody', "\n";
PL
cat >sisimai.pl <<'PL'
use strict; use warnings; use Sisimai;
my $all = Sisimai->make('report', delivered => 1) || [];
print join(', ', map { $_->recipient->address . ' ' . $_->action } @$all) || 'nobody', "\n";
PL
cat >read-flufl.py <<'PY'
from email import message_from_file
from flufl.bounce import all_failures

_, failed = all_failures(message_from_file(open("report")))
print(" ".join(sorted(a.decode() for a in failed)) or "nobody")
PY
lib=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/5.* | tr ' ' ':')
{
	for fates in failed "failed relayed" "relayed failed"; do
		# shellcheck disable=SC2086
		/usr/bin/python3 report.py $fates >report
		echo "$fates"
		echo "  BounceParser: $(PERL5LIB=$lib perl bounceparser.pl <report)"
		echo "  Sisimai:      $(PERL5LIB=$lib perl sisimai.pl)"
		echo "  flufl.bounce: $(PYTHONPATH=$dir/root/usr/lib/python3/dist-packages /usr/bin/python3 read-flufl.py)"
	done
} | tee out
diff out - <<'WANT'
failed
  BounceParser: a bounce, dead@example.net
  Sisimai:      dead@example.net failed
  flufl.bounce: dead@example.net
failed relayed
  BounceParser: no bounce, dead@example.net
  Sisimai:      dead@example.net failed, fine@example.org relayed
  flufl.bounce: dead@example.net
relayed failed
  BounceParser: no bounce, nobody
  Sisimai:      fine@example.org relayed, dead@example.net failed
  flufl.bounce: dead@example.net
WANT
