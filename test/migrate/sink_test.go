package migrate

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// sink is a server for SMTP and LMTP that takes everybody but ghosts, and remembers who got
// which message.
type sink struct {
	mu  sync.Mutex
	got map[string][]string // recipients, by the token of the message
}

// listen opens the sink at an address.
func (s *sink) listen(t *testing.T, network, address string) net.Addr {
	t.Helper()
	ln, err := net.Listen(network, address)
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(nc)
		}
	}()
	return ln.Addr()
}

func (s *sink) serve(nc net.Conn) {
	defer nc.Close()
	in := bufio.NewReader(nc)
	say := func(format string, a ...any) { fmt.Fprintf(nc, format+"\r\n", a...) }
	say("220 sink.test")
	var to []string
	lmtp := false
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(strings.TrimSpace(line[:min(len(line), 5)])); verb {
		case "EHLO", "HELO":
			say("250 sink.test")
		case "LHLO":
			lmtp = true
			say("250 sink.test")
		case "MAIL", "RSET":
			to = nil
			say("250 2.0.0 fine")
		case "RCPT":
			a := line[strings.IndexByte(line, '<')+1 : strings.IndexByte(line, '>')]
			if strings.HasPrefix(a, "ghost") {
				say("550 5.1.1 nobody")
				continue
			}
			to = append(to, a)
			say("250 2.1.5 fine")
		case "DATA":
			say("354 go on")
			s.take(in, to)
			for range to {
				say("250 2.0.0 taken")
				if !lmtp {
					break
				}
			}
		case "QUIT":
			say("221 2.0.0 bye")
			return
		default:
			say("250 2.0.0 fine")
		}
	}
}

// take reads one message.
func (s *sink) take(in *bufio.Reader, to []string) {
	token := "?"
	for {
		line, err := in.ReadString('\n')
		if err != nil || strings.TrimRight(line, "\r\n") == "." {
			break
		}
		if rest, ok := strings.CutPrefix(line, "Message-ID: <"); ok {
			token, _, _ = strings.Cut(rest, "@")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got[token] = append(s.got[token], to...)
}

// places returns who got a message.
func (s *sink) places(token string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got[token]...)
}
