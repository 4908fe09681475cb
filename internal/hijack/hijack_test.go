package hijack

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// old are the priors of a site with a long history.
func old(p Params) Priors {
	var out Priors
	for i := range out.Mean {
		out.Mean[i] = p.usual(SiteNovelty + Signal(i)).Mean
	}
	for i := range out.Rate {
		out.Rate[i] = p.rate(SitePace + Signal(i)).Mean
	}
	return out
}

// blast sends messages to recipients new to the site until the account is contained or
// so many were sent, and returns how many recipients left and whether it was.
func blast(s State, at time.Time, each, most int, gap time.Duration, p Params) (left int, v Verdict) {
	for range most {
		at = at.Add(gap)
		s, v = Advance(s, Submitted{At: at, Recipients: Recipients{NewToSite: each}}, old(p), p)
		if v.Contain {
			return left, v
		}
		left += v.Leave
	}
	return left, v
}

// habit is an account that wrote to people whom it knows, four messages a day.
func habit(days int, p Params) (State, time.Time) {
	var s State
	at := noon
	for range days * 4 {
		at = at.Add(6 * time.Hour)
		s, _ = Advance(s, Submitted{At: at, Recipients: Recipients{Known: 1, Acquainted: true}}, old(p), p)
	}
	return s, at
}

func TestZeroValuesRefuse(t *testing.T) {
	_, v := Advance(State{}, Submitted{At: noon, Recipients: Recipients{NewToSite: 1}}, Priors{}, Params{})
	if !v.Contain || v.Leave != 0 {
		t.Errorf("without parameters: %+v", v)
	}
	if (Verdict{}).Leave != 0 {
		t.Error("the zero verdict lets somebody go")
	}
	if err := (Params{}).Validate(); err == nil {
		t.Error("the zero parameters are taken")
	}
}

func TestABlastIsContained(t *testing.T) {
	p := DefaultParams()
	grown, at := habit(60, p)
	for name, c := range map[string]struct {
		s          State
		each, most int
	}{
		"one recipient a message":     {grown, 1, 3},
		"fifty":                       {grown, 50, 30},
		"five hundred":                {grown, 500, 30},
		"a new account, one":          {State{}, 1, 3},
		"a new account, five hundred": {State{}, 500, 30},
	} {
		left, v := blast(c.s, at, c.each, 100, time.Second, p)
		if !v.Contain || left > c.most {
			t.Errorf("%s: %d left, contained %t", name, left, v.Contain)
		}
		if len(v.Evidence) == 0 || v.Evidence[0].Weighed < p.Odds/4 {
			t.Errorf("%s: no evidence: %+v", name, v.Evidence)
		}
	}
}

// Who writes to people whom it knows is left alone, whatever else it is.
func TestKnownRecipientsAreNoEvidence(t *testing.T) {
	p := DefaultParams()
	s, at := habit(10, p)
	for range 1000 {
		var v Verdict
		at = at.Add(time.Second)
		if s, v = Advance(s, Submitted{At: at, Recipients: Recipients{Known: 20, Acquainted: true}}, old(p), p); v.Contain || v.Hold != 0 {
			t.Fatalf("%+v", v)
		}
	}
}

// Of a bulk sender no recipient is evidence and none waits for the hold window; what it
// declared bounds it, and whatever else is odd counts.
func TestBulk(t *testing.T) {
	p := DefaultParams().Bulk(1000, 3000)
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	left, v := blast(State{}, noon, 100, 40, time.Second, p)
	if v.Contain || v.Hold != 0 || left < 1000 || left > 1000+11 {
		t.Errorf("%d left: %+v", left, v)
	}
	left, _ = blast(State{}, noon, 100, 24*40, time.Minute, p)
	if left > 3000 {
		t.Errorf("%d left within a day", left)
	}
	var s State
	for i := range 10 {
		s, v = Advance(s, SignedIn{At: noon.Add(time.Duration(i) * time.Second), NewNetwork: true}, old(p), p)
	}
	if !v.Contain {
		t.Errorf("ten networks at once: %+v", v)
	}
}

