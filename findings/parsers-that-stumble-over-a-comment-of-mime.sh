#!/usr/bin/env bash
# packages: mailparser 3.14.2, postal-mime 4.0.0, emailjs-mime-parser 2.0.7, letterparser 0.1.8 (npm), Node.js 20;
#   github.com/emersion/go-message v0.18.2, github.com/jhillyerd/enmime v1.3.0 (Go modules); libmime-tools-perl 5.510-1, libemail-mime-perl
#   1.953-1 and what they depend on (Debian 12); the email package of python3.11 of Debian 12 (3.11.2), which is there
# versions: MIME-tools 5.510, Email::MIME 1.953
# behaviour: a comment may stand in the fields of MIME as in other structured ones; 'charset=us-ascii (Plain text)' is the RFC's own example
#   of what equals 'charset="us-ascii"' (RFC 2045 section 5.1). With "(a note)" behind the boundary, emailjs-mime-parser, letterparser,
#   go-message, enmime and Python's email as message_from_bytes has it by default find no part of a multipart message. Behind
#   "base64" in Content-Transfer-Encoding, the same five and Email::MIME hand over the text undecoded. MIME-tools, mailparser and
#   postal-mime read both; Python's email with policy.default reads the first.
# usual guess: the one example that the RFC has of it is in the tests of whoever parses MIME.
# what follows: sallyport changes no field of MIME, and its own reader skips comments: BODYSTRUCTURE names the parts. A program that
#   shows an empty message where the server tells parts reads by such a library.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
npm install --ignore-scripts --no-audit --no-fund mailparser@3.14.2 postal-mime@4.0.0 emailjs-mime-parser@2.0.7 letterparser@0.1.8 >/dev/null 2>&1
missing=$(apt-get install -s --no-install-recommends libmime-tools-perl=5.510-1 libemail-mime-perl=1.953-1 2>/dev/null | awk '$1 == "Inst" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q libmime-tools-perl=5.510-1 libemail-mime-perl=1.953-1 $missing >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
head=('From: ann@example.org' 'Subject: x' 'MIME-Version: 1.0')
printf '%s\r\n' "${head[@]}" 'Content-Type: multipart/mixed; boundary=b (a note)' '' \
	--b 'Content-Type: text/plain' '' one --b 'Content-Type: text/plain' '' two --b-- >boundary
printf '%s\r\n' "${head[@]}" 'Content-Type: text/plain; charset=utf-8' 'Content-Transfer-Encoding: base64 (a note)' '' "$(printf hello | base64)" >encoding
# Each program prints the text that it has of the message, on one line.
cat >python.py <<'PY'
import sys
from email import message_from_bytes, policy

m = message_from_bytes(open(sys.argv[2], "rb").read(), policy=getattr(policy, sys.argv[1]))
parts = [p.get_payload(decode=True) for p in m.walk() if p.get_content_type() == "text/plain"]
print(b" ".join(p.strip() for p in parts).decode())
PY
cat >tools.pl <<'PL'
use strict; use warnings; use MIME::Parser;
my $parser = MIME::Parser->new; $parser->output_to_core(1);
my $m = $parser->parse_open($ARGV[0]);
print join(' ', map { $_->bodyhandle->as_string =~ s/\s+$//r } $m->parts ? $m->parts : $m), "\n";
PL
cat >email-mime.pl <<'PL'
use strict; use warnings; use Email::MIME; local $/;
open my $f, '<:raw', $ARGV[0] or die;
my $m = do { my $text = <$f>; $/ = "\n"; Email::MIME->new($text) };
print join(' ', map { $_->body_str =~ s/\s+$//r } $m->subparts ? $m->subparts : $m), "\n";
PL
cat >mailparser.js <<'JS'
require('mailparser').simpleParser(require('fs').readFileSync(process.argv[2])).then(m => console.log((m.text || '').split(/\s+/).join(' ').trim()))
JS
cat >postal-mime.mjs <<'JS'
import fs from 'node:fs'
import PostalMime from 'postal-mime'
console.log(((await PostalMime.parse(fs.readFileSync(process.argv[2]))).text || '').split(/\s+/).join(' ').trim())
JS
cat >emailjs.js <<'JS'
const leaves = n => n.childNodes.length ? n.childNodes.flatMap(leaves) : [Buffer.from(n.content || '').toString().trim()]
console.log(leaves(require('emailjs-mime-parser').default(require('fs').readFileSync(process.argv[2]))).join(' '))
JS
cat >letterparser.mjs <<'JS'
import fs from 'node:fs'
import { extract } from 'letterparser'
try {
  console.log(extract(fs.readFileSync(process.argv[2], 'utf8')).text.split(/\s+/).join(' ').trim())
} catch (err) {
  console.log()
}
JS
cat >go.mod <<'MOD'
module try

go 1.25.0

require (
	github.com/emersion/go-message v0.18.2
	github.com/jhillyerd/enmime v1.3.0
)
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/emersion/go-message"
	"github.com/jhillyerd/enmime"
)

// texts gathers the texts of a message and its parts.
func texts(e *message.Entity) []string {
	r := e.MultipartReader()
	if r == nil {
		b, _ := io.ReadAll(e.Body)
		return []string{string(b)}
	}
	var all []string
	for {
		part, err := r.NextPart()
		if part == nil || err != nil {
			return all
		}
		all = append(all, texts(part)...)
	}
}

func main() {
	f, err := os.Open(os.Args[2])
	if err != nil {
		panic(err)
	}
	var text string
	if os.Args[1] == "enmime" {
		e, err := enmime.ReadEnvelope(f)
		if err != nil {
			panic(err)
		}
		text = e.Text
	} else {
		e, _ := message.Read(f) // beside the error is the message, undecoded
		text = strings.Join(texts(e), " ")
	}
	fmt.Println(strings.Join(strings.Fields(text), " "))
}
GO
export GOFLAGS=-mod=mod GOPATH=$dir/go
go mod tidy >/dev/null 2>&1
go build -o parse-go . >/dev/null 2>&1
PERL5LIB=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/5.* | tr ' ' ':')
export PERL5LIB
all() { # FILE
	echo "  MIME-tools:     $(perl tools.pl "$1")"
	echo "  mailparser:     $(timeout 30 node mailparser.js "$1")"
	echo "  postal-mime:    $(timeout 30 node postal-mime.mjs "$1")"
	echo "  email, default: $(/usr/bin/python3 python.py default "$1")"
	echo "  email:          $(/usr/bin/python3 python.py compat32 "$1")"
	echo "  Email::MIME:    $(perl email-mime.pl "$1")"
	echo "  emailjs:        $(timeout 30 node emailjs.js "$1")"
	echo "  letterparser:   $(timeout 30 node letterparser.mjs "$1")"
	echo "  go-message:     $(./parse-go go-message "$1")"
	echo "  enmime:         $(./parse-go enmime "$1")"
}
{
	echo 'boundary=b (a note)'
	all boundary
	echo 'base64 (a note)'
	all encoding
} | sed 's/ *$//' | tee out
diff out - <<'WANT'
boundary=b (a note)
  MIME-tools:     one two
  mailparser:     one two
  postal-mime:    one two
  email, default: one two
  email:
  Email::MIME:    one two
  emailjs:
  letterparser:
  go-message:
  enmime:
base64 (a note)
  MIME-tools:     hello
  mailparser:     hello
  postal-mime:    hello
  email, default: aGVsbG8=
  email:          aGVsbG8=
  Email::MIME:    aGVsbG8=
  emailjs:        aGVsbG8=
  letterparser:   aGVsbG8=
  go-message:     aGVsbG8=
  enmime:         aGVsbG8=
WANT
