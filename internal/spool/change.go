package spool

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// batchOctets bounds the records that a mass operation holds at once: with their
// preconditions and their next states they fit into one transaction.
const batchOctets = 1 << 20

// verdict is what a mass operation does with an entry.
type verdict uint8

const (
	keep verdict = iota
	update
	remove
)

// stored is an entry as it was read.
type stored struct {
	entry  *Entry
	record []byte
}

// Get returns an entry, or ErrNotFound, or ErrDamaged.
func (s *Spool) Get(ctx context.Context, id mail.ID) (Entry, error) {
	e, _, err := s.read(ctx, id)
	if err != nil {
		return Entry{}, err
	}
	return *e, nil
}

// List calls fn for the chosen entries in the order of their IDs, until it
// returns false. Damaged entries are left out: see Damaged. Memory is bounded
// whatever the queue's length, and the listing is no snapshot.
func (s *Spool) List(ctx context.Context, f Filter, fn func(Entry) (more bool, err error)) error {
	left := f.Limit
	return s.each(ctx, f, func(batch []stored) (bool, error) {
		for _, st := range batch {
			more, err := fn(*st.entry)
			left--
			if err != nil || !more || left == 0 {
				return false, err
			}
		}
		return true, nil
	})
}

// change applies fn to a copy of each chosen entry and commits the results in
// batches, durably; the facts go with the first of them, so that they are written
// only if something was changed. It returns how many entries it changed.
func (s *Spool) change(ctx context.Context, f Filter, facts [][]byte, fn func(*Entry) verdict) (int, error) {
	total := 0
	err := s.each(ctx, f, func(batch []stored) (bool, error) {
		if left := f.Limit - total; f.Limit > 0 && len(batch) > left {
			batch = batch[:left]
		}
		n, err := s.changeBatch(ctx, batch, facts, fn)
		if errors.Is(err, store.ErrConflict) {
			n, err = s.changeSingly(ctx, f, batch, facts, fn)
		}
		if n > 0 {
			facts = nil
			s.signal()
		}
		total += n
		return f.Limit == 0 || total < f.Limit, err
	})
	return total, err
}

// changeBatch commits what fn makes of all entries in one act.
func (s *Spool) changeBatch(ctx context.Context, batch []stored, facts [][]byte, fn func(*Entry) verdict) (int, error) {
	tx := store.Tx{Facts: facts}
	var from, to, scheduled []*Entry
	for _, st := range batch {
		next := *st.entry
		v := fn(&next)
		if v == keep {
			continue
		}
		from = append(from, st.entry)
		tx.Preconditions = append(tx.Preconditions, store.Precondition{Key: entryKey(next.ID), Value: st.record})
		if v == remove {
			to = append(to, nil)
			tx.Mutations = append(tx.Mutations, removal(st.entry)...)
			continue
		}
		to = append(to, &next)
		scheduled = append(scheduled, &next)
		tx.Mutations = append(tx.Mutations, replacement(st.entry, &next, appendEntry(nil, &next))...)
	}
	if len(from) == 0 {
		return 0, nil
	}
	defer s.goesBack()()
	err := s.apply(ctx, tx, store.Durable, scheduled...)
	if !committed(err) {
		return 0, err
	}
	for i := range from {
		s.changed(from[i], to[i], err == nil)
	}
	return len(from), err
}

// changed follows up a committed change of an entry; a nil next was removed. The
// file goes only when its entry has gone for good.
func (s *Spool) changed(e, next *Entry, durable bool) {
	s.recount(e, next)
	if next != nil {
		return
	}
	if durable {
		s.removeFile(e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.claims, e.ID)
}

// changeSingly is the way when some entry of a batch was changed meanwhile: one by
// one, each read again until it holds still.
func (s *Spool) changeSingly(ctx context.Context, f Filter, batch []stored, facts [][]byte, fn func(*Entry) verdict) (int, error) {
	total := 0
	for _, st := range batch {
		for range casTries {
			n, err := s.changeBatch(ctx, []stored{st}, facts, fn)
			if errors.Is(err, store.ErrConflict) {
				e, record, err := s.read(ctx, st.entry.ID)
				if errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged) || err == nil && !s.matches(f, e) {
					break
				}
				if err != nil {
					return total, err
				}
				st = stored{e, record}
				continue
			}
			if err != nil {
				return total, err
			}
			if n > 0 {
				facts = nil
			}
			total += n
			break
		}
	}
	return total, nil
}

