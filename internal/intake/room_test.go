package intake_test

import (
	"context"
	"strings"
	"testing"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
)

// shelves are mailboxes that have room for so many octets.
type shelves struct {
	most        int64
	asked       []string
	sent, given int
}

func (b *shelves) Take(_ context.Context, mailbox mail.Address, octets int64) (inflow.Held, inflow.Verdict) {
	b.asked = append(b.asked, mailbox.String())
	if octets > b.most || b.most == 0 {
		return nil, inflow.Verdict{Rule: inflow.RuleQuota}
	}
	return &shelf{b}, inflow.Verdict{OK: true}
}

type shelf struct{ b *shelves }

func (x *shelf) More(octets int64) inflow.Verdict {
	if octets > x.b.most {
		return inflow.Verdict{Rule: inflow.RuleQuota}
	}
	return inflow.Verdict{OK: true}
}

func (x *shelf) Sent() { x.b.sent++ }
func (x *shelf) Give() { x.b.given++ }

// Whoever is delivered here finds room in his mailbox, and gives it back where the message does not come;
// who only sends on needs none, and whoever writes to a postmaster gets through.
func TestWhoNeedsRoom(t *testing.T) {
	for name, row := range map[string]struct {
		keep, forwards bool
		to             string
		asked          int
	}{
		"a mailbox":        {false, false, "<bob@local.test>", 1},
		"one that sends":   {false, true, "<bob@local.test>", 0},
		"one that keeps":   {true, true, "<bob@local.test>", 1},
		"the postmaster's": {false, false, "<postmaster@local.test>", 0},
	} {
		for _, most := range []int64{0, 1 << 20} {
			b := &shelves{most: most}
			w := newWorldOf(t, setup{limits: intake.DefaultLimits(), room: b})
			cfg := directory.Config{
				Hostname: domain(t, "mx.local.test"), Domains: []directory.Domain{{Name: domain(t, "local.test"), Deliver: directory.DeliverMaildir}}, ForwardExternal: true,
				Aliases: []directory.Alias{{Address: addr(t, "postmaster@local.test"), Targets: []mail.Address{addr(t, "bob@local.test")}, Posting: directory.PostingAnyone}},
			}
			if row.forwards {
				cfg.Forwards = []directory.Forward{{Account: addr(t, "bob@local.test"), Targets: []mail.Address{addr(t, "b@remote.test")}, Keep: row.keep}}
			}
			s, err := directory.NewSnapshot(cfg, []mail.Address{addr(t, "alice@local.test"), addr(t, "bob@local.test")})
			must(t, err)
			w.dir.Store(s)
			c := w.signedIn("alice@local.test")
			c.want(c.from("<alice@local.test>"), 250)
			r := c.to(row.to)
			if full := row.asked == 1 && most == 0; r.OK() == full || len(b.asked) != row.asked {
				t.Errorf("%s, room %d: %v, asked %q", name, most, r, b.asked)
			}
			if n := w.used("alice@local.test"); n != 0 && !r.OK() {
				t.Errorf("%s: %d recipients are charged", name, n)
			}
			c.t.Abort(t.Context())
			if b.given != row.asked && most > 0 || b.sent != 0 {
				t.Errorf("%s: %d given back, %d sent", name, b.given, b.sent)
			}
		}
	}
}

// A message that outgrows the room of its mailbox is refused while it comes, and leaves nothing; one
// that fits keeps its room.
func TestAMessageOutgrowsItsMailbox(t *testing.T) {
	for lines, fits := range map[int]bool{10: true, 20000: false} {
		b := &shelves{most: 100 << 10}
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), room: b})
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		c.want(c.to("<bob@local.test>"), 250)
		r := c.data(message + strings.Repeat("a line\r\n", lines))
		if r.OK() != fits || (b.sent == 1) != fits || (b.given == 1) == fits {
			t.Errorf("%d lines: %v, %d sent, %d given back", lines, r, b.sent, b.given)
		}
		if !fits {
			if f := w.oneFact(string(inflow.RuleQuota)); !f.stranger || f.Text == "" || f.Reply != r {
				t.Errorf("%+v", f)
			}
			w.empty()
		}
	}
}

// Of two sessions that asked for the last place of a mailbox, the one that ends first has it.
func TestTheLastPlaceIsOnes(t *testing.T) {
	limits := inflow.DefaultLimits()
	limits.MailboxMessages = 1
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), inflow: limits})
	var both []*client
	for range 2 {
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		c.want(c.to("<bob@local.test>"), 250)
		both = append(both, c)
	}
	w.facts()
	both[1].want(both[1].data(message), 250)
	w.facts()
	both[0].want(both[0].data(message), 452)
	if f := w.oneFact(string(inflow.RuleMailboxMessages)); f.Text == "" || len(f.Recipients) != 1 {
		t.Errorf("%+v", f)
	}
	w.only()
}

// What every inspector found is told, also of a message that the last of them refuses; each gives its
// place back.
func TestWhatAllInspectorsFound(t *testing.T) {
	limits := intake.DefaultLimits()
	limits.Inspections = 16
	no := intake.Finding{Action: intake.Refuse, Rule: "bad", Reply: mail.R(550, "5.7.1", "no"), Notes: []fact.Pair{{Name: "last", Value: "found"}}}
	w := newWorldOf(t, setup{limits: limits, inspectors: []intake.Inspector{&reader{name: "first", say: pass("")}, &reader{name: "second", say: no}}})
	for range 9 { // two places each
		c := w.signedIn("alice@local.test")
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to("<x@remote.test>"), 250)
		c.want(c.data(message), 550)
		f := w.oneFact("bad")
		if seen, _ := f.Find("seen"); seen != "yes" {
			t.Errorf("%+v", f.Evidence)
		}
		if last, _ := f.Find("last"); last != "found" {
			t.Errorf("%+v", f.Evidence)
		}
		c.s.Close(t.Context(), "quit")
		w.facts()
	}
}
