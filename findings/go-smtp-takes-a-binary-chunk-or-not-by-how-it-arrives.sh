#!/usr/bin/env bash
# packages: github.com/emersion/go-smtp v0.26.0 (Go module)
# behaviour: a server of go-smtp with EnableBINARYMIME offers CHUNKING and BINARYMIME (RFC 3030), where a chunk has no lines. It measures the
#   lines of what it reads together with the command all the same: "BDAT 3000 LAST" and a chunk without line ends
#   in one write are answered "500 Too long line", and the connection is closed; in two writes, the second a moment later, the same
#   chunk is taken.
# usual guess: the limit of a line is off while a chunk is read; and a client that pipelines, as the RFC has it, fares
#   no worse than one that waits.
# what follows: sallyport sends command and chunk together and never BINARYMIME, which it offers to nobody either: what it hands on by
#   BDAT has the lines that DATA would have.
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
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

type session struct{}

func (session) Reset()                               {}
func (session) Logout() error                        { return nil }
func (session) Mail(string, *smtp.MailOptions) error { return nil }
func (session) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (session) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// send shows a server one message in one chunk, and says what became of it.
func send(addr, chunk string, pause time.Duration) string {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(c)
	answer := func() string {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return "the connection is closed"
			}
			if line[3] != '-' {
				return strings.TrimSpace(line)
			}
		}
	}
	answer()
	for _, line := range []string{"EHLO client.example", "MAIL FROM:<someone@example.net> BODY=BINARYMIME", "RCPT TO:<other@example.org>"} {
		fmt.Fprintf(c, "%s\r\n", line)
		if said := answer(); !strings.HasPrefix(said, "250") {
			panic(said)
		}
	}
	command := fmt.Sprintf("BDAT %d LAST\r\n", len(chunk))
	if pause == 0 {
		io.WriteString(c, command+chunk)
	} else {
		io.WriteString(c, command)
		time.Sleep(pause)
		io.WriteString(c, chunk)
	}
	return answer()
}

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return session{}, nil }))
	s.EnableBINARYMIME = true
	s.ErrorLog = nothing{}
	go s.Serve(l)
	lines, binary := strings.Repeat(strings.Repeat("x", 98)+"\r\n", 30), strings.Repeat("x", 3000)
	fmt.Println("lines, in one write: ", send(l.Addr().String(), lines, 0))
	fmt.Println("binary, in two:      ", send(l.Addr().String(), binary, time.Second))
	fmt.Println("binary, in one write:", send(l.Addr().String(), binary, 0))
}

type nothing struct{}

func (nothing) Printf(string, ...interface{}) {}
func (nothing) Println(...interface{})        {}
GO
go mod tidy >/dev/null 2>&1
timeout 120 go run . | tee out
diff out - <<'WANT'
lines, in one write:  250 2.0.0 OK: queued
binary, in two:       250 2.0.0 OK: queued
binary, in one write: 500 5.4.0 Too long line, closing connection
WANT
