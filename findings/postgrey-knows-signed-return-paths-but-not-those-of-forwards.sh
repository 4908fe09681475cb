#!/usr/bin/env bash
# packages: postgrey 1.37-2 (Debian 12) and what it depends on
# behaviour: postgrey takes what changes from day to day out of a sender before it looks whether it knows it: the tag of BATV
#   ("prvs=1234abcdef="), an extension behind "+", numbers in a bounce address. It leaves SRS alone: SRS0=HASH=DAY=…, the return
#   path of forwarded mail, whose day and hash are others tomorrow, is a new sender each day, and the mail is put off once more.
# usual guess: a greylist that knows BATV, which few send, knows SRS, which whoever forwards sends.
# what follows: sallyport's return paths of forwards are the same all day, so that all attempts of a message and all messages of a day have
#   one. Behind such a greylist the first forward of a day comes later.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 .
missing=$(apt-get install -s --no-install-recommends postgrey=1.37-2 2>/dev/null | awk '$1 == "Inst" && $2 != "postgrey" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q postgrey=1.37-2 $missing >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
mkdir -m 777 db
touch nobody-is-listed
libs=()
for lib in root/usr/share/perl5 root/usr/lib/*/perl5/5.*; do [ -d "$lib" ] && libs+=("-I$dir/$lib"); done
LD_LIBRARY_PATH=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:) timeout 120 perl -T "${libs[@]}" root/usr/sbin/postgrey --unix="$dir/socket" \
	--dbdir="$dir/db" --delay=2 --user=nobody --group=nogroup --whitelist-clients="$dir/nobody-is-listed" --whitelist-recipients="$dir/nobody-is-listed" \
	--auto-whitelist-clients=0 >log 2>&1 &
server=$!
for _ in $(seq 100); do [ -S socket ] && break; sleep 0.1; done
cat >ask.py <<'PY'
# Asks as Postfix does, and prints "waits" or "passes".
import socket, sys

conn = socket.socket(socket.AF_UNIX)
conn.settimeout(20)
conn.connect("socket")
asked = {"request": "smtpd_access_policy", "protocol_state": "RCPT", "client_address": "192.0.2.1", "client_name": "mx.example.org",
         "sender": sys.argv[1], "recipient": "someone@example.net"}
conn.sendall(("".join("%s=%s\n" % pair for pair in asked.items()) + "\n").encode())
print("waits" if conn.makefile().readline().startswith("action=DEFER") else "passes")
PY
days() { # SENDER TODAY, SENDER TOMORROW
	first=$(/usr/bin/python3 ask.py "$1")
	sleep 4
	echo "$1: $first, then $(/usr/bin/python3 ask.py "$1")"
	echo "  and $2: $(/usr/bin/python3 ask.py "$2")"
}
{
	days ann@example.org ann@example.org
	days prvs=1234abcdef=bob@example.org prvs=1245fedcba=bob@example.org
	days SRS0=aB3x=7Q=example.com=eve@example.org SRS0=Zk9w=7R=example.com=eve@example.org
} | tee out
diff out - <<'WANT'
ann@example.org: waits, then passes
  and ann@example.org: passes
prvs=1234abcdef=bob@example.org: waits, then passes
  and prvs=1245fedcba=bob@example.org: passes
SRS0=aB3x=7Q=example.com=eve@example.org: waits, then passes
  and SRS0=Zk9w=7R=example.com=eve@example.org: waits
WANT
