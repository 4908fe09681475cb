package ways

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/callout"
	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/mx"
	"sallyport/internal/nexthop/named"
)

type noJournal struct{}

func (noJournal) Write(context.Context, ...fact.Fact) error { return nil }

// options lead to one route and one server behind us, and to nobody else.
func options(t *testing.T) Options {
	t.Helper()
	hello, err := mail.ParseDomain("mx.local.test")
	if err != nil {
		t.Fatal(err)
	}
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody is dialled") }
	route, server := directory.Route{Host: "route.test", Port: 25, TLS: mail.TLSNone}, directory.Server{Host: "behind.test", Port: 25, TLS: mail.TLSNone}
	return Options{
		Means:  named.DefaultMeans(hello, dial, time.Now, slog.New(slog.DiscardHandler)),
		Routes: []named.Entry[directory.Route]{{Key: route, Name: "route", Place: named.RoutePlace(route, named.DefaultLimits())}},
		Servers: []named.Entry[directory.Server]{
			{Key: server, Name: "server", Place: named.ServerPlace(server, named.DefaultServerLimits())},
		},
		Other:    func(s directory.Server) named.Place { return named.ServerPlace(s, named.DefaultServerLimits()) },
		Callouts: callout.DefaultLimits(), Journal: noJournal{}, Rand: rand.Reader,
		Exchangers: mx.ExchangersOptions{Made: "none"},
		Resolver:   func() (dnsx.Resolver, error) { return nil, errors.New("no servers are named") },
	}
}

func build(t *testing.T, o Options, last *Ways) *Ways {
	t.Helper()
	w, err := Build(t.Context(), o, last)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// What would be made in the same way is taken over, each thing by itself.
func TestWhatTheNextStateTakesOver(t *testing.T) {
	o := options(t)
	first := build(t, o, nil)
	route, server := o.Routes[0].Key, o.Servers[0].Key
	was := func(w *Ways) [2]nexthop.Target {
		target, err := w.servers.Find(server)
		if err != nil {
			t.Fatal(err)
		}
		return [2]nexthop.Target{w.routes.Target(route), target}
	}
	same := build(t, o, first)
	first.Retire(same)
	if was(same) != was(first) || same.exchangers != first.exchangers || same.Callouts() != first.Callouts() {
		t.Error("what was the same was made anew")
	}
	o.Servers[0].Place.Limits.Connections++
	o.Callouts.Entries++
	o.Exchangers.Made = "others"
	next := build(t, o, same)
	if before, after := was(same), was(next); before[0] != after[0] || before[1] == after[1] {
		t.Error("one of two next hops changed")
	}
	if next.exchangers == same.exchangers || next.Callouts() == same.Callouts() {
		t.Error("what changed was taken over")
	}
	same.Retire(next)
	next.Retire(nil)
	(*Ways)(nil).Retire(next)
}

// All that is wrong is told at once, by name, nothing is made then, and the former state
// lives on.
func TestFaultsAreToldTogether(t *testing.T) {
	o := options(t)
	last := build(t, o, nil)
	o.Routes[0].Place.CA, o.Servers[0].Place.CA = "/nowhere.pem", "/nowhere.pem"
	o.Callouts.Entries = -1
	o.Exchangers.Made, o.Exchangers.Delivery = "others", true
	w, err := Build(t.Context(), o, last)
	if w != nil || err == nil {
		t.Fatalf("%v, %v", w, err)
	}
	for _, name := range []string{"route", "server", NameCallouts, NameResolver} {
		if !strings.Contains("\n"+err.Error(), "\n"+name+": ") {
			t.Errorf("nothing of %s in %q", name, err)
		}
	}
	if _, err := last.servers.Find(directory.Server{Host: "added.test", Port: 25, TLS: mail.TLSNone}); err != nil {
		t.Errorf("the former state ended: %v", err)
	}
}

// One fault bears its name, and ends nothing that the state made so far shares with the former.
func TestOneFaultEndsNothingOfTheFormerState(t *testing.T) {
	o := options(t)
	last := build(t, o, nil)
	o.Callouts.Entries = -1
	_, err := Build(t.Context(), o, last)
	if fault := (*named.Fault)(nil); !errors.As(err, &fault) || fault.Name != NameCallouts {
		t.Errorf("%v", err)
	}
	running, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	last.Exchangers().Run(running)
	if running.Err() == nil {
		t.Error("the former way to exchangers ended")
	}
}

// Everybody is reached by the ways in force at that moment, and nobody by ways that are not
// there.
func TestTheWaysInForce(t *testing.T) {
	o := options(t)
	var now *Ways
	c := Current(func() *Ways { return now })
	a, err := mail.ParseAddress("bob@remote.test", mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	now = build(t, o, nil)
	if _, ok := c.Exchanger(a); ok {
		t.Error("mail for everybody else has a way without delivery by exchangers")
	}
	route := o.Routes[0].Key
	before := c.Route(route)
	o.Routes = nil
	next := build(t, o, now)
	now.Retire(next)
	now = next
	if c.Route(route) == before {
		t.Error("the route that was removed is still in force")
	}
	if c.Server(o.Servers[0].Key) == nil {
		t.Error("no server behind us")
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	c.Run(ended)
}
