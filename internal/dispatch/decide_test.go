package dispatch

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
)

// noon is the moment at which the tests here happen.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// houseOf is a dispatch of local.test, with alice, on a queue that answers nothing.
func houseOf(t *testing.T, q Queue) *Dispatch {
	t.Helper()
	domain := func(s string) mail.Domain { return aPath(t, "x@"+s).Domain() }
	dir, err := directory.NewSnapshot(directory.Config{
		Hostname: domain("mx.local.test"), Domains: []directory.Domain{{Name: domain("local.test"), Deliver: directory.DeliverMaildir}},
	}, []mail.Address{aPath(t, "alice@local.test"), aPath(t, "bob@local.test")})
	if err != nil {
		t.Fatal(err)
	}
	if q == nil {
		q = &waitsQueue{}
	}
	d := New(Options{
		Queue: q, Directory: func() *directory.Snapshot { return dir }, Active: func(mail.Address) bool { return true }, Policy: sched.Default(),
		Limits: DefaultLimits(), Now: func() time.Time { return noon }, Logger: slog.New(slog.DiscardHandler), Local: nowhere("mailbox"),
	})
	d.closed = false
	return d
}

func outbound(t *testing.T, to string, state spool.State) spool.RecipientState {
	t.Helper()
	return spool.RecipientState{Delivery: spool.Delivery{Kind: spool.KindOutbound, Recipient: mail.Recipient{Address: aPath(t, to)}}, State: state}
}

// said is an answer of another server.
func said(t *testing.T, to string, code int, enhanced string) mail.Outcome {
	t.Helper()
	return mail.Outcome{Recipient: aPath(t, to), Reply: mail.R(code, enhanced, "so it is"), Remote: "mx.remote.test", Said: true}
}

// What is told of an answer: as the sender asked, and as the answer was. RFC 3461 §4.1.
func TestWhatIsReported(t *testing.T) {
	const local, out = spool.KindLocal, spool.KindOutbound
	for _, row := range []struct {
		kind     spool.Kind
		notify   mail.Notify
		code     int
		remote   string
		notifies bool
		want     string
		late     string // what is told of a message that is late
	}{
		{out, 0, 250, "mx", false, "", ""},
		{out, 0, 550, "mx", false, actionFailed, actionFailed},
		{out, 0, 451, "mx", false, "", actionDelayed},
		{out, mail.NotifyFailure, 550, "mx", false, actionFailed, actionFailed},
		{out, mail.NotifyFailure, 451, "mx", false, "", ""},
		{out, mail.NotifyFailure, 250, "mx", false, "", ""},
		{out, mail.NotifyDelay, 451, "mx", false, "", actionDelayed},
		{out, mail.NotifyDelay, 550, "mx", false, "", ""},
		{out, mail.NotifySuccess, 250, "mx", false, actionRelayed, actionRelayed},
		{out, mail.NotifySuccess, 250, "mx", true, "", ""},
		{out, mail.NotifySuccess, 550, "mx", false, "", ""},
		{out, mail.NotifySuccess, 451, "mx", false, "", ""},
		{local, mail.NotifySuccess, 250, "maildir", false, actionDelivered, actionDelivered},
		{local, mail.NotifySuccess, 250, "maildir", true, actionDelivered, actionDelivered},
		{local, mail.NotifySuccess, 250, forwardName, false, actionRelayed, actionRelayed},
		{local, mail.NotifyNever, 550, "maildir", false, "", ""},
		{out, mail.NotifyNever | mail.NotifyDelay, 451, "mx", false, "", ""},
		{out, mail.NotifyNever | mail.NotifySuccess, 250, "mx", false, "", ""},
		{out, mail.NotifyFailure | mail.NotifySuccess, 550, "mx", true, actionFailed, actionFailed},
	} {
		s := spool.RecipientState{Delivery: spool.Delivery{Kind: row.kind, Recipient: mail.Recipient{Notify: row.notify}}}
		o := mail.Outcome{Reply: mail.R(row.code, "", "x"), Remote: row.remote, Notifies: row.notifies}
		for late, want := range map[bool]string{false: row.want, true: row.late} {
			got := wanted([]spool.RecipientState{s}, []mail.Outcome{o}, late)
			if len(got) > 1 || (len(got) == 1) != (want != "") || want != "" && (got[0].action != want || got[0].outcome.Reply != o.Reply) {
				t.Errorf("%+v, late %v: %+v, want %q", row, late, got, want)
			}
		}
	}
}

