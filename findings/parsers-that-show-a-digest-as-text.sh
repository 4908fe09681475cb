#!/usr/bin/env bash
# packages: mailparser 3.14.2, postal-mime 4.0.0, emailjs-mime-parser 2.0.7 (npm), Node.js 20; github.com/emersion/go-message v0.18.2 (Go
#   module); libmime-tools-perl 5.510-1 and what it depends on (Debian 12); the email package of python3.11 of Debian 12
#   (3.11.2), which is there
# behaviour: a part of multipart/digest that has no Content-Type is a message (RFC 2046 section 5.1.5). emailjs-mime-parser,
#   go-message and mailparser take it for text, header and all, so that two letters become one text without an end between them.
#   MIME-tools and Python's email hand over messages, and postal-mime shows each with its sender and subject.
# usual guess: a part without a type is text/plain, but in a digest: the one exception, which is as old as MIME.
# what follows: BODYSTRUCTURE of sallyport tells such a part as a message. A program that shows one text where the mailbox has two
#   letters reads by such a library.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
npm install --ignore-scripts --no-audit --no-fund mailparser@3.14.2 postal-mime@4.0.0 emailjs-mime-parser@2.0.7 >/dev/null 2>&1
missing=$(apt-get install -s --no-install-recommends libmime-tools-perl=5.510-1 2>/dev/null | awk '$1 == "Inst" && $2 != "libmime-tools-perl" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q libmime-tools-perl=5.510-1 $missing >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
printf '%s\r\n' 'From: list@example.org' 'Subject: digest' 'MIME-Version: 1.0' 'Content-Type: multipart/digest; boundary=b' '' \
	--b '' 'From: ann@example.org' 'Subject: first' '' one --b '' 'From: bob@example.org' 'Subject: second' '' two --b-- >letter
cat >python.py <<'PY'
from email import message_from_file

print(" ".join(part.get_content_type() for part in message_from_file(open("letter")).get_payload()))
PY
cat >tools.pl <<'PL'
use strict; use warnings; use MIME::Parser;
my $parser = MIME::Parser->new; $parser->output_to_core(1);
print join(' ', map { $_->effective_type } $parser->parse_open('letter')->parts), "\n";
PL
cat >mailparser.js <<'JS'
const { simpleParser } = require('mailparser')
simpleParser(require('fs').readFileSync('letter')).then(m => console.log(JSON.stringify(m.text), `${m.attachments.length} messages`))
JS
cat >postal-mime.mjs <<'JS'
import fs from 'node:fs'
import PostalMime from 'postal-mime'
const m = await PostalMime.parse(fs.readFileSync('letter'))
console.log(JSON.stringify(m.text), `${m.attachments.length} messages`)
JS
cat >emailjs.js <<'JS'
const parse = require('emailjs-mime-parser').default
console.log(parse(require('fs').readFileSync('letter')).childNodes.map(part => part.contentType.value).join(' '))
JS
cat >go.mod <<'MOD'
module try

go 1.25.0

require github.com/emersion/go-message v0.18.2
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-message"
)

func main() {
	f, err := os.Open("letter")
	if err != nil {
		panic(err)
	}
	e, err := message.Read(f)
	if err != nil {
		panic(err)
	}
	r := e.MultipartReader()
	for {
		part, err := r.NextPart()
		if err != nil {
			break
		}
		kind, _, _ := part.Header.ContentType()
		fmt.Print(kind, " ")
	}
	fmt.Println()
}
GO
export GOFLAGS=-mod=mod GOPATH=$dir/go
go mod tidy >/dev/null 2>&1
{
	echo "Python's email: $(/usr/bin/python3 python.py)"
	echo "MIME-tools:     $(PERL5LIB=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/5.* | tr ' ' ':') perl tools.pl)"
	echo "emailjs:        $(timeout 30 node emailjs.js)"
	echo "go-message:     $(go run . | sed 's/ *$//')"
	echo "mailparser:     $(timeout 30 node mailparser.js)"
	echo "postal-mime:    $(timeout 30 node postal-mime.mjs)"
} | tee out
diff out - <<'WANT'
Python's email: message/rfc822 message/rfc822
MIME-tools:     message/rfc822 message/rfc822
emailjs:        text/plain text/plain
go-message:     text/plain text/plain
mailparser:     "From: ann@example.org\nSubject: first\n\none\nFrom: bob@example.org\nSubject: second\n\ntwo" 0 messages
postal-mime:    "\n------------------------\nFrom:    ann@example.org\nSubject: first\n------------------------\n\none\n\n\n------------------------\nFrom:    bob@example.org\nSubject: second\n------------------------\n\ntwo\n" 0 messages
WANT
