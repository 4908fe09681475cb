#!/usr/bin/env bash
# packages: neomutt 20220429+dfsg1-4.1 and the libraries that it is linked with (Debian 12)
# versions: NeoMutt 20220429 (GNU SASL)
# behaviour: smtp_authenticators takes only the names of a list of NeoMutt's own. "scram-sha-256",
#   which the same program takes by itself from a server that offers it, is refused as "not a valid
#   authenticator", and so is "external", though both are registered SASL mechanisms (RFC 7677,
#   RFC 4422 appendix A) that its library has.
# usual guess: as in mutt, the variable takes any mechanism of the SASL library.
# what follows: docs/clients.md says to leave the variable alone, and that whoever has a certificate
#   is let in without AUTH (sallyport account sign-in ADDRESS any --without-auth).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -q neomutt=20220429+dfsg1-4.1 libgsasl18=2.2.0-1+deb12u2 \
  libgssglue1 libgpgme11 libassuan0 libidn12 liblua5.4-0 libnotmuch5 libntlm0 libsqlite3-0 libtokyocabinet9 libgmime-3.0-0 \
  libtalloc2 libxapian30 libsexp1 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libkeyutils1 libglib2.0-0 libgnutls30 >/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
libs=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:)
neomutt() { env -i HOME="$dir" PATH="$PATH" TERM=dumb LD_LIBRARY_PATH="$libs" "$dir/root/usr/bin/neomutt" -n "$@"; }

{
  neomutt -v | head -1
  for name in plain login scram-sha-256 external; do
    echo "set smtp_authenticators = \"$name\"" >rc
    if neomutt -F rc -Q smtp_authenticators >answer 2>&1 && ! grep -q 'not a valid authenticator' answer; then
      echo "$name: taken"
    else
      echo "$name: refused"
    fi
  done
} | tee out

# What it takes by itself, from a server that offers both.
cat >server.py <<'PY'
import socket

ln = socket.create_server(("127.0.0.1", 0))
open("port", "w").write(str(ln.getsockname()[1]))
ln.settimeout(20)
nc, _ = ln.accept()
nc.settimeout(20)
f = nc.makefile("rwb")


def say(text):
    f.write(text.encode() + b"\r\n")
    f.flush()


say("220 server.test ESMTP")
for line in f:
    verb = line.split()[0].upper() if line.split() else b""
    if verb == b"EHLO":
        say("250-server.test")
        say("250 AUTH PLAIN SCRAM-SHA-256 EXTERNAL")
    elif verb == b"AUTH":
        open("chosen", "w").write(line.split()[1].decode() + "\n")
        say("535 5.7.8 enough was seen")
    else:
        say("221 2.0.0 goodbye")
        break
PY
python3 server.py &
server=$!
for _ in $(seq 50); do [ -s port ] && break; sleep 0.1; done
cat >rc <<RC
set smtp_url = "smtp://someone@127.0.0.1:$(cat port)/"
set smtp_pass = "a password"
set ssl_starttls = no
set ssl_force_tls = no
set from = "someone@example.org"
set copy = no
RC
echo hello | neomutt -F rc -s subject other@example.org >sent 2>&1 || true
wait "$server" || true
echo "by itself: $(cat chosen)" | tee -a out
diff - out <<'WANT'
NeoMutt 20220429
plain: taken
login: taken
scram-sha-256: refused
external: refused
by itself: SCRAM-SHA-256
WANT
