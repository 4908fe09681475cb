package mx

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
	"sallyport/internal/tlspolicy/mtasts"
)

func (w *world) build(change func(*ExchangersOptions)) *Exchangers {
	w.t.Helper()
	st := mem.New()
	w.t.Cleanup(func() { _ = st.Close() })
	o := ExchangersOptions{Options: w.options(), Made: "x", Delivery: true, MTASTS: true, Store: st, PolicyPort: w.port}
	if change != nil {
		change(&o)
	}
	built, err := Build(w.t.Context(), o)
	check(w.t, err)
	w.t.Cleanup(func() { built.Retire(nil) })
	return built
}

func parse(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	check(t, err)
	return a
}

// A World leads to the exchangers of a domain, and to a literal; without delivery, to
// nobody.
func TestAWorld(t *testing.T) {
	w := newWorld(t).zone("x.test MX 10 mx.x.test", "mx.x.test A 127.0.0.2")
	w.serve("127.0.0.2", nil)
	built := w.build(nil)
	for _, to := range []string{"a@x.test", "a@[127.0.0.2]"} {
		target, ok := built.Target(parse(t, to))
		if !ok {
			t.Fatalf("nothing leads to %s", to)
		}
		j := w.job(to)
		if got := w.outcomes(j, target.Deliver(t.Context(), j)); got[0][:3] != "250" {
			t.Errorf("%s: %q", to, got)
		}
	}
	for name, none := range map[string]*Exchangers{
		"no delivery": w.build(func(o *ExchangersOptions) { *o = ExchangersOptions{Made: o.Made} }), "none": nil,
	} {
		if _, ok := none.Target(parse(t, "a@x.test")); ok {
			t.Errorf("%s: it leads somewhere", name)
		}
		if none.Policy(t.Context(), parse(t, "a@x.test").Domain()).Err != nil {
			t.Errorf("%s: a policy is looked for", name)
		}
	}
	if !built.Is("x") || built.Is("y") || (*Exchangers)(nil).Is("") {
		t.Error("it is made of something else")
	}
	if _, err := Build(t.Context(), ExchangersOptions{Delivery: true, Options: Options{Own: w.options().Own}}); err == nil {
		t.Error("it is built of nothing")
	}
}

// Policies are looked for where MTA-STS is on, and no host of theirs is dialled that an
// exchanger would not be dialled at.
func TestAWorldObeysPolicies(t *testing.T) {
	for _, on := range []bool{true, false} {
		w := newWorld(t).zone("mta-sts.x.test A 10.0.0.1", "mta-sts.x.test A 127.0.0.1", "mta-sts.y.test A 127.0.0.3")
		w.dns.Texts = map[string][]string{"_mta-sts.x.test": {"v=STSv1; id=1;"}, "_mta-sts.y.test": {"v=STSv1; id=1;"}}
		built := w.build(func(o *ExchangersOptions) { o.MTASTS = on })
		if (built.targets.o.STS != nil) != on {
			t.Errorf("on %v: the targets ask otherwise", on)
		}
		for domain, dialled := range map[string][]netip.Addr{"x.test": nil, "y.test": {netip.MustParseAddr("127.0.0.3")}} {
			w.dialed = nil
			if found := built.Policy(t.Context(), parse(t, "a@"+domain).Domain()); (found.Err != nil) != on {
				t.Errorf("on %v: %s has %+v", on, domain, found)
			}
			if !on {
				dialled = nil
			}
			if !slices.Equal(w.dialed, dialled) {
				t.Errorf("on %v: %s has us dial %v", on, domain, w.dialed)
			}
		}
		if built.Client(dnsx.NameOf(parse(t, "a@x.test").Domain()), 443) == nil {
			t.Error("no client")
		}
	}
}

// A policy holds for as long as passes: a clock that is set ahead ends none, so that nothing leaves
// without the TLS that it demands.
func TestPoliciesOutliveASetClock(t *testing.T) {
	w := newWorld(t)
	w.dns.Texts = map[string][]string{"_mta-sts.x.test": {"v=STSv1; id=1;"}}
	st := mem.New()
	t.Cleanup(func() { _ = st.Close() })
	fetched := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	entry := binary.BigEndian.AppendUint64([]byte{1}, uint64(fetched.Unix()))
	entry = append(binary.BigEndian.AppendUint64(entry, uint64(fetched.Unix())), "\x011version: STSv1\r\nmode: enforce\r\nmx: mx.x.test\r\nmax_age: 604800\r\n"...)
	_, err := st.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: store.SpacePolicies.Key([]byte("x.test")), Value: entry}}}, store.Durable)
	check(t, err)
	passed := fetched.Add(time.Hour)
	built := w.build(func(o *ExchangersOptions) {
		o.Store, o.Passed = st, func() time.Time { return passed }
		o.Now = func() time.Time { return fetched.AddDate(10, 0, 0) }
	})
	holds := func() bool {
		return built.Policy(t.Context(), parse(t, "a@x.test").Domain()).Policy.Mode == mtasts.ModeEnforce
	}
	if !holds() {
		t.Error("a clock that is set ahead ends a policy")
	}
	if passed = fetched.AddDate(0, 0, 8); holds() {
		t.Error("a policy holds for ever")
	}
}

// Run ends with its context or when the World retires, and no earlier; its heir lives on.
func TestAWorldRetires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		built := w.build(nil)
		for _, end := range []func(stop func()){func(stop func()) { stop() }, func(func()) { built.Retire(w.build(nil)) }} {
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				built.Run(ctx)
			}()
			built.Retire(built)
			synctest.Wait()
			select {
			case <-done:
				t.Error("it ended by itself")
			default:
			}
			end(stop)
			synctest.Wait()
			select {
			case <-done:
			default:
				t.Error("it goes on")
			}
			stop()
			<-done
		}
		built.Retire(nil)
		(*Exchangers)(nil).Retire(nil)
	})
}

func TestOwnAddresses(t *testing.T) {
	listed := netip.MustParseAddr("192.0.2.1")
	got := OwnAddresses([]netip.Addr{listed}, slog.New(slog.DiscardHandler))
	if !slices.Contains(got, listed) || !slices.Contains(got, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("our own are %v", got)
	}
}
