package intake_test

import (
	"context"
	"strings"
	"testing"

	"sallyport/internal/hijack/watch"
	"sallyport/internal/intake"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
	"sallyport/internal/store"
)

// However little memory there is, a message is put off at the step that finds none, and leaves
// nothing; with a little more it comes a step further, and with enough it is taken.
func TestMemoryIsTakenStepByStep(t *testing.T) {
	text := message + strings.Repeat("a line of the message\r\n", 400)
	last, steps := 0, map[int]bool{}
	for octets := int64(0); ; octets += 1 << 10 {
		memory := allowance.New(octets)
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), memory: memory, inspectors: []intake.Inspector{&reader{name: "r", say: pass("")}}})
		c := w.signedIn("alice@local.test")
		step := 0
		r := c.from("<alice@local.test>")
		if r.OK() {
			step = 1
			if r = c.to("<x@remote.test>"); r.OK() {
				step = 2
			}
			if step == 2 {
				if r = c.data(text); r.OK() {
					step = 3
				}
			} else {
				c.t.Abort(t.Context())
			}
		}
		if u := memory.Use(); u.Used != 0 || step < 3 != (u.Refused > 0) {
			t.Errorf("with %d octets %+v is left after step %d", octets, u, step)
		}
		if step < last {
			t.Errorf("with %d octets it comes to step %d, and with fewer to %d", octets, step, last)
		}
		last, steps[step] = step, true
		if step == 3 {
			w.only()
			break
		}
		if r.Code != 452 || w.oneFact("memory-crowded").Reply != r {
			t.Errorf("with %d octets: %v", octets, r)
		}
		w.empty()
		if octets > 1<<20 {
			t.Fatal("it is never taken")
		}
	}
	if len(steps) != 4 {
		t.Errorf("it was put off at %v", steps)
	}
}

// What we add to a header section at its bound does not make it too large for those who inspect it.
func TestOurOwnFieldsAreNoBurden(t *testing.T) {
	text := "From: alice@local.test\r\nSubject: x\r\n\r\n"
	for more, code := range map[int]int{0: 250, -1: 552} {
		for name, limit := range map[string]func(*intake.Limits){
			"octets": func(l *intake.Limits) { l.Header.HeaderOctets = len(text) + more },
			"fields": func(l *intake.Limits) { l.Header.Fields = 2 + more },
		} {
			limits := intake.DefaultLimits()
			limit(&limits)
			seen := &reader{name: "r", say: pass("")}
			w := newWorldOf(t, setup{limits: limits, inspectors: []intake.Inspector{seen}})
			c := w.signedIn("alice@local.test")
			c.want(c.from("<alice@local.test>"), 250)
			c.want(c.to("<x@remote.test>"), 250)
			if r := c.data(text + "x\r\n"); r.Code != code {
				t.Errorf("%s, %d more: %v", name, more, r)
			}
			if code == 250 && (seen.saw.Stored.Count("Message-ID") != 1 || seen.saw.Stored.Count("Date") != 1 || seen.saw.Header.Count("Date") != 0) {
				t.Errorf("%s: it is shown %q", name, seen.saw.Stored.Raw())
			}
		}
	}
}

// What is held, or must wait, is not offered to a server behind us, and comes into the queue.
func TestWhatIsHeldIsNotOffered(t *testing.T) {
	for name, row := range map[string]struct {
		find    intake.Finding
		waits   bool
		offered bool
	}{
		"neither": {pass(""), false, true},
		"held":    {intake.Finding{Action: intake.Hold, Rule: "r", Reason: "why"}, false, false},
		"waits":   {pass(""), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "2.0.0", "saved")}}
			w := newWorldOf(t, setup{
				limits: intake.DefaultLimits(), recipients: g,
				inspectors: []intake.Inspector{&reader{name: "r", say: row.find}},
				watch:      &judge{says: watch.Judged{Waits: row.waits}},
			})
			c := w.signedIn("alice@local.test")
			c.want(c.from("<alice@local.test>"), 250)
			c.want(c.to("<a@cut.test>"), 250)
			c.want(c.data(message), 250)
			if offered := g.text != ""; offered != row.offered || (w.spool.Stats().Entries == 0) != row.offered {
				t.Errorf("offered %v, %+v", offered, w.spool.Stats())
			}
			if held := w.spool.Stats().Held; (held == 1) != (name == "held") {
				t.Errorf("%d held", held)
			}
		})
	}
}

