#!/usr/bin/env bash
# packages: libsasl2-2 and libsasl2-modules 2.1.28+dfsg-10+deb12u1, libgsasl18 2.2.0-1+deb12u2 with libgssglue1, libidn12 and libntlm0,
#   libauthen-scram-perl 0.011-2 and what it depends on (Debian 12); github.com/xdg-go/scram v1.4.0, mellium.im/sasl v0.3.2 and
#   github.com/wneessen/go-mail v0.7.2 (Go modules)
# versions: Cyrus SASL 2.1.28, GNU SASL 2.2.0, Authen::SCRAM 0.011, xdg-go/scram 1.4.0, mellium/sasl 0.3.2, go-mail 0.7.2
# behaviour: SCRAM hashes a password once it is prepared by SASLprep (RFC 5802 section 2.2), so that each way to type it is one. Cyrus
#   SASL and mellium hash what was typed: with a no-break space, or an accent of its own, the password is wrong at a server that
#   prepared it. go-mail prepares by another rule, which leaves the Roman numeral of one character as it is. GNU SASL,
#   Authen::SCRAM and xdg-go/scram prepare, and cannot use a password with a rupee sign at all, which Unicode had not
#   when SASLprep was made: the exchange ends before the server is told anything. The other three sign in with it.
# usual guess: a password that signs in by PLAIN signs in by SCRAM with every library, whatever is in it: the RFC says how it
#   is prepared.
# what follows: sallyport's verifiers are of what SASLprep makes, and of RFC 8265's form where SASLprep refuses: there is none that all
#   six agree on. A password of ASCII alone is the one that works by every mechanism of every program.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -q libsasl2-2=2.1.28+dfsg-10+deb12u1 libsasl2-modules=2.1.28+dfsg-10+deb12u1 \
	libgsasl18=2.2.0-1+deb12u2 libgssglue1 libidn12 libntlm0 >/dev/null 2>&1
missing=$(apt-get install -s --no-install-recommends libauthen-scram-perl=0.011-2 2>/dev/null | awk '$1 == "Inst" && $2 != "libauthen-scram-perl" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q libauthen-scram-perl=0.011-2 $missing >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
# Each client prints its first message, reads the server's, and prints the last one, or what is wrong.
cat >gsasl.py <<'PY'
import ctypes, sys

lib = ctypes.CDLL("libgsasl.so.18")
lib.gsasl_strerror_name.restype = ctypes.c_char_p
ctx, session = ctypes.c_void_p(), ctypes.c_void_p()
assert lib.gsasl_init(ctypes.byref(ctx)) == 0
assert lib.gsasl_client_start(ctx, b"SCRAM-SHA-256", ctypes.byref(session)) == 0
AUTHID, PASSWORD = 1, 3
lib.gsasl_property_set(session, AUTHID, b"someone")
lib.gsasl_property_set(session, PASSWORD, sys.argv[1].encode())


def step(told):
    out, size = ctypes.c_void_p(), ctypes.c_size_t()
    rc = lib.gsasl_step(session, told, ctypes.c_size_t(len(told or b"")), ctypes.byref(out), ctypes.byref(size))
    if rc not in (0, 1):
        sys.exit(print("error: " + lib.gsasl_strerror_name(rc).decode()))
    print(ctypes.string_at(out, size.value).decode(), flush=True)


step(None)
step(sys.stdin.readline().rstrip("\n").encode())
PY
cat >cyrus.py <<'PY'
import ctypes as C
import sys

lib = C.CDLL("libsasl2.so.2")
lib.sasl_errdetail.restype = C.c_char_p
USER, AUTHNAME, PASS = 0x4001, 0x4002, 0x4004
password = sys.argv[1].encode()
secret = C.create_string_buffer(bytes(C.c_ulong(len(password))) + password)


class Callback(C.Structure):
    _fields_ = [("id", C.c_ulong), ("proc", C.c_void_p), ("context", C.c_void_p)]


@C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_int, C.POINTER(C.c_char_p), C.POINTER(C.c_uint))
def name(context, which, result, size):
    result[0] = b"someone" if which == AUTHNAME else b""
    if size:
        size[0] = len(result[0])
    return 0


