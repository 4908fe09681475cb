package node

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/operate"
)

// innerServer is a server behind us that takes everybody at RCPT but whom it knows to
// have gone, and refuses at the end of data whose mailbox is full.
type innerServer struct {
	net.Listener
	mu    sync.Mutex
	gone  map[string]bool
	full  bool
	off   bool
	asked map[string]int // by address: RCPT
}

func newInnerServer(t *testing.T) *innerServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &innerServer{Listener: ln, gone: map[string]bool{}, asked: map[string]int{}}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.talk(c)
		}
	}()
	return s
}

func (s *innerServer) change(fn func()) { s.mu.Lock(); defer s.mu.Unlock(); fn() }

func (s *innerServer) talk(c net.Conn) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	fmt.Fprint(c, "220 inner.test ESMTP\r\n")
	for lines.Scan() {
		word, arg, _ := strings.Cut(lines.Text(), ":")
		reply := "250 2.0.0 ok"
		switch strings.ToUpper(word) {
		case "RCPT TO":
			address := strings.ToLower(strings.Trim(strings.Fields(arg)[0], "<>"))
			s.change(func() {
				s.asked[address]++
				if s.gone[address] {
					reply = "550 5.1.1 nobody"
				}
			})
		case "DATA":
			fmt.Fprint(c, "354 go\r\n")
			for lines.Scan() && lines.Text() != "." {
			}
			s.change(func() {
				if s.full {
					reply = "552 5.2.2 the mailbox is full"
				} else if s.off {
					reply = "554 5.2.1 the mailbox is disabled"
				}
			})
		case "QUIT":
			reply = "221 2.0.0 bye"
		}
		fmt.Fprint(c, reply+"\r\n")
	}
}

func (s *innerServer) questions(address string) (n int) {
	s.change(func() { n = s.asked[address] })
	return n
}

// What the server behind refuses for good at a delivery is not remembered as taken; what
// is remembered is listed, and forgotten on demand, with a fact.
func TestWhatServersBehindSaid(t *testing.T) {
	inner := newInnerServer(t)
	s := newSite(t, nil, "[domain.\"behind.test\"]\ndeliver = \"smtp://192.0.2.9\"\ntls = \"none\"\nrecipients = \"callout\"\n")
	o := s.options()
	o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, inner.Addr().String())
	}
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(n)
	known := func(want string) {
		t.Helper()
		var got []string
		must(t, n.Operator().CalloutList(t.Context(), root, operate.CalloutRef{Domain: "behind.test"}, func(c operate.Callout) error {
			if !strings.HasPrefix(c.Address, "sallyport-asks-") {
				got = append(got, c.Address+" "+c.State)
			}
			return nil
		}))
		if strings.Join(got, ", ") != want {
			t.Errorf("known is %q, want %q", got, want)
		}
	}
	if err := n.Operator().CalloutList(t.Context(), root, operate.CalloutRef{}, nil); err == nil || !strings.Contains(err.Error(), "no server runs") {
		t.Error(err)
	}
	r := s.serve(n)
	c := connect(t, r.Addrs().MX[0])
	c.ok("250", "EHLO client.test")
	give := func(to, rcpt string) {
		t.Helper()
		c.ok("250", "MAIL FROM:<x@remote.test>")
		if c.ok(rcpt, "RCPT TO:<%s>", to); rcpt != "250" {
			c.ok("250", "RSET")
			return
		}
		c.ok("354", "DATA")
		c.ok("250", "From: x@remote.test\r\nSubject: x\r\n\r\nHello.\r\n.")
	}
	give("carl@behind.test", "250")
	give("carl@behind.test", "250")
	eventually(t, "carl's mail is delivered", func() bool { return inner.questions("carl@behind.test") >= 3 }) // asked once, given twice
	known("carl@behind.test taken")

	inner.change(func() { inner.full = true })
	give("carl@behind.test", "250")
	unknown := func() bool {
		known := 0
		must(t, n.Operator().CalloutList(t.Context(), root, operate.CalloutRef{Addresses: []string{"carl@behind.test"}}, func(operate.Callout) error { known++; return nil }))
		return known == 0
	}
	eventually(t, "a full mailbox ends what was known", unknown)
	inner.change(func() { inner.gone["carl@behind.test"] = true })
	give("carl@behind.test", "550")
	known("carl@behind.test refused")
	inner.change(func() { inner.full, inner.gone["carl@behind.test"] = false, false })
	give("carl@behind.test", "550") // it is remembered
	if _, err := n.Operator().CalloutForget(t.Context(), root, operate.CalloutRef{}); err == nil {
		t.Error("nothing in particular was forgotten")
	}
	for _, bad := range []operate.CalloutRef{{Addresses: []string{"carl"}}, {Domain: "a..b"}} {
		if _, err := n.Operator().CalloutForget(t.Context(), root, bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	done, err := n.Operator().CalloutForget(t.Context(), root, operate.CalloutRef{Addresses: []string{"Carl@behind.test", "carl@BEHIND.test"}})
	if err != nil || done.Forgotten != 1 {
		t.Errorf("%+v %v", done, err)
	}
	known("")
	give("carl@behind.test", "250")
	known("carl@behind.test taken")
	inner.change(func() { inner.off = true })
	give("carl@behind.test", "250")
	eventually(t, "a refusal for good ends what was known", unknown)
	inner.change(func() { inner.off = false })
	give("carl@behind.test", "250")
	if done, err := n.Operator().CalloutForget(t.Context(), root, operate.CalloutRef{All: true}); err != nil || done.Forgotten < 1 {
		t.Errorf("%+v %v", done, err)
	}
}