// The code of a notification is that of the answer, where that is of the class that the
// notification means.
func TestTheCodeOfANotification(t *testing.T) {
	for _, row := range []struct{ action, enhanced, want string }{
		{actionFailed, "5.1.1", "5.1.1"}, {actionFailed, "4.4.7", "5.0.0"}, {actionFailed, "", "5.0.0"},
		{actionDelayed, "4.4.1", "4.4.1"}, {actionDelayed, "5.1.1", "4.0.0"}, {actionDelivered, "2.1.5", "2.1.5"}, {actionRelayed, "5.1.1", "2.0.0"},
	} {
		if got := statusCode(report{action: row.action, outcome: mail.Outcome{Reply: mail.R(550, row.enhanced, "x")}}); got != row.want {
			t.Errorf("%+v: %s", row, got)
		}
	}
}

// What is given up names the last answer, is nobody's word but ours, and touches nothing else.
func TestWhatExpires(t *testing.T) {
	before := []mail.Outcome{said(t, "a@x.test", 451, "4.7.1"), said(t, "b@x.test", 250, "2.0.0"), said(t, "c@x.test", 550, "5.1.1"), {Recipient: aPath(t, "d@x.test")}}
	kept := slices.Clone(before)
	got := expire(before)
	if !slices.Equal(before, kept) {
		t.Error("what was answered is changed")
	}
	for i, o := range got {
		gone := i == 0 || i == 3
		if gone != (o.Reply.Code == 554 && o.Reply.Enhanced.String() == "5.4.7" && !o.Said && strings.Contains(o.Reply.Text, "expired; the last answer was: "+before[i].Reply.String())) || !gone && o != before[i] {
			t.Errorf("%d: %+v", i, o)
		}
		if want := []string{fact.RuleFailed, fact.RuleDelivered, fact.RuleFailed, fact.RuleFailed}[i]; ruleOf(o.Reply) != want {
			t.Errorf("%d is %s, want %s", i, ruleOf(o.Reply), want)
		}
	}
	if got := ruleOf(before[0].Reply); got != fact.RuleDeferred {
		t.Errorf("what is deferred is %s", got)
	}
}