// each calls fn with the chosen entries in batches, until it returns false.
func (s *Spool) each(ctx context.Context, f Filter, fn func([]stored) (bool, error)) error {
	if f.IDs != nil {
		return s.eachOf(ctx, f, fn)
	}
	ids, ok, err := s.indexed(ctx, f)
	if err != nil {
		return err
	}
	if ok {
		f.IDs = ids
		return s.eachOf(ctx, f, fn)
	}
	r := spaceRange(spaceEntry)
	for {
		batch, last, err := s.batch(ctx, r, f)
		if err != nil || last == nil {
			return err
		}
		if len(batch) > 0 {
			if more, err := fn(batch); err != nil || !more {
				return err
			}
		}
		r.From = append(last, 0)
	}
}

// batch reads entries from the beginning of a range until enough match, and
// returns the last key that it looked at, nil at the end.
func (s *Spool) batch(ctx context.Context, r store.Range, f Filter) (batch []stored, last []byte, err error) {
	octets := 0
	err = s.st.Scan(ctx, r, func(k, record []byte) (bool, error) {
		last = append(last[:0], k...)
		id, ok := keyID(k)
		if !ok {
			return true, nil
		}
		e, err := s.open(id, record)
		if err == nil && s.matches(f, e) {
			batch = append(batch, stored{e, append([]byte(nil), record...)})
			octets += len(record)
		}
		return len(batch) < s.limits.Load().Batch && octets < batchOctets, nil
	})
	return batch, last, err
}

// eachOf reads the entries that a filter names.
func (s *Spool) eachOf(ctx context.Context, f Filter, fn func([]stored) (bool, error)) error {
	var batch []stored
	octets := 0
	for i, id := range f.IDs {
		e, record, err := s.read(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged):
		case err != nil:
			return err
		case s.matches(f, e):
			batch = append(batch, stored{e, record})
			octets += len(record)
		}
		if len(batch) == 0 || i+1 < len(f.IDs) && len(batch) < s.limits.Load().Batch && octets < batchOctets {
			continue
		}
		if more, err := fn(batch); err != nil || !more {
			return err
		}
		batch, octets = nil, 0
	}
	return nil
}

// matches reports whether f chooses e.
func (s *Spool) matches(f Filter, e *Entry) bool {
	from, _ := e.Envelope.From.Address()
	switch {
	case !f.Account.IsZero() && f.Account.Key() != e.Account.Key():
		return false
	case !f.Sender.IsZero() && f.Sender.Key() != from.Key():
		return false
	case f.Null && !e.Envelope.From.IsNull():
		return false
	case f.OlderThan != (time.Time{}) && !e.Received.Before(f.OlderThan):
		return false
	case f.Held != nil && *f.Held != s.isHeld(e):
		return false
	}
	return matchesRecipient(f, e)
}

func (s *Spool) isHeld(e *Entry) bool {
	_, held := s.AccountHeld(e.Account)
	return held || e.place != placeDue
}

func matchesRecipient(f Filter, e *Entry) bool {
	if f.Recipient.IsZero() && f.Domain.IsZero() {
		return true
	}
	for i := range e.Recipients {
		a := e.Recipients[i].Recipient.Address
		if (f.Recipient.IsZero() || a.Key() == f.Recipient.Key()) && (f.Domain.IsZero() || a.Domain() == f.Domain) {
			return true
		}
	}
	return false
}