// A bulk account that is a person's again is judged by what it does from then on: that it wrote to thousands of strangers
// was no evidence, and does not become any at the next sign-in. A thief is contained as ever.
func TestWhoWasBulkIsJudgedAnew(t *testing.T) {
	person := DefaultParams()
	bulk := person.Bulk(1000, 3000)
	var s State
	var v Verdict
	at := noon
	for range 500 {
		at = at.Add(10 * time.Second)
		if s, v = Advance(s, Submitted{At: at, Recipients: Recipients{NewToSite: 2, Strangers: 2, Acquainted: true}}, old(bulk), bulk); v.Contain {
			t.Fatalf("in bulk: %+v", v)
		}
	}
	s, v = Advance(s, SignedIn{At: at.Add(time.Minute)}, old(person), person)
	if v.Contain || v.Odds > 1 {
		t.Errorf("a person again: %+v", v)
	}
	n := 0
	for ; !v.Contain && n < 20; n++ {
		at = at.Add(time.Minute)
		s, v = Advance(s, Submitted{At: at, Recipients: Recipients{NewToSite: 1, Strangers: 1, Acquainted: true}}, old(person), person)
	}
	if n < 2 || n > 6 {
		t.Errorf("a thief reaches %d", n)
	}
}

// stolenBulk is how many recipients of a thief's list a bulk account has written to before it
// is contained, so many a message, of which a share is refused by their servers; after a month
// in which it wrote to 500 subscribers a day, of whom one in a hundred had left.
func stolenBulk(each int, refused float64, most int) (left int, contained bool) {
	p := DefaultParams().Bulk(10_000, 50_000)
	at := noon
	var s State
	send := func(each int, share float64, due *float64) bool {
		at = at.Add(100 * time.Millisecond)
		var v Verdict
		if s, v = Advance(s, Submitted{At: at, Recipients: Recipients{NewToSite: each, Elsewhere: each}}, old(p), p); v.Contain {
			return false
		}
		*due += share * float64(each)
		n := int(*due)
		*due -= float64(n)
		if s, v = Advance(s, Answered{At: at, Refused: n, Of: each, All: each}, old(p), p); v.Contain {
			left += each
			return false
		}
		return true
	}
	due := 0.0
	for range 30 {
		at = at.Add(24 * time.Hour)
		for range 500 {
			if !send(1, 0.01, &due) {
				return 0, true
			}
		}
	}
	at = at.Add(24 * time.Hour)
	for left < most {
		if !send(each, refused, &due) {
			return left, true
		}
		left += each
	}
	return left, false
}

// What a stolen bulk account sends is told by who refuses it: docs/hijack.md has the figures.
func TestAStolenBulkAccount(t *testing.T) {
	for _, c := range []struct {
		each    int
		refused float64
		most    int // recipients before it is contained; 0: it is not
	}{{1, 0.13, 80}, {50, 0.13, 450}, {1, 0.30, 25}, {1, 0.02, 0}} {
		left, contained := stolenBulk(c.each, c.refused, 9000)
		t.Logf("%d a message, %.0f %% refused: %d", c.each, 100*c.refused, left)
		if contained != (c.most > 0) || c.most > 0 && (left > c.most || left == 0) {
			t.Errorf("%d a message, %.0f %% refused: %d, contained: %t", c.each, 100*c.refused, left, contained)
		}
	}
}

