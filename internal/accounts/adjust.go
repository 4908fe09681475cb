package accounts

import "slices"

// settings are what Adjust replaces.
type settings struct {
	limits     Limits
	mechanisms []string
}

// Adjust replaces the limits and the mechanisms on offer, nil for all of them.
// Sign-ins in progress go on, what is remembered of guesses and passwords stays
// within the new bounds, and passwords get the new cost when they are next typed.
// Unfit settings change nothing. How many accounts, networks and pairs are counted
// for guesses stays as it was.
func (i *Identity) Adjust(l Limits, mechanisms []string) error {
	o, err := Options{Limits: l, Mechanisms: mechanisms}.complete()
	if err != nil {
		return err
	}
	before := i.set.Swap(&settings{o.Limits, o.Mechanisms})
	if !slices.Contains(before.mechanisms, MechScramPlus) {
		i.warnOfBinding()
	}
	i.hasher.adjust(l)
	i.screened.Lock()
	defer i.screened.Unlock()
	i.guesses.Adjust(l.Guesses)
	i.right.adjust(l.CacheEntries, l.CacheTTL)
	i.wrong.adjust(l.CacheEntries, l.WrongFor)
	i.untold.adjust(l.CacheEntries, l.WrongFor)
	i.denied.adjust(l.CacheEntries, l.DeniedFor)
	return nil
}

// warnOfBinding says in the log what the offer of SCRAM-SHA-256-PLUS costs.
func (i *Identity) warnOfBinding() {
	if slices.Contains(i.offered(), MechScramPlus) {
		i.o.Logger.Warn(MechScramPlus+" is offered: programs built on GNU SASL, as mutt of Debian, cannot sign in (501 cancelled in the trace)",
			"hint", "take it out of auth.mechanisms if anybody has such a program")
	}
}

// Bounds returns the limits and the mechanisms in force.
func (i *Identity) Bounds() (Limits, []string) { return *i.limits(), i.offered() }

func (i *Identity) limits() *Limits { return &i.set.Load().limits }

func (i *Identity) offered() []string { return i.set.Load().mechanisms }
