package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/store"
)

// Redirect puts a message into the queue in the place of e, in one durable act with the
// facts: either the entry is gone and the message waits, due at once, or nothing was
// changed. The message is judged as any that enters: what leaves needs its Grant.
//
// Errors: ErrStale, when the entry is not any more as it was read, ErrClaimed while it is
// being tried, ErrHeld and ErrFull as Room says of the message's account, and those of
// Put. The body is taken where the error is nil; who called aborts it otherwise.
func (s *Spool) Redirect(ctx context.Context, e Entry, to Spawned, now time.Time, facts [][]byte) error {
	spawn, err := s.bear([]Spawned{to}, now)
	if err != nil {
		return err
	}
	current, record, err := s.read(ctx, e.ID)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(appendEntry(nil, current), appendEntry(nil, &e)):
		return fmt.Errorf("%w: %s was changed meanwhile", ErrStale, e.ID)
	case s.underWay(e):
		return fmt.Errorf("%w: %s is being tried", ErrClaimed, e.ID)
	}
	ms, err := s.insertions(spawn)
	if err != nil {
		return err
	}
	fresh := spawn[0].entry
	tx := store.Tx{
		// A claim that begins now writes its attempt into the record, and one of us loses.
		Preconditions: []store.Precondition{{Key: entryKey(e.ID), Value: record}, {Key: entryKey(fresh.ID), Absent: true}},
		Mutations:     append(removal(current), ms...), Facts: facts,
	}
	if err := s.admit(spawn); err != nil {
		return err
	}
	err = s.apply(ctx, tx, store.Durable, fresh)
	s.enter(spawn, committed(err))
	if committed(err) {
		s.changed(current, nil, err == nil)
		return err
	}
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %s was changed meanwhile", ErrStale, e.ID)
	}
	return err
}

// underWay reports whether a live claim is on the entry.
func (s *Spool) underWay(e Entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims[e.ID]
	return c != nil && c.expires.After(s.passed())
}
