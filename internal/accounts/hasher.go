package accounts

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"
)

// lane orders those who wait for a hash. Sign-ins from networks known to their
// account, and the operator's own changes, go first; so a flood from elsewhere,
// at existing accounts or not, cannot starve the owners.
type lane int

const (
	laneKnown lane = iota
	laneStranger
	lanes
)

// hasher bounds the hashing work: so many at once, so many waiting in each lane,
// and each of them for so long.
type hasher struct {
	mu      sync.Mutex
	queue   int
	wait    time.Duration
	free    int               // negative while more run than may since adjust
	waiting [lanes]*list.List // of chan struct{}, closed when the slot is given
	stats   HashStats
}

// HashStats says what hashing did so far.
type HashStats struct {
	Slots   int    // hashes that may run at once
	Running int    // that run now
	Peak    int    // most that ran at once
	Waiting int    // that wait now
	Started uint64 // slots given out
	Refused uint64 // turned away because the queue was full or the wait too long
}

func newHasher(l Limits) *hasher {
	h := &hasher{queue: l.HashQueue, wait: l.HashWait, free: l.HashAtOnce}
	h.stats.Slots = l.HashAtOnce
	for i := range h.waiting {
		h.waiting[i] = list.New()
	}
	return h
}

// adjust replaces the bounds. What runs or waits beyond them goes on.
func (h *hasher) adjust(l Limits) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue, h.wait = l.HashQueue, l.HashWait
	h.free += l.HashAtOnce - h.stats.Slots
	h.stats.Slots = l.HashAtOnce
	for h.free > 0 && h.next() {
		h.free--
	}
}

// acquire waits for a slot; nil means that release must follow. Errors are
// SignInErrors of ErrBusy or ErrCancelled.
func (h *hasher) acquire(ctx context.Context, l lane) error {
	turn, place, wait, err := h.enter(l)
	if err != nil || turn == nil {
		return err
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		err = cancelled(ctx)
	case <-t.C:
		err = fail(ErrBusy, RuleBusy, fmt.Sprintf("no hash became free in %v", wait))
	}
	h.leave(l, turn, place, err)
	return err
}

// enter takes a free slot (a nil turn) or a place in the lane's queue, and says how
// long to wait there.
func (h *hasher) enter(l lane) (turn chan struct{}, place *list.Element, wait time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.free > 0 {
		h.free--
		h.started()
		return nil, nil, 0, nil
	}
	q := h.waiting[l]
	if q.Len() >= h.queue {
		h.stats.Refused++
		return nil, nil, 0, fail(ErrBusy, RuleBusy, fmt.Sprintf("%d sign-ins wait for a hash already", q.Len()))
	}
	turn = make(chan struct{})
	return turn, q.PushBack(turn), h.wait, nil
}

// leave gives up a place, and the slot too if it was given in the same moment.
func (h *hasher) leave(l lane, turn chan struct{}, place *list.Element, why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-turn:
		h.pass()
	default:
		h.waiting[l].Remove(place)
	}
	if e, ok := why.(*SignInError); ok && e.Err == ErrBusy {
		h.stats.Refused++
	}
}

func (h *hasher) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pass()
}

// pass hands a slot to the first who waits, or back.
func (h *hasher) pass() {
	h.stats.Running--
	if h.free < 0 || !h.next() {
		h.free++
	}
}

// next gives a slot to the first who waits, if anybody does.
func (h *hasher) next() bool {
	for _, q := range h.waiting {
		if first := q.Front(); first != nil {
			q.Remove(first)
			h.started()
			close(first.Value.(chan struct{}))
			return true
		}
	}
	return false
}

func (h *hasher) started() {
	h.stats.Started++
	h.stats.Running++
	h.stats.Peak = max(h.stats.Peak, h.stats.Running)
}

func (h *hasher) snapshot() HashStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	for _, q := range h.waiting {
		s.Waiting += q.Len()
	}
	return s
}
