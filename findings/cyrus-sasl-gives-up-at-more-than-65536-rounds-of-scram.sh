#!/usr/bin/env bash
# packages: libsasl2-2 and libsasl2-modules 2.1.28+dfsg-10+deb12u1, libgsasl18 2.2.0-1+deb12u2 with libgssglue1, libidn12 and libntlm0
#   (Debian 12); github.com/xdg-go/scram v1.4.0 (Go module)
# versions: Cyrus SASL 2.1.28, with which Postfix signs in elsewhere; GNU SASL 2.2.0; xdg-go/scram 1.4.0
# behaviour: a server says in SCRAM by how many rounds the password is hashed. Cyrus SASL takes 65,536 of them, and at one more ends
#   the exchange ("iteration-count is too big, refusing to compute") before it has proven anything. GNU SASL and xdg-go/scram sign
#   in with 600,000 just as well.
# usual guess: the number is the server's to choose (RFC 5802 section 5.1), RFC 7677 knows a least one alone, and what is
#   recommended for PBKDF2 today, 600,000, is what each client of today computes.
# what follows: the 15,000 of sallyport's auth.scram_rounds are known to every client. Who sets more than 65536 locks Postfix and whatever
#   else is built on Cyrus SASL out, if it may not use PLAIN.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -q libsasl2-2=2.1.28+dfsg-10+deb12u1 libsasl2-modules=2.1.28+dfsg-10+deb12u1 \
	libgsasl18=2.2.0-1+deb12u2 libgssglue1 libidn12 libntlm0 >/dev/null
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
lib.gsasl_property_set(session, PASSWORD, b"a password")


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
password = b"a password"
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
cat >go.mod <<'MOD'
module try

go 1.25.0

require github.com/xdg-go/scram v1.4.0
MOD
cat >main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/xdg-go/scram"
)

func main() {
	c, err := scram.SHA256.NewClient("someone", "a password", "")
	if err != nil {
		panic(err)
	}
	conv := c.NewConversation()
	first, _ := conv.Step("")
	fmt.Println(first)
	told, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	last, err := conv.Step(strings.TrimSuffix(told, "\n"))
	if err != nil {
		last = "error: " + err.Error()
	}
	fmt.Println(last)
}
GO
cat >server.py <<'PY'
# Is a server of SCRAM to the program of its arguments, and says how that fares.
import base64, hashlib, hmac, subprocess, sys


def attempt(program, rounds):
    client = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    bare = client.stdout.readline().rstrip("\n")[len("n,,"):]
    first = "r=%sserver,s=%s,i=%d" % (bare.split(",r=")[1], base64.b64encode(b"0123456789abcdef").decode(), rounds)
    last = client.communicate(first + "\n", timeout=60)[0].rstrip("\n")
    if last.startswith("error"):
        return last
    bound, proof = last.rsplit(",p=", 1)
    key = hmac.digest(hashlib.pbkdf2_hmac("sha256", b"a password", b"0123456789abcdef", rounds), b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(key).digest(), ",".join((bare, first, bound)).encode(), "sha256")
    return "signed in" if bytes(a ^ b for a, b in zip(key, signature)) == base64.b64decode(proof) else "wrong password"


for rounds in (4096, 65536, 65537, 600000):
    print("  %6d rounds: %s" % (rounds, attempt(sys.argv[1:], rounds)))
PY
export GOFLAGS=-mod=mod GOPATH=$dir/go
go mod tidy >/dev/null 2>&1
go build -o client-go . >/dev/null 2>&1
LD_LIBRARY_PATH=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:)
SASL_PATH=$(echo "$dir"/root/usr/lib/*/sasl2)
export LD_LIBRARY_PATH SASL_PATH
{
	echo Cyrus SASL
	/usr/bin/python3 server.py /usr/bin/python3 cyrus.py
	echo GNU SASL
	/usr/bin/python3 server.py /usr/bin/python3 gsasl.py
	echo xdg-go/scram
	/usr/bin/python3 server.py ./client-go
} | tee out
diff out - <<'WANT'
Cyrus SASL
    4096 rounds: signed in
   65536 rounds: signed in
   65537 rounds: error: iteration-count is too big, refusing to compute
  600000 rounds: error: iteration-count is too big, refusing to compute
GNU SASL
    4096 rounds: signed in
   65536 rounds: signed in
   65537 rounds: signed in
  600000 rounds: signed in
xdg-go/scram
    4096 rounds: signed in
   65536 rounds: signed in
   65537 rounds: signed in
  600000 rounds: signed in
WANT
