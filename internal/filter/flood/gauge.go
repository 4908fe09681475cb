package flood

import (
	"sync"
	"time"

	"sallyport/internal/kit/lru"
	"sallyport/internal/mail"
	"sallyport/internal/screen"
)

// Rule is why a bounce is held. What is held for it begins with it in the queue.
const Rule = "bounce-flood"

// Limits says when bounces are a flood, and bounds what is done about it.
type Limits struct {
	First     int           // bounces that one mailbox gets within any hour, half of them at once
	Mailboxes int           // mailboxes whose bounces are counted; those that were flooded last
	Quiet     time.Duration // after the last bounce until the digest is written
	Every     time.Duration // between two digests to one mailbox
	Look      time.Duration // how often it is looked whether a digest is due
	Counted   int           // bounces that one digest reads; more are counted alone
	Octets    int64         // of each that are read
	Rows      int           // of each table of a digest
}

// DefaultLimits returns the bounds.
func DefaultLimits() Limits {
	return Limits{
		First: 40, Mailboxes: 4096, Quiet: 10 * time.Minute, Every: time.Hour, Look: time.Minute,
		Counted: 5000, Octets: 64 << 10, Rows: 20,
	}
}

// Gauge decides which bounces a mailbox gets. What it counted is forgotten by a restart: then each
// mailbox gets the first ones of an hour again. It is safe for concurrent use.
type Gauge struct {
	first int
	now   func() time.Time
	wake  chan struct{} // holds one: something was held

	mu    sync.Mutex
	boxes *lru.Cache[string, screen.Bucket]
}

// NewGauge returns one that has counted nothing.
func NewGauge(l Limits, now func() time.Time) *Gauge {
	return &Gauge{
		first: l.First, now: now, wake: make(chan struct{}, 1),
		boxes: lru.New[string, screen.Bucket](lru.Bounds{Entries: l.Mailboxes}, nil),
	}
}

// Passes counts one more bounce for everybody whom it is to; false: it is to be held, since
// one of them had as many as are readable.
func (g *Gauge) Passes(to []mail.Recipient) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, rate := g.now(), screen.AtMost(g.first, time.Hour)
	passes := true
	for _, r := range to {
		b, _ := g.boxes.Get(r.Address.Key())
		b, ok := b.Take(rate, now)
		g.boxes.Put(r.Address.Key(), b)
		passes = passes && ok
	}
	if !passes {
		select {
		case g.wake <- struct{}{}:
		default:
		}
	}
	return passes
}
