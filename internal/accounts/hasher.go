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
// at existing accounts or not, cannot starve the owners. What is wrong is answered in the
// strangers' turn all the same: see weigh.go.
type lane int

const (
	laneKnown lane = iota
	laneStranger
	lanes
)

// turnedAway is how long a stranger waits for the answer that too many wait already. A password
// that goes ahead is judged by then, so that its answer can be the same.
const turnedAway = 250 * time.Millisecond

// hasher bounds the hashing work: so many at once, so many waiting in each lane,
// each of them for so long, and strangers' wrong passwords a part of the time.
type hasher struct {
	mu      sync.Mutex
	queue   int
	wait    time.Duration
	free    int               // negative while more run than may since adjust
	waiting [lanes]*list.List // of *place
	stats   HashStats
	pace    pace        // of strangers' wrong passwords
	wake    *time.Timer // for strangers who keep their pace; nil: none is needed
}

// place is one in the queue of a lane. What it holds is the hasher's, until its turn has come.
type place struct {
	lane  lane
	turn  chan struct{} // closed when it comes
	at    time.Time     // when that was; the zero time: it has not come
	slot  bool          // a slot came with it
	until time.Time     // it is not waited for longer
	full  error         // not nil: the queue has no room, and the turn does not come
	in    *list.Element // of the queue; nil: it is not in it
	// before is the place among strangers of one who goes ahead of them. From then on it is ahead:
	// its turn takes the slot of the one before it, instead of another.
	before *place
	ahead  bool
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
	for h.next() {
	}
	wait := h.pace.wait(time.Now())
	if wait == 0 || h.waiting[laneStranger].Len() == 0 || h.wake != nil {
		return
	}
	h.wake = time.AfterFunc(wait, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.wake = nil
		h.fill()
	})
}

// next has the turn of the first who waits come, if it can.
func (h *hasher) next() bool {
	first := h.waiting[laneKnown].Front()
	if first == nil {
		first = h.waiting[laneStranger].Front()
	}
	if first == nil {
		return false
	}
	p := first.Value.(*place)
	if p.lane == laneStranger && h.pace.wait(time.Now()) > 0 || h.free <= 0 && !p.ahead {
		return false
	}
	h.waiting[p.lane].Remove(first)
	p.in = nil
	h.come(p)
	return true
}

// come has a turn come.
func (h *hasher) come(p *place) {
	p.at = time.Now()
	if p.slot = !p.ahead; p.slot {
		h.free--
		h.stats.Started++
		h.stats.Running++
		h.stats.Peak = max(h.stats.Peak, h.stats.Running)
	}
	if p.before != nil {
		p.before.ahead = true
	}
	close(p.turn)
}

// spend counts what a stranger's wrong password took; each slot has its share.
func (h *hasher) spend(took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pace.charge(time.Now(), took/time.Duration(h.stats.Slots))
}

// acquire waits for a slot; nil means that release must follow. Errors are
// SignInErrors of ErrBusy or ErrCancelled.
func (h *hasher) acquire(ctx context.Context, l lane) error { return h.await(ctx, h.enter(l, nil)) }

// enter takes a free slot, so that the turn has come, or a place in the lane's queue. before is not
// nil for one who goes ahead of strangers.
func (h *hasher) enter(l lane, before *place) *place {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, q := time.Now(), h.waiting[l]
	p := &place{lane: l, turn: make(chan struct{}), until: now.Add(h.wait), before: before}
	switch {
	case h.free > 0 && (l != laneStranger || q.Len() == 0 && h.pace.wait(now) == 0):
		h.come(p)
	case q.Len() >= h.queue:
		h.stats.Refused++
		p.full = fail(ErrBusy, RuleBusy, fmt.Sprintf("%d sign-ins wait for a hash already", q.Len()))
		if p.until = now; l == laneStranger {
			p.until = now.Add(min(turnedAway, h.wait))
		}
	default:
		p.in = q.PushBack(p)
	}
	h.fill()
	return p
}

// came reports whether the turn has come, to whoever has the place.
func (p *place) came() bool {
	select {
	case <-p.turn:
		return true
	default:
		return false
	}
}

// await waits for the turn; nil means that it came.
func (h *hasher) await(ctx context.Context, p *place) error {
	if p.came() {
		return nil
	}
	err := p.wait(ctx, nil)
	if err != nil {
		h.leave(p, err)
	}
	return err
}

// wait waits for the turn, or for another's.
func (p *place) wait(ctx context.Context, other <-chan struct{}) error {
	t := time.NewTimer(time.Until(p.until))
	defer t.Stop()
	select {
	case <-p.turn:
	case <-other:
	case <-ctx.Done():
		return cancelled(ctx)
	case <-t.C:
		if p.full != nil {
			return p.full
		}
		return fail(ErrBusy, RuleBusy, "no hash became free in time")
	}
	return nil
}

// overtake waits for a turn ahead of the strangers among whom p waits. A nil place says that p's own
// turn came before; an error, that none did, and that p was left.
func (h *hasher) overtake(ctx context.Context, p *place) (ahead *place, err error) {
	q := h.enter(laneKnown, p)
	if q.full != nil {
		return nil, h.await(ctx, p)
	}
	err = q.wait(ctx, p.turn)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !q.at.IsZero() {
		return q, nil
	}
	h.drop(q, nil)
	if err != nil {
		h.drop(p, err)
	}
	return nil, err
}

// leave gives up a place, and its slot too.
func (h *hasher) leave(p *place, why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(p, why)
}

func (h *hasher) drop(p *place, why error) {
	if p.in != nil {
		h.waiting[p.lane].Remove(p.in)
		p.in = nil
	} else if p.slot {
		h.pass()
	}
	if e, ok := why.(*SignInError); ok && e.Err == ErrBusy && p.full == nil {
		h.stats.Refused++
	}
	h.fill() // whoever is behind it may be ahead
}

// done gives back the slot of a place, in which a wrong password took so long; zero: it was right.
// It is counted if the turn of the place among strangers has come, be it this one or another.
func (h *hasher) done(holder, stranger *place, took time.Duration) (counted bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if counted = took > 0 && !stranger.at.IsZero(); counted {
		h.pace.charge(time.Now(), took/time.Duration(h.stats.Slots))
	}
	stranger.ahead = false
	h.pass()
	return counted
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

func (h *hasher) snapshot() HashStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	for _, q := range h.waiting {
		s.Waiting += q.Len()
	}
	return s
}
