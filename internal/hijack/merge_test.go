package hijack

import (
	"testing"
	"time"
)

// Each field of a merged state is the stricter one of the two, whichever is the elder.
func TestMergeTakesTheStricterOfEach(t *testing.T) {
	elder := State{high: 10, age: 9 * time.Hour, begin: 2, spent: 3, claimed: 7}
	other := State{high: 20, age: 8 * time.Hour, begin: 5, spent: 1, claimed: 7}
	elder.shares[0] = detector{n: 5, s: 1, of: 2, odd: 1, evidence: [bets]float64{4, 1}}
	other.shares[0] = detector{n: 3, s: 2, of: 9, odd: 8, evidence: [bets]float64{3, 6}}
	elder.paces[1] = pace{n: 2, hours: 40, odd: 1, evidence: 8}
	other.paces[1] = pace{n: 1, hours: 30, odd: 3, evidence: 9}
	for _, m := range []State{Merge(elder, other), Merge(other, elder)} {
		want := State{high: 20, age: 9 * time.Hour, begin: 5, spent: 3, claimed: 7}
		want.shares[0] = detector{n: 5, s: 1, of: 9, odd: 8, evidence: [bets]float64{4, 6}}
		want.paces[1] = pace{n: 1, hours: 40, odd: 3, evidence: 9}
		if m != want {
			t.Errorf("%+v, want %+v", m, want)
		}
	}
	other.claimed = 8
	if m := Merge(elder, other); m.claimed != 0 {
		t.Error("what only one saw claimed says nothing when it comes again")
	}
	other.begin, other.spent = 1, 9
	if m := Merge(elder, other); m.begin != 2 || m.spent != 9 {
		t.Errorf("begin %g, spent %g", m.begin, m.spent)
	}
	for _, m := range []State{Merge(elder, State{}), Merge(State{}, elder)} {
		if m != elder {
			t.Errorf("merged with nothing: %+v", m)
		}
	}
}

// The slots of two accounts of different ages begin at other moments: what left, and what
// is unusual, is kept for as long as either keeps it, and what was looked at is learnt as
// soon as by either.
func TestMergeOfSlotsThatBeginElsewhere(t *testing.T) {
	at := func(s *State, ago int, left uint32, n, odd, rate float32) {
		s.left[ring(s.slot()-int64(ago), weekSlots)] = left
		y := &s.fresh[ring(s.slot()-int64(ago), daySlots)]
		y.n[0], y.s[0], y.rate[0] = n, odd, rate
	}
	for name, c := range map[string]struct {
		age  time.Duration // of the other; the elder's slot began two hours ago
		late int           // in which of the elder's slots what the other saw two slots ago lies, by its end
		soon int           // and by its begin
	}{
		"at the same moment": {slotTime + 2*time.Hour, 2, 2},
		"later":              {slotTime + time.Hour, 1, 2},
		"earlier":            {slotTime + 3*time.Hour, 2, 3},
	} {
		elder := State{high: 5, age: 10*slotTime + 2*time.Hour}
		other := State{high: 5, age: c.age}
		for i := range daySlots {
			at(&elder, i, 2, 1, 4, 4)
		}
		at(&other, 2, 9, 6, 3, 2)
		m := Merge(other, elder)
		for i := range daySlots {
			left, n, odd, rate := uint32(2), float32(1), float32(0), float32(0)
			if i == c.late {
				left, odd, rate = 9, 3, 2
			}
			if i == c.soon {
				n = 6
			}
			y := m.fresh[ring(m.slot()-int64(i), daySlots)]
			if got := m.left[ring(m.slot()-int64(i), weekSlots)]; got != left || y.n[0] != n || y.s[0] != odd || y.rate[0] != rate {
				t.Errorf("%s: %d slots ago %d left, %g looked at, %g odd, %g counted; want %d, %g, %g, %g", name, i, got, y.n[0], y.s[0], y.rate[0], left, n, odd, rate)
			}
		}
	}
}

func TestSeen(t *testing.T) {
	if !(State{}).Seen().IsZero() {
		t.Error("nothing happened, and it was seen")
	}
	s, _ := Advance(State{}, ForwardChanged{At: noon}, old(DefaultParams()), DefaultParams())
	if got := s.Seen(); !got.Equal(noon) {
		t.Errorf("%s", got)
	}
}
