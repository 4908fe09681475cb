package mx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
)

// Whatever the DNS says, now and at the next question: nothing is dialled that the
// rule does not admit, at no other port, and everybody gets one outcome.
func TestOnlyAdmittedAddressesAreDialled(t *testing.T) {
	w := newWorld(t)
	allow := netip.MustParsePrefix("10.1.0.0/16")
	own := netip.MustParseAddr("10.1.0.1")
	total := 0
	hosts := []string{"x.test", "a.x.test", "b.x.test", "c.x.test", "mail.home.test"}
	rapid.Check(t, func(rt *rapid.T) {
		drawn := func() (out []netip.Addr) {
			listed := rapid.SampledFrom([]string{"10.1.0.1", "10.1.0.2", "10.2.0.1", "::ffff:10.1.0.2"})
			for range rapid.IntRange(0, 4).Draw(rt, "addresses") {
				if rapid.Bool().Draw(rt, "listed") {
					out = append(out, netip.MustParseAddr(listed.Draw(rt, "ip")))
				} else {
					out = append(out, anyAddr().Draw(rt, "ip"))
				}
			}
			return out
		}
		fake := &dnsx.Fake{Exchangers: map[string][]dnsx.MX{}, Hosts: map[string][]netip.Addr{}}
		for range rapid.IntRange(0, 4).Draw(rt, "exchangers") {
			mx, err := dnsx.Exchanger(uint16(rapid.IntRange(0, 3).Draw(rt, "preference")), rapid.SampledFrom(hosts).Draw(rt, "host"))
			check(t, err)
			fake.Exchangers["x.test"] = append(fake.Exchangers["x.test"], mx)
		}
		for _, h := range hosts {
			fake.Hosts[h] = drawn()
		}
		var dialed []netip.AddrPort
		o := w.options()
		o.Resolver, o.AllowPrivate, o.Own = fake, []netip.Prefix{allow}, func() []netip.Addr { return []netip.Addr{own} }
		o.Port, o.Limits.Rest = 25, time.Nanosecond
		o.Dial = func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
			dialed = append(dialed, to)
			// The moment after the check everything is different.
			fake.Change(func() { fake.Hosts["a.x.test"] = []netip.Addr{own, netip.MustParseAddr("127.0.0.1")} })
			return nil, errors.New("not in a test")
		}
		targets, err := New(o)
		check(t, err)
		for range 2 {
			j := w.job("ann@x.test", "bob@x.test")
			for _, out := range targets.For(j.Recipients[0].Address.Domain()).Deliver(t.Context(), j) {
				if out.Delivered() || out.Reply.Enhanced.Class == 0 {
					rt.Fatalf("%+v", out)
				}
			}
		}
		total += len(dialed)
		for _, to := range dialed {
			ip := to.Addr()
			listed := ip.Is4() && ip.As4()[0] == 10 && ip.As4()[1] == 1
			global := ip.IsGlobalUnicast() && !ip.IsPrivate() && !ip.Is4In6()
			if to.Port() != 25 || ip == own || !(listed || global && (Rule{}).Check(ip) == "") || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
				rt.Fatalf("%s was dialled", to)
			}
		}
	})
	if total == 0 {
		t.Error("nothing was dialled at all")
	}
}

// The number of destinations is bounded: the one not used for longest goes, busy
// ones stay, and when all are busy the next one waits for its retry.
func TestDestinationsAreBounded(t *testing.T) {
	w := newWorld(t)
	o := w.options()
	o.Limits.Destinations, o.Limits.Forget = 3, time.Minute
	now := time.Unix(1_800_000_000, 0)
	o.Now = func() time.Time { return now }
	targets := w.targets(o)
	to := func(s string) destination {
		d, err := mail.ParseDomain(s)
		check(t, err)
		return destination{domain: d}
	}
	var busy []*entry
	for i := range 3 {
		e, err := targets.acquire(to(fmt.Sprintf("d%d.test", i)))
		check(t, err)
		busy = append(busy, e)
	}
	if e, err := targets.acquire(to("more.test")); !errors.Is(err, errTooManyDestinations) {
		t.Fatalf("%v, %v", e, err)
	}
	w.want(w.deliver(targets, "ann@more.test"), "451 4.3.2 more.test")
	targets.release(busy[1])
	e, err := targets.acquire(to("more.test"))
	check(t, err)
	if _, known := targets.known[to("d1.test")]; known || targets.order.Len() != 3 {
		t.Errorf("%d destinations", targets.order.Len())
	}
	again, err := targets.acquire(to("d0.test"))
	check(t, err)
	if again != busy[0] || again.busy != 2 {
		t.Error("a busy destination is not the same any more")
	}
	for _, e := range []*entry{e, again, busy[0], busy[2]} {
		targets.release(e)
	}
	now = now.Add(time.Minute)
	e, err = targets.acquire(to("late.test"))
	check(t, err)
	if targets.order.Len() != 2 { // two forgotten, one new
		t.Errorf("%d destinations", targets.order.Len())
	}
	targets.release(e)
	check(t, targets.Close())
	if targets.order.Len() != 0 || len(targets.known) != 0 {
		t.Error("a closed registry remembers")
	}
}

