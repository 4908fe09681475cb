package hijack

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// learntOfRefusals is what the baseline will learn of an account's messages today.
func learntOfRefusals(s State) (n, refused float64) {
	for _, y := range s.fresh {
		n, refused = n+float64(y.n[Refusals-SiteNovelty]), refused+float64(y.s[Refusals-SiteNovelty])
	}
	return n, refused
}

// Whether somebody elsewhere exists is not known while his message is under way: he counts
// once, when it is. A message is one observation, however many parts it becomes known in.
func TestEachRecipientIsCountedOnceAsRefusedOrNot(t *testing.T) {
	p := DefaultParams()
	for name, c := range map[string]struct {
		to      Recipients
		answers []Answered
		n, odd  float64
	}{
		"ours alone":                    {Recipients{Known: 3}, nil, 1, 0},
		"nobody knows yet":              {Recipients{Known: 3, Elsewhere: 3}, nil, 0, 0},
		"refused elsewhere":             {Recipients{NewToSite: 1, Elsewhere: 1}, []Answered{{Refused: 1, Of: 1, All: 1}}, 1, 1},
		"taken elsewhere":               {Recipients{NewToSite: 1, Elsewhere: 1}, []Answered{{Of: 1, All: 1}}, 1, 0},
		"ours, and elsewhere refused":   {Recipients{Known: 4, Elsewhere: 1}, []Answered{{Refused: 1, Of: 1, All: 4}}, 1, 0.25},
		"one part after the other":      {Recipients{NewToSite: 4, Elsewhere: 4}, []Answered{{Refused: 1, Of: 1, All: 4}, {Of: 2, All: 4}, {Of: 1, All: 4}}, 1, 0.25},
		"written to lately as well":     {Recipients{Recent: 2, Elsewhere: 1}, []Answered{{Refused: 1, Of: 1, All: 2}}, 1, 0.5},
		"more elsewhere than there are": {Recipients{Known: 1, Elsewhere: 9, Invalid: 1}, nil, 0.5, 0.5},
	} {
		s, _ := Advance(State{}, Submitted{At: noon, Recipients: c.to}, old(p), p)
		for _, a := range c.answers {
			a.At = noon
			s, _ = Advance(s, a, old(p), p)
		}
		if n, odd := learntOfRefusals(s); math.Abs(n-c.n) > rounding || math.Abs(odd-c.odd) > rounding {
			t.Errorf("%s: %g refused of %g messages, want %g of %g", name, odd, n, c.odd, c.n)
		}
	}
}

// A part of a message stakes that part of the evidence, and is promised as much: taken in
// parts it clears no more than at once.
func TestAPartIsStakedInPart(t *testing.T) {
	p := DefaultParams()
	i := Refusals - SiteNovelty
	suspect, _ := Advance(State{}, Answered{At: noon, Refused: 1, Of: 1, All: 1}, old(p), p)
	whole, v := Advance(suspect, Answered{At: noon, Of: 4, All: 4}, old(p), p)
	if want := p.Refusals.Sure + p.Refusals.Mixed; v.Expected != want {
		t.Errorf("a message is promised %g, want %g", v.Expected, want)
	}
	parts := suspect
	for range 4 {
		parts, v = Advance(parts, Answered{At: noon, Of: 1, All: 4}, old(p), p)
		if want := (p.Refusals.Sure + p.Refusals.Mixed) / 4; math.Abs(v.Expected-want) > rounding {
			t.Errorf("a quarter of a message is promised %g, want %g", v.Expected, want)
		}
	}
	for k := range bets {
		if parts.shares[i].evidence[k] < whole.shares[i].evidence[k] {
			t.Errorf("bet %d: %g in parts, %g at once", k, parts.shares[i].evidence[k], whole.shares[i].evidence[k])
		}
	}
}

