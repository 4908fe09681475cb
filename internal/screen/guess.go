package screen

import (
	"net/netip"
	"time"

	"sallyport/internal/mail"
)

// GuessLimits bounds how often wrong passwords are judged at all. A right
// password never counts against them.
type GuessLimits struct {
	Account Rate // at one account, from all networks that never signed in to it
	Known   Rate // at one account, from one network that did
	Network Rate // from one network, at any accounts it never signed in to

	Accounts int // accounts remembered
	Pairs    int // pairs of an account and its known network remembered
	Networks int // networks remembered
}

// DefaultGuessLimits judges at most 10 passwords in 10 minutes for one account
// and new networks, and as many for each known network of the account; 60 in 10
// minutes from one network at all accounts together. The tables take about 30
// MiB when all are full.
func DefaultGuessLimits() GuessLimits {
	return GuessLimits{
		Account:  AtMost(10, 10*time.Minute),
		Known:    AtMost(10, 10*time.Minute),
		Network:  AtMost(60, 10*time.Minute),
		Accounts: 65_536,
		Pairs:    65_536,
		Networks: 65_536,
	}
}

// Guess says who tries a password at which account.
type Guess struct {
	Account string       // mail.Address.Key, whether there is such an account or not
	Network netip.Prefix // as Network returned it
	Known   bool         // the account signed in from this network of late
}

type pair struct {
	account string
	network netip.Prefix
}

// Guesses remembers failed sign-ins. It treats accounts that do not exist as
// those that do, so that its refusals tell nothing. It is not safe for
// concurrent use.
type Guesses struct {
	limits   GuessLimits
	accounts *Table[string]
	pairs    *Table[pair]
	networks *Table[netip.Prefix]
}

// NewGuesses starts with no memory.
func NewGuesses(l GuessLimits) *Guesses {
	return &Guesses{
		limits:   l,
		accounts: NewTable[string](l.Account, l.Accounts),
		pairs:    NewTable[pair](l.Known, l.Pairs),
		networks: NewTable[netip.Prefix](l.Network, l.Networks),
	}
}

// Adjust replaces the rates. What was counted is kept, and judged by the new ones.
func (g *Guesses) Adjust(l GuessLimits) {
	l.Accounts, l.Pairs, l.Networks = g.limits.Accounts, g.limits.Pairs, g.limits.Networks
	g.limits = l
	g.accounts.rate, g.pairs.rate, g.networks.rate = l.Account, l.Known, l.Network
}

// Allow decides whether a password may be judged now. It counts nothing.
func (g *Guesses) Allow(q Guess, now time.Time) Verdict {
	if q.Known {
		if wait := g.pairs.Wait(pair{q.Account, q.Network}, now); wait > 0 {
			return refuse(RuleGuessKnown, g.limits.Known, wait, "known network "+q.Network.String(), tooMany())
		}
		return pass()
	}
	if wait := g.accounts.Wait(q.Account, now); wait > 0 {
		return refuse(RuleGuessAccount, g.limits.Account, wait, "new networks at this account", tooMany())
	}
	if wait := g.networks.Wait(q.Network, now); wait > 0 {
		return refuse(RuleGuessOfNetwork, g.limits.Network, wait, "network "+q.Network.String(), tooMany())
	}
	return pass()
}

// Charge decides as Allow does and counts the guess at once, so that guesses
// which are judged side by side cannot exceed the account's rate. Forgive must
// follow when the guess was none after all.
func (g *Guesses) Charge(q Guess, now time.Time) Verdict {
	v := g.Allow(q, now)
	switch {
	case !v.OK:
	case q.Known:
		g.pairs.Take(pair{q.Account, q.Network}, now)
	default:
		g.accounts.Take(q.Account, now)
	}
	return v
}

// Forgive undoes a Charge: the password was right, or was not judged.
func (g *Guesses) Forgive(q Guess, now time.Time) {
	if q.Known {
		g.pairs.GiveBack(pair{q.Account, q.Network}, now)
		return
	}
	g.accounts.GiveBack(q.Account, now)
}

// Failed counts a charged guess against its network too. Networks are charged
// only now: many honest people behind one address may all be judged at once.
func (g *Guesses) Failed(q Guess, now time.Time) {
	if !q.Known {
		g.networks.Take(q.Network, now)
	}
}

// tooMany is transient: a client that keeps the right password must not take it
// for a wrong one. RFC 4954 §6.
func tooMany() mail.Reply {
	return mail.R(454, "4.7.0", "too many failed sign-ins, try again later")
}
