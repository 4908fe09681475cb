package pool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"sallyport/internal/smtp/client"
)

// quitTime bounds the farewell of a connection that is not needed any more.
const quitTime = 5 * time.Second

// connection is a connection and how many messages it was used for.
type connection struct {
	*client.Client
	used   int
	expire *time.Timer // while it is kept; nil otherwise
}

// connections admits as many deliveries at once as the next hop bears, and keeps the
// connections that none of them uses.
type connections struct {
	limits Limits

	mu      sync.Mutex
	width   int             // how many may be admitted, from 1 to Limits.Connections
	active  int             // how many are
	waiting []chan struct{} // those who stand in line, first come first served
	idle    []*connection   // the one used last at the end
	until   time.Time       // when the next hop may be tried again
	woken   time.Time       // what began before and failed is no reason to rest
	why     Failure         // why not before
	closed  bool
}

func newConnections(l Limits) *connections {
	return &connections{limits: l, width: min(l.Start, l.Connections)}
}

// enter waits until there is room for one more delivery. Whoever enters leaves.
func (p *connections) enter(ctx context.Context) error {
	p.mu.Lock()
	if p.active < p.width && len(p.waiting) == 0 {
		p.active++
		p.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	i := slices.Index(p.waiting, turn)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 {
		p.leave() // it was admitted at the same moment
	}
	return ctx.Err()
}

func (p *connections) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	p.admit()
}

// admit lets in those for whom there is room.
func (p *connections) admit() {
	for p.active < p.width && len(p.waiting) > 0 {
		p.active++
		close(p.waiting[0])
		p.waiting = p.waiting[1:]
	}
}

// take returns a kept connection that is still good, or nil.
func (p *connections) take() *connection {
	for {
		c := p.pop()
		if c == nil || c.Usable() {
			return c
		}
		_ = c.Close() // it ended by itself
	}
}

func (p *connections) pop() *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	c := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	c.expire.Stop()
	return c
}

// keep puts a connection back, or ends it when it has served. The number kept
// cannot exceed the number used at once.
func (p *connections) keep(c *connection) {
	if !c.Usable() {
		_ = c.Close() // it is over already
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.used >= p.limits.Messages || len(p.idle) >= p.limits.Connections {
		go quit(c)
		return
	}
	c.expire = time.AfterFunc(p.limits.Idle, func() { p.retire(c) })
	p.idle = append(p.idle, c)
}

// retire ends a connection that nobody used for long.
func (p *connections) retire(c *connection) {
	p.mu.Lock()
	i := slices.Index(p.idle, c)
	if i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		quit(c)
	}
}

// giveWay ends kept connections until one that is opened beside those of a delivery leaves their number within
// room: whoever delivers may have kept the one that it began with.
func (p *connections) giveWay(room int) {
	for {
		p.mu.Lock()
		if len(p.idle) == 0 || p.active+len(p.idle) <= room {
			p.mu.Unlock()
			return
		}
		c := p.idle[0]
		p.idle = p.idle[1:]
		c.expire.Stop()
		p.mu.Unlock()
		quit(c)
	}
}

// quit says goodbye, which nothing depends on.
func quit(c *connection) {
	ctx, cancel := context.WithTimeout(context.Background(), quitTime)
	defer cancel()
	_ = c.Quit(ctx)
}

// drop ends what is kept without a farewell, for when room is needed now.
func (p *connections) drop() int {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		c.expire.Stop()
		_ = c.Close() // nothing was under way
	}
	return len(idle)
}

func (p *connections) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.expire.Stop()
		go quit(c)
	}
}

// learn adapts how many deliveries run at once: one more for each that the next
// hop bore and for which there is room, half when it asks for relief with 421.
func (p *connections) learn(err error, room int) {
	var refused *client.ReplyError
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.width = min(p.width+1, room)
		p.admit()
	case errors.As(err, &refused) && refused.Reply.Code == 421:
		p.width = max(p.width/2, 1)
	}
}

// failed notes that no connection could be made, and that it took so long to find out. For as long
// again, up to Limits.Rest, nobody else shall wait for the same, unless wake came meanwhile.
func (p *connections) failed(why Failure, now time.Time, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.width = max(p.width/2, 1)
	if p.why = why; !now.Add(-took).Before(p.woken) {
		p.until = now.Add(min(took, p.limits.Rest))
	}
}

// wake ends the rest of a next hop; what is being tried now and fails begins none.
func (p *connections) wake(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until, p.woken = time.Time{}, now
}

// resting reports why the next hop is left alone at the moment.
func (p *connections) resting(now time.Time) (Failure, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why, now.Before(p.until)
}
