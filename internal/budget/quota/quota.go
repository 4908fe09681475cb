// Package quota decides how much a mailbox, and all mailboxes of a domain together, may hold, and
// keeps count of what they do hold. It promises that
//
//   - who adds to a mailbox asks here, by whatever way the message comes, and what it then takes
//     counts from that moment on: while it comes, while it is on its way, and when it is there;
//   - what was accepted is never asked about again;
//   - a refusal rests on a look at the mailbox that is seconds old, so that who made room has it;
//   - while it is not known how full a mailbox is, nobody is refused for good;
//   - the owner is told once that a mailbox is nearly full, also over a restart, and again only
//     after it had been emptier;
//   - the zero Quota has room for nothing, and a Keeper without a Policy lets nothing through.
//
// In the store it has the keys that begin with "quota/".
package quota

import (
	"fmt"
	"math"
	"time"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/screen"
)

// Usage is what a mailbox holds, or what is added to it.
type Usage struct {
	Octets   int64 `json:"octets"`
	Messages int64 `json:"messages"`
}

func (u Usage) plus(v Usage) Usage { return Usage{u.Octets + v.Octets, u.Messages + v.Messages} }
func (u Usage) minus(v Usage) Usage {
	return Usage{max(u.Octets-v.Octets, 0), max(u.Messages-v.Messages, 0)}
}

// Unbounded is what a Quota says of what it does not bound.
const Unbounded = math.MaxInt64

// Quota is the most that a mailbox, or a domain, may hold.
type Quota struct {
	Octets   int64 `json:"octets"`
	Messages int64 `json:"messages"`
}

// None bounds nothing.
func None() Quota { return Quota{Unbounded, Unbounded} }

// Bounds reports whether it bounds anything.
func (q Quota) Bounds() bool { return q != None() }

// Or returns the quota with what other says where this one says nothing, which is 0.
func (q Quota) Or(other Quota) Quota {
	if q.Octets == 0 {
		q.Octets = other.Octets
	}
	if q.Messages == 0 {
		q.Messages = other.Messages
	}
	return q
}

// over reports whether u is more than q allows.
func (q Quota) over(u Usage) bool { return u.Octets > q.Octets || u.Messages > q.Messages }

// Share returns how many hundredths of it u is, of whatever is scarcer.
func (q Quota) Share(u Usage) int {
	return max(share(u.Octets, q.Octets), share(u.Messages, q.Messages))
}

// whole is all of a quota, in hundredths.
const whole = 100

func share(used, most int64) int {
	switch {
	case most == Unbounded:
		return 0
	case most <= 0:
		return whole
	}
	return int(min(float64(used)*whole/float64(most), math.MaxInt32))
}

// String says it for people: "2 GiB", "2 GiB and 10000 messages".
func (q Quota) String() string {
	switch {
	case !q.Bounds():
		return "any amount"
	case q.Messages == Unbounded:
		return Size(q.Octets)
	case q.Octets == Unbounded:
		return messages(q.Messages)
	}
	return Size(q.Octets) + " and " + messages(q.Messages)
}

func messages(n int64) string { return words.Count(int(n), "message") }

// mostTenths is from how many units on their tenths are not told.
const mostTenths = 100

// Size writes octets for people, rounded down to a tenth.
func Size(n int64) string {
	for _, s := range []struct {
		octets int64
		name   string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n < s.octets {
			continue
		}
		if tenths := n / (s.octets / 10) % 10; n/s.octets < mostTenths && tenths > 0 {
			return fmt.Sprintf("%d.%d %s", n/s.octets, tenths, s.name)
		}
		return fmt.Sprint(n/s.octets, " ", s.name)
	}
	return fmt.Sprint(n, " octets")
}

// Policy says how much may be held. The zero Policy lets nothing through.
type Policy struct {
	// Of returns the quota of an account's mailbox, and that of all mailboxes of its domain
	// together.
	Of func(account mail.Address) (mailbox, domain Quota)
	// Warn is at how many hundredths the owner is told; 0: never. Below Clear it counts as emptier,
	// so that the owner may be told again.
	Warn, Clear int
	// Grace is how far a message may pass a quota whose length was not known when it was let
	// in, all such messages together.
	Grace int64
}

// Limits bounds what is remembered, and says when mailboxes are looked at.
type Limits struct {
	Fresh    time.Duration // how old a look at a mailbox may be on which it is let in
	Again    time.Duration // how old one may be on which it is refused
	Wait     time.Duration // for a look at the mailbox; whoever asks is told to come again
	Looks    int           // at mailboxes at once
	Sweep    time.Duration // how often all mailboxes with a quota are looked at
	Pause    time.Duration // between two of them
	Lasting  time.Duration // from when on who writes to a full mailbox is refused for good
	Lines    int           // mailboxes that are remembered
	Tell     time.Duration // how often it is looked who must be told
	Reported int           // mailboxes that a report names
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		Fresh: time.Minute, Again: 10 * time.Second, Wait: 10 * time.Second, Looks: 4, Sweep: time.Hour, Pause: 10 * time.Millisecond,
		Lasting: 3 * 24 * time.Hour, Lines: 200_000, Tell: time.Minute, Reported: 100,
	}
}

// party is what is known of a mailbox or a domain when something more is to come.
type party struct {
	quota Quota
	used  Usage
	way   Usage // taken by who adds, and what was accepted and did not arrive yet
	lasts bool  // it is full for as long as somebody is refused for good
}

// holds says for the trace what is there.
func (p party) holds() string {
	s := fmt.Sprintf("it holds %s in %s and may hold %s", Size(p.used.Octets), messages(p.used.Messages), p.quota)
	if p.way != (Usage{}) {
		s += fmt.Sprintf("; on its way: %s in %s", Size(p.way.Octets), messages(p.way.Messages))
	}
	return s
}

// judge decides whether a party has room for more. grace is by how much its octets may be passed.
func (p party) judge(want Usage, grace int64, about string, rule inflow.Rule) inflow.Verdict {
	q := p.quota
	if q.Octets < Unbounded-grace {
		q.Octets += grace
	}
	if !q.over(p.used.plus(p.way).plus(want)) {
		return inflow.Verdict{OK: true}
	}
	v := inflow.Verdict{Rule: rule, About: about, Found: about + ": " + p.holds()}
	if q.over(want) {
		v.Wait = screen.Forever
	}
	v.Lasting = p.lasts
	return v
}

// aboutMailbox and aboutDomain say whose quota it is to who is refused.
const (
	aboutMailbox = "this mailbox"
	aboutDomain  = "all mailboxes of this domain together"
)
