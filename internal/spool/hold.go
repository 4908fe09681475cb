package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// HoldAccount holds everything that account has in the queue and will have, with
// one small write whatever the queue's length: entries are set aside when their
// turn comes. Attempts under way end as they end. It is durable when nil is returned.
func (s *Spool) HoldAccount(ctx context.Context, account mail.Address, reason string, facts ...[]byte) error {
	return s.together(ctx, facts, s.Holding(account, reason))
}

// Holding plans HoldAccount as a share in a transaction of several rooms. The hold
// stands in memory from the moment of planning, so that nothing slips through, and is
// taken back when the transaction certainly failed.
func (s *Spool) Holding(account mail.Address, reason string) store.Planner {
	return func(context.Context) (store.Share, error) {
		if account.IsZero() {
			return store.Share{}, fmt.Errorf("%w: no account", ErrInvalid)
		}
		reason, key := reasonOf(reason), account.Key()
		s.mu.Lock()
		defer s.mu.Unlock()
		before, had := s.accounts[key]
		s.accounts[key] = reason
		turn := s.turns[key]
		return store.Share{
			Mutations: []store.Mutation{{Key: accountKey(account), Value: []byte(reason)}},
			Done: func(err error) error {
				s.mu.Lock()
				defer s.mu.Unlock()
				switch {
				case committed(err):
					// Set again, since a release that was committed before may have been completed meanwhile.
					s.accounts[key] = reason
					s.turns[key]++
				case s.turns[key] != turn: // what was completed meanwhile stands
				case had:
					s.accounts[key] = before
				default:
					delete(s.accounts, key)
				}
				return nil
			},
		}, nil
	}
}

// Vacating plans that an account has nothing in the queue when the transaction of several rooms
// is committed: until then its queue is held, so that nothing comes in. The error is ErrHeld
// where it is held already, and ErrQueued where there is something.
func (s *Spool) Vacating(account mail.Address) store.Planner {
	return func(context.Context) (store.Share, error) {
		if account.IsZero() {
			return store.Share{}, fmt.Errorf("%w: no account", ErrInvalid)
		}
		key := account.Key()
		s.mu.Lock()
		defer s.mu.Unlock()
		if reason, held := s.accounts[key]; held {
			return store.Share{}, fmt.Errorf("%w: the queue of %s: %s", ErrHeld, account, reason)
		}
		if n := s.counts.accounts[key]; n > 0 {
			return store.Share{}, fmt.Errorf("%w: %d of %s", ErrQueued, n, account)
		}
		s.accounts[key] = "its account is being renamed"
		return store.Share{Done: func(error) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.accounts, key)
			return nil
		}}, nil
	}
}

// ReleaseAccount ends HoldAccount: what was set aside is due at once. When it
// fails half-way, repeating it does the rest.
func (s *Spool) ReleaseAccount(ctx context.Context, account mail.Address, facts ...[]byte) error {
	return s.together(ctx, facts, s.Releasing(account))
}

// Releasing plans ReleaseAccount as a share in a transaction of several rooms. What was
// set aside becomes due once the transaction is committed.
func (s *Spool) Releasing(account mail.Address) store.Planner {
	return func(ctx context.Context) (store.Share, error) {
		if account.IsZero() {
			return store.Share{}, fmt.Errorf("%w: no account", ErrInvalid)
		}
		key := account.Key()
		s.mu.Lock()
		turn := s.turns[key]
		s.mu.Unlock()
		return store.Share{
			Mutations: []store.Mutation{{Key: accountKey(account), Delete: true}},
			Done: func(err error) error {
				if err != nil {
					return nil
				}
				s.mu.Lock()
				if s.turns[key] == turn { // else it was held again after this was committed
					delete(s.accounts, key)
					s.turns[key]++
				}
				s.mu.Unlock()
				if _, err := s.unpark(ctx, parkedRange(account.Key())); err != nil {
					return fmt.Errorf("the queue of %s is released, but not all of it is due yet; repeat the command: %w", account, err)
				}
				return nil
			},
		}, nil
	}
}

// together commits one share by itself, one after the other: of changes that come in a transaction of several rooms, the
// preconditions of those rooms see to it.
func (s *Spool) together(ctx context.Context, facts [][]byte, plan store.Planner) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	tx, done, err := store.Tx{Facts: facts}.With(ctx, plan)
	if err != nil {
		return err
	}
	_, err = s.st.Apply(ctx, tx, store.Durable)
	return errors.Join(err, done(err))
}

