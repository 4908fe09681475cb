package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/spool"
)

// roomOf is a dispatch that takes messages, within these bounds.
func roomOf(active int, octets int64) *Dispatch {
	l := DefaultLimits()
	l.Active, l.ActiveOctets = active, octets
	d := New(Options{Limits: l, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	d.closed = false
	return d
}

// claimOf is a message to so many, with a prefix and a body of so many octets.
func claimOf(recipients, prefix, body int) spool.Claim {
	return spool.Claim{Entry: spool.Entry{Recipients: make([]spool.RecipientState, recipients), Prefix: []byte(strings.Repeat("p", prefix))}, Body: []byte(strings.Repeat("b", body))}
}

// So many messages are under way and no more, and each that ends makes room for one.
func TestSoManyAreUnderWay(t *testing.T) {
	d := roomOf(2, 1<<20)
	var runs []*run
	for n := range 4 {
		r, ok, wait := d.begin(claimOf(1, 10, 10))
		if ok != (n < 2) || !ok && wait != d.bounds().Crowded {
			t.Fatalf("message %d: %v, wait %s", n, ok, wait)
		}
		if ok {
			runs = append(runs, r)
		}
		if want := max(0, 1-n); d.room() != want {
			t.Errorf("with %d under way there is room for %d", n+1, d.room())
		}
	}
	d.end(runs[0])
	if d.room() != 1 {
		t.Errorf("after the end of one there is room for %d", d.room())
	}
	d.closed = true
	if _, ok, wait := d.begin(claimOf(1, 10, 10)); ok || wait != 0 {
		t.Errorf("one that stops takes a message: %v, %s", ok, wait)
	}
}

// Envelopes under way take so many octets and no more, though one is always taken; bodies that
// don't fit are read when they are needed. What ends gives all of it back.
func TestOctetsUnderWayAreBounded(t *testing.T) {
	one := int64(100 + 2*recipientOctets)
	d := roomOf(100, 2*one)
	first, ok, _ := d.begin(claimOf(2, 100, int(one)))
	if !ok || d.entries != one || d.bodies != one {
		t.Fatalf("%v, %d octets of envelopes, %d of bodies", ok, d.entries, d.bodies)
	}
	second, ok, _ := d.begin(claimOf(2, 100, int(one)+1)) // the envelope just fits, and the body just not
	if !ok || d.entries != 2*one || d.bodies != one || second.claim.Body != nil {
		t.Fatalf("%v, %d octets of envelopes, %d of bodies", ok, d.entries, d.bodies)
	}
	if _, ok, wait := d.begin(claimOf(0, 1, 0)); ok || wait != d.bounds().Crowded {
		t.Errorf("an octet too many is taken: %v, %s", ok, wait)
	}
	if n := d.room(); n != 0 || !d.starved {
		t.Errorf("near the bound there is room for %d, starved %v", n, d.starved)
	}
	d.end(second)
	select {
	case <-d.wake: // half of it is free
	default:
		t.Error("the end of a run wakes nobody who found no room")
	}
	if d.starved || d.entries != one || d.bodies != one {
		t.Errorf("starved %v, %d octets of envelopes, %d of bodies", d.starved, d.entries, d.bodies)
	}
	third, ok, _ := d.begin(claimOf(2, 100, int(one)))
	if !ok || third.claim.Body == nil || d.bodies != 2*one {
		t.Errorf("a body that just fits: %v, %d octets", ok, d.bodies)
	}
	d.end(first)
	d.end(third)
	if d.entries != 0 || d.bodies != 0 || len(d.runs) != 0 {
		t.Errorf("in the end %d octets of envelopes, %d of bodies, %d runs", d.entries, d.bodies, len(d.runs))
	}
	select {
	case <-d.wake:
		t.Error("who had room is woken")
	default:
	}
	huge, ok, _ := d.begin(claimOf(1000, 100, 0))
	if !ok {
		t.Error("a message larger than all room is never taken")
	}
	d.end(huge)
}

// wholeQueue gives back nothing and redirects nothing.
type wholeQueue struct {
	Queue
	entry spool.Entry
	held  bool
}

func (q wholeQueue) Get(context.Context, mail.ID) (spool.Entry, error) { return q.entry, nil }
func (q wholeQueue) AccountHeld(mail.Address) (string, bool)           { return "", q.held }

// What nobody waits for goes nowhere else.
func TestNothingToRedirect(t *testing.T) {
	d := New(Options{Queue: wholeQueue{}, Limits: DefaultLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if _, err := d.Redirect(t.Context(), Redirection{}); !errors.Is(err, ErrRedirect) || !strings.Contains(err.Error(), "nobody waits") {
		t.Errorf("%v", err)
	}
}

// Each outcome of a delivery that was sent on names the message that carries it, beside what was
// answered of the copy that stays.
func TestOutcomesNameWhatCarriesThemOn(t *testing.T) {
	first, err := mail.NewID(time.Unix(1, 0), strings.NewReader(strings.Repeat("1", 64)))
	if err != nil {
		t.Fatal(err)
	}
	second, err := mail.NewID(time.Unix(2, 0), strings.NewReader(strings.Repeat("2", 64)))
	if err != nil {
		t.Fatal(err)
	}
	l := leaving{messages: []spool.Spawned{{}, {}}, of: [][]int{{0, 1}, {2}}}
	l.messages[0].Message.ID, l.messages[1].Message.ID = first, second
	before := attempt{outcomes: []mail.Outcome{
		{Reply: mail.R(250, "2.0.0", "saved"), Remote: "maildir"}, {Reply: mail.R(250, "2.0.0", "x"), Remote: forwardName}, {Reply: mail.R(250, "2.0.0", ""), Remote: "maildir"}, {Reply: mail.R(550, "5.1.1", "no")},
	}}
	got := l.named(before)
	for n, want := range []string{"saved; sent on as " + first.String(), "sent on as " + first.String(), "sent on as " + second.String(), "no"} {
		if got.outcomes[n].Reply.Text != want {
			t.Errorf("outcome %d says %q, want %q", n, got.outcomes[n].Reply.Text, want)
		}
	}
	if before.outcomes[0].Reply.Text != "saved" {
		t.Error("the attempt itself is changed")
	}
}

// Mail for a recipient of ours goes into his mailbox, or to the server behind us that has his domain
// now; for a domain that is not ours any more it goes nowhere, and for this host itself to a mailbox.
func TestWaysInside(t *testing.T) {
	domain := func(s string) mail.Domain {
		d, err := mail.ParseDomain(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	server := directory.Server{Host: "10.0.0.5", Port: 25, TLS: mail.TLSNone}
	dir, err := directory.NewSnapshot(directory.Config{Hostname: domain("mx.local.test"), Domains: []directory.Domain{
		{Name: domain("local.test"), Deliver: directory.DeliverMaildir},
		{Name: domain("behind.test"), Deliver: directory.DeliverSMTP, Recipients: directory.RecipientsCallout, Server: server},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	local, behind := nowhere("mailbox"), nowhere("behind")
	p := planner{dir: dir, local: local, behind: func(got directory.Server) nexthop.Target {
		if got != server {
			t.Errorf("asked for %v", got)
		}
		return behind
	}}
	for to, want := range map[string]group{
		"a@local.test": {key: localKey, target: local}, "a@behind.test": {key: behindKey(server), target: behind},
		"postmaster@mx.local.test": {key: localKey, target: local}, "a@gone.test": {}, "a@other.local.test": {},
	} {
		if got := p.inside(aPath(t, to)); got.key != want.key || got.target != want.target {
			t.Errorf("%s goes by %q to %v, want %q", to, got.key, got.target, want.key)
		}
	}
	p.behind = nil
	if got := p.inside(aPath(t, "a@behind.test")); got.target != nil {
		t.Errorf("without a way to servers behind us mail for them goes to %v", got.target)
	}
	other := server
	other.TLS = mail.TLSRequired
	if behindKey(server) == behindKey(other) {
		t.Error("two ways to one server share their fate")
	}
}

// nowhere is a target that takes nothing.
type nowhere string

func (nowhere) Deliver(context.Context, nexthop.Job) []mail.Outcome { return nil }
