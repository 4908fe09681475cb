package budget

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"sallyport/internal/kit/codec"
)

// A window is cut into slots, and a slot is forgotten when all of it lies outside: what
// came at its end would else be forgotten too soon. So one slot more is kept than the
// window has, and a limit holds for at most a slot longer than it says.
const (
	hourSlot  = 5 * time.Minute
	hourSlots = int(time.Hour/hourSlot) + 1
	daySlot   = time.Hour
	daySlots  = 24 + 1
)

// Count is what was counted of one account, by time. It is a value: Add and Merge
// return another. The zero Count has nothing.
type Count struct {
	// at is the latest time that was seen, in slots of an hour window since 1970: the
	// first slot of both rows is the one that it is in.
	at   int64
	hour [hourSlots]uint32 // latest first
	day  [daySlots]uint32
}

// slotsPerDay is how many slots of the hour window are one of the day window.
const slotsPerDay = int64(daySlot / hourSlot)

func slotOf(now time.Time) int64 {
	s := now.Unix()
	step := int64(hourSlot / time.Second)
	if s < 0 {
		return 0 // before 1970 no clock of ours was ever right
	}
	return s / step
}

// moved returns the count as it stands at a slot. Where the clock was set back, all that
// was counted keeps its age and is placed anew, as if it had come by the clock as it
// goes now: nothing is forgotten, and nothing waits for a time that may never come. It
// is even taken for a slot younger, since nobody knows how far its slot had come.
func (c Count) moved(to int64) Count {
	switch {
	case to < c.at:
		younger(c.hour[:])
		younger(c.day[:])
	default:
		older(c.hour[:], to-c.at)
		older(c.day[:], to/slotsPerDay-c.at/slotsPerDay)
	}
	c.at = to
	return c
}

// older moves a row of slots on.
func older(slots []uint32, by int64) {
	if by == 0 {
		return
	}
	by = min(by, int64(len(slots)))
	copy(slots[by:], slots)
	clear(slots[:by])
}

func younger(slots []uint32) {
	slots[0] = plus(slots[0], int(slots[1]))
	copy(slots[1:], slots[2:])
	slots[len(slots)-1] = 0
}

// At returns the count as it stands at now. Whoever keeps a count keeps this one, so that
// what was counted by a clock that was ahead grows older from now on.
func (c Count) At(now time.Time) Count { return c.moved(slotOf(now)) }

// Add returns the count with n more recipients, at now.
func (c Count) Add(now time.Time, n int) Count {
	c = c.moved(slotOf(now))
	if n > 0 {
		c.hour[0] = plus(c.hour[0], n)
		c.day[0] = plus(c.day[0], n)
	}
	return c
}

// plus adds, and stays at the most that a slot holds.
func plus(a uint32, n int) uint32 {
	return uint32(min(uint64(a)+uint64(n), math.MaxUint32))
}

// Used returns what counts at now.
func (c Count) Used(now time.Time) Use {
	c = c.moved(slotOf(now))
	return Use{Hour: sum(c.hour[:]), Day: sum(c.day[:])}
}

// Idle reports whether nothing of it counts any more at now.
func (c Count) Idle(now time.Time) bool { return c.Used(now) == Use{} }

func sum(row []uint32) int {
	n := 0
	for _, v := range row {
		n += int(v)
	}
	return n
}

// row is one of the two windows as again looks at it.
type row struct {
	slots []uint32
	size  int64 // of a slot, in slots of the hour window
}

func hourOf(c Count) row { return row{c.hour[:], 1} }
func dayOf(c Count) row  { return row{c.day[:], slotsPerDay} }

// again returns when no more than most is left in a row, if all that is under way now
// comes to count.
func again(now time.Time, c Count, underWay int, which func(Count) row, most int) time.Time {
	if most < 0 {
		return time.Time{}
	}
	c = c.Add(now, underWay)
	of := which(c)
	left := sum(of.slots)
	for i := len(of.slots) - 1; i >= 0; i-- {
		if left -= int(of.slots[i]); left <= most {
			// This slot is forgotten when another has taken its place.
			gone := c.at/of.size + int64(len(of.slots)-i)
			return time.Unix(gone*of.size*int64(hourSlot/time.Second), 0).UTC()
		}
	}
	return time.Time{}
}

// countVersion is the first octet of an encoded Count; no other is read.
const countVersion = 1

// ErrCount says that what was stored is no Count.
var ErrCount = errors.New("budget: not a count")

// Encode writes the count: a few dozen octets.
func (c Count) Encode() []byte {
	b := make([]byte, 0, 64)
	b = append(b, countVersion)
	b = binary.AppendUvarint(b, uint64(max(c.at, 0)))
	for _, v := range c.hour {
		b = binary.AppendUvarint(b, uint64(v))
	}
	for _, v := range c.day {
		b = binary.AppendUvarint(b, uint64(v))
	}
	return b
}

// Decode reads what Encode wrote, and nothing else.
func Decode(b []byte) (Count, error) {
	r := codec.NewReader(b)
	r.Require(r.Octet() == countVersion)
	c := Count{at: int64(r.Number(math.MaxInt64))}
	for i := range c.hour {
		c.hour[i] = uint32(r.Number(math.MaxUint32))
	}
	for i := range c.day {
		c.day[i] = uint32(r.Number(math.MaxUint32))
	}
	if !r.Done() {
		return Count{}, ErrCount
	}
	return c, nil
}
