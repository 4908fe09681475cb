#!/usr/bin/env bash
# packages: libmail-authenticationresults-perl 2.20230112-1, libclone-perl 0.46-1,
#   libjson-perl 4.10000-1, python3-authres 1.2.0-3 (Debian 12)
# versions: Mail::AuthenticationResults 2.20230112 (of Authentication Milter), authres 1.2.0
# behaviour: an IPv6 address holds colons, so that RFC 8601 §2.2 wants it quoted as a value:
#   policy.iprev="2001:db8::1". Mail::AuthenticationResults reads that, and writes it without
#   the quotes. authres takes the quoted field, and raises a syntax error for the whole field
#   that the other wrote: every result in it is lost, those of SPF and DMARC too.
# usual guess: a field that a library for the purpose has read and written again says the
#   same to the next reader.
# what follows: sallyport quotes every value that is no token, in a field of its own that is
#   put on top and never written again.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -q libmail-authenticationresults-perl=2.20230112-1 libclone-perl libjson-perl python3-authres=1.2.0-3 >/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
cat >again.pl <<'PL'
use Mail::AuthenticationResults::Parser;
print Mail::AuthenticationResults::Parser->new->parse($ARGV[0])->as_string;
PL
cat >read.py <<'PY'
import sys
import authres

try:
    field = authres.AuthenticationResultsHeader.parse("Authentication-Results: " + sys.argv[1])
    print(", ".join("%s=%s" % (r.method, r.result) for r in field.results))
except authres.SyntaxError as e:
    print("nothing: syntax error")
PY
perl_lib=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/*)
field='mx.example.org; iprev=pass policy.iprev="2001:db8::1"; spf=pass smtp.mailfrom=example.net'
again=$(PERL5LIB=$perl_lib perl again.pl "$field" | tr -s '\r\n\t ' ' ')
{
	echo "first:          $field"
	echo "authres reads:  $(PYTHONPATH=$dir/root/usr/lib/python3/dist-packages /usr/bin/python3 read.py "$field")"
	echo "written again:  $again"
	echo "authres reads:  $(PYTHONPATH=$dir/root/usr/lib/python3/dist-packages /usr/bin/python3 read.py "$again")"
} | tee out
sed -n 2p out | grep -qx 'authres reads:  iprev=pass, spf=pass'
sed -n 3p out | grep -q 'policy.iprev=2001:db8::1'
sed -n 4p out | grep -qx 'authres reads:  nothing: syntax error'
