package named

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/smtp/client"
	"sallyport/test/port"
)

// twins are two machines behind one name.
type twins struct {
	t     *testing.T
	port  uint16
	calls [2]atomic.Int64
}

func (w *twins) at(i int) string { return fmt.Sprintf("127.0.0.%d", i+2) }

// newTwins plays each connection to either of the two with a function.
func newTwins(t *testing.T, play ...func(net.Conn)) *twins {
	t.Helper()
	w := &twins{t: t}
	for range 20 {
		var lns [2]net.Listener
		var err error
		lns[0], err = net.Listen("tcp", w.at(0)+":0")
		check(t, err)
		w.port = netip.MustParseAddrPort(lns[0].Addr().String()).Port()
		if lns[1], err = net.Listen("tcp", net.JoinHostPort(w.at(1), strconv.Itoa(int(w.port)))); err != nil {
			check(t, lns[0].Close())
			continue
		}
		var wg sync.WaitGroup
		for i, ln := range lns {
			wg.Go(func() {
				for {
					nc, err := ln.Accept()
					if err != nil {
						return
					}
					w.calls[i].Add(1)
					wg.Go(func() {
						defer nc.Close()
						nc.SetDeadline(time.Now().Add(10 * time.Second))
						play[i](nc)
					})
				}
			})
		}
		t.Cleanup(func() { lns[0].Close(); lns[1].Close(); wg.Wait() })
		return w
	}
	t.Fatal("no port is free at both addresses")
	return nil
}

// target is the way to them; the name leads to the first one before the second.
func (w *twins) target(change func(*Place)) *Target {
	p := place(w.port)
	p.Host, p.Address = "hop.test", net.JoinHostPort("hop.test", strconv.Itoa(int(w.port)))
	p.Limits.Questions = 1
	if change != nil {
		change(&p)
	}
	m := means(w.t)
	dial := m.Dial
	m.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dial(ctx, network, strings.Replace(address, "hop.test", w.at(0), 1))
	}
	m.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "hop.test" {
			w.t.Errorf("asked for %q", host)
		}
		return []netip.Addr{netip.MustParseAddr("::ffff:" + w.at(0)), netip.MustParseAddr(w.at(1))}, nil
	}
	return reach(w.t, p, m)
}

func takes(nc net.Conn) { say(nc, transcript(2)...); nc.Read(make([]byte, 4096)) }

func answers(envelope string) func(net.Conn) {
	return func(nc net.Conn) { say(nc, "250-mx\r\n250 PIPELINING\r\n", envelope); nc.Read(make([]byte, 4096)) }
}

func silent(nc net.Conn) { io.Copy(io.Discard, nc) }

const fullAtMail = "452 4.3.1 full\r\n503 no\r\n503 no\r\n"

// A smarthost or a server behind with several addresses is several machines: what one of them defers, or does not
// serve, another one takes. A server of ours wants no second attempt for that.
func TestWhatOneAddressDefersAnotherTakes(t *testing.T) {
	for title, row := range map[string]struct {
		first   func(net.Conn)
		ours    bool
		attempt int
		want    string
		second  int64 // calls of the other machine
	}{
		"full, first attempt":          {answers(fullAtMail), false, 1, "452", 0},
		"full":                         {answers(fullAtMail), false, 2, "250", 1},
		"full, a server behind":        {answers(fullAtMail), true, 1, "250", 1},
		"a mailbox behind is full":     {answers("250 ok\r\n452 4.2.2 full\r\n503 no\r\n"), true, 1, "452", 0},
		"a mailbox behind, again":      {answers("250 ok\r\n452 4.2.2 full\r\n503 no\r\n"), true, 2, "250", 1},
		"refuses":                      {answers("250 ok\r\n550 5.1.1 nobody\r\n503 no\r\n"), true, 2, "550", 0},
		"421 at MAIL":                  {answers("421 4.7.0 busy\r\n"), false, 1, "250", 1},
		"421 as a greeting":            {func(nc net.Conn) { io.WriteString(nc, "421 4.3.2 closed\r\n") }, false, 1, "250", 1},
		"554 as a greeting":            {func(nc net.Conn) { io.WriteString(nc, "554 no\r\n") }, false, 1, "250", 1},
		"hangs up":                     {func(net.Conn) {}, false, 1, "250", 1},
		"takes the call, says nothing": {silent, false, 1, "250", 1},
		"is cut within, a server of us": {func(nc net.Conn) {
			say(nc, "250-mx\r\n250 PIPELINING\r\n", "250 ok\r\n250 ok\r\n354 go\r\n")
			nc.Read(make([]byte, 4096))
		}, true, 1, "451", 0},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			w := newTwins(t, row.first, takes)
			j := job(t, "a@x.test")
			j.Attempt = row.attempt
			out := w.target(func(p *Place) { p.Ours = row.ours }).Deliver(t.Context(), j)
			expect(t, j, out, row.want)
			if w.calls[1].Load() != row.second || row.second > 0 && !strings.Contains(out[0].Remote, w.at(1)) {
				t.Errorf("%d calls of the other one, %+v", w.calls[1].Load(), out[0])
			}
		})
	}
}

