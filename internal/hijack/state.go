package hijack

import (
	"math"
	"time"
)

// Time is cut into slots. What is in those of the last day is not part of the baseline
// yet; what left in those of the last day and week counts for the bounds. One slot more
// is kept than fits into the time, since the oldest is only partly within it.
const (
	slotTime  = 4 * time.Hour
	daySlots  = int(24*time.Hour/slotTime) + 1
	weekSlots = int(7*24*time.Hour/slotTime) + 1
)

// back is how far a clock may be set back before it is believed anew. Until then time
// stands still, so that nothing is given back twice.
const back = 25 * time.Hour

// State is what is known of one account: about 900 octets, without anything behind a
// pointer. The zero State is an account of which nothing is known yet. A State belongs
// to the account's id, never to a name as somebody typed it.
type State struct {
	high int64         // the latest time seen, by the clock, in nanoseconds since 1970; 0: none
	age  time.Duration // that passed, by which everything here is counted

	shares [shares]detector
	paces  [paces]pace
	slow   patience // of SitePace
	begin  float64  // how likely a theft began since the last message, as times of any other moment; below 1: as any
	// claimed is the last sender that was falsely claimed; 0: none.
	claimed Fingerprint

	fresh [daySlots]young
	spent float64           // of the bucket
	left  [weekSlots]uint32 // recipients new to the account that left
}

// young is what was seen within one slot and is not part of the baseline yet.
type young struct {
	n, s [shares]float32
	rate [paces]float32
}

// slot is the number of the slot that is now.
func (s *State) slot() int64 { return int64(s.age / slotTime) }

// today is the slot for what is not learnt yet.
func (s *State) today() *young { return &s.fresh[s.slot()%int64(daySlots)] }

// to lets time pass until at.
func (s *State) to(at time.Time, priors *Priors, p *Params) {
	now := at.UnixNano()
	if s.high == 0 {
		s.high = now
		return
	}
	passed := time.Duration(now - s.high)
	if passed <= 0 {
		if passed < -back {
			s.high = now
		}
		return
	}
	s.high = now
	s.pass(passed, priors, p)
}

// pass lets time pass.
func (s *State) pass(passed time.Duration, priors *Priors, p *Params) {
	s.spent = math.Max(0, s.spent-passed.Hours()*float64(p.Bounds.Hour))
	for i := range s.paces {
		r := p.rate(SitePace + Signal(i))
		if r.Slowly > 0 {
			s.slow.pass(passed.Hours(), s.paces[i].often(priors.Rate[i], r), r)
		}
		s.paces[i].pass(passed.Hours(), s.paces[i].normal(priors.Rate[i], r), r)
	}
	was := s.slot()
	s.age += passed
	for n := was + 1; n <= min(s.slot(), was+int64(daySlots)); n++ {
		s.learn(int(n%int64(daySlots)), p)
	}
	for n := was + 1; n <= min(s.slot(), was+int64(weekSlots)); n++ {
		s.left[n%int64(weekSlots)] = 0
	}
}

// learn moves what was seen a day ago into the baseline.
func (s *State) learn(i int, p *Params) {
	y := &s.fresh[i]
	memory := float32(p.Memory)
	for k := range s.shares {
		d := &s.shares[k]
		d.n += y.n[k]
		d.s += y.s[k]
		if d.n > memory {
			d.s *= memory / d.n
			d.n = memory
		}
	}
	for k := range s.paces {
		s.paces[k].n += y.rate[k]
		s.paces[k].hours = float32(s.age.Hours())
	}
	*y = young{}
}

// room is how many recipients new to the account may leave now.
func (s *State) room(b Bounds) int {
	var day, week int
	for _, n := range s.left {
		week += int(n)
	}
	for i := 0; i < daySlots && week > 0; i++ {
		day += int(s.left[ring(s.slot()-int64(i), weekSlots)])
	}
	return max(0, min(b.Burst-int(math.Ceil(s.spent)), b.Day-day, b.Week-week))
}

// leave takes n recipients off the bounds.
func (s *State) leave(n int) {
	s.spent += float64(n)
	s.left[s.slot()%int64(weekSlots)] += uint32(n)
}

// odds is the weighted sum of all evidence.
func (s *State) odds(p *Params) (sum float64) {
	for i := range s.shares {
		sum += s.shares[i].odds(p.usual(SiteNovelty + Signal(i)))
	}
	for i := range s.paces {
		sum += s.paces[i].evidence * p.rate(SitePace+Signal(i)).Weight
	}
	return sum + s.slow.evidence*p.SitePace.Slowly
}

// Cleared ends the evidence, because a person said that nothing is wrong or the account
// has a new credential. What was seen of late becomes part of the baseline at once; what
// left still counts for the bounds.
func (s State) Cleared(p Params) State {
	for i := range s.shares {
		s.shares[i].forget()
	}
	for i := range s.paces {
		s.paces[i].evidence, s.paces[i].odd = 0, 0
	}
	s.begin, s.claimed, s.slow = 0, 0, patience{}
	for i := range s.fresh {
		s.learn(i, &p)
	}
	return s
}

// Stopped is the state of an account that was contained: what was signed in with from many places is revoked, so that whence the
// rest comes is judged anew. What else speaks against it stands until the incident ends.
func (s State) Stopped() State {
	for _, k := range []Signal{PlacePace, NetworkPace} {
		s.paces[k-SitePace].evidence, s.paces[k-SitePace].odd = 0, 0
	}
	return s
}

// Stolen is Cleared for an account that somebody else used: what was seen of it within the last day teaches
// nothing, since nobody knows what of that was the owner's.
func (s State) Stolen(p Params) State {
	s.fresh = [daySlots]young{}
	return s.Cleared(p)
}

// Seen tells until when the state knows what happened; zero: nothing happened yet.
func (s State) Seen() time.Time {
	if s.high == 0 {
		return time.Time{}
	}
	return time.Unix(0, s.high).UTC()
}
