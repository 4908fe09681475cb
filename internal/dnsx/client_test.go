package dnsx

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestAddressesOfBothFamilies(t *testing.T) {
	soa := []string{"--", "test. 300 SOA ns.test. admin.test. 1 2 3 4 60"}
	servfail := func(q *dns.Msg) *dns.Msg { return withCode(reply(q), dns.RcodeServerFailure) }
	nodata := func(q *dns.Msg) *dns.Msg { return reply(q, soa...) }
	nxdomain := func(q *dns.Msg) *dns.Msg { return withCode(reply(q, soa...), dns.RcodeNameError) }
	v4 := func(q *dns.Msg) *dns.Msg { return reply(q, "h.test. 60 A 192.0.2.1", "h.test. 60 A 192.0.2.2") }
	v6 := func(q *dns.Msg) *dns.Msg { return reply(q, "h.test. 60 AAAA 2001:db8::1") }
	mapped := func(q *dns.Msg) *dns.Msg { return reply(q, "h.test. 60 AAAA ::ffff:127.0.0.1") }
	for title, row := range map[string]struct {
		a, aaaa func(*dns.Msg) *dns.Msg
		want    string
		err     error
	}{
		"both":                {v4, v6, "2001:db8::1 192.0.2.1 192.0.2.2", nil},
		"IPv4 only":           {v4, nodata, "192.0.2.1 192.0.2.2", nil},
		"IPv6 only":           {nodata, v6, "2001:db8::1", nil},
		"IPv6 unknown":        {v4, servfail, "192.0.2.1 192.0.2.2", nil},
		"IPv4 in IPv6's form": {nodata, mapped, "::ffff:127.0.0.1", nil},
		"none":                {nodata, nodata, "", ErrNoData},
		"no name":             {nxdomain, nxdomain, "", ErrNoName},
		"half a name":         {nxdomain, nodata, "", ErrNoData},
		"the other half":      {nodata, nxdomain, "", ErrNoData},
		"none, IPv6 unknown":  {nodata, servfail, "", ErrServer},
		"no name, unknown":    {servfail, nxdomain, "", ErrServer},
		"all unknown":         {servfail, servfail, "", ErrServer},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(_ string, q *dns.Msg) [][]byte {
				if q.Question[0].Qtype == dns.TypeA {
					return one(row.a(q))
				}
				return one(row.aaaa(q))
			})
			a, err := client(t, quick(), s).Addresses(t.Context(), name(t, "h.test"))
			var got []string
			for _, ip := range a.Data {
				got = append(got, ip.String())
			}
			if strings.Join(got, " ") != row.want || !errors.Is(err, row.err) || (err == nil) != (row.err == nil) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// AD counts from a validating server over loopback only.
func TestSecureIsTheWordOfAValidatingServerOnly(t *testing.T) {
	for _, signed := range []bool{false, true} {
		for _, trusted := range []bool{false, true} {
			s := serve(t, func(_ string, q *dns.Msg) [][]byte {
				m := reply(q, honest)
				// A validating server says so to those who ask.
				m.AuthenticatedData = signed && (q.AuthenticatedData || !trusted)
				return one(m)
			})
			c := client(t, quick(), s)
			c.o.Servers[0].Validating = trusted
			for range 2 { // asked, and remembered
				a, err := c.MX(t.Context(), name(t, "x.test"))
				check(t, err)
				if a.Secure != (signed && trusted) {
					t.Errorf("signed %v, trusted %v: secure %v", signed, trusted, a.Secure)
				}
			}
		}
	}
}

// An answer of two families is as trustworthy as the lesser of them.
func TestBothFamiliesMustBeSecure(t *testing.T) {
	for _, rtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeMX} {
		s := serve(t, func(_ string, q *dns.Msg) [][]byte {
			m := reply(q, "h.test. 60 A 192.0.2.1")
			if q.Question[0].Qtype == dns.TypeAAAA {
				m = reply(q, "h.test. 60 AAAA 2001:db8::1")
			}
			m.AuthenticatedData = q.Question[0].Qtype != rtype
			return one(m)
		})
		c := client(t, quick(), s)
		c.o.Servers[0].Validating = true
		a, err := c.Addresses(t.Context(), name(t, "h.test"))
		if err != nil || a.Secure != (rtype == dns.TypeMX) || len(a.Data) != 2 {
			t.Errorf("%+v, %v", a, err)
		}
	}
}

