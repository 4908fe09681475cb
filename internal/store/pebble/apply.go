package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sallyport/internal/store"
)

// commit is one transaction on its way. It runs in a goroutine of its own, so that
// whoever asked for it can be answered when the disk does not answer.
type commit struct {
	tx           store.Tx
	deleteBefore uint64 // facts to delete; 0 for none
	durable      bool
	batch        *pebble.Batch
	gen          *generation

	state atomic.Uint32 // one of the states below
	ended chan struct{}
	rev   uint64
	err   error
}

const (
	stateWaiting   = iota // nothing was changed
	stateApplying         // will happen: it can no longer be taken back
	stateCancelled        // will not happen
)

// Apply implements store.Store.
func (s *pebbleStore) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	if err := tx.Check(); err != nil {
		return 0, err
	}
	if tx.Bulk {
		give, ok := s.space.Take(int64(tx.Octets()))
		if !ok {
			return 0, store.ErrLow
		}
		defer give()
	}
	return s.run(ctx, &commit{tx: tx, durable: d == store.Durable})
}

// DeleteFacts implements store.Store.
func (s *pebbleStore) DeleteFacts(ctx context.Context, before uint64) error {
	if before <= 1 {
		return ctx.Err()
	}
	_, err := s.run(ctx, &commit{deleteBefore: before})
	return err
}

// run starts a commit and waits for its end, but not through trouble.
func (s *pebbleStore) run(ctx context.Context, c *commit) (store.Revision, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	g, err := s.enter()
	if err != nil {
		return 0, err
	}
	trouble := s.health.watch()
	select {
	case <-trouble:
		g.leave()
		return 0, errTrouble
	default:
	}
	c.gen, c.ended = g, make(chan struct{})
	c.build()
	select {
	case g.queue <- c:
		return c.wait(ctx, trouble)
	case <-ctx.Done():
		err = ctx.Err()
	case <-trouble:
		err = errTrouble
	}
	g.leave() // there is no room before a disk that stands still
	return 0, err
}

var errTrouble = fmt.Errorf("%w: the disk does not take writes", store.ErrUnavailable)

// wait returns the outcome of a commit; in trouble it takes the commit back, and
// where that is too late, says so.
func (c *commit) wait(ctx context.Context, trouble <-chan struct{}) (store.Revision, error) {
	for done := ctx.Done(); ; {
		select {
		case <-c.ended:
			return store.Revision(c.rev), c.err
		case <-done:
			if c.state.CompareAndSwap(stateWaiting, stateCancelled) {
				return 0, ctx.Err()
			}
			done = nil // the outcome is near
		case <-trouble:
			if c.state.CompareAndSwap(stateWaiting, stateCancelled) {
				return 0, errTrouble
			}
			select {
			case <-c.ended:
				return store.Revision(c.rev), c.err
			default:
				return 0, store.ErrInDoubt
			}
		}
	}
}

// overhead is how many octets are around one key and value of a batch, at most.
const overhead = 24

// build copies the mutations into a batch, before any lock is taken.
func (c *commit) build() {
	tx := &c.tx
	c.batch = c.gen.db.NewBatchWithSize(tx.Octets() + overhead*(len(tx.Mutations)+len(tx.Facts)+2))
	for _, m := range tx.Mutations {
		// A batch takes whatever fits into memory: these calls return nil.
		if m.Delete {
			_ = c.batch.Delete(m.Key, nil)
		} else {
			_ = c.batch.Set(m.Key, m.Value, nil)
		}
	}
	if c.deleteBefore > 0 {
		_ = c.batch.DeleteRange(factKey(0), factKey(c.deleteBefore), nil)
	}
}

// orderAll applies the commits of a generation in the order in which they come, until its queue is closed. It
// is one goroutine, and syncAll another, for all commits: a goroutine for each would begin with a small stack, and
// what it calls in the database needs a large one.
func (s *pebbleStore) orderAll(g *generation) {
	defer close(g.syncing)
	for c := range g.queue {
		if c.err = s.apply(c); c.err == nil {
			s.watchers.Committed(c.tx)
		}
		if c.err == nil && c.durable {
			g.syncing <- c
			continue
		}
		c.end()
	}
}

