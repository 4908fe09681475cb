// Package workers runs functions concurrently, on goroutines that it keeps for a while. What asks
// the DNS, parses and verifies for each message needs deep stacks; on a goroutine of its own for
// each message they would be grown anew each time, which costs as much as the work.
package workers

import "time"

// Crew runs functions. Make it with New; the zero Crew runs each on a goroutine of
// its own and keeps none.
type Crew struct {
	next   chan func()
	linger time.Duration
	idle   chan struct{} // closed: nobody waits for work
}

// New returns a Crew that keeps a goroutine for linger after its last function.
func New(linger time.Duration) *Crew {
	return &Crew{next: make(chan func()), linger: linger, idle: make(chan struct{})}
}

// Close has no goroutine wait for work any more, now and later: what runs runs to its end, and
// Go and Do go on as those of the zero Crew. It is called once, of a Crew that New made.
func (c *Crew) Close() { close(c.idle) }

// Go runs f at once on another goroutine, and does not wait for it. How many run at
// the same time is for the caller to bound; not more goroutines than ran at the same
// time are ever kept.
func (c *Crew) Go(f func()) {
	select {
	case c.next <- f: // somebody waits for work
	default:
		go c.work(f)
	}
}

// Do runs f on another goroutine, as Go does, and waits until it has returned.
func (c *Crew) Do(f func()) {
	done := make(chan struct{})
	c.Go(func() {
		defer close(done)
		f()
	})
	<-done
}

// work runs f, then whatever comes before it has waited too long.
func (c *Crew) work(f func()) {
	wait := time.NewTimer(c.linger)
	defer wait.Stop()
	for {
		f()
		wait.Reset(c.linger)
		select {
		case f = <-c.next:
		case <-c.idle:
			return
		case <-wait.C:
			return
		}
	}
}
