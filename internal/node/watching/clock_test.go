package watching

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/store"
	"sallyport/internal/trust"
	"sallyport/internal/trust/guard"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// submitted is a message that an account sent, and to whom.
type submitted struct {
	id   mail.ID
	ways []watch.Way
	watch.Judged
}

// submit has an account send a message, which is queued unless it is not taken.
func (p *post) submit(from mail.Address, to ...string) submitted {
	p.t.Helper()
	return p.send(watch.Act{Account: from, Session: fact.Session{Door: "submission", Peer: netip.MustParseAddr("198.51.100.7")}}, to...)
}

// send has somebody send a message.
func (p *post) send(by watch.Act, to ...string) submitted {
	p.t.Helper()
	id, err := mail.NewID(p.o.Now(), p.o.Rand)
	if err != nil {
		p.t.Fatal(err)
	}
	m := submitted{id: id}
	for _, a := range to {
		m.ways = append(m.ways, watch.Way{Recipient: foldertest.Address(p.t, a)})
	}
	m.Judged = p.Watch.Submitted(p.t.Context(), watch.Submission{Act: by, ID: id, Ways: m.ways})
	if m.Fault != nil {
		p.t.Fatal(m.Fault)
	}
	p.apply(m.Also)
	m.Done(!m.Contained && m.Paused.IsZero())
	return m
}

func (p *post) apply(also []store.Mutation) {
	p.t.Helper()
	if len(also) == 0 {
		return
	}
	if _, err := p.data.Store.Apply(p.t.Context(), store.Tx{Mutations: also}, store.Durable); err != nil {
		p.t.Fatal(err)
	}
}

// waiting is how many recipients of a message may not have it yet.
func (p *post) waiting(m submitted) int {
	waits, _ := p.Watch.Waits(p.t.Context(), m.id, m.ways)
	return len(waits)
}

// Whoever must wait for a message waits for as long as passes: no clock that is set lets a thief's
// message out, or keeps anybody's.
func TestWhoWaitsGoesByTheTimeThatPasses(t *testing.T) {
	for _, set := range []time.Duration{day, -day, 10 * year, -10 * year} {
		m := foldertest.NewMachine()
		p := openIn(t, m.World(settings.World{}))
		var to []string
		for n := range hijack.DefaultParams().Bounds.Burst + 1 {
			to = append(to, fmt.Sprintf("new%d@far.test", n))
		}
		sent := p.submit(p.alice, to...)
		if m.Set(set); p.waiting(sent) != len(to) {
			t.Errorf("when the clock was set by %v %d of %d wait", set, p.waiting(sent), len(to))
		}
		if m.Pass(time.Hour); p.waiting(sent) != 0 {
			t.Errorf("an hour after the clock was set by %v %d wait", set, p.waiting(sent))
		}
	}
}

// Whoever wrote first is known for as long as passes, whatever the clock is set to.
func TestWhoWroteFirstIsKnownForTheTimeThatPasses(t *testing.T) {
	m := foldertest.NewMachine()
	p := openIn(t, m.World(settings.World{}))
	for _, from := range []string{"early@far.test", "late@far.test"} {
		j := p.Watch.Heard(t.Context(), foldertest.Address(t, from), []watch.Way{{Recipient: p.alice, Mailbox: p.alice}})
		p.apply(j.Also)
		j.Done(true)
	}
	if !p.submit(p.alice, "stranger@far.test").Waits {
		t.Fatal("a stranger does not wait")
	}
	m.Pass(2 * day)
	if m.Set(10 * year); p.submit(p.alice, "early@far.test").Waits {
		t.Error("a clock that is set ahead makes who wrote first a stranger")
	}
	m.Pass(watch.DefaultLimits().HeardFor)
	if m.Set(-20 * year); !p.submit(p.alice, "late@far.test").Waits {
		t.Error("a clock that is set back keeps who wrote first known for ever")
	}
}

// That addresses of clients arrive is proven for as long as passes, whatever the clock is set to.
func TestNetworksAreProvenForTheTimeThatPasses(t *testing.T) {
	m := foldertest.NewMachine()
	p := openIn(t, m.World(settings.World{}))
	p.trustPrinters()
	for _, set := range []time.Duration{10 * year, -20 * year} {
		if m.Set(set); p.Networks.Reports()[0].State != guard.StateOpen {
			t.Errorf("a clock that is set by %v takes the proof away: %+v", set, p.Networks.Reports())
		}
	}
	if m.Pass(trust.DefaultLimits().For); p.Networks.Reports()[0].State != guard.StateWaiting {
		t.Errorf("it is proven for ever: %+v", p.Networks.Reports())
	}
}

// trustPrinters has the devices of a network sign in as alice, on the proof that there must be.
func (p *post) trustPrinters() {
	p.t.Helper()
	change, err := p.Build(foldertest.Load(p.t, p.dir, printers))
	if err != nil {
		p.t.Fatal(err)
	}
	change.Adopt()
	for _, a := range []string{"203.0.113.1", "198.51.100.1", "198.51.101.1"} {
		p.Networks.Saw(p.t.Context(), trust.Sighting{From: netip.MustParseAddr(a), MX: true, Domain: "remote.test"})
	}
	if r := p.Networks.Reports(); len(r) != 1 || r[0].State != guard.StateOpen {
		p.t.Fatalf("a network that is proven: %+v", r)
	}
}

// What an incident says of when it began, and of when somebody was seen, is what the clock of the
// world showed, for who finds a thief in what an account does as for who finds strangers in a
// network.
func TestIncidentsTellTheTimeOfTheClock(t *testing.T) {
	m := foldertest.NewMachine()
	p := openIn(t, m.World(settings.World{}))
	p.trustPrinters()
	m.Pass(time.Minute)
	for n := range trust.DefaultLimits().Domains {
		p.Networks.Saw(t.Context(), trust.Sighting{From: netip.MustParseAddr("192.0.2.7"), MX: true, Domain: fmt.Sprintf("d%d.test", n)})
	}
	bob := foldertest.Add(t, p.data, "bob@local.test")
	m.Pass(time.Minute)
	for n := 0; !p.submit(bob, fmt.Sprintf("v%d@remote%d.test", n, n)).Contained; n++ {
		if n > 1000 {
			t.Fatal("a thief is never found")
		}
	}
	var found []incident.Incident
	if err := p.Incidents.Log.List(t.Context(), func(i incident.Incident) (bool, error) { found = append(found, i); return true, nil }); err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[0].Account != bob || found[1].Account != p.alice || found[0].Rule != watch.Rule || found[1].Rule != guard.Rule {
		t.Fatalf("%+v", found)
	}
	for n, at := range []time.Time{m.Now(), m.Now().Add(-time.Minute)} {
		if i := found[n]; !i.At.Equal(at) || len(i.Seen) != 1 || !i.Seen[0].At.Equal(at) {
			t.Errorf("incident %d of %v began at %v, and was seen %+v", i.Number, at, i.At, i.Seen)
		}
	}
}