// A refusal weighs as much as if the message had not been counted when it was submitted.
func TestWhatIsUnderWaySpeaksForNobody(t *testing.T) {
	p := DefaultParams()
	var sent, refused State
	for i := range 3 {
		at := noon.Add(time.Duration(i) * time.Minute)
		sent, _ = Advance(sent, Submitted{At: at, Recipients: Recipients{Recent: 1, Elsewhere: 1}}, old(p), p)
		sent, _ = Advance(sent, Answered{At: at, Refused: 1, Of: 1, All: 1}, old(p), p)
		refused, _ = Advance(refused, Answered{At: at, Refused: 1, Of: 1, All: 1}, old(p), p)
	}
	i := Refusals - SiteNovelty
	if sent.shares[i] != refused.shares[i] || sent.shares[i].evidence[0] < 1000 {
		t.Errorf("submitted and refused %+v, refused %+v", sent.shares[i], refused.shares[i])
	}
}

// The bound on false alarms holds for messages that become known in parts, whatever the
// account makes of its own evidence: how many parts there are, and of what size.
func TestFalseAlarmsOfPartsAreBounded(t *testing.T) {
	p := DefaultParams().Bulk(1000, 10_000)
	p.Odds, p.Refusals.Sure, p.Binding.Sure = 100, 0.05, 0
	priors := old(p)
	chance := rand.New(rand.NewPCG(5, 6))
	alarms, promised := 0.0, 0.0
	for range 60 {
		var s State
		at := noon
		for range 1000 {
			at = at.Add(time.Duration(chance.IntN(4*3600)) * time.Second)
			d := &s.shares[Refusals-SiteNovelty]
			all, each := 1+chance.IntN(6), 1
			if d.evidence[0] > 20 {
				all, each = 12, 12 // all at once
			}
			events := []Event{Submitted{At: at, Recipients: Recipients{Known: all, Elsewhere: all}}}
			for left := all; left > 0; left -= each {
				normal, refused := d.normal(priors.Mean[Refusals-SiteNovelty], &p.Refusals), 0
				if chance.Float64() < normal {
					refused = each
				}
				events = append(events, Answered{At: at, Refused: refused, Of: each, All: all})
			}
			for _, e := range events {
				var v Verdict
				s, v = Advance(s, e, priors, p)
				promised += v.Expected / p.Odds
				if v.Contain {
					alarms++
					s = s.Cleared(p)
				}
			}
		}
	}
	t.Logf("%.0f alarms, %.0f promised at most", alarms, promised)
	if alarms > promised+4*math.Sqrt(promised) {
		t.Errorf("%.0f alarms; theory allows %.0f", alarms, promised)
	}
	if alarms < promised/50 {
		t.Errorf("%.0f alarms where %.0f are allowed: the test measures nothing", alarms, promised)
	}
}

// Colleagues with whom the account has somebody in common are nothing unusual for it one by one,
// and seven within a minute are.
func TestAPaceOfColleaguesIsEvidence(t *testing.T) {
	p := DefaultParams()
	for name, c := range map[string]struct {
		gap         time.Duration
		least, most int
	}{"by a program": {5 * time.Second, 5, 6}, "by hand": {20 * time.Minute, 100, 100}} {
		s, at := habit(60, p)
		n := 0
		for ; n < 100; n++ {
			at = at.Add(c.gap)
			var v Verdict
			if s, v = Advance(s, Submitted{At: at, Recipients: Recipients{NewToAccount: 1, Acquainted: true}}, old(p), p); v.Contain {
				break
			}
		}
		if n < c.least || n > c.most {
			t.Errorf("%s: %d colleagues before the account is contained", name, n)
		}
	}
}

// Whom an account was judged for before takes room within the bounds and is held for the window, and says nothing.
func TestWhoIsWrittenToAgainTakesRoom(t *testing.T) {
	p := DefaultParams()
	priors := Site{}.Priors(p)
	at := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	s, v := Advance(State{}, Submitted{At: at, Recipients: Recipients{Again: 7, Acquainted: true}}, priors, p)
	if v.Leave != 7 || v.Hold != p.Hold || v.Odds > 0.1 {
		t.Errorf("%+v", v)
	}
	if _, v = Advance(s, Submitted{At: at, Recipients: Recipients{Again: 1000}}, priors, p); v.Leave != p.Bounds.Burst-7 {
		t.Errorf("%d may leave", v.Leave)
	}
}