// Kept connections make room for new ones; when there is no room, mail waits.
func TestOpenConnectionsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.serve("127.0.0.2", nil)
	for i := range 6 {
		w.zone(fmt.Sprintf("d%d.test A 127.0.0.2", i))
	}
	o := w.options()
	o.Limits.Open = 2
	targets := w.targets(o)
	for i := range 6 {
		host := fmt.Sprintf("d%d.test", i)
		w.want(w.deliver(targets, "ann@"+host), "250 2.0.0 "+w.at(host, "127.0.0.2"))
		if targets.opened > 2 {
			t.Fatalf("%d connections", targets.opened)
		}
	}
	// d5 is kept: it is used again without a new one.
	w.want(w.deliver(targets, "ann@d5.test"), "250 2.0.0 "+w.at("d5.test", "127.0.0.2"))
	if n := w.count("127.0.0.2"); n != 6 {
		t.Errorf("%d connections in all", n)
	}
	check(t, targets.Close())
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
		targets.mu.Lock()
		n := targets.opened
		targets.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d places are lost", n)
		}
	}
	targets.opened = 2 // others, busy
	w.want(w.deliver(targets, "ann@d0.test"), "451 4.3.2 "+w.at("d0.test", "127.0.0.2"))
	targets.opened = 0
}

// What could not be reached takes no place.
func TestFailedConnectionsTakeNoPlace(t *testing.T) {
	w := newWorld(t).zone("dead.test A 127.0.0.2", "rude.test A 127.0.0.3", "x.test A 127.0.0.4")
	w.play("127.0.0.3", greets("554 5.7.1 rude"))
	w.serve("127.0.0.4", nil)
	o := w.options()
	o.Limits.Open = 1
	targets := w.targets(o)
	for range 3 {
		w.want(w.deliver(targets, "ann@dead.test"), "451 4.4.1 "+w.at("dead.test", "127.0.0.2"))
		w.want(w.deliver(targets, "ann@rude.test"), "451 4.4.0 "+w.at("rude.test", "127.0.0.3"))
	}
	w.want(w.deliver(targets, "ann@x.test"), "250 2.0.0 "+w.at("x.test", "127.0.0.4"))
}

// Under load: never more connections than allowed, each message once, nothing kept
// when it is over.
func TestManyDestinationsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.serve("127.0.0.2", nil)
	w.play("127.0.0.3", greets("554 5.7.1 rude"))
	for i := range 30 {
		w.zone(fmt.Sprintf("d%d.test A 127.0.0.%d", i, 2+i%3)) // good, rude, dead
	}
	o := w.options()
	o.Limits.Open, o.Limits.Start, o.Limits.Connections = 200, 2, 4
	targets := w.targets(o)
	var wg sync.WaitGroup
	var good atomic.Int64
	for i := range 600 {
		wg.Go(func() {
			j := w.job(fmt.Sprintf("user%d@d%d.test", i, i%30))
			out := targets.For(j.Recipients[0].Address.Domain()).Deliver(t.Context(), j)
			if len(out) != 1 || out[0].Delivered() != (i%3 == 0) || out[0].Failed() {
				t.Errorf("%d: %+v", i, out)
			}
			if out[0].Delivered() {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	if good.Load() != 200 || len(w.took) != 200 {
		t.Errorf("%d delivered, %d arrived", good.Load(), len(w.took))
	}
	for who, n := range w.took {
		if n != 1 {
			t.Errorf("%s got %d", who, n)
		}
	}
	if n := w.count("127.0.0.2"); n > 40 {
		t.Errorf("%d connections to ten destinations of 4 each", n)
	}
	for el := targets.order.Front(); el != nil; el = el.Next() {
		if e := el.Value.(*entry); e.busy != 0 {
			t.Errorf("%s is busy with nothing", e.to)
		}
	}
}
