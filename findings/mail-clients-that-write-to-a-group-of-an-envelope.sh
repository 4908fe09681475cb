#!/usr/bin/env bash
# packages: emailjs-imap-client 3.1.0, imap 0.8.19, imapflow 2.10.2 (npm), Node.js 20; github.com/emersion/go-imap v1.2.1 and
#   github.com/emersion/go-imap/v2 v2.0.0-beta.8 (Go modules); libmail-imapclient-perl 3.43-1, libnet-imap-client-perl 0.9507-1 and what
#   they depend on (Debian 12)
# versions: node-imap 0.8.19, Mail::IMAPClient 3.43, Net::IMAP::Client 0.9507
# behaviour: ENVELOPE tells "Team: bob@example.net, cy@example.net;" as four addresses, of which the first has no host and the last
#   neither host nor mailbox (RFC 9051 section 7.5.2). emailjs-imap-client and Net::IMAP::Client hand over "Team@" and "@" as
#   recipients, Mail::IMAPClient "Team@NIL" and "NIL@NIL": who answers all writes to them. imapflow and go-imap 2 have recipients
#   whose address is empty (go-imap 2 says which are marks, if asked). node-imap has the group, and go-imap 1 leaves the marks out.
# usual guess: a library that makes addresses of an ENVELOPE knows the two marks, since "undisclosed-recipients:;" is one of the most
#   frequent recipients there are.
# what follows: sallyport tells groups as the RFC says. A reply by way of such a library names recipients that no server takes.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
npm install --ignore-scripts --no-audit --no-fund emailjs-imap-client@3.1.0 imap@0.8.19 imapflow@2.10.2 >/dev/null 2>&1
missing=$(apt-get install -s --no-install-recommends libmail-imapclient-perl=3.43-1 libnet-imap-client-perl=0.9507-1 2>/dev/null | awk '$1 == "Inst" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q libmail-imapclient-perl=3.43-1 libnet-imap-client-perl=0.9507-1 $missing >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
cat >server.py <<'PY'
# Is an IMAP server with one letter, whose ENVELOPE has a group.
import os, re, socket, threading

ANN = b'(("Ann" NIL "ann" "example.org"))'
TO = b'((NIL NIL "Team" NIL)("Bob" NIL "bob" "example.net")(NIL NIL "cy" "example.net")(NIL NIL NIL NIL))'
ENVELOPE = b'("Mon, 30 Nov 2026 10:00:00 +0000" "x" ' + b" ".join((ANN, ANN, ANN, TO)) + b' NIL NIL NIL "<1@example.org>")'
ANSWERS = {
    b"CAPABILITY": b"* CAPABILITY IMAP4rev1 NAMESPACE\r\n",
    b"NAMESPACE": b'* NAMESPACE (("" "/")) NIL NIL\r\n',
    b"LIST": b'* LIST () "/" INBOX\r\n',
    b"LSUB": b'* LSUB () "/" INBOX\r\n',
    b"SELECT": b"* FLAGS (\\Seen)\r\n* 1 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 2] ok\r\n",
    b"LOGOUT": b"* BYE bye\r\n",
}
ANSWERS[b"EXAMINE"] = ANSWERS[b"SELECT"]


def item(asked, name, value):
    return name + b" " + value + b" " if name in asked else b""


def serve(conn):
    f = conn.makefile("rwb")

    def say(text):
        f.write(text)
        f.flush()

    say(b"* OK [CAPABILITY IMAP4rev1 NAMESPACE] hello\r\n")
    for line in f:
        literal = re.search(rb"\{(\d+)\}\r\n$", line)
        while literal:
            say(b"+ go on\r\n")
            rest = f.read(int(literal[1])) + f.readline()
            literal, line = re.search(rb"\{(\d+)\}\r\n$", rest), line + rest
        tag, command = line.split()[0], line.split()[1].upper()
        asked = line.upper()
        if b"FETCH" in asked:
            say(b"* 1 FETCH (" + item(asked, b"FLAGS", b"(\\Seen)") + item(asked, b"INTERNALDATE", b'"30-Nov-2026 10:00:00 +0000"') +
                item(asked, b"RFC822.SIZE", b"60") + item(asked, b"BODYSTRUCTURE", b'("TEXT" "PLAIN" NIL NIL NIL "7BIT" 7 1 NIL NIL NIL NIL)') +
                item(asked, b"ENVELOPE", ENVELOPE) + b"UID 1)\r\n")
        say(ANSWERS.get(command, b"") + tag + b" OK done\r\n")
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
cat >node-imap.js <<'JS'
const Imap = require('imap')
const c = new Imap({ host: '127.0.0.1', port: process.argv[2], user: 'someone', password: 'a password', tls: false })
const mail = a => a.mailbox + '@' + a.host
c.once('ready', () => c.openBox('INBOX', true, () => {
  const f = c.seq.fetch('1', { envelope: true })
  f.on('message', m => m.on('attributes', ({ envelope }) => console.log(
    envelope.to.map(a => a.group === undefined ? `[${mail(a)}]` : `group ${a.group} of ${a.addresses.map(x => `[${mail(x)}]`).join(' ')}`).join(' '))))
  f.once('end', () => process.exit())
}))
c.connect()
JS
cat >imapflow.js <<'JS'
const { ImapFlow } = require('imapflow')
async function main () {
  const c = new ImapFlow({ host: '127.0.0.1', port: Number(process.argv[2]), secure: false, doSTARTTLS: false, auth: { user: 'someone', pass: 'a password' }, logger: false })
  await c.connect()
  await c.mailboxOpen('INBOX')
  const { envelope } = await c.fetchOne('1', { envelope: true })
  console.log(envelope.to.map(a => `[${a.address}]`).join(' '))
  process.exit()
}
main()
JS
cat >emailjs.js <<'JS'
const Client = require('emailjs-imap-client').default
async function main () {
  const c = new Client('127.0.0.1', Number(process.argv[2]), { auth: { user: 'someone', pass: 'a password' }, useSecureTransport: false, ignoreTLS: true })
  c.logLevel = c.LOG_LEVEL_NONE
  await c.connect()
  await c.selectMailbox('INBOX')
  const [{ envelope }] = await c.listMessages('INBOX', '1', ['uid', 'envelope'])
  console.log(envelope.to.map(a => `[${a.address}]`).join(' '))
  process.exit()
}
main()
JS
cat >imapclient.pl <<'PL'
use strict; use warnings; use Mail::IMAPClient;
my $c = Mail::IMAPClient->new(Server => '127.0.0.1', Port => $ARGV[0], User => 'someone', Password => 'a password') or die;
$c->select('INBOX');
print join(' ', map { "[$_]" } map { /<(.*)>/ ? $1 : $_ } $c->get_envelope(1)->to_addresses), "\n";
PL
cat >client.pl <<'PL'
use strict; use warnings; use Net::IMAP::Client;
my $c = Net::IMAP::Client->new(server => '127.0.0.1', port => $ARGV[0], user => 'someone', pass => 'a password') or die;
$c->login or die;
$c->select('INBOX');
print join(' ', map { "[" . $_->email . "]" } @{ $c->get_summaries([1])->[0]->to }), "\n";
PL
mkdir go1 go2
cat >go1/go.mod <<'MOD'
module try

go 1.25.0

require github.com/emersion/go-imap v1.2.1
MOD
cat >go1/main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-imap"
	"github.com/emersion/go-imap/client"
)

