package hijack

import (
	"slices"
	"time"
)

// Attribute is what is known of something that many accounts have in common: a network
// that they sign in from, a TLS fingerprint, a text that they send. The zero Attribute is
// one of which nothing is known yet.
type Attribute struct {
	high     int64
	age      time.Duration
	n, s     float32
	fresh    [daySlots][2]float32
	evidence float64
	accounts [mostAccounts]Fingerprint // whose messages are the evidence
}

// mostAccounts bounds how many accounts are told apart.
const mostAccounts = 8

// SharedParams says how it is held against many accounts that they have an attribute in common.
type SharedParams struct {
	// Odds is the evidence at which an attribute is paused.
	Odds float64
	// Accounts is how many accounts must be in it, at most 8: what fewer do is for the
	// accounts' own evidence to say.
	Accounts int
	// Usual is how often a message goes to somebody new from an account that is new to
	// the attribute.
	Usual Usual
	// Fresh is the share of recipients new to the site from which on a site has too little
	// history for any of this to be odd: on its first day everybody is new to everything.
	Fresh float64
}

// DefaultSharedParams returns by what shared attributes are judged.
func DefaultSharedParams() SharedParams {
	return SharedParams{
		Odds:     1e4,
		Accounts: 5,
		Usual:    Usual{Mean: 0.03, Fresh: 0.03, Strength: 20, Margin: 1.25, Floor: 0.005, Cap: 0.5, Mix: 0.5, Sure: 1},
		Fresh:    0.2,
	}
}

// Use is a message that bears an attribute.
type Use struct {
	At         time.Time
	Account    Fingerprint
	AtHome     bool // the account used the attribute a day ago or longer
	Recipients Recipients
}

// Pause is what follows for the attribute. All that bears it waits while Now; who does
// not bear it is not concerned.
type Pause struct {
	Now      bool
	Odds     float64
	Accounts int // how many accounts the evidence is about; 8 is 8 or more
	// Odd: this message is part of the evidence.
	Odd bool
}

// Share takes a message into account. An account's first message to somebody new counts,
// so that no account pauses an attribute by itself. At a site without history nothing is
// evidence.
func Share(a Attribute, u Use, priors Priors, c SharedParams) (Attribute, Pause) {
	a.to(u.At)
	r := u.Recipients.sane()
	var out Pause
	if of := r.judged(); of > 0 && priors.Mean[0] < c.Fresh {
		c.Usual.Mean = max(c.Usual.Mean, priors.Mean[0])
		odd := !u.AtHome && 2*max(r.NewToSite, r.Strangers) >= of
		if !odd || !slices.Contains(a.accounts[:], u.Account) {
			a.observe(odd, u.Account, c.Usual)
			out.Odd = odd
		}
	}
	out.Odds = a.evidence * c.Usual.Sure
	for _, f := range a.accounts {
		if f != 0 {
			out.Accounts++
		}
	}
	out.Now = !(out.Odds < c.Odds) && out.Accounts >= min(c.Accounts, mostAccounts)
	return a, out
}

func (a *Attribute) observe(odd bool, account Fingerprint, u Usual) {
	if a.evidence < 1 {
		a.accounts = [mostAccounts]Fingerprint{}
	}
	d := detector{n: a.n, s: a.s, evidence: [bets]float64{a.evidence}}
	f := 0.0
	if odd {
		f = 1
		copy(a.accounts[1:], a.accounts[:mostAccounts-1])
		a.accounts[0] = account
	}
	d.observe(f, 1, 1, 1, d.normal(u.Mean, &u), u.Mix)
	a.evidence = d.evidence[0]
	y := &a.fresh[int64(a.age/slotTime)%int64(daySlots)]
	y[0]++
	y[1] += float32(f)
}

// to lets time pass until at.
func (a *Attribute) to(at time.Time) {
	now := at.UnixNano()
	passed := time.Duration(now - a.high)
	switch {
	case a.high == 0, passed < -back:
		a.high = now
		return
	case passed <= 0:
		return
	}
	a.high = now
	was := int64(a.age / slotTime)
	a.age += passed
	for n := was + 1; n <= min(int64(a.age/slotTime), was+int64(daySlots)); n++ {
		y := &a.fresh[n%int64(daySlots)]
		a.n, a.s = a.n+y[0], a.s+y[1]
		if f := siteMemory / a.n; f < 1 {
			a.n, a.s = a.n*f, a.s*f
		}
		*y = [2]float32{}
	}
}

// Concerns reports whether the evidence is about a message of the account.
func (a Attribute) Concerns(account Fingerprint) bool {
	return account != 0 && slices.Contains(a.accounts[:], account)
}

// Cleared ends the evidence, because a person said that nothing is wrong.
func (a Attribute) Cleared() Attribute {
	a.evidence, a.accounts = 0, [mostAccounts]Fingerprint{}
	return a
}
