package spool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// openingBits are the bits of a fence that count claims of one opening; the bits
// above count openings, so that no token of an earlier process is ever current.
const openingBits = 40

// Open opens the queue in st and recovers it: it counts what is there, makes due
// what was under way, removes bodies without an entry, and verifies entries
// within the limits' budget. It reads each index once, and no bodies, and starts in seconds
// with ten million entries. Of entries that an older release put into the queue each is
// read, once. The Report says what it found; Verify does the rest.
func Open(ctx context.Context, st store.Store, o Options) (*Spool, Report, error) {
	s, err := newSpool(st, o)
	if err != nil {
		return nil, Report{}, err
	}
	began := s.now()
	var r Report
	for _, step := range []func(context.Context, *Report) error{s.number, s.loadHorizon, s.loadAccounts, s.loadIndexes, s.removeOrphans} {
		if err := step(ctx, &r); err != nil {
			return nil, r, fmt.Errorf("spool: recovery: %w", err)
		}
	}
	err = s.verify(ctx, &r, budget{entries: s.limits.Load().VerifyEntries, until: began.Add(s.limits.Load().VerifyTime)})
	if err != nil {
		return nil, r, fmt.Errorf("spool: recovery: %w", err)
	}
	s.count(&r, began)
	r.Damaged = int(s.damaged.Load())
	s.log.Info("queue open", "entries", r.Entries, "held", r.Held, "octets", r.Octets, "resumed", r.Resumed,
		"orphans", r.Orphans, "damaged", r.Damaged, "repaired", r.Repaired, "verified", r.Verified, "took", r.Took)
	return s, r, nil
}

// Verify checks every entry: its record, its place in the indexes, the length and
// the SHA-256 of its body. What is damaged goes into quarantine, what is out of
// place is put right. It may run beside everything else.
func (s *Spool) Verify(ctx context.Context) (Report, error) {
	began := s.now()
	var r Report
	before := s.damaged.Load()
	err := s.verify(ctx, &r, budget{full: true})
	s.count(&r, began)
	r.Damaged = int(s.damaged.Load() - before)
	return r, err
}

// Scrub is a Verify that reads no more than so many octets a second, so that it disturbs nobody.
func (s *Spool) Scrub(ctx context.Context, rate int64) (Report, error) {
	began := s.now()
	var r Report
	before := s.damaged.Load()
	err := s.verify(ctx, &r, budget{full: true, rate: rate})
	s.count(&r, began)
	r.Damaged = int(s.damaged.Load() - before)
	return r, err
}

func (s *Spool) count(r *Report, began time.Time) {
	st := s.Stats()
	r.Entries, r.Held, r.Octets = st.Entries, st.Held, st.Octets
	r.Took = s.now().Sub(began)
}

// number counts this opening and begins the fences above all earlier ones.
func (s *Spool) number(ctx context.Context, _ *Report) error {
	k := key(spaceOpenings)
	v, err := s.st.Get(ctx, k)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	var n uint64
	if err == nil {
		if len(v) != 8 {
			return fmt.Errorf("%w: the number of openings", ErrDamaged)
		}
		n = binary.BigEndian.Uint64(v)
	}
	n++
	s.fence = n << openingBits
	_, err = s.st.Apply(ctx, store.Tx{
		Mutations: []store.Mutation{{Key: k, Value: binary.BigEndian.AppendUint64(nil, n)}},
	}, store.Durable)
	return err
}

func (s *Spool) loadAccounts(ctx context.Context, _ *Report) error {
	return s.st.Scan(ctx, spaceRange(spaceAccount), func(k, v []byte) (bool, error) {
		s.accounts[keyAccount(k)] = string(v)
		return true, nil
	})
}

