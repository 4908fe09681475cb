#!/usr/bin/env bash
# packages: github.com/emersion/go-smtp v0.26.0 (Go module)
# behaviour: what the server of the library hands to a program, and the program to the library's client, arrives as
#   something else. RCPT TO:<"a b"@example.org> is handed over without the quotes, and goes out as <a b@example.org>, which
#   its own server refuses; "o..o" becomes an address that is none. AUTH=<>, the value of RFC 4954 for
#   "the sender is not known", is handed over as empty and goes out as "AUTH=", for which the whole message is refused.
# usual guess: the two halves of one library, whose types are the same, pass on what they were told, as each
#   relay that is built of them assumes.
# what follows: sallyport writes the quotes again wherever an address needs them, and passes no AUTH on. A relay behind it that is built
#   so returns mail for such an address, or sends it to another.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOPATH=$dir/go
cat >go.mod <<'MOD'
module try

go 1.25.0

require github.com/emersion/go-smtp v0.26.0
MOD
cat >main.go <<'GO'
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// heard is what the server of the library told the program.
type heard struct {
	to   string
	auth *string
}

func (h *heard) Reset()                           {}
func (h *heard) Logout() error                    { return nil }
func (h *heard) Data(r io.Reader) error           { return nil }
func (h *heard) AuthMechanisms() []string         { return []string{"PLAIN"} }
func (h *heard) Auth(string) (sasl.Server, error) { return nil, errors.New("nobody") }

func (h *heard) Mail(from string, o *smtp.MailOptions) error {
	h.auth = o.Auth
	return nil
}

func (h *heard) Rcpt(to string, o *smtp.RcptOptions) error {
	h.to = to
	return nil
}

// serve starts a server that tells h, and says where.
func serve(h *heard) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return h, nil }))
	s.AllowInsecureAuth = true
	go s.Serve(l)
	return l.Addr().String()
}

// byHand says MAIL and RCPT as they stand, and gives the code of the last answer.
func byHand(addr string, lines ...string) string {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	answer := func() (code string) {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				panic(err)
			}
			if line[3] != '-' {
				return line[:3]
			}
		}
	}
	code := answer()
	for _, line := range append([]string{"EHLO client.example"}, lines...) {
		fmt.Fprintf(c, "%s\r\n", line)
		code = answer()
	}
	return code
}

// handOn gives what was heard to the client of the library, and the client to a server like the first.
func handOn(h *heard) string {
	c, err := smtp.Dial(serve(new(heard)))
	if err != nil {
		panic(err)
	}
	defer c.Close()
	if err := c.Mail("someone@example.net", &smtp.MailOptions{Auth: h.auth}); err != nil {
		return "MAIL is refused"
	}
	if err := c.Rcpt(h.to, nil); err != nil {
		return "RCPT is refused"
	}
	return "taken"
}

func main() {
	const mail = "MAIL FROM:<someone@example.net>"
	for _, lines := range [][]string{
		{mail, "RCPT TO:<ann@example.org>"},
		{mail, `RCPT TO:<"a b"@example.org>`},
		{mail, `RCPT TO:<"o..o"@example.org>`},
		{mail + " AUTH=someone@example.net", "RCPT TO:<ann@example.org>"},
		{mail + " AUTH=<>", "RCPT TO:<ann@example.org>"},
	} {
		h := new(heard)
		code := byHand(serve(h), lines...)
		said := strings.TrimPrefix(strings.Join(lines, " "), mail+" ")
		fmt.Printf("%s: %s, to %s; handed on: %s\n", said, code, h.to, handOn(h))
	}
}
GO
go mod tidy >/dev/null 2>&1
timeout 120 go run . | tee out
diff out - <<'WANT'
RCPT TO:<ann@example.org>: 250, to ann@example.org; handed on: taken
RCPT TO:<"a b"@example.org>: 250, to a b@example.org; handed on: RCPT is refused
RCPT TO:<"o..o"@example.org>: 250, to o..o@example.org; handed on: taken
AUTH=someone@example.net RCPT TO:<ann@example.org>: 250, to ann@example.org; handed on: taken
AUTH=<> RCPT TO:<ann@example.org>: 250, to ann@example.org; handed on: MAIL is refused
WANT
