#!/usr/bin/env bash
# packages: imap 0.8.19, imapflow 2.10.2 (npm), Node.js 20; github.com/emersion/go-imap v1.2.1 (Go module); libnet-imap-client-perl
#   0.9507-1 and what it depends on (Debian 12); imaplib of python3.11 of Debian 12 (3.11.2), which is there
# versions: node-imap 0.8.19, imapflow 2.10.2, go-imap 1.2.1, Net::IMAP::Client 0.9507
# behaviour: a mailbox is an astring (RFC 9051 section 9), which may hold "]" without being quoted: Bills]2026. node-imap shows a
#   mailbox "Bills" instead, which may be another one. go-imap 1 leaves it out, no error told, and Net::IMAP::Client raises one and
#   has no mailbox at all. imapflow and imaplib show the name; quoted, all of them do.
# usual guess: an atom and an astring differ on paper alone, and whoever reads LIST reads each name that may be in it.
# what follows: sallyport quotes each name that is no atom, one with a bracket too.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
missing=$(apt-get install -s --no-install-recommends libnet-imap-client-perl=0.9507-1 2>/dev/null | awk '$1 == "Inst" && $2 != "libnet-imap-client-perl" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q libnet-imap-client-perl=0.9507-1 $missing >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
npm install --ignore-scripts --no-audit --no-fund imap@0.8.19 imapflow@2.10.2 >/dev/null 2>&1
cat >server.py <<'PY'
# Has INBOX, and one more mailbox, whose name it writes as it is told.
import os, socket, sys, threading

name = sys.argv[1]


def serve(conn):
    f = conn.makefile("rwb")

    def say(text):
        f.write(text.encode() + b"\r\n")
        f.flush()

    say("* OK ready")
    for line in iter(f.readline, b""):
        tag, command, *rest = line.decode().split()
        command = command.upper()
        if command == "CAPABILITY":
            say("* CAPABILITY IMAP4rev1")
        elif command in ("LIST", "LSUB") and rest[-1] == '""':
            say('* %s (\\Noselect) "/" ""' % command)
        elif command in ("LIST", "LSUB"):
            say('* %s () "/" INBOX' % command)
            say('* %s () "/" %s' % (command, name))
        elif command == "LOGOUT":
            say("* BYE")
        say(tag + (" NO not here" if command == "AUTHENTICATE" else " OK done"))
        if command == "LOGOUT":
            break
    f.close()
    conn.close()


def quietly(conn):
    try:
        serve(conn)
    except (ConnectionError, ValueError):
        pass  # the client has had enough


ln = socket.create_server(("127.0.0.1", 0))
open("port.new", "w").write(str(ln.getsockname()[1]))
os.rename("port.new", "port")
while True:
    threading.Thread(target=quietly, args=(ln.accept()[0],), daemon=True).start()
PY
cat >list.py <<'PY'
import imaplib, sys

c = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]), timeout=20)
c.login("a", "b")
print(" ".join(line.decode().split()[-1].strip('"') for line in c.list()[1]))
PY
cat >list.pl <<'PL'
use strict; use warnings; use Net::IMAP::Client;
my $c = Net::IMAP::Client->new(server => '127.0.0.1', port => $ARGV[0], user => 'a', pass => 'b', ssl => 0) or die;
$c->login or die;
print eval { join ' ', $c->folders } // 'an error', "\n";
PL
cat >node-imap.js <<'JS'
const Imap = require('imap')
const c = new Imap({ host: '127.0.0.1', port: Number(process.argv[2]), user: 'a', password: 'b', keepalive: false })
c.on('error', err => { console.log(err.message); process.exit() })
c.once('ready', () => c.getBoxes((err, boxes) => { console.log(err ? err.message : Object.keys(boxes).join(' ')); process.exit() }))
c.connect()
JS
cat >imapflow.js <<'JS'
const { ImapFlow } = require('imapflow')
async function main () {
  const c = new ImapFlow({ host: '127.0.0.1', port: Number(process.argv[2]), secure: false, doSTARTTLS: false, auth: { user: 'a', pass: 'b' }, logger: false })
  await c.connect()
  console.log((await c.list()).map(box => box.path).join(' '))
  process.exit()
}
main()
JS
cat >go.mod <<'MOD'
module try

go 1.25.0

require github.com/emersion/go-imap v1.2.1
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-imap"
	"github.com/emersion/go-imap/client"
)

func main() {
	c, err := client.Dial("127.0.0.1:" + os.Args[1])
	if err != nil {
		panic(err)
	}
	said := new(strings.Builder)
	c.ErrorLog = log.New(io.Discard, "", 0)
	c.Timeout = 5 * time.Second
	if err := c.Login("a", "b"); err != nil {
		panic(err)
	}
	boxes := make(chan *imap.MailboxInfo, 8)
	err = c.List("", "*", boxes)
	for box := range boxes {
		fmt.Fprint(said, box.Name, " ")
	}
	if err != nil {
		fmt.Fprint(said, "and an error")
	}
	fmt.Println(strings.TrimSpace(said.String()))
}
GO
export GOFLAGS=-mod=mod GOPATH=$dir/go
go mod tidy >/dev/null 2>&1
go build -o list-go . >/dev/null 2>&1
lib=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/5.* | tr ' ' ':')
all() { # NAME AS IT IS WRITTEN
	rm -f port
	timeout 200 /usr/bin/python3 server.py "$1" &
	server=$!
	for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
	echo "$1"
	echo "  imaplib:           $(timeout 30 /usr/bin/python3 list.py "$(cat port)")"
	echo "  imapflow:          $(timeout 30 node imapflow.js "$(cat port)")"
	echo "  node-imap:         $(timeout 30 node node-imap.js "$(cat port)")"
	echo "  go-imap 1:         $(timeout 30 ./list-go "$(cat port)")"
	echo "  Net::IMAP::Client: $(PERL5LIB=$lib timeout 30 perl list.pl "$(cat port)" 2>/dev/null)"
	kill "$server"
}
{
	all '"Bills]2026"'
	all 'Bills]2026'
} | tee out
diff out - <<'WANT'
"Bills]2026"
  imaplib:           INBOX Bills]2026
  imapflow:          INBOX Bills]2026
  node-imap:         INBOX Bills]2026
  go-imap 1:         INBOX Bills]2026
  Net::IMAP::Client: INBOX Bills]2026
Bills]2026
  imaplib:           INBOX Bills]2026
  imapflow:          INBOX Bills]2026
  node-imap:         INBOX Bills
  go-imap 1:         INBOX
  Net::IMAP::Client: an error
WANT
