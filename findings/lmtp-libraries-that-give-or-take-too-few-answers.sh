#!/usr/bin/env bash
# packages: python3-aiosmtpd 1.4.3-1.1+deb12u1, python3-public 2.3-4, python3-attr 22.2.0-1 and python3.11
#   of Debian 12 (3.11.2), which is there; smtp-server 3.21.6 (npm), Node.js 20
# versions: aiosmtpd 1.4.3, smtplib of Python 3.11, smtp-server 3.21.6
# behaviour: RFC 2033 §4.2 has a server of LMTP answer the end of the data once for each RCPT that it
#   accepted. The LMTP class of aiosmtpd greets by LHLO, and answers once for all of them. The LMTP
#   class of smtplib reads one answer for all of them: that a later recipient was refused is not told, and
#   stands as the answer to the next command. smtp-server in LMTP mode keeps one of two recipients that differ
#   in the case of the local part alone, which it has answered 250 each, and has one answer too few.
# usual guess: a library that has LMTP answers, and hears, for each recipient, since that is what parts
#   it from SMTP.
# what follows: sallyport never takes one answer for two recipients. Who has an answer keeps it; the others
#   wait for theirs, are tried again, and may get the message once more from such a server.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
apt-get download -q python3-aiosmtpd=1.4.3-1.1+deb12u1 python3-public=2.3-4 python3-attr=22.2.0-1 >/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
npm install --ignore-scripts --no-audit --no-fund smtp-server@3.21.6 >/dev/null 2>&1
cat >client.py <<'PY'
# Says how many answers a server has for how many recipients.
import socket, sys

conn = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20)
f = conn.makefile("rwb")


def answer():
    for line in f:
        if line[3:4] != b"-":
            return line[:3]


def ask(line):
    f.write(line.encode() + b"\r\n")
    f.flush()
    return answer()


answer()
ask("LHLO client.example")
ask("MAIL FROM:<someone@example.net>")
accepted = sum(ask("RCPT TO:<%s>" % to) == b"250" for to in sys.argv[2:])
assert ask("DATA") == b"354"
# What was answered before the goodbye is all that there will be.
f.write(b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n")
f.flush()
answers = 0
while answer() == b"250":
    answers += 1
print("%d accepted, %d answered" % (accepted, answers))
PY
cat >python-server.py <<'PY'
import asyncio, sys
from aiosmtpd.lmtp import LMTP


class Handler:
    async def handle_DATA(self, server, session, envelope):
        return "250 OK"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: LMTP(Handler(), loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = await asyncio.create_subprocess_exec(sys.executable, "client.py", str(port), *sys.argv[1:])
    await client.wait()
    server.close()


asyncio.run(main())
PY
cat >node-server.js <<'JS'
const { SMTPServer } = require('smtp-server')
const { execFile } = require('node:child_process')

const server = new SMTPServer({
  lmtp: true,
  disabledCommands: ['STARTTLS', 'AUTH'],
  disableReverseLookup: true,
  onData(stream, session, done) {
    stream.on('end', () => done())
    stream.resume()
  }
})
server.listen(0, '127.0.0.1', () => {
  const port = server.server.address().port
  execFile('/usr/bin/python3', ['client.py', port, ...process.argv.slice(2)], (err, out) => {
    process.stdout.write(err ? `${err}\n` : out)
    server.close()
  })
})
JS
cat >python-client.py <<'PY'
import smtplib, socket, threading


def serve(listener):
    f = listener.accept()[0].makefile("rwb")

    def say(*lines):
        for line in lines:
            f.write(line + b"\r\n")
        f.flush()

    say(b"220 server.example LMTP")
    for line in f:
        if line.upper().startswith(b"DATA"):
            say(b"354 go on")
            while f.readline() != b".\r\n":
                pass
            say(b"250 2.0.0 one has it", b"452 4.2.2 the mailbox of two is full")
        else:
            say(b"250 fine")


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
client = smtplib.LMTP("127.0.0.1", listener.getsockname()[1], timeout=20)
refused = client.sendmail("someone@example.net", ["one@example.org", "two@example.org"], "Subject: x\r\n\r\nhello\r\n")
print("%d told as refused, NOOP answered %d" % (len(refused), client.noop()[0]))
PY
export PYTHONPATH=$dir/root/usr/lib/python3/dist-packages
{
	echo "aiosmtpd serves two:             $(timeout 60 /usr/bin/python3 python-server.py one@example.org two@example.org)"
	echo "smtplib sends to two, one full:  $(timeout 60 /usr/bin/python3 python-client.py)"
	echo "smtp-server serves two:          $(timeout 60 node node-server.js one@example.org two@example.org)"
	echo "the two apart by a capital:      $(timeout 60 node node-server.js one@example.org One@example.org)"
} | tee out
diff out - <<'WANT'
aiosmtpd serves two:             2 accepted, 1 answered
smtplib sends to two, one full:  0 told as refused, NOOP answered 452
smtp-server serves two:          2 accepted, 2 answered
the two apart by a capital:      2 accepted, 1 answered
WANT
