package hijack

import (
	"math"
	"time"
)

// Priors are what is normal at a site: what an account is judged by before it has shown
// anything of its own.
type Priors struct {
	Mean [shares]float64 // by signal: the share that is normal
	Rate [paces]float64  // by signal: messages an hour that are normal
}

// Site is what was seen at a site, of all accounts. The zero Site is one without any
// history. What happened counts for it a day later, so that a theft of many accounts at
// once does not make itself normal.
type Site struct {
	high  int64
	age   time.Duration
	n, s  [shares]float64
	fresh [daySlots]young
}

// The site's own belief is worth siteStrength messages, and it remembers twice as many as
// siteMemory at most.
const (
	siteStrength = 200
	siteMemory   = 2000
)

// learnt are the signals whose normal share differs from site to site.
func learnt() [2]Signal { return [...]Signal{SiteNovelty, Strangers} }

// Learn takes a message of an account into what is normal. v is the verdict about it: what
// is held against the account teaches nobody.
func (w Site) Learn(e Submitted, v Verdict, p Params) Site {
	w.to(e.At)
	r := e.Recipients.sane()
	of := float64(r.judged())
	if of == 0 || v.Contain || !(v.Odds < p.Odds/10) {
		return w
	}
	w.add(SiteNovelty, float64(r.NewToSite)/of)
	if r.Acquainted {
		w.add(Strangers, float64(r.Strangers)/of)
	}
	return w
}

// With returns the site with what was learnt elsewhere, of the same site's past: all of that has
// happened long enough ago to count. As everywhere the latest counts for most where it is much.
func (w Site) With(past Site) Site {
	for i := range past.fresh {
		past.settle(&past.fresh[i])
	}
	for i := range w.n {
		w.n[i] += past.n[i]
		w.s[i] += past.s[i]
		if f := siteMemory / w.n[i]; f < 1 {
			w.n[i] *= f
			w.s[i] *= f
		}
	}
	return w
}

// to lets time pass until at.
func (w *Site) to(at time.Time) {
	now := at.UnixNano()
	passed := time.Duration(now - w.high)
	switch {
	case w.high == 0, passed < -back:
		w.high = now
		return
	case passed <= 0:
		return
	}
	w.high = now
	was := int64(w.age / slotTime)
	w.age += passed
	slot := int64(w.age / slotTime)
	for n := was + 1; n <= min(slot, was+int64(daySlots)); n++ {
		w.settle(&w.fresh[n%int64(daySlots)])
	}
}

// settle moves what was seen a day ago into what is normal.
func (w *Site) settle(y *young) {
	for i := range w.n {
		w.n[i] += float64(y.n[i])
		w.s[i] += float64(y.s[i])
		if f := siteMemory / w.n[i]; f < 1 {
			w.n[i] *= f
			w.s[i] *= f
		}
	}
	*y = young{}
}

func (w *Site) add(k Signal, f float64) {
	y := &w.fresh[int64(w.age/slotTime)%int64(daySlots)]
	y.n[k-SiteNovelty]++
	y.s[k-SiteNovelty] += float32(f)
}

// Priors returns what is normal for the site's accounts.
func (w Site) Priors(p Params) Priors {
	var out Priors
	for i := range out.Mean {
		out.Mean[i] = p.usual(SiteNovelty + Signal(i)).Mean
	}
	for _, k := range learnt() {
		i := k - SiteNovelty
		out.Mean[i] = (siteStrength*p.usual(k).Fresh + w.s[i]) / (siteStrength + w.n[i])
	}
	// Where more is new to the site, more of it comes.
	more := math.Max(1, out.Mean[0]/p.SiteNovelty.Mean)
	out.Rate[0] = p.SitePace.Mean * more
	out.Rate[1], out.Rate[2], out.Rate[3] = p.AccountPace.Mean, p.NetworkPace.Mean, p.PlacePace.Mean
	return out
}
