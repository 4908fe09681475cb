#!/usr/bin/env bash
# packages: emailjs-imap-client 3.1.0, imap 0.8.19, imapflow 2.10.2 (npm), Node.js 20; github.com/emersion/go-imap v1.2.1 and
#   github.com/emersion/go-imap/v2 v2.0.0-beta.8 (Go modules); libmail-imapclient-perl 3.43-1 and what it depends on (Debian 12)
# versions: node-imap 0.8.19, Mail::IMAPClient 3.43
# behaviour: BODYSTRUCTURE tells message/global as it does message/rfc822: with the ENVELOPE and the structure of the letter, and its
#   lines (RFC 9051 section 9, media-message). Of an attached letter, a.eml, emailjs-imap-client, imapflow, node-imap and go-imap 1 know
#   "rfc822" alone, and take what is told of the letter for what comes behind it: the part's disposition is "text", and it has no
#   name. Mail::IMAPClient has no structure of the whole message. go-imap 2 reads it. As message/rfc822 each of them reads the same.
# usual guess: the two types differ in a word, and a library that never heard of internationalised letters shows one as an
#   attachment of some other type, with its name.
# what follows: sallyport tells message/global as RFC 9051 has it. A program that shows a letter which was forwarded so without its name,
#   or a message without any parts, reads by such a library.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
npm install --ignore-scripts --no-audit --no-fund emailjs-imap-client@3.1.0 imap@0.8.19 imapflow@2.10.2 >/dev/null 2>&1
missing=$(apt-get install -s --no-install-recommends libmail-imapclient-perl=3.43-1 2>/dev/null | awk '$1 == "Inst" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q libmail-imapclient-perl=3.43-1 $missing >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
cat >server.py <<'PY'
# Is an IMAP server with one letter, to which another one is attached.
import os, re, socket, sys, threading

ANN = b'(("Ann" NIL "ann" "example.org"))'
ENVELOPE = b'("Mon, 30 Nov 2026 10:00:00 +0000" "x" ' + b" ".join((ANN, ANN, ANN, ANN)) + b' NIL NIL NIL "<1@example.org>")'
STRUCTURE = (b'(("TEXT" "PLAIN" NIL NIL NIL "7BIT" 5 1 NIL NIL NIL NIL)("MESSAGE" "%s" NIL NIL NIL "8BIT" 60 ' + ENVELOPE +
             b' ("TEXT" "PLAIN" NIL NIL NIL "8BIT" 7 1 NIL NIL NIL NIL) 4 NIL ("ATTACHMENT" ("FILENAME" "a.eml")) NIL NIL)'
             b' "MIXED" ("BOUNDARY" "b") NIL NIL NIL)') % sys.argv[1].encode()
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
                item(asked, b"RFC822.SIZE", b"60") + item(asked, b"BODYSTRUCTURE", STRUCTURE) +
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
c.once('ready', () => c.openBox('INBOX', true, () => {
  const f = c.seq.fetch('1', { struct: true })
  f.on('message', m => m.on('attributes', ({ struct }) => {
    const { type, subtype, disposition } = struct[2][0]
    console.log(`${type}/${subtype}`.toLowerCase(), disposition.type.toLowerCase(), disposition.params?.filename)
  }))
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
  const part = (await c.fetchOne('1', { bodyStructure: true })).bodyStructure.childNodes[1]
  console.log(part.type, part.disposition, part.dispositionParameters?.filename)
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
  const [{ bodystructure }] = await c.listMessages('INBOX', '1', ['uid', 'bodystructure'])
  const part = bodystructure.childNodes[1]
  console.log(part.type, part.disposition, part.dispositionParameters?.filename)
  process.exit()
}
main()
JS
cat >imapclient.pl <<'PL'
use strict; use warnings; use Mail::IMAPClient;
my $c = Mail::IMAPClient->new(Server => '127.0.0.1', Port => $ARGV[0], User => 'someone', Password => 'a password') or die;
$c->select('INBOX');
my $s = $c->get_bodystructure(1) or print("nothing at all\n") && exit;
my $part = ($s->bodystructure)[1];
my ($kind, $params) = %{ $part->bodydisp };
print lc join('/', $part->bodytype, $part->bodysubtype), ' ', lc $kind, ' ', $params->{FILENAME}, "\n";
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
	if err := c.Fetch(set, []imap.FetchItem{imap.FetchBodyStructure}, messages); err != nil {
		fmt.Println("error:", err)
		return
	}
	part := (<-messages).BodyStructure.Parts[1]
	name, _ := part.Filename()
	fmt.Printf("%s/%s %q %q\n", part.MIMEType, part.MIMESubType, part.Disposition, name)
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
	messages, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{BodyStructure: &imap.FetchItemBodyStructure{Extended: true}}).Collect()
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	part := messages[0].BodyStructure.(*imap.BodyStructureMultiPart).Children[1].(*imap.BodyStructureSinglePart)
	kind := ""
	if d := part.Disposition(); d != nil {
		kind = d.Value
	}
	fmt.Printf("%s %q %q\n", part.MediaType(), kind, part.Filename())
}
GO
export GOFLAGS=-mod=mod GOPATH=$dir/go
for m in go1 go2; do (cd $m && go mod tidy >/dev/null 2>&1 && go build -o client . >/dev/null 2>&1); done
PERL5LIB=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/5.* | tr ' ' ':')
export PERL5LIB
all() { # SUBTYPE
	rm -f port
	timeout 200 /usr/bin/python3 server.py "$1" &
	server=$!
	for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
	echo "  emailjs-imap-client: $(timeout 30 node emailjs.js "$(cat port)" 2>/dev/null)"
	echo "  imapflow:            $(timeout 30 node imapflow.js "$(cat port)")"
	echo "  node-imap:           $(timeout 30 node node-imap.js "$(cat port)")"
	echo "  go-imap 1:           $(timeout 30 go1/client "$(cat port)")"
	echo "  go-imap 2:           $(timeout 30 go2/client "$(cat port)")"
	echo "  Mail::IMAPClient:    $(timeout 30 perl imapclient.pl "$(cat port)")"
	kill "$server"
}
{
	echo message/rfc822
	all RFC822
	echo message/global
	all GLOBAL
} | tee out
diff out - <<'WANT'
message/rfc822
  emailjs-imap-client: message/rfc822 attachment a.eml
  imapflow:            message/rfc822 attachment a.eml
  node-imap:           message/rfc822 attachment a.eml
  go-imap 1:           message/rfc822 "attachment" "a.eml"
  go-imap 2:           message/rfc822 "ATTACHMENT" "a.eml"
  Mail::IMAPClient:    message/rfc822 attachment a.eml
message/global
  emailjs-imap-client: message/global text undefined
  imapflow:            message/global text undefined
  node-imap:           message/global text undefined
  go-imap 1:           message/global "text" ""
  go-imap 2:           message/global "ATTACHMENT" "a.eml"
  Mail::IMAPClient:    nothing at all
WANT