// Whoever is told of a failure, where it may be told, and what is held for the administrator
// because nobody may: only when nothing else is left to do.
func TestWhatBecomesOfOutcomes(t *testing.T) {
	alice, bob := aPath(t, "alice@local.test"), aPath(t, "bob@local.test")
	ok, later, no := said(t, "a@x.test", 250, "2.0.0"), said(t, "a@x.test", 451, "4.3.0"), said(t, "a@x.test", 550, "5.1.1")
	const failedNow, failedBefore = "could not be delivered after acceptance: a@x.test: 550 5.1.1 so it is", "could not be delivered after acceptance: old@x.test: 552 5.2.2 full"
	untold := outbound(t, "old@x.test", spool.StateUntold)
	untold.Last = mail.R(552, "5.2.2", "full")
	for name, row := range map[string]struct {
		account, from mail.Address
		forward       spool.Forward
		age           time.Duration
		warned, more  bool
		before        []spool.RecipientState
		outcomes      []mail.Outcome
		actions       string
		rule          string
		reason        string
		untold        bool
	}{
		"delivered":                          {account: alice, from: alice, outcomes: []mail.Outcome{ok}},
		"failed, and told":                   {account: alice, from: alice, outcomes: []mail.Outcome{no}, actions: actionFailed},
		"failed and late":                    {account: alice, from: alice, age: 5 * time.Hour, outcomes: []mail.Outcome{no, later}, actions: actionFailed + " " + actionDelayed},
		"late, and warned before":            {account: alice, from: alice, age: 5 * time.Hour, warned: true, outcomes: []mail.Outcome{later}},
		"late, of a forward":                 {account: alice, from: bob, forward: spool.ForwardSent, age: 5 * time.Hour, outcomes: []mail.Outcome{later}},
		"not late":                           {account: alice, from: alice, age: time.Hour, outcomes: []mail.Outcome{later}},
		"a stranger's":                       {from: aPath(t, "s@x.test"), outcomes: []mail.Outcome{no}, rule: RuleStranger, reason: failedNow, untold: true},
		"a stranger's, and others wait":      {from: aPath(t, "s@x.test"), outcomes: []mail.Outcome{no, later}, untold: true},
		"a stranger's, and others untried":   {from: aPath(t, "s@x.test"), more: true, outcomes: []mail.Outcome{no}, untold: true},
		"a stranger's, one before":           {from: aPath(t, "s@x.test"), before: []spool.RecipientState{untold}, outcomes: []mail.Outcome{ok}, rule: RuleStranger, reason: failedBefore},
		"one before, and another waits":      {from: aPath(t, "s@x.test"), before: []spool.RecipientState{untold}, outcomes: []mail.Outcome{later}},
		"one before, and one now":            {from: aPath(t, "s@x.test"), before: []spool.RecipientState{untold}, outcomes: []mail.Outcome{no}, rule: RuleStranger, reason: failedNow, untold: true},
		"another's sender":                   {account: alice, from: bob, outcomes: []mail.Outcome{no}, rule: RuleUnverified, reason: failedNow, untold: true},
		"another's sender, delivered":        {account: alice, from: bob, outcomes: []mail.Outcome{ok}},
		"a sender elsewhere":                 {account: alice, from: aPath(t, "a@x.test"), outcomes: []mail.Outcome{no}, rule: RuleUnverified, reason: failedNow, untold: true},
		"another's sender, one before":       {account: alice, from: bob, before: []spool.RecipientState{untold}, outcomes: []mail.Outcome{ok}, rule: RuleUnverified, reason: failedBefore},
		"a forward, of a stranger":           {account: alice, from: aPath(t, "s@x.test"), forward: spool.ForwardSent, outcomes: []mail.Outcome{no}, actions: actionFailed},
		"the null path of an account":        {account: alice, outcomes: []mail.Outcome{no}},
		"the null path of an account, kept":  {account: alice, before: []spool.RecipientState{untold}, outcomes: []mail.Outcome{no}, rule: RuleUnverified, reason: failedBefore},
		"the null path, delivered in a part": {outcomes: []mail.Outcome{ok, later}},
	} {
		t.Run(name, func(t *testing.T) {
			d := houseOf(t, nil)
			p := sched.Default()
			p.Warn = 4 * time.Hour
			d.Adjust(p, DefaultLimits())
			e := spool.Entry{Account: row.account, Forward: row.forward, Received: noon.Add(-row.age), Since: noon.Add(-row.age), Warned: row.warned, Recipients: row.before}
			e.Envelope.From = mail.NullPath()
			if !row.from.IsZero() {
				e.Envelope.From = mail.PathOf(row.from)
			}
			a := attempt{outcomes: row.outcomes}
			for range row.outcomes {
				a.states = append(a.states, outbound(t, "a@x.test", spool.StatePending))
			}
			c := d.judge(e, a, row.more)
			var actions []string
			for _, r := range c.reports {
				actions = append(actions, r.action)
			}
			if strings.Join(actions, " ") != row.actions || c.rule != row.rule || c.reason != row.reason || (c.untold != "") != row.untold {
				t.Errorf("reports %q, rule %q, reason %q, untold %q", actions, c.rule, c.reason, c.untold)
			}
		})
	}
}

