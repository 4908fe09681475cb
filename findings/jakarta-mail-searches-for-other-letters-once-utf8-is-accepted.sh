#!/usr/bin/env bash
# packages: libjakarta-mail-java 2.0.0-2, libjakarta-activation-java (Debian 12); Java 17, which is there
# versions: Jakarta Mail 2.0.0
# behaviour: where a server offers UTF8=ACCEPT (RFC 9755), Jakarta Mail enables it without being asked.
#   From then on it names no charset in a SEARCH, as the RFC wants, and writes no UTF-8 either: each
#   character is cut to its low octet. "Łódź" is searched for as 41 f3 64 7a, which is no UTF-8; of a
#   word whose letters happen to be cut to ASCII, something else is found and no error told.
#   Without the extension it sends proper UTF-8.
# usual guess: what enables UTF8=ACCEPT by itself speaks UTF-8, so that offering it helps such programs.
# what follows: sallyport answers BAD to a quoted string that is no UTF-8, instead of searching for
#   something else. "account set --without utf8=accept" mends the search of a program that is built on this library.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
[[ $(java -version 2>&1) == *'version "17.'* ]] || { echo "this needs Java 17" >&2; exit 1; }
apt-get download -q libjakarta-mail-java=2.0.0-2 libjakarta-activation-java >/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
cat >server.py <<'PY'
import os, re, socket, sys, threading

offered = sys.argv[1]


def serve(conn):
    f = conn.makefile("rwb")

    def say(text):
        f.write(text.encode() + b"\r\n")
        f.flush()

    say("* OK [CAPABILITY IMAP4rev1 %s] ready" % offered)
    for line in iter(f.readline, b""):
        while match := re.search(rb"\{(\d+)\}\r\n$", line):
            say("+ go on")
            line = line[: match.start()] + b'"' + f.read(int(match[1])) + b'"' + f.readline()
        tag, command = line.split()[:2]
        if command == b"CAPABILITY":
            say("* CAPABILITY IMAP4rev1 " + offered)
        elif command == b"ENABLE":
            say("* ENABLED UTF8=ACCEPT")
            print("enabled, ", end="", flush=True)
        elif command in (b"SELECT", b"EXAMINE"):
            say("* 1 EXISTS")
            say("* OK [UIDVALIDITY 1] fine")
        elif command == b"SEARCH" and b"SUBJECT" in line:
            print("searched for " + re.search(rb'SUBJECT "?([^"\r ]*)', line)[1].hex(" "), flush=True)
            say("* SEARCH")
        say(tag.decode() + " OK done")
    f.close()


ln = socket.create_server(("127.0.0.1", 0))
open("port.new", "w").write(str(ln.getsockname()[1]))
os.rename("port.new", "port")
while True:
    threading.Thread(target=serve, args=(ln.accept()[0],), daemon=True).start()
PY
cat >Search.java <<'J'
import jakarta.mail.*;
import jakarta.mail.search.SubjectTerm;
import java.util.Properties;

public class Search {
    public static void main(String[] args) throws Exception {
        Store store = Session.getInstance(new Properties()).getStore("imap");
        store.connect("127.0.0.1", Integer.parseInt(args[0]), "someone", "a password");
        Folder folder = store.getFolder("INBOX");
        folder.open(Folder.READ_ONLY);
        folder.search(new SubjectTerm("\u0141\u00f3d\u017a"));
        System.exit(0);
    }
}
J
jars=$(find "$dir/root/usr/share" -name '*.jar' | paste -sd:)
search() { # CAPABILITIES
	rm -f port said
	timeout 60 /usr/bin/python3 server.py "$1" >said &
	server=$!
	for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
	timeout 60 java -cp "$jars" Search.java "$(cat port)" >/dev/null 2>&1 || true
	kill "$server"
	cat said
}
{
	echo "the word in UTF-8:    $(printf '\xc5\x81\xc3\xb3d\xc5\xba' | od -An -tx1 | tr -s ' ' | sed 's/^ //')"
	echo "without UTF8=ACCEPT:  $(search ENABLE)"
	echo "with UTF8=ACCEPT:     $(search "ENABLE UTF8=ACCEPT")"
} | tee out
diff out - <<'WANT'
the word in UTF-8:    c5 81 c3 b3 64 c5 ba
without UTF8=ACCEPT:  searched for c5 81 c3 b3 64 c5 ba
with UTF8=ACCEPT:     enabled, searched for 41 f3 64 7a
WANT
