package dispatch

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// waitsQueue notes what is given back.
type waitsQueue struct {
	Queue
	until time.Time
	facts int
}

// Shown is by a clock that was set ten years ahead.
func (q *waitsQueue) Shown(t time.Time) time.Time { return t.AddDate(10, 0, 0) }

func (q *waitsQueue) AccountHeld(mail.Address) (string, bool) { return "", false }
func (q *waitsQueue) Postpone(_ context.Context, _ spool.Token, until time.Time, facts [][]byte) error {
	q.until, q.facts = until, len(facts)
	return nil
}

// Whoever must wait of an account's message is not tried, and where nobody else is left, the
// message waits as long as it was told; a stranger's message is nobody's to make wait.
func TestWhoMustWaitIsNotTried(t *testing.T) {
	q := &waitsQueue{}
	d := houseOf(t, q)
	var asked []mail.ID
	d.Waits = func(_ context.Context, id mail.ID, pending []spool.RecipientState) (map[int]bool, time.Duration) {
		asked = append(asked, id)
		waits := map[int]bool{}
		for i := range pending {
			waits[i] = true
		}
		return waits, 7 * time.Minute
	}
	id, err := mail.NewID(noon, strings.NewReader(strings.Repeat("7", 64)))
	if err != nil {
		t.Fatal(err)
	}
	c := spool.Claim{Entry: spool.Entry{ID: id, Account: aPath(t, "alice@local.test"), Recipients: []spool.RecipientState{to(t, "bob@local.test")}}}
	c.Entry.Recipients[0].State = spool.StatePending
	c.Entry.Envelope.From = mail.NullPath()
	d.Offer(c)
	if !q.until.Equal(noon.Add(7*time.Minute)) || q.facts != 0 || !slices.Equal(asked, []mail.ID{id}) {
		t.Errorf("waits until %v, %d facts, asked of %v", q.until, q.facts, asked)
	}
	if len(d.runs) != 0 {
		t.Error("it is still under way")
	}
	r := &run{claim: c, pending: c.Entry.Recipients}
	r.claim.Entry.Account = mail.Address{}
	if waits, facts := d.afford(r); waits != nil || facts != nil || r.wait != 0 || len(asked) != 1 {
		t.Errorf("a stranger's waits: %v, %v, %v", waits, facts, r.wait)
	}
	d.Waits = nil
	if waits, _ := d.afford(&run{claim: c}); waits != nil {
		t.Errorf("nobody asks, and it waits: %v", waits)
	}
}

// What a run is told of answers: of the account's own mail, what others said for good.
func TestWhoIsToldOfAnswers(t *testing.T) {
	d := houseOf(t, nil)
	var got []Answers
	d.Answered = func(_ context.Context, a Answers) { got = append(got, a) }
	alice := aPath(t, "alice@local.test")
	e := spool.Entry{Account: alice, Recipients: make([]spool.RecipientState, 5)}
	ours := said(t, "d@x.test", 550, "5.1.1")
	ours.Remote = ourName
	a := attempt{
		states:   []spool.RecipientState{outbound(t, "a@x.test", 1), outbound(t, "b@x.test", 1), outbound(t, "c@x.test", 1), outbound(t, "d@x.test", 1), to(t, "e@local.test")},
		outcomes: []mail.Outcome{said(t, "a@x.test", 250, "2.0.0"), said(t, "b@x.test", 550, "5.1.1"), said(t, "c@x.test", 451, "4.3.0"), ours, said(t, "e@local.test", 550, "5.1.1")},
	}
	d.answered(spool.Claim{Entry: e}, a)
	if len(got) != 1 || got[0].Account != alice || got[0].Taken != 1 || got[0].All != 5 || !slices.Equal(got[0].Refused, []mail.Address{aPath(t, "b@x.test")}) {
		t.Errorf("told %+v", got)
	}
	got = nil
	forward, stranger := e, e
	forward.Forward, stranger.Account = spool.ForwardSent, mail.Address{}
	for _, e := range []spool.Entry{forward, stranger} {
		d.answered(spool.Claim{Entry: e}, a)
	}
	only := func(n int) attempt { return attempt{states: a.states[n : n+1], outcomes: a.outcomes[n : n+1]} }
	for n := 2; n < 5; n++ {
		d.answered(spool.Claim{Entry: e}, only(n))
	}
	if len(got) != 0 {
		t.Errorf("told for nothing: %+v", got)
	}
	d.answered(spool.Claim{Entry: e}, only(0))
	d.answered(spool.Claim{Entry: e}, only(1))
	if len(got) != 2 {
		t.Errorf("told %+v", got)
	}
	d.Answered = nil
	d.answered(spool.Claim{Entry: e}, a)
}