// AccountHeld returns why an account's queue is held, and whether it is.
func (s *Spool) AccountHeld(account mail.Address) (reason string, held bool) {
	if account.IsZero() {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reason, held = s.accounts[account.Key()]
	return reason, held
}

// Hold holds the chosen entries, durably, and returns how many.
func (s *Spool) Hold(ctx context.Context, f Filter, reason string, facts [][]byte) (int, error) {
	now := s.now()
	return s.change(ctx, f, facts, func(e *Entry) verdict {
		if e.place == placeHeld {
			return keep
		}
		hold(e, reason, now)
		return update
	})
}

// Release ends the hold of the chosen entries; they are due at once, unless their
// account is held. Who failed without anybody being told is tried again.
func (s *Spool) Release(ctx context.Context, f Filter, facts [][]byte) (int, error) {
	now := s.passed()
	return s.change(ctx, f, facts, func(e *Entry) verdict {
		if e.place != placeHeld {
			return keep
		}
		e.place, e.Held, e.HeldAt, e.NextTry = placeDue, "", time.Time{}, wall(now)
		e.Recipients = slices.Clone(e.Recipients)
		for i := range e.Recipients {
			if e.Recipients[i].State == StateUntold {
				e.Recipients[i].State = StatePending
			}
		}
		return update
	})
}

// Retry makes the chosen entries due at once. Held ones stay held.
func (s *Spool) Retry(ctx context.Context, f Filter, facts [][]byte) (int, error) {
	now := s.passed()
	return s.change(ctx, f, facts, func(e *Entry) verdict {
		if e.place != placeDue {
			return keep
		}
		e.NextTry = wall(now)
		return update
	})
}

// Remove drops the chosen entries with their bodies, durably, without notifying
// anybody, and ends the claims on them.
func (s *Spool) Remove(ctx context.Context, f Filter, facts [][]byte) (int, error) {
	return s.change(ctx, f, facts, func(*Entry) verdict { return remove })
}

func hold(e *Entry, reason string, now time.Time) {
	e.place, e.leased = placeHeld, false
	e.Held, e.HeldAt = reasonOf(reason), wall(now)
}

// reasonOf keeps "" for what is not held.
func reasonOf(reason string) string {
	if reason == "" {
		return "held"
	}
	return cut(reason, maxReason)
}

// holdOne holds an entry just read; a conflict leaves it to the next claim.
func (s *Spool) holdOne(ctx context.Context, e *Entry, record []byte, reason string, facts [][]byte) error {
	next := *e
	hold(&next, reason, s.now())
	return ignoreConflict(s.replace(ctx, e, record, &next, appendEntry(nil, &next), facts, store.Durable))
}

// park sets an entry aside whose account is held.
func (s *Spool) park(ctx context.Context, e *Entry, record []byte) error {
	if e.place == placeParked {
		return nil
	}
	next := *e
	next.place, next.leased = placeParked, false
	err := s.replace(ctx, e, record, &next, appendEntry(nil, &next), nil, store.Lazy)
	if err != nil {
		return ignoreConflict(err)
	}
	if _, held := s.AccountHeld(e.Account); held {
		return nil
	}
	// The account was released meanwhile, and may have been searched already.
	_, err = s.unpark(ctx, store.Prefix(indexKey(&next)))
	return err
}

// unpark makes due what stands parked in a range of keys.
func (s *Spool) unpark(ctx context.Context, r store.Range) (int, error) {
	total := 0
	for {
		ids, last, err := s.idsIn(ctx, r)
		if err != nil || last == nil {
			return total, err
		}
		now := s.passed()
		n, err := s.change(ctx, Filter{IDs: ids}, nil, func(e *Entry) verdict {
			if e.place != placeParked {
				return keep
			}
			e.place, e.NextTry = placeDue, wall(now)
			return update
		})
		total += n
		if err != nil {
			return total, err
		}
		r.From = append(last, 0)
	}
}

// idsIn returns the first Limits.Batch IDs of an index range, and the last key.
func (s *Spool) idsIn(ctx context.Context, r store.Range) (ids []mail.ID, last []byte, err error) {
	r.Limit = s.limits.Load().Batch
	ids = []mail.ID{} // a filter with nil would choose all
	err = s.st.Scan(ctx, r, func(k, _ []byte) (bool, error) {
		if id, ok := keyID(k); ok {
			ids = append(ids, id)
		}
		last = append(last[:0], k...)
		return true, nil
	})
	return ids, last, err
}

func ignoreConflict(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}
