package pool

import (
	"slices"
	"sync"
	"time"

	"sallyport/internal/smtp/client"
)

const (
	// forgoFor is how long a next hop is spared what it offered and did not do. Then it is asked for it again: it
	// may have been mended.
	forgoFor = 24 * time.Hour
	// stepwise is the number of the attempt from which on a message is sent command by command, whatever is
	// offered: commands that come together, or chunks, may be what a next hop falls silent over.
	stepwise = 3
)

// forgone is what a next hop offers and does not do, so that it is done without. The zero value is nothing.
type forgone struct {
	mu    sync.Mutex
	all   []string
	until time.Time
}

// now returns what is to be done without.
func (f *forgone) now(at time.Time) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !at.Before(f.until) {
		f.all = nil
	}
	return slices.Clone(f.all)
}

// add notes what was found not to be kept, and returns what of it is new.
func (f *forgone) add(extensions []string, at time.Time) (found []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range extensions {
		if !slices.Contains(f.all, e) {
			found, f.all = append(found, e), append(f.all, e)
			f.until = at.Add(forgoFor)
		}
	}
	return found
}

// learnOffers notes what a connection showed not to be kept.
func (p *Pool) learnOffers(c *client.Client) {
	if found := p.forgone.add(c.Unkept(), p.o.Now()); len(found) > 0 {
		p.o.Logger.Warn("the next hop does not do what it offers, and is spared it", "remote", c.Remote(), "extensions", found)
	}
}

// without returns the extensions that an attempt does without.
func (p *Pool) without(attempt int) []string {
	out := p.forgone.now(p.o.Now())
	if attempt >= stepwise {
		out = append(out, client.Together()...)
	}
	return out
}