@C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_void_p, C.c_int, C.POINTER(C.c_void_p))
def passphrase(conn, context, which, result):
    result[0] = C.addressof(secret)
    return 0


def callback(which, proc):
    return Callback(which, C.cast(proc, C.c_void_p), None)


callbacks = (Callback * 4)(callback(USER, name), callback(AUTHNAME, name), callback(PASS, passphrase), Callback(0, None, None))
conn, out, size, chosen = C.c_void_p(), C.c_void_p(), C.c_uint(), C.c_char_p()
assert lib.sasl_client_init(callbacks) == 0
assert lib.sasl_client_new(b"smtp", b"mail.example.org", None, None, callbacks, 0, C.byref(conn)) == 0


def show(rc):
    if rc not in (0, 1):
        sys.exit(print("error: " + lib.sasl_errdetail(conn).decode().split(": ")[-1]))
    print(C.string_at(out, size.value).decode(), flush=True)


show(lib.sasl_client_start(conn, b"SCRAM-SHA-256", None, C.byref(out), C.byref(size), C.byref(chosen)))
told = sys.stdin.readline().rstrip("\n").encode()
show(lib.sasl_client_step(conn, told, len(told), None, C.byref(out), C.byref(size)))
PY
cat >authen.pl <<'PL'
use strict; use warnings; use Encode; use Authen::SCRAM::Client;
$| = 1;
my $c = Authen::SCRAM::Client->new(username => 'someone', password => decode('UTF-8', $ARGV[0]), digest => 'SHA-256');
print $c->first_msg, "\n";
chomp(my $told = <STDIN>);
my $last = eval { $c->final_msg($told) };
print $@ ? 'error: ' . ($@ =~ /(unassigned character)/)[0] : $last, "\n";
PL
cat >go.mod <<'MOD'
module try

go 1.25.0

require (
	github.com/wneessen/go-mail v0.7.2
	github.com/xdg-go/scram v1.4.0
	mellium.im/sasl v0.3.2
)
MOD
cat >main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/wneessen/go-mail/smtp"
	"github.com/xdg-go/scram"
	"mellium.im/sasl"
)

// steps returns what makes the messages of the client.
func steps(library, password string) func(told []byte) ([]byte, error) {
	switch library {
	case "xdg":
		c, err := scram.SHA256.NewClient("someone", password, "")
		if err != nil {
			return func([]byte) ([]byte, error) { return nil, err }
		}
		conv := c.NewConversation()
		return func(told []byte) ([]byte, error) { s, err := conv.Step(string(told)); return []byte(s), err }
	case "mellium":
		n := sasl.NewClient(sasl.ScramSha256, sasl.Credentials(func() ([]byte, []byte, []byte) {
			return []byte("someone"), []byte(password), nil
		}))
		return func(told []byte) ([]byte, error) { _, b, err := n.Step(told); return b, err }
	default:
		a := smtp.ScramSHA256Auth("someone", password)
		if _, _, err := a.Start(&smtp.ServerInfo{Name: "mail.example.org", TLS: true}); err != nil {
			panic(err)
		}
		return func(told []byte) ([]byte, error) { return a.Next(told, true) }
	}
}

func main() {
	step := steps(os.Args[1], os.Args[2])
	say := func(told []byte) {
		b, err := step(told)
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(0)
		}
		fmt.Println(string(b))
	}
	say(nil)
	told, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	say([]byte(strings.TrimSuffix(told, "\n")))
}
GO
cat >server.py <<'PY'
# Is a server of SCRAM to the program of its arguments, and says how that fares.
import base64, hashlib, hmac, subprocess, sys

