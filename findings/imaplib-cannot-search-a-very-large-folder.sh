#!/usr/bin/env bash
# packages: python3.11 of Debian 12 (3.11.2), which is there, and python3-imaplib2 2.57-5.2
# versions: imaplib of Python 3.11, imaplib2 2.57 (of offlineimap3)
# behaviour: SEARCH answers with one line that names each message. At some 165,000 messages
#   that line is longer than 1,000,000 octets; imaplib, and what is built on it, then raises an
#   error and the session is over, while imaplib2 takes it. The answer to SEARCH RETURN (ALL),
#   which names ranges (RFC 4731), is short, and imaplib takes it as an untagged ESEARCH.
# usual guess: a folder of any size that opens can be searched, and a program either reads an
#   answer or says at sign-in that it cannot.
# what follows: sallyport offers ESEARCH and answers it with ranges; the answer to a plain
#   SEARCH stays one line, since programs take the first and no more. docs/imap.md says so.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -q python3-imaplib2=2.57-5.2 >/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
cat >try.py <<'PY'
import imaplib, imaplib2, socket, sys, threading


def serve(listener, messages):
    conn, _ = listener.accept()
    f = conn.makefile("rwb")

    def say(line):
        try:
            f.write(line + b"\r\n")
            f.flush()
        except ConnectionError:
            pass  # the client has had enough

    say(b"* OK ready")
    for line in iter(f.readline, b""):
        tag, command = line.split()[:2]
        if command.upper() == b"CAPABILITY":
            say(b"* CAPABILITY IMAP4rev1 ESEARCH")
        elif command.upper() == b"SELECT":
            say(b"* %d EXISTS" % messages)
            say(b"* OK [UIDVALIDITY 1] fine")
        elif command.upper() == b"SEARCH" and b"RETURN" in line:
            say(b'* ESEARCH (TAG "%s") ALL 1:%d' % (tag, messages))
        elif command.upper() == b"SEARCH":
            say(b"* SEARCH " + b" ".join(b"%d" % i for i in range(1, messages + 1)))
        say(tag + b" OK done")


def search(library, messages, *what):
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener, messages), daemon=True).start()
    client = library.IMAP4("127.0.0.1", listener.getsockname()[1])
    client.login("a", "b")
    client.select("INBOX")
    try:
        _, data = client.search(None, *what)
    except library.IMAP4.error as e:
        return "error: " + str(e).split("=> ")[-1]
    if what[0] == "RETURN":
        return client.response("ESEARCH")[1][0].decode().split(") ")[-1]
    return "%d messages" % len(data[0].split())


print("imaplib, 100,000: ", search(imaplib, 100000, "ALL"))
print("imaplib, 200,000: ", search(imaplib, 200000, "ALL"))
print("imaplib2, 200,000:", search(imaplib2, 200000, "ALL"))
print("imaplib, RETURN:  ", search(imaplib, 200000, "RETURN", "(ALL)", "ALL"))
PY
PYTHONPATH="$dir/root/usr/lib/python3/dist-packages" timeout 120 /usr/bin/python3 try.py | tee out
diff out - <<'WANT'
imaplib, 100,000:  100000 messages
imaplib, 200,000:  error: got more than 1000000 bytes
imaplib2, 200,000: 200000 messages
imaplib, RETURN:   ALL 1:200000
WANT