// The connection to the other address counts: the one that deferred is ended for it where there would be more than
// the next hop may have.
func TestTheOtherAddressCounts(t *testing.T) {
	for connections, want := range map[int]int64{1: 1, 2: 2} {
		var open, most atomic.Int64
		counted := func(play func(net.Conn)) func(net.Conn) {
			return func(nc net.Conn) {
				most.Store(max(most.Load(), open.Add(1)))
				play(nc)
			}
		}
		w := newTwins(t, counted(func(nc net.Conn) {
			say(nc, "250-mx\r\n250 PIPELINING\r\n", fullAtMail)
			if _, err := nc.Read(make([]byte, 4096)); err == nil { // QUIT
				open.Add(-1)
				io.WriteString(nc, "221 bye\r\n")
			}
		}), counted(takes))
		target := w.target(func(p *Place) { p.Limits.Connections, p.Limits.Start = connections, connections })
		j := job(t, "a@x.test")
		j.Attempt = 2
		expect(t, j, target.Deliver(t.Context(), j), "250")
		if most.Load() != want {
			t.Errorf("%d connections at once where there may be %d", most.Load(), connections)
		}
	}
}

// What signs us in is the same at each address, and a hop of one address has no other.
func TestWhatIsTheSameElsewhere(t *testing.T) {
	cfg, ca := authority(t)
	h := newHop(t, cfg)
	w := newTwins(t, func(nc net.Conn) {
		to, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(h.port))))
		if err != nil {
			return
		}
		defer to.Close()
		go func() { io.Copy(to, nc); to.Close() }()
		io.Copy(nc, to)
	}, takes)
	wrong := file(t, "wrong\n")
	target := w.target(func(p *Place) {
		p.Host, p.TLS, p.CA, p.User, p.PasswordFile = "127.0.0.1", mail.TLSRequired, ca, "user", wrong
		p.Others = net.JoinHostPort(w.at(1), strconv.Itoa(int(w.port)))
	})
	j := job(t, "a@x.test")
	if expect(t, j, target.Deliver(t.Context(), j), "451"); w.calls[1].Load() != 0 {
		t.Error("a wrong password was tried at each address")
	}
	for _, change := range []func(*Place){
		func(p *Place) { p.Host, p.Address = w.at(0), net.JoinHostPort(w.at(0), strconv.Itoa(int(w.port))) },
		func(p *Place) { p.Network, p.Address = "unix", "/run/hop.test" },
	} {
		target := w.target(change)
		if all := target.others(t.Context(), target.named(spot{target.place.Host, target.place.Address})); len(all) != 0 {
			t.Errorf("others are %v", all)
		}
	}
}

// A recipient is asked about at the other address where the first one says nothing of it, or not now; what that
// refuses, the first may yet take.
func TestAskingAnotherAddress(t *testing.T) {
	later, nobody := answers("250 ok\r\n451 4.3.0 later\r\n250 ok\r\n"), answers("250 ok\r\n550 5.1.1 nobody\r\n250 ok\r\n")
	yes := answers("250 ok\r\n250 ok\r\n250 ok\r\n")
	for title, row := range map[string]struct {
		first, second func(net.Conn)
		want          int // 0: nothing
		called        int64
	}{
		"later":                        {later, yes, 250, 1},
		"later, nobody there":          {later, nobody, 451, 1},
		"nobody":                       {nobody, yes, 550, 0},
		"full":                         {answers("250 ok\r\n452 4.2.2 full\r\n250 ok\r\n"), yes, 452, 0},
		"not at MAIL":                  {answers(fullAtMail), yes, 250, 1},
		"not at MAIL, nor there":       {answers(fullAtMail), nobody, 0, 1},
		"takes the call, says nothing": {silent, yes, 250, 1},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			w := newTwins(t, row.first, row.second)
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, client.ErrTimeout)
			defer cancel()
			r, _, err := w.target(func(p *Place) { p.Ours = true }).Ask(ctx, job(t, "a@x.test").Recipients[0].Address)
			if r.Code != row.want || (err == nil) != (row.want != 0) || w.calls[1].Load() != row.called {
				t.Errorf("%v, %v, %d calls of the other one", r, err, w.calls[1].Load())
			}
		})
	}
}

// A host that is named behind another one is asked as another address is, and also where nobody answers at the first
// one; each proves itself by its own name.
func TestHostsBehindOneAnother(t *testing.T) {
	for title, row := range map[string]struct {
		first   func(net.Conn) // nil: nobody is there
		attempt int
		want    string
	}{
		"nobody is there": {nil, 1, "250"},
		"full":            {answers(fullAtMail), 2, "250"},
		"full, at first":  {answers(fullAtMail), 1, "452"},
		"hangs up":        {func(net.Conn) {}, 1, "250"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			there := row.first
			if there == nil {
				there = silent
			}
			w := newTwins(t, there, takes)
			target := w.target(func(p *Place) {
				p.Host, p.Address = w.at(0), net.JoinHostPort(w.at(0), strconv.Itoa(int(w.port)))
				p.Others = net.JoinHostPort(w.at(1), strconv.Itoa(int(w.port)))
				if row.first == nil {
					p.Address = net.JoinHostPort("127.0.0.9", strconv.Itoa(port.Of(t, "127.0.0.9")))
					p.Host = "127.0.0.9"
				}
			})
			j := job(t, "a@x.test")
			j.Attempt = row.attempt
			out := target.Deliver(t.Context(), j)
			expect(t, j, out, row.want)
			if row.want == "250" && !strings.HasPrefix(out[0].Remote, w.at(1)+" [") {
				t.Errorf("%+v", out[0])
			}
			if c := target.call(nil, spot{"other.test", w.at(1) + ":25"}, new(string)).SMTP; c.Host != "other.test" || c.TLS.Config.ServerName != "other.test" {
				t.Errorf("the other host proves itself as %q, %q", c.Host, c.TLS.Config.ServerName)
			}
		})
	}
}