// resume makes due the entries whose attempt was interrupted. The attempt was
// counted before it began, so that a crash cannot make attempts free.
func (s *Spool) resume(ctx context.Context, r *Report, under interrupted) error {
	now := s.passed()
	for ids := range slices.Chunk(under.ids, s.limits.Load().Batch) {
		if err := s.restart(ctx, r, ids, now); err != nil {
			return err
		}
	}
	if under.from == nil {
		return nil
	}
	rg := spaceRange(spaceDue)
	rg.From = under.from
	for {
		ids, last, err := s.leasedIn(ctx, rg)
		if err != nil || last == nil {
			return err
		}
		if err := s.restart(ctx, r, ids, now); err != nil {
			return err
		}
		rg.From = append(last, 0)
	}
}

// restart makes those of the entries due that are under way.
func (s *Spool) restart(ctx context.Context, r *Report, ids []mail.ID, now time.Time) error {
	n, err := s.change(ctx, Filter{IDs: ids}, nil, func(e *Entry) verdict {
		if !e.leased {
			return keep
		}
		e.leased, e.NextTry = false, wall(now)
		return update
	})
	r.Resumed += n
	return err
}

// leasedIn returns up to a batch of leased entries of a range, and the last key
// that it looked at, nil at the end.
func (s *Spool) leasedIn(ctx context.Context, r store.Range) (ids []mail.ID, last []byte, err error) {
	ids = []mail.ID{}
	err = s.st.Scan(ctx, r, func(k, v []byte) (bool, error) {
		last = append(last[:0], k...)
		sum, ok := readSummary(v)
		if id, isID := keyID(k); isID && (sum.leased || !ok) {
			ids = append(ids, id)
		}
		return len(ids) < s.limits.Load().Batch, nil
	})
	return ids, last, err
}

func (s *Spool) unparkReleased(ctx context.Context) error {
	r := spaceRange(spaceParked)
	for {
		var first []byte
		err := s.st.Scan(ctx, r, func(k, _ []byte) (bool, error) {
			first = append([]byte(nil), k...)
			return false, nil
		})
		if err != nil || first == nil {
			return err
		}
		account := keyAccount(first)
		if account == "" {
			r.From = append(first, 0) // a key that is none must not send us back
			continue
		}
		one := parkedRange(account)
		if _, held := s.accounts[account]; !held {
			if _, err := s.unpark(ctx, one); err != nil {
				return err
			}
		}
		r.From = one.To
	}
}

// removeOrphans removes blobs to which no entry belongs: bodies whose message was
// never acknowledged, or is settled. Blobs and their keys are in order, so that each list is read once.
func (s *Spool) removeOrphans(ctx context.Context, r *Report) error {
	names, err := s.st.Blobs().List()
	if err != nil || len(names) == 0 {
		return err
	}
	err = s.st.Scan(ctx, spaceRange(spaceFile), func(k, _ []byte) (bool, error) {
		name := string(k[len(spaceFile):])
		for len(names) > 0 && names[0] < name {
			if err := s.removeOrphan(ctx, r, names[0]); err != nil {
				return false, err
			}
			names = names[1:]
		}
		if len(names) > 0 && names[0] == name {
			names = names[1:]
		}
		return len(names) > 0, nil
	})
	for i := 0; i < len(names) && err == nil; i++ {
		err = s.removeOrphan(ctx, r, names[i])
	}
	return err
}

// removeOrphan removes a blob that no entry seems to have, once the store has said so of that one, too: what is removed is gone.
func (s *Spool) removeOrphan(ctx context.Context, r *Report, name string) error {
	_, err := s.st.Get(ctx, fileKey(name))
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := s.st.Blobs().Remove(name); err != nil {
		return err
	}
	r.Orphans++
	return nil
}

// budget bounds a verification.
type budget struct {
	full    bool // without bound, and with the hashes of large bodies
	entries int
	until   time.Time
	rate    int64 // octets a second; 0: without bound
}

// pause waits for as long as reading a body may take at least.
func (b budget) pause(ctx context.Context, octets int64) error {
	if b.rate <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(float64(octets) / float64(b.rate) * float64(time.Second))):
		return nil
	}
}

