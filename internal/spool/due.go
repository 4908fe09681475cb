package spool

import (
	"context"
	"math"
	"time"

	"sallyport/internal/mail"
)

// Due returns up to limit entries whose next try has come and which nobody
// claims, earliest first. now is by Options.Passed.
func (s *Spool) Due(ctx context.Context, now time.Time, limit int) ([]DueEntry, error) {
	s.settleDoubts(ctx)
	var due []DueEntry
	_, err := s.search(ctx, now, func(d DueEntry) bool {
		if !s.busy(d.ID, now) {
			due = append(due, d)
		}
		return len(due) < limit
	})
	return due, err
}

// NextDue returns a time, by Options.Passed, before which nothing becomes due of what is scheduled
// now, and false when nothing is scheduled. It may be early, when the next entry
// is claimed; it is never late.
func (s *Spool) NextDue(ctx context.Context) (time.Time, bool, error) {
	now := s.passed()
	var next time.Time
	found, err := s.search(ctx, time.Unix(0, math.MaxInt64), func(d DueEntry) bool {
		if s.busy(d.ID, now) && !d.NextTry.After(now) {
			return true
		}
		next = d.NextTry
		return false
	})
	if soon := now.Add(doubtTime); err == nil && s.doubtful() && (next.IsZero() || next.After(soon)) {
		return soon, true, nil
	}
	if err == nil && found && next.IsZero() {
		// All that is scheduled is claimed and overdue: look again when a claim
		// can first have expired.
		next = s.firstExpiry(now)
	}
	return next, !next.IsZero(), err
}

// doubtTime is how often Due should be asked while a Put is in doubt.
const doubtTime = time.Second

func (s *Spool) doubtful() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.doubts) > 0
}

// search calls fn for the schedule up to now, in order, and reports whether there
// was anything. It begins at the floor and raises it to the first key found.
func (s *Spool) search(ctx context.Context, now time.Time, fn func(DueEntry) bool) (bool, error) {
	s.look.Lock()
	defer s.look.Unlock()
	s.mu.Lock()
	floor := s.floor
	s.inserted = math.MaxInt64
	s.mu.Unlock()
	r := dueRange(now)
	r.From = dueKey(time.Unix(0, floor), mail.ID{})
	first := int64(math.MaxInt64)
	err := s.st.Scan(ctx, r, func(k, _ []byte) (bool, error) {
		at := keyTime(k)
		first = min(first, at.UnixNano())
		id, ok := keyID(k)
		return !ok || fn(DueEntry{ID: id, NextTry: at}), nil
	})
	if err != nil {
		s.lower() // a store that recovers may still commit what it was asked to
	} else {
		s.raise(min(first, now.UnixNano()))
	}
	return first != math.MaxInt64, err
}

// raise lifts the floor to at, but never above what was inserted meanwhile.
func (s *Spool) raise(at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floor = max(s.floor, min(at, s.inserted))
}

// lower makes the next search look at the whole schedule.
func (s *Spool) lower() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floor = 0
}

// busy reports whether an entry is not to be had: claimed, or in doubt.
func (s *Spool) busy(id mail.ID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims[id]
	return c != nil && c.expires.After(now) || s.doubts[id] != nil
}

func (s *Spool) firstExpiry(now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := now.Add(s.limits.Load().ClaimTime)
	for _, c := range s.claims {
		if c.expires.Before(first) {
			first = c.expires
		}
	}
	return first
}