// Failures of a forward's target one after another make an alarm each time that they have
// become so many more; a delivery ends the count, and how many pairs are counted is bounded.
func TestFailuresOfAForwardAreCounted(t *testing.T) {
	d := houseOf(t, nil)
	l := DefaultLimits()
	l.FailingAlarm, l.Failing = 2, 2
	d.Adjust(sched.Default(), l)
	e := spool.Entry{Account: aPath(t, "alice@local.test"), Forward: spool.ForwardSent}
	count := func(e spool.Entry, want int, outcomes ...mail.Outcome) {
		t.Helper()
		got := d.countFailures(e, attempt{outcomes: outcomes})
		if want == 0 && len(got) != 0 || want != 0 && (len(got) != 1 || got[0].Count != want || got[0].Rule != RuleFailing) {
			t.Errorf("%+v, want an alarm of %d", got, want)
		}
	}
	a, b, c := said(t, "a@x.test", 550, "5.1.1"), said(t, "b@x.test", 550, "5.1.1"), said(t, "c@x.test", 550, "5.1.1")
	count(spool.Entry{Account: e.Account}, 0, a)
	count(e, 0, a)
	count(e, 2, a)
	count(e, 0, a)
	count(e, 4, a)
	count(e, 0, said(t, "a@x.test", 451, "4.3.0")) // says nothing
	count(e, 0, a)
	count(e, 6, a)
	count(e, 0, said(t, "A@x.test", 250, "2.0.0"))
	count(e, 0, a) // anew
	count(e, 0, b)
	other := e
	other.Account = aPath(t, "bob@local.test")
	count(other, 0, c) // one too many: all are forgotten
	count(e, 0, b)
	count(e, 2, b)
	if len(d.failing) > 2 {
		t.Errorf("%d pairs are counted", len(d.failing))
	}
}

// A destination may take a part of the room that is free, up to its own bounds; the longer its
// queue was full, the longer who is turned away waits.
func TestTheShareOfADestination(t *testing.T) {
	l := DefaultLimits()
	l.Active, l.PerDestination, l.Workers, l.Crowded, l.CrowdedMost = 40, 6, 2, 2*time.Second, 7*time.Second
	d := houseOf(t, nil)
	d.Adjust(sched.Default(), l)
	for _, row := range [][2]int{{0, 8}, {8, 8}, {12, 7}, {36, 1}, {40, 1}, {50, 1}} {
		clear(d.runs)
		for range row[0] {
			d.runs[new(run)] = struct{}{}
		}
		if got := d.share(); got != row[1] {
			t.Errorf("with %d under way: %d, want %d", row[0], got, row[1])
		}
	}
	dest := &destination{waiting: make([]*task, 1), running: 1}
	for n, want := range []time.Duration{2, 4, 4, 6, 6, 7, 7} {
		if got := d.turnAway(dest); got != want*time.Second {
			t.Errorf("turned away %d times: %v, want %v", n+1, got, want*time.Second)
		}
	}
	if got := d.turnAway(&destination{}); got != 4*time.Second {
		t.Errorf("of an empty one: %v", got)
	}
}

// A message whose destinations are all full waits for the one that is full longest; where one
// has room, that one gets it, and nobody waits.
func TestOfFullDestinationsTheFullestIsWaitedFor(t *testing.T) {
	l := DefaultLimits()
	l.Active, l.PerDestination, l.Workers, l.Crowded = 400, 1, 1, time.Second
	d := houseOf(t, nil)
	d.Adjust(sched.Default(), l)
	full := func(turned int) *destination {
		return &destination{running: 1, waiting: []*task{{}}, turnedAway: turned}
	}
	d.dests = map[destKey]*destination{"a": full(3), "b": full(1)}
	r := &run{plan: plan{groups: []group{{key: "b"}, {key: "a"}}}}
	if wait := d.enqueue(r); wait != 3*time.Second || r.left != 0 {
		t.Errorf("wait %v, %d queued", wait, r.left)
	}
	d.dests["b"].waiting = nil
	if wait := d.enqueue(r); wait != 0 || r.left != 1 || len(d.dests["b"].waiting) != 1 || len(d.dests["a"].waiting) != 1 || d.dests["b"].running != 1 {
		t.Errorf("wait %v, %d queued", wait, r.left)
	}
	if got := d.dests["b"].pop(); got.run != r || len(d.dests["b"].waiting) != 0 {
		t.Errorf("popped %+v", got)
	}
}

