package returnpath

import (
	"strings"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath/prvs"
	"sallyport/internal/returnpath/srs"
)

// Mode says whether senders are signed. The zero Mode signs none.
type Mode uint8

const (
	ModeOff     Mode = iota // none is; what was signed is still read
	ModeTag                 // what leaves is, and bounces to an unsigned address are taken
	ModeRequire             // bounces to an unsigned address are refused once Grace is over
)

// Rules are how return paths are made and read. The zero Rules sign nothing, refuse no
// unsigned bounce, and take the return paths of forwards for one day.
type Rules struct {
	Mode Mode
	// Life is how long a signature lasts, from when the message was received.
	Life time.Duration
	// Since is since when senders are signed without a break; Paths.Build sets it.
	Since time.Time
	// Exempt are the keys of addresses that take bounces without a signature.
	Exempt map[string]bool
	// Detail parts a local-part from what may follow it; 0: nothing does.
	Detail byte
	// ForwardAge is how old the return path of a forward, or its loop mark, may be.
	ForwardAge time.Duration
}

// RefusesFrom returns from when on bounces to unsigned addresses are refused; the zero
// time: they are not. Until then one may answer mail that left without a signature.
func (r Rules) RefusesFrom() time.Time {
	if r.Mode != ModeRequire || r.Since.IsZero() {
		return time.Time{}
	}
	return r.Since.Add(prvs.Grace)
}

// Requires reports whether a bounce to the unsigned address a is refused by now, if a
// mailbox takes it.
func (r Rules) Requires(a mail.Address, now time.Time) bool {
	from := r.RefusesFrom()
	return !from.IsZero() && !now.Before(from) && prvs.Fits(a) && !srs.Is(a) && !r.exempts(a)
}

// exempts reports whether a, or a without its detail, is on the list.
func (r Rules) exempts(a mail.Address) bool {
	if r.Exempt[a.Key()] {
		return true
	}
	base, _, parted := strings.Cut(a.Local(), string(rune(r.Detail)))
	if r.Detail == 0 || !parted {
		return false
	}
	bare, err := a.WithLocal(base)
	return err == nil && r.Exempt[bare.Key()]
}

// Ours reports whether whatever is sent in the name of a domain's addresses leaves
// through this server, so that their bounces are ours: a domain of ours, but none with a
// server behind us that speaks SMTP and may send by itself.
func Ours(dir *directory.Snapshot, d mail.Domain) bool {
	known, ours := dir.Domain(d)
	return ours && known.Deliver != directory.DeliverSMTP
}

// answersForMail reports whether a recipient of this class is somebody whose mail leaves
// signed. The postmaster is always reached (RFC 5321 §4.5.1), nobody is refused as
// nobody, and what the directory cannot tell is not guessed.
func answersForMail(c directory.Class) bool {
	switch c.Destination {
	case gate.DestinationMailbox, gate.DestinationAccountsOnly, gate.DestinationMembersOnly, gate.DestinationNonMember:
		return true
	case gate.DestinationUnavailable:
		return len(c.Ask) > 0 // a server behind us knows
	}
	return false
}
