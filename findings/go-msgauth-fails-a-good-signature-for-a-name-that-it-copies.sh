#!/usr/bin/env bash
# packages: opendkim 2.11.0~beta2-8+deb12u1 and what it depends on, python3-dkim 1.1.4-1, python3-dnspython 2.3.0-1+deb12u1
#   (Debian 12); github.com/emersion/go-msgauth v0.7.0 (Go module)
# versions: OpenDKIM 2.11.0, dkimpy 1.1.4, go-msgauth 0.7.0
# behaviour: z= of a DKIM-Signature holds a copy of the signed fields, in which a blank is "=20"; OpenDKIM
#   writes it where Diagnostics is on. To verify, b= has to be emptied. go-msgauth empties whatever looks like
#   it: "Bob=20" in z= loses its end, and a good signature fails. From Ann it passes, and dkimpy passes both.
# usual guess: z= is for people and no part of any decision (RFC 6376 section 3.5), so that it does no harm; a verifier
#   that passes one signature of a domain passes the next of the same signer.
# what follows: sallyport signs without z=, and empties b= where its parser found the tag, not where a
#   pattern matches.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
missing=$(apt-get install -s --no-install-recommends opendkim=2.11.0~beta2-8+deb12u1 2>/dev/null | awk '$1 == "Inst" && $2 != "opendkim" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q opendkim=2.11.0~beta2-8+deb12u1 $missing python3-dkim=1.1.4-1 python3-dnspython=2.3.0-1+deb12u1 >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
so=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:)
openssl genrsa -traditional -out key.pem 2048 2>/dev/null
chmod 600 key.pem
echo "v=DKIM1; p=$(openssl rsa -in key.pem -pubout -outform DER 2>/dev/null | base64 -w0)" >record

cat >sign.py <<'PY'
# Has OpenDKIM sign a message, and puts the field that it would insert on top.
import re, subprocess, sys

author, subject, diagnostics, out = sys.argv[1:]
open("conf", "w").write("Domain example.org\nSelector s\nKeyFile key.pem\nMode s\nCanonicalization relaxed/simple\nSyslog no\nRequireSafeKeys no\nDiagnostics %s\n" % diagnostics)
message = "From: %s\nSubject: %s\nDate: Sun, 29 Nov 2026 15:04:05 +0000\n\nhello\n" % (author, subject)
open("message", "w").write(message)
said = subprocess.run(["root/usr/sbin/opendkim", "-x", "conf", "-t", "message", "-vv"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout
field = re.search(r"hname='DKIM-Signature' hvalue='(\s*v=1.*?\bb=[A-Za-z0-9+/=\s]+)'", said, re.S)
assert field, said
assert ("z=" in field[1]) == (diagnostics == "yes"), field[1]
text = "DKIM-Signature:%s\n%s" % (field[1], message)
open(out, "wb").write(re.sub("\r?\n", "\r\n", text).encode())
PY
cat >verify.py <<'PY'
import sys
import dkim

record = open("record", "rb").read().strip()
try:
    print("pass" if dkim.verify(open(sys.argv[1], "rb").read(), dnsfunc=lambda name, timeout=5: record) else "fail")
except dkim.DKIMException as e:
    print(type(e).__name__)
PY
cat >go.mod <<'MOD'
module try

go 1.25.0

require github.com/emersion/go-msgauth v0.7.0
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

func main() {
	record, err := os.ReadFile("record")
	if err != nil {
		panic(err)
	}
	message, err := os.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	all, err := dkim.VerifyWithOptions(message, &dkim.VerifyOptions{LookupTXT: func(string) ([]string, error) { return []string{strings.TrimSpace(string(record))}, nil }})
	if err != nil {
		panic(err)
	}
	if all[0].Err != nil {
		fmt.Println("fail")
		return
	}
	fmt.Println("pass")
}
GO
export GOFLAGS=-mod=mod GOPATH=$dir/go
go mod tidy >/dev/null 2>&1
go build -o verify-go . >/dev/null 2>&1
one() { # AUTHOR SUBJECT DIAGNOSTICS
	LD_LIBRARY_PATH=$so /usr/bin/python3 sign.py "$1" "$2" "$3" signed
	echo "dkimpy $(PYTHONPATH=$dir/root/usr/lib/python3/dist-packages /usr/bin/python3 verify.py signed), go-msgauth $(./verify-go signed)"
}
{
	echo "from Ann:              $(one 'Ann <someone@example.org>' 'a letter' no)"
	echo "from Ann, with a copy: $(one 'Ann <someone@example.org>' 'a letter' yes)"
	echo "from Bob:              $(one 'Bob <someone@example.org>' 'a letter' no)"
	echo "from Bob, with a copy: $(one 'Bob <someone@example.org>' 'a letter' yes)"
} | tee out
diff out - <<'WANT'
from Ann:              dkimpy pass, go-msgauth pass
from Ann, with a copy: dkimpy pass, go-msgauth pass
from Bob:              dkimpy pass, go-msgauth pass
from Bob, with a copy: dkimpy pass, go-msgauth fail
WANT
