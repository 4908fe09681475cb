#!/usr/bin/env bash
# packages: github.com/emersion/go-imap/v2 v2.0.0-beta.8 (Go module); imaplib of python3.11 of Debian 12 (3.11.2), which is there
# behaviour: the client takes the first FETCH that it sees about a message for all of the answer. Where the server tells a change of
#   flags first, which it may at any time (RFC 9051 section 7), Collect returns a message that has flags and nothing else, no error. What
#   UID FETCH brings with the UID behind a literal is dropped, and STATUS of "inbox", which is answered about INBOX, counts nothing.
#   imaplib, asked the same, gets all of it.
# usual guess: data that were asked for are put together from all that is told about a message, in any order, since the RFC has
#   neither an order nor one answer to a message.
# what follows: sallyport tells what others changed behind what was asked for, never before, and the UID first where a program does not ask
#   for it. STATUS answers about INBOX whatever letters asked: a program that is built on this library has to ask in capitals.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >server.py <<'PY'
# A mailbox with one message, told in different orders.
import os, socket, threading

LETTER = "Subject: x\r\n\r\nhello\r\n"
BODY = "BODY[] {%d}\r\n%s" % (len(LETTER), LETTER)


def serve(conn):
    f = conn.makefile("rwb")

    def say(text):
        f.write(text.encode() + b"\r\n")
        f.flush()

    changed = False
    say("* OK ready")
    for line in iter(f.readline, b""):
        tag, command, *rest = line.decode().split()
        command = command.upper()
        if command == "CAPABILITY":
            say("* CAPABILITY IMAP4rev1")
        elif command in ("SELECT", "EXAMINE"):
            changed = "changed" in rest[0]
            say("* 1 EXISTS")
            say("* OK [UIDVALIDITY 1] fine")
        elif command == "STATUS":
            say("* STATUS INBOX (MESSAGES 1)")
        elif command == "FETCH":
            if changed:
                say("* 1 FETCH (FLAGS (\\Seen))")
            say("* 1 FETCH (UID 17 FLAGS (\\Seen) %s)" % BODY)
        elif command == "UID":
            say("* 1 FETCH (FLAGS (\\Seen) %s UID 17)" % BODY)
        elif command == "LOGOUT":
            say("* BYE")
        say(tag + " OK done")
        if command == "LOGOUT":
            break
    f.close()
    conn.close()


ln = socket.create_server(("127.0.0.1", 0))
open("port.new", "w").write(str(ln.getsockname()[1]))
os.rename("port.new", "port")
while True:
    threading.Thread(target=serve, args=(ln.accept()[0],), daemon=True).start()
PY
cat >read.py <<'PY'
import imaplib, re, sys


def shown(answer):
    text = b" ".join(b" ".join(x) if isinstance(x, tuple) else x for x in answer).decode()
    return "UID %s, %d octets" % ((re.findall(r"UID (\d+)", text) or ["none"])[0], sum(len(x[1]) for x in answer if isinstance(x, tuple)))


c = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]), timeout=20)
c.login("a", "b")
c.select("plain")
print("FETCH:                         ", shown(c.fetch("1", "(UID FLAGS BODY.PEEK[])")[1]))
c.select("changed")
print("FETCH, a change of flags first:", shown(c.fetch("1", "(UID FLAGS BODY.PEEK[])")[1]))
print("UID FETCH, the UID last:       ", shown(c.uid("FETCH", "17", "(FLAGS BODY.PEEK[])")[1]))
print("STATUS of inbox:               ", re.search(r"\((.*)\)", c.status("inbox", "(MESSAGES)")[1][0].decode())[1])
PY
cat >go.mod <<'MOD'
module try

go 1.25.0

require github.com/emersion/go-imap/v2 v2.0.0-beta.8
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// shown says what came of the one message.
func shown(all []*imapclient.FetchMessageBuffer, err error) string {
	check(err)
	if len(all) == 0 {
		return "no message"
	}
	octets := 0
	for _, section := range all[0].BodySection {
		octets += len(section.Bytes)
	}
	return fmt.Sprintf("UID %d, %d octets", all[0].UID, octets)
}

func main() {
	c, err := imapclient.DialInsecure("127.0.0.1:"+os.Args[1], nil)
	check(err)
	check(c.Login("a", "b").Wait())
	what := &imap.FetchOptions{UID: true, Flags: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}}
	_, err = c.Select("plain", nil).Wait()
	check(err)
	fmt.Println("FETCH:                         ", shown(c.Fetch(imap.SeqSetNum(1), what).Collect()))
	_, err = c.Select("changed", nil).Wait()
	check(err)
	fmt.Println("FETCH, a change of flags first:", shown(c.Fetch(imap.SeqSetNum(1), what).Collect()))
	fmt.Println("UID FETCH, the UID last:       ", shown(c.Fetch(imap.UIDSetNum(17), what).Collect()))
	data, err := c.Status("inbox", &imap.StatusOptions{NumMessages: true}).Wait()
	check(err)
	if data.NumMessages == nil {
		fmt.Println("STATUS of inbox:                none")
	} else {
		fmt.Println("STATUS of inbox:                MESSAGES", *data.NumMessages)
	}
}
GO
export GOFLAGS=-mod=mod GOPATH=$dir/go
go mod tidy >/dev/null 2>&1
go build -o read-go . >/dev/null 2>&1
timeout 120 /usr/bin/python3 server.py &
server=$!
for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
{
	echo imaplib
	timeout 30 /usr/bin/python3 read.py "$(cat port)" | sed 's/^/  /'
	echo go-imap
	timeout 30 ./read-go "$(cat port)" | sed 's/^/  /'
} | tee out
diff out - <<'WANT'
imaplib
  FETCH:                          UID 17, 21 octets
  FETCH, a change of flags first: UID 17, 21 octets
  UID FETCH, the UID last:        UID 17, 21 octets
  STATUS of inbox:                MESSAGES 1
go-imap
  FETCH:                          UID 17, 21 octets
  FETCH, a change of flags first: UID 0, 0 octets
  UID FETCH, the UID last:        no message
  STATUS of inbox:                none
WANT