// Each kind of evidence that comes without a message leads to containment by itself.
func TestEvidenceWithoutMessages(t *testing.T) {
	p := DefaultParams()
	for name, c := range map[string]struct {
		event func(i int) Event
		most  int
		words string
	}{
		"refused recipients": {func(i int) Event { return Answered{At: noon.Add(time.Duration(i) * time.Second), Refused: 5, Of: 5} }, 6, "recipients were refused"},
		"false senders": {func(i int) Event {
			return BindingFailed{At: noon.Add(time.Duration(i) * time.Second), Sender: Fingerprint(i + 1)}
		}, 6, "claimed a sender"},
		"networks": {func(i int) Event { return SignedIn{At: noon.Add(time.Duration(i) * time.Second), NewNetwork: true} }, 8, "networks that the account never used"},
	} {
		var s State
		var v Verdict
		n := 0
		for ; n < 100 && !v.Contain; n++ {
			s, v = Advance(s, c.event(n), old(p), p)
		}
		if n > c.most || n < 3 {
			t.Errorf("%s: contained after %d", name, n)
		}
		if len(v.Evidence) == 0 || !strings.Contains(v.Evidence[0].Words(), c.words) {
			t.Errorf("%s: %+v", name, v.Evidence)
		}
	}
	// What a client repeats that does not give up, and what changes once, is none.
	var s State
	var v Verdict
	for i := range 100 {
		at := noon.Add(time.Duration(i) * time.Second)
		s, v = Advance(s, BindingFailed{At: at, Sender: 7}, old(p), p)
		if v.Contain {
			t.Fatal("contained by one sender claimed again")
		}
		if s, v = Advance(s, ForwardChanged{At: at}, old(p), p); v.Contain {
			t.Fatal("contained by a forward alone")
		}
	}
}

// After a suspicious moment fewer recipients decide.
func TestSuspicionBegins(t *testing.T) {
	p := DefaultParams()
	first := func(before ...Event) float64 {
		s, at := habit(30, p)
		for _, e := range before {
			s, _ = Advance(s, e, old(p), p)
		}
		_, v := Advance(s, Submitted{At: at.Add(time.Minute), Recipients: Recipients{NewToSite: 1}}, old(p), p)
		return v.Odds
	}
	_, at := habit(30, p)
	plain := first()
	for name, e := range map[string]Event{
		"a new network": SignedIn{At: at, NewNetwork: true}, "a new program": SignedIn{At: at, NewProgram: true},
		"a forward": ForwardChanged{At: at}, "a false sender": BindingFailed{At: at, Sender: 1},
	} {
		if got := first(e); got < 3*plain {
			t.Errorf("%s: odds %.3g, without %.3g", name, got, plain)
		}
	}
	if a, b := first(ForwardChanged{At: at}, ForwardChanged{At: at}), first(ForwardChanged{At: at}, ForwardChanged{At: at}, ForwardChanged{At: at}); b != a {
		t.Errorf("suspicion grows beyond its bound: %.3g, %.3g", a, b)
	}
}

func TestClearedBeginsAnew(t *testing.T) {
	p := DefaultParams()
	s := State{}
	var v Verdict
	for i := 0; !v.Contain; i++ {
		s, v = Advance(s, Submitted{At: noon.Add(time.Duration(i) * time.Second), Recipients: Recipients{NewToSite: 1}}, old(p), p)
	}
	s = s.Cleared(p)
	if got := s.Findings(old(p), p); len(got) != 0 {
		t.Errorf("evidence stays: %+v", got)
	}
	_, v = Advance(s, Submitted{At: noon.Add(time.Minute), Recipients: Recipients{Known: 1}}, old(p), p)
	if v.Contain {
		t.Error("contained again")
	}
	// What left still counts.
	left, _ := blast(s, noon.Add(time.Minute), 500, 1, time.Second, p)
	if left > p.Bounds.Burst-2 {
		t.Errorf("the bucket is full again: %d", left)
	}
}

// What a thief did teaches nobody what is normal, and neither bound nor evidence is given back by its end.
func TestATheftTeachesNothing(t *testing.T) {
	p := DefaultParams()
	s, at := habit(60, p)
	at = at.Add(48 * time.Hour)
	s, _ = Advance(s, Waiting{At: at}, old(p), p) // all of it is learnt
	before := s
	for v := (Verdict{}); !v.Contain; at = at.Add(time.Hour) {
		s, v = Advance(s, Submitted{At: at, Recipients: Recipients{NewToSite: 1, Strangers: 1, Acquainted: true}}, old(p), p)
	}
	theft, alarm := s.Stolen(p), s.Cleared(p)
	for i := range s.shares {
		if got, want := theft.shares[i], before.shares[i]; got.n != want.n || got.s != want.s {
			t.Errorf("%s: the theft taught %.3g of %.3g, where %.3g of %.3g were known", SiteNovelty+Signal(i), got.s, got.n, want.s, want.n)
		}
	}
	if theft.shares[0].s >= alarm.shares[0].s || theft.odds(&p) != 0 {
		t.Errorf("a theft is learnt as a false alarm is: %.3g and %.3g; odds %.3g", theft.shares[0].s, alarm.shares[0].s, theft.odds(&p))
	}
	if theft.left != s.left || theft.spent != s.spent {
		t.Error("its end gives room back within the bounds")
	}
}

