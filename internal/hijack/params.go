package hijack

import (
	"errors"
	"fmt"
	"time"
)

// Usual says how a share is held against what is usual.
type Usual struct {
	Mean     float64 // share that is normal before an account has shown anything
	Fresh    float64 // the same at a site without any history
	Strength float64 // how many observations that belief is worth
	Margin   float64 // times which what is normal may be exceeded
	Floor    float64 // added to it
	Cap      float64 // beyond which nothing is normal, whatever the baseline says
	Sure     float64 // weight of the bet that nearly all is unusual when a thief sends
	Mixed    float64 // weight of the bet that Mix of it is
	Mix      float64 // that share
}

// Rate says how a rate is held against what is usual.
type Rate struct {
	Mean   float64 // messages an hour that are normal before an account has shown anything
	Hours  float64 // how many hours that belief is worth
	Margin float64 // times which what is normal may be exceeded
	Floor  float64 // the least that is ever normal: who seldom does it still may do it twice
	Cap    float64 // the most that is ever normal, but for twice the site's
	Times  float64 // the bet: so many times as often as is normal when a thief sends
	Weight float64 // its weight
	// Patient is a second bet, on a thief who takes his time: so many times as often as is normal, for days; and Slowly its weight.
	// 0: there is none. It goes by days, in which who answers strangers has many: Often is the most that is ever normal for it.
	Patient, Slowly, Often float64
}

// Bounds are the most recipients new to an account that may leave.
type Bounds struct {
	Burst int // at once
	Hour  int // that come back within an hour
	Day   int // within any day
	Week  int // within any seven days
}

// Params are how evidence is weighed. The zero Params contain everybody at once and let
// nobody new be written to.
type Params struct {
	// Odds is the weighted sum of evidence at which an account is contained: an honest
	// one is, on average, at most once in so many observations, each counted with its weight.
	Odds float64
	// SiteNovelty weighs recipients that nobody at the site ever wrote to.
	SiteNovelty Usual
	// Strangers weighs recipients who have no correspondent in common with the account.
	Strangers Usual
	// Refusals weighs recipients that were refused, by us or by others.
	Refusals Usual
	// Binding weighs claims of senders that are not the account's.
	Binding Usual
	// SitePace weighs how fast messages to recipients new to the site follow each other.
	SitePace Rate
	// AccountPace weighs how fast messages to recipients new to the account do.
	AccountPace Rate
	// NetworkPace weighs how fast sign-ins from new networks follow each other.
	NetworkPace Rate
	// PlacePace weighs how fast sign-ins from new places far apart follow each other.
	PlacePace Rate
	// Suspect is how many times as likely as at any other moment a theft began when
	// somebody signed in from a new network or with a new program, claimed a foreign
	// sender, or changed a forward. Several of these multiply, up to its square.
	Suspect float64
	// Memory is how many observations a baseline remembers: beyond, older ones fade.
	Memory float64
	// Acquainted is how many correspondents of a day or longer an account needs for
	// having none in common with a recipient to mean anything.
	Acquainted int
	// Bounds are the most recipients new to the account that may leave.
	Bounds Bounds
	// Hold is how long a message waits for a recipient that nobody at the site ever wrote
	// to. A blast is contained within it.
	Hold time.Duration
}

// DefaultParams returns what a person's account is judged by. docs/hijack.md gives the
// reason of every figure.
func DefaultParams() Params {
	return Params{
		Odds:        1e4,
		SiteNovelty: Usual{Mean: 0.03, Fresh: 0.4, Strength: 20, Margin: 1.25, Floor: 0.005, Cap: 0.5, Mix: 0.5, Sure: 0.15, Mixed: 0.1},
		Strangers:   Usual{Mean: 0.02, Fresh: 0.5, Strength: 20, Margin: 1.25, Floor: 0.005, Cap: 0.5, Mix: 0.5, Sure: 0.3, Mixed: 0.3},
		Refusals:    Usual{Mean: 0.01, Fresh: 0.01, Strength: 20, Margin: 1.25, Floor: 0.005, Cap: 0.3, Mix: 0.5, Sure: 0.005, Mixed: 0.02},
		Binding:     Usual{Mean: 0.01, Fresh: 0.01, Strength: 50, Margin: 1.25, Floor: 0.01, Cap: 0.2, Mix: 0.5, Sure: 0.0005},
		SitePace:    Rate{Mean: 0.1, Hours: 48, Margin: 1.25, Floor: 0.1, Cap: 0.5, Times: 1000, Weight: 0.03, Patient: 4, Slowly: 0.01, Often: 1},
		AccountPace: Rate{Mean: 5, Hours: 48, Margin: 1.25, Floor: 5, Cap: 10, Times: 30, Weight: 5e-5},
		NetworkPace: Rate{Mean: 2, Hours: 48, Margin: 1.25, Floor: 2, Cap: 4, Times: 30, Weight: 1e-4},
		PlacePace:   Rate{Mean: 0.1, Hours: 48, Margin: 1.25, Floor: 0.25, Cap: 0.25, Times: 100, Weight: 0.008},
		Suspect:     5,
		Memory:      400,
		Acquainted:  5,
		Bounds:      Bounds{Burst: 30, Hour: 10, Day: 100, Week: 300},
		Hold:        20 * time.Second,
	}
}

