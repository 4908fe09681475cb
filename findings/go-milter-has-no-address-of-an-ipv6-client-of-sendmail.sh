#!/usr/bin/env bash
# packages: github.com/emersion/go-milter v0.5.0 (Go module); python3-milter 1.0.5-1+b3, libmilter1.0.1 8.17.1.9-2+deb12u2 (Debian 12)
# versions: go-milter 0.5.0; libmilter 8.17.1, by pymilter 1.0.5
# behaviour: Sendmail tells a filter the address of an IPv6 client with "IPv6:" before it, Postfix without.
#   libmilter takes both. go-milter has no address (nil) where it is told as Sendmail does. It also keeps
#   the macros of the last command alone: what came with the connection ({client_addr}) or MAIL
#   is gone at the end of the message, where libmilter still has it.
# usual guess: one protocol, one form of an address, and a macro lasts as long as what it is about, as the
#   documentation of smfi_getsymval has it.
# what follows: sallyport tells addresses as Postfix does, since each filter reads that.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${filter:-}" 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -q python3-milter=1.0.5-1+b3 libmilter1.0.1=8.17.1.9-2+deb12u2 >/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
cat >go.mod <<'MOD'
module try

go 1.25.0

require github.com/emersion/go-milter v0.5.0
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"os"

	"github.com/emersion/go-milter"
)

type filter struct {
	milter.NoOpMilter
	address net.IP
}

func (f *filter) Connect(host, family string, port uint16, addr net.IP, m *milter.Modifier) (milter.Response, error) {
	f.address = addr
	return milter.RespContinue, nil
}

func (f *filter) Body(m *milter.Modifier) (milter.Response, error) {
	_, kept := m.Macros["{client_addr}"]
	fmt.Printf("address %v, macro of the connection at the end: %v\n", f.address, kept)
	return milter.RespAccept, nil
}

func main() {
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	s := milter.Server{NewMilter: func() milter.Milter { return &filter{} }}
	_ = s.Serve(l)
}
GO
cat >filter.py <<'PY'
import sys
import Milter


class Filter(Milter.Base):
    def connect(self, host, family, address):
        self.address = address[0] if address else "<nil>"
        return Milter.CONTINUE

    def eom(self):
        kept = self.getsymval("{client_addr}") is not None
        print("address %s, macro of the connection at the end: %s" % (self.address, str(kept).lower()), flush=True)
        return Milter.ACCEPT


Milter.factory = Filter
Milter.runmilter("try", "unix:" + sys.argv[1], 30)
PY
cat >mta.py <<'PY'
# Shows a filter one message, as a mail server does.
import socket, struct, sys

conn = socket.socket(socket.AF_UNIX)
conn.settimeout(20)
conn.connect(sys.argv[1])
f = conn.makefile("rwb")


def send(command, data=b""):
    f.write(struct.pack(">I", len(data) + 1) + command + data)
    f.flush()


def receive():
    return f.read(struct.unpack(">I", f.read(4))[0])


def step(command, data, unwanted, silent):
    if not protocol & unwanted:
        send(command, data)
        if not protocol & silent:
            receive()


send(b"O", struct.pack(">III", 6, 0x1FF, 0x1FFFFF))
protocol = struct.unpack(">I", receive()[9:13])[0]
send(b"D", b"C{client_addr}\0" + b"2001:db8::1\0")
step(b"C", b"client.example\0" + b"6" + b"\0\0" + sys.argv[2].encode() + b"\0", 0x1, 0x1000)
step(b"H", b"client.example\0", 0x2, 0x2000)
send(b"D", b"Mi\0" + b"4711\0")
step(b"M", b"<someone@example.org>\0", 0x4, 0x4000)
step(b"R", b"<other@example.net>\0", 0x8, 0x8000)
step(b"T", b"", 0x200, 0x10000)
step(b"L", b"Subject\0x\0", 0x20, 0x80)
step(b"N", b"", 0x40, 0x40000)
step(b"B", b"hello\r\n", 0x10, 0x80000)
send(b"E")
receive()
send(b"Q")
PY
export GOFLAGS=-mod=mod GOPATH=$dir/go
go mod tidy >/dev/null 2>&1
go build -o filter-go . >/dev/null 2>&1
so=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:)
ask() { # SOCKET ADDRESS
	for _ in $(seq 100); do [ -S "$1" ] && break; sleep 0.1; done
	/usr/bin/python3 mta.py "$1" "$2"
}
timeout 120 ./filter-go go.sock >go.out &
filter=$!
ask go.sock IPv6:2001:db8::1
ask go.sock 2001:db8::1
kill "$filter"
LD_LIBRARY_PATH=$so PYTHONPATH=$dir/root/usr/lib/python3/dist-packages timeout 120 /usr/bin/python3 filter.py c.sock >c.out &
filter=$!
ask c.sock IPv6:2001:db8::1
ask c.sock 2001:db8::1
kill "$filter"
{
	echo "go-milter, as Sendmail tells it: $(sed -n 1p go.out)"
	echo "go-milter, as Postfix tells it:  $(sed -n 2p go.out)"
	echo "libmilter, as Sendmail tells it: $(sed -n 1p c.out)"
	echo "libmilter, as Postfix tells it:  $(sed -n 2p c.out)"
} | tee out
diff out - <<'WANT'
go-milter, as Sendmail tells it: address <nil>, macro of the connection at the end: false
go-milter, as Postfix tells it:  address 2001:db8::1, macro of the connection at the end: false
libmilter, as Sendmail tells it: address 2001:db8::1, macro of the connection at the end: true
libmilter, as Postfix tells it:  address 2001:db8::1, macro of the connection at the end: true
WANT
