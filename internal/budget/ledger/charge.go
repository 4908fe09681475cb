package ledger

import (
	"context"
	"fmt"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/store"
)

// Charge is what one message takes of a line. It begins with Take and ends with Done or
// Release, or Keep and Release; it belongs to one goroutine.
type Charge struct {
	ledger *Ledger
	name   Line
	taken  int
	place  int // of the key on its way to the disk; -1: none is
}

// Charge begins one. Nothing is taken yet.
func (l *Ledger) Charge(name Line) *Charge { return &Charge{ledger: l, name: name, place: -1} }

// Take asks for n more recipients. They are the message's when the verdict says OK. alarm
// says that nobody was told for long that this line is refused.
func (c *Charge) Take(n int, most budget.Limits) (v budget.Verdict, alarm bool) {
	ln := c.ledger.lock(c.name, true)
	defer ln.mu.Unlock()
	now, passed := c.ledger.o.Now(), c.ledger.o.Passed() // under the lock: time never seems to go back
	ln.count = ln.count.At(passed)
	if v = budget.Decide(ln.count, ln.underWay, n, passed, most); v.OK {
		c.taken += n
		ln.underWay += n
		return v, false
	}
	if !v.Again.IsZero() {
		v.Again = now.Add(v.Again.Sub(passed)).Round(0) // as the clock will show it
	}
	since := now.Sub(ln.alarmed)
	if alarm = ln.alarmed.IsZero() || since >= alarmEvery || since < 0; alarm {
		ln.alarmed = now
	}
	ln.refused = now
	return v, alarm
}

// Give gives back n of what was taken, before the message is made durable.
func (c *Charge) Give(n int) {
	n = min(max(n, 0), c.taken)
	ln := c.ledger.lock(c.name, true)
	defer ln.mu.Unlock()
	ln.underWay -= n
	c.taken -= n
}

// Taken is how many recipients the message has.
func (c *Charge) Taken() int { return c.taken }

// Mutation is what must be written in the act that makes the message durable: the count
// of the line, with all that is under way. Done or Release must follow. The zero
// Mutation, and false: nothing was taken.
func (c *Charge) Mutation() (store.Mutation, bool) {
	if c.taken == 0 {
		return store.Mutation{}, false
	}
	ln := c.ledger.lock(c.name, true)
	defer ln.mu.Unlock()
	ln.vacate(c.place) // of an act that came to nothing
	c.place = ln.free()
	ln.written = max(ln.written, c.place+1)
	ln.number++
	return store.Mutation{Key: c.name.place(c.place), Value: encode(ln.number, ln.count.Add(c.ledger.o.Passed(), ln.underWay))}, true
}

// free takes a key that no other act is about to write: two acts may reach the disk in
// another order than they were made.
func (ln *line) free() int {
	for i, taken := range ln.places {
		if !taken {
			ln.places[i] = true
			return i
		}
	}
	ln.places = append(ln.places, true)
	return len(ln.places) - 1
}

// vacate gives a key back.
func (ln *line) vacate(place int) {
	if place < 0 {
		return
	}
	ln.places[place] = false
	for n := len(ln.places); n > 0 && !ln.places[n-1]; n-- {
		ln.places = ln.places[:n-1]
	}
}

// Done ends a charge whose message is durable: what it took counts.
func (c *Charge) Done() {
	if c.taken == 0 {
		return
	}
	ln := c.ledger.lock(c.name, true)
	defer ln.mu.Unlock()
	ln.underWay -= c.taken
	ln.count = ln.count.Add(c.ledger.o.Passed(), c.taken)
	ln.vacate(c.place)
	c.taken, c.place = 0, -1
}

// Release ends a charge whose message was not let through: what it took is free. After
// Done it does nothing.
func (c *Charge) Release() {
	if c.taken == 0 {
		return
	}
	ln := c.ledger.lock(c.name, true)
	defer ln.mu.Unlock()
	ln.underWay -= c.taken
	ln.vacate(c.place)
	c.taken, c.place = 0, -1
}

// Keep writes the count by itself, for a message that enters no queue or has entered it
// long ago. Done or Release must follow.
func (c *Charge) Keep(ctx context.Context, d store.Durability) error {
	m, ok := c.Mutation()
	if !ok {
		return nil
	}
	defer c.written()
	if _, err := c.ledger.st.Apply(ctx, store.Tx{Mutations: []store.Mutation{m}}, d); err != nil {
		return fmt.Errorf("ledger: keeping a count: %w", err)
	}
	return nil
}

// written gives back the key of an act that has ended.
func (c *Charge) written() {
	ln := c.ledger.lock(c.name, true)
	defer ln.mu.Unlock()
	ln.vacate(c.place)
	c.place = -1
}

// Wait is how long to wait for a verdict's Again, within bounds.
func Wait(v budget.Verdict, now time.Time, least, most time.Duration) time.Duration {
	if v.Again.IsZero() {
		return most
	}
	return min(max(v.Again.Sub(now), least), most)
}