// syncAll answers durable commits when they are synced.
func (s *pebbleStore) syncAll(g *generation) {
	for c := range g.syncing {
		s.synced(c)
		c.end()
	}
}

// synced waits until c is synced.
func (s *pebbleStore) synced(c *commit) {
	// Pebble is told of no failure: only a database that has not failed by now has
	// really synced.
	err := c.batch.SyncWait()
	if cause := c.gen.guard.reason(); cause != nil || err != nil {
		c.err = fmt.Errorf("%w: %v", store.ErrInDoubt, errors.Join(cause, err))
		return
	}
	s.tail.synced(c.rev)
	// Only now nobody reads the batch any more, and its memory may be used again.
	_ = c.batch.Close()
}

// end answers who waits for c.
func (c *commit) end() {
	close(c.ended)
	c.gen.leave()
}

// apply orders c and makes it visible, under the lock that orders commits.
func (s *pebbleStore) apply(c *commit) error {
	g := c.gen
	g.order.Lock()
	defer g.order.Unlock()
	if c.state.Load() != stateWaiting || g.guard.hasFailed() {
		return errTrouble
	}
	if err := s.holds(g, c.tx.Preconditions); err != nil {
		return err
	}
	// From here on the commit will happen, in this database or in the next one.
	if !c.state.CompareAndSwap(stateWaiting, stateApplying) {
		return errTrouble // nobody waits for the answer
	}
	h := s.tail.next(len(c.tx.Facts))
	seq := h.fact - uint64(len(c.tx.Facts))
	for i, f := range c.tx.Facts {
		_ = c.batch.Set(factKey(seq+uint64(i)+1), f, nil)
	}
	_ = c.batch.Set(headKey(), h.encode(), nil)
	if s.tail.push(h, c.batch.Repr()) > s.opts.TailOctets {
		c.durable = true // bounds what is unsynced
	}
	c.rev = h.rev
	err := g.write(c.batch, c.durable)
	s.visible.Store(h.fact)
	if err == nil && !c.durable {
		s.tail.applied(c.rev, c.batch)
	}
	if err != nil {
		// Pebble refused a batch that it was built to take: its state is unknown.
		g.guard.fail(err)
		return fmt.Errorf("%w: %v", store.ErrInDoubt, err)
	}
	return nil
}

func (g *generation) write(b *pebble.Batch, durable bool) error {
	if durable {
		return g.db.ApplyNoSyncWait(b, pebble.Sync)
	}
	return g.db.Apply(b, pebble.NoSync)
}

// holds checks preconditions; the order is held.
func (s *pebbleStore) holds(g *generation, ps []store.Precondition) (err error) {
	defer s.surviving(g, &err)
	defer func() { s.damagedIn(g.guard, err) }()
	for _, p := range ps {
		v, closer, err := g.db.Get(p.Key)
		switch {
		case errors.Is(err, pebble.ErrNotFound):
			if !p.Absent {
				return store.ErrConflict
			}
			continue
		case err != nil:
			return readError(err)
		}
		same := !p.Absent && bytes.Equal(v, p.Value)
		if err := closer.Close(); err != nil {
			return readError(err)
		}
		if !same {
			return store.ErrConflict
		}
	}
	return nil
}

func factSeq(key []byte) uint64 { return binary.BigEndian.Uint64(key[2:]) }

// syncLazy syncs lazy commits that waited long enough for a durable one.
func (s *pebbleStore) syncLazy(now time.Time) {
	if at, ok := s.tail.oldest(); ok && now.Sub(at) >= s.opts.LazyTime {
		// It fails in trouble alone, after which everything is applied again.
		_, _ = s.run(context.Background(), &commit{durable: true})
	}
}
