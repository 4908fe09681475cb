#!/usr/bin/env bash
# packages: python3-flufl.bounce 4.0-3, python3-public 2.3-4, python3-zope.interface 5.5.2-1+b1 (Debian 12)
# versions: flufl.bounce 4.0, which Mailman uses
# behaviour: RFC 6533 reports about internationalised mail are message/global-delivery-status
#   instead of message/delivery-status, and name recipients as "utf-8; ADDRESS". flufl.bounce
#   finds no failed recipient in either: not in a global report about an ASCII address of the
#   type rfc822, and not in a plain report whose address is of the type utf-8.
# usual guess: whoever reads delivery status notifications reads both forms, which differ in
#   a name alone, so that the global one may be sent about any mail.
# what follows: sallyport sends the global form, and the type utf-8, only where the status part
#   names an address beyond ASCII, even about internationalised mail: a mailing list would go on
#   writing to a dead address.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -q python3-flufl.bounce=4.0-3 python3-public=2.3-4 python3-zope.interface=5.5.2-1+b1 >/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
cat >try.py <<'PY'
from email import message_from_string
from flufl.bounce import all_failures

REPORT = """From: postmaster@mx.example.org
To: list-bounces@example.com
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=%s; boundary="b"

--b
Content-Type: text/plain

It could not be delivered.
--b
Content-Type: message/%s

Reporting-MTA: dns; mx.example.org

Final-Recipient: %s; dead@example.net
Action: failed
Status: 5.1.1

--b
Content-Type: text/rfc822-headers

Subject: x
--b--
"""


def found(kind, address):
    _, failed = all_failures(message_from_string(REPORT % (kind, kind, address)))
    return " ".join(sorted(a.decode() for a in failed)) or "nobody"


print("plain report, rfc822: ", found("delivery-status", "rfc822"))
print("plain report, utf-8:  ", found("delivery-status", "utf-8"))
print("global report, rfc822:", found("global-delivery-status", "rfc822"))
print("global report, utf-8: ", found("global-delivery-status", "utf-8"))
PY
PYTHONPATH="$dir/root/usr/lib/python3/dist-packages" /usr/bin/python3 try.py | tee out
diff out - <<'WANT'
plain report, rfc822:  dead@example.net
plain report, utf-8:   nobody
global report, rfc822: nobody
global report, utf-8:  nobody
WANT