SALT, ROUNDS = b"0123456789abcdef", 4096


def attempt(program, typed, prepared):
    client = subprocess.Popen(program + [typed], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    bare = client.stdout.readline().rstrip("\n")
    if bare.startswith("error"):
        client.communicate()
        return bare
    bare = bare[len("n,,"):]
    first = "r=%sserver,s=%s,i=%d" % (bare.split("r=")[-1], base64.b64encode(SALT).decode(), ROUNDS)
    last = client.communicate(first + "\n", timeout=60)[0].rstrip("\n")
    if last.startswith("error"):
        return last
    bound, proof = last.rsplit(",p=", 1)
    key = hmac.digest(hashlib.pbkdf2_hmac("sha256", prepared.encode(), SALT, ROUNDS), b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(key).digest(), ",".join((bare, first, bound)).encode(), "sha256")
    return "signed in" if bytes(a ^ b for a, b in zip(key, signature)) == base64.b64decode(proof) else "wrong password"


for what, typed, prepared in (
    ("an umlaut", "gr\u00fcn", "gr\u00fcn"),
    ("the same, of two characters", "gru\u0308n", "gr\u00fcn"),
    ("a no-break space", "a\u00a0password", "a password"),
    ("the Roman numeral nine", "\u2168", "IX"),
    ("a rupee sign", "\u20b9 100", "\u20b9 100"),
):
    print("  %-28s %s" % (what + ":", attempt(sys.argv[1:], typed, prepared)))
PY
export GOFLAGS=-mod=mod GOPATH=$dir/go
go mod tidy >/dev/null 2>&1
go build -o client-go . >/dev/null 2>&1
LD_LIBRARY_PATH=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:)
SASL_PATH=$(echo "$dir"/root/usr/lib/*/sasl2)
PERL5LIB=$dir/root/usr/share/perl5:$(echo "$dir"/root/usr/lib/*/perl5/5.* | tr ' ' ':')
export LD_LIBRARY_PATH SASL_PATH PERL5LIB
{
	echo Cyrus SASL
	/usr/bin/python3 server.py /usr/bin/python3 cyrus.py
	echo mellium/sasl
	/usr/bin/python3 server.py ./client-go mellium
	echo go-mail
	/usr/bin/python3 server.py ./client-go go-mail
	echo GNU SASL
	/usr/bin/python3 server.py /usr/bin/python3 gsasl.py
	echo Authen::SCRAM
	/usr/bin/python3 server.py perl authen.pl
	echo xdg-go/scram
	/usr/bin/python3 server.py ./client-go xdg
} | tee out
diff out - <<'WANT'
Cyrus SASL
  an umlaut:                   signed in
  the same, of two characters: wrong password
  a no-break space:            wrong password
  the Roman numeral nine:      wrong password
  a rupee sign:                signed in
mellium/sasl
  an umlaut:                   signed in
  the same, of two characters: wrong password
  a no-break space:            wrong password
  the Roman numeral nine:      wrong password
  a rupee sign:                signed in
go-mail
  an umlaut:                   signed in
  the same, of two characters: signed in
  a no-break space:            signed in
  the Roman numeral nine:      wrong password
  a rupee sign:                signed in
GNU SASL
  an umlaut:                   signed in
  the same, of two characters: signed in
  a no-break space:            signed in
  the Roman numeral nine:      signed in
  a rupee sign:                error: GSASL_SASLPREP_ERROR
Authen::SCRAM
  an umlaut:                   signed in
  the same, of two characters: signed in
  a no-break space:            signed in
  the Roman numeral nine:      signed in
  a rupee sign:                error: unassigned character
xdg-go/scram
  an umlaut:                   signed in
  the same, of two characters: signed in
  a no-break space:            signed in
  the Roman numeral nine:      signed in
  a rupee sign:                error: Error SASLprepping password: prohibited character
WANT