// Each distinct answer is one fact, in order, with all that it was about, and with what is known
// of it.
func TestFactsOfOutcomes(t *testing.T) {
	d := houseOf(t, nil)
	e := spool.Entry{Attempts: 3, NextTry: noon.Add(time.Hour), Size: 7, MessageID: "<1@x.test>", Account: aPath(t, "alice@local.test")}
	e.Envelope.From = mail.PathOf(aPath(t, "alice@local.test"))
	secret := said(t, "c@x.test", 250, "2.0.0")
	secret.TLS, secret.Policy = "TLS 1.3", "dane"
	ours := said(t, "e@x.test", 451, "4.3.0")
	ours.Remote = ourName
	a := attempt{
		sender:   mail.PathOf(aPath(t, "signed@local.test")),
		states:   []spool.RecipientState{outbound(t, "a@x.test", 1), to(t, "b@local.test"), outbound(t, "c@x.test", 1), outbound(t, "d@x.test", 1), outbound(t, "e@x.test", 1)},
		outcomes: []mail.Outcome{said(t, "a@x.test", 550, "5.1.1"), said(t, "b@local.test", 550, "5.1.1"), secret, said(t, "d@x.test", 550, "5.1.1"), ours},
	}
	var got []string
	for _, b := range d.outcomeFacts(spool.Claim{Entry: e}, a) {
		f, err := fact.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		var pairs []string
		for _, p := range f.Evidence {
			pairs = append(pairs, p.Name+"="+p.Value)
		}
		got = append(got, strings.Join([]string{f.Rule, strings.Join(f.Recipients, ","), f.Remote, f.TLS, f.Text, strings.Join(pairs, ",")}, "|"))
		if f.Count != 3 || !f.At.Equal(noon) || f.Account != "alice@local.test" {
			t.Errorf("%+v", f)
		}
	}
	want := []string{
		"failed|a@x.test,d@x.test|mx.remote.test||" + "|" + fact.EvidenceReturnPath + "=<signed@local.test>",
		"failed|b@local.test (alice@local.test)|mx.remote.test||" + "|",
		"delivered|c@x.test|mx.remote.test|TLS 1.3||TLS policy=dane," + fact.EvidenceReturnPath + "=<signed@local.test>",
		"deferred|e@x.test|sallyport||next try 2036-03-01T13:00:00Z|",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A report of this server's own that fails is told as that, and not to who watches the account in
// whose name it leaves.
func TestAFailedReportIsToldAsOne(t *testing.T) {
	d := houseOf(t, nil)
	d.Answered = func(_ context.Context, a Answers) { t.Errorf("told %+v", a) }
	alice := aPath(t, "alice@local.test")
	id, err := mail.NewID(noon, strings.NewReader(strings.Repeat("7", 64)))
	if err != nil {
		t.Fatal(err)
	}
	v := gate.Decide(gate.Facts{
		Door: gate.DoorReport, Peer: gate.PeerStranger, Auth: gate.AuthNone, Standing: gate.StandingActive, Ownership: gate.OwnershipOwned, Destination: gate.DestinationForeign,
	}, gate.Subject{Transaction: id, Account: alice, Sender: mail.PathOf(alice), Recipient: aPath(t, "a@x.test")})
	g, ok := v.Grant()
	if !ok || !g.Report() {
		t.Fatalf("no grant of a report: %+v", v)
	}
	for code, want := range map[int]string{550: fact.RuleReportFailed, 250: fact.RuleDelivered, 451: fact.RuleDeferred} {
		a := attempt{states: []spool.RecipientState{outbound(t, "a@x.test", spool.StatePending)}, outcomes: []mail.Outcome{said(t, "a@x.test", code, "")}}
		c := spool.Claim{Entry: spool.Entry{ID: id, Account: alice}, Grant: g}
		all := d.outcomeFacts(c, a)
		if len(all) != 1 {
			t.Fatalf("%d facts", len(all))
		}
		if f, err := fact.Decode(all[0]); err != nil || f.Rule != want {
			t.Errorf("%d is told as %s, %v; want %s", code, f.Rule, err, want)
		}
		d.answered(c, a)
	}
}

// Why a message goes nowhere is told in words, and that the disk is nearly full is a reason to come
// again.
func TestWhyAMessageGoesNowhere(t *testing.T) {
	if got := unreachable(to(t, "x@local.test")); got != "its domain local.test is not configured any more" {
		t.Errorf("%q", got)
	}
	if got := unreachable(outbound(t, "a@x.test", spool.StatePending)); got != "nothing says how a@x.test is reached" {
		t.Errorf("%q", got)
	}
	if got := unreachable(to(t, "x@local.test")); strings.Contains(got, "nothing says") {
		t.Errorf("%q", got)
	}
	if r := diskLow(); r.Code != 452 || r.Enhanced.String() != "4.3.1" || !strings.Contains(r.Text, "nearly full") {
		t.Errorf("%v", r)
	}
	if got := host(aPath(t, "x@[192.0.2.1]")); got != "[192.0.2.1]" {
		t.Errorf("%q", got)
	}
}

// What another server has against us, the message or its size, and that a mailbox is full, is nothing that the account did:
// a server on a blocklist has all its accounts refused so, whomever they write to.
func TestWhatIsSaidOfEverybodyIsNobodysEvidence(t *testing.T) {
	d := houseOf(t, nil)
	var got []Answers
	d.Answered = func(_ context.Context, a Answers) { got = append(got, a) }
	e := spool.Entry{Account: aPath(t, "alice@local.test"), Recipients: make([]spool.RecipientState, 2)}
	for _, c := range []struct {
		code     int
		enhanced string
		want     int
	}{
		{550, "5.1.1", 1}, {550, "5.1.10", 1}, {550, "5.4.1", 1}, {550, "5.2.1", 1}, {550, "", 1}, {554, "", 1}, {553, "", 1}, {554, "5.0.0", 1}, {552, "5.1.1", 1},
		{554, "5.7.1", 0}, {550, "5.7.26", 0}, {552, "5.2.2", 0}, {552, "5.2.3", 0}, {552, "5.3.4", 0}, {552, "", 0}, {550, "5.6.0", 0}, {503, "5.5.1", 0},
	} {
		got = nil
		d.answered(spool.Claim{Entry: e}, attempt{
			states:   []spool.RecipientState{outbound(t, "a@x.test", 1), outbound(t, "b@x.test", 1)},
			outcomes: []mail.Outcome{said(t, "a@x.test", 250, "2.0.0"), said(t, "b@x.test", c.code, c.enhanced)},
		})
		if len(got) != 1 || len(got[0].Refused) != c.want || got[0].Taken != 1 {
			t.Errorf("%d %s: %+v", c.code, c.enhanced, got)
		}
	}
}
