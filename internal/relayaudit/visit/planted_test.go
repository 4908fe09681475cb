package visit

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// planted is a mail server of example.test with faults planted in it. Without one it is closed.
type planted struct {
	open, ownSender, percent, second bool // ways of relaying
	anyCert                          bool // relays for whoever shows a certificate
	catchAll                         bool // takes every name at its own domain
	greylists                        bool // puts everybody off
	greylistsOthers                  bool // and everybody but the postmaster, at first
	helo                             bool // knows no EHLO
	signInFirst                      bool // answers MAIL by 503 until somebody signs in
	noData                           bool // takes no message now
	proxy, xclient, bdat, vrfy       bool
	injects                          bool // obeys what came with STARTTLS
	authInClear                      bool
	smuggled                         bool          // ends a message at LF . LF
	bounces                          bool          // takes names that nobody has, and bounces to the sender
	checksLate                       bool          // takes names that nobody has, and refuses at the end of the message
	signsIn                          bool          // knows AUTH PLAIN inside TLS
	slowName, slowSignIn             time.Duration // for the name that is there
	slowEnd                          time.Duration // before the answer to the end of a message

	cert tls.Certificate

	mu       sync.Mutex
	messages []string // what was delivered
	bounced  []string // what came back: to whom, and the message
	guesses  int
}

// start serves on loopback until the test ends.
func (p *planted) start(t *testing.T) netip.AddrPort {
	t.Helper()
	return p.startAt(t, "127.0.0.1:0")
}

func (p *planted) startAt(t *testing.T, at string) netip.AddrPort {
	t.Helper()
	var err error
	if p.cert, err = Nobody(time.Now()); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return netip.MustParseAddrPort(ln.Addr().String())
}

// talk is one connection.
type talk struct {
	p       *planted
	c       net.Conn
	br      *bufio.Reader
	tls     bool
	shown   bool
	from    string
	mailed  bool
	to      []string
	refused bool // in this connection
}

func (p *planted) serve(c net.Conn) {
	defer c.Close()
	s := &talk{p: p, c: c, br: bufio.NewReader(c)}
	if p.proxy {
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if b, err := s.br.Peek(6); err == nil && string(b) == "PROXY " {
			s.br.ReadString('\n')
		}
		c.SetReadDeadline(time.Time{})
	}
	s.say("220 mx.example.test ESMTP")
	for {
		line, err := s.br.ReadString('\n')
		if err != nil || !s.obey(strings.TrimRight(line, "\r\n")) {
			return
		}
	}
}

func (s *talk) say(format string, args ...any) { fmt.Fprintf(s.c, format+"\r\n", args...) }

// path returns what stands between the brackets, or up to the first blank.
func path(rest string) string {
	_, rest, _ = strings.Cut(rest, ":")
	rest, _, _ = strings.Cut(strings.TrimSpace(rest), " ")
	return strings.Trim(rest, "<>")
}

func (s *talk) reset() { s.from, s.mailed, s.to = "", false, nil }

func (s *talk) obey(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		s.reset()
		if s.p.helo {
			if strings.EqualFold(verb, "HELO") {
				s.say("250 mx.example.test")
			} else {
				s.say("500 what?")
			}
			return true
		}
		if s.p.signsIn && s.tls {
			s.say("250-mx.example.test\r\n250 AUTH PLAIN LOGIN")
			return true
		}
		s.say("250-mx.example.test\r\n250-PIPELINING\r\n250 STARTTLS")
	case "MAIL":
		if s.p.signInFirst {
			s.say("503 5.5.1 You must authenticate first.")
			return true
		}
		s.from, s.mailed = path(rest), true
		s.say("250 2.1.0 ok")
	case "RCPT":
		s.rcpt(path(rest))
	case "DATA":
		s.data()
	case "RSET":
		s.reset()
		s.say("250 2.0.0 ok")
	case "NOOP":
		s.say("250 2.0.0 ok")
	case "QUIT":
		s.say("221 2.0.0 bye")
		return false
	case "STARTTLS":
		return s.starttls()
	default:
		s.planted(strings.ToUpper(verb), rest)
	}
	return true
}

