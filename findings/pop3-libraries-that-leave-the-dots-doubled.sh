#!/usr/bin/env bash
# packages: node-pop3 0.11.0, yapople 0.4.10 (npm), Node.js 20; poplib of python3.11 of Debian 12 (3.11.2), which is there
# versions: node-pop3 0.11.0, yapople 0.4.10
# behaviour: a line of a message that begins with a dot is sent with a second one (RFC 1939 section 3), and
#   who reads it takes that away again. node-pop3 and yapople do not: ".signature" arrives as
#   "..signature", and a DKIM signature over such a body fails. Python's poplib takes it away.
# usual guess: who has a library for POP3 has the message as it was sent.
# what follows: sallyport doubles the dots as the RFC says; where a program shows more of
#   them than were written, it reads by such a library.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
npm install --ignore-scripts --no-audit --no-fund node-pop3@0.11.0 yapople@0.4.10 >/dev/null 2>&1
cat >server.py <<'PY'
import os, socket, threading

MESSAGE = b"Subject: x\r\n\r\nhello\r\n..signature\r\n"


def serve(conn):
    f = conn.makefile("rwb")

    def say(text):
        f.write(text + b"\r\n")
        f.flush()

    say(b"+OK ready")
    for line in iter(f.readline, b""):
        command = line.split()[0].upper()
        if command == b"RETR":
            say(b"+OK here it is\r\n" + MESSAGE + b".")
        elif command == b"STAT":
            say(b"+OK 1 34")
        elif command == b"CAPA":
            say(b"-ERR what")
        else:
            say(b"+OK fine")
        if command == b"QUIT":
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
import poplib, sys

c = poplib.POP3("127.0.0.1", int(sys.argv[1]), timeout=20)
c.user("someone")
c.pass_("a password")
print(c.retr(1)[1][-1].decode())
c.quit()
PY
cat >read.js <<'JS'
const [library, port] = process.argv.slice(2)
const last = text => text.trimEnd().split('\r\n').pop()
async function nodePop3 () {
  const Pop3 = require('node-pop3')
  const c = new Pop3({ host: '127.0.0.1', port, user: 'someone', password: 'a password' })
  console.log(last(await c.RETR(1)))
  await c.QUIT()
}
async function yapople () {
  const { Client } = require('yapople')
  const c = new Client({ host: '127.0.0.1', port: Number(port), tls: false, mailparser: false, username: 'someone', password: 'a password' })
  await c.connect()
  console.log(last(String(await c.retrieve(1))))
  await c.quit()
}
(library === 'yapople' ? yapople() : nodePop3()).catch(err => console.log(String(err)))
JS
timeout 120 /usr/bin/python3 server.py &
server=$!
for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
{
	echo "poplib:    $(timeout 30 /usr/bin/python3 read.py "$(cat port)")"
	echo "node-pop3: $(timeout 30 node read.js node-pop3 "$(cat port)")"
	echo "yapople:   $(timeout 30 node read.js yapople "$(cat port)")"
} | tee out
diff out - <<'WANT'
poplib:    .signature
node-pop3: ..signature
yapople:   ..signature
WANT