func TestWords(t *testing.T) {
	for want, f := range map[string]Finding{
		"4 of 4 recipients were never written to from this site; normal here is at most 3 %: odds × 1,000,000":                    {Signal: SiteNovelty, Unusual: 4, Of: 4, Normal: 0.03, Odds: 1e6},
		"3 messages in a row to recipients never written to from this site; normal here is at most one in 8 hours: odds × 10,101": {Signal: SitePace, Unusual: 3, Normal: 0.125, Odds: 10_101},
		"3 messages in a row to recipients new to the account; normal here is at most one in 30 minutes: odds × 999":              {Signal: AccountPace, Unusual: 3, Normal: 2, Odds: 999},
		"": {},
	} {
		if got := f.Words(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for k := SiteNovelty; k <= PlacePace; k++ {
		if k.String() == "" || (Finding{Signal: k, Normal: 1}).Words() == "" {
			t.Errorf("signal %d has no words", k)
		}
	}
	for x, want := range map[float64]string{-1: "0", math.NaN(): "0", 0: "0", 999: "999", 1000: "1,000", 1234567.4: "1,234,567"} {
		if got := number(x); got != want {
			t.Errorf("%g is %q", x, got)
		}
	}
	if n := (Recipients{Known: 1, Recent: 2, NewToAccount: 4, NewToSite: 8, Strangers: 3, Invalid: 9}).Total(); n != 15 {
		t.Errorf("%d recipients in all", n)
	}
	if (PlacePace + 1).String() != "" {
		t.Error("a signal that is none has a name")
	}
}

func TestParamsAreValidated(t *testing.T) {
	valid := func(what string, want bool, edit func(p *Params)) {
		t.Helper()
		p := DefaultParams()
		edit(&p)
		if err := p.Validate(); (err == nil) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	valid("the defaults", true, func(*Params) {})
	for what, c := range map[string]struct {
		field func(p *Params) *float64
		good  []float64
		bad   []float64
	}{
		"odds":             {func(p *Params) *float64 { return &p.Odds }, []float64{100, 1e9}, []float64{99.9, 1.1e9}},
		"mean":             {func(p *Params) *float64 { return &p.Binding.Mean }, []float64{0.001, 0.999}, []float64{0, 1}},
		"fresh":            {func(p *Params) *float64 { return &p.Binding.Fresh }, []float64{0.001, 0.999}, []float64{0, 1}},
		"strength":         {func(p *Params) *float64 { return &p.Refusals.Strength }, []float64{0.1}, []float64{0}},
		"margin":           {func(p *Params) *float64 { return &p.Strangers.Margin }, []float64{1}, []float64{0.99}},
		"floor":            {func(p *Params) *float64 { return &p.SiteNovelty.Floor }, []float64{0.001}, []float64{0}},
		"cap":              {func(p *Params) *float64 { return &p.SiteNovelty.Cap }, []float64{0.001, 0.999}, []float64{0, 1}},
		"sure":             {func(p *Params) *float64 { return &p.SiteNovelty.Sure }, []float64{0}, []float64{-0.1}},
		"mixed":            {func(p *Params) *float64 { return &p.SiteNovelty.Mixed }, []float64{0}, []float64{-0.1}},
		"rate":             {func(p *Params) *float64 { return &p.NetworkPace.Mean }, []float64{0.1}, []float64{0}},
		"hours":            {func(p *Params) *float64 { return &p.NetworkPace.Hours }, []float64{0.1}, []float64{0}},
		"margin of a rate": {func(p *Params) *float64 { return &p.AccountPace.Margin }, []float64{1}, []float64{0.99}},
		"floor of a rate":  {func(p *Params) *float64 { return &p.SitePace.Floor }, []float64{0.01, 0.5}, []float64{0, 0.51}},
		"times":            {func(p *Params) *float64 { return &p.SitePace.Times }, []float64{1.01}, []float64{1}},
		"weight":           {func(p *Params) *float64 { return &p.SitePace.Weight }, []float64{0}, []float64{-0.1}},
		"suspect":          {func(p *Params) *float64 { return &p.Suspect }, []float64{1, 100}, []float64{0.99, 100.1}},
		"memory":           {func(p *Params) *float64 { return &p.Memory }, []float64{1}, []float64{0.9}},
	} {
		for _, x := range c.good {
			valid(what, true, func(p *Params) { *c.field(p) = x })
		}
		for _, x := range c.bad {
			valid(what, false, func(p *Params) { *c.field(p) = x })
		}
	}
	for what, field := range map[string]func(p *Params) *int{
		"burst": func(p *Params) *int { return &p.Bounds.Burst }, "hour": func(p *Params) *int { return &p.Bounds.Hour },
		"day": func(p *Params) *int { return &p.Bounds.Day }, "week": func(p *Params) *int { return &p.Bounds.Week },
	} {
		valid(what, true, func(p *Params) { *field(p) = 1 })
		valid(what, true, func(p *Params) { *field(p) = mostCounted << 4 })
		valid(what, false, func(p *Params) { *field(p) = 0 })
		valid(what, false, func(p *Params) { *field(p) = mostCounted<<4 + 1 })
	}
	valid("no window", true, func(p *Params) { p.Hold = 0 })
	valid("an hour's window", true, func(p *Params) { p.Hold = time.Hour })
	valid("a longer one", false, func(p *Params) { p.Hold = time.Hour + 1 })
	valid("one before", false, func(p *Params) { p.Hold = -1 })
	valid("one correspondent", true, func(p *Params) { p.Acquainted = 1 })
	valid("none", false, func(p *Params) { p.Acquainted = 0 })
	weigh := func(sure, weight float64) func(p *Params) {
		return func(p *Params) {
			*p = p.Bulk(10, 10)
			p.Binding.Sure, p.Binding.Mixed, p.Refusals.Sure, p.Refusals.Mixed = sure, 0, 0, 0
			p.NetworkPace.Weight, p.PlacePace.Weight = weight, weight
		}
	}
	valid("a share alone", true, weigh(1, 0))
	valid("a pace alone", true, weigh(0, 1))
	valid("no weight", false, weigh(0, 0))
}

// drawEvent draws anything that can happen at a time.
func drawEvent(t *rapid.T, at time.Time) Event {
	n := func(what string) int { return rapid.IntRange(-1, 40).Draw(t, what) }
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		return Waiting{At: at, Recipients: n("waiting")}
	case 1:
		return Answered{At: at, Refused: n("refused"), Of: n("of"), All: n("all")}
	case 2:
		return BindingFailed{At: at, Sender: Fingerprint(n("sender"))}
	case 3:
		return SignedIn{At: at, NewNetwork: rapid.Bool().Draw(t, "network"), NewProgram: rapid.Bool().Draw(t, "program"), NewPlace: rapid.Bool().Draw(t, "place")}
	case 4:
		return ForwardChanged{At: at}
	}
	return Submitted{At: at, Recipients: Recipients{
		Known: n("known"), Recent: n("recent"), NewToAccount: n("new"), NewToSite: n("site"),
		Strangers: n("strangers"), Acquainted: rapid.Bool().Draw(t, "acquainted"), Invalid: n("invalid"), Elsewhere: n("elsewhere"),
	}}
}

// drawState draws what some history leads to.
func drawState(t *rapid.T, p Params) (State, time.Time) {
	var s State
	at := noon
	for range rapid.IntRange(0, 30).Draw(t, "events") {
		at = at.Add(time.Duration(rapid.IntRange(0, 2*86400).Draw(t, "seconds")) * time.Second)
		var v Verdict
		if s, v = Advance(s, drawEvent(t, at), old(p), p); v.Contain {
			s = s.Cleared(p)
		}
	}
	return s, at
}
