#!/usr/bin/env bash
# packages: github.com/emersion/go-smtp v0.25.1, github.com/emersion/go-imap/v2 v2.0.0-beta.8 (Go modules)
# behaviour: an SMTP server of go-smtp that was closed before it began to serve serves all the same:
#   Serve does not look whether it was closed, greets whoever connects, and returns only once
#   somebody else closes the listener. Its sibling go-imap and net/http return at once and say why.
# usual guess: Serve after Close returns at once, as in net/http, so that "go s.Serve(l)" beside a
#   deferred Close can't outlive it, however the two fall out.
# what follows: what waits for such a server's end closes the listener too. A test double of sallyport
#   did not, and its test waited for ever about once in some hundred runs.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOPATH=$dir/go
cat >go.mod <<'MOD'
module try

go 1.25.0

require (
	github.com/emersion/go-imap/v2 v2.0.0-beta.8
	github.com/emersion/go-smtp v0.25.1
)
MOD
cat >main.go <<'GO'
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-smtp"
)

type server interface {
	Serve(net.Listener) error
	Close() error
}

// after closes a server, lets it serve, and says how that went.
func after(s server) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	s.Close()
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Sprintf("Serve returns (%v)", err)
	case <-time.After(2 * time.Second):
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return "Serve goes on, and nobody is let in"
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "Serve goes on, and is silent"
	}
	return "Serve goes on, and greets with " + line[:3]
}

func main() {
	nobody := errors.New("nobody")
	mail := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return nil, nobody }))
	boxes := imapserver.New(&imapserver.Options{NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) { return nil, nil, nobody }})
	fmt.Println("net/http:", after(&http.Server{}))
	fmt.Println("go-imap: ", after(boxes))
	fmt.Println("go-smtp: ", after(mail))
}
GO
go mod tidy >/dev/null 2>&1
go run . | tee out
diff out - <<'WANT'
net/http: Serve returns (http: Server closed)
go-imap:  Serve returns (imapserver: server closed)
go-smtp:  Serve goes on, and greets with 220
WANT
