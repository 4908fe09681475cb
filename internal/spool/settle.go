package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Settle ends a claim with the outcomes of its attempt. Each outcome speaks of
// the first pending delivery to its recipient, and to its mailbox if it names one,
// that no earlier outcome spoke of; a pending delivery without an outcome stays pending. What was deferred keeps
// the next try that Claim recorded. When nothing is pending any more, the entry
// and its body are removed, unless somebody failed without anybody being told.
//
// Successes are settled lazily. What fails, and what f spawns, is durable when
// Settle returns; outcomes, facts and spawned messages commit in one act, and the
// latter are due at once.
//
// Settle is idempotent: repeated with the same token, after an answer or after an
// error, it changes nothing twice and answers the same. ErrStale means that the
// claim has ended otherwise; nothing was changed then. ErrFull and ErrHeld mean that
// the account of a spawned message has no room: nothing was changed, and the claim
// lives on.
func (s *Spool) Settle(ctx context.Context, t Token, outcomes []mail.Outcome, now time.Time, f Final) (Settled, error) {
	c, settled, err := s.take(t)
	if c == nil {
		return settled, err
	}
	defer c.ending.Unlock()
	spawn, err := s.bear(f.Spawn, now)
	if err != nil {
		return Settled{}, err
	}
	for range casTries {
		if c.entry.settled == t.Fence {
			break // an earlier settlement in doubt has happened
		}
		next, err := conclude(c.entry, outcomes, t.Fence, now, f)
		if err != nil {
			return Settled{}, err
		}
		err = s.commitSettlement(ctx, c, next, spawn, f)
		if err == nil {
			return s.finish(c, outcomes, next), nil
		}
		c.doubt = c.doubt || errors.Is(err, store.ErrInDoubt)
		if !errors.Is(err, store.ErrConflict) {
			return Settled{}, err
		}
		if err := s.refresh(ctx, c); err != nil {
			return s.vanished(c, outcomes, err)
		}
	}
	if c.entry.settled != t.Fence {
		return Settled{}, fmt.Errorf("%w: entry %s changes too often", ErrUnavailable, t.ID)
	}
	return s.finish(c, outcomes, c.entry), nil
}

// take returns the claim of a token, locked; or no claim, and the answer.
func (s *Spool) take(t Token) (*claim, Settled, error) {
	s.mu.Lock()
	c := s.claims[t.ID]
	settled, repeated := s.ended.settled[t]
	s.mu.Unlock()
	if repeated {
		return nil, settled, nil
	}
	if c == nil || c.token != t || c.entry == nil {
		return nil, Settled{}, ErrStale
	}
	c.ending.Lock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[t.ID] == c {
		return c, Settled{}, nil
	}
	c.ending.Unlock()
	if settled, repeated := s.ended.settled[t]; repeated {
		return nil, settled, nil
	}
	return nil, Settled{}, ErrStale
}

// conclude is what outcomes make of an entry: a new value; e stays as it is.
func conclude(e *Entry, outcomes []mail.Outcome, fence uint64, now time.Time, f Final) (*Entry, error) {
	next := *e
	next.Recipients = append([]RecipientState(nil), e.Recipients...)
	next.settled, next.leased, next.Warned = fence, false, e.Warned || f.Warned
	if f.Kept && next.Forward == ForwardSent {
		next.Forward = ForwardKept
	}
	if !f.Next.IsZero() {
		next.NextTry = wall(f.Next)
	}
	spoken := make([]bool, len(next.Recipients))
	at := 0
	for _, o := range outcomes {
		at = pendingFor(next.Recipients, spoken, o, at)
		if at < 0 {
			return nil, fmt.Errorf("%w: an outcome for %s, to whom nothing is pending", ErrInvalid, o.Recipient)
		}
		spoken[at] = true
		r := &next.Recipients[at]
		r.Last, r.LastAt, r.Remote = o.Reply, wall(now), o.Remote
		switch {
		case o.Delivered():
			r.State = StateDelivered
		case o.Failed() && f.Untold:
			r.State = StateUntold
		case o.Failed():
			r.State = StateFailed
		}
		at++
	}
	if f.Hold != "" && !done(&next) {
		hold(&next, f.Hold, now)
	}
	return &next, nil
}

// pendingFor finds the next delivery that an outcome can speak of: that is pending and
// not spoken of, looking first at and behind from: outcomes come in the order of
// deliveries.
func pendingFor(rs []RecipientState, spoken []bool, o mail.Outcome, from int) int {
	match := func(i int) bool {
		return !spoken[i] && rs[i].State == StatePending && rs[i].Recipient.Address == o.Recipient &&
			(o.Mailbox.IsZero() || rs[i].Mailbox == o.Mailbox)
	}
	for i := from; i < len(rs); i++ {
		if match(i) {
			return i
		}
	}
	for i := range min(from, len(rs)) {
		if match(i) {
			return i
		}
	}
	return -1
}