// planted answers what a closed server refuses.
func (s *talk) planted(verb, rest string) {
	switch {
	case verb == "AUTH" && s.p.signsIn && s.tls && strings.HasPrefix(rest, "PLAIN "):
		s.p.mu.Lock()
		s.p.guesses++
		s.p.mu.Unlock()
		b, _ := base64.StdEncoding.DecodeString(rest[len("PLAIN "):])
		if strings.HasPrefix(string(b), "\x00me@example.test\x00") {
			time.Sleep(s.p.slowSignIn)
		}
		s.say("535 5.7.8 no")
	case verb == "XCLIENT" && s.p.xclient:
		s.say("220 mx.example.test ESMTP")
	case verb == "BDAT" && s.p.bdat:
		s.say("250 2.0.0 ok")
	case verb == "VRFY" && s.p.vrfy && strings.HasPrefix(rest, "postmaster"):
		s.say("250 2.1.5 <postmaster@example.test>")
	case verb == "VRFY" && s.p.vrfy:
		s.say("550 5.1.1 nobody")
	case verb == "AUTH" && s.p.authInClear:
		s.say("334 ")
		s.br.ReadString('\n')
		s.say("501 5.5.2 given up")
	default:
		s.say("502 5.5.1 no")
	}
}

func (s *talk) rcpt(path string) {
	local, domain, _ := strings.Cut(strings.ToLower(path), "@")
	if i := strings.LastIndexByte(path, '@'); i >= 0 {
		local, domain = path[:i], strings.ToLower(path[i+1:])
	}
	here := domain == "example.test" || domain == ""
	known := local == "postmaster" || local == "me"
	if here && known {
		time.Sleep(s.p.slowName)
	}
	relays := s.p.open || s.p.anyCert && s.shown || s.p.second && s.refused ||
		s.p.ownSender && strings.HasSuffix(s.from, "@example.test")
	switch {
	case !s.mailed:
		s.say("503 5.5.1 MAIL first")
		return
	case s.p.greylists:
		s.say("451 4.7.1 come again later")
		return
	case s.p.greylistsOthers && !(here && local == "postmaster"):
		s.say("450 4.2.0 <%s>: Recipient address rejected: Greylisted, see http://postgrey.example/", path)
		return
	case here && (known || s.p.catchAll || s.p.bounces || s.p.checksLate || s.p.percent && strings.Contains(local, "%")), !here && relays:
		s.to = append(s.to, path)
		s.say("250 2.1.5 ok")
		return
	case here:
		s.say("550 5.1.1 nobody")
		return
	}
	s.refused = true
	s.say("454 4.7.1 relay access denied")
}

func (s *talk) starttls() bool {
	kept := make([]byte, s.br.Buffered())
	io.ReadFull(s.br, kept)
	s.say("220 2.0.0 go")
	c := tls.Server(s.c, &tls.Config{Certificates: []tls.Certificate{s.p.cert}, ClientAuth: tls.RequestClientCert})
	if c.Handshake() != nil {
		return false
	}
	s.c, s.br, s.tls, s.shown = c, bufio.NewReader(c), true, len(c.ConnectionState().PeerCertificates) > 0
	if s.p.injects {
		s.br = bufio.NewReader(io.MultiReader(strings.NewReader(string(kept)), c))
	}
	s.reset()
	return true
}

func (s *talk) data() {
	if len(s.to) == 0 {
		s.say("554 5.5.1 nobody to give it to")
		return
	}
	if s.p.noData {
		s.say("451 4.3.0 not now")
		return
	}
	s.say("354 go ahead")
	var text strings.Builder
	for {
		line, err := s.br.ReadString('\n')
		if err != nil {
			return // not ended: not delivered
		}
		if line == ".\r\n" && strings.HasSuffix(text.String(), "\r\n") || line == ".\n" && s.p.smuggled {
			break
		}
		text.WriteString(line)
	}
	nobody := strings.HasPrefix(s.to[0], "no-such-user-")
	if nobody && s.p.checksLate {
		s.reset()
		s.say("550 5.1.1 nobody of this name")
		return
	}
	s.p.mu.Lock()
	if nobody && s.p.bounces {
		s.p.bounced = append(s.p.bounced, s.from+"\n"+text.String())
	}
	s.p.messages = append(s.p.messages, strings.Join(s.to, " ")+"\n"+text.String())
	s.p.mu.Unlock()
	s.reset()
	time.Sleep(s.p.slowEnd)
	s.say("250 2.0.0 taken")
}

// delivered returns what was delivered.
func (p *planted) delivered() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.messages
}
