package hijack

import (
	"math"
	"time"
)

// Verdict is what follows from an event. The zero Verdict lets nobody new be written to.
type Verdict struct {
	Contain bool    // the account is to be contained before anything of this event happens
	Odds    float64 // the evidence, to be held against Params.Odds
	// Leave is how many of the recipients new to the account may leave now; the others
	// wait, and ask again by Waiting. It is taken off the bounds already.
	Leave int
	// Hold is how long the recipients new to the site wait before they leave; the account
	// may have been contained by then.
	Hold time.Duration
	// Evidence is what speaks against the account, the strongest first. It is there when
	// there is much of it: from a hundredth of Params.Odds on.
	Evidence []Finding
	// Expected is by how much the evidence against an honest account grows by this event
	// on average, at most: the sum of it over all events, by Params.Odds, is how often
	// honest accounts are contained at most.
	Expected float64
}

// Advance takes an event into account, and returns what is known of the account then and
// what follows. Events of one account come one at a time, under its own lock, before
// the event is answered. Their order is that of the calls: an event with an earlier time
// than the one before happens at that one's time.
func Advance(s State, e Event, priors Priors, p Params) (State, Verdict) {
	s.to(e.when(), &priors, &p)
	j := judge{state: &s, priors: &priors, params: &p}
	wanted := 0
	var v Verdict
	switch e := e.(type) {
	case Submitted:
		r := e.Recipients.sane()
		j.submitted(r)
		wanted = r.fresh() + r.Again
		if r.NewToSite+r.Again > 0 {
			v.Hold = p.Hold
		}
	case Waiting:
		wanted = max(0, min(e.Recipients, mostCounted))
	case Answered:
		j.answered(e)
	case BindingFailed:
		j.bindingFailed(e)
	case SignedIn:
		j.signedIn(e)
	case ForwardChanged:
		j.suspect()
	}
	v.Odds, v.Expected = s.odds(&p), j.expected
	v.Contain = !(v.Odds < p.Odds)
	if !(v.Odds < p.Odds/100) {
		v.Evidence = s.Findings(priors, p)
	}
	if !v.Contain {
		v.Leave = min(wanted, s.room(p.Bounds))
		s.leave(v.Leave)
	}
	return s, v
}

// judge takes one event into the evidence.
type judge struct {
	state    *State
	priors   *Priors
	params   *Params
	expected float64
}

// submitted takes what a message's recipients say into the evidence.
func (j *judge) submitted(r Recipients) {
	s := j.state
	if of := float64(r.judged()); of > 0 {
		begin := math.Max(1, s.begin)
		s.begin = 0
		j.observe(SiteNovelty, float64(r.NewToSite), of, begin, 1)
		if r.Acquainted {
			j.observe(Strangers, float64(r.Strangers), of, begin, 1)
		}
		j.observe(Binding, 0, 1, 1, 1)
	}
	j.refusals(r.Invalid, r.Total()-r.Elsewhere+r.Invalid, r.Total()+r.Invalid)
	j.count(SitePace, r.NewToSite)
	j.count(AccountPace, r.fresh())
}

// answered takes what became of recipients into the evidence.
func (j *judge) answered(e Answered) {
	n := max(0, min(e.Refused, mostCounted))
	of := max(n, min(e.Of, mostCounted))
	j.refusals(n, of, max(of, e.All))
}

// refusals takes into the evidence that of so many recipients of a message, of all that it
// has, some were refused. A message is one observation, in as many parts as it becomes known in.
func (j *judge) refusals(refused, of, all int) {
	if of > 0 {
		j.observe(Refusals, float64(refused), float64(of), 1, float64(of)/float64(all))
	}
}

// bindingFailed takes a false sender into the evidence, once.
func (j *judge) bindingFailed(e BindingFailed) {
	if e.Sender == 0 || e.Sender != j.state.claimed {
		j.suspect()
		j.observe(Binding, 1, 1, 1, 1)
	}
	j.state.claimed = e.Sender
}

// signedIn takes a sign-in into the evidence. One new network is nothing; many within
// minutes are, and fewer that lie far apart.
func (j *judge) signedIn(e SignedIn) {
	if e.NewNetwork {
		j.suspect()
		j.count(NetworkPace, 1)
	}
	switch {
	case e.NewPlace && e.NewProgram && j.state.age < Settled:
		// On an account's first day all its machines come for the first time, at home, at work
		// and on the way: as many programs as places.
		j.state.paces[PlacePace-SitePace].begin()
	case e.NewPlace:
		j.count(PlacePace, 1)
	}
	if e.NewProgram {
		j.suspect()
	}
}

// suspect makes it likelier that a theft began here.
func (j *judge) suspect() {
	most := j.params.Suspect * j.params.Suspect
	j.state.begin = math.Min(most, math.Max(1, j.state.begin)*j.params.Suspect)
}

// observe takes odd of so many into a detector and into what the baseline will learn. They
// are that part of an observation, which is 1 if they are a whole one.
func (j *judge) observe(k Signal, odd, of, begin, part float64) {
	i := k - SiteNovelty
	d, u, f := &j.state.shares[i], j.params.usual(k), odd/of
	if u.Sure+u.Mixed > 0 {
		d.observe(f, of, begin, part, d.normal(j.priors.Mean[i], u), u.Mix)
	} else { // what is no evidence of this account does not become any when it is judged by other figures
		d.forget()
	}
	y := j.state.today()
	y.n[i] += float32(part)
	y.s[i] += float32(part * f)
	j.expected += part * begin * (u.Sure + u.Mixed)
}

// count counts a message that goes to n recipients of a kind, or another event.
func (j *judge) count(k Signal, n int) {
	if n > 0 {
		r := j.params.rate(k)
		if d := &j.state.paces[k-SitePace]; r.Weight > 0 {
			d.count(r)
		} else {
			d.odd, d.evidence = 0, 0
		}
		if r.Slowly > 0 {
			j.state.slow.count(r)
		} else if k == SitePace {
			j.state.slow = patience{}
		}
		j.state.today().rate[k-SitePace]++
		j.expected += r.Weight + r.Slowly
	}
}
