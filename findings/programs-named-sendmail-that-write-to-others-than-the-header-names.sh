#!/usr/bin/env bash
# packages: dma 0.13-1+b1, esmtp 1.2-18+b1, msmtp 1.8.23-1, nullmailer 1:2.2-4 (Debian 12) and what they depend on
# behaviour: "sendmail -t" takes the recipients from the header. dma sees the first line of a field alone: of a list that is
#   folded it sends to the recipients before the fold, exit code 0, and the others get nothing. esmtp does not find those behind a
#   field's name and a fold, and makes "Team:a@example.net" of a group. Both send what has Resent-To to the first recipients once
#   more, and to the new one not at all. msmtp makes "@example.net" of a quoted local-part, and nullmailer leaves out its quotes.
# usual guess: a drop-in for sendmail reads a header as sendmail does, folds, groups and Resent fields too: programs that
#   write to many people fold the field, as RFC 5322 section 2.2.3 has it.
# what follows: 'sallyport sendmail -t' parses whole fields, as for all other mail, and goes by Resent fields alone where there
#   are any.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "this needs root: dma is run in a folder of its own" >&2; exit 1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 .
for package in dma=0.13-1+b1 esmtp=1.2-18+b1 msmtp=1.8.23-1 nullmailer=1:2.2-4; do
	missing=$(apt-get install -s --no-install-recommends "$package" 2>/dev/null | awk -v name="${package%%=*}" '$1 == "Inst" && $2 != name { print $2 }')
	# shellcheck disable=SC2086
	apt-get download -q "$package" $missing >/dev/null 2>&1
done
apt-get download -q libc6 libssl3 liblockfile1 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
mkdir -p root/etc/dma root/var/spool/dma root/dev
grep -E '^(root|mail):' /etc/passwd >root/etc/passwd
grep -E '^(root|mail):' /etc/group >root/etc/group
printf 'DEFER\nMAILNAME client.example\n' >root/etc/dma/dma.conf
touch root/etc/dma/auth.conf root/etc/aliases
chown root:mail root/var/spool/dma
chmod 2775 root/var/spool/dma
cat >send.py <<'PY'
import os, socket, subprocess, threading

FIELDS = [
    ("a list", "To: a@example.net, b@example.net\n"),
    ("the same, folded", "To: a@example.net,\n b@example.net\n"),
    ("folded behind the name", "To:\n a@example.net, b@example.net\n"),
    ("a group", "To: Team: a@example.net, b@example.net;\n"),
    ("a quoted local-part", 'To: "a b"@example.net\n'),
    ("sent again", "Resent-From: Other <other@example.org>\nResent-To: new@example.net\nTo: a@example.net\n"),
]
libraries = subprocess.run("find %s/root -type d -name '*-linux-gnu' | paste -sd:" % os.getcwd(), shell=True, stdout=subprocess.PIPE, text=True).stdout.strip()
told = []


def serve(conn):
    f = conn.makefile("rwb")

    def say(text):
        f.write(text + b"\r\n")
        f.flush()

    say(b"220 server.example ESMTP")
    for line in f:
        verb = line[:4].upper()
        if verb == b"RCPT":
            told.append(line.decode().strip()[9:-1])
        if verb == b"EHLO":
            say(b"250 server.example")
        elif verb == b"DATA":
            say(b"354 go on")
            while f.readline() not in (b".\r\n", b""):
                pass
            say(b"250 fine")
        elif verb == b"QUIT":
            say(b"221 bye")
            break
        else:
            say(b"250 fine")
    f.close()
    conn.close()


def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
threading.Thread(target=accept, daemon=True).start()
open("esmtprc", "w").write("hostname = 127.0.0.1:%d\nstarttls = disabled\n" % port)


def run(letter, *command, **more):
    told.clear()
    return subprocess.run(command, input=letter, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, env={**os.environ, **more})


def dma(letter):
    code = run(letter, "chroot", "root", "/usr/sbin/dma", "-f", "someone@example.org", "-t").returncode
    for name in sorted(os.listdir("root/var/spool/dma")):
        path = "root/var/spool/dma/" + name
        if name.startswith("Q"):
            told.extend(line.split(": ", 1)[1].strip() for line in open(path) if line.lower().startswith("recipient"))
        if os.path.isfile(path):
            os.unlink(path)
    return code


def esmtp(letter):
    return run(letter, "root/usr/bin/esmtp", "-C", "esmtprc", "-f", "someone@example.org", "-t", LD_LIBRARY_PATH=libraries).returncode


def msmtp(letter):
    return run(letter, "root/usr/bin/msmtp", "--file=/dev/null", "--host=127.0.0.1", "--port=%d" % port, "--domain=client.example",
               "--from=someone@example.org", "-t", LD_LIBRARY_PATH=libraries).returncode


def nullmailer(letter):
    done = run(letter, "root/usr/bin/nullmailer-inject", "-n", "-v", "-h", "-f", "someone@example.org", LD_LIBRARY_PATH=libraries, NULLMAILER_HOST="client.example")
    told.extend(done.stdout.partition("\n\n")[0].split("\n")[1:])
    return done.returncode


for what, field in FIELDS:
    print(what)
    for program in (dma, esmtp, msmtp, nullmailer):
        code = program("From: Someone <someone@example.org>\n%sSubject: x\n\nhello\n" % field)
        print("  %-11s %s%s" % (program.__name__ + ":", " ".join(sorted(told)) or "nobody", "" if code == 0 else ", and an error"))
PY
timeout 200 /usr/bin/python3 send.py | tee out
diff out - <<'WANT'
a list
  dma:        a@example.net b@example.net
  esmtp:      a@example.net b@example.net
  msmtp:      a@example.net b@example.net
  nullmailer: a@example.net b@example.net
the same, folded
  dma:        a@example.net
  esmtp:      a@example.net b@example.net
  msmtp:      a@example.net b@example.net
  nullmailer: a@example.net b@example.net
folded behind the name
  dma:        nobody, and an error
  esmtp:      nobody, and an error
  msmtp:      a@example.net b@example.net
  nullmailer: a@example.net b@example.net
a group
  dma:        a@example.net b@example.net
  esmtp:      Team:a@example.net b@example.net;
  msmtp:      a@example.net b@example.net
  nullmailer: a@example.net b@example.net
a quoted local-part
  dma:        "a b"@example.net
  esmtp:      "a b"@example.net
  msmtp:      @example.net
  nullmailer: a b@example.net
sent again
  dma:        a@example.net
  esmtp:      a@example.net
  msmtp:      new@example.net
  nullmailer: new@example.net
WANT
