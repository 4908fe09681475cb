package dnsx

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// useless is what servers do that answer nothing, whatever they are asked.
var useless = map[string]func(network string, q *dns.Msg) [][]byte{
	"silence":      func(string, *dns.Msg) [][]byte { return nil },
	"REFUSED":      func(_ string, q *dns.Msg) [][]byte { return one(withCode(reply(q), dns.RcodeRefused)) },
	"SERVFAIL":     func(_ string, q *dns.Msg) [][]byte { return one(withCode(reply(q), dns.RcodeServerFailure)) },
	"truncated":    func(_ string, q *dns.Msg) [][]byte { m := reply(q); m.Truncated = true; return one(m) },
	"no recursion": func(_ string, q *dns.Msg) [][]byte { m := reply(q); m.RecursionAvailable = false; return one(m) },
	"another question": func(_ string, q *dns.Msg) [][]byte {
		q = q.Copy()
		q.Question[0].Name = "other.test."
		return one(reply(q, "other.test. 60 MX 1 mx.x.test."))
	},
	"a referral": func(_ string, q *dns.Msg) [][]byte { return one(reply(q, "--", ". 60 NS a.test.")) },
	"garbage":    func(_ string, q *dns.Msg) [][]byte { return [][]byte{append(pack(reply(q))[:4], 0)} },
	"slowness": func(_ string, q *dns.Msg) [][]byte {
		time.Sleep(400 * time.Millisecond)
		return one(reply(q, q.Question[0].Name+" 60 MX 1 mx.x.test."))
	},
}

func impatient() Limits {
	l := quick()
	l.Query, l.Rounds, l.Sound = 150*time.Millisecond, 1, time.Nanosecond
	return l
}

// Servers that answer nothing at all are a want of ours, whatever they do instead, and so are those
// that answer for the root alone, which need not be asked again for a moment; a name that fails
// while they find anything outside is not. As soon as they answer, all is well.
func TestServersThatAnswerNothing(t *testing.T) {
	for how, play := range useless {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			var well, only, way atomic.Bool
			s := serve(t, func(network string, q *dns.Msg) [][]byte {
				switch {
				case well.Load(), only.Load() && q.Question[0].Name == ".":
				case way.Load() && strings.HasSuffix(q.Question[0].Name, ".de."):
					return one(withCode(reply(q, "--", "de. 300 SOA f.nic.de. its.denic.de. 1 2 3 4 60"), dns.RcodeNameError))
				default:
					return play(network, q)
				}
				return one(reply(q, q.Question[0].Name+" 60 MX 1 mx.x.test."))
			})
			l := impatient()
			l.Shut = time.Minute
			var later atomic.Int64
			c, err := NewClient(Options{Servers: []Server{{Addr: s.addr}, {Addr: s.addr}}, Limits: l, Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
			check(t, err)
			ask := func(d string) (*Share, error) {
				share := NewShare(netip.MustParseAddr("192.0.2.1"))
				_, err := c.MX(share.Context(t.Context()), name(t, d))
				return share, err
			}
			share, err := ask("a.test")
			if !errors.Is(err, ErrMute) || !share.Exhausted() || !share.Mute() || Permanent(err) {
				t.Errorf("of servers that answer nothing: %v", err)
			}
			asked := s.Asked("MX")
			if _, err := c.MX(share.Context(t.Context()), name(t, "b.test")); !errors.Is(err, ErrMute) || s.Asked("MX") != asked {
				t.Errorf("the same message asked on: %v", err)
			}
			if _, err := c.MX(t.Context(), name(t, "c.test")); !errors.Is(err, ErrMute) {
				t.Errorf("a question of our own: %v", err)
			}
			c.rest(t)
			only.Store(true)
			share, err = ask("root.test")
			if !errors.Is(err, ErrMute) || !share.Mute() {
				t.Errorf("of servers that answer for the root alone: %v", err)
			}
			asked = s.Asked("A ")
			if _, err := ask("again.test"); !errors.Is(err, ErrMute) || s.Asked("A ") != asked || asked == 0 {
				t.Errorf("a moment later: %v, after %d questions for a way out, and %d before", err, s.Asked("A "), asked)
			}
			way.Store(true)
			c.rest(t)
			later.Store(int64(2 * time.Minute))
			if share, err := ask("d.test"); err == nil || Permanent(err) || want(err) || share.Exhausted() {
				t.Errorf("of a name that does not answer: %v", err)
			}
			c.rest(t)
			well.Store(true)
			if share, err := ask("e.test"); err != nil || share.Exhausted() {
				t.Error(err)
			}
		})
	}
}