// commitSettlement writes the settlement: the entry's next state or its removal,
// what it spawns, and the facts.
func (s *Spool) commitSettlement(ctx context.Context, c *claim, next *Entry, spawn []born, f Final) error {
	tx := store.Tx{
		Preconditions: []store.Precondition{{Key: entryKey(c.entry.ID), Value: c.record}},
		Facts:         f.Facts,
	}
	var scheduled []*Entry
	d := store.Lazy
	record := appendEntry(nil, next)
	if done(next) {
		tx.Mutations = removal(c.entry)
		if c.entry.file != "" {
			// The file goes only after its entry has gone for good.
			d = store.Durable
		}
	} else {
		tx.Mutations = replacement(c.entry, next, record)
		scheduled = append(scheduled, next)
	}
	if newlyFailed(c.entry, next) || f.Hold != "" || len(spawn) > 0 || f.Warned {
		d = store.Durable
	}
	ms, err := s.insertions(spawn)
	if err != nil {
		return err
	}
	tx.Mutations = append(tx.Mutations, ms...)
	for _, b := range spawn {
		tx.Preconditions = append(tx.Preconditions, store.Precondition{Key: entryKey(b.entry.ID), Absent: true})
		scheduled = append(scheduled, b.entry)
	}
	if err := s.admit(spawn); err != nil {
		return err
	}
	err = s.apply(ctx, tx, d, scheduled...)
	if committed(err) {
		s.countSettlement(c, next)
	}
	s.enter(spawn, committed(err))
	if err == nil && done(next) {
		s.removeFile(c.entry)
	}
	return err
}

func (s *Spool) countSettlement(c *claim, next *Entry) {
	if done(next) {
		next = nil
	}
	s.recount(c.entry, next)
}

func done(e *Entry) bool {
	for i := range e.Recipients {
		if s := e.Recipients[i].State; s == StatePending || s == StateUntold {
			return false
		}
	}
	return true
}

func newlyFailed(e, next *Entry) bool {
	for i := range next.Recipients {
		if s := next.Recipients[i].State; s != e.Recipients[i].State && (s == StateFailed || s == StateUntold) {
			return true
		}
	}
	return false
}

// finish ends the claim and remembers the answer.
func (s *Spool) finish(c *claim, outcomes []mail.Outcome, next *Entry) Settled {
	settled := Settled{ID: c.token.ID, Done: done(next)}
	for _, o := range outcomes {
		switch {
		case o.Delivered():
			settled.Delivered++
		case o.Failed():
			settled.Failed++
		}
	}
	if !settled.Done {
		settled.NextTry = next.NextTry
		settled.Deferred = len(next.Pending())
	}
	s.mu.Lock()
	if s.claims[c.token.ID] == c {
		delete(s.claims, c.token.ID)
	}
	s.ended.add(c.token, settled)
	s.mu.Unlock()
	if !settled.Done {
		// Nobody was told of the next try yet: NextDue passes over claims, and Put
		// wakes nobody.
		s.signal()
	}
	return settled
}

// refresh reads the claimed entry again after somebody else changed it.
func (s *Spool) refresh(ctx context.Context, c *claim) error {
	e, record, err := s.read(ctx, c.token.ID)
	if err == nil {
		c.entry, c.record = e, record
	}
	return err
}

// vanished answers a settlement whose entry is gone: settled by an attempt in
// doubt, or removed by an operator.
func (s *Spool) vanished(c *claim, outcomes []mail.Outcome, err error) (Settled, error) {
	if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDamaged) {
		return Settled{}, err
	}
	if c.doubt && errors.Is(err, ErrNotFound) {
		gone := *c.entry
		gone.Recipients = nil
		return s.finish(c, outcomes, &gone), nil
	}
	s.drop(c)
	return Settled{}, ErrStale
}

// Postpone ends a claim untried: the attempt does not count, and the entry is due
// at until, which is by Options.Passed.
func (s *Spool) Postpone(ctx context.Context, t Token, until time.Time, facts [][]byte) error {
	return s.endClaim(ctx, t, facts, store.Lazy, func(e *Entry) {
		e.Attempts = max(e.Attempts-1, 0)
		e.leased = false
		e.NextTry = wall(until)
	})
}

// HoldClaimed ends a claim by holding its entry, durably.
func (s *Spool) HoldClaimed(ctx context.Context, t Token, reason string, facts [][]byte) error {
	now := s.now()
	return s.endClaim(ctx, t, facts, store.Durable, func(e *Entry) { hold(e, reason, now) })
}

func (s *Spool) endClaim(ctx context.Context, t Token, facts [][]byte, d store.Durability, change func(*Entry)) error {
	c, _, _ := s.take(t)
	if c == nil {
		return ErrStale // it was settled, or ended otherwise
	}
	defer c.ending.Unlock()
	for range casTries {
		next := *c.entry
		change(&next)
		next.settled = t.Fence
		err := s.replace(ctx, c.entry, c.record, &next, appendEntry(nil, &next), facts, d)
		if err == nil {
			s.drop(c)
			s.signal()
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		if err := s.refresh(ctx, c); err != nil {
			s.drop(c)
			return ErrStale
		}
		if c.entry.settled == t.Fence {
			s.drop(c)
			return nil // an earlier try in doubt has happened
		}
	}
	return fmt.Errorf("%w: entry %s changes too often", ErrUnavailable, t.ID)
}

// Extend lets a claim live until now, which is by Options.Passed, plus ttl: for an attempt that takes long.
func (s *Spool) Extend(t Token, ttl time.Duration, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims[t.ID]
	if c == nil || c.token != t {
		return ErrStale
	}
	c.expires = now.Add(ttl)
	return nil
}

// memory is what Settle answered last, for those who ask again.
type memory struct {
	settled map[Token]Settled
	ring    []Token
	next    int
	max     int
}

func (m *memory) add(t Token, s Settled) {
	if len(m.ring) < m.max {
		m.ring = append(m.ring, t)
	} else {
		delete(m.settled, m.ring[m.next])
		m.ring[m.next] = t
		m.next = (m.next + 1) % m.max
	}
	m.settled[t] = s
}