// recordOctets is about what a record takes, without a body.
const recordOctets = 1 << 10

// verify checks entries in the order of their IDs within a budget, and then the
// index keys without an entry.
func (s *Spool) verify(ctx context.Context, r *Report, b budget) error {
	rg := spaceRange(spaceEntry)
	for {
		ids, last, err := s.idsIn(ctx, rg)
		if err != nil {
			return err
		}
		if last == nil {
			r.Complete = true
			return s.verifyIndexes(ctx, r)
		}
		for _, id := range ids {
			if !b.full && (r.Verified >= b.entries || !s.now().Before(b.until)) {
				return nil
			}
			octets, err := s.verifyEntry(ctx, r, id, b.full)
			if err != nil {
				return err
			}
			if err := b.pause(ctx, octets+recordOctets); err != nil {
				return err
			}
		}
		rg.From = append(last, 0)
	}
}

// verifyEntry checks one entry, and returns how much of a body it may have read. A large body is hashed only in a
// full run.
func (s *Spool) verifyEntry(ctx context.Context, r *Report, id mail.ID, full bool) (octets int64, err error) {
	e, record, err := s.read(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged):
		return 0, nil
	case err != nil:
		return 0, err
	}
	if err := s.verifyBody(ctx, e, record, full); err != nil {
		return e.Size, ignoreDamage(err)
	}
	r.Verified++
	if e.file == "" || full {
		r.Hashed++
	}
	return e.Size, s.verifyPlace(ctx, r, e, record)
}

// ignoreDamage goes on after an entry went into quarantine, which counts it.
func ignoreDamage(err error) error {
	if errors.Is(err, ErrDamaged) {
		return nil
	}
	return err
}

// verifyBody checks that a body is there: a small one with its hash, a large one
// with its length, and with its hash in a full run.
func (s *Spool) verifyBody(ctx context.Context, e *Entry, record []byte, full bool) error {
	if e.file == "" {
		_, err := s.smallBody(ctx, e, record)
		return err
	}
	if full {
		f, err := s.OpenBody(ctx, e.ID)
		if errors.Is(err, ErrNotFound) {
			return nil // delivered meanwhile
		}
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, f)
		return errors.Join(err, f.Close())
	}
	f, err := s.openFile(e)
	if errors.Is(err, ErrDamaged) {
		s.quarantine(ctx, e.ID, record, indexKey(e), err)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// verifyPlace puts an entry back into its index, so that none is forgotten.
func (s *Spool) verifyPlace(ctx context.Context, r *Report, e *Entry, record []byte) error {
	_, err := s.st.Get(ctx, indexKey(e))
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	err = s.apply(ctx, store.Tx{
		Preconditions: []store.Precondition{{Key: entryKey(e.ID), Value: record}, {Key: indexKey(e), Absent: true}},
		Mutations:     []store.Mutation{{Key: indexKey(e), Value: summarise(e).encode()}},
	}, store.Durable, e)
	if err != nil {
		return ignoreConflict(err) // it moved meanwhile
	}
	s.log.Error("entry put back into its index", "queue", e.ID.String())
	r.Repaired++
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.add(e, 1)
	s.waits.change(e.ID, summary{}, summarise(e))
	return nil
}

// verifyIndexes removes index keys to which no entry belongs.
func (s *Spool) verifyIndexes(ctx context.Context, r *Report) error {
	for _, space := range []store.Space{spaceDue, spaceHeld, spaceParked} {
		err := s.st.Scan(ctx, spaceRange(space), func(k, _ []byte) (bool, error) {
			id, ok := keyID(k)
			if !ok {
				return true, nil
			}
			_, err := s.st.Get(ctx, entryKey(id))
			if !errors.Is(err, store.ErrNotFound) {
				return true, err
			}
			removed, err := s.unindex(ctx, id, append([]byte(nil), k...))
			if removed {
				r.Repaired++
			}
			return true, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
