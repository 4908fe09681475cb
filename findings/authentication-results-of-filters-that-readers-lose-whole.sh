#!/usr/bin/env bash
# packages: opendkim 2.11.0~beta2-8+deb12u1, spamassassin 4.0.1-1~deb12u1 and what they depend on, python3-dnspython 2.3.0-1+deb12u1,
#   python3-authres 1.2.0-3, libmail-authenticationresults-perl 2.20230112-1, libclone-perl, libjson-perl (Debian 12);
#   mailauth 4.13.3 (npm), Node.js 20; github.com/emersion/go-msgauth v0.7.0 (Go module)
# versions: OpenDKIM 2.11.0, mailauth 4.13.3 (the newest for Node.js 20); authres 1.2.0, Mail::AuthenticationResults 2.20230112, go-msgauth 0.7.0,
#   SpamAssassin 4.0.1 (its plugin AuthRes)
# behaviour: OpenDKIM that validates writes "dkim=pass (2048-bit key; unprotected)". go-msgauth cuts a field at each semicolon, that
#   in the comment too, and raises an error: it has no domain for the signature, and no result of what stands behind. mailauth
#   writes a result of BIMI, and header.d for DMARC. SpamAssassin knows neither, and for one thing that it does not know it drops the
#   field whole, the results of SPF, DKIM and DMARC with it, and says nothing.
# usual guess: a reader skips a comment, and a method or property that it does not know (RFC 8601 sections 2.2 and 2.7), and was
#   tried with the fields of the filters that are most in use.
# what follows: sallyport writes no semicolon, equals sign or quote into a comment, and SPF, DKIM and DMARC alone, with properties
#   that each of these readers knows.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
missing=$(apt-get install -s --no-install-recommends opendkim=2.11.0~beta2-8+deb12u1 spamassassin=4.0.1-1~deb12u1 2>/dev/null |
	awk '$1 == "Inst" && $2 != "opendkim" && $2 != "spamassassin" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q opendkim=2.11.0~beta2-8+deb12u1 spamassassin=4.0.1-1~deb12u1 $missing python3-dnspython=2.3.0-1+deb12u1 \
	python3-authres=1.2.0-3 libmail-authenticationresults-perl=2.20230112-1 libclone-perl libjson-perl >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
npm install --ignore-scripts --no-audit --no-fund mailauth@4.13.3 >/dev/null 2>&1
so=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:)
export PYTHONPATH=$dir/root/usr/lib/python3/dist-packages PERL5LIB
PERL5LIB=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/5.* | tr ' ' ':')
openssl genrsa -traditional -out key.pem 2048 2>/dev/null
chmod 600 key.pem
echo "v=DKIM1; p=$(openssl rsa -in key.pem -pubout -outform DER 2>/dev/null | base64 -w0)" >record

cat >nameserver.py <<'PY'
# Answers each question for TXT with the one record.
import os, socket
import dns.message, dns.rrset

record = open("record").read().strip()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
open("port.new", "w").write(str(s.getsockname()[1]))
os.rename("port.new", "port")
while True:
    asked, who = s.recvfrom(4096)
    question = dns.message.from_wire(asked)
    answer = dns.message.make_response(question, recursion_available=True)
    if question.question[0].rdtype == 16:
        strings = " ".join('"%s"' % record[i : i + 200] for i in range(0, len(record), 200))
        answer.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", "TXT", strings))
    s.sendto(answer.to_wire(), who)
PY
cat >opendkim.py <<'PY'
# Has OpenDKIM sign and then verify a message, and prints the field of results that it would insert.
import re, subprocess


