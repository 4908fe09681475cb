package dnsx

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/screen"
)

// ErrExhausted is a question that was not asked because we ask too much already, or
// have nothing left to ask with. It says nothing about the name, nor about those who
// serve it: the fault is ours.
var ErrExhausted = errors.New("too many questions are under way here")

// Share is what the questions about one message of a stranger cost, and what was
// refused to them. It is safe for concurrent use.
type Share struct {
	network   netip.Prefix // of the client
	used      int          // under way; the room's lock keeps it
	waited    atomic.Int64 // for room, in nanoseconds
	exhausted atomic.Bool
	mute      atomic.Bool
}

// NewShare begins to count for one message of a client.
func NewShare(client netip.Addr) *Share {
	return &Share{network: screen.Network(client)}
}

// Exhausted reports whether something was not found out because we ran out of room or
// means, or have no name server that answers, so that nothing may be concluded from its
// being unknown.
func (s *Share) Exhausted() bool { return s.exhausted.Load() }

// Mute reports whether that was for want of a name server that answers.
func (s *Share) Mute() bool { return s.mute.Load() }

type shareKey struct{}

// Context returns a context whose questions to a Client count against the share.
func (s *Share) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, shareKey{}, s)
}

// shareOf returns the share that a question counts against; nil for one of our own.
func shareOf(ctx context.Context) *Share {
	s, _ := ctx.Value(shareKey{}).(*Share)
	return s
}

// room admits questions within the bounds: all, those of strangers, those of one
// network, and those of one message. Whoever must wait is admitted in the order of how much
// its network has under way, so that a flood from one waits behind everybody else.
type room struct {
	limits Limits

	mu        sync.Mutex
	busy      int
	strangers int
	networks  map[netip.Prefix]int // under way
	queued    map[netip.Prefix]int // waiting
	waiting   *list.List           // of *waiter, the first that came in front
}

type waiter struct {
	share *Share
	ready chan struct{} // closed when it is admitted
}

func newRoom(l Limits) *room {
	return &room{limits: l, networks: map[netip.Prefix]int{}, queued: map[netip.Prefix]int{}, waiting: list.New()}
}

// enter waits for room. Without an error, leave must follow.
func (r *room) enter(ctx context.Context, s *Share) error {
	w, e, err := r.queue(s)
	if w == nil {
		return err
	}
	began := time.Now()
	timer := time.NewTimer(r.limits.Wait)
	defer timer.Stop()
	select {
	case <-w.ready:
	case <-timer.C:
	case <-ctx.Done():
	}
	if s != nil {
		s.waited.Add(int64(time.Since(began)))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	default:
	}
	r.unqueue(e)
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrExhausted, context.Cause(ctx))
	}
	return ErrExhausted
}

// queue admits a question at once (all zero), or lets it wait, or refuses it.
func (r *room) queue(s *Share) (*waiter, *list.Element, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fits(s) {
		r.take(s)
		return nil, nil, nil
	}
	if r.waiting.Len() >= r.limits.Waiting || s != nil && r.queued[s.network] >= r.limits.NetworkWaiting {
		return nil, nil, ErrExhausted
	}
	w := &waiter{share: s, ready: make(chan struct{})}
	if s != nil {
		r.queued[s.network]++
	}
	return w, r.waiting.PushBack(w), nil
}

func (r *room) unqueue(e *list.Element) {
	w, _ := r.waiting.Remove(e).(*waiter)
	if w.share == nil {
		return
	}
	if r.queued[w.share.network]--; r.queued[w.share.network] == 0 {
		delete(r.queued, w.share.network)
	}
}

func (r *room) fits(s *Share) bool {
	if r.busy >= r.limits.Concurrent {
		return false
	}
	return s == nil || r.strangers < r.limits.Strangers && r.networks[s.network] < r.limits.Network && s.used < r.limits.Message
}

func (r *room) take(s *Share) {
	r.busy++
	if s != nil {
		r.strangers++
		r.networks[s.network]++
		s.used++
	}
}

// leave ends a question, and admits who waits.
func (r *room) leave(s *Share) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy--
	if s != nil {
		r.strangers--
		s.used--
		if r.networks[s.network]--; r.networks[s.network] == 0 {
			delete(r.networks, s.network)
		}
	}
	for r.admit() {
	}
}

// admit lets in the one who waits and whose network has the least under way; our own
// questions come first. false: nobody fits.
func (r *room) admit() bool {
	var best *list.Element
	least := 0
	for e := r.waiting.Front(); e != nil; e = e.Next() {
		w, _ := e.Value.(*waiter)
		if !r.fits(w.share) {
			continue
		}
		has := -1
		if w.share != nil {
			has = r.networks[w.share.network]
		}
		if best == nil || has < least {
			best, least = e, has
		}
	}
	if best == nil {
		return false
	}
	w, _ := best.Value.(*waiter)
	r.unqueue(best)
	r.take(w.share)
	close(w.ready)
	return true
}
