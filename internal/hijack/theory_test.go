package hijack

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// An honest account is contained no more often than the theory says, even one that is
// always as unusual as its baseline allows, and chooses by its own evidence how: in
// single recipients, in halves, or in runs. Nothing is independent in it.
func TestFalseAlarmsAreBounded(t *testing.T) {
	p := DefaultParams()
	p.Odds = 100 // so that there is something to count
	priors := old(p)
	chance := rand.New(rand.NewPCG(1, 2))
	alarms, promised := 0.0, 0.0
	for range 60 {
		var s State
		at := noon
		for range 1500 {
			at = at.Add(time.Duration(chance.IntN(4*3600)) * time.Second)
			normal := s.shares[0].normal(priors.Mean[0], &p.SiteNovelty)
			// The paces have a null of their own: a message to somebody new comes no more
			// often than once in what is normal. This account keeps to the shares alone.
			r := Recipients{Known: 2}
			switch e := s.shares[0].evidence[0]; {
			case e > 20 && chance.Float64() < normal, e < 1 && chance.Float64() < normal:
				r = Recipients{NewToSite: 2}
			case e >= 1 && e <= 20 && chance.Float64() < 2*normal:
				r = Recipients{Known: 1, NewToSite: 1}
			}
			var v Verdict
			q := p
			q.SitePace.Weight, q.AccountPace.Weight = 0, 0
			s, v = Advance(s, Submitted{At: at, Recipients: r}, priors, q)
			promised += v.Expected / p.Odds
			if v.Contain {
				alarms++
				s = s.Cleared(p)
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

// The same for a pace: messages to somebody new that come as often as is normal, by
// chance or in a rhythm of their own.
func TestFalseAlarmsOfAPaceAreBounded(t *testing.T) {
	p := DefaultParams()
	p.Odds = 100
	p.SiteNovelty.Sure, p.SiteNovelty.Mixed, p.AccountPace.Weight, p.Binding.Sure = 0, 0, 0, 0
	p.Refusals.Sure, p.Refusals.Mixed = 0, 0
	priors := old(p)
	chance := rand.New(rand.NewPCG(3, 4))
	alarms, promised := 0.0, 0.0
	for range 300 {
		var s State
		at := noon
		for range 200 {
			normal := s.paces[0].normal(priors.Rate[0], &p.SitePace)
			at = at.Add(time.Duration(chance.ExpFloat64() / normal * float64(time.Hour)))
			var v Verdict
			s, v = Advance(s, Submitted{At: at, Recipients: Recipients{NewToSite: 1}}, priors, p)
			promised += v.Expected / p.Odds
			if v.Contain {
				alarms++
				s = s.Cleared(p)
			}
		}
	}
	t.Logf("%.0f alarms, %.0f promised at most", alarms, promised)
	if alarms > promised+4*math.Sqrt(promised) {
		t.Errorf("%.0f alarms; theory allows %.0f", alarms, promised)
	}
}

// Whatever happens, in whatever order, however often the server is killed, and however
// far the clock is set back, no more leave in any hour, day and week of time that really
// passed than the bounds say.
func TestNoMoreLeavesThanTheBounds(t *testing.T) {
	p := DefaultParams()
	p.Bounds = Bounds{Burst: 12, Hour: 6, Day: 40, Week: 90}
	priors := old(p)
	type leaving struct {
		at time.Duration
		n  int
	}
	rapid.Check(t, func(t *rapid.T) {
		var s, saved State
		var really time.Duration
		var all []leaving
		clock := noon
		for range rapid.IntRange(1, 80).Draw(t, "events") {
			passed := time.Duration(rapid.IntRange(0, 12*3600).Draw(t, "seconds")) * time.Second
			really, clock = really+passed, clock.Add(passed)
			switch rapid.IntRange(0, 9).Draw(t, "mishap") {
			case 0:
				clock = clock.Add(-time.Duration(rapid.IntRange(0, 60*3600).Draw(t, "back")) * time.Second)
			case 1:
				rebuilt, err := Restore(s.Append(nil))
				if err != nil {
					t.Fatal(err)
				}
				s = Merge(saved, rebuilt)
			case 2:
				saved = s
			}
			var v Verdict
			if s, v = Advance(s, drawEvent(t, clock), priors, p); v.Contain {
				if v.Leave != 0 {
					t.Fatal("contained, and somebody leaves")
				}
				s = s.Cleared(p)
			}
			all = append(all, leaving{really, v.Leave})
			var hour, day, week int
			for _, l := range all {
				switch ago := really - l.at; {
				case ago < time.Hour:
					hour, day, week = hour+l.n, day+l.n, week+l.n
				case ago < 24*time.Hour:
					day, week = day+l.n, week+l.n
				case ago < 7*24*time.Hour:
					week += l.n
				}
			}
			if hour > p.Bounds.Burst+p.Bounds.Hour || day > p.Bounds.Day || week > p.Bounds.Week || v.Leave > p.Bounds.Burst {
				t.Fatalf("%d left within an hour, %d within a day, %d within a week", hour, day, week)
			}
		}
	})
}

// A message with more that is unusual weighs no less, and lets no more of it go.
func TestMoreUnusualWeighsMore(t *testing.T) {
	p := DefaultParams()
	rapid.Check(t, func(t *rapid.T) {
		s, at := drawState(t, p)
		total := rapid.IntRange(1, 30).Draw(t, "recipients")
		a := rapid.IntRange(0, total).Draw(t, "new")
		b := rapid.IntRange(a, total).Draw(t, "more new")
		acquainted := rapid.Bool().Draw(t, "acquainted")
		at = at.Add(time.Duration(rapid.IntRange(0, 86400).Draw(t, "seconds")) * time.Second)
		_, va := Advance(s, Submitted{At: at, Recipients: Recipients{Known: total - a, NewToSite: a, Strangers: a, Acquainted: acquainted}}, old(p), p)
		_, vb := Advance(s, Submitted{At: at, Recipients: Recipients{Known: total - b, NewToSite: b, Strangers: b, Acquainted: acquainted}}, old(p), p)
		if vb.Odds < va.Odds*(1-1e-9) || va.Contain && !vb.Contain {
			t.Fatalf("%d of %d new weigh %g, %d weigh %g", a, total, va.Odds, b, vb.Odds)
		}
	})
}

// A merged state holds what either holds: its evidence is no less, it learns no
// more that is unusual and no less that is usual, and no more recipients leave, now or at
// any later time.
func TestMergeIsStricter(t *testing.T) {
	p := DefaultParams()
	priors := old(p)
	rapid.Check(t, func(t *rapid.T) {
		base, at := drawState(t, p)
		if rapid.IntRange(0, 3).Draw(t, "apart") == 0 {
			base = State{}
		}
		a, b := base, base
		var v Verdict
		last := at
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			at = at.Add(time.Duration(rapid.IntRange(0, 6*3600).Draw(t, "seconds")) * time.Second)
			e := drawEvent(t, at)
			both := rapid.IntRange(0, 3).Draw(t, "who")
			for i, s := range []*State{&a, &b} {
				if both == i {
					continue
				}
				last = at
				if *s, v = Advance(*s, e, priors, p); v.Contain {
					*s = s.Cleared(p)
				}
			}
		}
		m := Merge(a, b)
		if twin := Merge(b, a); twin.odds(&p) != m.odds(&p) && a.high != b.high {
			t.Fatal("the order of the two matters")
		}
		later := last.Add(time.Duration(rapid.IntRange(0, 9*86400).Draw(t, "later")) * time.Second)
		_, vm := Advance(m, Waiting{At: later, Recipients: 1000}, priors, p)
		for _, s := range []State{a, b} {
			_, v := Advance(s, Waiting{At: later, Recipients: 1000}, priors, p)
			if vm.Odds < v.Odds*(1-1e-9) || vm.Leave > v.Leave {
				t.Fatalf("merged %g and %d, one of them %g and %d", vm.Odds, vm.Leave, v.Odds, v.Leave)
			}
			if s.high == 0 {
				continue // it knows of nothing
			}
			merged, one := m.Cleared(p), s.Cleared(p) // all that was seen is learnt
			for i := range s.shares {
				if x, y := merged.shares[i], one.shares[i]; x.s > y.s+rounding || x.n < y.n-rounding {
					t.Fatalf("%s: merged learns %g of %g, one of them %g of %g", SiteNovelty+Signal(i), x.s, x.n, y.s, y.n)
				}
			}
			for i := range s.paces {
				if x, y := merged.paces[i], one.paces[i]; x.n > y.n || x.hours < y.hours {
					t.Fatalf("%s: merged learns %g in %g hours, one of them %g in %g", SitePace+Signal(i), x.n, x.hours, y.n, y.hours)
				}
			}
		}
	})
}

// No thief gets more by killing the server, by setting the clock, or by having many
// sessions at once than one who does nothing of it; time that seems to pass gives no
// more than a bucket.
func TestTricksWinNothing(t *testing.T) {
	p := DefaultParams()
	s, at := habit(60, p)
	plain, _ := blast(s, at, 1, 1000, time.Second, p)
	trick := func(each func(s State, at time.Time, i int) (State, time.Time)) (left int) {
		s, at := s, at
		for i := range 1000 {
			s, at = each(s, at.Add(time.Second), i)
			var v Verdict
			if s, v = Advance(s, Submitted{At: at, Recipients: Recipients{NewToSite: 1}}, old(p), p); v.Contain {
				return left
			}
			left += v.Leave
		}
		return left
	}
	for name, got := range map[string]int{
		"killed": trick(func(s State, at time.Time, _ int) (State, time.Time) {
			r, err := Restore(s.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
			return r, at
		}),
		"merged with an old checkpoint": trick(func(n State, at time.Time, _ int) (State, time.Time) {
			return Merge(s, n), at
		}),
		"set back": trick(func(s State, at time.Time, _ int) (State, time.Time) { return s, at.Add(-26 * time.Hour) }),
		"to and fro": trick(func(s State, at time.Time, i int) (State, time.Time) {
			if i%2 == 0 {
				return s, at.Add(-3 * time.Hour)
			}
			return s, at.Add(3 * time.Hour)
		}),
	} {
		if got > plain+1 {
			t.Errorf("%s: %d left; %d without", name, got, plain)
		}
	}
	// A clock that leaps on makes time pass, and the pace of it says less then.
	if got := trick(func(s State, at time.Time, _ int) (State, time.Time) { return s, at.Add(400 * 24 * time.Hour) }); got > 8 {
		t.Errorf("a clock that leaps on: %d left", got)
	}
}

// What a thief does today is normal in a day at the soonest, and never beyond the caps.
func TestABaselineLearnsSlowly(t *testing.T) {
	p := DefaultParams()
	p.Odds = mostEvidence / 1000 // so that nothing ends it
	var s State
	at := noon
	var v Verdict
	for i := range 24 * 60 {
		at = at.Add(time.Minute)
		s, v = Advance(s, Submitted{At: at, Recipients: Recipients{NewToSite: 1}}, old(p), p)
		if s.shares[0].n != 0 {
			t.Fatalf("learnt after %d minutes", i)
		}
		_ = v
	}
	for range 1000 {
		at = at.Add(time.Hour)
		s, _ = Advance(s, Submitted{At: at, Recipients: Recipients{NewToSite: 1}}, old(p), p)
	}
	if got := s.shares[0].normal(0.03, &p.SiteNovelty); got != p.SiteNovelty.Cap {
		t.Errorf("normal is %g", got)
	}
	if s.shares[0].n > float32(p.Memory) {
		t.Errorf("%g observations are remembered", s.shares[0].n)
	}
}

func BenchmarkAdvance(b *testing.B) {
	p := DefaultParams()
	s, at := habit(30, p)
	priors := old(p)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at = at.Add(time.Minute)
		r := Recipients{Known: 1, Acquainted: true}
		if i%100 == 0 {
			r = Recipients{NewToSite: 1}
		}
		var v Verdict
		if s, v = Advance(s, Submitted{At: at, Recipients: r}, priors, p); v.Contain {
			s = s.Cleared(p)
		}
	}
}

// While events come by chance as often as is normal, the evidence of a pace grows by 1 on
// average with each, and not faster: summed here over the whole distribution of the gaps.
func TestAPaceIsAFairBet(t *testing.T) {
	p := DefaultParams()
	const gaps = 200_000
	for k := SitePace; k <= PlacePace; k++ {
		r := p.rate(k)
		for _, had := range []float64{0.5, 10, 1e4} {
			sum := 0.0
			for i := range gaps {
				d := pace{evidence: had}
				hours := -math.Log(1-(float64(i)+0.5)/gaps) / r.Mean
				d.pass(hours, r.Mean, r)
				d.count(r)
				sum += d.evidence
			}
			if mean := sum / gaps; mean > (1+had)*1.01 || mean < (1+had)*0.97 {
				t.Errorf("%s: %g becomes %g on average", k, had, mean)
			}
		}
	}
	r := &p.SitePace
	for _, had := range []float64{0.5, 10, 1e4} {
		sum := 0.0
		for i := range gaps {
			d := patience{evidence: had}
			d.pass(-math.Log(1-(float64(i)+0.5)/gaps)/r.Mean, r.Mean, r)
			d.count(r)
			sum += d.evidence
		}
		if mean := sum / gaps; mean > (1+had)*1.01 || mean < (1+had)*0.97 {
			t.Errorf("the patient bet: %g becomes %g on average", had, mean)
		}
	}
}

// Whoever takes his time is found though the account goes on as ever between two strangers: by the patient bet alone, which
// letters to correspondents do not refute. It says so in words, survives a crash, and ends with the incident.
func TestAPatientThiefIsFound(t *testing.T) {
	p := DefaultParams()
	found := func(gap time.Duration, p Params) (n int, s State, v Verdict) {
		s, at := habit(30, p)
		for n = 1; n <= 40; n++ {
			at = at.Add(gap / 6)
			if s, v = Advance(s, Submitted{At: at, Recipients: Recipients{NewToSite: 1}}, old(p), p); v.Contain {
				return n, s, v
			}
			for range 5 {
				at = at.Add(gap / 6)
				s, _ = Advance(s, Submitted{At: at, Recipients: Recipients{Known: 1}}, old(p), p)
			}
			kept, err := Restore(s.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
			s = Merge(kept, s)
		}
		return 0, s, v
	}
	for gap, most := range map[time.Duration]int{10 * time.Minute: 13, 30 * time.Minute: 15, time.Hour: 18} {
		n, s, v := found(gap, p)
		if n == 0 || n > most {
			t.Errorf("one each %v is contained after %d, and should be after at most %d", gap, n, most)
			continue
		}
		if w := v.Evidence[0].Words(); v.Evidence[0].Signal != SitePace || !strings.Contains(w, "messages in a row to recipients never written to from this site") || v.Evidence[0].Unusual != float64(n) {
			t.Errorf("one each %v: %d, %s", gap, n, w)
		}
		if s = s.Stolen(p); s.odds(&p) > 1 {
			t.Errorf("after the end there is evidence of %g", s.odds(&p))
		}
	}
	// A desk that answers two dozen strangers on each day of the week, of whom nobody proved who he is, among letters to others, and did so for two months: as far as the pace goes.
	q := p
	q.SiteNovelty.Sure, q.SiteNovelty.Mixed = 0, 0
	desk, at := State{}, noon
	desk.paces[0] = pace{n: 24 * 60, hours: 24 * 60}
	for day := range 60 {
		at = noon.Add(time.Duration(day) * 24 * time.Hour)
		for n := range 24 {
			for _, r := range []Recipients{{NewToSite: 1}, {Known: 1}, {Known: 1}} {
				at = at.Add(20 * time.Minute / 3)
				var v Verdict
				if desk, v = Advance(desk, Submitted{At: at, Recipients: r}, old(q), q); v.Contain {
					t.Fatalf("a desk is contained on day %d by stranger %d: %s", day, n, v.Evidence[0].Words())
				}
			}
		}
	}
	if n, _, _ := found(12*time.Hour, p); n != 0 {
		t.Errorf("two a day, as is normal, are contained after %d", n)
	}
	if n, s, _ := found(30*time.Minute, p.Bulk(1000, 1000)); n != 0 || s.slow.evidence != 0 {
		t.Errorf("a newsletter is contained after %d strangers, with %g", n, s.slow.evidence)
	}
}

// A clock that goes to and fro by less than a day makes its way once: what it gives back when
// it goes on again it has given already.
func TestAClockToAndFroGivesTimeOnce(t *testing.T) {
	p := DefaultParams()
	b := p.Bounds
	b.Day, b.Week = 10_000, 10_000
	p.Bounds = b
	var s State
	left := 0
	for i := range 40 {
		at := noon
		if i%2 == 1 {
			at = noon.Add(10 * time.Hour)
		}
		var v Verdict
		if s, v = Advance(s, Waiting{At: at, Recipients: 1000}, old(p), p); v.Contain {
			t.Fatal("contained")
		}
		left += v.Leave
	}
	if most := b.Burst + min(b.Burst, 10*b.Hour); left > most {
		t.Errorf("%d left, %d may", left, most)
	}
}