def opendkim(mode, text):
    open("message", "w").write(text)
    said = subprocess.run(["root/usr/sbin/opendkim", "-x", mode, "-t", "message", "-vv"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout
    fields = dict(re.findall(r"hname='([A-Za-z-]+)' hvalue='(.*?)'\)?$", said, re.S | re.M))
    return fields, said


port = open("port").read()
open("unbound", "w").write('server:\n do-not-query-localhost: no\nforward-zone:\n name: "."\n forward-addr: 127.0.0.1@%s\n' % port)
common = "Syslog no\nCanonicalization relaxed/simple\n"
open("sign", "w").write(common + "Mode s\nDomain example.org\nSelector s\nKeyFile key.pem\nRequireSafeKeys no\n")
open("verify", "w").write(common + "Mode v\nAuthservID mx.example.net\nResolverConfiguration unbound\n")
letter = "From: someone@example.org\nSubject: x\nDate: Sun, 29 Nov 2026 15:04:05 +0000\n\nhello\n"
fields, said = opendkim("sign", letter)
fields, said = opendkim("verify", "DKIM-Signature:%s\n%s" % (fields["DKIM-Signature"], letter))
assert "Authentication-Results" in fields, said
# What another filter found out stands behind it, where one field is written for all.
print(" ".join(fields["Authentication-Results"].split()) + "; spf=pass smtp.mailfrom=example.org")
PY
cat >mailauth.js <<'JS'
const { authenticate } = require('mailauth')
const records = { 'example.org': 'v=spf1 ip4:192.0.2.1 -all', '_dmarc.example.org': 'v=DMARC1; p=none' }
async function resolver (name, type) {
  if (type === 'TXT' && records[name]) return [[records[name]]]
  throw Object.assign(new Error('nothing'), { code: 'ENOTFOUND' })
}
const letter = 'From: someone@example.org\r\nSubject: x\r\n\r\nhello\r\n'
authenticate(letter, { ip: '192.0.2.1', helo: 'mail.example.org', mta: 'mx.example.net', sender: 'someone@example.org', resolver }).then(found => {
  const field = found.headers.match(/^Authentication-Results:((?:.|\r\n[ \t])*)/m)[1]
  console.log(field.replace(/\s+/g, ' ').trim())
})
JS
cat >read.py <<'PY'
import sys
import authres

field = authres.AuthenticationResultsHeader.parse("Authentication-Results: " + sys.argv[1])
print(" ".join("%s=%s" % (r.method, r.result) for r in field.results))
PY
cat >read.pl <<'PL'
use strict; use warnings; use Mail::AuthenticationResults::Parser;
my $field = Mail::AuthenticationResults::Parser->new->parse($ARGV[0]);
print join(' ', map { $_->key . '=' . $_->value } @{ $field->children }), "\n";
PL
cat >spamassassin.pl <<'PL'
use strict; use warnings;
use Mail::SpamAssassin; use Mail::SpamAssassin::PerMsgStatus;
my $sa = Mail::SpamAssassin->new({ config_text => "loadplugin Mail::SpamAssassin::Plugin::AuthRes\nauthres_networks all\n", local_tests_only => 1,
    dont_copy_prefs => 1, userprefs_filename => '/dev/null', userstate_dir => $ENV{PWD}, LOCAL_STATE_DIR => "$ENV{PWD}/nothing" });
$sa->init(0);
my $mail = $sa->parse("Authentication-Results: $ARGV[0]\nFrom: someone\@example.org\nSubject: x\n\nhello\n");
my $status = Mail::SpamAssassin::PerMsgStatus->new($sa, $mail);
$status->extract_message_metadata;
my $found = $status->{authres_result} || {};
print join(' ', map { "$_=$found->{$_}" } sort keys %$found) || 'nothing', "\n";
PL
cat >go.mod <<'MOD'
module try

go 1.25.0

require github.com/emersion/go-msgauth v0.7.0
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-msgauth/authres"
)

func main() {
	_, all, err := authres.Parse(os.Args[1])
	for _, r := range all {
		switch r := r.(type) {
		case *authres.DKIMResult:
			fmt.Printf("dkim=%s of %q ", r.Value, r.Domain)
		case *authres.SPFResult:
			fmt.Printf("spf=%s ", r.Value)
		case *authres.DMARCResult:
			fmt.Printf("dmarc=%s ", r.Value)
		case *authres.ARCResult:
			fmt.Printf("arc=%s ", r.Value)
		case *authres.GenericResult:
			fmt.Printf("%s=%s ", r.Method, r.Value)
		}
	}
	if err != nil {
		fmt.Print("and an error")
	}
	fmt.Println()
}
GO
export GOFLAGS=-mod=mod GOPATH=$dir/go
go mod tidy >/dev/null 2>&1
go build -o read-go . >/dev/null 2>&1
timeout 300 /usr/bin/python3 nameserver.py &
server=$!
for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
readers() { # FIELD
	echo "  authres:                     $(/usr/bin/python3 read.py "$1")"
	echo "  Mail::AuthenticationResults: $(perl read.pl "$1")"
	echo "  go-msgauth:                  $(./read-go "$1" | sed "s, *$,,")"
	echo "  SpamAssassin:                $(perl spamassassin.pl "$1" 2>/dev/null)"
}
opendkim=$(LD_LIBRARY_PATH=$so /usr/bin/python3 opendkim.py)
mailauth=$(node mailauth.js)
{
	echo "OpenDKIM: $(sed -E 's/header.b=("?)[^ ";]*/header.b=\1…/' <<<"$opendkim")"
	readers "$opendkim"
	echo "the same without the comment"
	readers "$(sed 's/ ([^)]*)//' <<<"$opendkim")"
	echo "mailauth: $mailauth"
	readers "$mailauth"
	echo "the same without the result of BIMI"
	readers "${mailauth%; bimi=*}"
	echo "and without header.d"
	readers "${mailauth% header.d=*}"
} | tee out
diff out - <<'WANT'
OpenDKIM: mx.example.net; dkim=pass (2048-bit key; unprotected) header.d=example.org header.i=@example.org header.a=rsa-sha256 header.s=s header.b=…; dkim-atps=neutral; spf=pass smtp.mailfrom=example.org
  authres:                     dkim=pass dkim-atps=neutral spf=pass
  Mail::AuthenticationResults: dkim=pass dkim-atps=neutral spf=pass
  go-msgauth:                  dkim=pass of "" and an error
  SpamAssassin:                dkim=pass dkim-atps=neutral spf=pass
the same without the comment
  authres:                     dkim=pass dkim-atps=neutral spf=pass
  Mail::AuthenticationResults: dkim=pass dkim-atps=neutral spf=pass
  go-msgauth:                  dkim=pass of "example.org" dkim-atps=neutral spf=pass
  SpamAssassin:                dkim=pass dkim-atps=neutral spf=pass
mailauth: mx.example.net; dkim=none (message not signed); spf=pass (mx.example.net: domain of someone@example.org designates 192.0.2.1 as permitted sender) smtp.mailfrom=someone@example.org smtp.helo=mail.example.org; dmarc=pass (p=NONE arc=none) header.from=example.org header.d=example.org; bimi=skipped (too lax DMARC policy)
  authres:                     dkim=none spf=pass dmarc=pass bimi=skipped
  Mail::AuthenticationResults: dkim=none spf=pass dmarc=pass bimi=skipped
  go-msgauth:                  dkim=none of "" spf=pass dmarc=pass bimi=skipped
  SpamAssassin:                nothing
the same without the result of BIMI
  authres:                     dkim=none spf=pass dmarc=pass
  Mail::AuthenticationResults: dkim=none spf=pass dmarc=pass
  go-msgauth:                  dkim=none of "" spf=pass dmarc=pass
  SpamAssassin:                nothing
and without header.d
  authres:                     dkim=none spf=pass dmarc=pass
  Mail::AuthenticationResults: dkim=none spf=pass dmarc=pass
  go-msgauth:                  dkim=none of "" spf=pass dmarc=pass
  SpamAssassin:                dkim=none dmarc=pass spf=pass
WANT