// asked notes about whom it was asked.
type asked struct {
	watcher
	mistaken []string
}

func (a *asked) Mistaken(_ context.Context, account, recipient mail.Address) bool {
	a.mistaken = append(a.mistaken, account.String()+" "+recipient.String())
	return true
}

// Of recipients that do not exist, those of our own people are asked about, and no stranger's; of
// what passes by itself nobody is asked.
func TestWhoseMistakesAreCounted(t *testing.T) {
	a := &asked{}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), watch: a})
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	c.want(c.to("<nobody@local.test>"), 550)
	c.want(c.to("<bob@local.test>"), 250)
	c.t.Abort(t.Context())
	if len(a.mistaken) != 0 || len(a.told) != 0 {
		t.Errorf("of a stranger: asked %q, told %q", a.mistaken, a.told)
	}
	c = w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	if r := c.to("<round@local.test>"); r.Code/100 != 4 && r.Code/100 != 5 {
		t.Errorf("an alias that leads nowhere: %v", r)
	} else if (r.Code/100 == 5) != (len(a.mistaken) == 1) {
		t.Errorf("%v: asked %q", r, a.mistaken)
	}
	a.mistaken = nil
	c.t.Abort(t.Context())
	a.told = nil
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<nobody@local.test>"), 550)
	c.want(c.to("<bob@local.test>"), 250)
	if len(a.mistaken) != 1 || a.mistaken[0] != "alice@local.test nobody@local.test" {
		t.Errorf("asked %q", a.mistaken)
	}
	c.t.Abort(t.Context())
	a.want(t, "alice@local.test: 1 of 2 refused")
	c.t.Abort(t.Context())
	a.want(t) // once
}

// A field that only this server may write is taken off what strangers bring, and left to our own
// people.
func TestReservedFields(t *testing.T) {
	for who, kept := range map[string]bool{"": false, "alice@local.test": true} {
		w := newWorld(t)
		w.in.Reserved = func() []string { return []string{"X-Ours"} }
		c, from := w.connect(server.KindMX), "<x@far.test>"
		if who != "" {
			c, from = w.signedIn(who), "<"+who+">"
		}
		c.want(c.from(from), 250)
		c.want(c.to("<bob@local.test>"), 250)
		c.want(c.data("X-Ours: yes\r\n"+message), 250)
		if _, text := w.only(); strings.Contains(text, "X-Ours: yes") != kept {
			t.Errorf("of %q: %q", who, text)
		}
	}
}

// low is a store whose disk has little room, or none that answers.
type low struct {
	store.Store
	err error
}

func (l *low) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	if tx.Bulk && l.err != nil {
		return 0, l.err
	}
	return l.Store.Apply(ctx, tx, d)
}

// That the disk is nearly full is told once by who watches it, and not with each message; that it
// fails is.
func TestWhatOfTheDiskIsLogged(t *testing.T) {
	for err, level := range map[error]string{store.ErrLow: "DEBUG", store.ErrUnavailable: "WARN"} {
		w := newWorld(t)
		w.st.Store = &low{w.st.Store, err}
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		c.want(c.to("<bob@local.test>"), 250)
		c.want(c.data(message), 452)
		if !strings.Contains(w.logged.String(), "level="+level+` msg="message not stored"`) {
			t.Errorf("%v is logged as\n%s", err, w.logged.String())
		}
	}
}