// A host for which nobody named a server has no DNS to miss.
func TestNobodyNamedAServer(t *testing.T) {
	c, err := NewClient(Options{Servers: []Server{{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Assumed: true}}, Limits: impatient(), Now: time.Now})
	check(t, err)
	share := NewShare(netip.MustParseAddr("192.0.2.1"))
	if _, err := c.MX(share.Context(t.Context()), name(t, "a.test")); err == nil || want(err) || share.Exhausted() || !strings.Contains(err.Error(), "it cannot be reached") {
		t.Error(err)
	}
}

// What answered just now needs no trial: a flood of names that fail costs none.
func TestTrialsAreFew(t *testing.T) {
	s := serve(t, func(_ string, q *dns.Msg) [][]byte {
		if strings.HasPrefix(q.Question[0].Name, "bad") {
			return one(withCode(reply(q), dns.RcodeServerFailure))
		}
		return one(reply(q, q.Question[0].Name+" 60 MX 1 mx.x.test."))
	})
	l := quick()
	l.ZoneFailures, l.Sound = 1000, time.Hour
	c := client(t, l, s)
	for i := range 50 {
		if _, err := c.MX(t.Context(), name(t, "bad"+string(rune('a'+i%26))+string(rune('a'+i/26))+".test")); err == nil || want(err) {
			t.Fatal(err)
		}
	}
	if n := s.Asked("SOA"); n != 1 {
		t.Errorf("%d trials", n)
	}
}

// Whoever waits no longer has met servers that are slow whatever they are asked, or a zone that is: the
// one is a want of ours, the other not.
func TestSlowServersAreNoSlowZone(t *testing.T) {
	for what, slow := range map[string]func(name string) bool{"the servers": func(string) bool { return true }, "a zone": func(name string) bool { return name != "." }} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var whole atomic.Bool
			s := serve(t, func(_ string, q *dns.Msg) [][]byte {
				if slow(q.Question[0].Name) {
					time.Sleep(1500 * time.Millisecond)
				}
				whole.Store(whole.Load() || q.Question[0].Name == ".")
				return one(reply(q, q.Question[0].Name+" 60 MX 1 mx.x.test."))
			})
			c := client(t, DefaultLimits(), s)
			share := NewShare(netip.MustParseAddr("192.0.2.1"))
			if _, err := c.MX(share.Context(t.Context()), name(t, "a.test")); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(20 * time.Second); c.trying() || !whole.Load(); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("nobody asked for the root")
				}
			}
			ctx, cancel := context.WithTimeout(share.Context(t.Context()), 100*time.Millisecond)
			defer cancel()
			_, err := c.MX(ctx, name(t, "b.test"))
			if want := what == "the servers"; err == nil || errors.Is(err, ErrMute) != want || share.Mute() != want || share.Exhausted() != want {
				t.Errorf("%v, %v", err, share.Mute())
			}
		})
	}
}

// trying reports whether a trial is under way.
func (c *Client) trying() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trial != nil || c.way != nil && !c.way.over()
}

// rest waits until no trial is under way.
func (c *Client) rest(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); c.trying(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a trial does not end")
		}
	}
}

// Whose time ends before the first question does has asked servers that are silent, or a zone that
// is: the one is a want of ours, the other not, and one server that is well is enough to tell.
func TestALittleTimeIsEnoughToTell(t *testing.T) {
	silent := func(string, *dns.Msg) [][]byte { return nil }
	answers := func(which func(name string) bool) script {
		return func(_ string, q *dns.Msg) [][]byte {
			if !which(q.Question[0].Name) {
				return nil
			}
			return one(reply(q, q.Question[0].Name+" 60 MX 1 mx.x.test."))
		}
	}
	shut := answers(func(name string) bool { return name == "." })
	zoneIs := answers(func(name string) bool { return !strings.HasSuffix(name, ".test.") })
	for name, c := range map[string]struct {
		servers []script
		mute    bool
	}{"servers": {[]script{silent, silent}, true}, "the way out": {[]script{shut, shut}, true}, "a zone": {[]script{zoneIs, zoneIs}, false}, "a zone, and a server": {[]script{silent, zoneIs}, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var servers []*server
			for _, play := range c.servers {
				servers = append(servers, serve(t, play))
			}
			l := DefaultLimits()
			l.Sound = 500 * time.Millisecond
			asks := client(t, l, servers...)
			share := NewShare(netip.MustParseAddr("192.0.2.1"))
			ctx, cancel := context.WithTimeout(share.Context(t.Context()), 3*time.Second)
			defer cancel()
			n, err := ParseName("a.test")
			check(t, err)
			if _, err := asks.MX(ctx, n); err == nil || errors.Is(err, ErrMute) != c.mute || share.Mute() != c.mute {
				t.Errorf("%v, %v", err, share.Mute())
			}
		})
	}
}