func TestServersThatMustNotBeAskedOrTrusted(t *testing.T) {
	addr := netip.MustParseAddrPort
	for title, spoil := range map[string]func(*Options){
		"no server":           func(o *Options) { o.Servers = nil },
		"no address":          func(o *Options) { o.Servers = []Server{{}} },
		"no port":             func(o *Options) { o.Servers = []Server{{Addr: addr("127.0.0.1:0")}} },
		"unspecified":         func(o *Options) { o.Servers = []Server{{Addr: addr("0.0.0.0:53")}} },
		"multicast":           func(o *Options) { o.Servers = []Server{{Addr: addr("224.0.0.251:5353")}} },
		"trusted from afar":   func(o *Options) { o.Servers = []Server{{Addr: addr("192.0.2.1:53"), Validating: true}} },
		"a mixture":           func(o *Options) { o.Servers = append(o.Servers, Server{Addr: addr("127.0.0.1:54"), Validating: true}) },
		"too many":            func(o *Options) { o.Servers = slices.Repeat(o.Servers, 5) },
		"no clock":            func(o *Options) { o.Now = nil },
		"no limits":           func(o *Options) { o.Limits = Limits{} },
		"datagrams too small": func(o *Options) { o.Limits.UDPOctets = 511 },
		"datagrams too large": func(o *Options) { o.Limits.UDPOctets = 4097 },
		"TCP too small":       func(o *Options) { o.Limits.TCPOctets = 512 },
		"TCP too large":       func(o *Options) { o.Limits.TCPOctets = 1 << 16 },
		"times that cross":    func(o *Options) { o.Limits.MaxTTL = o.Limits.MinTTL - 1 },
	} {
		o := Options{Servers: []Server{{Addr: addr("127.0.0.1:53")}}, Limits: DefaultLimits(), Now: time.Now}
		spoil(&o)
		if c, err := NewClient(o); c != nil || err == nil {
			t.Errorf("taken: %s", title)
		}
	}
}

// The next server answers when the first is silent or fails; a silent one is asked
// last for a while, a failing one is not blamed.
func TestTheNextServerAnswers(t *testing.T) {
	good := serve(t, zone(map[string][]string{"MX x.test.": {honest}, "MX y.test.": {"y.test. 60 MX 1 mx.x.test."}}))
	silent := serve(t, func(string, *dns.Msg) [][]byte { return nil })
	failing := serve(t, func(_ string, q *dns.Msg) [][]byte { return one(withCode(reply(q), dns.RcodeRefused)) })
	c := client(t, quick(), silent, failing, good)
	for _, d := range []string{"x.test", "y.test"} {
		a, err := c.MX(t.Context(), name(t, d))
		if words(a, err) != "mx.x.test" {
			t.Error(words(a, err))
		}
	}
	if a, b, d := silent.Asked("MX"), failing.Asked("MX"), good.Asked("MX"); a != 1 || b != 2 || d != 2 {
		t.Errorf("asked %d, %d and %d times", a, b, d)
	}
}

// Every server fails: each is asked as often as the rounds say, and the failure is
// remembered for a short while.
func TestFailureIsBoundedAndRemembered(t *testing.T) {
	failing := serve(t, func(_ string, q *dns.Msg) [][]byte { return one(withCode(reply(q), dns.RcodeServerFailure)) })
	c := client(t, quick(), failing)
	now := time.Now()
	c.o.Now = func() time.Time { return now }
	ask := func(want int) {
		t.Helper()
		_, err := c.MX(t.Context(), name(t, "x.test"))
		if !errors.Is(err, ErrServer) || !strings.Contains(err.Error(), "MX x.test") || !strings.Contains(err.Error(), failing.addr.String()) {
			t.Error(err)
		}
		if n := failing.Asked("MX"); n != want {
			t.Errorf("asked %d times, want %d", n, want)
		}
	}
	ask(2)
	ask(2)
	now = now.Add(c.o.Limits.FailureTTL)
	ask(4)
}

func TestAnswersAreRememberedWithinBounds(t *testing.T) {
	s := serve(t, zone(map[string][]string{
		"MX short.test.": {"short.test. 0 MX 1 mx.test."}, "MX long.test.": {"long.test. 2147483647 MX 1 mx.test."},
		"MX odd.test.": {"odd.test. 4294967295 MX 1 mx.test."}, "MX fair.test.": {"fair.test. 300 MX 1 mx.test."},
		"MX none.test.": nil,
	}))
	l := quick()
	for host, want := range map[string]time.Duration{
		"short.test": l.MinTTL, "long.test": l.MaxTTL, "odd.test": l.MinTTL, "fair.test": 300 * time.Second,
		"none.test": time.Minute, "missing.test": time.Minute,
	} {
		c := client(t, l, s)
		now := time.Now()
		c.o.Now = func() time.Time { return now }
		a, err := c.MX(t.Context(), name(t, host))
		if err == nil && a.TTL != want {
			t.Errorf("%s may be kept for %v, want %v", host, a.TTL, want)
		}
		before := s.udp.Load()
		now = now.Add(want - 1)
		_, err2 := c.MX(t.Context(), name(t, host))
		if s.udp.Load() != before || (err == nil) != (err2 == nil) || Permanent(err) != Permanent(err2) {
			t.Errorf("%s was asked again too early: %v", host, err2)
		}
		now = now.Add(1)
		c.MX(t.Context(), name(t, host))
		if s.udp.Load() != before+1 {
			t.Errorf("%s was not asked again", host)
		}
	}
}

