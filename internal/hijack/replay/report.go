package replay

import (
	"math/rand/v2"
	"time"

	"sallyport/internal/hijack"
)

// Options of a replay.
type Options struct {
	Params hijack.Params
	Seed   uint64
	// Victims is how many accounts of each class thieves get at each of Waves moments;
	// Waves 0 lets no thief in.
	Victims, Waves int
	// Only: names of scenarios, with commas between; "" is all.
	Only string
}

// Theft is what thieves of one way got of one class of accounts.
type Theft struct {
	Class, Scenario, Words string
	Accounts               int
	Missed                 int
	Handed                 Quantiles[int]     // recipients, without the hold window
	New                    Quantiles[int]     // of these, those new to the account
	WithWindow             Quantiles[int]     // recipients, with the hold window
	Seconds                Quantiles[float64] // until containment
	Fixed                  []Quantiles[int]   // what fixed limits let through
}

// Crowd is what one thief with many accounts got.
type Crowd struct {
	Accounts, Each, Alone, Paused, Touched int
	Seconds                                float64
}

// Report is what a replay found.
type Report struct {
	Honest Honest
	Params hijack.Params
	Thefts []Theft
	Crowds []Crowd
	// First is the first week of sites without any history; nil: it was not asked for.
	First   *Week
	Elapsed time.Duration
}

// Run replays a log.
func Run(log []Message, o Options) Report {
	began := time.Now()
	out, r := run(log, o)
	out.Thefts = r.thefts()
	for _, c := range r.crowds {
		out.Crowds = append(out.Crowds, Crowd{c.accounts, crowdEach, c.alone, c.paused, c.touched, c.took.Seconds()})
	}
	out.Elapsed = time.Since(began)
	return out
}

// run replays a log, and returns what became of honest people beside what thieves got.
func run(log []Message, o Options) (Report, *raid) {
	s := newServer(o.Params)
	r := &raid{
		server: s, chance: rand.New(rand.NewPCG(o.Seed, 0x5a11)), seed: o.Seed, each: o.Victims, only: o.Only,
		took: map[[2]string][]loot{}, fixed: map[[2]string][][]int{},
	}
	for _, m := range log {
		if !m.In && m.Event == nil {
			s.account(m.From)
		}
	}
	r.names = s.names()
	var every time.Duration
	var from time.Time
	if n := len(log); n > 0 && o.Waves > 0 {
		span := log[n-1].At.Sub(log[0].At)
		from = log[0].At.Add(span * 3 / 10)
		every = max(time.Minute, span*7/10/time.Duration(o.Waves))
	}
	return Report{Params: o.Params, Honest: s.honest(log, every, from, r.wave)}, r
}

// thefts sums up what was taken, by class and scenario.
func (r *raid) thefts() []Theft {
	var out []Theft
	for _, class := range classes() {
		for _, sc := range scenarios() {
			all := r.took[[2]string{class, sc.name}]
			if len(all) == 0 {
				continue
			}
			t := Theft{Class: class, Scenario: sc.name, Words: sc.words, Accounts: len(all)}
			var handed, fresh, window []int
			var took []float64
			for _, l := range all {
				handed, fresh, window = append(handed, l.handed), append(fresh, l.fresh), append(window, l.withWindow)
				if l.caught {
					took = append(took, l.took.Seconds())
				} else {
					t.Missed++
				}
			}
			t.Handed, t.New, t.WithWindow, t.Seconds = quantiles(handed), quantiles(fresh), quantiles(window), quantiles(took)
			for i := range limits() {
				var let []int
				for _, f := range r.fixed[[2]string{class, sc.name}] {
					let = append(let, f[i])
				}
				t.Fixed = append(t.Fixed, quantiles(let))
			}
			out = append(out, t)
		}
	}
	return out
}