func main() {
	c, err := client.Dial("127.0.0.1:" + os.Args[1])
	if err != nil {
		panic(err)
	}
	if err := c.Login("someone", "a password"); err != nil {
		panic(err)
	}
	if _, err := c.Select("INBOX", true); err != nil {
		panic(err)
	}
	set, _ := imap.ParseSeqSet("1")
	messages := make(chan *imap.Message, 1)
	if err := c.Fetch(set, []imap.FetchItem{imap.FetchEnvelope}, messages); err != nil {
		panic(err)
	}
	for _, a := range (<-messages).Envelope.To {
		fmt.Printf("[%s] ", a.Address())
	}
}
GO
cat >go2/go.mod <<'MOD'
module try

go 1.25.0

require github.com/emersion/go-imap/v2 v2.0.0-beta.8
MOD
cat >go2/main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

func main() {
	c, err := imapclient.DialInsecure("127.0.0.1:"+os.Args[1], nil)
	if err != nil {
		panic(err)
	}
	if err := c.Login("someone", "a password").Wait(); err != nil {
		panic(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		panic(err)
	}
	messages, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{Envelope: true}).Collect()
	if err != nil {
		panic(err)
	}
	for _, a := range messages[0].Envelope.To {
		fmt.Printf("[%s] ", a.Addr())
	}
}
GO
export GOFLAGS=-mod=mod GOPATH=$dir/go
for m in go1 go2; do (cd $m && go mod tidy >/dev/null 2>&1 && go build -o client . >/dev/null 2>&1); done
PERL5LIB=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/5.* | tr ' ' ':')
export PERL5LIB
timeout 200 /usr/bin/python3 server.py &
server=$!
for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
port=$(cat port)
{
	echo "emailjs-imap-client: $(timeout 30 node emailjs.js "$port" 2>/dev/null)"
	echo "Net::IMAP::Client:   $(timeout 30 perl client.pl "$port")"
	echo "Mail::IMAPClient:    $(timeout 30 perl imapclient.pl "$port")"
	echo "imapflow:            $(timeout 30 node imapflow.js "$port")"
	echo "go-imap 2:           $(timeout 30 go2/client "$port")"
	echo "go-imap 1:           $(timeout 30 go1/client "$port")"
	echo "node-imap:           $(timeout 30 node node-imap.js "$port")"
} | sed 's/ *$//' | tee out
diff out - <<'WANT'
emailjs-imap-client: [Team@] [bob@example.net] [cy@example.net] [@]
Net::IMAP::Client:   [Team@] [bob@example.net] [cy@example.net] [@]
Mail::IMAPClient:    [Team@NIL] [bob@example.net] [cy@example.net] [NIL@NIL]
imapflow:            [] [bob@example.net] [cy@example.net]
go-imap 2:           [] [bob@example.net] [cy@example.net] []
go-imap 1:           [bob@example.net] [cy@example.net]
node-imap:           group Team of [bob@example.net] [cy@example.net]
WANT
