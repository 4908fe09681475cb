package letter_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"sallyport/internal/callout"
	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/spool"
)

func addr(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ours is a directory with mailboxes here, and a domain whose server knows its people.
func ours(t *testing.T) *directory.Snapshot {
	t.Helper()
	s, err := directory.NewSnapshot(directory.Config{
		Hostname: addr(t, "x@mx.local.test").Domain(), Detail: '+',
		Domains: []directory.Domain{
			{Name: addr(t, "x@local.test").Domain(), Deliver: directory.DeliverMaildir},
			{Name: addr(t, "x@behind.test").Domain(), Deliver: directory.DeliverSMTP, Server: directory.Server{Host: "10.0.0.5", Port: 25, TLS: mail.TLSRequired}, Recipients: directory.RecipientsCallout},
		},
	}, []mail.Address{addr(t, "alice@local.test"), addr(t, "bob@local.test"), addr(t, "box@behind.test")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// draft is a report of alice's, whose standing may change.
func draft(t *testing.T, standing *gate.Standing) *letter.Draft {
	t.Helper()
	id, err := mail.NewID(time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	alice := addr(t, "alice@local.test")
	return &letter.Draft{
		ID: id, Account: alice, Envelope: mail.Envelope{From: mail.PathOf(alice)}, Ownership: gate.OwnershipOwned,
		Session: letter.Ours(gate.DoorReport, func() gate.Standing { return *standing }),
	}
}

// server answers for the server behind, and does something meanwhile.
type server struct {
	says  callout.Knowledge
	asked []string
	act   func()
}

func (s *server) Ask(_ context.Context, _ netip.Addr, d directory.Domain, a mail.Address) callout.Answer {
	s.asked = append(s.asked, d.Name.ASCII()+" "+a.String())
	if s.act != nil {
		s.act()
	}
	return callout.Answer{Known: s.says}
}

// queue keeps what is put.
type queue struct{ got []spool.Message }

func (q *queue) Put(_ context.Context, m spool.Message, _ *spool.Body, _ [][]byte) (spool.Claim, error) {
	q.got = append(q.got, m)
	return spool.Claim{}, nil
}

// What the gate lets in is in the message, what leaves has its Grant, and nothing else is
// in it.
func TestAMessageIsWhatTheGateLetIn(t *testing.T) {
	standing := gate.StandingActive
	d, dir := draft(t, &standing), ours(t)
	for to, want := range map[string]bool{"bob@local.test": true, "far@remote.test": true, "nobody@local.test": false, "Box+dmarc@behind.test": false} {
		p, ok := d.Judge(addr(t, to), dir.Classify(addr(t, to)), nil).Part(mail.Recipient{Address: addr(t, to)})
		if ok != want {
			t.Errorf("%s: let in: %v", to, ok)
		}
		if ok {
			d.Add(p)
		}
	}
	q := &queue{}
	if _, err := d.Post(t.Context(), q, letter.Content{MessageID: "<1@x>"}, nil); err != nil {
		t.Fatal(err)
	}
	m := q.got[0]
	if len(m.Deliveries) != 2 || len(m.Envelope.To) != 2 || m.Account != d.Account || m.Grant.Account() != d.Account ||
		!m.Grant.Covers(m.ID, m.Envelope.From, addr(t, "far@remote.test")) || len(m.Grant.Recipients()) != 1 {
		t.Errorf("made %+v", m)
	}
	for _, v := range m.Deliveries {
		if (v.Kind == spool.KindOutbound) != v.Mailbox.IsZero() {
			t.Errorf("delivery %+v", v)
		}
	}
}

// The server behind is asked where only it can tell, its word counts, and the mailbox
// there is the address as it was written.
func TestTheServerBehindIsAsked(t *testing.T) {
	for says, want := range map[callout.Knowledge]gate.Rule{callout.Yes: gate.RuleReportLocal, callout.No: gate.RuleNoSuchUser, callout.Unknown: gate.RuleDirectoryUnavailable, 77: gate.RuleDirectoryUnavailable} {
		standing := gate.StandingActive
		d, dir, s := draft(t, &standing), ours(t), &server{says: says}
		ask, heard := letter.Asking(t.Context(), s, dir, netip.Addr{})
		to := addr(t, "Box+dmarc@behind.test")
		j := d.Judge(to, dir.Classify(to), ask)
		p, ok := j.Part(mail.Recipient{Address: to})
		if j.Rule != want || ok != (says == callout.Yes) || len(s.asked) != 1 || s.asked[0] != "behind.test Box+dmarc@behind.test" || len(*heard) != 1 {
			t.Errorf("%v: %s after asking %q", says, j.Rule, s.asked)
		}
		if ok && p.Ways[0].Mailbox != to {
			t.Errorf("the mailbox is %s", p.Ways[0].Mailbox)
		}
		d.Judge(addr(t, "bob@local.test"), dir.Classify(addr(t, "bob@local.test")), ask)
		if len(s.asked) != 1 {
			t.Errorf("asked about what we know: %q", s.asked)
		}
	}
}

// An account that is frozen while a server is asked sends nothing, and one that is frozen
// before has nobody asked.
func TestStandingIsAskedForEachDecision(t *testing.T) {
	standing := gate.StandingActive
	d, dir := draft(t, &standing), ours(t)
	s := &server{says: callout.Yes, act: func() { standing = gate.StandingFrozen }}
	ask, _ := letter.Asking(t.Context(), s, dir, netip.Addr{})
	to := addr(t, "x@behind.test")
	for range 2 {
		if j := d.Judge(to, dir.Classify(to), ask); j.Rule != gate.RuleAccountFrozen {
			t.Errorf("judged %s", j.Rule)
		}
	}
	if len(s.asked) != 1 || d.Mail().Rule != gate.RuleAccountFrozen {
		t.Errorf("asked %q; the sender is judged %s", s.asked, d.Mail().Rule)
	}
}

// Grants of different messages make none.
func TestGrantsOfAnotherMessageDoNotJoin(t *testing.T) {
	standing := gate.StandingActive
	d, dir, q := draft(t, &standing), ours(t), &queue{}
	to := addr(t, "far@remote.test")
	for _, from := range []*letter.Draft{d, draft(t, &standing)} {
		p, ok := from.Judge(to, dir.Classify(to), nil).Part(mail.Recipient{Address: to})
		if !ok {
			t.Fatal("refused")
		}
		d.Add(p)
	}
	if _, err := d.Post(t.Context(), q, letter.Content{}, nil); !errors.Is(err, letter.ErrGrants) || len(q.got) != 0 {
		t.Errorf("%v, queued %v", err, q.got)
	}
	if _, err := d.Spawn(letter.Content{}, nil); !errors.Is(err, letter.ErrGrants) {
		t.Errorf("spawned: %v", err)
	}
}

// A job gives nothing away that may not leave, or that no Grant covers, and tells the
// sender beyond us to nobody else.
func TestAJobIsWithdrawn(t *testing.T) {
	standing := gate.StandingActive
	d, dir, q := draft(t, &standing), ours(t), &queue{}
	to := addr(t, "far@remote.test")
	p, _ := d.Judge(to, dir.Classify(to), nil).Part(mail.Recipient{Address: to})
	d.Add(p)
	if _, err := d.Post(t.Context(), q, letter.Content{}, nil); err != nil {
		t.Fatal(err)
	}
	m, may := q.got[0], true
	signed := mail.PathOf(addr(t, "signed@local.test"))
	out := letter.Out{
		ID: m.ID, Envelope: m.Envelope, Grant: m.Grant, Sender: signed, May: func() bool { return may },
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(nil)), nil },
	}
	far := nexthop.Recipient{Recipient: mail.Recipient{Address: to}}
	here := nexthop.Recipient{Recipient: mail.Recipient{Address: addr(t, "bob@local.test")}, Mailbox: addr(t, "bob@local.test")}
	other := nexthop.Recipient{Recipient: mail.Recipient{Address: addr(t, "other@remote.test")}}
	for _, c := range []struct {
		to     []nexthop.Recipient
		may    bool
		from   mail.ReversePath
		leaves bool
	}{
		{[]nexthop.Recipient{far}, true, signed, true},
		{[]nexthop.Recipient{far}, false, signed, false},
		{[]nexthop.Recipient{far, other}, true, signed, false},
		{[]nexthop.Recipient{here}, true, m.Envelope.From, true},
		{[]nexthop.Recipient{here}, false, m.Envelope.From, false},
	} {
		out.To, may = c.to, c.may
		j := out.Job()
		_, err := j.Open()
		if (err == nil) != c.leaves || !c.leaves && !errors.Is(err, nexthop.ErrWithdrawn) || j.Envelope.From != c.from {
			t.Errorf("%+v: opened with %v, from %s", c, err, j.Envelope.From)
		}
	}
}