// Bulk returns what an account is judged by that declared to send so much: whom it writes to is no
// evidence and nobody waits for the hold window, its bounds are what it declared, and every other
// signal counts. Refused recipients count for more than with others, and the bet is that a fifth is
// refused: it has to find a list that was bought by them alone. What it may send in all, to
// whomever, is for its budget.
func (p Params) Bulk(hour, day int) Params {
	for _, u := range []*Usual{&p.SiteNovelty, &p.Strangers} {
		u.Sure, u.Mixed = 0, 0
	}
	p.SitePace.Weight, p.SitePace.Slowly, p.AccountPace.Weight = 0, 0, 0
	p.Refusals.Mix, p.Refusals.Mixed = 0.2, 0.1
	p.Hold = 0
	p.Bounds = Bounds{Burst: hour, Hour: hour, Day: day, Week: 7 * day}
	return p
}

// ErrParams says that figures make no sense.
var ErrParams = errors.New("hijack: bad parameters")

// Within which figures evidence means what it says.
const (
	leastOdds   = 100                 // below which an honest account would be contained within weeks
	mostOdds    = mostEvidence / 1000 // beyond which evidence is rounded away before it adds up
	mostSuspect = 100                 // how many times as likely a theft may be at one moment
	mostHold    = time.Hour           // for which a message may be kept; longer, and its sender asks where it is
)

// Validate refuses what would contain nobody, everybody, or by chance.
func (p Params) Validate() error {
	sum := 0.0
	for k := SiteNovelty; k <= Binding; k++ {
		u := p.usual(k)
		sum += u.Sure + u.Mixed
		if !(u.Mean > 0 && u.Mean < 1 && u.Fresh > 0 && u.Fresh < 1 && u.Strength > 0 && u.Margin >= 1 && u.Floor > 0 && u.Cap > 0 && u.Cap < 1 && u.Mix > 0 && u.Mix < 1 && u.Sure >= 0 && u.Mixed >= 0) {
			return fmt.Errorf("%w: %s: shares lie between 0 and 1, strength is above 0, margin at least 1, weights not below 0",
				ErrParams, k)
		}
	}
	for k := SitePace; k <= PlacePace; k++ {
		r := p.rate(k)
		sum += r.Weight + r.Slowly
		if !(r.Mean > 0 && r.Hours > 0 && r.Margin >= 1 && r.Floor > 0 && r.Cap >= r.Floor && r.Times > 1 && r.Weight >= 0) ||
			!(r.Slowly == 0 || r.Slowly > 0 && r.Patient > 1 && r.Often >= r.Cap && k == SitePace) {
			return fmt.Errorf("%w: %s: rates and hours are above 0, margin at least 1, times above 1, weight not below 0; the pace of recipients new to the site alone has a patient bet", ErrParams, k)
		}
	}
	b := p.Bounds
	switch {
	case !(sum > 0):
		return fmt.Errorf("%w: no signal has a weight", ErrParams)
	case !(p.Odds >= leastOdds && p.Odds <= mostOdds):
		return fmt.Errorf("%w: odds lie between a hundred and a thousand million", ErrParams)
	case b.Burst < 1 || b.Hour < 1 || b.Day < 1 || b.Week < 1 || max(b.Burst, b.Hour, b.Day, b.Week) > mostCounted<<4:
		return fmt.Errorf("%w: bounds are at least 1 and at most %d", ErrParams, mostCounted<<4)
	case p.Hold < 0 || p.Hold > mostHold:
		return fmt.Errorf("%w: nobody waits less than no time, or longer than an hour", ErrParams)
	case !(p.Suspect >= 1 && p.Suspect <= mostSuspect && p.Memory >= 1) || p.Acquainted < 1:
		return fmt.Errorf("%w: suspect lies between 1 and 100, memory and acquainted are at least 1", ErrParams)
	}
	return nil
}

// usual returns the figures of a share.
func (p *Params) usual(k Signal) *Usual {
	switch k {
	case SiteNovelty:
		return &p.SiteNovelty
	case Strangers:
		return &p.Strangers
	case Refusals:
		return &p.Refusals
	}
	return &p.Binding
}

// rate returns the figures of a pace.
func (p *Params) rate(k Signal) *Rate {
	switch k {
	case SitePace:
		return &p.SitePace
	case AccountPace:
		return &p.AccountPace
	case NetworkPace:
		return &p.NetworkPace
	}
	return &p.PlacePace
}