// Only outcomes that count are noted, by the places that they are about.
func TestWhatATargetSaid(t *testing.T) {
	one, two := said(t, "one@x.test", 250, "2.0.0"), said(t, "two@x.test", 451, "4.3.0")
	for name, row := range map[string]struct {
		outcomes  []mail.Outcome
		withdrawn halt
		want      [2]int // code by place; 0: nothing was said
	}{
		"both":                  {[]mail.Outcome{one, two}, haltNone, [2]int{451, 250}},
		"one too few":           {[]mail.Outcome{one}, haltNone, [2]int{451, 451}},
		"one too many":          {[]mail.Outcome{one, two, two}, haltNone, [2]int{451, 451}},
		"withdrawn":             {[]mail.Outcome{one, two}, haltSuspended, [2]int{0, 250}},
		"withdrawn and nothing": {nil, haltStale, [2]int{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			d := houseOf(t, nil)
			r := &run{plan: plan{outcomes: make([]mail.Outcome, 2), spoken: make([]bool, 2)}, left: 2}
			task := &task{run: r, withdrawn: row.withdrawn, group: group{index: []int{1, 0}, to: []nexthop.Recipient{
				{Recipient: mail.Recipient{Address: aPath(t, "b@x.test")}}, {Recipient: mail.Recipient{Address: aPath(t, "a@x.test")}},
			}}}
			d.finish(task, row.outcomes)
			for i, want := range row.want {
				got := r.plan.outcomes[i]
				if r.plan.spoken[i] != (want != 0) || got.Reply.Code != want || want != 0 && got.Recipient != aPath(t, []string{"a@x.test", "b@x.test"}[i]) {
					t.Errorf("place %d: %v %+v, want %d", i, r.plan.spoken[i], got, want)
				}
				if fewer := len(row.outcomes) != 2; want != 0 && (got.Remote == ourName) != fewer {
					t.Errorf("place %d is said by %s", i, got.Remote)
				}
			}
			if r.left != 1 {
				t.Errorf("%d groups are left", r.left)
			}
			task.withdraw(haltStopping)
			task.withdraw(haltMoved)
			if task.withdrawn != max(row.withdrawn, haltStopping) || r.halt != haltStopping {
				t.Errorf("withdrawn %v, halted %v", task.withdrawn, r.halt)
			}
		})
	}
}

// An attempt is what was said, each beside its delivery; where deliveries were cut, a deferral is
// not.
func TestAnAttemptIsWhatWasSaid(t *testing.T) {
	box := spool.RecipientState{Delivery: spool.Delivery{Kind: spool.KindLocal, Mailbox: aPath(t, "bob@local.test")}}
	r := &run{
		pending: []spool.RecipientState{outbound(t, "a@x.test", spool.StatePending), box, outbound(t, "c@x.test", spool.StatePending), outbound(t, "d@x.test", spool.StatePending)},
		plan: plan{outcomes: []mail.Outcome{said(t, "a@x.test", 451, "4.3.0"), said(t, "b@x.test", 250, "2.0.0"), said(t, "c@x.test", 550, "5.1.1"), {}}, spoken: []bool{true, true, true, false},
			forwards: map[int]sendOn{1: {rule: "r"}}},
		sender: mail.PathOf(aPath(t, "s@x.test")),
	}
	for cut, want := range map[bool][]int{false: {451, 250, 550}, true: {250, 550}} {
		a := r.attempt(cut)
		var codes []int
		for i, o := range a.outcomes {
			codes = append(codes, o.Reply.Code)
			if o.Mailbox != a.states[i].Mailbox || (a.on[i].rule == "r") != (o.Reply.Code == 250) || (o.Reply.Code == 250) != (a.states[i].Kind == spool.KindLocal) {
				t.Errorf("cut %v: %+v of %+v", cut, o, a.states[i])
			}
		}
		if !slices.Equal(codes, want) || len(a.states) != len(want) || a.sender != r.sender {
			t.Errorf("cut %v: %v, want %v", cut, codes, want)
		}
	}
}

// How many messages one attempt may send on follows from their octets, and is one at least.
func TestHowManyAreSentOnAtOnce(t *testing.T) {
	d := houseOf(t, nil)
	l := DefaultLimits()
	l.Forwards, l.ForwardOctets = 8, 160<<10
	d.Adjust(sched.Default(), l)
	for _, row := range []struct {
		prefix int
		size   int64
		want   int
	}{{0, 0, 8}, {0, 4 << 10, 8}, {4 << 10, 0, 8}, {0, 16 << 10, 5}, {16 << 10, 0, 5}, {8 << 10, 8 << 10, 5}, {0, 1 << 20, 1}, {0, 1<<20 + 1, 8}} {
		if got := d.mostForwards(spool.Entry{Prefix: make([]byte, row.prefix), Size: row.size}); got != row.want {
			t.Errorf("%+v: %d", row, got)
		}
	}
}

