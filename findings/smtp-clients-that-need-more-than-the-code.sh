#!/usr/bin/env bash
# packages: github.com/emersion/go-smtp v0.26.0 (Go module); emailjs 5.0.3, nodemailer 10.6.1 (npm), Node.js 20; msmtp 1.8.23-1
#   (Debian 12) and what it depends on; perl 5.36 (Net::SMTP) and python3.11 (smtplib) of Debian 12, which are there
# behaviour: RFC 5321 section 4.2 has a client go by the code alone, and any text acceptable, none at all as well: the blank
#   behind the code is part of the text. At "250" and the end of the line Go's net/smtp and go-smtp ("short response") and msmtp
#   ("invalid reply") give up, and emailjs waits until its time is over. smtplib, Net::SMTP and nodemailer send.
# usual guess: a client looks at three digits, and whether a hyphen follows them.
# what follows: each answer of sallyport has words behind its code. Its own client takes a bare code; a server that answers so does not
#   hear from half of the others.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
missing=$(apt-get install -s --no-install-recommends msmtp=1.8.23-1 2>/dev/null | awk '$1 == "Inst" && $2 != "msmtp" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q msmtp=1.8.23-1 $missing >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
so=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:)
npm install --ignore-scripts --no-audit --no-fund emailjs@5.0.3 nodemailer@10.6.1 >/dev/null 2>&1
cat >server.py <<'PY'
# Takes a message, and says no more of it than FORM has. Writes how many it has got.
import os, socket, sys, threading

form = sys.argv[1]
got = 0


def serve(conn):
    global got
    f = conn.makefile("rwb")

    def say(code):
        f.write(b"%d%s\r\n" % (code, form.encode()))
        f.flush()

    f.write(b"220 server.example ESMTP\r\n")
    f.flush()
    for line in f:
        verb = line[:4].upper()
        if verb in (b"EHLO", b"HELO"):
            f.write(b"250 server.example\r\n")
            f.flush()
        elif verb == b"DATA":
            say(354)
            for line in f:
                if line == b".\r\n":
                    break
            got += 1
            open("got", "w").write("taken")
            say(250)
        elif verb == b"QUIT":
            say(221)
            break
        else:
            say(250)
    f.close()
    conn.close()


def quietly(conn):
    try:
        serve(conn)
    except ConnectionError:
        pass  # the client has gone


ln = socket.create_server(("127.0.0.1", 0))
open("port.new", "w").write(str(ln.getsockname()[1]))
os.rename("port.new", "port")
while True:
    threading.Thread(target=quietly, args=(ln.accept()[0],), daemon=True).start()
PY
cat >go.mod <<'MOD'
module try

go 1.25.0

require github.com/emersion/go-smtp v0.26.0
MOD
cat >main.go <<'GO'
package main

import (
	"net/smtp"
	"os"
	"strings"

	emersion "github.com/emersion/go-smtp"
)

const from, to, letter = "someone@example.net", "other@example.org", "Subject: x\r\n\r\nhello\r\n"

func main() {
	library, addr := os.Args[1], "127.0.0.1:"+os.Args[2]
	if library == "net" {
		if smtp.SendMail(addr, nil, from, []string{to}, []byte(letter)) != nil {
			os.Exit(1)
		}
		return
	}
	c, err := emersion.Dial(addr)
	if err != nil {
		panic(err)
	}
	if c.SendMail(from, []string{to}, strings.NewReader(letter)) != nil {
		os.Exit(1)
	}
}
GO
cat >send.py <<'PY'
import smtplib, sys

c = smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=10)
c.sendmail("someone@example.net", ["other@example.org"], "Subject: x\r\n\r\nhello\r\n")
PY
cat >send.pl <<'PL'
use strict; use warnings; use Net::SMTP;
my $c = Net::SMTP->new('127.0.0.1', Port => $ARGV[0], Timeout => 10) or exit 1;
$c->mail('someone@example.net') && $c->to('other@example.org') && $c->data("Subject: x\n\nhello\n") or exit 1;
PL
cat >nodemailer.js <<'JS'
const transport = require('nodemailer').createTransport({ host: '127.0.0.1', port: process.argv[2], ignoreTLS: true, socketTimeout: 10000 })
transport.sendMail({ from: 'someone@example.net', to: 'other@example.org', subject: 'x', text: 'hello' }).then(() => process.exit(0), () => process.exit(1))
JS
cat >emailjs.mjs <<'JS'
import { SMTPClient } from 'emailjs'
const client = new SMTPClient({ host: '127.0.0.1', port: Number(process.argv[2]), timeout: 5000 })
client.sendAsync({ from: 'someone@example.net', to: 'other@example.org', subject: 'x', text: 'hello' }).then(() => process.exit(0), () => process.exit(1))
JS
cat >msmtp.sh <<'SH'
printf 'Subject: x\n\nhello\n' | root/usr/bin/msmtp --file=/dev/null --host=127.0.0.1 --port="$1" --timeout=10 --domain=client.example --from=someone@example.net other@example.org
SH
export GOFLAGS=-mod=mod GOPATH=$dir/go
go mod tidy >/dev/null 2>&1
go build -o send-go . >/dev/null 2>&1
one() { # COMMAND...
	rm -f got
	if timeout 30 "$@" "$(cat port)" >/dev/null 2>&1; then said=sent; else said=failed; fi
	echo "$said, $([ -e got ] && echo 'taken' || echo 'not taken')"
}
all() { # FORM
	rm -f port
	timeout 300 /usr/bin/python3 server.py "$1" &
	server=$!
	for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
	echo "  smtplib:    $(one /usr/bin/python3 send.py)"
	echo "  Net::SMTP:  $(one perl send.pl)"
	echo "  nodemailer: $(one node nodemailer.js)"
	echo "  emailjs:    $(one node emailjs.mjs)"
	echo "  msmtp:      $(LD_LIBRARY_PATH=$so one bash msmtp.sh)"
	echo "  net/smtp:   $(one ./send-go net)"
	echo "  go-smtp:    $(one ./send-go emersion)"
	kill "$server"
}
{
	echo 'answers of "250 fine"'
	all ' fine'
	echo 'answers of "250 " and no words'
	all ' '
	echo 'answers of "250" alone'
	all ''
} | tee out
diff out - <<'WANT'
answers of "250 fine"
  smtplib:    sent, taken
  Net::SMTP:  sent, taken
  nodemailer: sent, taken
  emailjs:    sent, taken
  msmtp:      sent, taken
  net/smtp:   sent, taken
  go-smtp:    sent, taken
answers of "250 " and no words
  smtplib:    sent, taken
  Net::SMTP:  sent, taken
  nodemailer: sent, taken
  emailjs:    sent, taken
  msmtp:      sent, taken
  net/smtp:   sent, taken
  go-smtp:    sent, taken
answers of "250" alone
  smtplib:    sent, taken
  Net::SMTP:  sent, taken
  nodemailer: sent, taken
  emailjs:    failed, not taken
  msmtp:      failed, not taken
  net/smtp:   failed, not taken
  go-smtp:    failed, not taken
WANT
