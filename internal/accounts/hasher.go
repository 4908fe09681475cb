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
// each of them for so long, and strangers' wrong passwords a part of the time.
type hasher struct {
	mu      sync.Mutex
	queue   int
	wait    time.Duration
	free    int               // negative while more run than may since adjust
	waiting [lanes]*list.List // of chan struct{}, closed when the slot is given
	stats   HashStats
	pace    pace        // of strangers' wrong passwords
	wake    *time.Timer // for strangers who wait while a slot is free; nil: none is needed
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
	h.pace.part, h.pace.spare = l.HashWrong, l.HashSpare
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
	h.pace.part, h.pace.spare = l.HashWrong, l.HashSpare
	h.fill()
}

// fill gives the free slots to those who wait, and sees to it that strangers who have to
// keep their pace are looked at again.
func (h *hasher) fill() {
	for h.free > 0 && h.next() {
		h.free--
	}
	if h.free <= 0 || h.waiting[laneStranger].Len() == 0 || h.wake != nil {
		return
	}
	h.wake = time.AfterFunc(h.pace.wait(time.Now()), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.wake = nil
		h.fill()
	})
}

// spend counts what a stranger's wrong password took; each slot has its share.
func (h *hasher) spend(took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pace.charge(time.Now(), took/time.Duration(h.stats.Slots))
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
	q := h.waiting[l]
	if h.free > 0 && (l != laneStranger || q.Len() == 0 && h.pace.wait(time.Now()) == 0) {
		h.free--
		h.started()
		return nil, nil, 0, nil
	}
	if q.Len() >= h.queue {
		h.stats.Refused++
		return nil, nil, 0, fail(ErrBusy, RuleBusy, fmt.Sprintf("%d sign-ins wait for a hash already", q.Len()))
	}
	turn = make(chan struct{})
	place = q.PushBack(turn)
	h.fill()
	return turn, place, h.wait, nil
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
	h.free++
	h.fill()
}

// next gives a slot to the first who waits, if anybody does.
func (h *hasher) next() bool {
	for l, q := range h.waiting {
		if lane(l) == laneStranger && h.pace.wait(time.Now()) > 0 {
			continue
		}
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
