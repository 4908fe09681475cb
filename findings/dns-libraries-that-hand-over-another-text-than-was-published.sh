#!/usr/bin/env bash
# packages: github.com/miekg/dns v1.1.73 (Go module); python3-dnspython 2.3.0-1+deb12u1, libnet-dns-perl 1.36-1+deb12u1, libnet-ip-perl,
#   libdigest-hmac-perl (Debian 12); Node.js 20
# versions: miekg/dns 1.1.73, dnspython 2.3.0, Net::DNS 1.36, Node.js 20
# behaviour: a TXT record is octets, in pieces of 255 at most, which whoever reads SPF, DKIM or DMARC joins without anything between (RFC 7208
#   section 3.3, RFC 6376 section 3.6.2.2). The pieces of miekg/dns are escaped as in a zone file: a quotation mark has a backslash before
#   it, each octet of "ó" is four characters. Net::DNS, asked for one string, puts a blank between the pieces, in the middle of a word
#   (its documentation says so; a list has none). Node.js makes a character of each octet. dnspython and Go's net have what was published.
# usual guess: the data of a record are what its owner wrote, and escapes a matter of printing it.
# what follows: sallyport asks with miekg/dns, takes the escapes away, and joins octets. A check of one's own records by another of these
#   libraries may tell a text that nobody published.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
apt-get download -q python3-dnspython=2.3.0-1+deb12u1 libnet-dns-perl=1.36-1+deb12u1 libnet-ip-perl libdigest-hmac-perl >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
cat >server.py <<'PY'
# Answers each question with one TXT record of two strings.
import os, socket, struct

STRINGS = [b'our host is call', 'ed "mx", ask Józef'.encode()]
DATA = b"".join(bytes([len(s)]) + s for s in STRINGS)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
open("port.new", "w").write(str(s.getsockname()[1]))
os.rename("port.new", "port")
while True:
    query, client = s.recvfrom(4096)
    end = query.index(b"\0", 12) + 5
    s.sendto(query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + query[12:end] +
             struct.pack(">HHHIH", 0xC00C, 16, 1, 60, len(DATA)) + DATA, client)
PY
cat >go.mod <<'MOD'
module try

go 1.25.0

require github.com/miekg/dns v1.1.73
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/miekg/dns"
)

func main() {
	server := "127.0.0.1:" + os.Args[2]
	if os.Args[1] == "net" {
		r := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return net.Dial("udp", server) }}
		texts, err := r.LookupTXT(context.Background(), "example.org.")
		if err != nil {
			panic(err)
		}
		fmt.Println(texts[0])
		return
	}
	m := new(dns.Msg)
	m.SetQuestion("example.org.", dns.TypeTXT)
	answer, err := dns.Exchange(m, server)
	if err != nil {
		panic(err)
	}
	fmt.Println(strings.Join(answer.Answer[0].(*dns.TXT).Txt, ""))
}
GO
cat >ask.py <<'PY'
import sys
import dns.resolver

r = dns.resolver.Resolver(configure=False)
r.nameservers, r.port = ["127.0.0.1"], int(sys.argv[1])
print(b"".join(r.resolve("example.org", "TXT")[0].strings).decode())
PY
cat >ask.pl <<'PL'
use strict; use warnings; use Net::DNS;
my ($form, $port) = @ARGV;
my $r = Net::DNS::Resolver->new(nameservers => ['127.0.0.1'], port => $port, recurse => 1, config_file => '/dev/null');
my ($rr) = $r->query('example.org', 'TXT')->answer;
my $text = $form eq 'list' ? join('', $rr->txtdata) : scalar $rr->txtdata;
utf8::encode($text);
print "$text\n";
PL
cat >ask.js <<'JS'
const { Resolver } = require('dns').promises
const r = new Resolver()
r.setServers([`127.0.0.1:${process.argv[2]}`])
r.resolveTxt('example.org').then(([pieces]) => console.log(pieces.join('')))
JS
export GOFLAGS=-mod=mod GOPATH=$dir/go
go mod tidy >/dev/null 2>&1
go build -o ask-go . >/dev/null 2>&1
timeout 200 /usr/bin/python3 server.py &
server=$!
for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
port=$(cat port)
export LC_ALL=C.UTF-8 PERL5LIB=$dir/root/usr/share/perl5 PYTHONPATH=$dir/root/usr/lib/python3/dist-packages
{
	echo "dnspython:        $(timeout 30 /usr/bin/python3 ask.py "$port")"
	echo "Go's net:         $(timeout 30 ./ask-go net "$port")"
	echo "Net::DNS, list:   $(timeout 30 perl ask.pl list "$port")"
	echo "Net::DNS, string: $(timeout 30 perl ask.pl string "$port")"
	echo "Node.js:          $(timeout 30 node ask.js "$port")"
	echo "miekg/dns:        $(timeout 30 ./ask-go miekg "$port")"
} | tee out
diff out - <<'WANT'
dnspython:        our host is called "mx", ask Józef
Go's net:         our host is called "mx", ask Józef
Net::DNS, list:   our host is called "mx", ask Józef
Net::DNS, string: our host is call ed "mx", ask Józef
Node.js:          our host is called "mx", ask JÃ³zef
miekg/dns:        our host is called \"mx\", ask J\195\179zef
WANT