// Many callers, one question; a caller who gives up does not end it for others.
func TestOneQuestionAtATime(t *testing.T) {
	let := make(chan struct{})
	s := serve(t, func(_ string, q *dns.Msg) [][]byte { <-let; return one(reply(q, honest)) })
	l := quick()
	l.Query = 5 * time.Second
	c := client(t, l, s)
	hasty, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() {
		_, err := c.MX(hasty, name(t, "x.test"))
		gaveUp <- err
	}()
	for s.udp.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) || Permanent(err) {
		t.Error(err)
	}
	var wg sync.WaitGroup
	var good atomic.Int64
	for range 50 {
		wg.Go(func() {
			if a, err := c.MX(t.Context(), name(t, "x.test")); words(a, err) == "mx.x.test" {
				a.Data[0] = MX{} // a caller's copy is its own
				good.Add(1)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	close(let)
	wg.Wait()
	if good.Load() != 50 || s.udp.Load() != 1 || len(c.flights) != 0 || c.busy() != 0 {
		t.Errorf("%d answers, %d questions, %d flights, %d slots", good.Load(), s.udp.Load(), len(c.flights), c.busy())
	}
}

// When all slots are taken by silence, others wait, as long as they want to.
func TestQuestionsOnTheirWayAreBounded(t *testing.T) {
	s := serve(t, func(string, *dns.Msg) [][]byte { return nil })
	l := quick()
	l.Concurrent, l.Rounds = 2, 1
	c := client(t, l, s)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			_, err := c.MX(t.Context(), name(t, string(rune('a'+i))+".test"))
			if !errors.Is(err, ErrTimeout) {
				t.Error(err)
			}
		})
	}
	time.Sleep(l.Query / 2)
	if n := s.udp.Load(); n != 2 {
		t.Errorf("%d questions at once", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.MX(ctx, name(t, "hasty.test")); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	wg.Wait()
	if n := s.Asked("MX"); n != 6 {
		t.Errorf("%d questions in all", n)
	}
}

// Two who wait in line with one question ask it once.
func TestWaitingInLineForOneQuestion(t *testing.T) {
	let := make(chan struct{})
	s := serve(t, func(_ string, q *dns.Msg) [][]byte {
		if q.Question[0].Name == "slow.test." {
			<-let
		}
		return one(reply(q, q.Question[0].Name+" 300 MX 10 mx.x.test."))
	})
	l := quick()
	l.Concurrent, l.Query = 1, 5*time.Second
	c := client(t, l, s)
	var wg sync.WaitGroup
	ask := func(d string) {
		wg.Go(func() {
			if a, err := c.MX(t.Context(), name(t, d)); words(a, err) != "mx.x.test" {
				t.Error(words(a, err))
			}
		})
	}
	ask("slow.test")
	for s.udp.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	ask("x.test")
	ask("x.test")
	time.Sleep(20 * time.Millisecond) // both stand in line
	close(let)
	wg.Wait()
	if n := s.udp.Load(); n != 2 || c.busy() != 0 {
		t.Errorf("%d questions, %d slots taken", n, c.busy())
	}
}

func TestNoNameIsNoQuestion(t *testing.T) {
	s := serve(t, func(_ string, q *dns.Msg) [][]byte { return one(reply(q, ". 60 MX 1 evil.test.")) })
	c := client(t, quick(), s)
	if _, err := c.Addresses(t.Context(), Name{}); !errors.Is(err, ErrBadName) || Permanent(err) {
		t.Error(err)
	}
	if s.udp.Load() != 0 {
		t.Error("the root was asked for")
	}
}

// busy is how many questions are under way, once those that were answered have left.
func (c *Client) busy() (n int) {
	for range 1000 {
		c.room.mu.Lock()
		n = c.room.busy
		c.room.mu.Unlock()
		if n == 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return n
}
