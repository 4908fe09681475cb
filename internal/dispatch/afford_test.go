package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/spool"
	"sallyport/internal/store/mem"
)

// Of a forward's message each outside recipient takes of his own budget; who finds none waits, the
// message as long as the one who waits least, and who got it counts, and nobody else.
func TestWhatAForwardAffords(t *testing.T) {
	now := noon
	clock := func() time.Time { return now }
	counts, err := ledger.Open(t.Context(), mem.New(), ledger.Options{Now: clock, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	d := houseOf(t, nil)
	d.Now = clock
	d.Charge = func(account, target mail.Address) *ledger.Charge {
		return counts.Charge(ledger.Forward(account, target))
	}
	d.Allowance = func() budget.Limits { return budget.Limits{Hour: 1, Day: 10} }
	l := DefaultLimits()
	l.Crowded, l.BudgetMost = time.Second, 24*time.Hour
	d.Adjust(d.set.Load().policy, l)
	alice := aPath(t, "alice@local.test")
	runOf := func(to ...string) *run {
		r := &run{claim: spool.Claim{Entry: spool.Entry{Account: alice, Forward: spool.ForwardSent}}}
		for _, a := range to {
			if strings.HasSuffix(a, "@local.test") {
				r.pending = append(r.pending, spool.RecipientState{Delivery: spool.Delivery{Kind: spool.KindLocal, Mailbox: aPath(t, a)}})
				continue
			}
			r.pending = append(r.pending, outbound(t, a, spool.StatePending))
		}
		r.plan = plan{outcomes: make([]mail.Outcome, len(to)), spoken: make([]bool, len(to))}
		return r
	}
	use := func(to string, want int) {
		t.Helper()
		if got := counts.Use(ledger.Forward(alice, aPath(t, to))).Hour; got != want {
			t.Errorf("%s has %d, want %d", to, got, want)
		}
	}
	// The first takes: one gets it, one not, one is at home.
	r := runOf("bob@local.test", "a@x.test", "b@x.test")
	if waits, facts := d.afford(r); len(waits) != 0 || len(facts) != 0 || r.wait != 0 || len(r.charges) != 2 {
		t.Errorf("the first waits: %v, %v, %v", waits, facts, r.wait)
	}
	r.plan.outcomes[1], r.plan.spoken[1] = said(t, "a@x.test", 250, "2.0.0"), true
	r.plan.outcomes[2], r.plan.spoken[2] = said(t, "b@x.test", 451, "4.3.0"), true
	d.account(r)
	use("a@x.test", 1)
	use("b@x.test", 0)
	now = now.Add(20 * time.Minute)
	r = runOf("b@x.test")
	d.afford(r)
	r.plan.outcomes[0] = said(t, "b@x.test", 250, "2.0.0") // and nobody said so
	d.account(r)
	use("b@x.test", 0)
	r = runOf("b@x.test")
	d.afford(r)
	r.plan.outcomes[0], r.plan.spoken[0] = said(t, "b@x.test", 250, "2.0.0"), true
	d.account(r)
	use("b@x.test", 1)
	// Both are full: b for twenty minutes longer than a. One more has room.
	var least time.Duration
	for _, order := range [][]string{{"b@x.test", "a@x.test", "c@x.test"}, {"a@x.test", "b@x.test", "c@x.test"}} {
		r = runOf(order...)
		waits, facts := d.afford(r)
		if !maps.Equal(waits, map[int]bool{0: true, 1: true}) || len(r.charges) != 1 {
			t.Errorf("%v wait", waits)
		}
		if least == 0 {
			least = r.wait
			if len(facts) != 2 || facts[0].Kind != fact.KindAlarm || facts[0].Rule != RuleForwardBudget || facts[0].Recipients[0] != "b@x.test" || facts[0].Count != 1 || len(facts[0].Evidence) != 1 {
				t.Errorf("the alarms: %+v", facts)
			}
		} else if len(facts) != 0 {
			t.Errorf("alarmed again: %+v", facts)
		}
		if r.wait != least || r.wait <= time.Second || r.wait > 46*time.Minute {
			t.Errorf("it waits %v, and %v the other way round", r.wait, least)
		}
		d.account(r)
	}
	use("c@x.test", 0)
	r = runOf("b@x.test")
	if d.afford(r); r.wait <= least {
		t.Errorf("the one who got it later waits %v alone, both %v", r.wait, least)
	}
}

// A delivery beyond this server is one to another host that was really asked.
func TestElsewhere(t *testing.T) {
	for _, row := range []struct {
		kind   spool.Kind
		remote string
		want   bool
	}{{spool.KindOutbound, "mx", true}, {spool.KindLocal, "mx", false}, {spool.KindOutbound, "", false}, {spool.KindOutbound, ourName, false}, {spool.KindOutbound, forwardName, false}} {
		r := report{state: spool.RecipientState{Delivery: spool.Delivery{Kind: row.kind}}, outcome: mail.Outcome{Remote: row.remote}}
		if r.elsewhere() != row.want {
			t.Errorf("%+v", row)
		}
	}
}

// Any field of a message may say that it came through an account before; what does not read says
// nothing.
func TestWhatAHeaderSaysOfTheWay(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "Delivered-To: Alice@local.test\r\n": true, "Delivered-To: bob@local.test\r\n": false, "Delivered-To: nonsense\r\nDelivered-To: alice@local.test\r\n": true,
		"Delivered-To: nonsense\r\n": false, "X-Delivered-To: alice@local.test\r\n": false,
	} {
		h, err := message.ParseHeader([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := (&history{header: h}).passed(aPath(t, "alice@local.test")); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if got := string(passing(aPath(t, "alice@local.test"))); got != "Delivered-To: alice@local.test\r\n" {
		t.Errorf("%q", got)
	}
	if got := passing(aPath(t, "älice@local.test")); got != nil {
		t.Errorf("%q", got)
	}
}

// Whether an account among the recipients forwards is asked of those at home alone, whoever stands
// before them, and by the name that the mailbox had when the message came.
func TestAnyForward(t *testing.T) {
	alice := aPath(t, "alice@local.test")
	d := houseOf(t, nil)
	for _, external := range []bool{true, false} { // one that sleeps counts too
		dir, err := directory.NewSnapshot(directory.Config{
			Hostname: aPath(t, "x@mx.local.test").Domain(), Domains: []directory.Domain{{Name: alice.Domain(), Deliver: directory.DeliverMaildir}},
			Forwards: []directory.Forward{{Account: alice, Targets: []mail.Address{aPath(t, "a@x.test")}}}, ForwardExternal: external,
		}, []mail.Address{alice, aPath(t, "bob@local.test")})
		if err != nil {
			t.Fatal(err)
		}
		away := outbound(t, "alice@local.test", spool.StatePending)
		away.Mailbox = alice
		hers, his := to(t, "alice@local.test"), to(t, "bob@local.test")
		his.Mailbox = aPath(t, "bob@local.test")
		for want, pending := range map[bool][]spool.RecipientState{true: {away, his, hers}, false: {away, his}} {
			if got := d.anyForward(spool.Entry{}, dir, pending); got != want {
				t.Errorf("external %v: %v, want %v", external, got, want)
			}
		}
		d.Holder = func(mailbox mail.Address, at time.Time) mail.Address {
			if !at.Equal(noon) {
				t.Errorf("asked of %v", at)
			}
			return alice
		}
		if !d.anyForward(spool.Entry{Received: noon}, dir, []spool.RecipientState{his}) {
			t.Error("whose mailbox was called otherwise does not forward")
		}
		d.Holder = nil
	}
}

// stubborn is a queue that settles nothing.
type stubborn struct {
	waitsQueue
	err   error
	final []spool.Final
	told  int
}

func (q *stubborn) Postpone(_ context.Context, _ spool.Token, until time.Time, _ [][]byte) error {
	q.until = until
	return q.err
}

func (q *stubborn) Settle(_ context.Context, _ spool.Token, outcomes []mail.Outcome, _ time.Time, f spool.Final) (spool.Settled, error) {
	q.final, q.told = append(q.final, f), len(outcomes)
	return spool.Settled{}, q.err
}

// When a message is tried again: at once where more is to be sent on, when the budget allows where
// nobody else is left, and else as the schedule says.
func TestWhenWhatIsLeftIsTried(t *testing.T) {
	ok, later := said(t, "a@x.test", 250, "2.0.0"), said(t, "a@x.test", 451, "4.3.0")
	for name, row := range map[string]struct {
		more     bool
		wait     time.Duration
		outcomes []mail.Outcome
		want     time.Time
	}{
		"as scheduled":             {false, 0, []mail.Outcome{ok}, time.Time{}},
		"more is to be sent on":    {true, 0, []mail.Outcome{ok}, noon},
		"more, and a budget":       {true, time.Hour, []mail.Outcome{ok}, noon},
		"a budget":                 {false, time.Hour, []mail.Outcome{ok}, noon.Add(time.Hour)},
		"a budget, and a deferral": {false, time.Hour, []mail.Outcome{ok, later}, time.Time{}},
	} {
		q := &stubborn{}
		d := houseOf(t, q)
		r := &run{plan: plan{more: row.more}, wait: row.wait}
		c := conclusion{attempt: attempt{outcomes: row.outcomes, states: make([]spool.RecipientState, len(row.outcomes)), on: make([]sendOn, len(row.outcomes))}, untold: "x", rule: RuleStranger, reason: "why"}
		if err := d.recordWith(r, c, leaving{}); err != nil || len(q.final) != 1 || !q.final[0].Next.Equal(row.want) || !q.final[0].Untold || q.final[0].Hold != "why" {
			t.Errorf("%s: %v, %+v", name, err, q.final)
		}
		c.untold, c.rule = "", ""
		if err := d.recordWith(r, c, leaving{}); err != nil || q.final[1].Untold || q.final[1].Hold != "" || len(q.final[1].Facts) != len(q.final[0].Facts)-1 {
			t.Errorf("%s: %v, %+v", name, err, q.final[1])
		}
		c.alarms = []fact.Fact{{Kind: fact.KindAlarm}}
		if err := d.recordWith(r, c, leaving{facts: []fact.Fact{{Kind: fact.KindForward}}}); err != nil || len(q.final[2].Facts) != len(q.final[1].Facts)+2 {
			t.Errorf("%s: %v, %+v", name, err, q.final[2])
		}
	}
}

// Where nothing can be sent on, what was to leave alone waits a moment, and the rest is recorded;
// an error of the queue is passed on.
func TestWithoutSendingOn(t *testing.T) {
	fault := errors.New("the store is away")
	x := []mail.Address{aPath(t, "a@x.test")}
	ok := said(t, "a@x.test", 250, "2.0.0")
	for _, err := range []error{nil, fault} {
		q := &stubborn{err: err}
		d := houseOf(t, q)
		alone := conclusion{attempt: attempt{states: make([]spool.RecipientState, 1), outcomes: []mail.Outcome{ok}, on: []sendOn{{targets: x}}}}
		if got := d.recordWithout(&run{}, alone, "why"); got != err || !q.until.Equal(noon.Add(d.bounds().Crowded)) || len(q.final) != 0 {
			t.Errorf("alone: %v, until %v", got, q.until)
		}
		q.until = time.Time{}
		both := conclusion{attempt: attempt{states: make([]spool.RecipientState, 2), outcomes: []mail.Outcome{ok, ok}, on: []sendOn{{targets: x}, {targets: x, keep: true}}}}
		if got := d.recordWithout(&run{}, both, "why"); got != err || !q.until.IsZero() || len(q.final) != 1 || q.told != 1 {
			t.Errorf("with a copy: %v, until %v, %d recorded of %d", got, q.until, len(q.final), q.told)
		}
	}
}
