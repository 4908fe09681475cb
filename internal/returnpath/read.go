package returnpath

import (
	"errors"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath/prvs"
	"sallyport/internal/returnpath/srs"
)

// Reading is what the form of a recipient says, beside what the directory knows of it.
// The zero Reading says nothing.
type Reading struct {
	// Address is whom a signed return path stands for, who takes the mail in its place;
	// zero: the recipient as it was written.
	Address mail.Address
	// Class is what the recipient is instead of what the directory says; with
	// DestinationUnknown it says nothing.
	Class directory.Class
	// Note is what was found, for the trace; "": nothing.
	Note string
}

// Decides reports whether the form alone says what the recipient is.
func (r Reading) Decides() bool { return r.Class.Destination != gate.DestinationUnknown }

// The rules by which an address in the form of a forward's return path got its class.
const (
	RuleForward        = string(gate.RuleForwardReturn)
	RuleForwardForged  = string(gate.RuleForwardForged)
	RuleForwardStale   = "forward-return-stale"
	RuleForwardNoOwner = "forward-return-no-owner"
)

// Read tells what the form of a recipient says; bounce: it is to take a null path from
// outside. A mailbox or alias that happens to bear such a name is what the directory
// says. What was signed is read whether or not anything is signed now: it may come back
// for days.
func (p *Paths) Read(dir *directory.Snapshot, a mail.Address, bounce bool) Reading {
	if c, ok := p.forward(dir, a); ok {
		return Reading{Class: c}
	}
	if !Ours(dir, a.Domain()) {
		return Reading{}
	}
	if prvs.Is(a) {
		r := p.signed(dir, a, bounce)
		if r.Address.IsZero() {
			return r
		}
		r.Class, _ = p.forward(dir, r.Address)
		return r
	}
	rules := p.rules.Load()
	if !bounce || !rules.Requires(a, p.o.Now()) || !answersForMail(dir.Classify(a)) {
		return Reading{}
	}
	return refused(gate.DestinationUnmarked, "not signed, which is required since "+rules.RefusesFrom().Format(time.RFC3339))
}

// ForForward reports whether a is the return path of a forward of ours that stands.
func (p *Paths) ForForward(dir *directory.Snapshot, a mail.Address) bool {
	c, ok := p.forward(dir, a)
	return ok && c.Destination == gate.DestinationForwardReturn
}

func refused(d gate.Destination, note string) Reading {
	return Reading{Class: directory.Class{Destination: d}, Note: note}
}

// forward tells what an address is that has the form of a forward's return path, in a
// domain of ours; false for every other one.
func (p *Paths) forward(dir *directory.Snapshot, a mail.Address) (directory.Class, bool) {
	if _, ours := dir.Domain(a.Domain()); !ours || !srs.Is(a) || isName(dir, a) {
		return directory.Class{}, false
	}
	forged := func(rule string) (directory.Class, bool) {
		return directory.Class{Destination: gate.DestinationForwardForged, Rule: rule}, true
	}
	ref, err := p.o.Keys.Forward.Open(a, p.rules.Load().ForwardAge, p.o.Now())
	switch {
	case errors.Is(err, srs.ErrStale):
		return forged(RuleForwardStale)
	case err != nil:
		return forged(RuleForwardForged)
	}
	owner, ok := p.owners.of(ref)
	c := dir.Classify(owner)
	switch {
	case ok && c.Destination == gate.DestinationUnavailable:
		return c, true
	case !ok || c.Rule != directory.RuleAccount:
		return forged(RuleForwardNoOwner)
	}
	c.Destination, c.Rule = gate.DestinationForwardReturn, RuleForward
	return c, true
}

// isName reports whether the directory has a by this very name.
func isName(dir *directory.Snapshot, a mail.Address) bool {
	rule := dir.Classify(a).Rule
	return rule == directory.RuleAccount || rule == directory.RuleAlias
}

// signed reads a recipient in the form of a signed sender. Mail that is no bounce may
// come to one that has ended: its writer knows the address, as he may. While nothing is
// signed none is refused for its form.
func (p *Paths) signed(dir *directory.Snapshot, a mail.Address, bounce bool) Reading {
	if isName(dir, a) {
		return Reading{}
	}
	refuse := p.rules.Load().Mode != ModeOff
	plain, end, err := p.o.Keys.Signed.Open(a, p.o.Now())
	until := end.Format(time.DateOnly)
	switch {
	case err == nil:
		return Reading{Address: plain, Note: a.String() + ", signed until " + until}
	case errors.Is(err, prvs.ErrStale) && (!bounce || !refuse):
		return Reading{Address: plain, Note: a.String() + ", signed until " + until + ", which is over"}
	case !refuse:
		return Reading{}
	case errors.Is(err, prvs.ErrStale):
		return refused(gate.DestinationMarkForged, "the signature of "+plain.String()+" ended on "+until)
	}
	return refused(gate.DestinationMarkForged, "the signature was not made here")
}