// Whoever waits for a message, each once; whether its sender wants to hear of it; what its sender is
// to its account, and by which door it would come again.
func TestOfAQueuedMessage(t *testing.T) {
	alice, bob := aPath(t, "alice@local.test"), aPath(t, "bob@local.test")
	d := houseOf(t, nil)
	e := spool.Entry{Recipients: []spool.RecipientState{
		outbound(t, "a@x.test", spool.StatePending), outbound(t, "b@x.test", spool.StateDelivered), outbound(t, "c@x.test", spool.StateUntold), outbound(t, "a@x.test", spool.StatePending), outbound(t, "d@x.test", spool.StateFailed),
	}}
	if got := waiting(e); !slices.Equal(got, []mail.Address{aPath(t, "a@x.test"), aPath(t, "c@x.test")}) {
		t.Errorf("waiting: %v", got)
	}
	if quiet(e) != 0 || quiet(spool.Entry{}) != mail.NotifyNever {
		t.Error("who asked for nothing is to be told")
	}
	for i := range e.Recipients {
		e.Recipients[i].Recipient.Notify = mail.NotifyNever
	}
	if quiet(e) != mail.NotifyNever {
		t.Error("who asked for silence is to be told")
	}
	e.Recipients[4].Recipient.Notify = mail.NotifyFailure
	if quiet(e) != 0 {
		t.Error("one who wants to be told is not")
	}
	for _, row := range []struct {
		account mail.Address
		forward spool.Forward
		from    mail.ReversePath
		want    gate.Ownership
	}{
		{alice, spool.ForwardNone, mail.PathOf(alice), gate.OwnershipOwned},
		{alice, spool.ForwardNone, mail.PathOf(bob), d.Directory().Ownership(alice, mail.PathOf(bob))},
		{alice, spool.ForwardSent, mail.PathOf(aPath(t, "srs@mx.local.test")), gate.OwnershipOwned},
		{alice, spool.ForwardSent, mail.NullPath(), gate.OwnershipNull},
	} {
		if got := ownershipOf(spool.Entry{Account: row.account, Forward: row.forward, Envelope: mail.Envelope{From: row.from}}, d.Directory()); got != row.want {
			t.Errorf("%+v: %v", row, got)
		}
	}
	if f := d.cameBy(spool.Entry{})(); f.Door != gate.DoorMX || f.Standing != gate.StandingNone {
		t.Errorf("a stranger's comes by %+v", f)
	}
	if f := d.cameBy(spool.Entry{Account: alice})(); f.Door != gate.DoorForward || f.Standing != gate.StandingActive {
		t.Errorf("an account's comes by %+v", f)
	}
	d.Active = func(mail.Address) bool { return false }
	if f := d.cameBy(spool.Entry{Account: alice})(); f.Standing != gate.StandingFrozen {
		t.Errorf("that of one who may not send comes by %+v", f)
	}
}

// What is not sent on stays, and what was to leave alone was not tried.
func TestWhatStays(t *testing.T) {
	x := []mail.Address{aPath(t, "a@x.test")}
	ok := said(t, "a@x.test", 250, "2.0.0")
	a := attempt{sender: mail.NullPath(), states: make([]spool.RecipientState, 3), outcomes: []mail.Outcome{ok, said(t, "b@x.test", 550, "5.1.1"), ok},
		on: []sendOn{{targets: x}, {targets: x, keep: true}, {rule: "before"}}}
	got := a.stay("why")
	if len(got.states) != 2 || len(got.outcomes) != 2 || got.outcomes[0].Reply.Code != 550 || len(got.on) != 2 || got.on[0].leaves() || got.on[0].rule != "why" || !got.on[0].keep || got.on[1].rule != "before" || got.sender != a.sender {
		t.Errorf("%+v", got)
	}
	if len(a.on[1].targets) != 1 {
		t.Error("the attempt itself is changed")
	}
}
